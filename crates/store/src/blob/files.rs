//! Blobs as files: `<one hex digit>/<two hex digits>/<id>`, with `.part` behind the id until the blob is finished.
//!
//! The directories are named by the last digits of the id. Chance says which of them takes the blobs of a while, so
//! they fill evenly. A file is renamed within its directory and its data flushed; then the directory is flushed, once
//! for all renames that wait for it.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use tokio::task::JoinHandle;

use super::direct::{BLOCK, Run, Runs};
use super::{
    Blob, BlobId, BlobIds, BlobInfo, BlobReader, BlobState, BlobStore, BlobWriter, FileRange, OnDrop, ScanCursor,
    ScanPage, available,
};
use crate::error::{Error, Result, Subject};

/// Directories that hold files: the last three hex digits of an id.
const SHARDS: usize = 1 << 12;

/// The size of the directories' turns: so many blobs are made in one before the next.
const TURN: u64 = 256;

/// Pieces of this size come faster than live: a push is written out five times a second, an upload when it has so much.
const FAST_PIECE: usize = 256 << 10;

/// The most bytes that are looked for in the page cache on the calling thread.
const MAX_CACHED_READ: usize = 256 << 10;

/// How far apart the bytes are that stand for all of a range when the page cache is asked for it: the kernel reads ahead
/// and forgets in larger runs.
const PROBE_STEP: usize = 128 << 10;

/// What the name of an unfinished blob ends in.
const PART: &str = ".part";

/// Blobs below one directory. Clones share it.
#[derive(Debug, Clone)]
pub struct FileBlobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    ids: BlobIds,
    shards: Vec<Shard>,
    growing: Mutex<HashSet<BlobId>>,
    /// Cleared once a read without waiting was refused by the filesystem.
    may_peek: AtomicBool,
    runs: Runs,
    /// Blobs made so far, and the directory whose turn it is.
    made: AtomicU64,
    current: AtomicUsize,
}

/// One directory, and how much of it is known to be on disk.
#[derive(Debug, Default)]
struct Shard {
    is_made: AtomicBool,
    renames: AtomicU64,
    flushed: Mutex<Flushed>,
}

/// The renames of a directory that are on disk, and those that never will be known to be.
#[derive(Debug, Default)]
struct Flushed {
    /// Renames up to this one were covered by some flush.
    until: u64,
    /// Runs of them whose flush failed, as first and last, for those who still wait to hear of it.
    failed: VecDeque<(u64, u64)>,
}

impl FileBlobs {
    /// Opens the store below `root`, making the directory if there is none. Blocks while it touches the disk.
    ///
    /// # Errors
    /// `Unavailable` if the directory cannot be made.
    pub fn open(root: &Path, ids: BlobIds) -> Result<Self> {
        make_upper_directories(root).map_err(|e| failed(root, &e))?;
        let mut shards = Vec::new();
        shards.resize_with(SHARDS, Shard::default);
        Ok(Self(Arc::new(Shared {
            root: root.to_owned(),
            ids,
            shards,
            growing: Mutex::default(),
            may_peek: AtomicBool::new(cfg!(target_os = "linux")),
            runs: Runs::new(root),
            made: AtomicU64::new(0),
            current: AtomicUsize::new(0),
        })))
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

    fn directory(&self, shard: usize) -> PathBuf {
        self.root.join(format!("{:x}", (shard >> 8) & 0xf)).join(format!("{:02x}", shard & 0xff))
    }

    fn finished(&self, id: BlobId) -> PathBuf {
        self.directory(shard_of(id)).join(id.to_string())
    }

    fn part(&self, id: BlobId) -> PathBuf {
        self.directory(shard_of(id)).join(format!("{id}{PART}"))
    }

    fn shard(&self, id: BlobId) -> Option<&Shard> {
        self.shards.get(shard_of(id))
    }

    /// Makes the directory of an id, durably: its own directory must not vanish with the files in it. One that is there
    /// may have been made just before a crash, so it is flushed once in each life of the process. A flush that failed
    /// says nothing when it is asked again (D29), so what was new is unmade and made again next time.
    fn make_directory(&self, id: BlobId) -> io::Result<()> {
        let Some(shard) = self.shard(id) else { return Ok(()) };
        if shard.is_made.load(Ordering::Acquire) {
            return Ok(());
        }
        let directory = self.directory(shard_of(id));
        let is_new = match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&directory).map(|()| true)?,
            made => made.map(|()| true)?,
        };
        if let Some(parent) = directory.parent()
            && let Err(error) = sync_directory(parent)
        {
            if is_new {
                // Fails when another blob has come into it meanwhile, whose own maker finds the directory unmade.
                let _ = fs::remove_dir(&directory);
            }
            return Err(error);
        }
        shard.is_made.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes every rename so far in the directory of an id durable. Callers that wait here while another flushes
    /// find their own rename flushed by the next of them. A flush that fails does so for each rename that it covered:
    /// one that succeeds later says nothing about them (D29).
    fn sync_renames(&self, id: BlobId) -> io::Result<()> {
        let Some(shard) = self.shard(id) else { return Ok(()) };
        let mine = shard.renames.fetch_add(1, Ordering::AcqRel) + 1;
        let mut flushed = shard.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        if flushed.until >= mine {
            return if flushed.has_failed(mine) {
                Err(io::Error::other("a flush of the directory failed for this file too"))
            } else {
                Ok(())
            };
        }
        let until = shard.renames.load(Ordering::Acquire);
        let outcome = sync_directory(&self.directory(shard_of(id)));
        flushed.note(until, outcome.is_ok());
        outcome
    }

