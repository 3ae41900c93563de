//! Moves what was committed from the log into the file, beside the writer, which would otherwise stand still for it, and
//! writes down how far the map has come.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};

use super::reserve::Reserve;
use super::stamp::Stamp;
use super::{BUSY, BeforeFlush, Durability, Readers, failed};
use crate::clock::Clock;
use crate::error::{Error, Result, Subject};

/// Rows that are written between two checkpoints; each dirties a page of 8 KiB at most times.
const DUE_AFTER: usize = 500;

/// Pages in the log at which the writer lends a hand itself. Only when all of the log is in the file it begins anew, and
/// without a pause of the writer that may never be.
const WRITER_HELPS_AT: i32 = 4000;

/// How often it is written down how far the map has come and, with relaxed durability, the longest time until a commit
/// reaches the disk.
const ROUND: Duration = Duration::from_secs(1);

/// How long reads that are under way are waited for, before what failed is copied again. Nobody else reads meanwhile; where
/// it is not long enough, the next second is another chance.
const READERS_TIMEOUT: Duration = Duration::from_millis(200);

/// The thread that makes checkpoints.
pub(super) struct Checkpoints {
    /// `None` only while closing.
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
    committed: Arc<AtomicU64>,
    copies: Arc<Copies>,
    /// Pages in the log after the writer's last commit.
    logged: Arc<AtomicI32>,
}

/// Copying the log into the file, one at a time.
///
/// A flush that fails is final for what it covered (D29). Of the log that is a commit which is refused: its blocks are given back.
/// Of the file it is what was copied since the last flush: all of the log is copied again, to blocks of which the system
/// knows nothing more, and until that is done and flushed the log does not begin anew, so what was committed is there.
#[derive(Debug)]
pub(super) struct Copies {
    readers: Arc<Readers>,
    /// Whether a flush of the file has failed, and not all of the log was copied and flushed since.
    state: Mutex<State>,
    /// Whether a commit has failed, and what it left in the log is still there.
    is_log_frayed: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// A flush has failed.
    Failed,
    /// What it covered is to be copied again, and that has not been done for all of it.
    Again,
}

impl Copies {
    pub(super) fn new(readers: Arc<Readers>) -> Self {
        Self { readers, state: Mutex::new(State::Sound), is_log_frayed: AtomicBool::new(false) }
    }

    /// Copies what no reader needs in the log any more, waiting for nobody but who copies already; whether that was all of it.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails, or what failed cannot be copied again yet.
    fn copy(&self, connection: &Connection) -> Result<bool> {
        let mut state = self.state();
        if *state == State::Failed {
            self.begin_again()?;
            *state = State::Again;
        }
        let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        match copied {
            Ok((is_busy, logged, copied)) => {
                let is_all = !is_busy && copied >= logged;
                if is_all && *state == State::Again {
                    *state = State::Sound;
                    tracing::info!("all of the log of the metadata file was copied into it again");
                }
                Ok(is_all)
            }
            Err(error) => {
                if !matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
                    *state = State::Failed;
                }
                Err(failed(error))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_again(&self) -> Result<()> {
        let disk = &self.readers.disk;
        disk.forget_cached(true);
        let Some(_nobody) = self.readers.pause(READERS_TIMEOUT) else {
            return Err(Error::unavailable(Subject::Engine, "the metadata is being read without a pause"));
        };
        disk.forget_cached(false);
        disk.distrust_copies().map_err(|e| Error::unavailable(Subject::Engine, e))
    }

    /// Copies all of the log and flushes it before the first commit of a process, and has the log begin anew. It may have been
    /// written by a process whose flush failed: then the system may show what is not on the disk, and commits behind it would
    /// depend on it. Nobody of this process reads yet.
    ///
    /// # Errors
    /// When the disk fails. One that is full is none: whoever starts on it can delete something.
    pub(super) fn settle(&self, connection: &Connection) -> Result<()> {
        let unavailable = |e: io::Error| Error::unavailable(Subject::Engine, e);
        self.readers.disk.distrust_copies().map_err(unavailable)?;
        let busy = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0));
        match busy {
            Ok(false) => return Ok(()),
            Ok(true) => {
                tracing::warn!("the log of the metadata file does not begin anew, because another process reads it");
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                tracing::warn!(%error, "the log of the metadata file does not begin anew");
            }
            Err(error) => return Err(failed(error)),
        }
        *self.state() = State::Again;
        Ok(())
    }

    /// A commit has failed: what it left in the log is not to be built upon.
    pub(super) fn fray(&self) {
        self.is_log_frayed.store(true, Ordering::Release);
    }

