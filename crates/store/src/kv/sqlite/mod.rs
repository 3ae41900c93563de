//! The ordered map in one SQLite file.
//!
//! One thread writes: it gathers the commits that wait and makes them one SQLite transaction (up to
//! [`MAX_BATCH`]), so that many writers share one flush of the disk. Reads run on the calling thread, on read-only
//! connections, each seeing the last commit; a row is found in a few microseconds, so a hop to another thread would
//! cost more than it hides. Long ranges do hop. Rows that are read often are
//! kept in memory when no other process can change them.

mod cache;
mod changes;
mod checkpoint;
mod copy;
mod disk;
mod layout;
mod pending;
mod reserve;
mod rows;
mod stamp;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Claim, Commit, Entry, Kv, Lease, Outcome, Range, Snapshot, Versioned};
use crate::clock::Clock;
use crate::durability::Durability;
use crate::error::{Error, ErrorKind, Result, Subject};
use cache::RowCache;
use checkpoint::{Checkpoints, Copies};
use disk::Disk;
use stamp::Stamp;
use writer::{Job, Request};

pub use copy::copy_map;
pub use writer::MAX_BATCH;

/// Older versions can corrupt a file in WAL mode (the WAL-reset bug, fixed in 3.51.3).
const OLDEST_SQLITE: i32 = 3_051_003;

/// Commits that may wait for the writer before callers have to.
const MAX_WAITING: usize = 4096;

/// Ranges longer than this are read on a thread that may block.
const LONG_RANGE: usize = 2048;

/// What is done before commits reach the disk with relaxed durability: the blobs that they name come first. It may block.
#[derive(Clone)]
pub struct BeforeFlush(Arc<dyn Fn() + Send + Sync>);

impl BeforeFlush {
    /// Calls `act` before each flush.
    pub fn new(act: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }
}

impl std::fmt::Debug for BeforeFlush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeforeFlush")
    }
}

/// How to open the map.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// What survives a power cut.
    pub durability: Durability,
    /// Read-only connections that are kept open.
    pub readers: usize,
    /// Read-only connections open at once, at least two; each takes two descriptors. Half of them may be held for longer
    /// than one read, by snapshots and long ranges; whoever wants one more waits.
    pub max_readers: usize,
    /// Whether nobody else has the file open, as one knows who holds a lock beside it. Then rows that are read often
    /// are kept in memory, up to 8 MiB.
    pub is_alone: bool,
    /// Whether a map that is not there is refused rather than made: what lies beside it says that there was one.
    pub must_exist: bool,
    /// With relaxed durability, what is done before commits reach the disk.
    pub before_flush: Option<BeforeFlush>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: 8,
            max_readers: 64,
            is_alone: false,
            must_exist: false,
            before_flush: None,
        }
    }
}

