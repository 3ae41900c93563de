//! Multipart uploads (HTTP API 10). Completing one names the parts' blobs in their order; no byte is copied.

use crc_fast::{CrcAlgorithm, checksum_combine};
use model::OperationKind;
use model::name::ObjectKey;
use model::{ETag, ObjectAcl, ObjectType};
use model::{Error, ErrorCode};
use oss::request::{
    CopySource, ListPartsParameters, ListUploadsParameters, MAX_MULTIPART_BYTES, MIN_PART_BYTES, ObjectHeaders,
    RangeOutcome, check_copy_length, check_part_headers, copy_range, no_such_upload, object_location,
    parse_complete_all, parse_part_number, upload_id,
};
use oss::xml::multipart::{
    CompletedPart, ListMultipartUploadsResult, ListPartsResult, ListedPart, ListedUpload, invalid_part,
    no_part_is_listed, parse_complete, render_complete_result, render_initiate_result,
};
use oss::xml::object::render_copy_part_result;
use store::Subject;
use store::kv::Version;
use store::meta::{Body, Extent, ObjectRecord, ObjectRole, PartRecord, Source, Stored, UploadListQuery, UploadRecord};

use super::object::{already_exists, exists, guard_of};
use super::upload;
use super::{Answer, BodySource, Call, callback, copy, expiration, internal, read_xml};
use crate::checksums::Checksums;
use crate::objects::{self, Intake, Keep, Received, overlapping};

/// Parts read at once.
const PAGE: usize = 1000;
/// How often a completion begins again because a part arrived meanwhile.
const ATTEMPTS: usize = 16;
/// The shortest range of an object that a part shares with it: a few bytes must not keep a large blob.
const MIN_SHARED_RANGE: u64 = 1 << 20;
/// The most blobs that a part shares, so that an object of ten thousand parts stays a list that one commit can name.
const MAX_SHARED: usize = 16;

/// InitiateMultipartUpload (HTTP API 10.1).
pub(crate) async fn initiate(call: &Call<'_>) -> Result<Answer, Error> {
    let url_encoding = call.query().encoding_is_url()?;
    let headers = ObjectHeaders::parse(call.raw)?;
    let (bucket, key) = (call.bucket()?, call.key()?);
    let tags = headers.tags.unwrap_or_default();
    if !tags.is_empty() {
        call.may(OperationKind::PutObjectTagging, bucket, key).await?;
    }
    if headers.forbid_overwrite && exists(call, key).await? {
        return Err(already_exists(key));
    }
    let record = UploadRecord {
        initiated_ms: call.state.clock.now_ms(),
        storage_class: headers.storage_class.unwrap_or(bucket.record.storage_class),
        headers: headers.content,
        user_meta: headers.user_meta,
        tags,
        initiator: call.granted.grant.caller().uid().map(ToString::to_string),
    };
    let id = crate::ids::upload_id();
    call.state.meta.initiate_upload(&bucket.name, key, &id, &record).await.map_err(internal)?;
    Ok(Answer::xml(render_initiate_result(bucket.name.as_str(), key.as_str(), &id, url_encoding)))
}

/// The upload that the request names.
async fn find(call: &Call<'_>) -> Result<Stored<UploadRecord>, Error> {
    let id = upload_id(call.query());
    let found = match id {
        "" => None,
        id => call.state.meta.upload(&call.bucket()?.name, call.key()?, id).await.map_err(internal)?,
    };
    found.ok_or_else(|| absent(call))
}

fn absent(call: &Call<'_>) -> Error {
    no_such_upload(upload_id(call.query()), call.granted.grant.operation())
}

/// UploadPart (HTTP API 10.2).
pub(crate) async fn put_part(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let number = parse_part_number(call.query())?;
    check_part_headers(call.raw)?;
    upload::check_announced(call, body)?;
    find(call).await?;
    let received = upload::receive(call, body, Keep::InBlob).await?;
    let part = store_part(call, number, received).await?;
    let md5 = part.md5.map(|md5| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, md5));
    let answer =
        Answer::empty(200).header("etag", part.etag.quoted()).header("x-oss-hash-crc64ecma", part.crc64.to_string());
    Ok(match md5 {
        Some(md5) => answer.header("content-md5", md5),
        None => answer,
    })
}

