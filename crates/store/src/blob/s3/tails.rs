//! Tails: what grows on this server's disk, kept in the store as well, for the case that the machine is lost.
//!
//! Every so often the new bytes of all open segments of this server go into one object, `tail/<life>/<number>`, with an index
//! at its end. Whoever takes a push over and finds neither the spool's file nor a finished blob puts the open segment
//! together from the tails. An object goes when all segments in it are stored; those of dead servers go after a day.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::time::Instant;

use super::Shared;
use super::objects::failed;
use crate::blob::{BlobId, BlobStore as _, BlobWriter};
use crate::error::{Error, ErrorKind, Result, Subject};

/// What every index ends with.
const MAGIC: &[u8; 8] = b"MPTAIL01";
/// Bytes of an entry of an index: id, place in the blob, length.
const ENTRY: usize = 16 + 8 + 4;
/// How many entries there are, and [`MAGIC`].
const FOOT: usize = 4 + 8;
/// Media in one object at most; with more there are several.
const MAX_OBJECT: usize = 8 << 20;
/// Taken of one blob at once; what is left comes with the next round.
const MAX_PIECE: u64 = 4 << 20;
/// Objects that are looked through for a blob.
const MAX_LOOKED_AT: usize = 20_000;
/// What servers left that died is kept for so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often that is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long one that cannot be read is waited for by who needs all of them.
const PATIENCE: Duration = Duration::from_secs(120);
/// After which it is waited for anew.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// The tails of this server, and those of others.
pub(super) struct Tails {
    remote: Arc<dyn ObjectStore>,
    /// `PREFIX/tail`.
    folder: String,
    /// The name of this life.
    life: String,
    next: AtomicU64,
    growing: Mutex<HashMap<BlobId, Grown>>,
    /// Objects that cannot be read, and since when.
    unreadable: Mutex<HashMap<Path, Instant>>,
    /// The objects of this life, and whose bytes are in them.
    objects: Mutex<VecDeque<(Path, Vec<BlobId>)>>,
}

/// How far an open segment has come.
#[derive(Debug, Clone, Copy, Default)]
struct Grown {
    flushed: u64,
    sent: u64,
}

