//! Large writes that go past the page cache, from memory that is used again.
//!
//! A write through the page cache copies every byte into a page that is new to the file, and leaves it to be written a
//! second time. For bytes that come faster than anybody watches them, that costs several times what receiving them
//! does. A direct write needs an offset, a length and an address that are whole blocks, so bytes are gathered in runs:
//! those that lie in memory as the file will have them are kept as they are, all others are copied to such a place.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// What offset, length and address of a direct write are multiples of. Blocks of filesystems and devices are rarely
/// larger; where they are, the first write is refused and the store goes on without.
pub(super) const BLOCK: usize = 4 << 10;

/// Bytes of a full run: enough that handing it to another thread and the device's answer cost little beside them.
pub(super) const RUN: usize = 1 << 20;

/// The least that is worth keeping where it is: each kept piece is one more part of the write.
const MIN_KEPT: usize = 32 << 10;

/// The least that is written directly when a run ends early.
const MIN_DIRECT: usize = 64 << 10;

/// Runs that are kept for the next writer.
const MAX_SPARE: usize = 4;

/// Bytes on their way to a file, at addresses that a direct write accepts.
pub(super) struct Run {
    /// Room for every byte of the run at its place, but for those that are kept elsewhere.
    memory: Vec<u8>,
    /// Where the first block begins in `memory`.
    start: usize,
    len: usize,
    /// Whole blocks that lie elsewhere, and their places in the run, rising.
    kept: Vec<(usize, Bytes)>,
}

impl Run {
    fn new() -> Self {
        let memory = vec![0; RUN + BLOCK];
        // The memory never grows, so it stays where it is.
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { memory, start, len: 0, kept: Vec::new() }
    }

    /// Takes as much of the front of `bytes` as there is room for and returns how much that was.
    pub(super) fn fill(&mut self, bytes: &Bytes) -> usize {
        let count = bytes.len().min(RUN - self.len);
        let end = self.len + count;
        let address = bytes.as_ptr().addr();
        let head = (BLOCK - self.len % BLOCK) % BLOCK;
        let blocks = count.saturating_sub(head) / BLOCK * BLOCK;
        if blocks < MIN_KEPT || address % BLOCK != self.len % BLOCK {
            self.copy(bytes.get(..count).unwrap_or_default());
            return count;
        }
        self.copy(bytes.get(..head).unwrap_or_default());
        self.kept.push((self.len, bytes.slice(head..head + blocks)));
        self.len += blocks;
        self.copy(bytes.get(head + blocks..count).unwrap_or_default());
        debug_assert_eq!(self.len, end);
        count
    }

    fn copy(&mut self, bytes: &[u8]) {
        let room = self.memory.get_mut(self.start + self.len..self.start + RUN).unwrap_or_default();
        if let Some(room) = room.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.len += bytes.len();
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == RUN
    }

    /// The bytes from `from` to `to` of the run, in as many parts as they lie in.
    fn parts(&self, from: usize, to: usize) -> Vec<IoSlice<'_>> {
        let mut parts = Vec::with_capacity(2 * self.kept.len() + 1);
        let mut at = from;
        let copied = |from: usize, to: usize| self.memory.get(self.start + from..self.start + to).unwrap_or_default();
        for (place, kept) in &self.kept {
            let end = (place + kept.len()).min(to);
            if end <= at {
                continue;
            }
            if *place > at {
                parts.push(IoSlice::new(copied(at, *place)));
            }
            parts.push(IoSlice::new(kept.get(at.max(*place) - place..end - place).unwrap_or_default()));
            at = end;
        }
        if to > at {
            parts.push(IoSlice::new(copied(at, to)));
        }
        parts
    }

    /// Writes the run at `offset`, a multiple of a block: whole blocks through `direct` if they are worth it, the rest
    /// through `cached`. So no block is ever written both ways, and neither way has to wait for the other.
    pub(super) fn write(&self, direct: &File, cached: &File, offset: u64, runs: &Runs) -> io::Result<()> {
        let whole = if self.len < MIN_DIRECT || !runs.is_on() { 0 } else { self.len - self.len % BLOCK };
        if whole > 0
            && let Err(error) = write_parts(direct, &mut self.parts(0, whole), offset)
        {
            if !is_refusal(&error) {
                return Err(error);
            }
            runs.turn_off();
            write_parts(cached, &mut self.parts(0, whole), offset)?;
        }
        write_parts(cached, &mut self.parts(whole, self.len), offset.saturating_add(whole as u64))
    }
}

