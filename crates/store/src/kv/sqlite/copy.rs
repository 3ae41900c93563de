//! A copy of a map that another process may be changing meanwhile.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{BUSY, failed};
use crate::error::{Error, Result, Subject};

/// Pause before another try when the file is locked for a moment.
const PAUSE: Duration = Duration::from_millis(20);

/// Copies the map at `from` to the new file `to`, as of one commit, with SQLite's online backup. Whoever writes to the map
/// goes on meanwhile; its log grows until the copy is made, because a reader needs it. The copy is durable, its name not
/// yet. Blocks.
///
/// # Errors
/// `Unavailable` if a file cannot be opened or written, `Corrupt` if the map is damaged.
pub fn copy_map(from: &Path, to: &Path) -> Result<()> {
    // Reading a log needs the index beside it, which whoever opens it first makes. Nothing else is written here.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(failed)?;
    source.busy_timeout(BUSY).map_err(failed)?;
    let mut target = Connection::open(to).map_err(failed)?;
    // A copy that is cut off is thrown away, so it needs neither a journal nor flushes on the way.
    target.pragma_update(None, "journal_mode", "OFF").map_err(failed)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    {
        let backup = Backup::new(&source, &mut target).map_err(failed)?;
        let deadline = Instant::now() + BUSY;
        // All pages in one step: between two steps commits of others would make it begin anew, without an end in sight.
        loop {
            match backup.step(-1).map_err(failed)? {
                StepResult::Done => break,
                _ if Instant::now() >= deadline => {
                    return Err(Error::unavailable(Subject::Engine, format!("{} stays locked", from.display())));
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
    }
    target.close().map_err(|(_, error)| failed(error))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|e| Error::unavailable(Subject::Engine, e))
}
