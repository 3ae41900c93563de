//! Large writes that go past the page cache, from memory that is used again.
//!
//! A write through the page cache copies every byte into a page that is new to the file, and leaves it to be written a
//! second time. For bytes that come faster than anybody watches them, that costs several times what receiving them
//! does. A direct write needs an offset, a length and an address that are whole blocks, so bytes are gathered in runs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What offset, length and address of a direct write are multiples of. Blocks of filesystems and devices are rarely
/// larger; where they are, the first write is refused and the store goes on without.
pub(super) const BLOCK: usize = 4 << 10;

/// Bytes of a full run: enough that handing it to another thread and the device's answer cost little beside them.
pub(super) const RUN: usize = 512 << 10;

/// The least that is written directly when a run ends early.
const MIN_DIRECT: usize = 64 << 10;

/// Runs that are kept for the next writer.
const MAX_SPARE: usize = 8;

/// Bytes on their way to a file, at an address that a direct write accepts.
pub(super) struct Run {
    memory: Vec<u8>,
    /// Where the first block begins in `memory`.
    start: usize,
    len: usize,
}

impl Run {
    fn new() -> Self {
        let memory = vec![0; RUN + BLOCK];
        // The memory never grows, so it stays where it is.
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { memory, start, len: 0 }
    }

    /// Copies as much of the front of `bytes` as there is room for and returns how much that was.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let room = self.memory.get_mut(self.start + self.len..self.start + RUN).unwrap_or_default();
        let count = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..count), bytes.get(..count)) {
            room.copy_from_slice(bytes);
        }
        self.len += count;
        count
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == RUN
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// Writes the run at `offset`, a multiple of a block: whole blocks through `direct` if they are worth it, the rest
    /// through `cached`. So no block is ever written both ways, and neither way has to wait for the other.
    pub(super) fn write(&self, direct: &File, cached: &File, offset: u64, runs: &Runs) -> io::Result<()> {
        let bytes = self.bytes();
        let whole = if self.len < MIN_DIRECT || !runs.is_on() { 0 } else { self.len - self.len % BLOCK };
        let (blocks, rest) = bytes.split_at_checked(whole).unwrap_or((&[], bytes));
        if !blocks.is_empty()
            && let Err(error) = direct.write_all_at(blocks, offset)
        {
            if !is_refusal(&error) {
                return Err(error);
            }
            runs.turn_off();
            cached.write_all_at(blocks, offset)?;
        }
        cached.write_all_at(rest, offset.saturating_add(blocks.len() as u64))
    }
}

/// Whether a filesystem says with an error that it has no direct writes, at least not such.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// The runs of a store that nobody uses, and whether its filesystem takes direct writes at all.
pub(super) struct Runs {
    spare: Mutex<Vec<Run>>,
    is_on: AtomicBool,
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

impl Runs {
    /// For files below `root`, which must be there.
    pub(super) fn new(root: &Path) -> Self {
        Self { spare: Mutex::default(), is_on: AtomicBool::new(is_on_a_device(root)) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// From here on every write of the store goes through the page cache.
    pub(super) fn turn_off(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }

    /// An empty run.
    pub(super) fn take(&self) -> Run {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(Run::new)
    }

    /// Takes back what is not needed any more.
    pub(super) fn put(&self, mut run: Run) {
        run.len = 0;
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MAX_SPARE {
            spare.push(run);
        }
    }

    /// Opens a file a second time, for direct writes; `None` where there are none, which is no error.
    pub(super) fn open(&self, path: &Path) -> Option<File> {
        if !self.is_on() {
            return None;
        }
        match open(path) {
            Ok(file) => Some(file),
            Err(error) => {
                if is_refusal(&error) {
                    self.turn_off();
                }
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(target_os = "linux"))]
fn open(_path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Filesystems that are nothing but page cache accept direct writes and gain nothing by them.
#[cfg(target_os = "linux")]
#[allow(clippy::useless_conversion, reason = "the type of f_type differs between architectures")]
fn is_on_a_device(root: &Path) -> bool {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    rustix::fs::statfs(root).is_ok_and(|found| i64::try_from(found.f_type) != Ok(TMPFS_MAGIC))
}

#[cfg(not(target_os = "linux"))]
fn is_on_a_device(_root: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_at_a_block_and_takes_no_more_than_fits() {
        let mut run = Run::new();
        assert_eq!(run.fill(b""), 0);
        assert_eq!(run.fill(b"abc"), 3);
        assert_eq!(run.fill(&vec![b'd'; RUN]), RUN - 3);
        assert!(run.is_full());
        assert_eq!(run.fill(b"e"), 0);
        let bytes = run.bytes();
        assert_eq!((bytes.as_ptr().align_offset(BLOCK), bytes.len()), (0, RUN));
        assert_eq!(bytes.get(..4), Some(&b"abcd"[..]));
        assert_eq!(bytes.last(), Some(&b'd'));
    }

    #[test]
    fn a_run_is_written_where_direct_writes_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, "").unwrap();
        let runs = Runs { spare: Mutex::default(), is_on: AtomicBool::new(true) };
        let cached = File::options().read(true).write(true).open(&path).unwrap();
        let mut run = runs.take();
        run.fill(&vec![7; MIN_DIRECT + 5]);
        // Open for direct writes, a file refuses an offset that is no whole block.
        if let Some(direct) = runs.open(&path) {
            run.write(&direct, &cached, 1, &runs).unwrap();
            assert_eq!(std::fs::read(&path).unwrap().get(1..), Some(&vec![7; MIN_DIRECT + 5][..]));
        }
        run.write(&cached, &cached, 0, &runs).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().get(..MIN_DIRECT + 5), Some(&vec![7; MIN_DIRECT + 5][..]));
        // A file that is not open for writing fails for good.
        runs.is_on.store(true, Ordering::Relaxed);
        assert!(run.write(&File::open(&path).unwrap(), &cached, 0, &runs).is_err());
    }
}
