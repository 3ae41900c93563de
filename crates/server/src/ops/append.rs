//! AppendObject (HTTP API 9.8). What is appended becomes a blob behind those that are there; small blobs at the end are
//! joined with it, so that a log of many short lines stays a short list of blobs.

use model::MAX_BODY_BYTES;
use model::OperationKind;
use model::name::ObjectKey;
use model::{ETag, ObjectAcl, ObjectType};
use model::{Error, ErrorCode};
use store::blob::BlobId;
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard, Stored};

use super::multipart::combined_crc64;
use super::object::{NewHeaders, Written, already_exists, counting_upload};
use super::{BodySource, Call, internal, upload};
use crate::objects::{Expected, Keep, Received, lengthened, no_such_bucket};

/// What is to be appended.
pub(crate) struct AppendObject {
    /// Where the client believes that the object ends.
    pub(crate) position: u64,
    /// What is said about the object; only the first append decides.
    pub(crate) headers: NewHeaders,
    /// What the body is said to come to, if that can be read.
    pub(crate) expected: Result<Expected, Error>,
}

/// What became of an append.
pub(crate) enum Appended {
    /// The object with what was appended.
    Written(Box<Written>),
    /// Nothing: the object does not end at that position, but at this one.
    EndsAt(u64),
}

/// AppendObject (HTTP API 9.8).
///
/// # Errors
/// Those of [`upload::receive`], the refusals of access control 8 for tags, `FileAlreadyExists`, `ObjectNotAppendable`.
pub(crate) async fn append(
    call: &Call<'_>,
    request: AppendObject,
    body: &mut dyn BodySource,
) -> Result<Appended, Error> {
    let AppendObject { position, headers, expected } = request;
    let grant = call.object_grant()?;
    let key = &grant.key().clone();
    let expected = upload::check_announced(body, expected)?;
    let found = call.objects().read(&grant).await?;
    // Behind the beginning there is always something to append to.
    if position == 0 && headers.forbid_overwrite && found.is_some() {
        return Err(already_exists(key));
    }
    let length = length(key, found.as_deref())?;
    if position != length {
        return Ok(Appended::EndsAt(length));
    }
    if body.announced_length().is_some_and(|len| position.saturating_add(len) > MAX_BODY_BYTES) {
        return Err(Error::new(ErrorCode::EntityTooLarge));
    }
    if found.is_none() && headers.sets_tags() {
        call.may(OperationKind::PutObjectTagging, call.bucket()?, key).await?;
    }
    let received = upload::receive(call, expected, body, Keep::Anywhere).await?;
    if position.saturating_add(received.sums.len) > MAX_BODY_BYTES {
        call.objects().forget(received.body.blobs()).await;
        return Err(Error::new(ErrorCode::EntityTooLarge));
    }
    let grant = counting_upload(grant, received.sums.len);
    let guard = found.as_ref().map_or(PutGuard::Absent, |object| PutGuard::VersionIs(object.version));
    let old: Vec<BlobId> = found.iter().flat_map(|object| object.value.body.blobs()).collect();
    let record = grown(call, found.map(|object| object.value.clone()), headers, received).await?;
    match call.objects().write(&grant, &record, guard, &old).await {
        Ok(_) => Ok(Appended::Written(Box::new(Written::of(call, key, record, None).await?))),
        Err(error) => match error.kind {
            // Somebody else appended at the same position, or replaced or deleted the object.
            store::ErrorKind::Conflict | store::ErrorKind::AlreadyExists => {
                let now = call.objects().read_again(&grant).await?;
                Ok(Appended::EndsAt(self::length(key, now.as_deref())?))
            }
            store::ErrorKind::NotFound => Err(no_such_bucket(grant.bucket())),
            _ => Err(internal(error)),
        },
    }
}

/// Where an object ends; an absent one has length 0.
fn length(key: &ObjectKey, found: Option<&Stored<ObjectRecord>>) -> Result<u64, Error> {
    match found {
        Some(object) if object.value.object_type != ObjectType::Appendable => {
            Err(Error::new(ErrorCode::ObjectNotAppendable).with("Key", key.as_str()))
        }
        Some(object) => Ok(object.value.size),
        None => Ok(0),
    }
}

/// The object with the bytes behind it. The first append decides what is known of it, later ones only add.
async fn grown(
    call: &Call<'_>,
    old: Option<ObjectRecord>,
    headers: NewHeaders,
    received: Received,
) -> Result<ObjectRecord, Error> {
    let storage_class = call.bucket()?.record.storage_class;
    let mut record = old.unwrap_or_else(|| ObjectRecord {
        size: 0,
        etag: ETag::from_bits(0),
        crc64: 0,
        md5: None,
        modified_ms: 0,
        object_type: ObjectType::Appendable,
        role: ObjectRole::Ordinary,
        acl: headers.acl.unwrap_or(ObjectAcl::Default),
        storage_class: headers.storage_class.unwrap_or(storage_class),
        headers: headers.content,
        user_meta: headers.user_meta,
        tags: headers.tags.unwrap_or_default(),
        body: Body::Inline(bytes::Bytes::new()),
    });
    let (len, crc64) = (received.sums.len, received.sums.crc64);
    record.body = lengthened(call.objects(), record.body, received).await?;
    record.size = record.size.saturating_add(len);
    record.crc64 = combined_crc64(record.crc64, crc64, len);
    record.modified_ms = call.objects().now_ms();
    // Some 32 hex digits that change with the content (HTTP API 5.2).
    record.etag = ETag::from_bits(u128::from_be_bytes(crate::ids::random()));
    Ok(record)
}
