//! Symbolic links (HTTP API 9.10). GetObject and HeadObject follow them; see [`super::object::find_content`].

use model::OperationKind;
use model::percent::percent_encode;
use model::{ETag, ObjectType};
use model::{Error, ErrorCode};
use oss::request::{ObjectHeaders, parse_symlink_target};
use store::meta::{Body, ObjectRecord};

use super::object::{already_exists, exists, find, guard_of, store, uploaded};
use super::{Answer, Call};
use crate::checksums::checksums;
use crate::objects::Received;

/// PutSymlink (HTTP API 9.10).
pub(crate) async fn put(call: &Call<'_>) -> Result<Answer, Error> {
    let target = parse_symlink_target(call.raw)?;
    let headers = ObjectHeaders::parse(call.raw)?;
    let key = call.key()?;
    let forbid_overwrite = headers.forbid_overwrite;
    if headers.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        call.may(OperationKind::PutObjectTagging, call.bucket()?, key).await?;
    }
    if forbid_overwrite && exists(call, key).await? {
        return Err(already_exists(key));
    }
    let received = Received { body: Body::Link(target.as_str().to_owned()), sums: checksums(b"") };
    let record = ObjectRecord {
        // Changes with what the link leads to (HTTP API 5.2).
        etag: ETag::from_bits(u128::from_be_bytes(crate::ids::random())),
        md5: None,
        ..uploaded(call, headers, received, ObjectType::Symlink)?
    };
    store(call, key, &record, guard_of(forbid_overwrite)).await?;
    Ok(Answer::empty(200).header("etag", record.etag.quoted()))
}

/// GetSymlink (HTTP API 9.10).
pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Error> {
    let record = find(call).await?;
    let Body::Link(target) = &record.body else { return Err(Error::new(ErrorCode::NotSymlink)) };
    let mut answer = Answer::empty(200)
        .header("x-oss-symlink-target", percent_encode(target.as_bytes(), true))
        .header("etag", record.etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-object-type", record.object_type.as_str());
    for (name, value) in &record.user_meta {
        answer = answer.header(format!("x-oss-meta-{name}"), value.clone());
    }
    Ok(answer)
}
