//! CopyObject (HTTP API 9.7).
//!
//! A copy shares the blobs of its source and writes none. Where the specification demands an MD5 that is not known, that
//! of an object made of parts or appends, the bytes are read once for it. A copy onto itself changes what is known of the
//! object and touches no byte.
//!
//! A source is found first and copied then, so that whoever asks can judge it in between: by conditions, by a range.

use std::sync::Arc;

use model::OperationKind;
use model::name::{BucketName, ObjectKey};
use model::{Error, ErrorCode};
use model::{ObjectAcl, ObjectType};
use store::Subject;
use store::blob::BlobId;
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard, Stored};

use super::authorization::AccessDetails;
use super::object::{NewHeaders, Written, already_exists, exists, guard_of, refused, store};
use super::{Bucket, Call, internal};
use crate::objects::{self, CopiedFrom, INLINE_BYTES, Intake, Keep, ObjectGrant};

/// How often a copy onto itself is tried while others write the same object.
const ATTEMPTS: usize = 16;
/// The most blobs that a copy shares one by one. The bytes of an object in more of them are copied, into one blob: so no
/// commit counts more names than this, and no object becomes more scattered by being copied.
const MAX_SHARED: usize = 1024;
/// The largest source of a copy, or part of it that is read, in bytes.
const MAX_COPY_BYTES: u64 = 5 << 30;

/// The object that is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopySource {
    /// Its bucket.
    pub(crate) bucket: BucketName,
    /// Its key.
    pub(crate) key: ObjectKey,
    /// Whether a version of it is named, for which a right of its own is needed (access control 2).
    pub(crate) names_version: bool,
}

/// A source that may be read.
pub(crate) struct Readable {
    /// Its bucket.
    bucket: Bucket,
    /// The right to read it.
    grant: ObjectGrant,
}

/// A source of a copy, as it was read.
pub(crate) struct Original {
    /// Its bucket.
    bucket: Bucket,
    /// The right to read it.
    pub(super) grant: ObjectGrant,
    /// The object.
    pub(super) found: Arc<Stored<ObjectRecord>>,
}

impl Original {
    /// What is known of it.
    pub(crate) fn record(&self) -> &ObjectRecord {
        &self.found.value
    }
}

/// What is to be copied, and what becomes of what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyObject {
    /// The source.
    pub(crate) source: CopySource,
    /// What is said about the copy.
    pub(crate) headers: NewHeaders,
    /// Whether the copy has the headers and metadata of the request instead of those of the source.
    pub(crate) replaces_metadata: bool,
    /// Whether it has the tags of the request.
    pub(crate) replaces_tags: bool,
}

/// Decides whether the caller may read what is copied.
///
/// # Errors
/// `NoSuchBucket`, the refusals of access control 8.
async fn may_read(call: &Call<'_>, source: &CopySource) -> Result<Readable, Error> {
    let bucket = call.other_bucket(&source.bucket).await?;
    let details = AccessDetails { names_version: source.names_version, ..AccessDetails::default() };
    let grant = call.may_with(OperationKind::GetObject, &bucket, &source.key, details).await?;
    Ok(Readable { bucket, grant })
}

/// Reads what may be read.
///
/// # Errors
/// `NoSuchKey`.
async fn read(call: &Call<'_>, readable: Readable) -> Result<Original, Error> {
    let Readable { bucket, grant } = readable;
    let found = call.objects().find(&grant).await?;
    Ok(Original { bucket, grant, found })
}

/// A source of a part, which the caller may read.
///
/// # Errors
/// `NoSuchBucket`, `NoSuchKey`, the refusals of access control 8.
pub(crate) async fn find_source(call: &Call<'_>, source: &CopySource) -> Result<Original, Error> {
    read(call, may_read(call, source).await?).await
}

/// The source of a copy that the caller may make.
///
/// # Errors
/// As [`find_source`], and the refusals of access control 8 for tags.
pub(crate) async fn find(call: &Call<'_>, request: &CopyObject) -> Result<Original, Error> {
    let readable = may_read(call, &request.source).await?;
    if request.replaces_tags && request.headers.sets_tags() {
        call.may(OperationKind::PutObjectTagging, call.bucket()?, call.key()?).await?;
    }
    read(call, readable).await
}

