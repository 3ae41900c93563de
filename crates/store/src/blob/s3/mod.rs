//! Finished blobs on an S3-compatible store, for several servers; what grows, in a spool on this machine.
//!
//! A blob is uploaded whole when it is finished, and only then may it be named. Its file then moves into a bounded cache,
//! from which it is read as on one machine; short blobs that others stored are fetched into it when they are first read.
//! Asked of the store are PUT, ranged GET, HEAD, DELETE, LIST and multipart uploads: never an append, never a condition.
//! See `docs/design/many-servers.md`.

mod address;
mod cache;
mod headers;
mod left;
mod objects;
mod probe;
mod products;
mod reader;
mod tails;
mod upload;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::finished::FinishedBlobs;
use super::{
    BlobDamage, BlobId, BlobIds, BlobInfo, BlobReader, BlobState, BlobStore, BlobWriter, FileBlobs, OnDrop, ScanCursor,
    ScanPage, TakeBlobs, Verified,
};
use crate::durability::Durability;
use crate::error::{Error, Result, Subject};
use cache::Index;
use headers::{Headers, Listening};
use left::Left;
use objects::ObjectBlobs;
use reader::{Ahead, RemoteReader};
use tails::Tails;
use upload::{Kind, Uploads};
use writer::S3Writer;

pub use address::S3Address;
pub use probe::probe;

/// The locks among which the id of a blob chooses the one that whoever fetches it holds.
const FETCH_LOCKS: usize = 64;
/// How long a blob of another store is tried to be stored.
const TAKE_TIMEOUT: Duration = Duration::from_secs(120);
/// Longer blobs go in parts, are read in ranges, and are not kept here.
const WHOLE: u64 = 16 << 20;

/// How to open the store.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// What a power cut may take of the spool. The store itself decides about what was stored in it.
    pub durability: Durability,
    /// The most bytes of finished blobs kept on this machine.
    pub cache_bytes: u64,
    /// How long an upload of a client is tried.
    pub timeout: Duration,
    /// How long a segment is tried to be stored. It waits in the spool, and its push goes on.
    pub segment_timeout: Duration,
    /// How often the new bytes of open segments go to the store, for the case that this machine is lost; zero is never.
    pub tails_every: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            cache_bytes: 4 << 30,
            timeout: Duration::from_secs(30),
            segment_timeout: Duration::from_secs(86_400),
            tails_every: Duration::from_secs(1),
        }
    }
}

/// Blobs on an S3-compatible store. Clones share it.
#[derive(Clone)]
pub struct S3Blobs(Arc<Shared>, Arc<ObjectBlobs>);

struct Shared {
    /// What is finished, shared with other servers.
    stored: Arc<dyn FinishedBlobs>,
    /// What grows, and what is finished and not stored yet.
    spool: FileBlobs,
    cache: FileBlobs,
    /// What of the spool an earlier life left, until it is taken up.
    left: Left,
    /// What lies in the spool.
    spooled: Mutex<HashSet<BlobId>>,
    /// What of it is finished and on its way.
    uploading: Mutex<HashSet<BlobId>>,
    cached: Mutex<Index>,
    uploads: Uploads,
    /// The readers that keep pieces of long blobs in memory.
    ahead: Arc<Ahead>,
    /// Whoever fetches a blob holds the lock that its id chooses, so that others wait for the same.
    fetches: Vec<tokio::sync::Mutex<()>>,
    /// `None` where open segments are only on this machine.
    tails: Option<Tails>,
    options: S3Options,
}

impl std::fmt::Debug for S3Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("S3Blobs")
    }
}

