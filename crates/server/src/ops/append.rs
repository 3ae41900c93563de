//! AppendObject (HTTP API 9.8). What is appended becomes a blob behind those that are there; small blobs at the end are
//! joined with it, so that a log of many short lines stays a short list of blobs.

use model::OperationKind;
use model::name::ObjectKey;
use model::{ETag, ObjectAcl, ObjectType};
use model::{Error, ErrorCode};
use oss::request::{MAX_BODY_BYTES, ObjectHeaders, parse_append_position};
use store::blob::BlobId;
use store::meta::{Body, Extent, ObjectRecord, ObjectRole, PutGuard, Stored};

use super::multipart::combined_crc64;
use super::object::{already_exists, content_of};
use super::upload::{self, INLINE_BYTES, Intake, Keep, Received};
use super::{Answer, BodySource, Call, expiration, internal};
use crate::state::State;

/// A blob is only rewritten to be joined with another up to this size.
const MAX_JOINED_BYTES: u64 = 4 << 20;

/// AppendObject (HTTP API 9.8).
pub(super) async fn append(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
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
        forget(call.state, received.body.blobs()).await;
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
    upload::discard(call.state, record.body.blobs().filter(|blob| !old.contains(blob)), &error).await;
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
    record.body = lengthened(call.state, record.body, received).await?;
    record.size = record.size.saturating_add(len);
    record.crc64 = combined_crc64(record.crc64, crc64, len);
    record.modified_ms = call.state.clock.now_ms();
    // Some 32 hex digits that change with the content (HTTP API 5.2).
    record.etag = ETag::from_bits(u128::from_be_bytes(crate::ids::random()));
    Ok(record)
}

/// A body with what was received behind it.
///
/// # Errors
/// `ObjectNotAppendable` for a link; `InternalError`.
pub(super) async fn lengthened(state: &State, old: Body, received: Received) -> Result<Body, Error> {
    let (mut kept, tail, tail_len) = match old {
        Body::Inline(bytes) => {
            let len = bytes.len() as u64;
            (Vec::new(), Body::Inline(bytes), len)
        }
        Body::Blobs(mut kept) => {
            let tail = split_tail(&mut kept, received.sums.len);
            let len = tail.iter().map(|extent| extent.len).sum();
            (kept, Body::Blobs(tail), len)
        }
        Body::Link(_) => return Err(Error::new(ErrorCode::ObjectNotAppendable)),
    };
    let added = match (&tail, received.body) {
        (Body::Inline(bytes), Body::Inline(more)) if bytes.len() + more.len() <= INLINE_BYTES => {
            return Ok(Body::Inline([bytes.as_ref(), more.as_ref()].concat().into()));
        }
        (_, Body::Blobs(extents)) if tail_len == 0 => extents,
        (_, more) => {
            let mut intake = Intake::new(state, Keep::InBlob);
            upload::copy(&mut intake, content_of(state, &tail, 0, tail_len).await?).await?;
            upload::copy(&mut intake, content_of(state, &more, 0, received.sums.len).await?).await?;
            let joined = intake.finish(|_| Ok(())).await?;
            forget(state, more.blobs()).await;
            match joined.body {
                Body::Blobs(extents) => extents,
                Body::Inline(_) | Body::Link(_) => return Err(Error::new(ErrorCode::InternalError)),
            }
        }
    };
    kept.extend(added);
    Ok(Body::Blobs(kept))
}

/// Takes the blobs off the end that are to be joined with `added` bytes: each no longer than what follows it, so that
/// every byte is rewritten a few times at most and the list grows with the logarithm of the appends.
fn split_tail(extents: &mut Vec<Extent>, added: u64) -> Vec<Extent> {
    let mut joined = added;
    let mut from = extents.len();
    for (index, extent) in extents.iter().enumerate().rev() {
        if extent.len > joined || joined.saturating_add(extent.len) > MAX_JOINED_BYTES {
            break;
        }
        joined = joined.saturating_add(extent.len);
        from = index;
    }
    extents.split_off(from)
}

/// Deletes blobs that never had a name.
async fn forget(state: &State, blobs: impl Iterator<Item = BlobId>) {
    for blob in blobs {
        if let Err(error) = state.blobs.delete(blob).await {
            tracing::warn!(%error, %blob, "a blob without a name cannot be deleted now");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the blobs after appends of these lengths.
    fn check(appends: &[u64], expected: &[u64]) {
        let mut extents: Vec<Extent> = Vec::new();
        for (number, len) in appends.iter().enumerate() {
            let tail = split_tail(&mut extents, *len);
            let joined = tail.iter().map(|extent| extent.len).sum::<u64>() + len;
            let blob = BlobId::new(i64::try_from(number).unwrap(), [0; 10]);
            extents.push(Extent { blob, offset: 0, len: joined });
        }
        assert_eq!(extents.iter().map(|extent| extent.len).collect::<Vec<_>>(), expected, "{appends:?}");
    }

    #[test]
    fn short_appends_are_joined_and_long_ones_are_not() {
        check(&[5], &[5]);
        check(&[5, 5, 5], &[10, 5]);
        check(&[1; 8], &[8]);
        check(&[1; 100], &[64, 32, 4]);
        check(&[MAX_JOINED_BYTES, 1, MAX_JOINED_BYTES], &[MAX_JOINED_BYTES, 1, MAX_JOINED_BYTES]);
        check(&[3 << 20, 3 << 20], &[3 << 20, 3 << 20]);
    }
}