/// UploadPartCopy (HTTP API 10.3).
pub(crate) async fn copy_part(call: &Call<'_>) -> Result<Answer, Error> {
    let number = parse_part_number(call.query())?;
    check_part_headers(call.raw)?;
    let source = CopySource::parse(call.raw)?;
    find(call).await?;
    let from = call.other_bucket(&source.bucket).await?;
    copy::may_read_source(call, &from, &source).await?;
    let Stored { value: found, version } = copy::read_source(call, &from, &source).await?;
    let range = copy_range(call.raw, found.size);
    let start = match range {
        RangeOutcome::Part { start, .. } => start,
        RangeOutcome::Whole | RangeOutcome::Unsatisfiable => 0,
    };
    let len = range.length(found.size);
    check_copy_length(len)?;
    let _pinned = call.state.meta.pin(found.body.blobs());
    let origin = Source { bucket: &from.name, key: &source.key, version };
    let part = match share_part(call, number, &found, (start, len), &origin).await? {
        Some(part) => part,
        None => {
            let mut intake = Intake::new(call.objects(), Keep::InBlob);
            objects::copy(&mut intake, call.objects().content(&found.body, start, len).await?).await?;
            store_part(call, number, intake.finish(|_| Ok(())).await?).await?
        }
    };
    // oss2 reads the tag from the header.
    let answer = Answer::xml(render_copy_part_result(&part.etag, part.modified_ms))
        .header("etag", part.etag.quoted())
        .header("x-oss-hash-crc64ecma", part.crc64.to_string());
    Ok(match range.content_range(found.size) {
        Some(text) => answer.header("content-range", text),
        None => answer,
    })
}

/// Makes a range of an object a part that shares its blobs; `None` when the bytes have to be copied.
async fn share_part(
    call: &Call<'_>,
    number: u32,
    found: &ObjectRecord,
    (start, len): (u64, u64),
    source: &Source<'_>,
) -> Result<Option<PartRecord>, Error> {
    let Body::Blobs(all) = &found.body else { return Ok(None) };
    let is_whole = len == found.size;
    let runs = overlapping(all, start, len);
    if runs.is_empty() || runs.len() > MAX_SHARED || !(is_whole || len >= MIN_SHARED_RANGE) {
        return Ok(None);
    }
    let sums = match is_whole && found.object_type == ObjectType::Normal {
        true => Checksums { crc64: found.crc64, md5: found.md5, etag: found.etag.clone(), len },
        false => objects::read_sums(call.objects().content(&found.body, start, len).await?).await?,
    };
    let part = part_of(call, sums, runs);
    let (row, id) = (row_of(number), upload_id(call.query()));
    match call.state.meta.put_part_from(&call.bucket()?.name, call.key()?, id, row, &part, source).await {
        Ok(()) => Ok(Some(part)),
        // The object was written or deleted meanwhile: its bytes as they were read are copied.
        Err(error) if error.subject == Subject::Source => Ok(None),
        Err(error) if error.is_not_found() => Err(absent(call)),
        Err(error) => Err(internal(error)),
    }
}

fn part_of(call: &Call<'_>, sums: Checksums, extents: Vec<Extent>) -> PartRecord {
    PartRecord {
        size: sums.len,
        etag: sums.etag,
        crc64: sums.crc64,
        md5: sums.md5,
        modified_ms: call.state.clock.now_ms(),
        extents,
    }
}

