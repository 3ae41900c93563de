//! UploadPartCopy (HTTP API 10.3). A part shares the blobs of its source, unless it is a small piece of a large object.

use model::{Error, ObjectType};
use store::Subject;
use store::meta::{Body, PartRecord};

use super::absent;
use super::parts::{part_of, store_part};
use crate::checksums::Checksums;
use crate::objects::{self, CopiedFrom, Intake, Keep, overlapping};
use crate::ops::copy::{Original, check_copy_length};
use crate::ops::{Call, internal};

/// The shortest range of an object that a part shares with it: a few bytes must not keep a large blob.
const MIN_SHARED_RANGE: u64 = 1 << 20;
/// The most blobs that a part shares, so that an object of ten thousand parts stays a list that one commit can name.
const MAX_SHARED: usize = 16;

/// A part that is a piece of an object.
pub(crate) struct CopiedPart<'a> {
    /// The upload.
    pub(crate) upload_id: &'a str,
    /// The number of the part.
    pub(crate) number: u16,
    /// The object, as it was found and judged.
    pub(crate) from: Original,
    /// The first byte of the piece.
    pub(crate) start: u64,
    /// Its length.
    pub(crate) len: u64,
}

/// UploadPartCopy (HTTP API 10.3), once its source was found and judged.
///
/// # Errors
/// `EntityTooLarge`, `NoSuchUpload` when the upload is over, and those of the store.
pub(crate) async fn copy_part(call: &Call<'_>, request: CopiedPart<'_>) -> Result<PartRecord, Error> {
    let CopiedPart { upload_id, number, from, start, len } = &request;
    check_copy_length(*len)?;
    let body = &from.record().body;
    // Whatever becomes of the object meanwhile, its bytes are there until the part is made.
    let _pinned = call.objects().pin(body);
    if let Some(part) = share(call, &request).await? {
        return Ok(part);
    }
    let mut intake = Intake::new(call.objects(), Keep::InBlob);
    objects::copy(&mut intake, call.objects().content(body, *start, *len).await?).await?;
    store_part(call, &call.object_grant()?, upload_id, *number, intake.finish(|_| Ok(())).await?).await
}

/// Makes a range of an object a part that shares its blobs; `None` when the bytes have to be copied.
async fn share(call: &Call<'_>, request: &CopiedPart<'_>) -> Result<Option<PartRecord>, Error> {
    let CopiedPart { upload_id, number, from, start, len } = request;
    let (found, len) = (from.record(), *len);
    let Body::Blobs(all) = &found.body else { return Ok(None) };
    let is_whole = len == found.size;
    let runs = overlapping(all, *start, len);
    if runs.is_empty() || runs.len() > MAX_SHARED || !(is_whole || len >= MIN_SHARED_RANGE) {
        return Ok(None);
    }
    let sums = match is_whole && found.object_type == ObjectType::Normal {
        true => Checksums { crc64: found.crc64, md5: found.md5, etag: found.etag.clone(), len },
        false => objects::read_sums(call.objects().content(&found.body, *start, len).await?).await?,
    };
    let part = part_of(call, sums, runs);
    let source = CopiedFrom { grant: &from.grant, version: from.found.version };
    match call.objects().put_part_from(&call.object_grant()?, upload_id, *number, &part, source).await {
        Ok(()) => Ok(Some(part)),
        // The object was written or deleted meanwhile: its bytes as they were read are copied.
        Err(error) if error.subject == Subject::Source => Ok(None),
        Err(error) if error.is_not_found() => Err(absent(call, upload_id)),
        Err(error) => Err(internal(error)),
    }
}
