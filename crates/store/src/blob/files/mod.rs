//! Blobs as files: `<one hex digit>/<two hex digits>/<id>`, with `.part` behind the id until the blob is finished.
//!
//! The directories are named by the last digits of the id. Chance says which of them takes the blobs of a while, so
//! they fill evenly. A file is renamed within its directory and its data flushed; then the directory is flushed, once
//! for all renames that wait for it.
//!
//! Behind the bytes of a finished blob its file has their checksums (`sums.rs`).

mod adopt;
mod arrivals;
mod directories;
mod entries;
mod flusher;
mod hold;
mod known;
mod late;
mod reader;
mod sums;
mod verify;
mod writer;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::direct::Runs;
use super::{
    BlobDamage, BlobId, BlobIds, BlobReader, BlobStore, BlobWriter, Collecting, OnDrop, ScanCursor, ScanPage, Verified,
};
use crate::durability::Durability;
use crate::error::{Error, Result, Subject};
use directories::{Directories, SHARDS, shard_of};
use flusher::Flusher;
use hold::HoldFile;
use known::Known;
use reader::FileReader;
use writer::{FileWriter, Mark};

pub use adopt::Adopted;
pub use hold::Hold;

/// The size of the directories' turns: so many blobs are made in one before the next.
const TURN: u64 = 256;

/// Blobs below one directory. Clones share it.
#[derive(Debug, Clone)]
pub struct FileBlobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directories: Directories,
    durability: Durability,
    ids: BlobIds,
    growing: Mutex<HashSet<BlobId>>,
    known: Known,
    /// Finished blobs whose bytes may not be on disk yet.
    late: Mutex<Vec<BlobId>>,
    flusher: Arc<Flusher>,
    /// Cleared once a read without waiting was refused by the filesystem.
    may_peek: AtomicBool,
    runs: Runs,
    hold: HoldFile,
    /// Blobs made so far, and the directory whose turn it is.
    made: AtomicU64,
    current: AtomicUsize,
}

impl FileBlobs {
    /// Opens the store below `root`, making the directory if there is none, so that finished blobs survive a power cut.
    /// Blocks while it touches the disk.
    ///
    /// # Errors
    /// `Unavailable` if the directory cannot be made.
    pub fn open(root: &Path, ids: BlobIds) -> Result<Self> {
        Self::open_with(root, ids, Durability::Full)
    }

    /// The same with another durability. With [`Durability::Relaxed`] a finished blob is durable once
    /// [`Self::flush_late`] was called.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(root: &Path, ids: BlobIds, durability: Durability) -> Result<Self> {
        let directories = Directories::open(root).map_err(|e| failed(root, &e))?;
        Ok(Self(Arc::new(Shared {
            directories,
            durability,
            ids,
            growing: Mutex::default(),
            known: Known::default(),
            late: Mutex::default(),
            flusher: Arc::default(),
            may_peek: AtomicBool::new(cfg!(target_os = "linux")),
            runs: Runs::new(root),
            hold: HoldFile::open(root),
            made: AtomicU64::new(0),
            current: AtomicUsize::new(0),
        })))
    }
}

impl FileBlobs {
    /// Makes every blob durable that was finished without that. To be called before their names become durable. Blocks.
    pub fn flush_late(&self) {
        self.0.flush_late();
    }
}

impl Shared {
    fn growing(&self) -> MutexGuard<'_, HashSet<BlobId>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new id in the directory whose turn it is. Neighbours in time share a directory, so it is rarely a new one that
    /// must be made first, and one flush serves all that end together.
    fn mint(&self) -> BlobId {
        let id = self.ids.mint();
        if self.made.fetch_add(1, Ordering::Relaxed).is_multiple_of(TURN) {
            self.current.store(shard_of(id), Ordering::Relaxed);
            return id;
        }
        let current = self.current.load(Ordering::Relaxed).to_be_bytes();
        let [.., current_high, current_low] = current;
        let mut bytes = id.to_bytes();
        let [.., high, low] = &mut bytes;
        *high = (*high & 0xf0) | (current_high & 0x0f);
        *low = current_low;
        BlobId::from_bytes(bytes)
    }
}

