//! Objects: put, get, head, delete (HTTP API 9.1 to 9.5).

use base64::Engine;
use model::OperationKind;
use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ErrorCode};
use model::{ObjectAcl, ObjectType};
use oss::request::{
    ConditionOutcome, Conditions, ObjectHeaders, RangeBehaviour, RangeOutcome, ResponseOverrides, apply_range,
    check_no_conditions, invalid_range, range_is_current,
};
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard};

use super::upload;
use super::{Answer, BodySource, Call, Content, caching, callback, expiration, internal, website};
use crate::objects::{Keep, Received};

/// What is answered when an upload named no type (HTTP API 9.1).
pub(super) const DEFAULT_TYPE: &str = "application/octet-stream";

/// PutObject (HTTP API 9.1).
pub(crate) async fn put(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    check_no_conditions(call.raw)?;
    let headers = ObjectHeaders::parse(call.raw)?;
    let notice = callback::of_request(call).await?;
    upload::check_announced(call, body)?;
    let key = call.key()?.clone();
    if headers.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        call.may(OperationKind::PutObjectTagging, call.bucket()?, &key).await?;
    }
    if headers.forbid_overwrite && exists(call, &key).await? {
        return Err(already_exists(&key));
    }
    let forbid_overwrite = headers.forbid_overwrite;
    let received = upload::receive(call, body, Keep::Anywhere).await?;
    let record = uploaded(call, headers, received, ObjectType::Normal)?;
    store(call, &key, &record, guard_of(forbid_overwrite)).await?;
    let answer = upload_headers(Answer::empty(200), &record);
    let answer = expiration::announce(call, &key, &record, answer)?;
    callback::tell(call, notice, &key, &record, answer).await
}

/// The object that an upload makes.
pub(super) fn uploaded(
    call: &Call<'_>,
    headers: ObjectHeaders,
    received: Received,
    object_type: ObjectType,
) -> Result<ObjectRecord, Error> {
    Ok(ObjectRecord {
        size: received.sums.len,
        etag: received.sums.etag,
        crc64: received.sums.crc64,
        md5: received.sums.md5,
        modified_ms: call.state.clock.now_ms(),
        object_type,
        role: ObjectRole::Ordinary,
        acl: headers.acl.unwrap_or(ObjectAcl::Default),
        storage_class: headers.storage_class.unwrap_or(call.bucket()?.record.storage_class),
        headers: headers.content,
        user_meta: headers.user_meta,
        tags: headers.tags.unwrap_or_default(),
        body: received.body,
    })
}

/// Names an object whose blobs are durable.
///
/// # Errors
/// `FileAlreadyExists` as the guard demands; the blobs are deleted then.
pub(super) async fn store(
    call: &Call<'_>,
    key: &ObjectKey,
    record: &ObjectRecord,
    guard: PutGuard,
) -> Result<(), Error> {
    let bucket = &call.bucket()?.name;
    let Err(error) = call.state.meta.put_object(bucket, key, record, guard).await else { return Ok(()) };
    call.objects().discard(record.body.blobs(), &error).await;
    Err(refused(call, key, error))
}

/// Why an object was not given its name.
pub(crate) fn refused(call: &Call<'_>, key: &ObjectKey, error: store::Error) -> Error {
    match error.kind {
        store::ErrorKind::AlreadyExists => already_exists(key),
        store::ErrorKind::NotFound => super::no_such_bucket(call.route()),
        _ => internal(error),
    }
}

/// What `x-oss-forbid-overwrite` demands of the commit.
pub(super) fn guard_of(forbid_overwrite: bool) -> PutGuard {
    if forbid_overwrite { PutGuard::Absent } else { PutGuard::Any }
}

/// Whether there is an object of this key.
pub(crate) async fn exists(call: &Call<'_>, key: &ObjectKey) -> Result<bool, Error> {
    let found = call.state.meta.object(&call.bucket()?.name, key).await.map_err(internal)?;
    Ok(found.is_some())
}

