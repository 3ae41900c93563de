//! What the headers of an upload say about the object (HTTP API 1.1, 5.3, 9.1, 9.9 to 9.11).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::query::{parse_decimal, shown};
use super::{Query, RawRequest};
use model::name::ObjectKey;
use model::percent::form_decode;
use model::{BucketAcl, ContentHeaders, MAX_BODY_BYTES, ObjectAcl, StorageClass, Tag};
use model::{Error, ErrorCode, Result};

/// The largest sum of names and values of user metadata, in bytes.
const MAX_METADATA_BYTES: usize = 8 * 1024;
const MAX_OBJECT_TAGS: usize = 10;

/// What PutObject and its kin say about the object they make. Also read from the fields of a form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectHeaders {
    /// Headers that are sent back.
    pub content: ContentHeaders,
    /// `x-oss-meta-*`: lower-case names without that prefix, values as sent, in order of arrival.
    pub user_meta: Vec<(String, Vec<u8>)>,
    /// `x-oss-object-acl`.
    pub acl: Option<ObjectAcl>,
    /// `x-oss-storage-class`.
    pub storage_class: Option<StorageClass>,
    /// `x-oss-tagging`; `None` when not sent.
    pub tags: Option<Vec<Tag>>,
    /// `x-oss-forbid-overwrite: true`.
    pub forbid_overwrite: bool,
}

impl ObjectHeaders {
    /// Reads the headers of a request.
    ///
    /// # Errors
    /// `InvalidArgument`, `NotImplemented`, `InvalidEncryptionAlgorithmError`.
    pub fn parse(raw: &RawRequest) -> Result<Self> {
        Self::from_pairs(&raw.headers)
    }

    /// Reads lower-case names and values, wherever they come from.
    ///
    /// # Errors
    /// As [`ObjectHeaders::parse`].
    pub fn from_pairs(pairs: &[(String, Vec<u8>)]) -> Result<Self> {
        let first = |name: &str| pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice());
        let text = |name: &str| first(name).map(|value| String::from_utf8_lossy(value).trim().to_owned());
        let kept = |name: &'static str| match first(name) {
            None | Some(b"") => Ok(None),
            Some(value) if is_header_value(value) => Ok(Some(value.to_vec())),
            Some(value) => Err(bad_value(name, value)),
        };
        check_encryption(text("x-oss-server-side-encryption").as_deref())?;
        for name in ["x-oss-server-side-encryption-key-id", "x-oss-server-side-data-encryption"] {
            if first(name).is_some_and(|value| !value.is_empty()) {
                return Err(Error::new(ErrorCode::NotImplemented).with("Header", name));
            }
        }
        Ok(Self {
            content: ContentHeaders {
                content_type: kept("content-type")?,
                cache_control: kept("cache-control")?,
                content_disposition: kept("content-disposition")?,
                content_encoding: kept("content-encoding")?,
                content_language: kept("content-language")?,
                expires: kept("expires")?,
            },
            user_meta: user_metadata(pairs)?,
            acl: text("x-oss-object-acl").map(|text| parse_object_acl(&text)).transpose()?,
            storage_class: text("x-oss-storage-class").map(|text| parse_storage_class(&text)).transpose()?,
            tags: text("x-oss-tagging").map(|text| parse_tagging_header(&text)).transpose()?,
            forbid_overwrite: text("x-oss-forbid-overwrite").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        })
    }
}

/// Header values end up in answers again, so that nothing may break a line.
fn is_header_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn bad_value(name: &'static str, value: &[u8]) -> Error {
    Error::argument(name, shown(&String::from_utf8_lossy(value)), "The value has characters that are not allowed.")
}