/// CopyObject (HTTP API 9.7), once its source was found and judged.
///
/// # Errors
/// `FileAlreadyExists`, `EntityTooLarge`, the refusals of access control 8 for the tags that are copied.
pub(crate) async fn copy(call: &Call<'_>, request: CopyObject, from: Original) -> Result<Written, Error> {
    let (bucket, grant) = (call.bucket()?, call.object_grant()?);
    let key = grant.key();
    let is_onto_itself = from.bucket.name == bucket.name && request.source.key == *key;
    // Tags that come with the object are read there and set here (access control 2).
    let tags = &from.record().tags;
    if !request.replaces_tags && !tags.is_empty() && !is_onto_itself {
        let of_source = AccessDetails { names_version: request.source.names_version, ..AccessDetails::default() };
        call.may_with(OperationKind::GetObjectTagging, &from.bucket, &request.source.key, of_source).await?;
        let of_target = AccessDetails { tags: Some(tags), ..AccessDetails::default() };
        call.may_with(OperationKind::PutObjectTagging, bucket, key, of_target).await?;
    }
    if request.headers.forbid_overwrite && exists(call, &grant).await? {
        return Err(already_exists(key));
    }
    let record = if is_onto_itself {
        onto_itself(call, &grant, from.found, &request).await?
    } else {
        check_copy_length(from.record().size)?;
        duplicate(call, &grant, from, request).await?
    };
    Written::of(call, key, record, None).await
}

/// Refuses a source, or the part of it that is read, beyond 5 GB.
///
/// # Errors
/// `EntityTooLarge`.
pub(crate) fn check_copy_length(length: u64) -> Result<(), Error> {
    if length > MAX_COPY_BYTES {
        let message = "Source object Length exceeds the maximum allowed size.";
        return Err(Error::new(ErrorCode::EntityTooLarge).message(message));
    }
    Ok(())
}

async fn duplicate(
    call: &Call<'_>,
    grant: &ObjectGrant,
    from: Original,
    request: CopyObject,
) -> Result<ObjectRecord, Error> {
    let headers = request.headers;
    let guard = guard_of(headers.forbid_overwrite);
    // Whatever becomes of the original meanwhile, its bytes are there until the copy is made.
    let _pinned = call.objects().pin(&from.record().body);
    let mut record = ObjectRecord {
        modified_ms: call.objects().now_ms(),
        acl: headers.acl.unwrap_or(ObjectAcl::Default),
        storage_class: headers.storage_class.unwrap_or(call.bucket()?.record.storage_class),
        ..from.record().clone()
    };
    if request.replaces_metadata {
        record.headers = headers.content;
        record.user_meta = headers.user_meta;
    }
    if request.replaces_tags {
        record.tags = headers.tags.unwrap_or_default();
    }
    // A link is copied as the link it is.
    if matches!(record.body, Body::Link(_)) {
        store(call, grant, &record, guard).await?;
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
        let source = CopiedFrom { grant: &from.grant, version: from.found.version };
        match call.objects().write_from(grant, &record, guard, source).await {
            Ok(()) => return Ok(record),
            // The original was written or deleted meanwhile: its bytes as they were read are copied.
            Err(error) if error.subject == Subject::Source => {}
            Err(error) => return Err(refused(grant, error)),
        }
    }
    let mut intake = Intake::new(call.objects(), Keep::Anywhere);
    objects::copy(&mut intake, call.objects().content(&record.body, 0, record.size).await?).await?;
    let received = intake.finish(|sums| check_copied(&record, sums.crc64)).await?;
    record.etag = received.sums.etag;
    record.md5 = received.sums.md5;
    record.body = received.body;
    store(call, grant, &record, guard).await?;
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

/// Metadata alone changes, always as if it were replaced. ACL and storage class are no metadata: where the request names
/// none, they stay (D30), or a private object would become public with its bucket when somebody corrects its type.
async fn onto_itself(
    call: &Call<'_>,
    grant: &ObjectGrant,
    mut found: Arc<Stored<ObjectRecord>>,
    request: &CopyObject,
) -> Result<ObjectRecord, Error> {
    let headers = &request.headers;
    for _ in 0..ATTEMPTS {
        let mut record = ObjectRecord {
            modified_ms: call.objects().now_ms(),
            acl: headers.acl.unwrap_or(found.value.acl),
            storage_class: headers.storage_class.unwrap_or(found.value.storage_class),
            headers: headers.content.clone(),
            user_meta: headers.user_meta.clone(),
            ..found.value.clone()
        };
        if request.replaces_tags {
            record.tags = headers.tags.clone().unwrap_or_default();
        }
        // Its blobs are those of the object that is there.
        let kept: Vec<BlobId> = record.body.blobs().collect();
        match call.objects().write(grant, &record, PutGuard::VersionIs(found.version), &kept).await {
            Ok(_) => return Ok(record),
            Err(error) if error.kind == store::ErrorKind::Conflict => {
                let absent = || Error::new(ErrorCode::NoSuchKey).with("Key", grant.key().as_str());
                found = call.objects().read_again(grant).await?.ok_or_else(absent)?;
            }
            Err(error) => return Err(internal(error)),
        }
    }
    Err(Error::new(ErrorCode::ServiceUnavailable).message("The object is being written by others. Please try again."))
}
