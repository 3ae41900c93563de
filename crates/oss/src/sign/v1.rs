//! Signature version 1, in a header and in a URL (OSS auth 3, 4).

use std::fmt;

use super::secret::{is_same, sign_sha1};
use super::signable::{Parameter, Signable};
use super::{SecretKey, date, parse_http, refusal};
use crate::request::{Query, RawRequest};
use model::name::AccessKeyId;
use model::{Error, ErrorCode};

/// The parameters that are part of the resource, besides everything that begins with `x-oss-` (OSS auth 3.3), in the
/// order of their bytes.
const SIGNED_PARAMETERS: &[&str] = &[
    "accessPoint",
    "accessPointPolicy",
    "acl",
    "append",
    "asyncFetch",
    "bucketArchiveDirectRead",
    "bucketInfo",
    "callback",
    "callback-var",
    "cloudboxes",
    "cname",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "group",
    "httpsConfig",
    "img",
    "inventory",
    "inventoryId",
    "lifecycle",
    "link",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectInfo",
    "objectMeta",
    "partNumber",
    "policy",
    "policyStatus",
    "position",
    "processConfiguration",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "qosRequester",
    "redundancyTransition",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
    "requesterQosInfo",
    "resourceGroup",
    "resourcePool",
    "resourcePoolBuckets",
    "resourcePoolInfo",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "responseHeader",
    "restore",
    "rtc",
    "seal",
    "security-token",
    "sequential",
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "udf",
    "udfApplication",
    "udfApplicationLog",
    "udfId",
    "udfImage",
    "udfImageDesc",
    "udfName",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vip",
    "vod",
    "vpcip",
    "website",
    "withHashContext",
    "worm",
    "wormExtend",
    "wormId",
];

/// Whether V1 signs a parameter of this name.
pub(crate) fn is_signed_parameter(name: &[u8]) -> bool {
    name.starts_with(b"x-oss-") || SIGNED_PARAMETERS.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// How one request may be spelled (OSS auth 3.4).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spelling {
    /// Empty values that arrived as `name=` are signed so: Java.
    pub(super) keeps_equals: bool,
    /// The bucket is signed without its final slash: OpenDAL in path style.
    pub(super) bare_bucket: bool,
}

/// The string to sign; `date` is the date line, in URLs the expiry.
pub(super) fn string_to_sign(request: &Signable<'_>, date: &[u8], spelling: Spelling) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for line in [request.method.as_bytes(), request.header("content-md5"), request.header("content-type"), date] {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    request.push_headers(&mut out, |name| name.starts_with("x-oss-"));
    push_resource(&mut out, request, spelling);
    out
}

fn push_resource(out: &mut Vec<u8>, request: &Signable<'_>, spelling: Spelling) {
    out.extend_from_slice(request.resource(spelling.bare_bucket));
    let mut signed: Vec<&Parameter<'_>> = request.parameters.iter().filter(|p| is_signed_parameter(&p.name)).collect();
    // The sort is stable, so that of several parameters with one name the first stays first, and it alone counts.
    signed.sort_by(|a, b| a.name.cmp(&b.name));
    signed.dedup_by(|later, first| later.name == first.name);
    for (index, parameter) in signed.iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(&parameter.name);
        if !parameter.value.is_empty() || (spelling.keeps_equals && parameter.has_equals) {
            out.push(b'=');
            out.extend_from_slice(&parameter.value);
        }
    }
}

/// Accepts the signature in any of the spellings, with any of the date lines.
fn verify(
    request: &Signable<'_>,
    dates: &[&[u8]],
    secret: &SecretKey,
    id: &AccessKeyId,
    signature: &str,
) -> Result<(), Error> {
    let has_equals = request.parameters.iter().any(|p| p.is_empty_with_equals() && is_signed_parameter(&p.name));
    for &date in dates {
        for keeps_equals in [false, true] {
            for bare_bucket in [false, true] {
                let is_distinct = (!keeps_equals || has_equals) && (!bare_bucket || request.is_bare_bucket);
                let spelling = Spelling { keeps_equals, bare_bucket };
                if is_distinct && is_same(&sign_sha1(secret, &string_to_sign(request, date, spelling)), signature) {
                    return Ok(());
                }
            }
        }
    }
    let canonical = string_to_sign(request, dates.first().copied().unwrap_or_default(), Spelling::default());
    Err(refusal::mismatch(id, signature, &canonical, None))
}

/// What an `Authorization: OSS id:signature` header claims.
/// `Debug` leaves out signature and token, with which others could do the same.
#[derive(Clone, PartialEq, Eq)]
pub struct V1Header {
    pub(super) access_key: AccessKeyId,
    pub(super) signature: String,
    pub(super) token: Option<String>,
}

