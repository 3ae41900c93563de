//! Parameters of the listing operations (HTTP API 7.1, 8.7 to 8.9, 10.6, 10.7; LiveChannel 1.6).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Query;
use super::query::{parse_decimal, shown};
use model::{Error, ErrorCode, Result};

/// The longest prefix, marker or delimiter, in bytes.
const MAX_TEXT_BYTES: usize = 1023;
/// The largest page.
const MAX_KEYS: u32 = 1000;

/// ListBuckets (HTTP API 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListBucketsParameters {
    /// What names begin with.
    pub prefix: String,
    /// Names after this one.
    pub marker: String,
    /// 1 to 1000.
    pub max_keys: u32,
    /// Only buckets with this tag; without a value, with any value of this key.
    pub tag: Option<(String, Option<String>)>,
}

impl ListBucketsParameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(query: &Query) -> Result<Self> {
        let tag = match (query.first("tag-key"), query.first("tagging")) {
            (Some(key), _) if !key.is_empty() => {
                Some((key.to_owned(), query.first("tag-value").filter(|value| !value.is_empty()).map(str::to_owned)))
            }
            (_, Some(filter)) if !filter.is_empty() => Some(parse_tag_filter(filter)?),
            _ => None,
        };
        Ok(Self {
            prefix: query.bounded_text("prefix", MAX_TEXT_BYTES)?.to_owned(),
            marker: query.bounded_text("marker", MAX_TEXT_BYTES)?.to_owned(),
            max_keys: query.bounded_number("max-keys", 1, MAX_KEYS, 100)?,
            tag,
        })
    }
}

/// `"k":"v"`, each side quoted.
fn parse_tag_filter(filter: &str) -> Result<(String, Option<String>)> {
    let refuse = || Error::argument("tagging", shown(filter), "The tagging filter must be \"key\":\"value\".");
    let unquote = |text: &str| Some(text.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned());
    match filter.split_once(':') {
        Some((key, value)) => Ok((unquote(key).ok_or_else(refuse)?, Some(unquote(value).ok_or_else(refuse)?))),
        None => Ok((unquote(filter).ok_or_else(refuse)?, None)),
    }
}

/// The region asked for by DescribeRegions (HTTP API 7.2), as `oss-cn-hangzhou`; `None` for all.
///
/// # Errors
/// `NoSuchRegion` when it is not ours.
pub fn parse_regions<'a>(query: &'a Query, our_region: &str) -> Result<Option<&'a str>> {
    match query.first("regions") {
        None | Some("") => Ok(None),
        Some(region) if region.strip_prefix("oss-") == Some(our_region) => Ok(Some(region)),
        Some(region) => Err(Error::new(ErrorCode::NoSuchRegion).with("Region", shown(region))),
    }
}

/// ListObjects, first version (HTTP API 8.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectsParameters {
    /// What keys begin with.
    pub prefix: String,
    /// Keys and groups after this one.
    pub marker: String,
    /// Where keys are folded into groups; empty for never.
    pub delimiter: String,
    /// 1 to 1000, keys and groups together.
    pub max_keys: u32,
    /// Whether keys are percent-encoded in the answer.
    pub url_encoding: bool,
}

impl ListObjectsParameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(query: &Query) -> Result<Self> {
        Ok(Self {
            prefix: query.bounded_text("prefix", MAX_TEXT_BYTES)?.to_owned(),
            marker: query.bounded_text("marker", MAX_TEXT_BYTES)?.to_owned(),
            delimiter: query.bounded_text("delimiter", MAX_TEXT_BYTES)?.to_owned(),
            max_keys: query.bounded_number("max-keys", 1, MAX_KEYS, 100)?,
            url_encoding: query.encoding_is_url()?,
        })
    }
}

/// ListObjects, second version (HTTP API 8.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectsV2Parameters {
    /// What keys begin with.
    pub prefix: String,
    /// Where keys are folded into groups; empty for never.
    pub delimiter: String,
    /// 1 to 1000, keys and groups together.
    pub max_keys: u32,
    /// Whether keys are percent-encoded in the answer.
    pub url_encoding: bool,
    /// Keys and groups after this one, when sent.
    pub start_after: Option<String>,
    /// Where the page before ended, when sent.
    pub continuation: Option<ContinuationToken>,
    /// Whether entries name their owner.
    pub fetch_owner: bool,
}