    /// At the beginning of a transaction, before it writes anything: gives back what failed ones have left in the log.
    ///
    /// # Errors
    /// `Unavailable` when that cannot be done.
    pub(super) fn trim(&self) -> Result<()> {
        if self.is_log_frayed.load(Ordering::Acquire) {
            self.readers.disk.cut_log().map_err(|e| Error::unavailable(Subject::Engine, e))?;
            self.is_log_frayed.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn distrust(&self) {
        *self.state() = State::Failed;
    }

    fn is_sound(&self) -> bool {
        *self.state() == State::Sound
    }
}

/// What the thread works with.
struct Rounds {
    connection: Connection,
    copies: Arc<Copies>,
    /// The file of the log. SQLite holds no locks on it, so it may be opened and closed.
    log: PathBuf,
    /// Room on the disk for both.
    reserve: Reserve,
    stamp: Arc<Mutex<Stamp>>,
    /// The last version that was committed.
    committed: Arc<AtomicU64>,
    /// The last that a round has dealt with.
    settled: u64,
    durability: Durability,
    before_flush: Option<BeforeFlush>,
    clock: Clock,
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or no thread be started.
    pub(super) fn start(
        path: &Path,
        durability: Durability,
        before_flush: Option<BeforeFlush>,
        stamp: Arc<Mutex<Stamp>>,
        copies: Arc<Copies>,
        clock: Clock,
    ) -> Result<Self> {
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let committed = Arc::<AtomicU64>::default();
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        let reserve = Reserve::new(path, &log);
        reserve.hold();
        let mut rounds = Rounds {
            connection,
            copies: Arc::clone(&copies),
            log,
            reserve,
            stamp,
            committed: Arc::clone(&committed),
            settled: 0,
            durability,
            before_flush,
            clock,
        };
        // One signal waits while a checkpoint runs; more would say the same.
        let (due, signals) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("kv-checkpoint".to_owned())
            .spawn(move || {
                loop {
                    match signals.recv_timeout(ROUND) {
                        Ok(()) => rounds.checkpoint(),
                        Err(RecvTimeoutError::Timeout) => rounds.settle(),
                        Err(RecvTimeoutError::Disconnected) => return rounds.settle(),
                    }
                    rounds.reserve.hold();
                }
            })
            .map_err(|e| Error::unavailable(Subject::Engine, e))?;
        Ok(Self { due: Some(due), thread: Some(thread), rows: 0, committed, copies, logged: Arc::default() })
    }

    /// Has the writer's connection count the pages of the log.
    ///
    /// # Errors
    /// `Unavailable` if it is closed.
    pub(super) fn watch(&self, connection: &mut Connection) -> Result<()> {
        let logged = Arc::clone(&self.logged);
        // In the place of SQLite's own copying, which tells nobody when it fails.
        let hook = move |_: &mut Wal, pages| {
            logged.store(pages, Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(failed)
    }

    /// Copies the log, on the writer's connection and thread, if it has become long.
    pub(super) fn help(&self, connection: &Connection) {
        if self.logged.load(Ordering::Relaxed) >= WRITER_HELPS_AT && note(self.copies.copy(connection)) == Some(true) {
            self.logged.store(0, Ordering::Relaxed);
        }
    }

    /// Counts rows that were committed, the last of them with this version.
    pub(super) fn count(&mut self, rows: usize, version: Option<u64>) {
        if let Some(version) = version {
            self.committed.store(version, Ordering::Release);
        }
        self.rows = self.rows.saturating_add(rows);
        if self.rows >= DUE_AFTER {
            self.rows = 0;
            if let Some(due) = &self.due {
                let _ = due.try_send(());
            }
        }
    }
}

impl Rounds {
    /// Moves what no reader needs in the log any more, waiting for nobody.
    fn checkpoint(&mut self) {
        let committed = self.committed.load(Ordering::Acquire);
        if self.durability == Durability::Relaxed
            && let Some(before) = &self.before_flush
        {
            // A checkpoint flushes the log first. The blobs that it names come before, also when they come late.
            (before.0)();
        }
        if note(self.copies.copy(&self.connection)).is_none() {
            return;
        }
        // A checkpoint that a reader holds up does not flush the log.
        if self.durability == Durability::Relaxed
            && let Err(error) = File::open(&self.log).and_then(|log| log.sync_data())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the log of the metadata file could not be flushed");
            self.copies.distrust();
            return;
        }
        // With full durability each commit has been flushed, or was refused. Else it may depend on what a failed flush covered.
        if self.durability == Durability::Full || self.copies.is_sound() {
            self.stamp(committed);
        }
    }

    /// What a second leaves to do.
    fn settle(&mut self) {
        if !self.copies.is_sound() {
            return self.checkpoint();
        }
        let committed = self.committed.load(Ordering::Acquire);
        if committed == self.settled {
            return;
        }
        match self.durability {
            Durability::Full => self.stamp(committed),
            Durability::Relaxed => self.checkpoint(),
        }
    }

    /// Everything up to this version is on disk.
    fn stamp(&mut self, version: u64) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        match stamp.advance(version, self.clock.now_ms()) {
            Ok(()) => self.settled = version,
            Err(error) => tracing::warn!(%error, "how far the metadata has come could not be written down"),
        }
    }
}

/// What copying came to, if it did not fail; a failure is logged.
fn note(copied: Result<bool>) -> Option<bool> {
    copied.inspect_err(|error| tracing::warn!(%error, "the log of the metadata file could not be moved into it")).ok()
}

impl Drop for Checkpoints {
    /// Waits for the last one, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use rusqlite::params;

    use super::super::disk::Disk;
    use super::super::layout;
    use super::*;

    fn add(connection: &Connection, ids: std::ops::Range<i64>) {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for id in ids {
            connection.execute("INSERT INTO large (id, v) VALUES (?1, ?2)", params![id, vec![7_u8; 3000]]).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }

    /// What a copy of the file without its log holds; `None` if it is damaged.
    fn alone(path: &Path, root: &Path) -> Option<i64> {
        let copy = root.join("copy");
        std::fs::write(&copy, std::fs::read(path).unwrap()).unwrap();
        let connection = Connection::open(&copy).unwrap();
        let look = |sql| connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).ok();
        let is_sound = look("PRAGMA integrity_check")? == rusqlite::types::Value::from("ok".to_owned());
        connection.query_row("SELECT count(*) FROM large", [], |row| row.get(0)).ok().filter(|_| is_sound)
    }

    /// A round that a reader holds up copies pages and flushes nothing. Then the disk drops them and says so at the flush of
    /// the next round, and the one after that succeeds.
    #[test]
    fn d29_what_a_failed_flush_of_the_file_covered_is_copied_again() {
        for is_told in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("map");
            let writer = layout::open(&path, Durability::Full, false).unwrap();
            writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
            let readers = Arc::new(Readers::new(&path, Disk::open(&path).unwrap(), 2, 4));
            let copies = Copies::new(Arc::clone(&readers));
            copies.settle(&writer).unwrap();
            let before = std::fs::read(&path).unwrap();
            add(&writer, 0..50);
            let reader = Connection::open(&path).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM large").unwrap();
            reader.query_row("SELECT count(*) FROM large", [], |row| row.get::<_, i64>(0)).unwrap();
            add(&writer, 50..100);
            assert!(!copies.copy(&writer).unwrap(), "a reader is in the way");
            // Never closed: that would end the locks of SQLite.
            let file = std::mem::ManuallyDrop::new(File::options().write(true).open(&path).unwrap());
            assert!(file.metadata().unwrap().len() > before.len() as u64, "something was copied");
            file.set_len(before.len() as u64).unwrap();
            file.write_all_at(&before, 0).unwrap();
            if is_told {
                copies.distrust();
            }
            reader.execute_batch("ROLLBACK").unwrap();
            assert!(copies.copy(&writer).unwrap());
            assert!(copies.is_sound());
            assert_eq!(alone(&path, root.path()) == Some(100), is_told, "SQLite alone copies only the rest");
        }
    }

    #[test]
    fn d29_what_a_failed_commit_left_in_the_log_is_given_back() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("map");
        let writer = layout::open(&path, Durability::Full, false).unwrap();
        writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let readers = Arc::new(Readers::new(&path, Disk::open(&path).unwrap(), 2, 4));
        let copies = Copies::new(readers);
        add(&writer, 0..50);
        let log = root.path().join("map-wal");
        let len = std::fs::metadata(&log).unwrap().len();
        // As much as a commit that failed would leave, and the blocks that are held in reserve.
        File::options().write(true).open(&log).unwrap().set_len(len + 100_000).unwrap();
        copies.trim().unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), len + 100_000, "none has failed");
        copies.fray();
        copies.trim().unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), len, "all that was acknowledged, and nothing else");
        add(&writer, 50..60);
        // Of a log that has begun anew, what is left of the one before does not count.
        copies.settle(&writer).unwrap();
        add(&writer, 60..61);
        copies.fray();
        copies.trim().unwrap();
        assert!(std::fs::metadata(&log).unwrap().len() < len / 2);
        add(&writer, 61..70);
        assert!(copies.copy(&writer).unwrap());
        assert_eq!(alone(&path, root.path()), Some(70));
    }

    #[test]
    fn nobody_reads_during_a_pause() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("map");
        let _writer = layout::open(&path, Durability::Full, false).unwrap();
        let readers = Readers::new(&path, Disk::open(&path).unwrap(), 2, 4);
        let one = readers.take().unwrap();
        assert!(readers.pause(Duration::from_millis(20)).is_none(), "somebody reads");
        std::thread::scope(|scope| {
            let paused = scope.spawn(|| readers.pause(Duration::from_secs(60)).is_some());
            readers.put_back(one);
            assert!(paused.join().unwrap());
        });
        readers.put_back(readers.take().unwrap());
    }
}
