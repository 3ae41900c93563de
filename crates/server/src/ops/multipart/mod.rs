//! Multipart uploads (HTTP API 10): how one begins and is given up. Completing one names the parts' blobs in their
//! order; no byte is copied.

mod complete;
mod copied;
mod lists;
mod parts;

pub(crate) use complete::{CompleteUpload, CompletedPart, complete};
pub(crate) use copied::{CopiedPart, copy_part};
pub(crate) use lists::{parts, uploads};
pub(crate) use parts::{UploadPart, put_part};

use model::{Error, ErrorCode, OperationKind};
use store::meta::{Stored, UploadRecord};

pub(super) use complete::combined_crc64;

use super::object::{NewHeaders, may_set};
use super::{Call, internal};

/// The longest part of an upload's id that a refusal repeats, in bytes.
const SHOWN_BYTES: usize = 256;

/// InitiateMultipartUpload (HTTP API 10.1). Gives the id of the upload.
///
/// # Errors
/// The refusals of access control 8 for tags, `FileAlreadyExists`, and those of the store.
pub(crate) async fn initiate(call: &Call<'_>, headers: NewHeaders) -> Result<String, Error> {
    let grant = call.object_grant()?;
    may_set(call, &grant, &headers).await?;
    let record = UploadRecord {
        initiated_ms: call.objects().now_ms(),
        storage_class: headers.storage_class.unwrap_or(call.bucket()?.record.storage_class),
        headers: headers.content,
        user_meta: headers.user_meta,
        tags: headers.tags.unwrap_or_default(),
        initiator: call.granted.grant.caller().uid().map(ToString::to_string),
    };
    let id = crate::ids::upload_id();
    call.objects().initiate(&grant, &id, &record).await?;
    Ok(id)
}

/// An upload for the key of the request. Whoever judges more of the request looks here first: what is wrong with the
/// rest is no news about an upload that is over.
///
/// # Errors
/// `NoSuchUpload`, and those of the store.
pub(crate) async fn find(call: &Call<'_>, id: &str) -> Result<Stored<UploadRecord>, Error> {
    let found = call.objects().upload(&call.object_grant()?, id).await?;
    found.ok_or_else(|| absent(call, id))
}

/// AbortMultipartUpload (HTTP API 10.5).
///
/// # Errors
/// `NoSuchUpload`, and those of the store.
pub(crate) async fn abort(call: &Call<'_>, id: &str) -> Result<(), Error> {
    match call.objects().abort(&call.object_grant()?, id).await {
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() => Err(absent(call, id)),
        Err(error) => Err(internal(error)),
    }
}

/// The refusal of an upload that does not exist, as this request is answered.
fn absent(call: &Call<'_>, id: &str) -> Error {
    no_such_upload(id, call.granted.grant.operation())
}

/// The refusal of an upload that does not exist, with the EC of the operation (HTTP API 6.4).
fn no_such_upload(id: &str, kind: OperationKind) -> Error {
    let ec = match kind {
        OperationKind::UploadPart => "0042-00000104",
        OperationKind::UploadPartCopy => "0042-00000311",
        _ => "0042-00000002",
    };
    let shown = id.get(..id.floor_char_boundary(SHOWN_BYTES)).unwrap_or_default();
    Error::new(ErrorCode::NoSuchUpload).with("UploadId", shown).ec(ec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_uploads_carry_the_ec_of_their_operation() {
        for (kind, ec) in [
            (OperationKind::UploadPart, "0042-00000104"),
            (OperationKind::UploadPartCopy, "0042-00000311"),
            (OperationKind::ListParts, "0042-00000002"),
        ] {
            assert_eq!(no_such_upload("U", kind).ec, Some(ec));
        }
    }

    #[test]
    fn long_ids_are_cut_between_characters() {
        let long = format!("a{}", "é".repeat(200));
        let refusal = no_such_upload(&long, OperationKind::ListParts);
        assert_eq!(refusal.elements, [("UploadId", format!("a{}", "é".repeat(127)))]);
    }
}
