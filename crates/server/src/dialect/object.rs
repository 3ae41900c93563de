//! Objects on the wire (HTTP API 9.1 to 9.5): how uploads describe them, and how answers show them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ErrorCode, ObjectType};
use oss::request::{
    BodyDigests, ConditionOutcome, Conditions, ObjectHeaders, RangeBehaviour, RangeOutcome, ResponseOverrides,
    apply_range, check_no_conditions, invalid_range, object_location, range_is_current,
};
use store::meta::ObjectRecord;

use super::{Answer, Content};
use super::{Asked, caching, callback, expiration, playlist};
use crate::config::RangeBehavior;
use crate::objects::BodySource;
use crate::objects::Expected;
use crate::ops::Call;
use crate::ops::object::{self, NewHeaders, PutObject, ReadObject, Shown, Written};

/// What is answered when an upload named no type (HTTP API 9.1).
pub(super) const DEFAULT_TYPE: &str = "application/octet-stream";

impl From<ObjectHeaders> for NewHeaders {
    fn from(sent: ObjectHeaders) -> Self {
        let ObjectHeaders { content, user_meta, acl, storage_class, tags, forbid_overwrite } = sent;
        Self { acl, storage_class, content, user_meta, tags, forbid_overwrite }
    }
}

/// What the headers of an upload say about the object that it makes.
///
/// # Errors
/// As [`ObjectHeaders::parse`].
pub(super) fn new_headers(asked: &Asked<'_>) -> Result<NewHeaders, Error> {
    ObjectHeaders::parse(asked.raw).map(NewHeaders::from)
}

/// What the body of an upload is said to come to (HTTP API 5.3, OSS auth 5.2). It is judged by the operation at its place.
///
/// # Errors
/// As [`BodyDigests::parse`].
pub(super) fn expected(asked: &Asked<'_>) -> Result<Expected, Error> {
    let BodyDigests { md5, crc64 } = BodyDigests::parse(asked.raw)?;
    Ok(Expected { md5, crc64, sha256: asked.credentials.payload_sha256() })
}

/// The version that a request names.
pub(super) fn version<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    asked.query().first("versionId")
}

/// PutObject (HTTP API 9.1).
pub(super) async fn put(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    check_no_conditions(asked.raw)?;
    let headers = new_headers(asked)?;
    let callback = callback::of_request(asked)?;
    let written = object::put(call, PutObject { headers, expected: expected(asked), callback }, body).await?;
    announce(upload_headers(Answer::empty(200), &written.record), written)
}

/// The headers that an upload answers with (HTTP API 4).
pub(super) fn upload_headers(answer: Answer, record: &ObjectRecord) -> Answer {
    let answer = answer.header("etag", record.etag.quoted()).header("x-oss-hash-crc64ecma", record.crc64.to_string());
    with_md5(answer, record.md5)
}

/// Adds the MD5 of a content, where it is known.
pub(super) fn with_md5(answer: Answer, md5: Option<[u8; 16]>) -> Answer {
    match md5 {
        Some(md5) => answer.header("content-md5", STANDARD.encode(md5)),
        None => answer,
    }
}

/// Adds what every answer to an upload says of the object that it made: when it goes, and what the application's server
/// had to say.
///
/// # Errors
/// `CallbackFailed`, which is sent as 203: the object stays.
pub(super) fn announce(answer: Answer, written: Written) -> Result<Answer, Error> {
    let Written { record, expiration, notified } = written;
    callback::answer(expiration::announce(answer, expiration.as_ref()), notified, &record)
}

/// GetObject (HTTP API 9.2).
pub(super) async fn get(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    match object::get(call, read_object(asked)).await? {
        object::Content::Object(shown) => send(asked, call, &shown).await,
        object::Content::ErrorPage(record, status) => {
            let content = content(call, &record, 0, record.size).await?;
            Ok(Answer { status, content, ..object_headers(Answer::empty(200), &record) })
        }
        object::Content::Folder(key) => elsewhere(asked, &key),
    }
}

/// The way to the folder that is meant by a key.
fn elsewhere(asked: &Asked<'_>, key: &ObjectKey) -> Result<Answer, Error> {
    let location = object_location(asked.raw, asked.route.style, asked.bucket()?, key);
    Ok(Answer::empty(302).header("location", location))
}

fn read_object<'a>(asked: &Asked<'a>) -> ReadObject<'a> {
    ReadObject { version: version(asked), page: caching::page(asked) }
}