/// Writes all of `parts` one behind the other from `offset` on.
fn write_parts(file: &File, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    if let [part] = parts {
        return file.write_all_at(part, offset);
    }
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let written = write_some(file, parts, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset = offset.saturating_add(written as u64);
        IoSlice::advance_slices(&mut parts, written);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn write_some(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwritev(file, parts, offset) {
            Err(rustix::io::Errno::INTR) => {}
            written => return Ok(written?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn write_some(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    match parts.first() {
        Some(part) => file.write_at(part, offset),
        None => Ok(0),
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
        run.kept.clear();
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

/// Opens a file to read it past the page cache; `None` where that does not work, which is no error.
#[cfg(target_os = "linux")]
pub(super) fn open_to_read(path: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_to_read(_path: &Path) -> Option<File> {
    None
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

    fn flat(run: &Run, from: usize, to: usize) -> Vec<u8> {
        run.parts(from, to).iter().flat_map(|part| part.to_vec()).collect()
    }

    /// `length` bytes whose address lies `place` bytes behind a block.
    fn placed(place: usize, length: usize, first: u8) -> Bytes {
        let whole = Bytes::from(vec![0; length + 2 * BLOCK]);
        let start = (BLOCK + place - whole.as_ptr().addr() % BLOCK) % BLOCK;
        let mut bytes = Vec::from(whole);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (index.wrapping_sub(start) as u8).wrapping_mul(31).wrapping_add(first);
        }
        Bytes::from(bytes).slice(start..start + length)
    }

    #[test]
    fn a_run_begins_at_a_block_and_takes_no_more_than_fits() {
        let mut run = Run::new();
        assert_eq!(run.fill(&Bytes::new()), 0);
        assert_eq!(run.fill(&Bytes::from_static(b"abc")), 3);
        assert_eq!(run.fill(&Bytes::from(vec![b'd'; RUN])), RUN - 3);
        assert!(run.is_full());
        assert_eq!(run.fill(&Bytes::from_static(b"e")), 0);
        let bytes = flat(&run, 0, RUN);
        assert_eq!((bytes.len(), bytes.get(..4), bytes.last()), (RUN, Some(&b"abcd"[..]), Some(&b'd')));
    }

    #[test]
    fn bytes_that_lie_well_are_not_copied() {
        let mut run = Run::new();
        let mut expected = Vec::new();
        for (length, first) in [(100_000, 1), (300_001, 2), (5_000, 3), (90_000, 4), (RUN, 5)] {
            let bytes = placed(run.len() % BLOCK, length, first);
            let taken = run.fill(&bytes);
            expected.extend_from_slice(&bytes[..taken]);
        }
        assert_eq!((run.kept.len(), run.len()), (4, RUN));
        for (from, to) in [(0, RUN), (0, 8192), (4096, 200_704), (401_408, 405_504), (98_304, RUN)] {
            assert_eq!(flat(&run, from, to), expected[from..to], "{from}..{to}");
            // What a direct write wants of every part.
            assert!(run.parts(from, to).iter().all(|p| p.as_ptr().addr() % BLOCK == 0 && p.len() % BLOCK == 0));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let runs = Runs { spare: Mutex::default(), is_on: AtomicBool::new(true) };
        let direct = runs.open(file.path());
        run.write(direct.as_ref().unwrap_or(file.as_file()), file.as_file(), 8192, &runs).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap().get(8192..), Some(&expected[..]));
    }

    #[test]
    fn a_run_is_written_where_direct_writes_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, "").unwrap();
        let runs = Runs { spare: Mutex::default(), is_on: AtomicBool::new(true) };
        let cached = File::options().read(true).write(true).open(&path).unwrap();
        let mut run = runs.take();
        run.fill(&Bytes::from(vec![7; MIN_DIRECT + 5]));
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
