//! Signature version 4, in a header and in a URL (OSS auth 5, 6).

use std::borrow::Cow;
use std::fmt;

use super::secret::{SigningKey, is_same, sha256_hex};
use super::signable::Signable;
use super::{SecretKey, SignOptions, date, parse_http, refusal, v1};
use crate::request::{Query, RawRequest};
use model::Error;
use model::name::AccessKeyId;
use model::percent::percent_encode;

/// The name of the algorithm, first line of the string to sign and scheme of the header.
pub(crate) const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const TERMINATOR: &str = "aliyun_v4_request";
/// The header with the digest of the body, or that nothing is said of it.
pub(super) const PAYLOAD_HEADER: &str = "x-oss-content-sha256";
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The longest validity of a URL, seconds.
const MAX_EXPIRES_S: i64 = 604_800;

/// `id/yyyymmdd/region/oss/aliyun_v4_request`: who signs, and for which day and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) access_key: AccessKeyId,
    pub(super) date: String,
    pub(super) region: String,
    product: String,
    region_is_accepted: bool,
}

/// Which place a credential was read from, because faults name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Url,
    Form,
}

impl Credential {
    pub(super) fn new(access_key: AccessKeyId, date: &str, region: &str) -> Self {
        Self {
            access_key,
            date: date.to_owned(),
            region: region.to_owned(),
            product: "oss".to_owned(),
            region_is_accepted: true,
        }
    }

    pub(super) fn parse(text: &str, whole: &str, place: Place, options: &SignOptions) -> Result<Self, Error> {
        let refuse = |message, ec: Option<&'static str>| {
            let error = fault(place, "x-oss-credential", whole, message);
            match ec {
                Some(ec) => error.ec(ec),
                None => error,
            }
        };
        let invalid = match place {
            Place::Header => "Authorization header is invalid.",
            Place::Url | Place::Form => "Invalid credential.",
        };
        let parts: Vec<&str> = text.splitn(6, '/').collect();
        let &[id, day, region, product, terminator] = parts.as_slice() else {
            return Err(refuse(invalid, Some("0002-00000213")));
        };
        if id.is_empty() && place == Place::Header {
            return Err(refuse(refusal::PART_IS_MISSING, None));
        }
        let access_key = AccessKeyId::parse(id).map_err(|_| refuse(invalid, Some("0002-00000206")))?;
        if !date::is_day(day) {
            return Err(refuse(wrong_date(place), Some("0002-00000212")));
        }
        if terminator != TERMINATOR {
            return Err(refuse(invalid, None));
        }
        Ok(Self {
            access_key,
            date: day.to_owned(),
            region: region.to_owned(),
            product: product.to_owned(),
            region_is_accepted: options.accepts(region),
        })
    }

    /// Refuses a timestamp of another day than the credential's.
    pub(super) fn check_day(&self, unix_s: i64, whole: &str, place: Place) -> Result<(), Error> {
        if date::format_basic(unix_s).get(..8) == Some(self.date.as_str()) {
            Ok(())
        } else {
            Err(fault(place, "x-oss-credential", whole, wrong_date(place)).ec("0002-00000212"))
        }
    }

    /// Region and product are looked at after the key and the token (OSS auth 8).
    pub(super) fn check_scope(&self, whole: &str, place: Place) -> Result<(), Error> {
        let refuse = |message, ec| Err(fault(place, "x-oss-credential", whole, message).ec(ec));
        match place {
            _ if self.region_is_accepted && self.product == "oss" => Ok(()),
            Place::Header if !self.region_is_accepted => {
                refuse("Invalid signing region in Authorization header.", "0002-00000226")
            }
            Place::Header => refuse("Invalid signing product in Authorization header.", "0002-00000227"),
            Place::Form if !self.region_is_accepted => {
                refuse("The signing region in credential is invalid.", "0002-00000715")
            }
            _ if !self.region_is_accepted => refuse("Invalid signing region in credential.", "0002-00000226"),
            _ => refuse("Invalid signing product in credential.", "0002-00000227"),
        }
    }

    pub(super) fn scope(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.product)
    }

    /// The whole text, as URLs and forms carry it.
    pub(super) fn text(&self) -> String {
        format!("{}/{}", self.access_key, self.scope())
    }

    pub(super) fn derive(&self, secret: &SecretKey) -> SigningKey {
        SigningKey::derive(secret, &self.date, &self.region)
    }
}

