//! Blobs that come from another store and keep their ids, for a move.

use async_trait::async_trait;

use super::{BlobId, BlobReader, BlobStore, FileBlobs, MemoryBlobs, OnDrop};
use crate::error::{Error, Result, Subject};

/// Bytes that are copied at once.
const PIECE: usize = 4 << 20;

/// A store that takes finished blobs over from another one.
#[async_trait]
pub trait TakeBlobs: BlobStore {
    /// Keeps the bytes of a finished blob under the id that it has elsewhere. When this returns, it is there whole and
    /// survives a crash of the machine; until then it is not there, whatever an attempt that was cut off has left.
    ///
    /// # Errors
    /// `Unavailable`; what the reader says.
    async fn take(&self, id: BlobId, from: &dyn BlobReader) -> Result<()>;
}

#[async_trait]
impl TakeBlobs for FileBlobs {
    async fn take(&self, id: BlobId, from: &dyn BlobReader) -> Result<()> {
        let mut writer = self.create_as(id, OnDrop::Delete).await?;
        while writer.len() < from.len() {
            let bytes = from.read_at(writer.len(), PIECE).await?;
            if bytes.is_empty() {
                return Err(Error::corrupt(Subject::Blob, format!("{id} is shorter than it was")));
            }
            writer.append(bytes).await?;
        }
        writer.finish().await.map(drop)
    }
}

#[async_trait]
impl TakeBlobs for MemoryBlobs {
    async fn take(&self, id: BlobId, from: &dyn BlobReader) -> Result<()> {
        let len = usize::try_from(from.len()).map_err(|e| Error::unavailable(Subject::Blob, e))?;
        let bytes = from.read_at(0, len).await?;
        self.put_as(id, bytes);
        Ok(())
    }
}
