//! A long blob that is read from the store, one range after the other.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;

use super::upload::fetch_range;
use crate::blob::{BlobId, BlobReader, available};
use crate::error::Result;

/// The least that is asked for at once: what comes next is asked for next.
const AHEAD: u64 = 4 << 20;

/// A blob in the store.
pub(super) struct RemoteReader {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    pub(super) id: BlobId,
    pub(super) len: u64,
    /// What came last, and where it begins.
    pub(super) last: Mutex<(u64, Bytes)>,
}

impl RemoteReader {
    fn at_hand(&self, offset: u64, len: usize) -> Option<Bytes> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset.checked_sub(last.0)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= last.1.len()).then(|| last.1.slice(start..end))
    }
}

#[async_trait]
impl BlobReader for RemoteReader {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        if let Some(bytes) = self.try_read_at(offset, len) {
            return Ok(bytes);
        }
        let len = available(self.len, offset, len);
        let to = offset.saturating_add((len as u64).max(AHEAD)).min(self.len);
        let bytes = fetch_range(self.store.as_ref(), &self.path, self.id, offset, to).await?;
        let wanted = bytes.slice(..len.min(bytes.len()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (offset, bytes);
        Ok(wanted)
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        match available(self.len, offset, len) {
            0 => Some(Bytes::new()),
            len => self.at_hand(offset, len),
        }
    }
}