fn wrong_date(place: Place) -> &'static str {
    match place {
        Place::Header => "Invalid signing date in Authorization header.",
        Place::Url | Place::Form => "Invalid signing date in credential.",
    }
}

fn fault(place: Place, name: &'static str, value: &str, message: &'static str) -> Error {
    match place {
        Place::Header => refusal::header(value, message),
        Place::Url | Place::Form => refusal::parameter(name, Some(value), message),
    }
}

/// How one request may be spelled (OSS auth 5.6).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spelling {
    /// Empty values that arrived as `name=` are signed so: ali-oss.
    keeps_equals: bool,
    /// All but the one that selects the operation: ali-oss, when it lists uploads.
    bare_selector: bool,
    /// The names of additional headers are listed as they were given, not in lower case.
    keeps_case: bool,
    /// `x-oss-content-sha256` was added after a URL was signed.
    omits_payload_header: bool,
    /// The bucket is signed without its final slash: OpenDAL in path style.
    bare_bucket: bool,
}

/// The headers that a request signs beyond the usual ones, as given: `host;Range`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AdditionalHeaders {
    given: Vec<String>,
}

impl AdditionalHeaders {
    pub(super) fn parse(text: &str) -> Self {
        let names = text.split(';').map(str::trim).filter(|name| !is_always_signed(&name.to_ascii_lowercase()));
        let mut given: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        given.sort();
        given.dedup();
        Self { given }
    }

    fn has_upper_case(&self) -> bool {
        self.given.iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase()))
    }

    fn contains(&self, lower_name: &str) -> bool {
        self.given.iter().any(|name| name.eq_ignore_ascii_case(lower_name))
    }

    /// The list as signed.
    pub(super) fn line(&self, keeps_case: bool) -> String {
        if keeps_case {
            return self.given.join(";");
        }
        let mut names: Vec<String> = self.given.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        names.join(";")
    }
}

fn is_always_signed(name: &str) -> bool {
    name == "content-type" || name == "content-md5" || name.starts_with("x-oss-")
}

/// The canonical request (OSS auth 5.2).
pub(super) fn canonical_request(
    request: &Signable<'_>,
    additional: &AdditionalHeaders,
    payload: &[u8],
    spelling: Spelling,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(percent_encode(request.resource(spelling.bare_bucket), true).as_bytes());
    out.push(b'\n');
    push_query(&mut out, request, spelling);
    out.push(b'\n');
    request.push_headers(&mut out, |name| {
        (is_always_signed(name) || additional.contains(name))
            && !(spelling.omits_payload_header && name == "x-oss-content-sha256")
    });
    out.push(b'\n');
    out.extend_from_slice(additional.line(spelling.keeps_case).as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload);
    out
}

fn push_query(out: &mut Vec<u8>, request: &Signable<'_>, spelling: Spelling) {
    let mut encoded: Vec<(String, String, bool)> = request
        .parameters
        .iter()
        .filter(|p| *p.name != *b"x-oss-signature")
        .map(|p| {
            let keeps_equals = spelling.keeps_equals && p.has_equals && !(spelling.bare_selector && p.is_selector);
            (percent_encode(&p.name, false), percent_encode(&p.value, false), keeps_equals)
        })
        .collect();
    encoded.sort();
    for (index, (name, value, keeps_equals)) in encoded.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        if !value.is_empty() || *keeps_equals {
            out.push(b'=');
            out.extend_from_slice(value.as_bytes());
        }
    }
}