impl S3Blobs {
    /// Opens the store, with a spool and a cache below `root`, which belong to this process alone.
    ///
    /// # Errors
    /// `Unavailable` when the directories cannot be made or the credentials not be found.
    pub async fn open(address: &S3Address, root: &FilePath, ids: BlobIds, options: S3Options) -> Result<Self> {
        let client = ClientOptions::new()
            .with_timeout(Duration::from_secs(30))
            .with_connect_timeout(Duration::from_secs(5))
            .with_allow_http(address.endpoint.as_deref().is_some_and(|url| url.starts_with("http://")));
        let retry = RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(15), ..RetryConfig::default() };
        let remote = address
            .builder()?
            .with_client_options(client)
            .with_retry(retry)
            .with_http_connector(Listening(Headers::default()))
            .build()
            .map_err(|error| Error::unavailable(Subject::Blob, error))?;
        Self::with_store(Arc::new(remote), &address.prefix, root, ids, options).await
    }

    async fn with_store(
        remote: Arc<dyn ObjectStore>,
        prefix: &str,
        root: &FilePath,
        ids: BlobIds,
        options: S3Options,
    ) -> Result<Self> {
        let spool = FileBlobs::open_with(&root.join("spool"), ids.clone(), options.durability)?;
        let life = ids.mint();
        let cache = FileBlobs::open(&root.join("cache"), ids)?;
        let objects = Arc::new(ObjectBlobs::new(remote.clone(), prefix));
        let tails_every = options.tails_every;
        let tails = (!tails_every.is_zero()).then(|| Tails::new(remote, &objects.folder(), life));
        let mut fetches = Vec::new();
        fetches.resize_with(FETCH_LOCKS, tokio::sync::Mutex::default);
        let left = every(&spool).await?;
        let shared = Shared {
            stored: objects.clone(),
            spool,
            left: Left::new(&left),
            cache,
            spooled: Mutex::default(),
            uploading: Mutex::default(),
            cached: Mutex::new(Index::new(options.cache_bytes)),
            uploads: Uploads::new(),
            ahead: Arc::default(),
            fetches,
            tails,
            options,
        };
        for blob in &left {
            shared.note_spooled(blob.id);
        }
        let mut kept = every(&shared.cache).await?;
        // What was fetched last is read again soonest.
        kept.sort_unstable_by_key(|blob| blob.modified_ms);
        for blob in kept {
            let gone = match blob.state {
                BlobState::Finished => lock(&shared.cached).add(blob.id, blob.len),
                BlobState::Growing | BlobState::Torn => vec![blob.id],
            };
            for id in gone {
                shared.cache.delete(id).await?;
            }
        }
        let shared = Arc::new(shared);
        if !tails_every.is_zero() {
            tokio::spawn(Tails::send_every(Arc::downgrade(&shared), tails_every));
        }
        if !left.is_empty() {
            tokio::spawn(Shared::settle_left(Arc::downgrade(&shared)));
        }
        Ok(Self(shared, objects))
    }

    /// Writes, reads and deletes a blob of its own, to find out whether the store answers and may be used.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn probe(&self) -> Result<()> {
        self.1.probe().await
    }
}

async fn every(blobs: &FileBlobs) -> Result<Vec<BlobInfo>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = blobs.scan(cursor).await?;
        found.extend(page.blobs);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that a blob is on its way to the store, until it is dropped.
struct Uploading(Arc<Shared>, BlobId);

impl Drop for Uploading {
    fn drop(&mut self) {
        lock(&self.0.uploading).remove(&self.1);
    }
}

impl Shared {
    fn timeout(&self, on_drop: OnDrop) -> Duration {
        match on_drop {
            OnDrop::Delete => self.options.timeout,
            OnDrop::Keep => self.options.segment_timeout,
        }
    }

    fn note_spooled(&self, id: BlobId) {
        lock(&self.spooled).insert(id);
    }

    fn note_gone(&self, id: BlobId) {
        lock(&self.spooled).remove(&id);
    }

    fn is_spooled(&self, id: BlobId) -> bool {
        lock(&self.spooled).contains(&id)
    }

    fn uploading(self: &Arc<Self>, id: BlobId) -> Uploading {
        lock(&self.uploading).insert(id);
        Uploading(Arc::clone(self), id)
    }

    /// Moves a stored blob from the spool into the cache. What fails here costs a request to the store later.
    async fn keep(&self, id: BlobId, len: u64) {
        match self.cache.take_over(&self.spool, id, len).await {
            Ok(()) => {
                let gone = lock(&self.cached).add(id, len);
                self.evict(gone).await;
            }
            Err(error) => {
                tracing::debug!(%id, %error, "a stored blob could not be kept here");
                let _ = self.spool.delete(id).await;
            }
        }
        self.note_gone(id);
    }

