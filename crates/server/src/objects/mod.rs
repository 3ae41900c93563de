//! The objects and buckets of this installation, with few ways in: who reads or writes an object shows the grant for it,
//! and the record that the decision looked at comes with the grant.

mod buckets;
mod content;
mod doors;
mod failure;
mod grant;
mod hashing;
mod intake;
mod internal_grants;
mod lengthen;
pub(crate) mod lifecycle;
mod log_object;
mod made;
mod picture;
mod uploads;

use std::sync::Arc;

use model::Error;
use model::access::RefererHosts;
use store::blob::{BlobId, BlobStore};
use store::meta::{Body, Extent, Meta};

pub(crate) use buckets::{Bucket, no_such_bucket};
pub(crate) use content::{BodySource, StoredBody, StoredContent, read_whole};
pub(crate) use doors::CopiedFrom;
pub(crate) use failure::internal;
pub(crate) use grant::{Judged, ObjectGrant};
pub(crate) use intake::{Expected, INLINE_BYTES, Intake, Keep, Received, copy, read_sums, receive};
pub(crate) use internal_grants::{ChannelGrant, LogGrant};
pub(crate) use lengthen::lengthened;
pub(crate) use log_object::{LogObject, NotWritten};
pub(crate) use made::{PLAYLIST_TYPE, playlist_record};
pub(crate) use picture::NoPicture;

use crate::clock::Clock;
use crate::config::Config;
use crate::files::Files;
use crate::memory::Memory;

/// Buckets and objects: their metadata, their bytes, and the clock of `Last-Modified`.
pub(crate) struct Objects {
    meta: Meta,
    files: Arc<Files>,
    blobs: Arc<dyn BlobStore>,
    memory: Arc<Memory>,
    clock: Clock,
    settings: Settings,
}

/// What the configuration says about objects.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The region of buckets that remember none.
    pub(crate) region: String,
    /// How hotlink protection compares hosts (access control 6).
    pub(crate) referer_hosts: RefererHosts,
    /// The most buckets of an account.
    pub(crate) max_buckets: usize,
}

impl Settings {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            region: config.region.clone(),
            referer_hosts: if config.referer.strict_host { RefererHosts::Whole } else { RefererHosts::Prefix },
            max_buckets: config.max_buckets,
        }
    }
}

impl Objects {
    /// The objects of these stores. `files` are the blobs that requests may open, `blobs` all.
    pub(crate) fn new(
        meta: Meta,
        files: Arc<Files>,
        blobs: Arc<dyn BlobStore>,
        memory: Arc<Memory>,
        clock: Clock,
        settings: Settings,
    ) -> Self {
        Self { meta, files, blobs, memory, clock, settings }
    }

    /// The time of the server, unix ms.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The bytes `start..start + len` of a stored body, its first blobs open before the answer begins.
    ///
    /// # Errors
    /// `InternalError` when a blob cannot be opened, `ServiceUnavailable` when there is no descriptor for it.
    pub(crate) async fn content(&self, body: &Body, start: u64, len: u64) -> Result<StoredBody, Error> {
        match body {
            Body::Inline(bytes) => {
                let from = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
                let to = usize::try_from(start.saturating_add(len)).unwrap_or(usize::MAX).min(bytes.len());
                Ok(StoredBody::Bytes(bytes.slice(from..to)))
            }
            Body::Blobs(extents) => {
                let pieces = overlapping(extents, start, len);
                Ok(StoredBody::Blobs(StoredContent::open(&self.meta, self.files.clone(), &pieces).await?))
            }
            Body::Link(_) => Ok(StoredBody::Bytes(bytes::Bytes::new())),
        }
    }

    /// Keeps blobs from being collected as long as the value lives.
    pub(crate) fn pin(&self, body: &Body) -> store::meta::Reading {
        self.meta.pin(body.blobs())
    }

    /// Deletes the blobs of a body that was refused its name. To be called only when it is certain that no name leads to
    /// them: an engine that did not answer may have written the name all the same.
    pub(crate) async fn discard(&self, blobs: impl Iterator<Item = BlobId>, refusal: &store::Error) {
        use store::ErrorKind;
        if !matches!(refusal.kind, ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::NotFound) {
            return;
        }
        self.forget(blobs).await;
    }

    /// Deletes blobs that never had a name.
    pub(crate) async fn forget(&self, blobs: impl Iterator<Item = BlobId>) {
        for blob in blobs {
            if let Err(error) = self.blobs.delete(blob).await {
                tracing::warn!(%error, %blob, "a blob without a name cannot be deleted now");
            }
        }
    }
}

/// The runs of bytes that make up a range.
pub(crate) fn overlapping(extents: &[Extent], start: u64, len: u64) -> Vec<Extent> {
    let end = start.saturating_add(len);
    let mut at: u64 = 0;
    let mut touched = Vec::new();
    for extent in extents {
        let (from, to) = (start.max(at), end.min(at.saturating_add(extent.len)));
        if from < to {
            touched.push(Extent { offset: extent.offset.saturating_add(from - at), len: to - from, ..*extent });
        }
        at = at.saturating_add(extent.len);
    }
    touched
}
