//! GetSignedPlaylist: `x-oss-process=hls/sign` (OSS auth 9).

use bytes::Bytes;
use model::ETag;
use model::Error;
use model::name::{BucketName, ObjectKey};
use oss::playlist_sign::{Left, SignContext, SignedPlaylist, check_size, sign_playlist};
use oss::request::{ConditionOutcome, Conditions, ResponseOverrides, Style};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use store::meta::ObjectRecord;

use super::object::not_modified;
use super::vod_playlist::PLAYLIST_TYPE;
use super::{Answer, Call, Content, object};
use crate::checksums::checksums;

/// The type that an upload gets when it names none, which no player takes for a playlist.
const UNKNOWN_TYPE: &[u8] = b"application/octet-stream";

/// Memory for signed playlists: about a thousand URLs of live playlists with signed segments.
const MAX_SIGNED_BYTES: u64 = 16 << 20;
/// How many that may be, for the first size of the tables.
const EXPECTED_PLAYLISTS: usize = 4096;
/// Playlists of which is remembered that their unsigned URIs were logged. A key has at most a kilobyte.
const MAX_TOLD: usize = 1024;

/// The playlist with every URI signed like the request.
pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Error> {
    let process = call.query().first("x-oss-process").unwrap_or_default();
    let record = object::find_content(call).await?;
    check_size(record.size)?;
    let bucket = super::bucket::name(call)?;
    let name = SignedName {
        bucket: bucket.clone(),
        key: call.key()?.clone(),
        etag: record.etag.clone(),
        modified_ms: record.modified_ms,
        style: call.route().style,
        host: call.raw.host.clone(),
        query: call.raw.query.clone(),
        process: process.to_owned(),
    };
    let signed = call.state.signed_playlists.texts.get_or_insert_async(&name, sign(call, &record, process)).await?;
    let Signed { text: signed, etag } = signed;
    // Conditions are about the text that is sent, not about the one that is stored (OSS auth 9.5).
    let outcome = Conditions::of_read(call.raw, call.now_ms).evaluate(&etag, record.modified_ms);
    let content_type = match &record.headers.content_type {
        Some(stored) if stored != UNKNOWN_TYPE => stored.clone(),
        _ => PLAYLIST_TYPE.into(),
    };
    let mut answer = Answer { status: 200, headers: Vec::new(), content: Content::Bytes(signed) }
        .header("content-type", content_type)
        .header("etag", etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-object-type", record.object_type.as_str());
    if let Some(stored) = &record.headers.cache_control {
        answer = answer.header("cache-control", stored.clone());
    }
    for (name, value) in ResponseOverrides::parse(call.query(), false)?.headers {
        answer.headers.retain(|(known, _)| known != name);
        answer = answer.header(name, value);
    }
    if !answer.headers.iter().any(|(name, _)| name == "cache-control") {
        // Whoever follows the stream asks again, and the signatures in the text are nobody else's.
        answer = answer.header("cache-control", "private, no-cache");
    }
    match outcome {
        ConditionOutcome::NotModified => Err(not_modified(&answer)),
        outcome => outcome.check().map(|()| answer),
    }
}

async fn sign(call: &Call<'_>, record: &ObjectRecord, process: &str) -> Result<Signed, Error> {
    let text = call.objects().content(&record.body, 0, record.size).await?.whole().await?;
    let bucket = super::bucket::name(call)?;
    let switches = &call.state.config.hls_sign;
    let SignedPlaylist { text: signed, left } = sign_playlist(
        &text,
        &SignContext {
            bucket,
            key: call.key()?,
            style: call.route().style,
            host: &call.raw.host,
            addressing: &call.state.addressing,
            credentials: &call.granted.credentials,
            secret: call.granted.secret()?,
            process,
            signs_tags: switches.tags,
            signs_siblings: switches.siblings.iter().any(|master| master == bucket.as_str()),
        },
    )?;
    call.state.signed_playlists.tell(bucket, call.key()?, &left);
    let etag = checksums(&signed).etag;
    Ok(Signed { text: signed.into(), etag })
}

/// What was signed lately: a thousand viewers with one URL cost one signing for each new playlist. The result depends on
/// nothing but the stored text and the URL, whose access key id stands for one secret only.
#[derive(Debug)]
pub(crate) struct SignedPlaylists {
    texts: Cache<SignedName, Signed, ByBytes>,
    told: Cache<(BucketName, ObjectKey), ()>,
}

impl Default for SignedPlaylists {
    fn default() -> Self {
        let texts = Cache::with_weighter(EXPECTED_PLAYLISTS, MAX_SIGNED_BYTES, ByBytes);
        Self { texts, told: Cache::new(MAX_TOLD) }
    }
}

impl SignedPlaylists {
    /// Logs what of a playlist stays unsigned, once: a live one is signed for each new segment (D25).
    fn tell(&self, bucket: &BucketName, key: &ObjectKey, left: &Left) {
        // What leads to other servers was never ours to sign.
        let Some(example) = &left.example else { return };
        let name = (bucket.clone(), key.clone());
        if self.told.get(&name).is_some() {
            return;
        }
        self.told.insert(name, ());
        tracing::warn!(
            bucket = bucket.as_str(),
            key = key.as_str(),
            example,
            outside_folder = left.outside,
            not_plain = left.operations,
            "some URIs of a playlist stay unsigned: hls/sign signs plain reads below the folder of the playlist"
        );
    }
}

/// What the text of a signed playlist depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SignedName {
    bucket: BucketName,
    key: ObjectKey,
    etag: ETag,
    modified_ms: i64,
    style: Style,
    host: String,
    query: String,
    process: String,
}