/// 409 for an object that was not to be overwritten.
pub(super) fn already_exists(key: &ObjectKey) -> Error {
    Error::new(ErrorCode::FileAlreadyExists).with("Key", key.as_str())
}

/// The headers that an upload answers with (HTTP API 4).
pub(super) fn upload_headers(answer: Answer, record: &ObjectRecord) -> Answer {
    let answer = answer.header("etag", record.etag.quoted()).header("x-oss-hash-crc64ecma", record.crc64.to_string());
    match record.md5 {
        Some(md5) => answer.header("content-md5", base64::engine::general_purpose::STANDARD.encode(md5)),
        None => answer,
    }
}

/// GetObject (HTTP API 9.2).
pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Error> {
    let record = match find_content(call).await {
        Err(error) if error.code == ErrorCode::NoSuchKey => return website::instead(call, error).await,
        found => found?,
    };
    send(call, call.key()?, &record).await
}

/// An object as GET sends it: whole or in part, unless a condition forbids.
pub(crate) async fn send(call: &Call<'_>, key: &ObjectKey, record: &ObjectRecord) -> Result<Answer, Error> {
    let answer = conditional_headers(call, key, record)?;
    let size = record.size;
    let is_current = range_is_current(call.raw, &record.etag, record.modified_ms, call.now_ms);
    let requested = call.raw.header_text("range").filter(|_| is_current);
    let range = apply_range(requested, RangeBehaviour::of(call.raw), size);
    let (status, start, len) = match range {
        RangeOutcome::Whole => (200, 0, size),
        RangeOutcome::Part { start, .. } => (206, start, range.length(size)),
        RangeOutcome::Unsatisfiable => return Err(invalid_range(requested.unwrap_or_default(), size)),
    };
    let content = content(call, &record.body, start, len).await?;
    let answer = Answer { status, content, ..answer };
    Ok(match range.content_range(size) {
        Some(text) => answer.header("content-range", text),
        None => answer,
    })
}

/// HeadObject (HTTP API 9.3).
pub(crate) async fn head(call: &Call<'_>) -> Result<Answer, Error> {
    let record = find_content(call).await?;
    let answer = conditional_headers(call, call.key()?, &record)?;
    Ok(Answer { content: Content::Announced(record.size), ..answer })
}

