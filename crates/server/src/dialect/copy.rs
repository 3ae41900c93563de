//! CopyObject on the wire (HTTP API 9.7), and what UploadPartCopy shares with it.

use model::Error;
use oss::request::{self, Conditions, CopyDirective};
use oss::xml::object::render_copy_object_result;

use super::Answer;
use super::Asked;
use super::object::{announce, new_headers};
use crate::ops::Call;
use crate::ops::copy::{self, CopyObject, CopySource, Original};

impl From<request::CopySource> for CopySource {
    fn from(sent: request::CopySource) -> Self {
        let request::CopySource { bucket, key, names_version } = sent;
        Self { bucket, key, names_version }
    }
}

/// The source that a request names.
///
/// # Errors
/// As [`request::CopySource::parse`].
pub(super) fn source(asked: &Asked<'_>) -> Result<CopySource, Error> {
    request::CopySource::parse(asked.raw).map(CopySource::from)
}

/// Judges a source that was found by the conditions of the request.
///
/// # Errors
/// `NotModified`, `PreconditionFailed`.
pub(super) fn check_conditions(asked: &Asked<'_>, from: &Original) -> Result<(), Error> {
    let conditions = Conditions::of_copy_source(asked.raw, asked.now_ms);
    conditions.evaluate(&from.record().etag, from.record().modified_ms).check()
}

/// CopyObject.
pub(super) async fn copy(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let source = source(asked)?;
    let headers = new_headers(asked)?;
    let replaces_metadata = CopyDirective::of_metadata(asked.raw)? == CopyDirective::Replace;
    let replaces_tags = CopyDirective::of_tags(asked.raw)? == CopyDirective::Replace;
    let request = CopyObject { source, headers, replaces_metadata, replaces_tags };
    let from = copy::find(call, &request).await?;
    check_conditions(asked, &from)?;
    let written = copy::copy(call, request, from).await?;
    let record = &written.record;
    let answer = Answer::xml(render_copy_object_result(&record.etag, record.modified_ms))
        .header("etag", record.etag.quoted())
        .header("x-oss-hash-crc64ecma", record.crc64.to_string());
    announce(answer, written)
}
