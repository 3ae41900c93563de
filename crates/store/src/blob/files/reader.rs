//! A blob that is read from its file, from the page cache where that has it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::sums::{self, BLOCK_BYTES, Sums};
use super::{Shared, blocking};
use crate::blob::{BlobDamage, BlobId, BlobReader, FileRange, available};
use crate::error::{Error, Result, Subject};

/// The most bytes that are looked for in the page cache on the calling thread.
const MAX_CACHED_READ: usize = 256 << 10;

/// How far apart the bytes are that stand for all of a range when the page cache is asked for it: the kernel reads ahead
/// and forgets in larger runs.
pub(super) const PROBE_STEP: usize = 128 << 10;

/// Blobs up to this length are verified whole before they are first read in a life of the process, so that an answer can
/// still say that they are damaged. Longer ones are verified block by block while they are read.
const VERIFIED_AT_OPEN: u64 = 1 << 20;

/// A blob that is open.
pub(super) struct FileReader {
    store: Arc<Shared>,
    id: BlobId,
    file: Arc<File>,
    len: u64,
    /// What its bytes are compared with; `None` when they are known to be sound, or there is nothing to compare.
    checked: Option<Checked>,
}

/// Where bytes are compared with their checksums.
struct Checked {
    sums: Arc<Sums>,
    /// Everything before was read here and is sound.
    until: AtomicU64,
}

impl FileReader {
    /// A reader that passes bytes on as they are.
    pub(super) fn new(store: &Arc<Shared>, id: BlobId, file: File, len: u64) -> Self {
        Self { store: Arc::clone(store), id, file: Arc::new(file), len, checked: None }
    }

    /// A reader that compares bytes with their checksums as long as that is needed. Blocks while it reads them.
    pub(super) fn open(store: &Arc<Shared>, id: BlobId) -> io::Result<Self> {
        let opened = store.open(id)?;
        let mut reader = Self::new(store, id, opened.file, opened.len);
        if !opened.is_finished {
            return Ok(reader);
        }
        if !opened.has_sums {
            // There is nothing to compare, in this life or the next.
            store.known.note_sound(id, reader.len);
            return Ok(reader);
        }
        let Some(sums) = sums::read(&reader.file, id, reader.len)? else {
            tracing::warn!(%id, "the checksums of a blob are damaged themselves, so its bytes cannot be verified");
            store.known.note_sound(id, reader.len);
            return Ok(reader);
        };
        if reader.len <= VERIFIED_AT_OPEN {
            let mut bytes = vec![0; usize::try_from(reader.len).unwrap_or(0)];
            reader.file.read_exact_at(&mut bytes, 0)?;
            let damaged = sums.damage(0, &bytes);
            if damaged.is_empty() {
                store.known.note_sound(id, reader.len);
                return Ok(reader);
            }
            store.known.note_damage(id, &damaged);
        }
        reader.checked = Some(Checked { sums: Arc::new(sums), until: AtomicU64::new(0) });
        Ok(reader)
    }

    /// Reads whole blocks and compares them.
    async fn read_checked(&self, checked: &Checked, offset: u64, len: usize) -> Result<Bytes> {
        let block = BLOCK_BYTES as u64;
        let first = offset / block * block;
        let end = offset.saturating_add(len as u64).div_ceil(block).saturating_mul(block).min(self.len);
        let (file, sums) = (Arc::clone(&self.file), Arc::clone(&checked.sums));
        let (bytes, damaged) = blocking(self.id, move || {
            let mut bytes = vec![0; usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, first)?;
            let damaged = sums.damage(first, &bytes);
            Ok((Bytes::from(bytes), damaged))
        })
        .await?;
        if !damaged.is_empty() {
            self.store.known.note_damage(self.id, &damaged);
            return Err(Error::corrupt(Subject::Blob, BlobDamage { blob: self.id, ranges: damaged }));
        }
        if first <= checked.until.load(Ordering::Relaxed) && checked.until.fetch_max(end, Ordering::Relaxed) < end {
            // Everything was read once from front to back.
            if end == self.len {
                self.store.known.note_sound(self.id, self.len);
            }
        }
        let start = usize::try_from(offset.saturating_sub(first)).unwrap_or(0);
        Ok(bytes.slice(start..start.saturating_add(len).min(bytes.len())))
    }
}

#[async_trait]
impl BlobReader for FileReader {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        if let Some(bytes) = self.try_read_at(offset, len) {
            return Ok(bytes);
        }
        let len = available(self.len, offset, len);
        if let Some(checked) = &self.checked {
            return self.read_checked(checked, offset, len).await;
        }
        let file = Arc::clone(&self.file);
        let ahead = available(self.len, offset, len.max(PROBE_STEP));
        blocking(self.id, move || {
            // A short read makes the kernel begin with small pieces in its cache, which they stay: the file is sent from
            // eleven times as many, at a third more of the time in the kernel. So more is read than is wanted, and let go.
            let mut buffer = vec![0; ahead];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(if ahead == len {
                Bytes::from(buffer)
            } else {
                Bytes::copy_from_slice(buffer.get(..len).unwrap_or(&buffer))
            })
        })
        .await
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        let len = available(self.len, offset, len);
        if len == 0 {
            return Some(Bytes::new());
        }
        if self.checked.is_some() || len > MAX_CACHED_READ || !self.store.may_peek.load(Ordering::Relaxed) {
            return None;
        }
        let mut buffer = vec![0; len];
        peek(&self.store, &self.file, offset, &mut buffer).then(|| Bytes::from(buffer))
    }

    fn is_damaged(&self, offset: u64, len: u64) -> bool {
        let end = offset.saturating_add(len);
        self.checked.is_some() && self.store.known.damage(self.id).iter().any(|bad| bad.start < end && offset < bad.end)
    }

    fn try_share_at(&self, offset: u64, len: usize) -> Option<FileRange> {
        let len = available(self.len, offset, len);
        if self.checked.is_some() || len == 0 || !self.store.may_peek.load(Ordering::Relaxed) {
            return None;
        }
        let mut probes = (0..len).step_by(PROBE_STEP).chain([len - 1]);
        let is_cached = probes.all(|at| peek(&self.store, &self.file, offset.saturating_add(at as u64), &mut [0]));
        is_cached.then(|| FileRange { file: Arc::clone(&self.file), offset, len, held: None })
    }
}

/// Fills `buffer` with what the page cache has, all of it or nothing; whether it did.
#[cfg(target_os = "linux")]
fn peek(store: &Shared, file: &File, offset: u64, buffer: &mut [u8]) -> bool {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let len = buffer.len();
    match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => read == len,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            store.may_peek.store(false, Ordering::Relaxed);
            false
        }
        Err(_) => false,
    }
}

#[cfg(not(target_os = "linux"))]
fn peek(_store: &Shared, _file: &File, _offset: u64, _buffer: &mut [u8]) -> bool {
    false
}
