//! CopyObject (HTTP API 9.7).
//!
//! A copy shares the blobs of its source and writes none. Where the specification demands an MD5 that is not known, that
//! of an object made of parts or appends, the bytes are read once for it. A copy onto itself changes what is known of the
//! object and touches no byte.

use model::OperationKind;
use model::name::ObjectKey;
use model::{Error, ErrorCode};
use model::{ObjectAcl, ObjectType};
use oss::request::{Conditions, CopyDirective, CopySource, ObjectHeaders, check_copy_length};
use oss::xml::object::render_copy_object_result;
use store::Subject;
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard, Source, Stored};

use super::further::Wording;
use super::object::{already_exists, exists, guard_of, refused, store};
use super::{Answer, Bucket, Call, expiration, internal};
use crate::objects::{self, INLINE_BYTES, Intake, Keep};

/// How often a copy onto itself is tried while others write the same object.
const ATTEMPTS: usize = 16;
/// The most blobs that a copy shares one by one. The bytes of an object in more of them are copied, into one blob: so no
/// commit counts more names than this, and no object becomes more scattered by being copied.
const MAX_SHARED: usize = 1024;

/// CopyObject (HTTP API 9.7).
pub(crate) async fn copy(call: &Call<'_>) -> Result<Answer, Error> {
    let source = CopySource::parse(call.raw)?;
    let headers = ObjectHeaders::parse(call.raw)?;
    let metadata = CopyDirective::of_metadata(call.raw)?;
    let tags = CopyDirective::of_tags(call.raw)?;
    let (bucket, key) = (call.bucket()?, call.key()?);
    let from = call.other_bucket(&source.bucket).await?;
    may_read_source(call, &from, &source).await?;
    if tags == CopyDirective::Replace && headers.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        call.may(OperationKind::PutObjectTagging, bucket, key).await?;
    }
    let found = read_source(call, &from, &source).await?;
    let is_onto_itself = from.name == bucket.name && source.key == *key;
    // Tags that come with the object are read there and set here (access control 2).
    if tags == CopyDirective::Copy && !found.value.tags.is_empty() && !is_onto_itself {
        let of_source = Wording { names_version: source.names_version, ..Wording::default() };
        call.may_worded(OperationKind::GetObjectTagging, &from, &source.key, of_source).await?;
        let of_target = Wording { tags: Some(&found.value.tags), ..Wording::default() };
        call.may_worded(OperationKind::PutObjectTagging, bucket, key, of_target).await?;
    }
    if headers.forbid_overwrite && exists(call, key).await? {
        return Err(already_exists(key));
    }
    let wish = Wish { headers, metadata, tags };
    let record = if is_onto_itself {
        onto_itself(call, bucket, found, wish).await?
    } else {
        check_copy_length(found.value.size)?;
        duplicate(call, bucket, Original { bucket: &from, key: &source.key, found }, wish).await?
    };
    let answer = Answer::xml(render_copy_object_result(&record.etag, record.modified_ms))
        .header("etag", record.etag.quoted())
        .header("x-oss-hash-crc64ecma", record.crc64.to_string());
    expiration::announce(call, key, &record, answer)
}

/// What the request wants of the copy.
struct Wish {
    headers: ObjectHeaders,
    metadata: CopyDirective,
    tags: CopyDirective,
}

/// Decides whether the caller may read what is copied.
///
/// # Errors
/// The refusals of access control 8.
pub(crate) async fn may_read_source(call: &Call<'_>, bucket: &Bucket, source: &CopySource) -> Result<(), Error> {
    let worded = Wording { names_version: source.names_version, ..Wording::default() };
    call.may_worded(OperationKind::GetObject, bucket, &source.key, worded).await.map(drop)
}

/// The object that is copied, conditions held.
///
/// # Errors
/// `NoSuchKey`, `NotModified`, `PreconditionFailed`.
pub(super) async fn read_source(
    call: &Call<'_>,
    bucket: &Bucket,
    source: &CopySource,
) -> Result<Stored<ObjectRecord>, Error> {
    let found = call.state.meta.object(&bucket.name, &source.key).await.map_err(internal)?;
    let found = found.ok_or_else(|| Error::new(ErrorCode::NoSuchKey).with("Key", source.key.as_str()))?;
    let conditions = Conditions::of_copy_source(call.raw, call.now_ms);
    conditions.evaluate(&found.value.etag, found.value.modified_ms).check()?;
    Ok(found)
}

/// An object to be copied, as it was read.
struct Original<'a> {
    bucket: &'a Bucket,
    key: &'a ObjectKey,
    found: Stored<ObjectRecord>,
}

