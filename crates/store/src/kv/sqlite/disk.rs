//! Tells a disk that cannot be read from a file that is damaged. SQLite says "malformed" for both: it takes EIO for a
//! sign of a damaged file system and passes it on as a damaged database.
//!
//! And takes back what SQLite believes to be on a disk that has said it is not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result, Subject};

/// How long a verdict holds: reading a whole file costs something.
const HOLDS: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 1 << 20;

/// The layout of the index of the log, which is in the file `-shm` (sqlite.org/walformat.html, 2): the version of the layout,
/// the size of a page, how many pages the log has, and how many of them have been copied into the file.
const INDEX_VERSION: u32 = 3_007_000;
const PAGE_SIZE_AT: u64 = 14;
const LOGGED_AT: u64 = 16;
const COPIED_AT: u64 = 96;
/// What the log has before its pages, and before each of them.
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: u64 = 24;

/// The file of the map and the index of its log, to be used beside SQLite. They stay open as long as SQLite has them open:
/// closing any descriptor of a file ends the locks that this process has on it (fcntl, "record locks").
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    index: File,
    log: PathBuf,
    verdict: Mutex<Option<(Instant, bool)>>,
}

impl Disk {
    /// Opens both. SQLite has them open already.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let index = File::options().read(true).write(true).open(beside("-shm"))?;
        Ok(Self { file: File::open(path)?, index, log: beside("-wal"), verdict: Mutex::default() })
    }

    /// Makes SQLite copy all of the log into the file again, and read pages from the log until that is done.
    ///
    /// Pages that were copied are no longer in anybody's way when a flush of the file fails: SQLite copies only the others
    /// again, and the flush after that succeeds. But what the failed flush did not write, the system may have dropped. The log
    /// has it all until it begins anew, which it does only when everything was copied and flushed. Nobody may copy meanwhile.
    ///
    /// # Errors
    /// When the index cannot be changed, or is laid out in another way than that of the SQLite that this is linked to.
    pub(super) fn distrust_copies(&self) -> io::Result<()> {
        self.look_at_index()?;
        // Less than there was is right at any time: a reader then finds the same page in the log.
        self.index.write_all_at(&0_u32.to_ne_bytes(), COPIED_AT)
    }

    /// Has the system forget what it holds of the file, and with it that it had found places on the disk for blocks which it
    /// then could not write: ext4 would write such blocks again and not note that they have been written. Whoever reads from the
    /// file meanwhile, not from the log, may see what was there before. Blocks as long as a flush takes.
    pub(super) fn forget_cached(&self, flush: bool) {
        if flush {
            let _ = self.file.sync_data();
        }
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// The same for the log of the map at `path`, and whether it has anything. SQLite holds no locks on it, so it may be opened
    /// and closed.
    pub(super) fn forget_cached_log(path: &Path) -> bool {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let Ok(log) = File::open(PathBuf::from(log)) else { return false };
        let _ = log.sync_data();
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&log, 0, None, rustix::fs::Advice::DontNeed);
        log.metadata().is_ok_and(|log| log.len() > 0)
    }

    /// Gives back what the log has behind the last page that counts: blocks of commits whose flush failed. New ones will take
    /// their place. To be called by whoever has the right to write, before anything of a transaction is written.
    ///
    /// # Errors
    /// When the disk fails, or the index is laid out in another way.
    pub(super) fn cut_log(&self) -> io::Result<()> {
        self.look_at_index()?;
        let (mut size, mut pages) = ([0; 2], [0; 4]);
        self.index.read_exact_at(&mut size, PAGE_SIZE_AT)?;
        self.index.read_exact_at(&mut pages, LOGGED_AT)?;
        // A page of 64 KiB does not fit into its field.
        let size = match u16::from_ne_bytes(size) {
            1 => 1 << 16,
            size => u64::from(size),
        };
        let pages = u64::from(u32::from_ne_bytes(pages));
        let len = if pages == 0 { 0 } else { LOG_HEAD + pages * (FRAME_HEAD + size) };
        let log = File::options().write(true).open(&self.log)?;
        if log.metadata()?.len() >= len { log.set_len(len) } else { Ok(()) }
    }

    fn look_at_index(&self) -> io::Result<()> {
        let mut version = [0; 4];
        self.index.read_exact_at(&mut version, 0)?;
        if u32::from_ne_bytes(version) == INDEX_VERSION {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, "the index of the log has another layout"))
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