    /// Whether the directory of an id is known to be there.
    fn is_directory_made(&self, id: BlobId) -> bool {
        self.shard(id).is_none_or(|shard| shard.is_made.load(Ordering::Acquire))
    }

    fn create(&self, id: BlobId) -> io::Result<File> {
        self.make_directory(id)?;
        OpenOptions::new().read(true).write(true).create_new(true).open(self.part(id))
    }

    fn open(&self, id: BlobId) -> io::Result<File> {
        // A blob may be finished between the two attempts, so the first name is tried again.
        for path in [self.finished(id), self.part(id)] {
            match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        File::open(self.finished(id))
    }

    fn recover(&self, id: BlobId) -> io::Result<(File, u64)> {
        let part = self.part(id);
        match fs::rename(self.finished(id), &part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).open(part)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    fn delete(&self, id: BlobId) -> io::Result<()> {
        for path in [self.part(id), self.finished(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn scan(&self, shard: usize) -> io::Result<Vec<BlobInfo>> {
        let entries = match fs::read_dir(self.directory(shard)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut blobs = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let (text, is_part) = name.strip_suffix(PART).map_or((name, false), |text| (text, true));
            // Files of others are none of our business, and never deleted.
            let Ok(id) = text.parse::<BlobId>() else { continue };
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            blobs.push(BlobInfo {
                id,
                len: metadata.len(),
                modified_ms: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
                state: match (is_part, self.growing().contains(&id)) {
                    (false, _) => BlobState::Finished,
                    (true, true) => BlobState::Growing,
                    (true, false) => BlobState::Torn,
                },
            });
        }
        Ok(blobs)
    }
}

/// Failed flushes of a directory that are remembered. Whoever waits for one has a thread that waits, of which there are
/// fewer than renames in so many flushes.
const MAX_FAILED_FLUSHES: usize = 1024;

impl Flushed {
    fn has_failed(&self, rename: u64) -> bool {
        // What is not remembered any more counts as failed where anything is: better refused than believed.
        self.failed.iter().any(|(first, last)| (*first..=*last).contains(&rename))
            || (self.failed.len() >= MAX_FAILED_FLUSHES
                && self.failed.front().is_some_and(|(first, _)| rename < *first))
    }

    /// All renames up to `until` were covered.
    fn note(&mut self, until: u64, is_durable: bool) {
        if !is_durable {
            if self.failed.len() >= MAX_FAILED_FLUSHES {
                self.failed.pop_front();
            }
            self.failed.push_back((self.until + 1, until));
        }
        self.until = until;
    }
}

fn shard_of(id: BlobId) -> usize {
    let [.., high, low] = id.to_bytes();
    (usize::from(high) << 8 | usize::from(low)) & (SHARDS - 1)
}

/// The root and the sixteen directories in it, durably.
fn make_upper_directories(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    for digit in 0..16 {
        fs::create_dir_all(root.join(format!("{digit:x}")))?;
    }
    sync_directory(root)?;
    sync_directory(root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
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

/// Runs what may wait for a disk on a thread that may wait.
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
        let file = if self.0.is_directory_made(id) {
            self.0.create(id).map_err(|e| failed(id.to_string(), &e))?
        } else {
            let store = Arc::clone(&self.0);
            blocking(id, move || store.create(id)).await?
        };
        Ok(Box::new(FileWriter::new(mark, file, 0, on_drop)))
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        // Two calls that the kernel answers from memory but for files long unread; a hop to another thread would cost
        // every reader more than the file itself.
        let opened = self.0.open(id).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        let (file, len) = opened.map_err(|e| failed(id.to_string(), &e))?;
        Ok(Box::new(FileReader { store: Arc::clone(&self.0), id, file: Arc::new(file), len }))
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let mark = Mark::new(&self.0, id)?;
        let store = Arc::clone(&self.0);
        let (file, len) = blocking(id, move || store.recover(id)).await?;
        Ok(Box::new(FileWriter::new(mark, file, len, on_drop)))
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        let store = Arc::clone(&self.0);
        blocking(id, move || store.delete(id)).await
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
                page.blobs = store.scan(shard).map_err(|e| failed(store.directory(shard), &e))?;
                shard += 1;
            }
            page.next = (shard < SHARDS).then(|| ScanCursor(shard.to_string()));
            Ok(page)
        });
        task.await.map_err(|e| Error::unavailable(Subject::Blob, e))?
    }
}

/// Says that a writer of this process is at a blob, as long as it lives.
struct Mark {
    store: Arc<Shared>,
    id: BlobId,
}

impl Mark {
    fn new(store: &Arc<Shared>, id: BlobId) -> Result<Self> {
        if !store.growing().insert(id) {
            return Err(Error::conflict(Subject::Blob, format!("{id} is being written")));
        }
        Ok(Self { store: Arc::clone(store), id })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.store.growing().remove(&self.id);
    }
}

struct FileWriter {
    /// Shared with the write in flight, so that nobody takes up the blob before that has ended.
    mark: Arc<Mark>,
    file: Arc<File>,
    /// The same file, open for direct writes.
    direct: Option<Arc<File>>,
    len: u64,
    /// What was appended last, while bytes come in large pieces. Everything before is written or in flight.
    run: Option<Run>,
    in_flight: Option<JoinHandle<io::Result<()>>>,
    /// A write or a flush failed, so the file may lack bytes that count.
    is_broken: bool,
    /// Whether the name of the unfinished file is on disk too.
    is_entry_synced: bool,
    on_drop: OnDrop,
    is_over: bool,
}

impl FileWriter {
    fn new(mark: Mark, file: File, len: u64, on_drop: OnDrop) -> Self {
        Self {
            mark: Arc::new(mark),
            file: Arc::new(file),
            direct: None,
            len,
            run: None,
            in_flight: None,
            is_broken: false,
            is_entry_synced: false,
            on_drop,
            is_over: false,
        }
    }

    fn failed(&mut self, error: &io::Error) -> Error {
        self.is_broken = true;
        failed(self.mark.id.to_string(), error)
    }

    /// Writes into the page cache, on this thread: handing such a write to another thread costs more than the write.
    fn write_cached(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.len).map_err(|e| self.failed(&e))?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Starts to gather bytes for direct writes, if the filesystem has them, from the next whole block on.
    fn begin_run(&mut self, bytes: &mut Bytes) -> Result<()> {
        if self.direct.is_none() {
            let store = &self.mark.store;
            self.direct = store.runs.open(&store.part(self.mark.id)).map(Arc::new);
        }
        if self.direct.is_none() || !self.mark.store.runs.is_on() {
            return Ok(());
        }
        let block = BLOCK as u64;
        let missing = usize::try_from((block - self.len % block) % block).unwrap_or(0);
        let head = bytes.split_to(missing.min(bytes.len()));
        self.write_cached(&head)?;
        self.run = Some(self.mark.store.runs.take());
        Ok(())
    }

    /// Waits for the write in flight, and refuses to go on after one that failed.
    async fn settle(&mut self) -> Result<()> {
        if let Some(task) = &mut self.in_flight {
            let written = task.await;
            self.in_flight = None;
            written.map_err(io::Error::other).flatten().map_err(|e| self.failed(&e))?;
        }
        if self.is_broken {
            return Err(self.failed(&io::Error::other("an earlier write failed")));
        }
        Ok(())
    }

    /// The write of what is gathered, to be run where it may wait. Nothing is in flight.
    fn take_run(&mut self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let (mark, file, direct) = (Arc::clone(&self.mark), Arc::clone(&self.file), self.direct.clone());
        let run = self.run.take();
        let end = self.len;
        move || {
            let Some(run) = run else { return Ok(()) };
            let offset = end.saturating_sub(run.len() as u64);
            let runs = &mark.store.runs;
            let written = run.write(direct.as_ref().unwrap_or(&file), &file, offset, runs);
            runs.put(run);
            written
        }
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    fn id(&self) -> BlobId {
        self.mark.id
    }

    fn len(&self) -> u64 {
        self.len
    }

    async fn append(&mut self, mut bytes: Bytes) -> Result<()> {
        if self.is_broken {
            return self.settle().await;
        }
        // Nobody is about to read such bytes from the page cache; those of a push at ordinary rates stay in it.
        if self.run.is_none() && bytes.len() >= FAST_PIECE {
            self.begin_run(&mut bytes)?;
        }
        while let Some(run) = &mut self.run
            && !bytes.is_empty()
        {
            let count = run.fill(&bytes);
            self.len = self.len.saturating_add(count as u64);
            bytes.advance(count);
            if run.is_full() {
                // One write is on its way while the next run is gathered.
                self.settle().await?;
                self.in_flight = Some(tokio::task::spawn_blocking(self.take_run()));
                self.run = Some(self.mark.store.runs.take());
            }
        }
        self.write_cached(&bytes)
    }

    async fn flush(&mut self) -> Result<()> {
        self.settle().await?;
        if self.run.is_some() {
            self.in_flight = Some(tokio::task::spawn_blocking(self.take_run()));
            self.settle().await?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.flush().await?;
        let (file, store, id) = (Arc::clone(&self.file), Arc::clone(&self.mark.store), self.mark.id);
        let is_entry_synced = self.is_entry_synced;
        let synced = blocking(id, move || {
            file.sync_data()?;
            if is_entry_synced { Ok(()) } else { store.sync_renames(id) }
        })
        .await;
        // The system may have dropped what it could not write, and says so once: the next flush would succeed (D29).
        self.is_broken |= synced.is_err();
        self.is_entry_synced |= synced.is_ok();
        synced
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        self.flush().await?;
        if len < self.len {
            let file = Arc::clone(&self.file);
            let cut = blocking(self.mark.id, move || file.set_len(len)).await;
            self.is_broken |= cut.is_err();
            cut?;
            self.len = len;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, is_durable: bool) -> Result<Blob> {
        self.settle().await?;
        let write = self.take_run();
        let (file, store, id, len) = (Arc::clone(&self.file), Arc::clone(&self.mark.store), self.mark.id, self.len);
        blocking(id, move || {
            write()?;
            // The name is given before the flush, which then takes both to the disk at once: nothing leads to the blob
            // yet, and what a crash leaves of it is taken up or swept under either name. A flush that fails is final: the
            // writer is gone then, and nobody can ask again (D29).
            fs::rename(store.part(id), store.finished(id))?;
            if is_durable {
                file.sync_data()?;
                store.sync_renames(id)?;
            }
            Ok(())
        })
        .await?;
        self.is_over = true;
        Ok(Blob { id, len })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let (store, id) = (Arc::clone(&self.mark.store), self.mark.id);
        blocking(id, move || store.delete(id)).await?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.is_over || self.on_drop == OnDrop::Keep {
            return;
        }
        // One unlink on the dropping thread; what fails here is an orphan for the sweep.
        if let Err(error) = self.mark.store.delete(self.mark.id) {
            tracing::debug!(id = %self.mark.id, %error, "an unfinished blob could not be deleted");
        }
    }
}

struct FileReader {
    store: Arc<Shared>,
    id: BlobId,
    file: Arc<File>,
    len: u64,
}

#[async_trait]
impl BlobReader for FileReader {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        if let Some(bytes) = self.try_read_at(offset, len) {
            return Ok(bytes);
        }
        let len = available(self.len, offset, len);
        let file = Arc::clone(&self.file);
        blocking(self.id, move || {
            let mut buffer = vec![0; len];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(Bytes::from(buffer))
        })
        .await
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        let len = available(self.len, offset, len);
        if len == 0 {
            return Some(Bytes::new());
        }
        if len > MAX_CACHED_READ || !self.store.may_peek.load(Ordering::Relaxed) {
            return None;
        }
        let mut buffer = vec![0; len];
        peek(&self.store, &self.file, offset, &mut buffer).then(|| Bytes::from(buffer))
    }

    fn try_share_at(&self, offset: u64, len: usize) -> Option<FileRange> {
        let len = available(self.len, offset, len);
        if len == 0 || !self.store.may_peek.load(Ordering::Relaxed) {
            return None;
        }
        let mut probes = (0..len).step_by(PROBE_STEP).chain([len - 1]);
        let is_cached = probes.all(|at| peek(&self.store, &self.file, offset.saturating_add(at as u64), &mut [0]));
        is_cached.then(|| FileRange { file: Arc::clone(&self.file), offset, len, held: None })
    }
}

/// Fills `buffer` with what the page cache has, all of it or nothing; whether it did.
#[cfg(target_os = "linux")]
fn peek(store: &Shared, file: &File, offset: u64, buffer: &mut [u8]) -> bool {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let len = buffer.len();
    match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => read == len,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            store.may_peek.store(false, Ordering::Relaxed);
            false
        }
        Err(_) => false,
    }
}

#[cfg(not(target_os = "linux"))]
fn peek(_store: &Shared, _file: &File, _offset: u64, _buffer: &mut [u8]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::direct::RUN;
    use crate::clock::{Clock, Randomness};
    use crate::conformance;

    fn open(root: &Path, seed: u64) -> FileBlobs {
        FileBlobs::open(root, BlobIds::new(Clock::system(), Randomness::seeded(seed))).unwrap()
    }

    #[tokio::test]
    async fn conforms() {
        let root = tempfile::tempdir().unwrap();
        conformance::blob::check(&open(root.path(), 1)).await;
    }

    #[tokio::test]
    async fn a_torn_blob_is_found_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), 1);
        let mut writer = first.create(OnDrop::Keep).await.unwrap();
        writer.append(Bytes::from_static(b"half a seg")).await.unwrap();
        writer.flush().await.unwrap();
        let id = writer.id();

