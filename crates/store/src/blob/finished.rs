//! The half of a blob store that several servers can share: what is finished.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobId, BlobInfo, BlobReader};
use crate::error::Result;

/// Blobs that are finished and never change. Nothing here asks for more than an S3-compatible store can do: no append, no
/// condition, no rename, no checksum of its own. What grows is elsewhere, in a spool on the server's own disk.
#[async_trait]
pub trait FinishedBlobs: Send + Sync {
    /// Stores a blob whole, from where it was written. When this returns everybody can read it; after an error it may be
    /// there or not. A blob that is there is stored again, with the same bytes.
    async fn put(&self, id: BlobId, bytes: &dyn BlobReader) -> Result<()>;

    /// How many bytes it has.
    ///
    /// # Errors
    /// `NotFound`.
    async fn len(&self, id: BlobId) -> Result<u64>;

    /// A range of its bytes, all of them, not beyond its end.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` also when only a part came.
    async fn read(&self, id: BlobId, range: Range<u64>) -> Result<Bytes>;

    /// Deletes it; an absent one is no error.
    async fn delete(&self, id: BlobId) -> Result<()>;

    /// Some of the blobs behind a place of an earlier page, in an order of the store's own, and the place behind them;
    /// `None` after the last. Blobs that come and go meanwhile may be seen or not.
    async fn scan(&self, after: Option<&str>) -> Result<(Vec<BlobInfo>, Option<String>)>;
}
