//! Blobs in memory: the definition of what every other store must do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Blob, BlobId, BlobIds, BlobInfo, BlobReader, BlobState, BlobStore, BlobWriter, OnDrop, ScanCursor, ScanPage,
    available,
};
use crate::clock::Clock;
use crate::error::{Error, Result, Subject};

/// Blobs that are gone with their last handle.
#[derive(Debug, Clone)]
pub struct MemoryBlobs {
    blobs: Arc<Mutex<BTreeMap<BlobId, Stored>>>,
    ids: BlobIds,
    clock: Clock,
}

#[derive(Debug, Clone)]
struct Stored {
    bytes: Vec<u8>,
    /// The same bytes once they no longer change, so that readers need no copy.
    finished: Option<Bytes>,
    has_writer: bool,
    modified_ms: i64,
}

impl MemoryBlobs {
    /// An empty store; `clock` dates the blobs.
    pub fn new(ids: BlobIds, clock: Clock) -> Self {
        Self { blobs: Arc::default(), ids, clock }
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<BlobId, Stored>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a finished blob of another store.
    pub(super) fn put_as(&self, id: BlobId, bytes: Bytes) {
        let modified_ms = self.clock.now_ms();
        let stored = Stored { bytes: Vec::new(), finished: Some(bytes), has_writer: false, modified_ms };
        self.blobs().insert(id, stored);
    }

    fn writer(&self, id: BlobId, taken_up: Option<u64>, on_drop: OnDrop) -> Box<dyn BlobWriter> {
        let (len, was_taken_up) = (taken_up.unwrap_or(0), taken_up.is_some());
        Box::new(MemoryWriter { store: self.clone(), id, len, was_taken_up, on_drop, is_over: false })
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let id = self.ids.mint();
        let stored = Stored { bytes: Vec::new(), finished: None, has_writer: true, modified_ms: self.clock.now_ms() };
        self.blobs().insert(id, stored);
        Ok(self.writer(id, None, on_drop))
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        let blobs = self.blobs();
        let stored = blobs.get(&id).ok_or_else(|| Error::not_found(Subject::Blob, id))?;
        let bytes = stored.finished.clone().unwrap_or_else(|| Bytes::copy_from_slice(&stored.bytes));
        Ok(Box::new(MemoryReader(bytes)))
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let mut blobs = self.blobs();
        let stored = blobs.get_mut(&id).ok_or_else(|| Error::not_found(Subject::Blob, id))?;
        if stored.has_writer {
            return Err(Error::conflict(Subject::Blob, format!("{id} is being written")));
        }
        stored.has_writer = true;
        if let Some(bytes) = stored.finished.take() {
            stored.bytes = bytes.to_vec();
        }
        let len = stored.bytes.len() as u64;
        drop(blobs);
        Ok(self.writer(id, Some(len), on_drop))
    }

    fn lies_here(&self, id: BlobId) -> bool {
        self.blobs().contains_key(&id)
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.blobs().remove(&id);
        Ok(())
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        debug_assert!(cursor.is_none(), "there is one page");
        let blobs = self.blobs();
        let info = |(id, stored): (&BlobId, &Stored)| BlobInfo {
            id: *id,
            len: stored.finished.as_ref().map_or(stored.bytes.len(), Bytes::len) as u64,
            modified_ms: stored.modified_ms,
            state: match (&stored.finished, stored.has_writer) {
                (Some(_), _) => BlobState::Finished,
                (None, true) => BlobState::Growing,
                (None, false) => BlobState::Torn,
            },
        };
        Ok(ScanPage { blobs: blobs.iter().map(info).collect(), next: None })
    }
}

struct MemoryWriter {
    store: MemoryBlobs,
    id: BlobId,
    len: u64,
    was_taken_up: bool,
    on_drop: OnDrop,
    is_over: bool,
}

impl MemoryWriter {
    /// Changes the blob; one that was deleted under the writer takes bytes that nobody will see.
    fn change(&self, change: impl FnOnce(&mut Stored)) {
        let now_ms = self.store.clock.now_ms();
        if let Some(stored) = self.store.blobs().get_mut(&self.id) {
            change(stored);
            stored.modified_ms = now_ms;
        }
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    fn id(&self) -> BlobId {
        self.id
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn crc64(&self) -> Option<u64> {
        let blobs = self.store.blobs();
        let stored = blobs.get(&self.id).filter(|_| !self.was_taken_up)?;
        Some(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, &stored.bytes))
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.change(|stored| stored.bytes.extend_from_slice(&bytes));
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        if len < self.len {
            self.change(|stored| stored.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX)));
            self.len = len;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Blob> {
        self.is_over = true;
        self.change(|stored| {
            stored.finished = Some(std::mem::take(&mut stored.bytes).into());
            stored.has_writer = false;
        });
        Ok(Blob { id: self.id, len: self.len })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.is_over = true;
        self.store.delete(self.id).await
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        match self.on_drop {
            OnDrop::Delete => {
                self.store.blobs().remove(&self.id);
            }
            OnDrop::Keep => self.change(|stored| stored.has_writer = false),
        }
    }
}

struct MemoryReader(Bytes);

#[async_trait]
impl BlobReader for MemoryReader {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        Ok(self.try_read_at(offset, len).unwrap_or_default())
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        let len = available(self.len(), offset, len);
        if len == 0 {
            return Some(Bytes::new());
        }
        let start = usize::try_from(offset).ok()?;
        Some(self.0.slice(start..start.checked_add(len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Randomness;
    use crate::conformance;

    #[tokio::test]
    async fn conforms() {
        let ids = BlobIds::new(Clock::system(), Randomness::seeded(1));
        conformance::blob::check(&MemoryBlobs::new(ids, Clock::system())).await;
    }
}