/// An ordered map in one SQLite file. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct SqliteKv(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    readers: Arc<Readers>,
    stamp: Arc<Mutex<Stamp>>,
    cache: Option<Arc<RowCache>>,
    clock: Clock,
    waiting: Arc<Semaphore>,
    /// `None` only while closing.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteKv {
    /// Opens the map at `path`, making it if there is none. Blocks while it reads the disk.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or the linked SQLite is too old to be safe; `Corrupt` if it is not
    /// a map of ours or a newer program wrote it; `NotFound` if there is none that must be.
    pub fn open(path: &Path, options: &SqliteOptions, clock: Clock) -> Result<Self> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::unavailable(
                Subject::Engine,
                format!("SQLite {} is older than 3.51.3", rusqlite::version()),
            ));
        }
        // What the disk has counts, not what the system remembers of a process whose flushes failed. One that ended well has left
        // no log.
        let has_log = Disk::forget_cached_log(path);
        let mut connection = layout::open(path, options.durability, options.must_exist)?;
        let unavailable = |e: std::io::Error| Error::unavailable(Subject::Engine, e);
        let disk = Disk::open(path).map_err(unavailable)?;
        if has_log {
            disk.forget_cached(true);
        }
        let readers = Arc::new(Readers::new(path, disk, options.readers, options.max_readers));
        let copies = Arc::new(Copies::new(Arc::clone(&readers)));
        copies.settle(&connection).map_err(|error| readers.disk.judge(error))?;
        let last = readers.disk.judged(rows::last_version(&connection))?;
        let stamp = Arc::new(Mutex::new(Stamp::open(path, last, clock.now_ms()).map_err(unavailable)?));
        let checkpoints = Checkpoints::start(
            path,
            options.durability,
            options.before_flush.clone(),
            Arc::clone(&stamp),
            Arc::clone(&copies),
            clock.clone(),
        )?;
        checkpoints.watch(&mut connection)?;
        let (requests, queue) = mpsc::channel();
        let writer_clock = clock.clone();
        let cache = options.is_alone.then(Arc::<RowCache>::default);
        let writer_cache = cache.clone();
        let writer = std::thread::Builder::new()
            .name("kv-writer".to_owned())
            .spawn(move || {
                writer::run(connection, checkpoints, &copies, writer_cache.as_deref(), &queue, &writer_clock)
            })
            .map_err(|e| Error::unavailable(Subject::Engine, e))?;
        readers.put_back(readers.take()?);
        Ok(Self(Arc::new(Shared {
            readers,
            stamp,
            cache,
            clock,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            requests: Some(requests),
            writer: Some(writer),
        })))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let held = self.0.readers.may_hold().await?;
        let readers = Arc::clone(&self.0.readers);
        let task = tokio::task::spawn_blocking(move || {
            let _held = held;
            readers.with(read)
        });
        task.await.map_err(|e| Error::unavailable(Subject::Engine, e))?
    }

    /// Hands a job to the writer and waits for its transaction to be over.
    async fn write<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let closed = || Error::unavailable(Subject::Engine, "the writer has ended");
        let permit = Arc::clone(&self.0.waiting).acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let request = Request { job: job(reply), _permit: permit };
        self.0.requests.as_ref().ok_or_else(closed)?.send(request).map_err(|_| closed())?;
        let done = answer.await.map_err(|_| closed())?;
        match done {
            Err(error) if error.kind == ErrorKind::Corrupt && error.subject == Subject::Engine => {
                let readers = Arc::clone(&self.0.readers);
                let judged = tokio::task::spawn_blocking(move || readers.disk.judge(error));
                Err(judged.await.map_err(|e| Error::unavailable(Subject::Engine, e))?)
            }
            done => done,
        }
    }
}

