//! What CopyObject and UploadPartCopy read (HTTP API 9.7, 10.3).

use super::query::shown;
use super::{RangeBehaviour, RangeOutcome, RawRequest, apply_range};
use model::name::{BucketName, ObjectKey};
use model::percent::form_decode;
use model::{Error, ErrorCode, Result};

/// The object that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// Whether a version of it is named, for which a right of its own is needed (access control 2).
    pub names_version: bool,
}

/// What becomes of the metadata, or the tags, of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyDirective {
    /// They are copied.
    #[default]
    Copy,
    /// Those of the request are used.
    Replace,
}

impl CopySource {
    /// Reads `x-oss-copy-source: /bucket/key[?versionId=null]`; a `+` is a space (D30).
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidBucketName`, `InvalidObjectName`, `NoSuchVersion`.
    pub fn parse(raw: &RawRequest) -> Result<Self> {
        let value = raw.header("x-oss-copy-source").unwrap_or_default().trim_ascii();
        let text = String::from_utf8_lossy(value);
        let refuse = || {
            let message = "Copy Source must mention the source bucket and key: /sourcebucket/sourcekey.";
            Error::argument("x-oss-copy-source", shown(&text), message)
        };
        let value = std::str::from_utf8(value).map_err(|_| refuse())?;
        // Keys are sent url-encoded, so that a literal question mark begins the version. Some clients encode the first
        // slashes as well.
        let (path, named) = match value.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (value, None),
        };
        let version = named.unwrap_or("null");
        let decoded = form_decode(path);
        let path = decoded.strip_prefix(b"/").unwrap_or(&decoded);
        let slash = path.iter().position(|byte| *byte == b'/').ok_or_else(refuse)?;
        let (bucket, key) = path.split_at_checked(slash).ok_or_else(refuse)?;
        let key = key.strip_prefix(b"/").filter(|key| !key.is_empty()).ok_or_else(refuse)?;
        let bucket = BucketName::parse(std::str::from_utf8(bucket).map_err(|_| refuse())?)?;
        let key = ObjectKey::parse(key)?;
        if !matches!(version, "" | "null") {
            return Err(Error::new(ErrorCode::NoSuchVersion)
                .with("Key", key.as_str())
                .with("VersionId", shown(version)));
        }
        Ok(Self { bucket, key, names_version: named.is_some() })
    }
}

impl CopyDirective {
    /// `x-oss-metadata-directive`.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn of_metadata(raw: &RawRequest) -> Result<Self> {
        Self::read(raw, "x-oss-metadata-directive")
    }

    /// `x-oss-tagging-directive`.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn of_tags(raw: &RawRequest) -> Result<Self> {
        Self::read(raw, "x-oss-tagging-directive")
    }

    fn read(raw: &RawRequest, name: &'static str) -> Result<Self> {
        match raw.header(name).map(|value| String::from_utf8_lossy(value).trim().to_owned()).as_deref() {
            None | Some("") => Ok(Self::Copy),
            Some(text) if text.eq_ignore_ascii_case("copy") => Ok(Self::Copy),
            Some(text) if text.eq_ignore_ascii_case("replace") => Ok(Self::Replace),
            Some(text) => Err(Error::argument(name, shown(text), "The directive must be COPY or REPLACE.")),
        }
    }
}

/// The bytes of the source that UploadPartCopy reads: a range that does not fit means the whole source.
pub fn copy_range(raw: &RawRequest, source_size: u64) -> RangeOutcome {
    match apply_range(raw.header_text("x-oss-copy-source-range"), RangeBehaviour::Usual, source_size) {
        RangeOutcome::Unsatisfiable => RangeOutcome::Whole,
        fits => fits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(name: &str, value: &[u8]) -> RawRequest {
        RawRequest { headers: vec![(name.into(), value.to_vec())], ..RawRequest::default() }
    }

    fn check(value: &str, expected: Result<(&str, &str), ErrorCode>) {
        let found = CopySource::parse(&request("x-oss-copy-source", value.as_bytes()));
        let found = found.as_ref().map(|s| (s.bucket.as_str(), s.key.as_str())).map_err(|e| e.code);
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn sources_are_bucket_and_key() {
        check("/bkt/a%2Fb%3Fc", Ok(("bkt", "a/b?c")));
        check("bkt/a/b", Ok(("bkt", "a/b")));
        check("/bkt/a?versionId=null", Ok(("bkt", "a")));
        check("%2Fbkt%2Fa+b", Ok(("bkt", "a b")));
        check("/bkt/a%2Bb%20c", Ok(("bkt", "a+b c")));
        check("/bkt/视", Ok(("bkt", "视")));
        check("/bkt/a%25", Ok(("bkt", "a%")));
        check("/bkt/a?versionId=x", Err(ErrorCode::NoSuchVersion));
        check("/bkt/", Err(ErrorCode::InvalidArgument));
        check("/bkt", Err(ErrorCode::InvalidArgument));
        check("", Err(ErrorCode::InvalidArgument));
        check("/B/a", Err(ErrorCode::InvalidBucketName));
        check("/bkt//a", Err(ErrorCode::InvalidObjectName));
    }

    #[test]
    fn directives_are_case_insensitive() {
        for (value, expected) in
            [("", Some(CopyDirective::Copy)), ("Replace", Some(CopyDirective::Replace)), ("move", None)]
        {
            let raw = request("x-oss-metadata-directive", value.as_bytes());
            assert_eq!(CopyDirective::of_metadata(&raw).ok(), expected, "{value}");
        }
    }

    #[test]
    fn ranges_that_do_not_fit_copy_everything() {
        for (value, expected) in [
            ("bytes=0-4", RangeOutcome::Part { start: 0, end: 4 }),
            ("bytes=0-10", RangeOutcome::Whole),
            ("bytes=-0", RangeOutcome::Whole),
            ("x", RangeOutcome::Whole),
        ] {
            assert_eq!(copy_range(&request("x-oss-copy-source-range", value.as_bytes()), 10), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_a_source_or_not(value: Vec<u8>, text in "/?[a-z/%2F?=]{0,30}") {
            for value in [value, text.into_bytes()] {
                let _ = CopySource::parse(&request("x-oss-copy-source", &value));
                let _ = CopyDirective::of_tags(&request("x-oss-tagging-directive", &value));
            }
        }
    }
}