fn user_metadata(pairs: &[(String, Vec<u8>)]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let mut bytes = 0usize;
    for (name, value) in pairs {
        let Some(name) = name.strip_prefix("x-oss-meta-") else { continue };
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !is_name {
            let message = "The name of user metadata has characters that are not allowed.";
            return Err(Error::argument("x-oss-meta-", shown(name), message));
        }
        if !is_header_value(value) {
            return Err(bad_value("x-oss-meta-", value));
        }
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if bytes > MAX_METADATA_BYTES {
            let message = "The user metadata exceeds 8 KB.";
            return Err(Error::new(ErrorCode::InvalidArgument).message(message));
        }
        match found.iter_mut().find(|(earlier, _)| earlier == name) {
            // Repeated headers are one list, as signatures see them (OSS auth 3.1).
            Some((_, earlier)) => {
                earlier.push(b',');
                earlier.extend_from_slice(value);
            }
            None => found.push((name.to_ascii_lowercase(), value.clone())),
        }
    }
    Ok(found)
}

/// Nothing is encrypted at rest here, so that a client that asks for it must not believe it is (HTTP API 15, D19).
fn check_encryption(value: Option<&str>) -> Result<()> {
    match value {
        None | Some("") => Ok(()),
        Some("AES256" | "SM4" | "KMS") => {
            Err(Error::new(ErrorCode::NotImplemented).with("Header", "x-oss-server-side-encryption"))
        }
        Some(_) => Err(Error::new(ErrorCode::InvalidEncryptionAlgorithmError)),
    }
}

/// Reads `x-oss-object-acl`.
///
/// # Errors
/// `InvalidArgument`.
pub fn parse_object_acl(text: &str) -> Result<ObjectAcl> {
    ObjectAcl::parse(text)
        .ok_or_else(|| Error::argument("x-oss-object-acl", shown(text), "no such object access control exists"))
}

fn parse_storage_class(text: &str) -> Result<StorageClass> {
    StorageClass::parse(text)
        .ok_or_else(|| Error::argument("x-oss-storage-class", shown(text), "No such object storage class exists."))
}

/// The ACL that PutObjectACL requires (HTTP API 9.9).
///
/// # Errors
/// `InvalidArgument`, also when it is missing.
pub fn required_object_acl(raw: &RawRequest) -> Result<ObjectAcl> {
    parse_object_acl(raw.header_text("x-oss-object-acl").unwrap_or_default())
}

/// The ACL of PutBucket and PutBucketAcl, if sent (HTTP API 8.1, 8.10).
///
/// # Errors
/// `InvalidArgument`.
pub fn parse_bucket_acl(raw: &RawRequest) -> Result<Option<BucketAcl>> {
    match raw.header("x-oss-acl") {
        None => Ok(None),
        Some(value) => {
            let text = String::from_utf8_lossy(value);
            BucketAcl::parse(text.trim())
                .map(Some)
                .ok_or_else(|| Error::argument("x-oss-acl", shown(&text), "no such bucket access control exists"))
        }
    }
}

/// Refuses the headers of PutBucket that ask for what is not built (HTTP API 8.1).
///
/// # Errors
/// `NotImplemented`.
pub fn check_put_bucket_headers(raw: &RawRequest) -> Result<()> {
    let wants_namespace = raw.header_text("x-oss-hns-status").is_some_and(|text| text.eq_ignore_ascii_case("enabled"));
    if wants_namespace {
        return Err(Error::new(ErrorCode::NotImplemented).with("Header", "x-oss-hns-status"));
    }
    if raw.header("x-oss-bucket-tagging").is_some() {
        return Err(Error::new(ErrorCode::NotImplemented).with("Header", "x-oss-bucket-tagging"));
    }
    Ok(())
}

/// Refuses conditional headers on PutObject (HTTP API 3).
///
/// # Errors
/// `NotImplemented` with the element `Header`.
pub fn check_no_conditions(raw: &RawRequest) -> Result<()> {
    for (lower, name) in [
        ("if-match", "If-Match"),
        ("if-none-match", "If-None-Match"),
        ("if-modified-since", "If-Modified-Since"),
        ("if-unmodified-since", "If-Unmodified-Since"),
    ] {
        if raw.header(lower).is_some() {
            return Err(Error::new(ErrorCode::NotImplemented).with("Header", name));
        }
    }
    Ok(())
}

/// What the client says its body is (HTTP API 3, 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyDigests {
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// `x-oss-hash-crc64ecma`.
    pub crc64: Option<u64>,
}

