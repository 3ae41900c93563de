//! The refusals of authentication (OSS auth 8), each written once.

use model::date;
use model::name::AccessKeyId;
use model::{Error, ErrorCode};

/// How far the clocks of client and server may be apart, seconds (OSS auth 3.5).
pub(crate) const MAX_SKEW_S: i64 = 900;

/// Half a claim in the `Authorization` header.
pub(super) const PART_IS_MISSING: &str = "AccessKeyId or Signature is missing in Authorization header value.";

/// What an error repeats of a value that was sent.
fn clip(value: &str) -> String {
    value.chars().take(1024).collect()
}

/// A fault of the `Authorization` header.
pub(super) fn header(value: &str, message: &'static str) -> Error {
    Error::argument("Authorization", clip(value), message)
}

/// The most frequent fault of the `Authorization` header.
pub(super) fn header_is_invalid(value: &str) -> Error {
    header(value, "Authorization header is invalid.")
}

/// A fault of a parameter or field of the query or form.
pub(super) fn parameter(name: &'static str, value: Option<&str>, message: &'static str) -> Error {
    let error = Error::new(ErrorCode::InvalidArgument).message(message).with("ArgumentName", name);
    match value {
        Some(value) => error.with("ArgumentValue", clip(value)),
        None => error,
    }
}

pub(super) fn date_is_missing() -> Error {
    Error::new(ErrorCode::AccessDenied).message("OSS authentication requires a valid Date.").ec("0002-00000503")
}

/// Refuses a request whose clock differs from ours by more than 900 s; exactly 900 s is accepted.
pub(super) fn check_skew(request_s: i64, now_s: i64) -> Result<(), Error> {
    if request_s.abs_diff(now_s) <= MAX_SKEW_S.unsigned_abs() { Ok(()) } else { Err(too_skewed(request_s, now_s)) }
}

pub(super) fn too_skewed(request_s: i64, now_s: i64) -> Error {
    Error::new(ErrorCode::RequestTimeTooSkewed)
        .ec("0002-00000504")
        .with("MaxAllowedSkewMilliseconds", (MAX_SKEW_S * 1000).to_string())
        .with("RequestTime", date::format_iso8601(request_s.saturating_mul(1000)))
        .with("ServerTime", date::format_iso8601(now_s.saturating_mul(1000)))
}

pub(super) fn expired(expires_s: i64, now_s: i64) -> Error {
    Error::new(ErrorCode::AccessDenied)
        .message("Request has expired.")
        .with("Expires", date::format_iso8601(expires_s.saturating_mul(1000)))
        .with("ServerTime", date::format_iso8601(now_s.saturating_mul(1000)))
}

pub(super) fn token_is_sent_twice() -> Error {
    Error::new(ErrorCode::InvalidArgument).with("ArgumentName", "security-token")
}

pub(super) fn token_must_be_in_the_query() -> Error {
    Error::new(ErrorCode::InvalidRequest).message("Security-token must be provided by query string parameter.")
}

pub(super) fn key_is_unknown(id: &AccessKeyId) -> Error {
    Error::new(ErrorCode::InvalidAccessKeyId).ec("0002-00000902").with("OSSAccessKeyId", id.as_str())
}

/// The signature differs. `string_to_sign` is the canonical one; the expected signature is never returned.
pub(super) fn mismatch(id: &AccessKeyId, provided: &str, string_to_sign: &[u8], canonical: Option<&[u8]>) -> Error {
    let mut bytes = String::with_capacity(string_to_sign.len() * 3);
    for byte in string_to_sign {
        if !bytes.is_empty() {
            bytes.push(' ');
        }
        bytes.push_str(&format!("{byte:02X}"));
    }
    let error = Error::new(ErrorCode::SignatureDoesNotMatch)
        .ec("0002-00000040")
        .with("OSSAccessKeyId", id.as_str())
        .with("SignatureProvided", clip(provided))
        .with("StringToSign", String::from_utf8_lossy(string_to_sign))
        .with("StringToSignBytes", bytes);
    match canonical {
        Some(canonical) => error.with("CanonicalRequest", String::from_utf8_lossy(canonical)),
        None => error,
    }
}