impl ListObjectsV2Parameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(query: &Query) -> Result<Self> {
        if let Some(version) = query.first("list-type").filter(|version| *version != "2") {
            return Err(Error::argument("list-type", shown(version), "The list-type must be 2."));
        }
        let fetch_owner = match query.first("fetch-owner") {
            None | Some("") => false,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(text) => {
                return Err(Error::argument("fetch-owner", shown(text), "The fetch-owner must be true or false."));
            }
        };
        let start_after = match query.has("start-after") {
            true => Some(query.bounded_text("start-after", MAX_TEXT_BYTES)?.to_owned()),
            false => None,
        };
        Ok(Self {
            prefix: query.bounded_text("prefix", MAX_TEXT_BYTES)?.to_owned(),
            delimiter: query.bounded_text("delimiter", MAX_TEXT_BYTES)?.to_owned(),
            max_keys: query.bounded_number("max-keys", 1, MAX_KEYS, 100)?,
            url_encoding: query.encoding_is_url()?,
            start_after,
            continuation: query
                .first("continuation-token")
                // oss2 sends it empty with every first page.
                .filter(|text| !text.is_empty())
                .map(ContinuationToken::parse)
                .transpose()?,
            fetch_owner,
        })
    }

    /// Where the page begins: after this key or group. The token wins over `start-after`.
    pub fn after(&self) -> &str {
        match (&self.continuation, &self.start_after) {
            (Some(token), _) => &token.last,
            (None, Some(key)) => key,
            (None, None) => "",
        }
    }
}

/// The end of a page, opaque to clients: URL-safe base64 of a version byte and the last key or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContinuationToken {
    /// The last key or group of the page.
    pub last: String,
}

impl ContinuationToken {
    const VERSION: u8 = 1;

    /// The token after a page that ended with `last`.
    pub fn after(last: impl Into<String>) -> Self {
        Self { last: last.into() }
    }

    /// As clients see it.
    pub fn encode(&self) -> String {
        let mut bytes = vec![Self::VERSION];
        bytes.extend_from_slice(self.last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that this server wrote.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else, the empty token included.
    pub fn parse(text: &str) -> Result<Self> {
        let decoded = if text.len() <= 2 * MAX_TEXT_BYTES { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
        match decoded.as_deref().and_then(<[u8]>::split_first) {
            Some((&Self::VERSION, last)) if !last.is_empty() => std::str::from_utf8(last).ok().map(Self::after),
            _ => None,
        }
        .ok_or_else(|| Error::argument("continuation-token", shown(text), "The continuation token is not valid."))
    }
}

/// ListObjectVersions of a bucket that was never versioned (HTTP API 8.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVersionsParameters {
    /// What keys begin with.
    pub prefix: String,
    /// Keys and groups after this one.
    pub key_marker: String,
    /// Versions of `key_marker` after this one, as sent. Every key has one version here, so that it changes nothing.
    pub version_id_marker: String,
    /// Where keys are folded into groups; empty for never.
    pub delimiter: String,
    /// 1 to 1000.
    pub max_keys: u32,
    /// Whether keys are percent-encoded in the answer.
    pub url_encoding: bool,
}

impl ListVersionsParameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(query: &Query) -> Result<Self> {
        let key_marker = query.bounded_text("key-marker", MAX_TEXT_BYTES)?.to_owned();
        let version_id_marker = query.bounded_text("version-id-marker", MAX_TEXT_BYTES)?.to_owned();
        if key_marker.is_empty() && !version_id_marker.is_empty() {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(Error::argument("version-id-marker", shown(&version_id_marker), message));
        }
        Ok(Self {
            prefix: query.bounded_text("prefix", MAX_TEXT_BYTES)?.to_owned(),
            key_marker,
            version_id_marker,
            delimiter: query.bounded_text("delimiter", MAX_TEXT_BYTES)?.to_owned(),
            max_keys: query.bounded_number("max-keys", 1, MAX_KEYS, 100)?,
            url_encoding: query.encoding_is_url()?,
        })
    }
}

/// ListMultipartUploads (HTTP API 10.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUploadsParameters {
    /// What keys begin with.
    pub prefix: String,
    /// Where keys are folded into groups; empty for never.
    pub delimiter: String,
    /// Keys after this one, or with `upload_id_marker` also later uploads of this one.
    pub key_marker: String,
    /// Uploads of `key_marker` after this one; empty without a key marker.
    pub upload_id_marker: String,
    /// 1 to 1000.
    pub max_uploads: u32,
    /// Whether keys are percent-encoded in the answer.
    pub url_encoding: bool,
}

