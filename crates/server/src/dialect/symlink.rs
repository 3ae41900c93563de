//! Symbolic links on the wire (HTTP API 9.10).

use model::Error;
use model::percent::percent_encode;
use oss::request::parse_symlink_target;

use super::Answer;
use super::Asked;
use super::object::{new_headers, version, with_user_meta};
use crate::ops::Call;
use crate::ops::symlink::{self, PutSymlink};

/// PutSymlink.
pub(super) async fn put(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let target = parse_symlink_target(asked.raw)?;
    let headers = new_headers(asked)?;
    let record = symlink::put(call, PutSymlink { target, headers }).await?;
    Ok(Answer::empty(200).header("etag", record.etag.quoted()))
}

/// GetSymlink.
pub(super) async fn get(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let found = symlink::get(call, version(asked)).await?;
    let record = &found.record;
    let answer = Answer::empty(200)
        .header("x-oss-symlink-target", percent_encode(found.target.as_bytes(), true))
        .header("etag", record.etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-object-type", record.object_type.as_str());
    Ok(with_user_meta(answer, record))
}
