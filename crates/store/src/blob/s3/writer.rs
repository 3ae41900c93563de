//! A blob that grows in the spool and is stored when it is finished.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Shared;
use super::upload::Kind;
use crate::blob::{Blob, BlobId, BlobStore as _, BlobWriter, OnDrop};
use crate::error::{Error, Result, Subject};

/// A blob that grows.
pub(super) struct S3Writer {
    store: Arc<Shared>,
    id: BlobId,
    /// `None` from the moment on at which it is finished or aborted.
    spooled: Option<Box<dyn BlobWriter>>,
    len: u64,
    on_drop: OnDrop,
    /// Whether the store may have it already.
    was_stored: bool,
}

impl S3Writer {
    pub(super) fn new(store: &Arc<Shared>, spooled: Box<dyn BlobWriter>, on_drop: OnDrop, was_stored: bool) -> Self {
        let (id, len) = (spooled.id(), spooled.len());
        store.note_spooled(id);
        Self { store: Arc::clone(store), id, spooled: Some(spooled), len, on_drop, was_stored }
    }

    fn spooled(&mut self) -> Result<&mut Box<dyn BlobWriter>> {
        self.spooled.as_mut().ok_or_else(|| Error::unavailable(Subject::Blob, "the blob is over"))
    }

    /// What others could go on with, should this machine be lost. Of an upload its client has everything.
    fn note_flushed(&self) {
        if let (OnDrop::Keep, Some(tails)) = (self.on_drop, &self.store.tails) {
            tails.note_flushed(self.id, self.len());
        }
    }

    async fn store_it(&mut self, len: u64) -> Result<()> {
        let uploading = self.store.uploading(self.id);
        let reader = self.store.spool.open(self.id).await?;
        let (store, timeout) = (&self.store, self.store.timeout(self.on_drop));
        let kind = match self.on_drop {
            OnDrop::Keep => Kind::Segment,
            OnDrop::Delete => Kind::Upload,
        };
        store.uploads.upload(store.stored.as_ref(), self.id, reader.as_ref(), kind, timeout).await?;
        // Whole also for somebody who stops waiting: it is stored, and must be found. Nobody takes it up on its way.
        let (store, id) = (Arc::clone(&self.store), self.id);
        let keeping = tokio::spawn(async move {
            store.keep(id, len).await;
            drop(uploading);
        });
        let _ = keeping.await;
        if let Some(tails) = &self.store.tails {
            tails.note_over(self.id);
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    fn id(&self) -> BlobId {
        self.id
    }

    fn len(&self) -> u64 {
        self.spooled.as_ref().map_or(self.len, |spooled| spooled.len())
    }

    fn crc64(&self) -> Option<u64> {
        self.spooled.as_ref().and_then(|spooled| spooled.crc64())
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.spooled()?.append(bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.spooled()?.flush().await?;
        self.note_flushed();
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.spooled()?.sync().await?;
        self.note_flushed();
        Ok(())
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        if let Some(tails) = &self.store.tails {
            tails.note_cut(self.id, len);
        }
        self.spooled()?.truncate(len).await
    }

    async fn finish(mut self: Box<Self>) -> Result<Blob> {
        let spooled = self.spooled.take().ok_or_else(|| Error::unavailable(Subject::Blob, "the blob is over"))?;
        let blob = spooled.finish().await?;
        self.len = blob.len;
        // It may wait for the store for long, and this machine may be lost meanwhile.
        self.note_flushed();
        match self.store_it(blob.len).await {
            Ok(()) => {
                self.on_drop = OnDrop::Keep;
                Ok(blob)
            }
            Err(error) => {
                // What was to be kept stays in the spool, to be taken up.
                if self.on_drop == OnDrop::Delete {
                    let _ = self.store.forget(self.id).await;
                    self.on_drop = OnDrop::Keep;
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        if let Some(spooled) = self.spooled.take() {
            spooled.abort().await?;
        }
        self.on_drop = OnDrop::Keep;
        self.store.forget(self.id).await?;
        match self.was_stored {
            true => self.store.stored.delete(self.id).await,
            false => Ok(()),
        }
    }
}

impl Drop for S3Writer {
    /// The tails of what is kept stay: it is to be taken up, maybe by another server.
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Keep {
            return;
        }
        // The spool's own writer deletes its file. One that was being uploaded lies there finished.
        self.store.note_gone(self.id);
        if self.spooled.take().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (store, id) = (Arc::clone(&self.store), self.id);
            drop(runtime.spawn(async move { store.spool.delete(id).await }));
        }
    }
}