impl Drop for Shared {
    /// Waits for commits under way, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.readers.close();
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was already reported to everyone who waited for it.
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Kv for SqliteKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        let read = || self.0.readers.with(|connection| rows::get(connection, key));
        let Some(cache) = &self.0.cache else { return read() };
        let missed = match cache.get(key) {
            Ok(row) => return Ok(Some(row)),
            Err(missed) => missed,
        };
        let row = read()?;
        if let Some(row) = &row {
            cache.keep(key, row, missed);
        }
        Ok(row)
    }

    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        if keys.len() > LONG_RANGE {
            let keys = keys.to_vec();
            return self.blocking(move |connection| rows::get_many(connection, &keys)).await;
        }
        self.0.readers.with(|connection| rows::get_many(connection, keys))
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        if range.limit > LONG_RANGE {
            let range = range.clone();
            return self.blocking(move |connection| rows::range(connection, &range)).await;
        }
        self.0.readers.with(|connection| rows::range(connection, range))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let held = self.0.readers.may_hold().await?;
        let connection = self.0.readers.take()?;
        // A deferred transaction sees the map as of its first read, not as of its beginning.
        let begun = connection.execute_batch("BEGIN").map_err(failed).and_then(|()| rows::get(&connection, b""));
        let snapshot = SqliteSnapshot {
            readers: Arc::clone(&self.0.readers),
            connection: Arc::new(Mutex::new(Some(connection))),
            _held: held,
        };
        begun.map(|_| Box::new(snapshot) as Box<dyn Snapshot>)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        self.write(|reply| Job::Commit(commit, reply)).await
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(|reply| Job::Acquire { name, holder, ttl, claim, reply }).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let lease = lease.clone();
        self.write(|reply| Job::Renew { lease, ttl, reply }).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.write(|reply| Job::Release { lease, reply }).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        let now_ms = self.0.clock.now_ms();
        let lease = self.0.readers.with(|connection| rows::lease(connection, name))?;
        Ok(lease.filter(|lease| lease.expires_ms > now_ms))
    }

    fn loss(&self) -> Option<String> {
        let loss = self.0.stamp.lock().unwrap_or_else(PoisonError::into_inner).loss()?;
        Some(format!(
            "its last commit was number {}, but number {} had reached the disk before: the file is older than it should be, \
             or its log was cut off",
            loss.found, loss.expected
        ))
    }

    async fn forget_loss(&self) -> Result<()> {
        let stamp = Arc::clone(&self.0.stamp);
        let task =
            tokio::task::spawn_blocking(move || stamp.lock().unwrap_or_else(PoisonError::into_inner).forget_loss());
        let done = task.await.map_err(|e| Error::unavailable(Subject::Engine, e))?;
        done.map_err(|e| Error::unavailable(Subject::Engine, e))
    }

    async fn faults(&self) -> Result<Vec<String>> {
        let looked = self.blocking(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check").map_err(failed)?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
            let mut lines = lines.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
            lines.retain(|line| line != "ok");
            lines.extend(layout::unpaired(connection)?);
            Ok(lines)
        });
        match looked.await {
            // Damage where the look itself could not get past it.
            Err(error) if error.kind == ErrorKind::Corrupt => Ok(vec![error.detail]),
            lines => lines,
        }
    }
}

struct SqliteSnapshot {
    readers: Arc<Readers>,
    /// `None` only while dropping.
    connection: Arc<Mutex<Option<Connection>>>,
    _held: OwnedSemaphorePermit,
}

impl SqliteSnapshot {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.readers.disk.judged(Self::read_in(&self.connection, read))
    }

    fn read_in<T>(slot: &Mutex<Option<Connection>>, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = slot.lock().unwrap_or_else(PoisonError::into_inner);
        read(connection.as_ref().ok_or_else(|| Error::unavailable(Subject::Engine, "the snapshot has ended"))?)
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.read(|connection| rows::get(connection, key))
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        if range.limit > LONG_RANGE {
            let (slot, range) = (Arc::clone(&self.connection), range.clone());
            let readers = Arc::clone(&self.readers);
            let task = tokio::task::spawn_blocking(move || {
                readers.disk.judged(Self::read_in(&slot, |connection| rows::range(connection, &range)))
            });
            return task.await.map_err(|e| Error::unavailable(Subject::Engine, e))?;
        }
        self.read(|connection| rows::range(connection, range))
    }
}

impl Drop for SqliteSnapshot {
    fn drop(&mut self) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        match connection {
            Some(connection) if connection.execute_batch("ROLLBACK").is_ok() => self.readers.put_back(connection),
            Some(connection) => self.readers.discard(connection),
            None => {}
        }
    }
}

/// Read-only connections, each used by one call at a time, and never more than so many: every one takes descriptors,
/// and SQLite keeps that of the file also when a connection is closed, as long as another one is open.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    given_back: Condvar,
    /// Notified when one is given back while nobody may take any.
    all_back: Condvar,
    kept: usize,
    max: usize,
    /// Those that are held for longer than one read.
    holding: Arc<Semaphore>,
    /// The last to be dropped: see there.
    disk: Disk,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Connection>,
    open: usize,
    is_paused: bool,
    /// Who waits for a connection. Waking nobody is a system call too, and reads are many.
    waiting: usize,
}