/// The string to sign of a canonical request (OSS auth 5.1).
pub(super) fn string_to_sign(timestamp: &str, credential: &Credential, canonical: &[u8]) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{}\n{}", credential.scope(), sha256_hex(canonical))
}

/// What both forms of V4 claim.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) credential: Credential,
    /// The text of `x-oss-date`, or of `Date` without it.
    pub(super) timestamp: String,
    additional: AdditionalHeaders,
    pub(super) signature: String,
    pub(super) token: Option<String>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("access_key", &self.credential.access_key)
            .field("region", &self.credential.region)
            .finish_non_exhaustive()
    }
}

impl Claim {
    fn verify(&self, key: &SigningKey, request: &Signable<'_>, payload: &[u8], place: Place) -> Result<(), Error> {
        let has_equals = request.parameters.iter().any(|p| p.is_empty_with_equals());
        let has_case = self.additional.has_upper_case();
        let has_payload_header =
            place == Place::Url && request.headers.iter().any(|(n, _)| n == "x-oss-content-sha256");
        let has_selector = request.parameters.iter().any(|p| p.is_selector && p.is_empty_with_equals());
        // What a request cannot be spelled in two ways is tried in one.
        let possible = [has_equals, has_case, has_payload_header, request.is_bare_bucket, has_selector];
        for choice in 0..1_u8 << possible.len() {
            let chosen = [0, 1, 2, 3, 4].map(|bit| choice & (1 << bit) != 0);
            if chosen.iter().zip(possible).any(|(chosen, is_possible)| *chosen && !is_possible) {
                continue;
            }
            let [keeps_equals, keeps_case, omits_payload_header, bare_bucket, bare_selector] = chosen;
            if bare_selector && !keeps_equals {
                continue;
            }
            let spelling = Spelling { keeps_equals, bare_selector, keeps_case, omits_payload_header, bare_bucket };
            let canonical = canonical_request(request, &self.additional, payload, spelling);
            let text = string_to_sign(&self.timestamp, &self.credential, &canonical);
            if is_same(&key.sign(text.as_bytes()), &self.signature) {
                return Ok(());
            }
        }
        let canonical = canonical_request(request, &self.additional, payload, Spelling::default());
        let text = string_to_sign(&self.timestamp, &self.credential, &canonical);
        Err(refusal::mismatch(&self.credential.access_key, &self.signature, text.as_bytes(), Some(&canonical)))
    }
}

/// What an `Authorization: OSS4-HMAC-SHA256 …` header claims.
/// `Debug` leaves out signature and token, with which others could do the same.
#[derive(Clone, PartialEq, Eq)]
pub struct V4Header {
    pub(super) claim: Claim,
    /// The header, for the refusals that come after the key was looked up.
    whole: String,
    /// The text of `x-oss-content-sha256`, or what stands for it.
    payload: Cow<'static, str>,
}

impl fmt::Debug for V4Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V4Header").field("claim", &self.claim).finish_non_exhaustive()
    }
}