impl BodyDigests {
    /// Reads the headers.
    ///
    /// # Errors
    /// `InvalidDigest`, `InvalidArgument`.
    pub fn parse(raw: &RawRequest) -> Result<Self> {
        let md5 = match raw.header("content-md5").map(<[u8]>::trim_ascii) {
            None | Some(b"") => None,
            Some(text) => Some(
                STANDARD
                    .decode(text)
                    .ok()
                    .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
                    .ok_or(ErrorCode::InvalidDigest)?,
            ),
        };
        let crc64 = match raw.header_text("x-oss-hash-crc64ecma") {
            None | Some("") => None,
            Some(text) => Some(parse_decimal(text).ok_or_else(|| {
                Error::argument("x-oss-hash-crc64ecma", shown(text), "The CRC-64 must be a decimal number.")
            })?),
        };
        Ok(Self { md5, crc64 })
    }

    /// Compares with what arrived; pass `None` for what was not computed because it was not asked for.
    ///
    /// # Errors
    /// `InvalidDigest`, `InvalidCRC64`.
    pub fn check(&self, md5: Option<[u8; 16]>, crc64: Option<u64>) -> Result<()> {
        if self.md5.zip(md5).is_some_and(|(said, found)| said != found) {
            return Err(ErrorCode::InvalidDigest.into());
        }
        if self.crc64.zip(crc64).is_some_and(|(said, found)| said != found) {
            return Err(ErrorCode::InvalidCRC64.into());
        }
        Ok(())
    }
}

/// Refuses a declared length beyond 5 GB (HTTP API 9.1). `None` for chunked bodies, which are counted as they come.
///
/// # Errors
/// `EntityTooLarge`.
pub fn check_body_length(length: Option<u64>) -> Result<()> {
    match length {
        Some(length) if length > MAX_BODY_BYTES => Err(ErrorCode::EntityTooLarge.into()),
        _ => Ok(()),
    }
}

/// Reads `x-oss-tagging: k1=v1&k2=v2` (HTTP API 9.11).
///
/// # Errors
/// `InvalidArgument`.
pub fn parse_tagging_header(text: &str) -> Result<Vec<Tag>> {
    let refuse = || {
        Error::argument(
            "x-oss-tagging",
            shown(text),
            "The header 'x-oss-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
             name duplicates.",
        )
    };
    let mut tags = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        // Tag characters include the plus sign, but forms write a space as one; SDKs send %2B and %20.
        let decode = |text: &str| String::from_utf8(form_decode(text)).map_err(|_| refuse());
        tags.push(Tag { key: decode(key)?, value: decode(value)? });
        if tags.len() > MAX_OBJECT_TAGS {
            return Err(refuse());
        }
    }
    check_object_tags(&tags).map_err(|_| refuse())?;
    Ok(tags)
}

/// The rules of object tags (HTTP API 9.11).
///
/// # Errors
/// `InvalidTag`.
pub fn check_object_tags(tags: &[Tag]) -> Result<()> {
    let is_tag_text = |text: &str| {
        text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '+' | '-' | '=' | '.' | '_' | ':' | '/'))
    };
    if tags.len() > MAX_OBJECT_TAGS {
        return Err(Error::new(ErrorCode::InvalidTag).message("The object tags num is beyond limit."));
    }
    for (index, tag) in tags.iter().enumerate() {
        let is_key = (1..=128).contains(&tag.key.len()) && is_tag_text(&tag.key);
        if !is_key || tags.iter().take(index).any(|earlier| earlier.key == tag.key) {
            return Err(Error::new(ErrorCode::InvalidTag).with("TagKey", shown(&tag.key)));
        }
        if tag.value.len() > 256 || !is_tag_text(&tag.value) {
            return Err(Error::new(ErrorCode::InvalidTag)
                .message("The TagValue you have provided is invalid.")
                .with("TagValue", shown(&tag.value)));
        }
    }
    Ok(())
}

