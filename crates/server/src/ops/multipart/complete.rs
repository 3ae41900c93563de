//! CompleteMultipartUpload (HTTP API 10.4).

use crc_fast::{CrcAlgorithm, checksum_combine};
use model::{ETag, Error, ErrorCode, ObjectAcl, ObjectType};
use store::Subject;
use store::kv::Version;
use store::meta::{Body, ObjectRecord, ObjectRole, PartRecord, UploadRecord};

use super::{absent, find};
use crate::objects::ObjectGrant;
use crate::ops::callback::Callback;
use crate::ops::object::{Written, already_exists, exists, guard_of};
use crate::ops::{Call, internal};

/// Parts read at once.
const PAGE: usize = 1000;
/// How often a completion begins again because a part arrived meanwhile.
const ATTEMPTS: usize = 16;
/// The smallest part that is not the last, in bytes.
const MIN_PART_BYTES: u64 = 100 * 1024;
/// The largest object that parts may make, in bytes: 48.8 TB.
const MAX_BYTES: u64 = 10_000 * (5 << 30);

/// One part that the client wants in the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompletedPart {
    /// Its number, as sent.
    pub(crate) number: u32,
    /// Its tag as sent, to be compared with [`ETag::matches`].
    pub(crate) etag: String,
}

/// What an upload is to become.
pub(crate) struct CompleteUpload<'a> {
    /// The upload.
    pub(crate) upload_id: &'a str,
    /// The parts that are wanted, ascending by number; all that there are when absent.
    pub(crate) parts: Option<Vec<CompletedPart>>,
    /// The ACL of the object; that of its bucket counts when none is named.
    pub(crate) acl: Option<ObjectAcl>,
    /// Whether an object of that key must not be there.
    pub(crate) forbid_overwrite: bool,
    /// Whom to tell; judged already by [`crate::ops::callback::check`].
    pub(crate) callback: Option<Callback>,
}

/// CompleteMultipartUpload (HTTP API 10.4).
///
/// # Errors
/// `NoSuchUpload`, `InvalidPart`, `EntityTooSmall`, `EntityTooLarge`, `MalformedXML` for a list of none,
/// `FileAlreadyExists`, `ServiceUnavailable` while parts keep arriving, and those of the store.
pub(crate) async fn complete(call: &Call<'_>, request: CompleteUpload<'_>) -> Result<Written, Error> {
    let CompleteUpload { upload_id, parts: listed, acl, forbid_overwrite, callback } = request;
    let grant = call.object_grant()?;
    for _ in 0..ATTEMPTS {
        let begun = find(call, upload_id).await?;
        let chosen = choose(all_parts(call, &grant, upload_id).await?, listed.as_deref())?;
        if forbid_overwrite && exists(call, &grant).await? {
            return Err(already_exists(grant.key()));
        }
        let seen: Version = begun.version;
        let record = joined(call, begun.value, &chosen, acl.unwrap_or(ObjectAcl::Default));
        let guard = guard_of(forbid_overwrite);
        match call.objects().complete(&grant, upload_id, seen, &record, guard).await {
            Ok(_) => return Written::of(call, grant.key(), record, callback.as_ref()).await,
            Err(error) => match (error.kind, error.subject) {
                (store::ErrorKind::Conflict, Subject::Upload) => {}
                (store::ErrorKind::NotFound, Subject::Upload) => return Err(absent(call, upload_id)),
                (store::ErrorKind::AlreadyExists, _) => return Err(already_exists(grant.key())),
                _ => return Err(internal(error)),
            },
        }
    }
    Err(Error::new(ErrorCode::ServiceUnavailable).message("Parts are still being uploaded. Please try again."))
}

async fn all_parts(call: &Call<'_>, grant: &ObjectGrant, upload_id: &str) -> Result<Vec<(u32, PartRecord)>, Error> {
    let mut parts: Vec<(u32, PartRecord)> = Vec::new();
    let mut after = 0;
    loop {
        let page = call.objects().list_parts(grant, upload_id, after, PAGE).await?;
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
    if chosen.iter().fold(0u64, |sum, part| sum.saturating_add(part.size)) > MAX_BYTES {
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
        modified_ms: call.objects().now_ms(),
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
pub(in crate::ops) fn combined_crc64(first: u64, second: u64, second_len: u64) -> u64 {
    match second_len {
        0 => first,
        len => checksum_combine(CrcAlgorithm::Crc64Xz, first, second, len),
    }
}

/// The refusal of a list without a part for an upload that has some.
fn no_part_is_listed() -> Error {
    Error::new(ErrorCode::MalformedXML).with("ErrorDetail", "The Part element must be specified.").ec("0042-00000205")
}

/// The refusal of a part that was not uploaded, or not with this tag.
fn invalid_part(number: u32) -> Error {
    Error::new(ErrorCode::InvalidPart).with("PartNumber", number.to_string())
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
