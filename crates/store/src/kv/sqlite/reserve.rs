//! Room on the disk that belongs to the map: blocks behind the end of its file and of its log. On a disk that is full
//! deletions and the ends of segments still find room for their commits, and nobody else can take it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// What is kept for each of the two at most; the log begins anew after about half of it.
const MOST: u64 = 8 << 20;
/// The part of the file system that is kept for each at most.
const SHARE: u64 = 64;

/// The files that room is kept for.
#[derive(Debug)]
pub(super) struct Reserve {
    /// It stays open as long as SQLite has it open: closing any descriptor of a file ends the locks that this process has
    /// on it (fcntl, "record locks"). `None` where it cannot be had.
    file: Option<File>,
    /// The log. SQLite holds no locks on it, so it may be opened and closed.
    log: PathBuf,
}

impl Reserve {
    pub(super) fn new(file: &Path, log: &Path) -> Self {
        Self { file: OpenOptions::new().write(true).open(file).ok(), log: log.to_owned() }
    }

    /// Takes what is missing, as far as there is room. Where the file system has no such blocks nothing is kept.
    pub(super) fn hold(&self) {
        #[cfg(target_os = "linux")]
        {
            let log = OpenOptions::new().write(true).open(&self.log).ok();
            for file in [self.file.as_ref(), log.as_ref()].into_iter().flatten() {
                if let Err(error) = hold_behind(file) {
                    tracing::debug!(%error, "no room is kept for the map");
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn hold_behind(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

    let metadata = file.metadata()?;
    let (end, allocated) = (metadata.len(), metadata.blocks().saturating_mul(512));
    let system = fstatvfs(file)?;
    let wanted = (system.f_blocks.saturating_mul(system.f_frsize) / SHARE).min(MOST);
    // Growing by every commit would be a system call for each.
    if allocated >= end.saturating_add(wanted / 4 * 3) {
        return Ok(());
    }
    fallocate(file, FallocateFlags::KEEP_SIZE, end, wanted)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_kept_behind_the_end() {
        let root = tempfile::tempdir().unwrap();
        let (file, log) = (root.path().join("map"), root.path().join("log"));
        std::fs::write(&file, [1; 5000]).unwrap();
        std::fs::write(&log, [2; 5000]).unwrap();
        let reserve = Reserve::new(&file, &log);
        reserve.hold();
        reserve.hold();
        for path in [file, log] {
            let metadata = std::fs::metadata(path).unwrap();
            assert_eq!(metadata.len(), 5000, "the length stays");
            let allocated = metadata.blocks() * 512;
            assert!((1 << 16..=MOST + (1 << 20)).contains(&allocated), "{allocated}");
        }
    }
}
