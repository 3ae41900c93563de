//! The blobs of a generation: its own, which pushes were writing to, over those that all generations share.

use std::ops::Range;

use async_trait::async_trait;

use crate::blob::{BlobId, BlobReader, BlobStore, BlobWriter, FileBlobs, OnDrop, ScanCursor, ScanPage, Verified};
use crate::error::{Error, Result, Subject};

/// Blobs to be read and compared; nothing is changed.
#[derive(Debug, Clone)]
pub struct Overlay {
    own: FileBlobs,
    shared: FileBlobs,
}

impl Overlay {
    pub(super) fn new(own: FileBlobs, shared: FileBlobs) -> Self {
        Self { own, shared }
    }
}

fn read_only() -> Error {
    Error::unavailable(Subject::Backup, "a backup is not written to")
}

#[async_trait]
impl BlobStore for Overlay {
    async fn create(&self, _on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        Err(read_only())
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        match self.own.open(id).await {
            Err(error) if error.is_not_found() => self.shared.open(id).await,
            opened => opened,
        }
    }

    async fn recover(&self, _id: BlobId, _on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        Err(read_only())
    }

    async fn delete(&self, _id: BlobId) -> Result<()> {
        Err(read_only())
    }

    async fn verify(&self, id: BlobId, range: Range<u64>) -> Result<Verified> {
        match self.own.verify(id, range.clone()).await {
            Err(error) if error.is_not_found() => self.shared.verify(id, range).await,
            verified => verified,
        }
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        self.shared.scan(cursor).await
    }
}