impl ListUploadsParameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(query: &Query) -> Result<Self> {
        let key_marker = query.bounded_text("key-marker", MAX_TEXT_BYTES)?.to_owned();
        let upload_id_marker = match key_marker.as_str() {
            "" => String::new(),
            _ => query.bounded_text("upload-id-marker", MAX_TEXT_BYTES)?.to_owned(),
        };
        Ok(Self {
            prefix: query.bounded_text("prefix", MAX_TEXT_BYTES)?.to_owned(),
            delimiter: query.bounded_text("delimiter", MAX_TEXT_BYTES)?.to_owned(),
            key_marker,
            upload_id_marker,
            max_uploads: query.bounded_number("max-uploads", 1, MAX_KEYS, MAX_KEYS)?,
            url_encoding: query.encoding_is_url()?,
        })
    }
}

/// ListParts (HTTP API 10.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPartsParameters {
    /// The upload.
    pub upload_id: String,
    /// 1 to 1000.
    pub max_parts: u32,
    /// Parts with greater numbers.
    pub part_number_marker: u32,
    /// Whether the key is percent-encoded in the answer.
    pub url_encoding: bool,
}

impl ListPartsParameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(query: &Query) -> Result<Self> {
        Ok(Self {
            upload_id: query.first("uploadId").unwrap_or_default().to_owned(),
            max_parts: query.bounded_number("max-parts", 1, MAX_KEYS, MAX_KEYS)?,
            part_number_marker: query.bounded_number("part-number-marker", 0, u32::MAX, 0)?,
            url_encoding: query.encoding_is_url()?,
        })
    }
}

/// ListLiveChannel (LiveChannel 1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListLiveChannelParameters {
    /// What names begin with.
    pub prefix: String,
    /// Names after this one. Need not be a legal name.
    pub marker: String,
    /// 1 to 1000.
    pub max_keys: u32,
}

