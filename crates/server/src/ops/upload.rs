//! Taking in a body: checksums while it flows, small ones beside the metadata, large ones as a blob that leaves no
//! trace unless it is complete.

use bytes::{Bytes, BytesMut};
use oss::request::{BodyDigests, MAX_BODY_BYTES, check_body_length};
use oss::{Error, ErrorCode};
use sha2::{Digest as _, Sha256};
use store::blob::OnDrop;
use store::meta::{Body, Extent};

use super::{BodySource, Call, internal};
use crate::config::Durability;
use crate::live::{BodyDigest, Checksums};

/// Bodies up to this length are kept in the metadata store: one commit instead of a file, two syncs and a commit.
pub(crate) const INLINE_BYTES: usize = 16 * 1024;
/// What is collected before it is written out: frames of a few KiB would cost a system call each.
const WRITE_BYTES: usize = 256 * 1024;

/// A body that was received whole and agrees with what its client said of it.
pub(super) struct Received {
    pub(super) body: Body,
    pub(super) sums: Checksums,
}

/// Receives the body of an upload.
///
/// # Errors
/// `MissingContentLength`, `EntityTooLarge`, `InvalidDigest`, `InvalidCRC64`, and what the body's source says. Nothing
/// stays behind then.
pub(super) async fn receive(call: &Call<'_>, source: &mut dyn BodySource) -> Result<Received, Error> {
    if !source.is_present() {
        return Err(Error::new(ErrorCode::MissingContentLength));
    }
    check_body_length(source.announced_length())?;
    let digests = BodyDigests::parse(call.raw)?;
    let payload_sha256 = call.granted.credentials.payload_sha256();

    let mut sums = BodyDigest::with_md5();
    let mut sha256 = payload_sha256.map(|_| Sha256::new());
    let mut pending = BytesMut::new();
    let mut writer = None;
    while let Some(piece) = source.next().await? {
        sums.update(&piece);
        if let Some(sha256) = &mut sha256 {
            sha256.update(&piece);
        }
        if sums.len() > MAX_BODY_BYTES {
            return Err(Error::new(ErrorCode::EntityTooLarge));
        }
        pending.extend_from_slice(&piece);
        let is_large = writer.is_some() || sums.len() > INLINE_BYTES as u64;
        if is_large && pending.len() >= WRITE_BYTES {
            let writer = match &mut writer {
                Some(writer) => writer,
                // Dropped before it is finished, for whatever reason, the blob is deleted.
                empty => empty.insert(call.state.blobs.create(OnDrop::Delete).await.map_err(internal)?),
            };
            writer.append(pending.split().freeze()).await.map_err(internal)?;
        }
    }
    let sums = sums.finish();
    digests.check(sums.md5, Some(sums.crc64))?;
    if let (Some(expected), Some(sha256)) = (payload_sha256, sha256)
        && <[u8; 32]>::from(sha256.finalize()) != expected
    {
        return Err(Error::new(ErrorCode::InvalidDigest));
    }
    let body = keep(call, writer, pending.freeze(), sums.len).await?;
    Ok(Received { body, sums })
}

async fn keep(
    call: &Call<'_>,
    writer: Option<Box<dyn store::blob::BlobWriter>>,
    pending: Bytes,
    len: u64,
) -> Result<Body, Error> {
    if writer.is_none() && pending.len() <= INLINE_BYTES {
        return Ok(Body::Inline(pending));
    }
    let mut writer = match writer {
        Some(writer) => writer,
        None => call.state.blobs.create(OnDrop::Delete).await.map_err(internal)?,
    };
    if !pending.is_empty() {
        writer.append(pending).await.map_err(internal)?;
    }
    let is_durable = call.state.config.storage.durability == Durability::Full;
    let blob = writer.finish(is_durable).await.map_err(internal)?;
    Ok(Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len }]))
}