/// Some bytes of a blob in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    blob: BlobId,
    /// Where they begin in the blob.
    offset: u64,
    len: u32,
    /// Where they lie in the object.
    at: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tails {
    /// The tails below a folder; `life` is the name of this life of the server.
    pub(super) fn new(remote: Arc<dyn ObjectStore>, folder: &str, life: BlobId) -> Self {
        Self {
            remote,
            folder: format!("{folder}tail"),
            life: life.to_string(),
            next: AtomicU64::new(0),
            growing: Mutex::default(),
            unreadable: Mutex::default(),
            objects: Mutex::default(),
        }
    }

    /// An open segment has reached the spool as far as this.
    pub(super) fn note_flushed(&self, id: BlobId, len: u64) {
        lock(&self.growing).entry(id).or_default().flushed = len;
    }

    /// It was cut short: what was sent beyond is sent again.
    pub(super) fn note_cut(&self, id: BlobId, len: u64) {
        if let Some(grown) = lock(&self.growing).get_mut(&id) {
            (grown.flushed, grown.sent) = (grown.flushed.min(len), grown.sent.min(len));
        }
    }

    /// It is stored, or nobody wants it any more.
    pub(super) fn note_over(&self, id: BlobId) {
        lock(&self.growing).remove(&id);
    }

    /// Sends what is new, again and again, as long as the store is open.
    pub(super) async fn send_every(store: Weak<Shared>, every: Duration) {
        let mut until_sweep = Duration::ZERO;
        let mut has_failed = false;
        loop {
            tokio::time::sleep(every).await;
            let Some(store) = store.upgrade() else { return };
            let Some(tails) = &store.tails else { return };
            match tails.send(&store).await {
                Ok(()) => has_failed = false,
                // What was not sent is sent with the next round.
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(%error, "the ends of open segments cannot be stored now: a machine that is lost would lose them");
                }
                Err(_) => {}
            }
            until_sweep = until_sweep.saturating_sub(every);
            if until_sweep.is_zero() {
                until_sweep = SWEEP_EVERY;
                if let Err(error) = tails.sweep().await {
                    tracing::debug!(%error, "old ends of segments cannot be looked for now");
                }
            }
        }
    }

    /// One round: the new bytes of all open segments, and the end of objects that nobody needs any more.
    async fn send(&self, store: &Shared) -> Result<()> {
        let mut wanted: Vec<_> = {
            let growing = lock(&self.growing);
            growing.iter().map(|(id, grown)| (*id, *grown)).filter(|(_, grown)| grown.flushed > grown.sent).collect()
        };
        wanted.sort_unstable_by_key(|(id, _)| *id);
        let mut object = Object::default();
        for (id, Grown { flushed, sent }) in wanted {
            let len = usize::try_from((flushed - sent).min(MAX_PIECE)).unwrap_or(0);
            let reader = match store.spool.open(id).await {
                Ok(reader) => reader,
                Err(error) => {
                    // One that was stored or deleted meanwhile needs no tail.
                    if error.is_not_found() {
                        self.note_over(id);
                    }
                    continue;
                }
            };
            let Ok(bytes) = reader.read_at(sent, len).await else { continue };
            object.add(id, sent, &bytes);
            if object.bytes.len() >= MAX_OBJECT {
                self.put(std::mem::take(&mut object)).await?;
            }
        }
        self.put(object).await?;
        self.forget_stored().await;
        Ok(())
    }

    async fn put(&self, object: Object) -> Result<()> {
        if object.pieces.is_empty() {
            return Ok(());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = Path::from(format!("{}/{}/{number:016x}", self.folder, self.life));
        let (pieces, bytes) = object.finish();
        self.remote
            .put(&path, PutPayload::from(bytes))
            .await
            .map_err(|error| failed(BlobId::from_bytes([0; 16]), &error))?;
        {
            let mut growing = lock(&self.growing);
            for piece in &pieces {
                if let Some(grown) = growing.get_mut(&piece.blob) {
                    grown.sent = grown.sent.max(piece.offset.saturating_add(piece.len.into()));
                }
            }
        }
        lock(&self.objects).push_back((path, pieces.iter().map(|piece| piece.blob).collect()));
        Ok(())
    }

    /// Deletes the objects of this life in which there is nothing that still grows.
    async fn forget_stored(&self) {
        let gone: Vec<Path> = {
            let (growing, mut objects) = (lock(&self.growing), lock(&self.objects));
            let (kept, gone): (VecDeque<_>, VecDeque<_>) =
                objects.drain(..).partition(|(_, blobs)| blobs.iter().any(|blob| growing.contains_key(blob)));
            *objects = kept;
            gone.into_iter().map(|(path, _)| path).collect()
        };
        for path in gone {
            if let Err(error) = self.remote.delete(&path).await {
                tracing::debug!(%path, %error, "a tail stays until it is old");
            }
        }
    }

    async fn list(&self) -> Result<Vec<ObjectMeta>> {
        let mut names = self.remote.list(Some(&Path::from(self.folder.as_str())));
        let mut found = Vec::new();
        while found.len() < MAX_LOOKED_AT
            && let Some(object) = names.next().await
        {
            found.push(object.map_err(|error| failed(BlobId::from_bytes([0; 16]), &error))?);
        }
        Ok(found)
    }

    /// Deletes what servers left that died long ago.
    async fn sweep(&self) -> Result<()> {
        let own = format!("{}/{}/", self.folder, self.life);
        let kept_ms = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let objects = self.list().await?;
        // By the clock of the store, as far as its newest object tells it.
        let newest_ms = objects.iter().map(|object| object.last_modified.timestamp_millis()).max().unwrap_or(0);
        for object in objects {
            let age_ms = newest_ms.saturating_sub(object.last_modified.timestamp_millis());
            if age_ms > kept_ms && !object.location.as_ref().starts_with(&own) {
                self.remote
                    .delete(&object.location)
                    .await
                    .map_err(|error| failed(BlobId::from_bytes([0; 16]), &error))?;
            }
        }
        Ok(())
    }

    /// Writes what the tails of any server have of a blob, from its beginning up to the first gap; how many bytes.
    ///
    /// # Errors
    /// `NotFound` when they have nothing of it. `Unavailable` when one cannot be read: it may hold the piece that the rest
    /// stands on, so the blob is not closed without it, for [`PATIENCE`].
    pub(super) async fn assemble(&self, id: BlobId, into: &mut Box<dyn BlobWriter>) -> Result<u64> {
        let mut pieces = Vec::new();
        for object in self.list().await? {
            let index = match self.index(&object).await {
                Ok(index) => {
                    lock(&self.unreadable).remove(&object.location);
                    index
                }
                // One that is deleted meanwhile, or is none of ours, has nothing to give.
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Corrupt) => continue,
                Err(error) if self.is_to_be_waited_for(&object.location) => return Err(error),
                Err(error) => {
                    tracing::warn!(path = %object.location, %error, "the end of an open segment may be lost: it cannot be read");
                    continue;
                }
            };
            pieces.extend(
                index.into_iter().filter(|piece| piece.blob == id).map(|piece| (object.location.clone(), piece)),
            );
        }
        pieces.sort_by_key(|(_, piece)| (piece.offset, std::cmp::Reverse(piece.len)));
        for (path, piece) in pieces {
            let end = piece.offset.saturating_add(piece.len.into());
            if piece.offset > into.len() {
                break;
            }
            if end > into.len() {
                let from = piece.at.saturating_add(into.len() - piece.offset);
                let bytes = self.range(&path, from, piece.at.saturating_add(piece.len.into())).await?;
                into.append(bytes).await?;
            }
        }
        match into.len() {
            0 => Err(Error::not_found(Subject::Blob, id)),
            len => Ok(len),
        }
    }

    /// Whether an object that cannot be read may be readable soon.
    fn is_to_be_waited_for(&self, path: &Path) -> bool {
        let mut unreadable = lock(&self.unreadable);
        unreadable.retain(|_, since| since.elapsed() < FORGOTTEN);
        unreadable.entry(path.clone()).or_insert_with(Instant::now).elapsed() < PATIENCE
    }

    async fn range(&self, path: &Path, from: u64, to: u64) -> Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(from..to)), ..GetOptions::default() };
        let failed = |error: object_store::Error| failed(BlobId::from_bytes([0; 16]), &error);
        let bytes = self.remote.get_opts(path, options).await.map_err(failed)?.bytes().await.map_err(failed)?;
        match bytes.len() as u64 == to.saturating_sub(from) {
            true => Ok(bytes),
            false => Err(Error::unavailable(Subject::Blob, "the store sent a part of a tail")),
        }
    }

    async fn index(&self, object: &ObjectMeta) -> Result<Vec<Piece>> {
        // Stores refuse a range of nothing.
        if object.size < FOOT as u64 {
            return Err(Error::corrupt(Subject::Blob, "not a tail"));
        }
        let foot = self.range(&object.location, object.size.saturating_sub(FOOT as u64), object.size).await?;
        let count = count_of(&foot).ok_or_else(|| Error::corrupt(Subject::Blob, "not a tail"))?;
        let len = (count.saturating_mul(ENTRY) + FOOT) as u64;
        let index = self.range(&object.location, object.size.saturating_sub(len), object.size).await?;
        parse(&index).ok_or_else(|| Error::corrupt(Subject::Blob, "not a tail"))
    }
}

