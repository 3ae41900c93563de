//! A blob that is read from its file, from the page cache where that has it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Shared, blocking};
use crate::blob::{BlobId, BlobReader, FileRange, available};
use crate::error::Result;

/// The most bytes that are looked for in the page cache on the calling thread.
const MAX_CACHED_READ: usize = 256 << 10;

/// How far apart the bytes are that stand for all of a range when the page cache is asked for it: the kernel reads ahead
/// and forgets in larger runs.
pub(super) const PROBE_STEP: usize = 128 << 10;

/// A blob that is open.
pub(super) struct FileReader {
    pub(super) store: Arc<Shared>,
    pub(super) id: BlobId,
    pub(super) file: Arc<File>,
    pub(super) len: u64,
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
        let file = Arc::clone(&self.file);
        blocking(self.id, move || {
            let mut buffer = vec![0; len];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(Bytes::from(buffer))
        })
        .await
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        let len = available(self.len, offset, len);
        if len == 0 {
            return Some(Bytes::new());
        }
        if len > MAX_CACHED_READ || !self.store.may_peek.load(Ordering::Relaxed) {
            return None;
        }
        let mut buffer = vec![0; len];
        peek(&self.store, &self.file, offset, &mut buffer).then(|| Bytes::from(buffer))
    }

    fn try_share_at(&self, offset: u64, len: usize) -> Option<FileRange> {
        let len = available(self.len, offset, len);
        if len == 0 || !self.store.may_peek.load(Ordering::Relaxed) {
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