    async fn evict(&self, gone: Vec<BlobId>) {
        for id in gone {
            if let Err(error) = self.cache.delete(id).await {
                tracing::debug!(%id, %error, "a blob of the cache could not be deleted");
            }
        }
    }

    /// Deletes what lies on this machine of a blob.
    async fn forget(&self, id: BlobId) -> Result<()> {
        if let Some(tails) = &self.tails {
            tails.note_over(id);
        }
        lock(&self.cached).remove(id);
        self.cache.delete(id).await?;
        self.spool.delete(id).await?;
        self.note_gone(id);
        Ok(())
    }

    /// Opens a blob that lies on this machine.
    async fn open_here(&self, id: BlobId) -> Result<Option<Box<dyn BlobReader>>> {
        self.settle(id).await?;
        // In this order, as it may move from the spool into the cache between the looks.
        if self.is_spooled(id) {
            match self.spool.open(id).await {
                Ok(reader) => return Ok(Some(reader)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let is_cached = lock(&self.cached).has(id);
        if is_cached {
            match self.cache.open(id).await {
                Ok(reader) => return Ok(Some(reader)),
                Err(error) if error.is_not_found() => lock(&self.cached).remove(id),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Opens a blob of the store, which comes into the cache if it is short.
    async fn open_there(self: &Arc<Self>, id: BlobId) -> Result<Box<dyn BlobReader>> {
        // The last two bytes say the directory, which is the same for many neighbours in time.
        let [.., chooses, _, _] = id.to_bytes();
        let turn = match self.fetches.get(usize::from(chooses) % FETCH_LOCKS) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        // Somebody may have fetched it meanwhile.
        if let Some(reader) = self.open_here(id).await? {
            return Ok(reader);
        }
        let (len, bytes) = self.uploads.fetch(self.stored.as_ref(), id).await?;
        // Without room for it, writing it down would only cost time.
        if bytes.len() as u64 == len && len <= self.options.cache_bytes {
            match self.cache.put_as(id, bytes.clone()).await {
                Ok(()) => {
                    let gone = lock(&self.cached).add(id, len);
                    let reader = self.cache.open(id).await;
                    self.evict(gone).await;
                    if let Ok(reader) = reader {
                        return Ok(reader);
                    }
                }
                Err(error) => tracing::debug!(%id, %error, "a blob could not be kept here"),
            }
        }
        drop(turn);
        Ok(Box::new(RemoteReader::new(Arc::clone(&self.stored), Arc::clone(&self.ahead), id, len, bytes)))
    }

    /// Brings a stored blob back into the spool, whole.
    async fn bring_back(&self, id: BlobId) -> Result<()> {
        if lock(&self.cached).has(id) {
            lock(&self.cached).remove(id);
            if self.spool.take_over(&self.cache, id, 0).await.is_ok() {
                return Ok(());
            }
        }
        let (len, bytes) = match (self.uploads.fetch(self.stored.as_ref(), id).await, &self.tails) {
            (Err(error), Some(tails)) if error.is_not_found() => return self.assemble(tails, id).await,
            (fetched, _) => fetched?,
        };
        if bytes.len() as u64 == len {
            return self.spool.put_as(id, bytes).await;
        }
        let mut writer = self.spool.create_as(id, OnDrop::Delete).await?;
        while writer.len() < len {
            let from = writer.len();
            let to = from.saturating_add(WHOLE).min(len);
            writer.append(self.stored.read(id, from..to).await?).await?;
        }
        writer.finish().await.map(drop)
    }

    /// Puts an open segment together that a machine left which is gone.
    async fn assemble(&self, tails: &Tails, id: BlobId) -> Result<()> {
        let mut writer = self.spool.create_as(id, OnDrop::Delete).await?;
        let len = tails.assemble(id, &mut writer).await?;
        tracing::info!(%id, len, "an open segment was put together from the tails of a server that is gone");
        writer.finish().await.map(drop)
    }

    /// A page of what lies in the spool. What is finished there is not stored yet.
    async fn scan_spool(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        let mut page = self.spool.scan(cursor).await?;
        let uploading = lock(&self.uploading).clone();
        for blob in page.blobs.iter_mut().filter(|blob| blob.state == BlobState::Finished) {
            blob.state = if uploading.contains(&blob.id) { BlobState::Growing } else { BlobState::Torn };
        }
        let next = page.next.map_or_else(|| "stored/".to_owned(), |next| format!("spool/{}", next.0));
        Ok(ScanPage { blobs: page.blobs, next: Some(ScanCursor(next)) })
    }

    async fn scan_stored(&self, after: &str) -> Result<ScanPage> {
        let (mut blobs, next) = self.stored.scan((!after.is_empty()).then_some(after)).await?;
        // What lies in the spool as well was found there.
        blobs.retain(|blob| !self.is_spooled(blob.id));
        Ok(ScanPage { blobs, next: next.map(|place| ScanCursor(format!("stored/{place}"))) })
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let spooled = self.0.spool.create(on_drop).await?;
        Ok(Box::new(S3Writer::new(&self.0, spooled, on_drop, false)))
    }

    fn finishes_elsewhere(&self) -> bool {
        true
    }

    fn lies_here(&self, id: BlobId) -> bool {
        self.0.is_spooled(id) || lock(&self.0.cached).has(id)
    }

    async fn answers(&self) -> Result<()> {
        self.1.answers().await
    }

    fn refuses_writes(&self) -> bool {
        self.0.uploads.fail()
    }

    async fn give_room(&self, bytes: u64) {
        let gone = lock(&self.0.cached).shrink_by(bytes);
        self.0.evict(gone).await;
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        match self.0.open_here(id).await? {
            Some(reader) => Ok(reader),
            None => self.0.open_there(id).await,
        }
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        if lock(&self.0.uploading).contains(&id) {
            return Err(Error::conflict(Subject::Blob, format!("{id} is being stored")));
        }
        self.0.left.take_up(id).await;
        if !self.0.is_spooled(id) {
            match self.0.bring_back(id).await {
                // A store whose bucket is gone says the same of every blob, and is away.
                Err(error) if error.is_not_found() => {
                    self.1.answers().await?;
                    return Err(error);
                }
                brought => brought?,
            }
            self.0.note_spooled(id);
        }
        let spooled = self.0.spool.recover(id, on_drop).await?;
        Ok(Box::new(S3Writer::new(&self.0, spooled, on_drop, true)))
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.0.forget(id).await?;
        self.0.stored.delete(id).await
    }

    async fn verify(&self, id: BlobId, range: Range<u64>) -> Result<Verified> {
        self.0.settle(id).await?;
        if self.0.is_spooled(id) {
            return self.0.spool.verify(id, range).await;
        }
        // The store looks after its bytes itself; whether it has them is all there is to ask.
        Ok(Verified { len: self.0.stored.len(id).await?, has_sums: false, damaged: Vec::new() })
    }

    async fn next_damage(&self) -> BlobDamage {
        loop {
            tokio::select! {
                damage = self.0.spool.next_damage() => return damage,
                damage = self.0.cache.next_damage() => {
                    // The store has the right bytes.
                    tracing::warn!(%damage, "a blob of the cache is damaged and forgotten");
                    lock(&self.0.cached).remove(damage.blob);
                    let _ = self.0.cache.delete(damage.blob).await;
                }
            }
        }
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        let Some(ScanCursor(place)) = cursor else { return self.0.scan_spool(None).await };
        if let Some(shard) = place.strip_prefix("spool/") {
            return self.0.scan_spool(Some(ScanCursor(shard.to_owned()))).await;
        }
        let after = place.strip_prefix("stored/");
        self.0.scan_stored(after.ok_or_else(|| Error::corrupt(Subject::Blob, "scan cursor"))?).await
    }
}

#[async_trait]
impl TakeBlobs for S3Blobs {
    /// Uploads it from where it is, in parts if it is long; it is not kept here.
    async fn take(&self, id: BlobId, from: &dyn BlobReader) -> Result<()> {
        self.0.uploads.upload(self.0.stored.as_ref(), id, from, Kind::Upload, TAKE_TIMEOUT).await
    }
}