impl V4Header {
    /// Reads the header, given whole and as what follows the scheme, and checks the date of the request.
    pub(super) fn extract(
        raw: &RawRequest,
        whole: &str,
        items: &str,
        options: &SignOptions,
        now_s: i64,
    ) -> Result<Self, Error> {
        let (mut credential, mut additional, mut signature) = (None, None, None);
        for item in items.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').ok_or_else(|| refusal::header_is_invalid(whole))?;
            let slot = match name.trim_end() {
                "Credential" => &mut credential,
                "AdditionalHeaders" => &mut additional,
                "Signature" => &mut signature,
                _ => return Err(refusal::header(whole, "Unknown parameter in Authorization header.")),
            };
            if slot.replace(value.trim()).is_some() {
                return Err(refusal::header_is_invalid(whole));
            }
        }
        let credential = credential.ok_or_else(|| refusal::header_is_invalid(whole).ec("0002-00000213"))?;
        let credential = Credential::parse(credential, whole, Place::Header, options)?;
        let signature = signature
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| refusal::header(whole, refusal::PART_IS_MISSING))?;
        let (timestamp, moment) = match raw.header("x-oss-date") {
            // Go v1 leaves `x-oss-date` out and signs the text of `Date` (OSS auth 5.3).
            None => {
                let text = raw.header_text("date");
                (text, text.and_then(|text| parse_http(text, now_s)))
            }
            Some(_) => {
                let text = raw.header_text("x-oss-date");
                (text, text.and_then(|text| date::parse_basic(text).or(parse_http(text, now_s))))
            }
        };
        let (Some(timestamp), Some(moment)) = (timestamp, moment) else { return Err(refusal::date_is_missing()) };
        credential.check_day(moment, whole, Place::Header)?;
        refusal::check_skew(moment, now_s)?;
        let payload = match raw.header("x-oss-content-sha256") {
            None => Cow::Borrowed(UNSIGNED_PAYLOAD),
            Some(value) => {
                let text = std::str::from_utf8(value).unwrap_or_default().trim();
                if text == UNSIGNED_PAYLOAD {
                    Cow::Borrowed(UNSIGNED_PAYLOAD)
                } else if decode_sha256(text).is_some() {
                    Cow::Owned(text.to_owned())
                } else {
                    let message = "The x-oss-content-sha256 must be UNSIGNED-PAYLOAD or 64 hex digits.";
                    return Err(refusal::parameter("x-oss-content-sha256", Some(text), message));
                }
            }
        };
        let claim = Claim {
            credential,
            timestamp: timestamp.to_owned(),
            additional: AdditionalHeaders::parse(additional.unwrap_or_default()),
            signature: signature.to_owned(),
            token: super::header_token(raw),
        };
        Ok(Self { claim, whole: whole.to_owned(), payload })
    }

    pub(super) fn check_scope(&self) -> Result<(), Error> {
        self.claim.credential.check_scope(&self.whole, Place::Header)
    }

    pub(super) fn verify(&self, key: &SigningKey, request: &Signable<'_>) -> Result<(), Error> {
        self.claim.verify(key, request, self.payload.as_bytes(), Place::Header)
    }

    /// The SHA-256 that the client signed for the body, which the body must have (OSS auth 5.2); `None` when the body
    /// is not covered.
    pub fn payload_sha256(&self) -> Option<[u8; 32]> {
        decode_sha256(&self.payload)
    }
}

/// What a URL with `x-oss-signature-version=OSS4-HMAC-SHA256` claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4Url {
    pub(super) claim: Claim,
    /// The validity as it was written, because that text is signed.
    pub(super) expires: String,
    pub(super) expires_at_s: i64,
}