#[derive(Debug, Clone)]
struct Signed {
    text: Bytes,
    etag: ETag,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<SignedName, Signed> for ByBytes {
    fn weight(&self, name: &SignedName, signed: &Signed) -> u64 {
        let words = name.key.as_str().len() + name.host.len() + name.query.len() + name.process.len();
        (words + signed.text.len() + 256) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(query: String) -> SignedName {
        SignedName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse(b"live/a.m3u8").unwrap(),
            etag: checksums(b"text").etag,
            modified_ms: 0,
            style: Style::Path,
            host: "localhost".to_owned(),
            query,
            process: "hls/sign".to_owned(),
        }
    }

    fn signed(bytes: usize) -> Signed {
        Signed { text: vec![b'a'; bytes].into(), etag: checksums(b"signed").etag }
    }

    #[test]
    fn what_was_told_is_bounded() {
        let kept = SignedPlaylists::default();
        let left = Left { outside: 1, example: Some("../a.ts".to_owned()), ..Left::default() };
        let bucket = BucketName::parse("bucket").unwrap();
        for number in 0..3 * MAX_TOLD {
            kept.tell(&bucket, &ObjectKey::parse(format!("{number}.m3u8").as_bytes()).unwrap(), &left);
        }
        assert!(kept.told.len() <= MAX_TOLD, "{}", kept.told.len());
        kept.tell(&bucket, &ObjectKey::parse(b"foreign.m3u8").unwrap(), &Left { elsewhere: 1, ..Left::default() });
        assert!(kept.told.get(&(bucket, ObjectKey::parse(b"foreign.m3u8").unwrap())).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let kept = SignedPlaylists::default();
        for number in 0..20_000 {
            kept.texts.insert(name(format!("Signature={number}")), signed(2000));
        }
        assert!((MAX_SIGNED_BYTES / 4..=MAX_SIGNED_BYTES).contains(&kept.texts.weight()), "{}", kept.texts.weight());
        // A URL counts as well as a text, and one playlist does not push out all the others.
        kept.texts.insert(name("a".repeat(MAX_SIGNED_BYTES as usize)), signed(1));
        kept.texts.insert(name("b".to_owned()), signed(MAX_SIGNED_BYTES as usize));
        assert!(kept.texts.get(&name("b".to_owned())).is_none());
        assert!((MAX_SIGNED_BYTES / 4..=MAX_SIGNED_BYTES).contains(&kept.texts.weight()), "{}", kept.texts.weight());
    }
}
