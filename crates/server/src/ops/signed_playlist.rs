//! GetSignedPlaylist (OSS auth 9): playlists that are signed for their player, and those that were lately. How they are
//! signed is a matter of the protocol.

use bytes::Bytes;
use model::ETag;
use model::Error;
use model::name::{BucketName, ObjectKey};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use store::meta::ObjectRecord;

use super::Call;
use crate::checksums::checksums;

/// Memory for signed playlists: about a thousand URLs of live playlists with signed segments.
const MAX_SIGNED_BYTES: u64 = 16 << 20;
/// How many that may be, for the first size of the tables.
const EXPECTED_PLAYLISTS: usize = 4096;
/// Playlists of which is remembered that their unsigned URIs were logged. A key has at most a kilobyte.
const MAX_WARNED: usize = 1024;

/// A playlist as its signer leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signing {
    /// The text.
    pub(crate) text: Vec<u8>,
    /// What of it stayed unsigned.
    pub(crate) left: Left,
}

/// The URIs of a playlist that lead into its bucket and stayed unsigned (D25).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// How many lead to an object that is not below the playlist's folder.
    pub(crate) outside: usize,
    /// How many ask for more than an object.
    pub(crate) operations: usize,
    /// The beginning of the first one.
    pub(crate) example: Option<String>,
}

/// A playlist for its player.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// The text.
    pub(crate) text: Bytes,
    /// The tag of the text.
    pub(crate) etag: ETag,
}

/// What beside the stored text a signed playlist depends on: words that its signer chooses and that mean something to it only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Variant(Box<[String]>);

impl Variant {
    /// Two are the same when all of their words are, in the same order.
    pub(crate) fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self(words.into_iter().collect())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }
}

/// The playlist of the request with every URI signed by `signer`, unless that was done lately. `record` is what
/// [`super::object::find_content`] gave, its size judged.
///
/// # Errors
/// What the signer refuses; `InternalError`, `ServiceUnavailable`.
pub(crate) async fn get(
    call: &Call<'_>,
    record: &ObjectRecord,
    variant: Variant,
    signer: impl FnOnce(&[u8]) -> Result<Signing, Error>,
) -> Result<Signed, Error> {
    let (bucket, key) = (&call.bucket()?.name, call.key()?);
    let name = SignedName {
        bucket: bucket.clone(),
        key: key.clone(),
        etag: record.etag.clone(),
        modified_ms: record.modified_ms,
        variant,
    };
    let signed_lately = &call.services.signed_playlists;
    let sign = async {
        let text = call.objects().content(&record.body, 0, record.size).await?.whole().await?;
        let Signing { text, left } = signer(&text)?;
        signed_lately.warn_unsigned(bucket, key, &left);
        let etag = checksums(&text).etag;
        Ok(Signed { text: text.into(), etag })
    };
    signed_lately.texts.get_or_insert_async(&name, sign).await
}

/// What was signed lately: a thousand viewers with one URL cost one signing for each new playlist. The result depends on
/// nothing but the stored text and the URL, whose access key id stands for one secret only.
#[derive(Debug)]
pub(crate) struct SignedPlaylists {
    texts: Cache<SignedName, Signed, ByBytes>,
    warned: Cache<(BucketName, ObjectKey), ()>,
}

impl Default for SignedPlaylists {
    fn default() -> Self {
        let texts = Cache::with_weighter(EXPECTED_PLAYLISTS, MAX_SIGNED_BYTES, ByBytes);
        Self { texts, warned: Cache::new(MAX_WARNED) }
    }
}

impl SignedPlaylists {
    /// Logs what of a playlist stays unsigned, once: a live one is signed for each new segment (D25).
    fn warn_unsigned(&self, bucket: &BucketName, key: &ObjectKey, left: &Left) {
        // What leads to other servers was never ours to sign.
        let Some(example) = &left.example else { return };
        let name = (bucket.clone(), key.clone());
        if self.warned.get(&name).is_some() {
            return;
        }
        self.warned.insert(name, ());
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
    variant: Variant,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<SignedName, Signed> for ByBytes {
    fn weight(&self, name: &SignedName, signed: &Signed) -> u64 {
        (name.key.as_str().len() + name.variant.bytes() + signed.text.len() + 256) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(word: String) -> SignedName {
        SignedName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse(b"live/a.m3u8").unwrap(),
            etag: checksums(b"text").etag,
            modified_ms: 0,
            variant: Variant::new([word]),
        }
    }

    fn signed(bytes: usize) -> Signed {
        Signed { text: vec![b'a'; bytes].into(), etag: checksums(b"signed").etag }
    }

    #[test]
    fn warnings_are_bounded() {
        let kept = SignedPlaylists::default();
        let left = Left { outside: 1, example: Some("../a.ts".to_owned()), ..Left::default() };
        let bucket = BucketName::parse("bucket").unwrap();
        for number in 0..3 * MAX_WARNED {
            kept.warn_unsigned(&bucket, &ObjectKey::parse(format!("{number}.m3u8").as_bytes()).unwrap(), &left);
        }
        assert!(kept.warned.len() <= MAX_WARNED, "{}", kept.warned.len());
        kept.warn_unsigned(&bucket, &ObjectKey::parse(b"foreign.m3u8").unwrap(), &Left::default());
        assert!(kept.warned.get(&(bucket, ObjectKey::parse(b"foreign.m3u8").unwrap())).is_none());
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