impl ListLiveChannelParameters {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidArgument` with EC 0044-00000101, 102 or 103, in that order.
    pub fn parse(query: &Query) -> Result<Self> {
        let max_keys = match query.first("max-keys") {
            None | Some("") => 100,
            Some(text) => parse_decimal(text)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| (1..=MAX_KEYS).contains(number))
                .ok_or_else(|| {
                    Error::argument("max-keys", shown(text), "max-keys must be an integer in [1,1000].")
                        .ec("0044-00000101")
                })?,
        };
        let text = |name: &'static str, ec: &'static str, message: &'static str| {
            query.bounded_text(name, 1024).map(str::to_owned).map_err(|error| error.message(message).ec(ec))
        };
        Ok(Self {
            max_keys,
            prefix: text("prefix", "0044-00000102", "prefix exceeds 1024 bytes or is not UTF-8.")?,
            marker: text("marker", "0044-00000103", "marker exceeds 1024 bytes or is not UTF-8.")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn live_channel_lists_name_the_broken_rule() {
        let long = "a".repeat(1025);
        for (raw, ec) in [
            ("live&prefix=&marker=%2F&max-keys=", None),
            ("max-keys=0", Some("0044-00000101")),
            ("max-keys=-1", Some("0044-00000101")),
            ("max-keys=1001", Some("0044-00000101")),
            ("max-keys=abc&prefix=%ff", Some("0044-00000101")),
            ("prefix=%ff", Some("0044-00000102")),
            (&format!("prefix={long}"), Some("0044-00000102")),
            (&format!("marker={long}"), Some("0044-00000103")),
        ] {
            assert_eq!(ListLiveChannelParameters::parse(&Query::parse(raw)).err().and_then(|e| e.ec), ec, "{raw}");
        }
        assert_eq!(ListLiveChannelParameters::parse(&Query::parse("max-keys=")).unwrap().max_keys, 100);
    }

    #[test]
    fn tokens_come_back_and_win() {
        let token = ContinuationToken::after("视频/ 1.ts");
        assert_eq!(ContinuationToken::parse(&token.encode()).unwrap(), token);
        let raw = format!("list-type=2&start-after=zzz&continuation-token={}&fetch-owner=true", token.encode());
        let parameters = ListObjectsV2Parameters::parse(&Query::parse(&raw)).unwrap();
        assert_eq!((parameters.after(), parameters.fetch_owner), ("视频/ 1.ts", true));
        for raw in ["continuation-token=abc", "list-type=3", "fetch-owner=1", "encoding-type=xml"] {
            let error = ListObjectsV2Parameters::parse(&Query::parse(raw)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{raw}");
            assert_eq!(error.elements.first().map(|(_, name)| name.as_str()), raw.split('=').next());
        }
    }

    #[test]
    fn pages_have_their_defaults() {
        let empty = Query::parse("");
        assert_eq!(ListObjectsParameters::parse(&empty).unwrap().max_keys, 100);
        assert_eq!(ListUploadsParameters::parse(&empty).unwrap().max_uploads, 1000);
        assert_eq!(ListPartsParameters::parse(&empty).unwrap().max_parts, 1000);
        let uploads = ListUploadsParameters::parse(&Query::parse("upload-id-marker=U")).unwrap();
        assert_eq!(uploads.upload_id_marker, "");
        assert!(ListVersionsParameters::parse(&Query::parse("version-id-marker=U")).is_err());
    }

    #[test]
    fn buckets_can_be_filtered_by_tag() {
        for (raw, tag) in [
            ("tag-key=k&tag-value=v", Some(("k", Some("v")))),
            ("tag-key=k", Some(("k", None))),
            ("tagging=%22k%22:%22v%22", Some(("k", Some("v")))),
            ("tagging=%22k%22", Some(("k", None))),
            ("", None),
        ] {
            let found = ListBucketsParameters::parse(&Query::parse(raw)).unwrap().tag;
            assert_eq!(found, tag.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))), "{raw}");
        }
        assert!(ListBucketsParameters::parse(&Query::parse("tagging=k:v")).is_err());
    }

    #[test]
    fn regions_are_ours_or_unknown() {
        assert_eq!(parse_regions(&Query::parse("regions"), "cn-hangzhou").unwrap(), None);
        assert!(parse_regions(&Query::parse("regions=oss-cn-hangzhou"), "cn-hangzhou").unwrap().is_some());
        let error = parse_regions(&Query::parse("regions=oss-x"), "cn-hangzhou").unwrap_err();
        assert_eq!(error.code, ErrorCode::NoSuchRegion);
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(
            name in "prefix|marker|max-keys|delimiter|encoding-type|continuation-token|start-after|key-marker|tagging",
            value: String,
        ) {
            let query = Query::parse(&format!("{name}={value}"));
            let _ = ListBucketsParameters::parse(&query);
            let _ = ListObjectsParameters::parse(&query);
            let _ = ListObjectsV2Parameters::parse(&query);
            let _ = ListVersionsParameters::parse(&query);
            let _ = ListUploadsParameters::parse(&query);
            let _ = ListPartsParameters::parse(&query);
            let _ = ListLiveChannelParameters::parse(&query);
        }

        #[test]
        fn every_key_has_a_token(last in ".{1,100}") {
            let token = ContinuationToken::after(last);
            let text = token.encode();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(ContinuationToken::parse(&text).unwrap(), token);
        }
    }
}
