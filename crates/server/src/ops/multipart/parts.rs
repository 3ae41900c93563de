//! UploadPart (HTTP API 10.2).

use model::{Error, ErrorCode};
use store::meta::{Body, Extent, PartRecord};

use super::{absent, find};
use crate::checksums::Checksums;
use crate::objects::{BodySource, Expected, Keep, ObjectGrant, Received};
use crate::ops::object::counting_upload;
use crate::ops::{Call, internal, upload};

/// Which part a body becomes.
pub(crate) struct UploadPart<'a> {
    /// The upload.
    pub(crate) upload_id: &'a str,
    /// The number of the part.
    pub(crate) number: u16,
    /// What the body is said to come to, if that can be read.
    pub(crate) expected: Result<Expected, Error>,
}

/// UploadPart (HTTP API 10.2).
///
/// # Errors
/// Those of [`upload::check_announced`], `NoSuchUpload`, and those of [`upload::receive`].
pub(crate) async fn put_part(
    call: &Call<'_>,
    request: UploadPart<'_>,
    body: &mut dyn BodySource,
) -> Result<PartRecord, Error> {
    let UploadPart { upload_id, number, expected } = request;
    let expected = upload::check_announced(body, expected)?;
    find(call, upload_id).await?;
    let received = upload::receive(call, expected, body, Keep::InBlob).await?;
    let grant = counting_upload(call.object_grant()?, received.sums.len);
    store_part(call, &grant, upload_id, number, received).await
}

/// Makes what was received a part.
///
/// # Errors
/// `NoSuchUpload` when the upload is over, and those of the store; the bytes are deleted then.
pub(super) async fn store_part(
    call: &Call<'_>,
    grant: &ObjectGrant,
    upload_id: &str,
    number: u16,
    received: Received,
) -> Result<PartRecord, Error> {
    let extents = match received.body {
        Body::Blobs(extents) => extents,
        Body::Inline(_) | Body::Link(_) => return Err(Error::new(ErrorCode::InternalError)),
    };
    let part = part_of(call, received.sums, extents);
    match call.objects().put_part(grant, upload_id, number, &part).await {
        Ok(()) => Ok(part),
        Err(error) if error.is_not_found() => Err(absent(call, upload_id)),
        Err(error) => Err(internal(error)),
    }
}

/// A part that arrives now.
pub(super) fn part_of(call: &Call<'_>, sums: Checksums, extents: Vec<Extent>) -> PartRecord {
    PartRecord {
        size: sums.len,
        etag: sums.etag,
        crc64: sums.crc64,
        md5: sums.md5,
        modified_ms: call.objects().now_ms(),
        extents,
    }
}