async fn duplicate(call: &Call<'_>, bucket: &Bucket, from: Original<'_>, wish: Wish) -> Result<ObjectRecord, Error> {
    let Stored { value: found, version } = from.found;
    let guard = guard_of(wish.headers.forbid_overwrite);
    // Whatever becomes of the original meanwhile, its bytes are there until the copy is made.
    let _pinned = call.state.meta.pin(found.body.blobs());
    let mut record = ObjectRecord {
        modified_ms: call.state.clock.now_ms(),
        acl: wish.headers.acl.unwrap_or(ObjectAcl::Default),
        storage_class: wish.headers.storage_class.unwrap_or(bucket.record.storage_class),
        ..found
    };
    if wish.metadata == CopyDirective::Replace {
        record.headers = wish.headers.content;
        record.user_meta = wish.headers.user_meta;
    }
    if wish.tags == CopyDirective::Replace {
        record.tags = wish.headers.tags.unwrap_or_default();
    }
    // A link is copied as the link it is.
    if matches!(record.body, Body::Link(_)) {
        store(call, call.key()?, &record, guard).await?;
        return Ok(record);
    }
    let has_tag_of_content = record.object_type == ObjectType::Normal;
    record.object_type = ObjectType::Normal;
    record.role = ObjectRole::Ordinary;
    if is_shareable(&record) {
        if !has_tag_of_content {
            let sums = objects::read_sums(call.objects().content(&record.body, 0, record.size).await?).await?;
            check_copied(&record, sums.crc64)?;
            (record.etag, record.md5) = (sums.etag, sums.md5);
        }
        let source = Source { bucket: &from.bucket.name, key: from.key, version };
        let key = call.key()?;
        match call.state.meta.put_object_from(&bucket.name, key, &record, guard, &source).await {
            Ok(_) => return Ok(record),
            // The original was written or deleted meanwhile: its bytes as they were read are copied.
            Err(error) if error.subject == Subject::Source => {}
            Err(error) => return Err(refused(call, key, error)),
        }
    }
    let mut intake = Intake::new(call.objects(), Keep::Anywhere);
    objects::copy(&mut intake, call.objects().content(&record.body, 0, record.size).await?).await?;
    let received = intake.finish(|sums| check_copied(&record, sums.crc64)).await?;
    record.etag = received.sums.etag;
    record.md5 = received.sums.md5;
    record.body = received.body;
    store(call, call.key()?, &record, guard).await?;
    Ok(record)
}

/// Whether a copy can share the blobs. Small objects are kept without any.
fn is_shareable(record: &ObjectRecord) -> bool {
    record.size > INLINE_BYTES as u64 && record.body.blobs().take(MAX_SHARED + 1).count() <= MAX_SHARED
}

/// Bytes that rotted on the disk must not become a copy with a good checksum.
fn check_copied(source: &ObjectRecord, crc64: u64) -> Result<(), Error> {
    if source.crc64 == crc64 {
        return Ok(());
    }
    tracing::error!(stored = source.crc64, read = crc64, "a stored body is not what was written");
    Err(Error::new(ErrorCode::InternalError))
}

/// Metadata alone changes, always as `REPLACE` says. ACL and storage class are no metadata: where the request names
/// none, they stay (D30), or a private object would become public with its bucket when somebody corrects its type.
async fn onto_itself(
    call: &Call<'_>,
    bucket: &Bucket,
    mut found: Stored<ObjectRecord>,
    wish: Wish,
) -> Result<ObjectRecord, Error> {
    let key = call.key()?;
    for _ in 0..ATTEMPTS {
        let mut record = ObjectRecord {
            modified_ms: call.state.clock.now_ms(),
            acl: wish.headers.acl.unwrap_or(found.value.acl),
            storage_class: wish.headers.storage_class.unwrap_or(found.value.storage_class),
            headers: wish.headers.content.clone(),
            user_meta: wish.headers.user_meta.clone(),
            ..found.value
        };
        if wish.tags == CopyDirective::Replace {
            record.tags = wish.headers.tags.clone().unwrap_or_default();
        }
        match call.state.meta.put_object(&bucket.name, key, &record, PutGuard::VersionIs(found.version)).await {
            Ok(_) => return Ok(record),
            Err(error) if error.kind == store::ErrorKind::Conflict => {
                let again = call.state.meta.object(&bucket.name, key).await.map_err(internal)?;
                found = again.ok_or_else(|| Error::new(ErrorCode::NoSuchKey).with("Key", key.as_str()))?;
            }
            Err(error) => return Err(internal(error)),
        }
    }
    Err(Error::new(ErrorCode::ServiceUnavailable).message("The object is being written by others. Please try again."))
}
