//! Tells a disk that cannot be read from a file that is damaged. SQLite says "malformed" for both: it takes EIO for a
//! sign of a damaged file system and passes it on as a damaged database.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result, Subject};

/// How long a verdict holds: reading a whole file costs something.
const HOLDS: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 1 << 20;

/// The file of the map, to be read beside SQLite. It stays open as long as SQLite has it open: closing any descriptor of a
/// file ends the locks that this process has on it (fcntl, "record locks").
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    verdict: Mutex<Option<(Instant, bool)>>,
}

impl Disk {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, verdict: Mutex::default() })
    }

    /// The same error, or `Unavailable` where the disk is to blame. Blocks while it reads the file.
    pub(super) fn judge(&self, error: Error) -> Error {
        if error.kind != ErrorKind::Corrupt || error.subject != Subject::Engine || self.can_be_read() {
            return error;
        }
        Error::unavailable(
            Subject::Engine,
            format!("the disk cannot be read, which SQLite takes for: {}", error.detail),
        )
    }

    /// What a read came to, judged.
    pub(super) fn judged<T>(&self, read: Result<T>) -> Result<T> {
        read.map_err(|error| self.judge(error))
    }

    fn can_be_read(&self) -> bool {
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, can_be_read)) = *verdict
            && since.elapsed() < HOLDS
        {
            return can_be_read;
        }
        let can_be_read = self.read_all().is_ok();
        *verdict = Some((Instant::now(), can_be_read));
        can_be_read
    }

    fn read_all(&self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut at = 0;
        loop {
            match self.file.read_at(&mut buffer, at) {
                Ok(0) => return Ok(()),
                Ok(read) => at += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
