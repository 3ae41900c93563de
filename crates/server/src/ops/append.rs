//! AppendObject (HTTP API 9.8). What is appended becomes a blob behind those that are there; small blobs at the end are
//! joined with it, so that a log of many short lines stays a short list of blobs.

use model::MAX_BODY_BYTES;
use model::OperationKind;
use model::name::ObjectKey;
use model::{ETag, ObjectAcl, ObjectType};
use model::{Error, ErrorCode};
use oss::request::{ObjectHeaders, parse_append_position};
use store::blob::BlobId;
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard, Stored};

use super::multipart::combined_crc64;
use super::object::already_exists;
use super::upload;
use super::{Answer, BodySource, Call, expiration, internal};
use crate::objects::{Keep, Received, lengthened};

/// AppendObject (HTTP API 9.8).
pub(crate) async fn append(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let position = parse_append_position(call.query())?;
    let headers = ObjectHeaders::parse(call.raw)?;
    let (bucket, key) = (call.bucket()?, call.key()?);
    upload::check_announced(call, body)?;
    let found = find(call, key).await?;
    // Behind the beginning there is always something to append to.
    if position == 0 && headers.forbid_overwrite && found.is_some() {
        return Err(already_exists(key));
    }
    check_position(key, found.as_ref(), position)?;
    if body.announced_length().is_some_and(|len| position.saturating_add(len) > MAX_BODY_BYTES) {
        return Err(Error::new(ErrorCode::EntityTooLarge));
    }
    if found.is_none() && headers.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        call.may(OperationKind::PutObjectTagging, bucket, key).await?;
    }
    let received = upload::receive(call, body, Keep::Anywhere).await?;
    if position.saturating_add(received.sums.len) > MAX_BODY_BYTES {
        call.objects().forget(received.body.blobs()).await;
        return Err(Error::new(ErrorCode::EntityTooLarge));
    }
    let guard = found.as_ref().map_or(PutGuard::Absent, |object| PutGuard::VersionIs(object.version));
    let old: Vec<BlobId> = found.iter().flat_map(|object| object.value.body.blobs()).collect();
    let record = grown(call, found.map(|object| object.value), headers, received).await?;
    let Err(error) = call.state.meta.put_object(&bucket.name, key, &record, guard).await else {
        let answer = Answer::empty(200)
            .header("etag", record.etag.quoted())
            .header("x-oss-next-append-position", record.size.to_string())
            .header("x-oss-hash-crc64ecma", record.crc64.to_string());
        return expiration::announce(call, key, &record, answer);
    };
    call.objects().discard(record.body.blobs().filter(|blob| !old.contains(blob)), &error).await;
    match error.kind {
        // Somebody else appended at the same position, or replaced or deleted the object.
        store::ErrorKind::Conflict | store::ErrorKind::AlreadyExists => {
            let now = find(call, key).await?;
            check_position(key, now.as_ref(), position)?;
            Err(wrong_position(key, now.map_or(0, |object| object.value.size)))
        }
        store::ErrorKind::NotFound => Err(super::no_such_bucket(call.route())),
        _ => Err(internal(error)),
    }
}

async fn find(call: &Call<'_>, key: &ObjectKey) -> Result<Option<Stored<ObjectRecord>>, Error> {
    call.state.meta.object(&call.bucket()?.name, key).await.map_err(internal)
}

/// An absent object has length 0.
fn check_position(key: &ObjectKey, found: Option<&Stored<ObjectRecord>>, position: u64) -> Result<(), Error> {
    let length = match found {
        Some(object) if object.value.object_type != ObjectType::Appendable => {
            return Err(Error::new(ErrorCode::ObjectNotAppendable).with("Key", key.as_str()));
        }
        Some(object) => object.value.size,
        None => 0,
    };
    if position == length { Ok(()) } else { Err(wrong_position(key, length)) }
}

fn wrong_position(key: &ObjectKey, length: u64) -> Error {
    Error::new(ErrorCode::PositionNotEqualToLength)
        .with("Key", key.as_str())
        .header("x-oss-next-append-position", length.to_string())
}

/// The object with the bytes behind it. The first append decides what is known of it, later ones only add.
async fn grown(
    call: &Call<'_>,
    old: Option<ObjectRecord>,
    headers: ObjectHeaders,
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
    record.modified_ms = call.state.clock.now_ms();
    // Some 32 hex digits that change with the content (HTTP API 5.2).
    record.etag = ETag::from_bits(u128::from_be_bytes(crate::ids::random()));
    Ok(record)
}