/// GetObjectMeta (HTTP API 9.4).
pub(crate) async fn meta(call: &Call<'_>) -> Result<Answer, Error> {
    let record = find(call).await?;
    let answer = Answer::empty(200)
        .header("etag", record.etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-hash-crc64ecma", record.crc64.to_string());
    // A GET cannot announce a length that it does not send.
    let content = if call.raw.method == "HEAD" { Content::Announced(record.size) } else { Content::Empty };
    Ok(Answer { content, ..answer })
}

/// DeleteObject (HTTP API 9.5).
pub(crate) async fn delete(call: &Call<'_>) -> Result<Answer, Error> {
    check_version(call)?;
    let bucket = &call.bucket()?.name;
    call.state.meta.delete_object(bucket, call.key()?).await.map_err(internal)?;
    Ok(Answer::empty(204))
}

/// The object of the request.
///
/// # Errors
/// `NoSuchKey`, or `NoSuchVersion` for any version but the only one there is.
pub(crate) async fn find(call: &Call<'_>) -> Result<ObjectRecord, Error> {
    check_version(call)?;
    Ok(call.objects().find(&call.object_grant()?).await?.value.clone())
}

/// The object of the request, or the one its link leads to, shown as a link (HTTP API 9.2, 9.10). Whoever follows a link
/// needs the right to read both.
///
/// # Errors
/// As [`find`]; `SymlinkTargetNotExist`, `InvalidTargetType`, and the refusals of access control 8 for the target.
pub(crate) async fn find_content(call: &Call<'_>) -> Result<ObjectRecord, Error> {
    let record = find(call).await?;
    let Body::Link(target) = &record.body else { return Ok(record) };
    let absent = || Error::new(ErrorCode::SymlinkTargetNotExist).with("Key", target.as_str());
    let key = ObjectKey::parse(target.as_bytes())?;
    let bucket = call.bucket()?;
    let target = call.may(OperationKind::GetObject, bucket, &key).await?;
    let found = call.objects().read(&target).await?.ok_or_else(absent)?.value.clone();
    match found.object_type {
        ObjectType::Symlink => Err(Error::new(ErrorCode::InvalidTargetType)),
        _ => Ok(ObjectRecord { object_type: ObjectType::Symlink, ..found }),
    }
}

pub(crate) fn check_version(call: &Call<'_>) -> Result<(), Error> {
    match call.query().first("versionId") {
        None | Some("" | "null") => Ok(()),
        Some(other) => Err(Error::new(ErrorCode::NoSuchVersion)
            .with("Key", call.key()?.as_str())
            .with("VersionId", other.chars().take(64).collect::<String>())),
    }
}

/// Evaluates the conditions and gives the headers of the object, overrides included.
fn conditional_headers(call: &Call<'_>, key: &ObjectKey, record: &ObjectRecord) -> Result<Answer, Error> {
    let is_anonymous = matches!(call.granted.grant.caller(), Caller::Anonymous);
    let overrides = ResponseOverrides::parse(call.query(), is_anonymous)?;
    let mut answer = expiration::announce(call, key, record, object_headers(Answer::empty(200), record))?;
    for (name, value) in overrides.headers {
        answer.headers.retain(|(known, _)| known != name);
        answer = answer.header(name, value);
    }
    let answer = caching::announce(call, record, answer);
    let outcome = Conditions::of_read(call.raw, call.now_ms).evaluate(&record.etag, record.modified_ms);
    match outcome {
        ConditionOutcome::NotModified => Err(not_modified(&answer)),
        outcome => outcome.check().map(|()| answer),
    }
}

/// 304 with what it repeats of the answer that is not sent (RFC 9110 15.4.5): a cache takes over what it says.
pub(super) fn not_modified(answer: &Answer) -> Error {
    let repeated = ["etag", "last-modified", "cache-control", "expires", "vary"];
    repeated.into_iter().fold(Error::new(ErrorCode::NotModified), |error, name| {
        match answer.headers.iter().find(|(known, _)| known == name) {
            Some((_, value)) => error.header(name, String::from_utf8_lossy(value)),
            None => error,
        }
    })
}

/// The headers of an object on GET and HEAD (HTTP API 4).
pub(super) fn object_headers(answer: Answer, record: &ObjectRecord) -> Answer {
    let headers = &record.headers;
    let content_type = headers.content_type.clone().unwrap_or_else(|| DEFAULT_TYPE.into());
    let mut answer = answer
        .header("content-type", content_type)
        .header("accept-ranges", "bytes")
        .header("etag", record.etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-object-type", record.object_type.as_str())
        .header("x-oss-hash-crc64ecma", record.crc64.to_string())
        .header("x-oss-storage-class", record.storage_class.as_str());
    for (name, value) in [
        ("cache-control", &headers.cache_control),
        ("content-disposition", &headers.content_disposition),
        ("content-encoding", &headers.content_encoding),
        ("content-language", &headers.content_language),
        ("expires", &headers.expires),
    ] {
        if let Some(value) = value {
            answer = answer.header(name, value.clone());
        }
    }
    for (name, value) in &record.user_meta {
        answer = answer.header(format!("x-oss-meta-{name}"), value.clone());
    }
    if !record.tags.is_empty() {
        answer = answer.header("x-oss-tagging-count", record.tags.len().to_string());
    }
    if let Some(md5) = record.md5 {
        answer = answer.header("content-md5", base64::engine::general_purpose::STANDARD.encode(md5));
    }
    if record.object_type == ObjectType::Appendable {
        answer = answer.header("x-oss-next-append-position", record.size.to_string());
    }
    answer
}

/// The bytes `start..start + len` of a stored body.
pub(crate) async fn content(call: &Call<'_>, body: &Body, start: u64, len: u64) -> Result<Content, Error> {
    call.objects().content(body, start, len).await.map(Content::from)
}