fn row_of(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

async fn store_part(call: &Call<'_>, number: u32, received: Received) -> Result<PartRecord, Error> {
    let extents = match received.body {
        Body::Blobs(extents) => extents,
        Body::Inline(_) | Body::Link(_) => return Err(Error::new(ErrorCode::InternalError)),
    };
    let part = part_of(call, received.sums, extents);
    let id = upload_id(call.query());
    match call.state.meta.put_part(&call.bucket()?.name, call.key()?, id, row_of(number), &part).await {
        Ok(()) => Ok(part),
        Err(error) => {
            call.objects().discard(part.extents.iter().map(|extent| extent.blob), &error).await;
            Err(if error.is_not_found() { absent(call) } else { internal(error) })
        }
    }
}

/// CompleteMultipartUpload (HTTP API 10.4).
pub(crate) async fn complete(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    // Whether there is such an upload comes first: a list that is wrong is no news about an upload that is over.
    find(call).await?;
    let url_encoding = call.query().encoding_is_url()?;
    let headers = ObjectHeaders::parse(call.raw)?;
    let notice = callback::of_request(call).await?;
    let text = read_xml(call, body).await?;
    let listed = match parse_complete_all(call.raw, &text)? {
        true => None,
        false => Some(parse_complete(&text)?),
    };
    let (bucket, key) = (call.bucket()?, call.key()?);
    let id = upload_id(call.query());
    for _ in 0..ATTEMPTS {
        let begun = find(call).await?;
        let chosen = choose(all_parts(call, id).await?, listed.as_deref())?;
        if headers.forbid_overwrite && exists(call, key).await? {
            return Err(already_exists(key));
        }
        let seen: Version = begun.version;
        let record = joined(call, begun.value, &chosen, headers.acl.unwrap_or(ObjectAcl::Default));
        let guard = guard_of(headers.forbid_overwrite);
        match call.state.meta.complete_upload(&bucket.name, key, id, seen, &record, guard).await {
            Ok(_) => return completed(call, key, &record, url_encoding, notice).await,
            Err(error) => match (error.kind, error.subject) {
                (store::ErrorKind::Conflict, Subject::Upload) => {}
                (store::ErrorKind::NotFound, Subject::Upload) => return Err(absent(call)),
                (store::ErrorKind::AlreadyExists, _) => return Err(already_exists(key)),
                _ => return Err(internal(error)),
            },
        }
    }
    Err(Error::new(ErrorCode::ServiceUnavailable).message("Parts are still being uploaded. Please try again."))
}

async fn completed(
    call: &Call<'_>,
    key: &ObjectKey,
    record: &ObjectRecord,
    url_encoding: bool,
    notice: Option<oss::request::Callback>,
) -> Result<Answer, Error> {
    let bucket = call.bucket()?.name.clone();
    let location = object_location(call.raw, call.route().style, &bucket, key);
    let text = render_complete_result(bucket.as_str(), key.as_str(), &record.etag, &location, url_encoding);
    let answer =
        Answer::xml(text).header("etag", record.etag.quoted()).header("x-oss-hash-crc64ecma", record.crc64.to_string());
    let answer = expiration::announce(call, key, record, answer)?;
    callback::tell(call, notice, key, record, answer).await
}

async fn all_parts(call: &Call<'_>, id: &str) -> Result<Vec<(u32, PartRecord)>, Error> {
    let mut parts: Vec<(u32, PartRecord)> = Vec::new();
    let mut after = 0;
    loop {
        let page = call.state.meta.list_parts(&call.bucket()?.name, id, after, PAGE).await.map_err(internal)?;
        if let Some((last, _)) = page.items.last() {
            after = *last;
        }
        parts.extend(page.items.into_iter().map(|(number, part)| (u32::from(number), part)));
        if !page.is_truncated {
            return Ok(parts);
        }
    }
}

/// The parts that the object is made of; `listed` are those the client wants, all of them when absent. A list of none
/// is right for an upload of none.
fn choose(parts: Vec<(u32, PartRecord)>, listed: Option<&[CompletedPart]>) -> Result<Vec<PartRecord>, Error> {
    let has_parts = !parts.is_empty();
    let chosen: Vec<PartRecord> = match listed {
        None => parts.into_iter().map(|(_, part)| part).collect(),
        Some(listed) => {
            let mut uploaded = parts.into_iter().peekable();
            let mut chosen = Vec::with_capacity(listed.len());
            for wanted in listed {
                // Both lists ascend by number.
                while uploaded.next_if(|(number, _)| *number < wanted.number).is_some() {}
                match uploaded.next_if(|(number, _)| *number == wanted.number) {
                    Some((_, part)) if part.etag.matches(&wanted.etag) => chosen.push(part),
                    _ => return Err(invalid_part(wanted.number)),
                }
            }
            chosen
        }
    };
    let all_but_last = match (chosen.split_last(), listed) {
        (Some((_, all_but_last)), _) => all_but_last,
        // The upload of an empty file, as Java and Go v2 complete it.
        (None, Some(_)) if !has_parts => &[],
        // Parts are not thrown away for a list that somebody forgot to fill.
        (None, Some(_)) => return Err(no_part_is_listed()),
        (None, None) => return Err(Error::new(ErrorCode::InvalidPart)),
    };
    if all_but_last.iter().any(|part| part.size < MIN_PART_BYTES) {
        return Err(Error::new(ErrorCode::EntityTooSmall));
    }
    if chosen.iter().fold(0u64, |sum, part| sum.saturating_add(part.size)) > MAX_MULTIPART_BYTES {
        return Err(Error::new(ErrorCode::EntityTooLarge));
    }
    Ok(chosen)
}

fn joined(call: &Call<'_>, upload: UploadRecord, parts: &[PartRecord], acl: ObjectAcl) -> ObjectRecord {
    ObjectRecord {
        size: parts.iter().map(|part| part.size).sum(),
        etag: ETag::of_parts(parts.iter().map(|part| &part.etag)),
        crc64: parts.iter().fold(0, |crc, part| combined_crc64(crc, part.crc64, part.size)),
        md5: None,
        modified_ms: call.state.clock.now_ms(),
        object_type: ObjectType::Multipart,
        role: ObjectRole::Ordinary,
        acl,
        storage_class: upload.storage_class,
        headers: upload.headers,
        user_meta: upload.user_meta,
        tags: upload.tags,
        body: match parts {
            [] => Body::Inline(bytes::Bytes::new()),
            parts => Body::Blobs(parts.iter().flat_map(|part| part.extents.iter().copied()).collect()),
        },
    }
}

/// The CRC-64 of two runs of bytes, one after the other (HTTP API 5.3).
pub(super) fn combined_crc64(first: u64, second: u64, second_len: u64) -> u64 {
    match second_len {
        0 => first,
        len => checksum_combine(CrcAlgorithm::Crc64Xz, first, second, len),
    }
}

/// AbortMultipartUpload (HTTP API 10.5).
pub(crate) async fn abort(call: &Call<'_>) -> Result<Answer, Error> {
    let id = upload_id(call.query());
    match call.state.meta.abort_upload(&call.bucket()?.name, call.key()?, id).await {
        Ok(()) => Ok(Answer::empty(204)),
        Err(error) if error.is_not_found() => Err(absent(call)),
        Err(error) => Err(internal(error)),
    }
}

/// ListParts (HTTP API 10.6).
pub(crate) async fn parts(call: &Call<'_>) -> Result<Answer, Error> {
    let asked = ListPartsParameters::parse(call.query())?;
    let begun = find(call).await?.value;
    let (bucket, key) = (call.bucket()?, call.key()?);
    let after = u16::try_from(asked.part_number_marker).unwrap_or(u16::MAX);
    let limit = asked.max_parts as usize;
    let page = call.state.meta.list_parts(&bucket.name, &asked.upload_id, after, limit).await.map_err(internal)?;
    let result = ListPartsResult {
        storage_class: begun.storage_class,
        parts: page
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
        is_truncated: page.is_truncated,
    };
    Ok(Answer::xml(result.render(bucket.name.as_str(), key.as_str(), &asked)))
}

/// ListMultipartUploads (HTTP API 10.7).
pub(crate) async fn uploads(call: &Call<'_>) -> Result<Answer, Error> {
    let asked = ListUploadsParameters::parse(call.query())?;
    let bucket = call.bucket()?;
    let query = UploadListQuery {
        prefix: asked.prefix.clone(),
        delimiter: asked.delimiter.clone(),
        after_key: asked.key_marker.clone(),
        after_id: asked.upload_id_marker.clone(),
        limit: asked.max_uploads as usize,
    };
    let listing = call.state.meta.list_uploads(&bucket.name, &query).await.map_err(internal)?;
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
    Ok(Answer::xml(result.render(bucket.name.as_str(), &asked)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksums::checksums;

    fn part(bytes: &[u8]) -> PartRecord {
        let sums = checksums(bytes);
        PartRecord {
            size: sums.len,
            etag: sums.etag,
            crc64: sums.crc64,
            md5: sums.md5,
            modified_ms: 0,
            extents: Vec::new(),
        }
    }

    #[test]
    fn sums_of_pieces_join_to_the_sum_of_the_whole() {
        let whole: Vec<u8> = (0..70_000u32).map(|n| (n * 7 % 251) as u8).collect();
        for cuts in [vec![0], vec![1, 2, 3], vec![100, 65_536], vec![70_000], vec![]] {
            let mut crc = 0;
            let mut from = 0;
            for to in cuts.into_iter().chain([whole.len()]) {
                let piece = &whole[from..to];
                crc = combined_crc64(crc, checksums(piece).crc64, piece.len() as u64);
                from = to;
            }
            assert_eq!(crc, checksums(&whole).crc64);
        }
    }

    fn check(sizes: &[(u32, usize)], listed: Option<&[u32]>, expected: Result<u64, ErrorCode>) {
        let parts: Vec<_> = sizes.iter().map(|(number, size)| (*number, part(&vec![b'x'; *size]))).collect();
        let wanted: Option<Vec<CompletedPart>> = listed.map(|numbers| {
            let tag = |number| parts.iter().find(|(n, _)| *n == number).map(|(_, part)| part.etag.quoted());
            let wanted = |&number| CompletedPart { number, etag: tag(number).unwrap_or_default() };
            numbers.iter().map(wanted).collect()
        });
        let chosen = choose(parts, wanted.as_deref());
        let size = chosen.map(|parts| parts.iter().map(|part| part.size).sum::<u64>()).map_err(|error| error.code);
        assert_eq!(size, expected, "{sizes:?} {listed:?}");
    }

    #[test]
    fn only_whole_lists_of_large_parts_are_joined() {
        const LARGE: usize = 102_400;
        check(&[(1, LARGE), (5, 10)], Some(&[1, 5]), Ok(102_410));
        check(&[(1, LARGE), (5, 10)], None, Ok(102_410));
        check(&[(1, LARGE), (3, LARGE), (5, 10)], Some(&[1, 5]), Ok(102_410));
        check(&[(1, LARGE), (5, 10)], Some(&[1]), Ok(102_400));
        check(&[(1, LARGE), (5, 10)], Some(&[1, 2]), Err(ErrorCode::InvalidPart));
        check(&[(1, LARGE - 1), (5, 10)], Some(&[1, 5]), Err(ErrorCode::EntityTooSmall));
        check(&[], None, Err(ErrorCode::InvalidPart));
        check(&[], Some(&[]), Ok(0));
        check(&[(1, 10)], Some(&[]), Err(ErrorCode::MalformedXML));
    }

    #[test]
    fn a_part_with_another_tag_is_not_the_one_that_was_meant() {
        let wanted = [CompletedPart { number: 1, etag: "\"00\"".to_owned() }];
        let chosen = choose(vec![(1, part(b"x"))], Some(&wanted));
        assert_eq!(chosen.map_err(|error| error.code), Err(ErrorCode::InvalidPart));
    }
}
