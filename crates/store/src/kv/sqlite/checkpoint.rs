//! Moves what was committed from the log into the file, beside the writer, which would otherwise stand still for it, and
//! writes down how far the map has come.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::reserve::Reserve;
use super::stamp::Stamp;
use super::{BUSY, BeforeFlush, Durability, failed};
use crate::clock::Clock;
use crate::error::{Error, Result, Subject};

/// Rows that are written between two checkpoints; each dirties a page of 8 KiB at most times.
const DUE_AFTER: usize = 500;

/// Pages in the log at which the writer lends a hand itself. Only when all of the log is in the file it begins anew, and
/// without a pause of the writer that may never be.
pub(super) const WRITER_HELPS_AT: u32 = 4000;

/// How often it is written down how far the map has come and, with relaxed durability, the longest time until a commit
/// reaches the disk.
const ROUND: Duration = Duration::from_secs(1);

/// The thread that makes checkpoints.
pub(super) struct Checkpoints {
    /// `None` only while closing.
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
    committed: Arc<AtomicU64>,
}

/// What the thread works with.
struct Rounds {
    connection: Connection,
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
        Ok(Self { due: Some(due), thread: Some(thread), rows: 0, committed })
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
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the log of the metadata file could not be moved into it");
            return;
        }
        // A checkpoint that a reader holds up does not flush the log.
        if self.durability == Durability::Relaxed
            && let Err(error) = File::open(&self.log).and_then(|log| log.sync_data())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the log of the metadata file could not be flushed");
            return;
        }
        self.stamp(committed);
    }

    /// What a second leaves to do.
    fn settle(&mut self) {
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

impl Drop for Checkpoints {
    /// Waits for the last one, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