/// An object that is being filled.
#[derive(Default)]
struct Object {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Object {
    fn add(&mut self, blob: BlobId, offset: u64, bytes: &[u8]) {
        let Ok(len) = u32::try_from(bytes.len()) else { return };
        if len > 0 {
            self.pieces.push(Piece { blob, offset, len, at: self.bytes.len() as u64 });
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn finish(mut self) -> (Vec<Piece>, Vec<u8>) {
        for piece in &self.pieces {
            self.bytes.extend_from_slice(&piece.blob.to_bytes());
            self.bytes.extend_from_slice(&piece.offset.to_be_bytes());
            self.bytes.extend_from_slice(&piece.len.to_be_bytes());
        }
        self.bytes.extend_from_slice(&u32::try_from(self.pieces.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes.extend_from_slice(MAGIC);
        (self.pieces, self.bytes)
    }
}

/// How many entries an index has, by its last bytes.
fn count_of(foot: &[u8]) -> Option<usize> {
    let (count, magic) = foot.last_chunk::<FOOT>()?.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    (magic == MAGIC && count <= MAX_LOOKED_AT).then_some(count)
}

/// The entries of an index, which begins with the first of them.
fn parse(index: &[u8]) -> Option<Vec<Piece>> {
    let count = count_of(index)?;
    let (mut rest, mut at, mut pieces) = (index, 0_u64, Vec::with_capacity(count));
    for _ in 0..count {
        let (id, behind) = rest.split_first_chunk::<16>()?;
        let (offset, behind) = behind.split_first_chunk::<8>()?;
        let (len, behind) = behind.split_first_chunk::<4>()?;
        let len = u32::from_be_bytes(*len);
        pieces.push(Piece { blob: BlobId::from_bytes(*id), offset: u64::from_be_bytes(*offset), len, at });
        at = at.saturating_add(len.into());
        rest = behind;
    }
    (rest.len() == FOOT).then_some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_says_what_is_in_its_object() {
        let mut object = Object::default();
        let (one, two) = (BlobId::from_bytes([1; 16]), BlobId::from_bytes([2; 16]));
        object.add(one, 100, b"first");
        object.add(two, 0, b"");
        object.add(two, 7, b"second");
        let (pieces, bytes) = object.finish();
        assert!(bytes.starts_with(b"firstsecond"));
        let index = &bytes[bytes.len() - 2 * ENTRY - FOOT..];
        assert_eq!(parse(index), Some(pieces.clone()));
        assert_eq!(pieces[1], Piece { blob: two, offset: 7, len: 6, at: 5 });
        for broken in [&b""[..], b"MPTAIL01", &index[1..], b"\xff\xff\xff\xffMPTAIL01"] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
    }
}