impl V4Url {
    pub(super) fn extract(raw: &RawRequest, query: &Query, options: &SignOptions, now_s: i64) -> Result<Self, Error> {
        let refuse = |name, message| refusal::parameter(name, query.first(name), message);
        let credential_text = query
            .first("x-oss-credential")
            .ok_or_else(|| refuse("x-oss-credential", "Missing credential.").ec("0002-00000213"))?;
        let credential = Credential::parse(credential_text, credential_text, Place::Url, options)?;
        let timestamp = query.first("x-oss-date").unwrap_or_default();
        let moment = date::parse_basic(timestamp).ok_or_else(|| refuse("x-oss-date", "Invalid x-oss-date."))?;
        let expires = query.first("x-oss-expires").unwrap_or_default();
        let not_a_number = || refuse("x-oss-expires", "Invalid x-oss-expires.").ec("0002-00000215");
        let is_negative = expires.strip_prefix('-').is_some_and(|digits| v1::decimal(digits).is_some());
        let seconds = if is_negative { 0 } else { v1::decimal(expires).ok_or_else(not_a_number)? };
        if !(1..=MAX_EXPIRES_S).contains(&seconds) {
            let message = "x-oss-expires must be between 1 and 604800 seconds.";
            return Err(refuse("x-oss-expires", message).ec("0002-00000232"));
        }
        let signature = query
            .first("x-oss-signature")
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| refuse("x-oss-signature", "Missing x-oss-signature.").ec("0002-00000219"))?;
        credential.check_day(moment, credential_text, Place::Url)?;
        let expires_at_s = moment.saturating_add(seconds);
        if moment.saturating_sub(refusal::MAX_SKEW_S) > now_s {
            return Err(refusal::too_skewed(moment, now_s));
        }
        if now_s > expires_at_s {
            return Err(refusal::expired(expires_at_s, now_s));
        }
        let claim = Claim {
            credential,
            timestamp: timestamp.to_owned(),
            additional: AdditionalHeaders::parse(query.first("x-oss-additional-headers").unwrap_or_default()),
            signature: signature.to_owned(),
            token: super::url_token(raw, query, "x-oss-security-token")?,
        };
        Ok(Self { claim, expires: expires.to_owned(), expires_at_s })
    }

    pub(super) fn check_scope(&self) -> Result<(), Error> {
        self.claim.credential.check_scope(&self.claim.credential.text(), Place::Url)
    }

    pub(super) fn verify(&self, key: &SigningKey, request: &Signable<'_>) -> Result<(), Error> {
        self.claim.verify(key, request, UNSIGNED_PAYLOAD.as_bytes(), Place::Url)
    }
}

fn decode_sha256(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorCode;

    #[test]
    fn additional_headers_are_a_sorted_set_without_the_usual_ones() {
        for (text, line) in [
            ("", ""),
            (";;", ""),
            ("zabc;abc", "abc;zabc"),
            ("Host;host; range", "host;range"),
            ("content-type;X-Oss-Date;host;Content-MD5", "host"),
        ] {
            assert_eq!(AdditionalHeaders::parse(text).line(false), line, "{text}");
        }
        assert_eq!(AdditionalHeaders::parse("Range;Host").line(true), "Host;Range");
    }

    #[test]
    fn a_credential_has_five_parts() {
        let check = |text: &str, ec: Option<&str>| {
            let outcome = Credential::parse(text, text, Place::Url, &SignOptions::default());
            if let Err(error) = &outcome {
                assert_eq!(error.code, ErrorCode::InvalidArgument, "{text}");
            }
            assert_eq!(outcome.err().map(|e| e.ec), ec.map(|ec| (!ec.is_empty()).then_some(ec)), "{text}");
        };
        check("AK/20240102/cn-hangzhou/oss/aliyun_v4_request", None);
        check("AK/20240102/cn-hangzhou/oss/aliyun_v4_request/", Some("0002-00000213"));
        check("AK/20240102/cn-hangzhou/oss", Some("0002-00000213"));
        check("", Some("0002-00000213"));
        check("A:K/20240102/cn-hangzhou/oss/aliyun_v4_request", Some("0002-00000206"));
        check("AK/20241302/cn-hangzhou/oss/aliyun_v4_request", Some("0002-00000212"));
        check("AK/2024010/cn-hangzhou/oss/aliyun_v4_request", Some("0002-00000212"));
        check("AK/20240102/cn-hangzhou/oss/aws4_request", Some(""));
    }

    #[test]
    fn payload_hashes_are_64_hex_digits() {
        assert_eq!(decode_sha256(&"0aF".repeat(22)), None);
        assert_eq!(decode_sha256(&"Af".repeat(32)), Some([0xaf; 32]));
        assert_eq!(decode_sha256(&"g0".repeat(32)), None);
        assert_eq!(decode_sha256(&"é".repeat(32)), None);
    }
}
