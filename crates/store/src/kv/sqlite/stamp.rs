//! A small file beside the map that says how far it had come: a map that is behind it has lost commits.
//!
//! SQLite takes what it finds: a log that was cut off, or a file from an old backup, opens without a word and is only older than
//! it should be. So the last version is written down about once a second, after it is on disk:
//!
//! ```text
//! "mpndstmp"                                          8
//! last version that is on disk                        8
//! when that was, Unix milliseconds                    8
//! version of a map that was found to be behind, or 0  8
//! version that it should have had                     8
//! CRC-32C of all before                               4
//! ```
//!
//! Numbers are little-endian. It is one sector, written in place. One that cannot be read says nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, checksum};

const MAGIC: &[u8; 8] = b"mpndstmp";
const LEN: usize = 44;

/// Commits that a map has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    /// Its last version when that was found out.
    pub(super) found: u64,
    /// The version it had had.
    pub(super) expected: u64,
}

/// How far a map has come.
#[derive(Debug)]
pub(super) struct Stamp {
    file: File,
    last: u64,
    at_ms: i64,
    loss: Option<Loss>,
}

/// The name of the file beside the map at `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-stamp");
    name.into()
}

impl Stamp {
    /// Opens the stamp of the map at `path`, whose last version is `last`, and notes it if the map is behind. Blocks.
    pub(super) fn open(path: &Path, last: u64, now_ms: i64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(beside(path))?;
        let mut bytes = [0; LEN];
        let kept = match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            read => read.map(|()| parse(&bytes))?,
        };
        let (kept_last, at_ms, loss) = kept.unwrap_or((0, 0, None));
        let mut stamp = Self { file, last: kept_last.min(last), at_ms, loss };
        if kept_last > last {
            let before = stamp.loss.unwrap_or(Loss { found: last, expected: kept_last });
            stamp.loss = Some(Loss { found: before.found.min(last), expected: before.expected.max(kept_last) });
            stamp.write(last, now_ms)?;
        } else {
            stamp.advance(last, now_ms)?;
        }
        Ok(stamp)
    }

    /// Notes that everything up to the version `last` is on disk.
    pub(super) fn advance(&mut self, last: u64, now_ms: i64) -> io::Result<()> {
        if last <= self.last {
            return Ok(());
        }
        self.write(last, now_ms)
    }

    /// What the map has lost.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Forgets what was lost, which somebody has heard of.
    pub(super) fn forget_loss(&mut self) -> io::Result<()> {
        self.loss = None;
        self.write(self.last, self.at_ms)
    }

    fn write(&mut self, last: u64, now_ms: i64) -> io::Result<()> {
        let loss = self.loss.unwrap_or(Loss { found: 0, expected: 0 });
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&last.to_le_bytes());
        bytes.extend_from_slice(&now_ms.to_le_bytes());
        bytes.extend_from_slice(&loss.found.to_le_bytes());
        bytes.extend_from_slice(&loss.expected.to_le_bytes());
        let sum = sum(&bytes);
        bytes.extend_from_slice(&sum);
        self.file.write_all_at(&bytes, 0)?;
        self.file.sync_data()?;
        (self.last, self.at_ms) = (last, now_ms);
        Ok(())
    }
}

fn sum(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(0).to_le_bytes()
}

fn parse(bytes: &[u8; LEN]) -> Option<(u64, i64, Option<Loss>)> {
    let (summed, kept) = bytes.split_last_chunk::<4>()?;
    let numbers = summed.strip_prefix(MAGIC).filter(|_| *kept == sum(summed))?;
    let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let (last, at_ms, found, expected) = (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
    Some((last, at_ms.cast_signed(), (expected > 0).then_some(Loss { found, expected })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_is_behind_is_noticed_until_somebody_has_heard_of_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("map");
        let open = |last| Stamp::open(&path, last, 1_000).unwrap();
        assert_eq!(open(7).loss(), None);
        open(7).advance(9, 2_000).unwrap();
        assert_eq!(open(9).loss(), None);
        assert_eq!(open(4).loss(), Some(Loss { found: 4, expected: 9 }));
        // New commits do not hide the loss, and another one adds to it.
        assert_eq!(open(50).loss(), Some(Loss { found: 4, expected: 9 }));
        assert_eq!(open(40).loss(), Some(Loss { found: 4, expected: 50 }));
        open(40).forget_loss().unwrap();
        assert_eq!(open(40).loss(), None);
        assert_eq!(open(39).loss(), Some(Loss { found: 39, expected: 40 }));
    }

    #[test]
    fn a_stamp_that_cannot_be_read_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("map");
        Stamp::open(&path, 9, 1_000).unwrap();
        let bytes = std::fs::read(beside(&path)).unwrap();
        for at in 0..LEN {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(beside(&path), flipped).unwrap();
            assert_eq!(Stamp::open(&path, 4, 1_000).unwrap().loss(), None, "{at}");
        }
    }
}