/// Where an append begins (HTTP API 9.8).
///
/// # Errors
/// `MissingArgument`, `InvalidArgument`.
pub fn parse_append_position(query: &Query) -> Result<u64> {
    match query.first("position") {
        None => Err(Error::new(ErrorCode::MissingArgument).with("ArgumentName", "position")),
        Some(text) => parse_decimal(text).ok_or_else(|| {
            Error::argument("position", shown(text), "The position must be a number that is not negative.")
        }),
    }
}

/// The key that a symbolic link points to, in the same bucket (HTTP API 9.10); a `+` is a space (D30).
///
/// # Errors
/// `MissingArgument`, `InvalidObjectName`.
pub fn parse_symlink_target(raw: &RawRequest) -> Result<ObjectKey> {
    match raw.header("x-oss-symlink-target").map(<[u8]>::trim_ascii) {
        None | Some(b"") => Err(Error::new(ErrorCode::MissingArgument).with("ArgumentName", "x-oss-symlink-target")),
        // Raw UTF-8 in the header is decoded like escaped UTF-8; anything else cannot be a key.
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) => ObjectKey::parse(&form_decode(text)),
            Err(_) => ObjectKey::parse(value),
        },
    }
}

/// The tag keys that `DELETE ?tagging=k1,k2` names; empty for all (HTTP API 8.17).
pub fn parse_tag_keys(query: &Query) -> Vec<String> {
    let list = query.first("tagging").unwrap_or_default();
    list.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(headers: &[(&str, &str)]) -> RawRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        RawRequest { headers, ..RawRequest::default() }
    }

    fn check(headers: &[(&str, &str)], code: Option<ErrorCode>) {
        assert_eq!(ObjectHeaders::parse(&request(headers)).err().map(|error| error.code), code, "{headers:?}");
    }

    #[test]
    fn headers_become_an_object() {
        let headers = ObjectHeaders::parse(&request(&[
            ("content-type", "video/mp2t"),
            ("expires", "whenever"),
            ("x-oss-meta-a", "1"),
            ("x-oss-meta-b", "视"),
            ("x-oss-meta-a", "2"),
            ("x-oss-object-acl", " private "),
            ("x-oss-storage-class", "IA"),
            ("x-oss-tagging", "k1=v%201&k2"),
            ("x-oss-forbid-overwrite", "True"),
        ]))
        .unwrap();
        assert_eq!(headers.content.content_type.as_deref(), Some(&b"video/mp2t"[..]));
        assert_eq!(headers.content.expires.as_deref(), Some(&b"whenever"[..]));
        assert_eq!(headers.content.cache_control, None);
        assert_eq!(headers.user_meta, [("a".into(), b"1,2".to_vec()), ("b".into(), "视".as_bytes().to_vec())]);
        assert_eq!(headers.acl, Some(ObjectAcl::Private));
        assert_eq!(headers.storage_class, Some(StorageClass::InfrequentAccess));
        let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
        assert_eq!(headers.tags, Some(vec![tag("k1", "v 1"), tag("k2", "")]));
        assert!(headers.forbid_overwrite);
    }

    #[test]
    fn bad_headers_are_refused() {
        let long = "a".repeat(8 * 1024);
        check(&[("x-oss-object-acl", "open")], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-storage-class", "standard")], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-tagging", "a=1&a=2")], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-tagging", "a=%ff")], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-meta-", "x")], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-meta-a", &long)], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-meta-a", &long[1..])], None);
        check(&[("x-oss-meta-a", "x\r\ny")], Some(ErrorCode::InvalidArgument));
        check(&[("cache-control", "x\ny")], Some(ErrorCode::InvalidArgument));
        check(&[("x-oss-server-side-encryption", "AES256")], Some(ErrorCode::NotImplemented));
        check(&[("x-oss-server-side-encryption-key-id", "some")], Some(ErrorCode::NotImplemented));
        check(&[("x-oss-server-side-encryption", "ROT13")], Some(ErrorCode::InvalidEncryptionAlgorithmError));
    }

    #[test]
    fn the_refusal_of_an_acl_is_literal() {
        let error = required_object_acl(&request(&[("x-oss-object-acl", "open")])).unwrap_err();
        assert_eq!(error.message, "no such object access control exists");
        assert_eq!(error.elements, [("ArgumentName", "x-oss-object-acl".into()), ("ArgumentValue", "open".to_owned())]);
        assert!(required_object_acl(&request(&[])).is_err());
        assert_eq!(parse_bucket_acl(&request(&[])).unwrap(), None);
        let error = parse_bucket_acl(&request(&[("x-oss-acl", "default")])).unwrap_err();
        assert_eq!(error.message, "no such bucket access control exists");
    }

    #[test]
    fn digests_are_compared() {
        let digests = BodyDigests::parse(&request(&[
            ("content-md5", "M3szwC+JSTAmhDmD/ycqMA=="),
            ("x-oss-hash-crc64ecma", "15021467531229347219"),
        ]))
        .unwrap();
        let md5 = digests.md5.unwrap();
        assert_eq!(model::hex_upper(&md5), "337B33C02F8949302684398 3FF272A30".replace(' ', ""));
        assert!(digests.check(Some(md5), Some(15_021_467_531_229_347_219)).is_ok());
        assert_eq!(digests.check(Some([0; 16]), None).unwrap_err().code, ErrorCode::InvalidDigest);
        assert_eq!(digests.check(None, Some(1)).unwrap_err().code, ErrorCode::InvalidCRC64);
        for bad in ["x", "M3szwC+JSTAmhDmD", "M3szwC+JSTAmhDmD/ycqMA"] {
            let error = BodyDigests::parse(&request(&[("content-md5", bad)])).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidDigest, "{bad}");
        }
        assert!(BodyDigests::parse(&request(&[("x-oss-hash-crc64ecma", "-1")])).is_err());
    }

    #[test]
    fn single_parameters_are_read() {
        for (raw, code) in [
            ("append&position=5", None),
            ("append", Some(ErrorCode::MissingArgument)),
            ("append&position=-1", Some(ErrorCode::InvalidArgument)),
            ("append&position=", Some(ErrorCode::InvalidArgument)),
        ] {
            assert_eq!(parse_append_position(&Query::parse(raw)).err().map(|e| e.code), code, "{raw}");
        }
        let target = parse_symlink_target(&request(&[("x-oss-symlink-target", "a%2Fb+c")])).unwrap();
        assert_eq!(target.as_str(), "a/b c");
        let target = parse_symlink_target(&request(&[("x-oss-symlink-target", "a%2Bb%20c")])).unwrap();
        assert_eq!(target.as_str(), "a+b c");
        assert!(parse_symlink_target(&request(&[("x-oss-symlink-target", "%2Fa")])).is_err());
        assert_eq!(parse_symlink_target(&request(&[])).unwrap_err().code, ErrorCode::MissingArgument);
        assert_eq!(parse_tag_keys(&Query::parse("tagging=a,%20b,")), ["a", "b"]);
        assert!(check_body_length(Some(MAX_BODY_BYTES)).is_ok());
        assert!(check_body_length(Some(MAX_BODY_BYTES + 1)).is_err());
        assert!(check_no_conditions(&request(&[("if-match", "*")])).is_err());
        assert!(check_put_bucket_headers(&request(&[("x-oss-hns-status", "disabled")])).is_ok());
        assert!(check_put_bucket_headers(&request(&[("x-oss-hns-status", "enabled")])).is_err());
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(
            name in "x-oss-meta-[a-z]{0,3}|x-oss-tagging|content-md5|x-oss-object-acl|x-oss-symlink-target|expires|x-oss-acl",
            value: Vec<u8>,
            text in "[a-z=&%0-9+]{0,40}",
        ) {
            for value in [value, text.into_bytes()] {
                let raw = RawRequest { headers: vec![(name.clone(), value)], ..RawRequest::default() };
                let _ = (ObjectHeaders::parse(&raw), BodyDigests::parse(&raw), parse_bucket_acl(&raw));
                let _ = (required_object_acl(&raw), parse_symlink_target(&raw));
            }
        }
    }
}
