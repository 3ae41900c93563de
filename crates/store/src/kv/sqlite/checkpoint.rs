//! Moves what was committed from the log into the file, beside the writer, which would otherwise stand still for it.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{BUSY, failed};
use crate::error::{Error, Result, Subject};

/// Rows that are written between two checkpoints; each dirties a page of 8 KiB at most times.
const DUE_AFTER: usize = 500;

/// Pages in the log at which the writer lends a hand itself. Only when all of the log is in the file it begins anew, and
/// without a pause of the writer that may never be.
pub(super) const WRITER_HELPS_AT: u32 = 4000;

/// The thread that makes checkpoints.
pub(super) struct Checkpoints {
    /// `None` only while closing.
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or no thread be started.
    pub(super) fn start(path: &Path) -> Result<Self> {
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // One signal waits while a checkpoint runs; more would say the same.
        let (due, signals) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("kv-checkpoint".to_owned())
            .spawn(move || signals.iter().for_each(|()| checkpoint(&connection)))
            .map_err(|e| Error::unavailable(Subject::Engine, e))?;
        Ok(Self { due: Some(due), thread: Some(thread), rows: 0 })
    }

    /// Counts rows that were committed.
    pub(super) fn count(&mut self, rows: usize) {
        self.rows = self.rows.saturating_add(rows);
        if self.rows >= DUE_AFTER {
            self.rows = 0;
            if let Some(due) = &self.due {
                let _ = due.try_send(());
            }
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

/// Moves what no reader needs in the log any more, waiting for nobody.
pub(super) fn checkpoint(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the log of the metadata file could not be moved into it");
    }
}
