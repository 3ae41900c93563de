//! The directories of the store: their names, and how much of them is known to be on disk.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::blob::BlobId;

/// Directories that hold files: the last three hex digits of an id.
pub(super) const SHARDS: usize = 1 << 12;

/// What the name of an unfinished blob ends in.
pub(super) const PART: &str = ".part";

/// The directories below one root.
#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    shards: Vec<Shard>,
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

impl Directories {
    /// Those below `root`, which are made as far as every store has them. Blocks while it touches the disk.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        make_upper_directories(root)?;
        let mut shards = Vec::new();
        shards.resize_with(SHARDS, Shard::default);
        Ok(Self { root: root.to_owned(), shards })
    }

    pub(super) fn directory(&self, shard: usize) -> PathBuf {
        self.root.join(format!("{:x}", (shard >> 8) & 0xf)).join(format!("{:02x}", shard & 0xff))
    }

    /// Where everything is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of an id.
    pub(super) fn of(&self, id: BlobId) -> PathBuf {
        self.directory(shard_of(id))
    }

    pub(super) fn finished(&self, id: BlobId) -> PathBuf {
        self.directory(shard_of(id)).join(id.to_string())
    }

    pub(super) fn part(&self, id: BlobId) -> PathBuf {
        self.directory(shard_of(id)).join(format!("{id}{PART}"))
    }

    fn shard(&self, id: BlobId) -> Option<&Shard> {
        self.shards.get(shard_of(id))
    }

    /// Makes the directory of an id, durably: its own directory must not vanish with the files in it. One that is there
    /// may have been made just before a crash, so it is flushed once in each life of the process. A flush that failed
    /// says nothing when it is asked again (D29), so what was new is unmade and made again next time.
    pub(super) fn make(&self, id: BlobId) -> io::Result<()> {
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
    pub(super) fn sync_renames(&self, id: BlobId) -> io::Result<()> {
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

    /// Flushes everything on the filesystem of the store.
    pub(super) fn sync_filesystem(&self) -> io::Result<()> {
        let root = File::open(&self.root)?;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&root)?;
        #[cfg(not(target_os = "linux"))]
        root.sync_all()?;
        Ok(())
    }

    /// Whether the directory of an id is known to be there.
    pub(super) fn is_made(&self, id: BlobId) -> bool {
        self.shard(id).is_none_or(|shard| shard.is_made.load(Ordering::Acquire))
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

/// The number of the directory of an id.
pub(super) fn shard_of(id: BlobId) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
