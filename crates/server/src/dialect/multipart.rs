//! Multipart uploads on the wire (HTTP API 10).

use model::Error;
use oss::request::{
    ListPartsParameters, ListUploadsParameters, RangeOutcome, check_part_headers, copy_range, object_location,
    parse_complete_all, parse_part_number, upload_id,
};
use oss::xml::multipart::{
    ListMultipartUploadsResult, ListPartsResult, ListedPart, ListedUpload, parse_complete, render_complete_result,
    render_initiate_result,
};
use oss::xml::object::render_copy_part_result;
use store::meta::{PartRecord, UploadListQuery};

use super::Answer;
use super::object::{announce, expected, new_headers, with_md5};
use super::{Asked, callback, copy};
use crate::objects::BodySource;
use crate::ops::multipart::{self, CompleteUpload, CompletedPart, CopiedPart, UploadPart};
use crate::ops::{self, Call};

/// InitiateMultipartUpload (HTTP API 10.1).
pub(super) async fn initiate(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let url_encoding = asked.query().encoding_is_url()?;
    let headers = new_headers(asked)?;
    let id = multipart::initiate(call, headers).await?;
    let (bucket, key) = (asked.bucket()?.as_str(), asked.key()?.as_str());
    Ok(Answer::xml(render_initiate_result(bucket, key, &id, url_encoding)))
}

/// The number of the part that a request brings.
///
/// # Errors
/// `InvalidArgument`, also for headers that belong to the initiation.
fn part_number(asked: &Asked<'_>) -> Result<u16, Error> {
    let number = parse_part_number(asked.query())?;
    check_part_headers(asked.raw)?;
    Ok(u16::try_from(number).unwrap_or(u16::MAX))
}

/// The headers that tell of a part.
fn part_headers(answer: Answer, part: &PartRecord) -> Answer {
    answer.header("etag", part.etag.quoted()).header("x-oss-hash-crc64ecma", part.crc64.to_string())
}

/// UploadPart (HTTP API 10.2).
pub(super) async fn put_part(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let number = part_number(asked)?;
    let request = UploadPart { upload_id: upload_id(asked.query()), number, expected: expected(asked) };
    let part = multipart::put_part(call, request, body).await?;
    Ok(with_md5(part_headers(Answer::empty(200), &part), part.md5))
}

/// UploadPartCopy (HTTP API 10.3).
pub(super) async fn copy_part(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let number = part_number(asked)?;
    let source = copy::source(asked)?;
    let upload_id = upload_id(asked.query());
    multipart::find(call, upload_id).await?;
    let from = ops::copy::find_source(call, &source).await?;
    copy::check_conditions(asked, &from)?;
    let size = from.record().size;
    let range = copy_range(asked.raw, size);
    let start = match range {
        RangeOutcome::Part { start, .. } => start,
        RangeOutcome::Whole | RangeOutcome::Unsatisfiable => 0,
    };
    let request = CopiedPart { upload_id, number, from, start, len: range.length(size) };
    let part = multipart::copy_part(call, request).await?;
    // oss2 reads the tag from the header.
    let answer = part_headers(Answer::xml(render_copy_part_result(&part.etag, part.modified_ms)), &part);
    Ok(match range.content_range(size) {
        Some(text) => answer.header("content-range", text),
        None => answer,
    })
}

/// CompleteMultipartUpload (HTTP API 10.4).
pub(super) async fn complete(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    // Whether there is such an upload comes first: a list that is wrong is no news about an upload that is over.
    let upload_id = upload_id(asked.query());
    multipart::find(call, upload_id).await?;
    let url_encoding = asked.query().encoding_is_url()?;
    let headers = new_headers(asked)?;
    let callback = callback::of_request(asked)?;
    ops::callback::check(call, callback.as_ref()).await?;
    let text = asked.xml(body).await?;
    let parts = match parse_complete_all(asked.raw, &text)? {
        true => None,
        false => Some(listed(&text)?),
    };
    let request =
        CompleteUpload { upload_id, parts, acl: headers.acl, forbid_overwrite: headers.forbid_overwrite, callback };
    let written = multipart::complete(call, request).await?;
    let (bucket, key, record) = (asked.bucket()?, asked.key()?, &written.record);
    let location = object_location(asked.raw, asked.route.style, bucket, key);
    let text = render_complete_result(bucket.as_str(), key.as_str(), &record.etag, &location, url_encoding);
    let answer =
        Answer::xml(text).header("etag", record.etag.quoted()).header("x-oss-hash-crc64ecma", record.crc64.to_string());
    announce(answer, written)
}

/// The parts that a completion lists.
fn listed(text: &[u8]) -> Result<Vec<CompletedPart>, Error> {
    let parts = parse_complete(text)?;
    Ok(parts.into_iter().map(|part| CompletedPart { number: part.number, etag: part.etag }).collect())
}

/// AbortMultipartUpload (HTTP API 10.5).
pub(super) async fn abort(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    multipart::abort(call, upload_id(asked.query())).await?;
    Ok(Answer::empty(204))
}

/// ListParts (HTTP API 10.6).
pub(super) async fn parts(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListPartsParameters::parse(asked.query())?;
    let after = u16::try_from(sent.part_number_marker).unwrap_or(u16::MAX);
    let found = multipart::parts(call, &sent.upload_id, after, sent.max_parts as usize).await?;
    let result = ListPartsResult {
        storage_class: found.storage_class,
        parts: found
            .page
            .items
            .into_iter()
            .map(|(number, part)| ListedPart {
                number: number.into(),
                modified_ms: part.modified_ms,
                etag: part.etag,
                crc64: part.crc64,
                size: part.size,
            })
            .collect(),
        is_truncated: found.page.is_truncated,
    };
    Ok(Answer::xml(result.render(asked.bucket()?.as_str(), asked.key()?.as_str(), &sent)))
}

/// ListMultipartUploads (HTTP API 10.7).
pub(super) async fn uploads(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListUploadsParameters::parse(asked.query())?;
    let query = UploadListQuery {
        prefix: sent.prefix.clone(),
        delimiter: sent.delimiter.clone(),
        after_key: sent.key_marker.clone(),
        after_id: sent.upload_id_marker.clone(),
        limit: sent.max_uploads as usize,
    };
    let listing = multipart::uploads(call, &query).await?;
    let result = ListMultipartUploadsResult {
        uploads: listing
            .entries
            .into_iter()
            .map(|upload| ListedUpload {
                key: upload.key.to_string(),
                upload_id: upload.id,
                storage_class: upload.record.storage_class,
                initiated_ms: upload.record.initiated_ms,
            })
            .collect(),
        prefixes: listing.prefixes,
        next: listing.next.map(|marker| (marker.key, marker.id)),
    };
    Ok(Answer::xml(result.render(asked.bucket()?.as_str(), &sent)))
}