/// An object as GET sends it: whole or in part, unless a condition forbids.
async fn send(asked: &Asked<'_>, call: &Call<'_>, shown: &Shown) -> Result<Answer, Error> {
    if let Some(answer) = playlist::compressed(asked, call, shown).await? {
        return Ok(answer);
    }
    let answer = conditional_headers(asked, call, shown)?;
    let record = &shown.record;
    let size = record.size;
    let is_current = range_is_current(asked.raw, &record.etag, record.modified_ms, asked.now_ms);
    let requested = asked.raw.header_text("range").filter(|_| is_current);
    let range = apply_range(requested, range_behaviour(asked), size);
    let (status, start, len) = match range {
        RangeOutcome::Whole => (200, 0, size),
        RangeOutcome::Part { start, .. } => (206, start, range.length(size)),
        RangeOutcome::Unsatisfiable => return Err(invalid_range(requested.unwrap_or_default(), size)),
    };
    let content = content(call, record, start, len).await?;
    let answer = Answer { status, content, ..answer };
    Ok(match range.content_range(size) {
        Some(text) => answer.header("content-range", text),
        None => answer,
    })
}

/// How ranges that do not fit are answered: as the request asks, else as the server was configured.
fn range_behaviour(asked: &Asked<'_>) -> RangeBehaviour {
    let unsaid = match asked.config.http.range_behavior {
        RangeBehavior::Oss => RangeBehaviour::Usual,
        RangeBehavior::Standard => RangeBehaviour::Standard,
    };
    RangeBehaviour::of(asked.raw, unsaid)
}

async fn content(call: &Call<'_>, record: &ObjectRecord, start: u64, len: u64) -> Result<Content, Error> {
    object::bytes(call, record, start, len).await.map(Content::from)
}

/// HeadObject (HTTP API 9.3).
pub(super) async fn head(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let shown = object::head(call, read_object(asked)).await?;
    let answer = conditional_headers(asked, call, &shown)?;
    Ok(Answer { content: Content::Announced(shown.record.size), ..answer })
}

/// GetObjectMeta (HTTP API 9.4).
pub(super) async fn meta(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let record = object::find(call, version(asked)).await?;
    let answer = Answer::empty(200)
        .header("etag", record.etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-hash-crc64ecma", record.crc64.to_string());
    // A GET cannot announce a length that it does not send.
    let content = if asked.raw.method == "HEAD" { Content::Announced(record.size) } else { Content::Empty };
    Ok(Answer { content, ..answer })
}

/// DeleteObject (HTTP API 9.5).
pub(super) async fn delete(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    object::delete(call, version(asked)).await?;
    Ok(Answer::empty(204))
}

/// Evaluates the conditions and gives the headers of the object, overrides included.
pub(super) fn conditional_headers(asked: &Asked<'_>, call: &Call<'_>, shown: &Shown) -> Result<Answer, Error> {
    let record = &shown.record;
    let is_anonymous = matches!(call.granted.grant.caller(), Caller::Anonymous);
    let overrides = ResponseOverrides::parse(asked.query(), is_anonymous)?;
    let answer = expiration::announce(object_headers(Answer::empty(200), record), shown.expiration.as_ref());
    let answer = playlist::dressed(answer, asked, record);
    let answer = caching::announce(overridden(answer, overrides), shown.keeping);
    let conditions = Conditions::of_read(asked.raw, asked.now_ms);
    if_proceeds(conditions.evaluate(&record.etag, record.modified_ms), answer)
}

/// Replaces headers by those that the request asks for.
pub(super) fn overridden(mut answer: Answer, overrides: ResponseOverrides) -> Answer {
    for (name, value) in overrides.headers {
        answer.headers.retain(|(known, _)| known != name);
        answer = answer.header(name, value);
    }
    answer
}

/// The answer, unless a condition forbids.
///
/// # Errors
/// `NotModified`, `PreconditionFailed`.
pub(super) fn if_proceeds(outcome: ConditionOutcome, answer: Answer) -> Result<Answer, Error> {
    match outcome {
        ConditionOutcome::NotModified => Err(not_modified(&answer)),
        outcome => outcome.check().map(|()| answer),
    }
}

/// 304 with what it repeats of the answer that is not sent (RFC 9110 15.4.5): a cache takes over what it says.
fn not_modified(answer: &Answer) -> Error {
    let repeated = ["etag", "last-modified", "cache-control", "expires", "vary"];
    repeated.into_iter().fold(Error::new(ErrorCode::NotModified), |error, name| {
        match answer.headers.iter().find(|(known, _)| known == name) {
            Some((_, value)) => error.header(name, String::from_utf8_lossy(value)),
            None => error,
        }
    })
}

/// The headers of an object on GET and HEAD (HTTP API 4).
fn object_headers(answer: Answer, record: &ObjectRecord) -> Answer {
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
    answer = with_user_meta(answer, record);
    if !record.tags.is_empty() {
        answer = answer.header("x-oss-tagging-count", record.tags.len().to_string());
    }
    answer = with_md5(answer, record.md5);
    if record.object_type == ObjectType::Appendable {
        answer = answer.header("x-oss-next-append-position", record.size.to_string());
    }
    answer
}

/// Adds the user metadata of an object.
pub(super) fn with_user_meta(answer: Answer, record: &ObjectRecord) -> Answer {
    record
        .user_meta
        .iter()
        .fold(answer, |answer, (name, value)| answer.header(format!("x-oss-meta-{name}"), value.clone()))
}