        // The first life still holds its file, as a killed process would until the kernel takes it.
        let second = open(root.path(), 2);
        let page = second.scan(None).await.unwrap();
        assert_eq!(page.blobs.iter().map(|b| (b.id, b.len, b.state)).collect::<Vec<_>>(), [(id, 10, BlobState::Torn)]);
        let mut again = second.recover(id, OnDrop::Keep).await.unwrap();
        assert_eq!(again.len(), 10);
        again.truncate(6).await.unwrap();
        again.append(Bytes::from_static(b" segment")).await.unwrap();
        again.finish(true).await.unwrap();
        drop(writer);
        let reader = open(root.path(), 3).open(id).await.unwrap();
        assert_eq!(reader.read_at(0, 100).await.unwrap(), "half a segment");
    }

    #[tokio::test]
    async fn what_the_page_cache_has_can_be_shared() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1);
        let mut writer = store.create(OnDrop::Delete).await.unwrap();
        let bytes = [vec![1; PROBE_STEP], vec![2; PROBE_STEP]].concat();
        writer.append(Bytes::from(bytes.clone())).await.unwrap();
        let id = writer.finish(true).await.unwrap().id;
        let reader = store.open(id).await.unwrap();
        // Read once, it is in the page cache whichever way it was written.
        reader.read_at(0, usize::MAX).await.unwrap();
        if !store.0.may_peek.load(Ordering::Relaxed) {
            return;
        }
        let range = reader.try_share_at(3, usize::MAX).unwrap();
        assert_eq!((range.offset, range.len), (3, bytes.len() - 3));
        let mut shared = vec![0; range.len];
        range.file.read_exact_at(&mut shared, range.offset).unwrap();
        assert_eq!(shared, bytes[3..]);
        assert!(reader.try_share_at(bytes.len() as u64, 1).is_none());
        assert!(reader.try_share_at(0, 0).is_none());
    }

    #[test]
    fn directories_take_turns() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1);
        let ids: Vec<_> = (0..3 * TURN).map(|_| store.0.mint()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        let mut shards: Vec<_> = ids.iter().map(|id| shard_of(*id)).collect();
        shards.dedup();
        assert_eq!(shards.len(), 3);
    }

    #[tokio::test]
    async fn files_of_others_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1);
        let mut writer = store.create(OnDrop::Keep).await.unwrap();
        writer.append(Bytes::from_static(b"x")).await.unwrap();
        let id = writer.finish(true).await.unwrap().id;
        let directory = store.0.directory(shard_of(id));
        fs::write(directory.join("notes.txt"), "mine").unwrap();
        fs::write(directory.join(format!("{}.tmp", "0".repeat(32))), "mine").unwrap();
        assert_eq!(store.scan(None).await.unwrap().blobs.len(), 1);
    }

    #[tokio::test]
    async fn large_pieces_are_written_in_order_between_small_ones() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1);
        for is_on in [store.0.runs.is_on(), false] {
            let mut writer = store.create(OnDrop::Delete).await.unwrap();
            let id = writer.id();
            let mut expected = Vec::new();
            for (n, len) in [5, RUN, 1, RUN + 7, 3 * RUN, 0, BLOCK, 100_000, RUN, 65_536, 12].into_iter().enumerate() {
                let piece: Vec<u8> = (0..len).map(|at| (at % 251 + n).to_le_bytes()[0]).collect();
                expected.extend_from_slice(&piece);
                writer.append(Bytes::from(piece)).await.unwrap();
                assert_eq!(writer.len(), expected.len() as u64);
                if n % 4 == 3 {
                    writer.flush().await.unwrap();
                    let reader = store.open(id).await.unwrap();
                    assert_eq!(reader.read_at(0, usize::MAX).await.unwrap(), expected, "flushed, direct: {is_on}");
                }
                if n == 6 {
                    let len = expected.len() - RUN / 2;
                    writer.truncate(len as u64).await.unwrap();
                    expected.truncate(len);
                }
            }
            writer.finish(true).await.unwrap();
            let reader = store.open(id).await.unwrap();
            assert_eq!(
                (reader.len(), reader.read_at(0, usize::MAX).await.unwrap()),
                (expected.len() as u64, expected.into())
            );
            store.0.runs.turn_off();
        }
    }

    #[test]
    fn d29_a_flush_that_fails_fails_for_all_that_it_covered() {
        let mut flushed = Flushed::default();
        flushed.note(3, true);
        flushed.note(7, false);
        flushed.note(9, true);
        let failed: Vec<u64> = (1..=9).filter(|rename| flushed.has_failed(*rename)).collect();
        assert_eq!((failed, flushed.until), (vec![4, 5, 6, 7], 9));
        for until in 10..10 + 2 * MAX_FAILED_FLUSHES as u64 {
            flushed.note(until, false);
        }
        assert_eq!(flushed.failed.len(), MAX_FAILED_FLUSHES);
        assert!(flushed.has_failed(9), "what is forgotten is not believed");
    }

    #[tokio::test]
    async fn a_write_that_fails_later_breaks_the_blob() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1);
        let mut writer = FileWriter::new(
            Mark::new(&store.0, store.0.ids.mint()).unwrap(),
            File::open(root.path()).unwrap(),
            0,
            OnDrop::Keep,
        );
        writer.run = Some(store.0.runs.take());
        writer.append(Bytes::from(vec![1; RUN])).await.unwrap();
        assert!(writer.flush().await.is_err());
        assert!(writer.append(Bytes::from_static(b"more")).await.is_err());
        assert!(writer.sync().await.is_err());
        assert!(Box::new(writer).finish(true).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writers_beside_each_other_all_become_durable() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), 1);
        let tasks: Vec<_> = (0..64u8)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut writer = store.create(OnDrop::Delete).await.unwrap();
                    writer.append(Bytes::from(vec![n; 1000])).await.unwrap();
                    (n, writer.finish(true).await.unwrap().id)
                })
            })
            .collect();
        for task in tasks {
            let (n, id) = task.await.unwrap();
            assert_eq!(store.open(id).await.unwrap().read_at(0, 2000).await.unwrap(), vec![n; 1000]);
        }
    }
}
