//! Taking in a body: checksums while it flows, small ones beside the metadata, large ones as a blob that leaves no
//! trace unless it is complete.

use bytes::BytesMut;
use oss::request::{BodyDigests, MAX_BODY_BYTES, check_body_length};
use oss::{Error, ErrorCode};
use sha2::{Digest as _, Sha256};
use store::blob::{BlobId, BlobWriter, OnDrop};
use store::meta::{Body, Extent};

use super::{BodySource, Call, Content, internal};
use crate::config::Durability;
use crate::live::{BodyDigest, Checksums};
use crate::state::State;

/// Bodies up to this length are kept in the metadata store: one commit instead of a file, two syncs and a commit.
pub(crate) const INLINE_BYTES: usize = 16 * 1024;
/// What is collected before it is written out: frames of a few KiB would cost a system call each.
const WRITE_BYTES: usize = 256 * 1024;

/// A body that was received whole and agrees with what its client said of it.
pub(super) struct Received {
    pub(super) body: Body,
    pub(super) sums: Checksums,
}

/// Where a body may end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Small ones beside the metadata, large ones in a blob.
    Anywhere,
    /// In a blob, because others will follow it: parts and appends.
    InBlob,
}

/// A body on its way into the store. Dropped before it is finished, for whatever reason, it leaves nothing behind.
pub(super) struct Intake<'a> {
    state: &'a State,
    keep: Keep,
    sums: BodyDigest,
    pending: BytesMut,
    writer: Option<Box<dyn BlobWriter>>,
}

impl<'a> Intake<'a> {
    /// An empty body.
    pub(super) fn new(state: &'a State, keep: Keep) -> Self {
        Self { state, keep, sums: BodyDigest::with_md5(), pending: BytesMut::new(), writer: None }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.sums.len()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// `EntityTooLarge` beyond 5 GB, `InternalError`.
    pub(super) async fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.sums.update(piece);
        if self.sums.len() > MAX_BODY_BYTES {
            return Err(Error::new(ErrorCode::EntityTooLarge));
        }
        self.pending.extend_from_slice(piece);
        let is_large = self.writer.is_some() || self.sums.len() > INLINE_BYTES as u64;
        if is_large && self.pending.len() >= WRITE_BYTES {
            let bytes = self.pending.split().freeze();
            self.writer().await?.append(bytes).await.map_err(internal)?;
        }
        Ok(())
    }

    async fn writer(&mut self) -> Result<&mut Box<dyn BlobWriter>, Error> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            empty => Ok(empty.insert(self.state.blobs.create(OnDrop::Delete).await.map_err(internal)?)),
        }
    }

    /// What the bytes came to, and the body, whose blob is durable and waits for a name.
    ///
    /// # Errors
    /// What `accept` says of the sums; `InternalError`. Nothing stays behind then.
    pub(super) async fn finish(
        mut self,
        accept: impl FnOnce(&Checksums) -> Result<(), Error>,
    ) -> Result<Received, Error> {
        let sums = std::mem::replace(&mut self.sums, BodyDigest::with_md5()).finish();
        accept(&sums)?;
        let is_small = self.writer.is_none() && self.pending.len() <= INLINE_BYTES;
        if sums.len == 0 && self.keep == Keep::InBlob {
            return Ok(Received { body: Body::Blobs(Vec::new()), sums });
        }
        if is_small && self.keep == Keep::Anywhere {
            return Ok(Received { body: Body::Inline(self.pending.freeze()), sums });
        }
        let rest = self.pending.split().freeze();
        if !rest.is_empty() {
            self.writer().await?.append(rest).await.map_err(internal)?;
        }
        self.writer().await?;
        let Some(writer) = self.writer else { return Err(Error::new(ErrorCode::InternalError)) };
        let is_durable = self.state.config.storage.durability == Durability::Full;
        let blob = writer.finish(is_durable).await.map_err(internal)?;
        Ok(Received { body: Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len: sums.len }]), sums })
    }
}

/// Receives the body of an upload.
///
/// # Errors
/// `MissingContentLength`, `EntityTooLarge`, `InvalidDigest`, `InvalidCRC64`, and what the body's source says. Nothing
/// stays behind then.
pub(super) async fn receive(call: &Call<'_>, source: &mut dyn BodySource, keep: Keep) -> Result<Received, Error> {
    if !source.is_present() {
        return Err(Error::new(ErrorCode::MissingContentLength));
    }
    check_body_length(source.announced_length())?;
    let digests = BodyDigests::parse(call.raw)?;
    let payload_sha256 = call.granted.credentials.payload_sha256();

    let mut intake = Intake::new(call.state, keep);
    let mut sha256 = payload_sha256.map(|_| Sha256::new());
    while let Some(piece) = source.next().await? {
        if let Some(sha256) = &mut sha256 {
            sha256.update(&piece);
        }
        intake.push(&piece).await?;
    }
    intake
        .finish(|sums| {
            digests.check(sums.md5, Some(sums.crc64))?;
            let found = sha256.map(|sha256| <[u8; 32]>::from(sha256.finalize()));
            if found == payload_sha256 { Ok(()) } else { Err(Error::new(ErrorCode::InvalidDigest)) }
        })
        .await
}

/// Reads stored content into a new body, a piece at a time.
///
/// # Errors
/// `InternalError`, `EntityTooLarge`.
pub(super) async fn copy(intake: &mut Intake<'_>, content: Content) -> Result<(), Error> {
    match content {
        Content::Bytes(bytes) => intake.push(&bytes).await,
        Content::Stored(mut stored) => {
            while let Some(piece) = stored.next().await? {
                intake.push(&piece).await?;
            }
            Ok(())
        }
        Content::Empty | Content::Announced(_) | Content::Xml(_) => Ok(()),
    }
}

/// The sums of stored content, which is read and not written.
///
/// # Errors
/// `InternalError`.
pub(super) async fn read_sums(content: Content) -> Result<Checksums, Error> {
    let mut sums = BodyDigest::with_md5();
    match content {
        Content::Bytes(bytes) => sums.update(&bytes),
        Content::Stored(mut stored) => {
            while let Some(piece) = stored.next().await? {
                sums.update(&piece);
            }
        }
        Content::Empty | Content::Announced(_) | Content::Xml(_) => {}
    }
    Ok(sums.finish())
}

/// Deletes the blobs of a body that was refused its name. To be called only when it is certain that no name leads to
/// them: an engine that did not answer may have written the name all the same.
pub(super) async fn discard(state: &State, blobs: impl Iterator<Item = BlobId>, refusal: &store::Error) {
    use store::ErrorKind;
    if !matches!(refusal.kind, ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::NotFound) {
        return;
    }
    for blob in blobs {
        if let Err(error) = state.blobs.delete(blob).await {
            tracing::warn!(%error, %blob, "a blob without a name cannot be deleted now");
        }
    }
}