impl Readers {
    fn new(path: &Path, disk: Disk, kept: usize, max: usize) -> Self {
        let max = max.max(2);
        let holding = Arc::new(Semaphore::new(max / 2));
        let (pool, given_back, all_back) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self { path: path.to_owned(), pool, given_back, all_back, kept: kept.clamp(1, max), max, holding, disk }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.pragma_update(None, "cache_size", -8192).map_err(failed)?;
        Ok(connection)
    }

    /// Waits for the right to hold a connection for longer than one read.
    async fn may_hold(&self) -> Result<OwnedSemaphorePermit> {
        let holding = Arc::clone(&self.holding);
        holding.acquire_owned().await.map_err(|_| Error::unavailable(Subject::Engine, "the map is closed"))
    }

    /// A connection. Where all are taken, half of them are back within a read, which is what this waits for.
    fn take(&self) -> Result<Connection> {
        let full = |pool: &mut Pool| pool.is_paused || (pool.idle.is_empty() && pool.open >= self.max);
        let mut pool = self.pool();
        if full(&mut pool) {
            pool.waiting += 1;
            pool = self.given_back.wait_while(pool, full).unwrap_or_else(PoisonError::into_inner);
            pool.waiting -= 1;
        }
        if let Some(connection) = pool.idle.pop() {
            return Ok(connection);
        }
        pool.open += 1;
        drop(pool);
        self.open().inspect_err(|_| self.forget())
    }

    fn put_back(&self, connection: Connection) {
        let mut pool = self.pool();
        if pool.idle.len() >= self.kept {
            drop(pool);
            return self.discard(connection);
        }
        pool.idle.push(connection);
        self.tell(pool);
    }

    /// Wakes those who wait for what has changed in the pool.
    fn tell(&self, pool: MutexGuard<'_, Pool>) {
        let (is_waited_for, is_paused) = (pool.waiting > 0, pool.is_paused);
        drop(pool);
        if is_waited_for {
            self.given_back.notify_one();
        }
        if is_paused {
            self.all_back.notify_all();
        }
    }

    fn discard(&self, connection: Connection) {
        drop(connection);
        self.forget();
    }

    /// One is open less.
    fn forget(&self) {
        let mut pool = self.pool();
        pool.open = pool.open.saturating_sub(1);
        self.tell(pool);
    }

    /// Keeps everybody from reading, once reads that are under way have ended; `None` if they have not in time. Snapshots
    /// count as reads.
    fn pause(&self, timeout: Duration) -> Option<Paused<'_>> {
        let mut pool = self.pool();
        pool.is_paused = true;
        let paused = Paused(self);
        let is_read = |pool: &mut Pool| pool.open > pool.idle.len();
        let waited = self.all_back.wait_timeout_while(pool, timeout, is_read).unwrap_or_else(PoisonError::into_inner);
        let is_late = waited.1.timed_out();
        drop(waited);
        (!is_late).then_some(paused)
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let lent = Lent { readers: self, connection: Some(self.take()?) };
        let no_connection = || Err(Error::unavailable(Subject::Engine, "no connection"));
        self.disk.judged(lent.connection.as_ref().map_or_else(no_connection, read))
    }

    fn close(&self) {
        let mut pool = self.pool();
        pool.open = pool.open.saturating_sub(pool.idle.len());
        pool.idle.clear();
    }
}

/// Nobody reads while it lives.
struct Paused<'r>(&'r Readers);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.pool().is_paused = false;
        self.0.given_back.notify_all();
    }
}

/// A connection during one read. It goes back also when the read panics, or nobody would ever get it again.
struct Lent<'r> {
    readers: &'r Readers,
    /// `None` only while dropping.
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.put_back(connection);
        }
    }
}

/// How long another process that has the file open may hold it.
const BUSY: Duration = Duration::from_secs(10);

fn failed(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => Error::corrupt(Subject::Engine, error),
        _ => Error::unavailable(Subject::Engine, error),
    }
}

#[cfg(test)]
mod tests;