impl fmt::Debug for V1Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V1Header").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl V1Header {
    /// Reads the header, given whole and as what follows `OSS `, and checks the date of the request.
    pub(super) fn extract(raw: &RawRequest, whole: &str, items: &str, now_s: i64) -> Result<Self, Error> {
        let (id, signature) = match items.split_once(':') {
            Some((id, signature)) if !signature.contains(':') => (id.trim(), signature.trim()),
            _ => {
                return Err(refusal::header(
                    whole,
                    "Authorization header is invalid, bad num of Items in Authorization header.",
                ));
            }
        };
        if id.is_empty() || signature.is_empty() {
            return Err(refusal::header(whole, refusal::PART_IS_MISSING));
        }
        let access_key = AccessKeyId::parse(id)?;
        let moment = match raw.header("x-oss-date") {
            Some(_) => {
                raw.header_text("x-oss-date").and_then(|text| parse_http(text, now_s).or(date::parse_basic(text)))
            }
            None => raw.header_text("date").and_then(|text| parse_http(text, now_s)),
        };
        refusal::check_skew(moment.ok_or_else(refusal::date_is_missing)?, now_s)?;
        let token = super::header_token(raw).or_else(|| super::non_empty(raw.header_text("security-token")));
        Ok(Self { access_key, signature: signature.to_owned(), token })
    }

    pub(super) fn verify(&self, secret: &SecretKey, request: &Signable<'_>) -> Result<(), Error> {
        let (oss_date, date) = (request.header("x-oss-date"), request.header("date"));
        // Python and Node sign `x-oss-date` here, Go and Java always `Date` (OSS auth 3.1).
        let dates: &[&[u8]] = match (oss_date, date) {
            ([], date) => &[date],
            (oss_date, []) => &[oss_date],
            (oss_date, date) => &[oss_date, date],
        };
        verify(request, dates, secret, &self.access_key, &self.signature)
    }
}

/// What a URL with `OSSAccessKeyId`, `Expires` and `Signature` claims.
/// `Debug` leaves out signature and token, with which others could do the same.
#[derive(Clone, PartialEq, Eq)]
pub struct V1Url {
    pub(super) access_key: AccessKeyId,
    /// The expiry as it was written, because that text is signed.
    pub(super) expires: String,
    pub(super) expires_s: i64,
    pub(super) signature: String,
    pub(super) token: Option<String>,
}

impl fmt::Debug for V1Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V1Url").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl V1Url {
    pub(super) fn extract(raw: &RawRequest, query: &Query, now_s: i64) -> Result<Self, Error> {
        let incomplete = || {
            Error::new(ErrorCode::AccessDenied)
                .message("Query-string authentication requires the Signature, Expires and OSSAccessKeyId parameters")
        };
        let Some(expires) = query.first("Expires") else { return Err(incomplete().ec("0002-00000067")) };
        let (Some(id), Some(signature)) = (query.first("OSSAccessKeyId"), query.first("Signature")) else {
            return Err(incomplete());
        };
        if expires.is_empty() {
            return Err(incomplete().ec("0002-00000068"));
        }
        let expires_s = decimal(expires).ok_or_else(|| {
            Error::new(ErrorCode::AccessDenied)
                .message("Invalid date (should be seconds since epoch).")
                .ec("0002-00000070")
        })?;
        if now_s > expires_s {
            return Err(refusal::expired(expires_s, now_s).ec("0002-00000069"));
        }
        let access_key = AccessKeyId::parse(id)?;
        Ok(Self {
            access_key,
            expires: expires.to_owned(),
            expires_s,
            // A plus sign that nobody escaped arrives as a space from some clients.
            signature: signature.replace(' ', "+"),
            token: super::url_token(raw, query, "security-token")?,
        })
    }

    pub(super) fn verify(&self, secret: &SecretKey, request: &Signable<'_>) -> Result<(), Error> {
        verify(request, &[self.expires.as_bytes()], secret, &self.access_key, &self.signature)
    }
}

/// Seconds written in decimal; a moment past the end of time is the end of time.
pub(super) fn decimal(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_leaves_out_what_sdks_leave_out() {
        assert!(SIGNED_PARAMETERS.windows(2).all(|pair| pair[0] < pair[1]));
        for (name, signed) in [
            ("acl", true),
            ("x-oss-process", true),
            ("x-oss-", true),
            ("continuation-token", true),
            ("wormId", true),
            ("accessPoint", true),
            ("prefix", false),
            ("marker", false),
            ("max-keys", false),
            ("list-type", false),
            ("Expires", false),
            ("", false),
            ("ACL", false),
        ] {
            assert_eq!(is_signed_parameter(name.as_bytes()), signed, "{name}");
        }
    }

    #[test]
    fn expiry_is_decimal() {
        for (text, value) in [
            ("0", Some(0)),
            ("1704171845", Some(1_704_171_845)),
            ("99999999999999999999", Some(i64::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("abc", None),
        ] {
            assert_eq!(decimal(text), value, "{text}");
        }
    }
}