fn failed(what: impl AsRef<Path>, error: &io::Error) -> Error {
    let detail = format!("{}: {error}", what.as_ref().display());
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(Subject::Blob, detail),
        _ if is_out_of_descriptors(error) => Error::unavailable(Subject::Descriptor, detail),
        _ => Error::unavailable(Subject::Blob, detail),
    }
}

/// The limit of the process or that of the system. The standard library has no kind for these.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Runs what may wait for a disk on a thread that may wait. It runs to its end also when the caller goes away, which a
/// future may do at any `await`; what it returns is dropped then. So what it makes must have its owner in there, and what
/// it finds out and may not be forgotten is kept by [`FileWriter::settle`] instead.
async fn blocking<T: Send + 'static>(id: BlobId, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| failed(id.to_string(), &e)),
        Err(error) => Err(Error::unavailable(Subject::Blob, error)),
    }
}

#[async_trait]
impl BlobStore for FileBlobs {
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let id = self.0.mint();
        let mark = Mark::new(&self.0, id)?;
        let is_directory_made = self.0.directories.is_made(id);
        let begin = move || {
            let file = mark.store().create(id)?;
            // Before the caller has it nobody knows its id, so it goes with a caller that is gone by then.
            Ok(FileWriter::new(mark, file, 0, OnDrop::Delete))
        };
        let mut writer = match is_directory_made {
            true => begin().map_err(|e: io::Error| failed(id.to_string(), &e))?,
            false => blocking(id, begin).await?,
        };
        writer.set_on_drop(on_drop);
        Ok(Box::new(writer))
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        // One call that the kernel answers from memory but for files long unread; a hop to another thread would cost every
        // reader more than the file itself.
        if let Some((file, len)) = self.0.open_sound(id).map_err(|e| failed(id.to_string(), &e))? {
            return Ok(Box::new(FileReader::new(&self.0, id, file, len)));
        }
        let store = Arc::clone(&self.0);
        Ok(Box::new(blocking(id, move || FileReader::open(&store, id)).await?))
    }

    async fn verify(&self, id: BlobId, range: Range<u64>) -> Result<Verified> {
        let store = Arc::clone(&self.0);
        blocking(id, move || store.verify(id, &range)).await
    }

    async fn next_damage(&self) -> BlobDamage {
        self.0.known.next_damage().await
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let mark = Mark::new(&self.0, id)?;
        let mut writer = blocking(id, move || {
            let (file, len) = mark.store().recover(id)?;
            // What was there stays there, should the caller be gone by then.
            Ok(FileWriter::new(mark, file, len, OnDrop::Keep))
        })
        .await?;
        writer.set_on_drop(on_drop);
        Ok(Box::new(writer))
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        let store = Arc::clone(&self.0);
        blocking(id, move || store.delete(id)).await
    }

    fn collecting(&self) -> Result<Option<Collecting>> {
        self.0.collecting()
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        let mut shard = match cursor {
            None => 0,
            Some(cursor) => cursor.0.parse().map_err(|e| Error::corrupt(Subject::Blob, format!("scan cursor: {e}")))?,
        };
        let store = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || {
            let mut page = ScanPage::default();
            // Empty directories cost a system call each; they are not worth a page.
            while shard < SHARDS && page.blobs.is_empty() {
                page.blobs = store.scan(shard).map_err(|e| failed(store.directories.directory(shard), &e))?;
                shard += 1;
            }
            page.next = (shard < SHARDS).then(|| ScanCursor(shard.to_string()));
            Ok(page)
        });
        task.await.map_err(|e| Error::unavailable(Subject::Blob, e))?
    }
}

#[cfg(test)]
mod tests;
