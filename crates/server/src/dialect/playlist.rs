//! Playlists as Apple's authoring rules want them sent (`live.authoring = "apple"`): with their registered type, and
//! compressed for clients that take it.
//!
//! What is compressed is another representation: it has a tag of its own and neither checksums nor ranges of the stored text.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::{ETag, Error};
use store::meta::{ObjectRecord, ObjectRole};

use super::object::conditional_headers;
use super::{Answer, Asked, Content};
use crate::config::Authoring;
use crate::objects::PLAYLIST_TYPE;
use crate::ops::Call;
use crate::ops::object::{self, Shown};

/// The registered type of playlists (RFC 8216 10).
const REGISTERED_TYPE: &str = "application/vnd.apple.mpegurl";
/// The longest text that is compressed: ten hours of segments of a second. It takes some milliseconds.
const MAX_BYTES: u64 = 1 << 20;
/// Headers that speak of the stored text.
const OF_STORED_TEXT: [&str; 3] = ["accept-ranges", "content-md5", "x-oss-hash-crc64ecma"];

/// Whether playlists are sent as Apple wants them.
pub(super) fn is_apple(asked: &Asked<'_>) -> bool {
    asked.config.live.authoring == Authoring::Apple
}

/// The type of a playlist that the server made.
pub(super) fn content_type(asked: &Asked<'_>) -> &'static str {
    if is_apple(asked) { REGISTERED_TYPE } else { PLAYLIST_TYPE }
}

fn is_playlist(record: &ObjectRecord) -> bool {
    matches!(record.role, ObjectRole::LivePlaylist | ObjectRole::VodPlaylist)
}

/// The headers of an object, with what is different for playlists.
pub(super) fn dressed(mut answer: Answer, asked: &Asked<'_>, record: &ObjectRecord) -> Answer {
    if !is_apple(asked) || !is_playlist(record) {
        return answer;
    }
    for (name, value) in &mut answer.headers {
        if name == "content-type" && value == PLAYLIST_TYPE.as_bytes() {
            *value = REGISTERED_TYPE.into();
        }
    }
    varied(answer)
}

/// Says that the answer depends on what the client takes.
fn varied(answer: Answer) -> Answer {
    answer.header("vary", "Accept-Encoding")
}

/// The compressed text of a playlist, for a client that takes it and asks for no part of the stored one.
///
/// # Errors
/// Those of conditions and of the store.
pub(super) async fn compressed(asked: &Asked<'_>, call: &Call<'_>, shown: &Shown) -> Result<Option<Answer>, Error> {
    let record = &shown.record;
    let is_possible = is_playlist(record) && record.headers.content_encoding.is_none();
    if !is_possible || asked.raw.header("range").is_some() || !is_wanted(asked, record.size) {
        return Ok(None);
    }
    let zipped = Shown {
        record: ObjectRecord { etag: tag(&record.etag), ..record.clone() },
        expiration: shown.expiration.clone(),
        keeping: shown.keeping,
    };
    let mut answer = conditional_headers(asked, call, &zipped)?;
    answer.headers.retain(|(name, _)| !OF_STORED_TEXT.contains(&name.as_str()));
    let text = object::whole(call, record).await?;
    Ok(Some(with_text(answer, &text)))
}

/// An answer with a text that was made for its reader, and its tag. `bytes` are compressed where that is wanted.
pub(super) fn made(asked: &Asked<'_>, answer: Answer, text: Bytes, etag: &ETag) -> (Answer, ETag) {
    if !is_apple(asked) {
        return (Answer { content: Content::Bytes(text), ..answer }, etag.clone());
    }
    let answer = varied(answer);
    match is_wanted(asked, text.len() as u64) {
        true => (with_text(answer, &text), tag(etag)),
        false => (Answer { content: Content::Bytes(text), ..answer }, etag.clone()),
    }
}

fn with_text(answer: Answer, text: &[u8]) -> Answer {
    Answer { content: Content::Bytes(gzip(text).into()), ..answer }.header("content-encoding", "gzip")
}

/// The tag of the compressed representation of what has this tag.
fn tag(etag: &ETag) -> ETag {
    ETag::from_text(format!("{}-gzip", etag.as_str()))
}

fn is_wanted(asked: &Asked<'_>, len: u64) -> bool {
    is_apple(asked) && len <= MAX_BYTES && asked.raw.header_text("accept-encoding").is_some_and(takes_gzip)
}

/// Whether an `Accept-Encoding` takes gzip (RFC 9110 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    let mut by_wildcard = false;
    for element in accepted.split(',') {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        let is_taken = weight.is_none_or(|weight| weight.trim().parse().is_ok_and(|weight: f32| weight > 0.0));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return is_taken,
            "*" => by_wildcard = is_taken,
            _ => {}
        }
    }
    by_wildcard
}

fn gzip(text: &[u8]) -> Vec<u8> {
    // Lists repeat themselves, so the fastest way is nearly as short.
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4 + 64), Compression::fast());
    // Memory takes everything.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn who_takes_gzip() {
        for (accepted, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("gzipped", false),
            ("gzip;q=nonsense", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let text = "#EXTINF:2.000,\n1704164641000.ts\n".repeat(1000);
        let zipped = gzip(text.as_bytes());
        assert!(zipped.len() < text.len() / 10);
        let mut back = String::new();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }
}
