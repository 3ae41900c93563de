//! The signature of an RTMP publish URL (LiveChannel 3.2-3.6 and checks 3 to 9 of 3.9).

use std::fmt;

use super::secret::{is_same, sign_sha1};
use super::{KnownKey, SecretKey, date, known_key, v1};
use model::name::AccessKeyId;
use model::percent::percent_encode;
use model::{Error, ErrorCode};

/// Never part of the string to sign (LiveChannel 3.3 rule 2).
const NEVER_SIGNED: [&str; 4] = ["OSSAccessKeyId", "Expires", "Signature", "SecurityToken"];
/// Parameters with which encoders name the bucket; whether they are signed depends on who added them.
const HELPERS: [&str; 3] = ["vhost", "bucket", "domain"];
const TOKEN: &str = "security-token";
/// How far the day of a V4 credential may be from today, seconds.
const MAX_DAY_DISTANCE_S: u64 = 7 * 86_400;

/// Why a publish is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRefusal {
    /// The code that the description of the status begins with.
    pub code: ErrorCode,
    /// The official number of the cause, where there is one.
    pub ec: Option<&'static str>,
    /// The sentence for people.
    pub message: &'static str,
}

impl PublishRefusal {
    fn denied(ec: Option<&'static str>, message: &'static str) -> Self {
        Self { code: ErrorCode::AccessDenied, ec, message }
    }

    /// Check 4: nothing is signed, and the bucket is not `public-read-write`.
    pub fn unsigned() -> Self {
        Self::denied(None, "Anonymous publishing needs a bucket that is public-read-write.")
    }

    /// Check 9: no candidate string has this signature.
    pub fn mismatch() -> Self {
        Self {
            code: ErrorCode::SignatureDoesNotMatch,
            ec: Some("0002-00000807"),
            message: ErrorCode::SignatureDoesNotMatch.default_message(),
        }
    }
}

impl From<PublishRefusal> for Error {
    fn from(refusal: PublishRefusal) -> Self {
        let error = Error::new(refusal.code).message(refusal.message);
        match refusal.ec {
            Some(ec) => error.ec(ec),
            None => error,
        }
    }
}

/// What the parameters of a publish claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishCredentials {
    /// Nothing; enough for a `public-read-write` bucket.
    Unsigned,
    /// A signature, whose expiry was checked.
    Signed(PublishClaim),
}

/// A publish that claims to be signed. `Debug` leaves out signature and token.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishClaim {
    access_key: AccessKeyId,
    /// As written, because that text is signed.
    expires: String,
    signature: String,
    token: Option<String>,
    /// All that may be signed, one of each name.
    parameters: Vec<(String, String)>,
}

impl fmt::Debug for PublishClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishClaim").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl PublishCredentials {
    /// Reads the decoded parameters of a publish (LiveChannel 3.8) and makes the checks 3 and 5 to 7 of LiveChannel
    /// 3.9. `now_s` is Unix time in seconds. Of several parameters with one name the first counts. What is wrong with a
    /// V4 `Credential` is reported, although a right one is not enough.
    ///
    /// # Errors
    /// `AccessDenied` with the EC of the first check that fails.
    pub fn extract(parameters: &[(String, String)], now_s: i64) -> Result<Self, PublishRefusal> {
        let first = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let sent = |name: &str| first(name).filter(|value| !value.is_empty());
        let deny = |ec, message| Err(PublishRefusal::denied(Some(ec), message));
        if first("SignatureVersion").is_some() {
            return deny("0002-00000808", "This signature version is not supported for publishing.");
        }
        if ["OSSAccessKeyId", "Signature", "Credential"].into_iter().all(|name| first(name).is_none()) {
            return Ok(Self::Unsigned);
        }
        if let (Some(credential), None) = (first("Credential"), first("OSSAccessKeyId")) {
            check_credential(credential, now_s)?;
        }
        let Some(id) = sent("OSSAccessKeyId") else {
            return deny("0002-00000801", "The parameter OSSAccessKeyId is missing.");
        };
        let Ok(access_key) = AccessKeyId::parse(id) else {
            return deny("0002-00000802", "The parameter OSSAccessKeyId contains non-acceptable characters.");
        };
        let Some(expires) = sent("Expires") else {
            return deny("0002-00000803", "The parameter Expires is missing.");
        };
        let expires_s = match expires.strip_prefix('-') {
            Some(digits) => v1::decimal(digits).map(|value| -value),
            None => v1::decimal(expires),
        };
        let Some(expires_s) = expires_s else {
            return deny("0002-00000804", "Invalid date (should be seconds since epoch).");
        };
        if now_s > expires_s {
            return deny("0002-00000805", "Request has expired.");
        }
        let Some(signature) = sent("Signature") else {
            return deny("0002-00000806", "The parameter Signature is missing.");
        };
        let mut signed: Vec<(String, String)> = Vec::new();
        for (name, value) in parameters {
            if !NEVER_SIGNED.contains(&name.as_str()) && !signed.iter().any(|(known, _)| known == name) {
                signed.push((name.clone(), value.clone()));
            }
        }
        Ok(Self::Signed(PublishClaim {
            access_key,
            expires: expires.to_owned(),
            signature: signature.to_owned(),
            token: super::non_empty(first(TOKEN).or_else(|| first("SecurityToken"))),
            parameters: signed,
        }))
    }

    /// The access key that is claimed.
    pub fn access_key_id(&self) -> Option<&AccessKeyId> {
        match self {
            Self::Unsigned => None,
            Self::Signed(claim) => Some(&claim.access_key),
        }
    }

    /// The token of a temporary key.
    pub fn security_token(&self) -> Option<&str> {
        match self {
            Self::Unsigned => None,
            Self::Signed(claim) => claim.token.as_deref(),
        }
    }

    /// Checks 8 and 9: the key is known and enabled, the token is its own, the signature matches. `key` is `None` when
    /// there is no such key.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` (0002-00000902, or 904 for a disabled key), the refusals of tokens, and
    /// `SignatureDoesNotMatch` (0002-00000807).
    pub fn admit(
        &self,
        key: Option<&KnownKey<'_>>,
        bucket: &str,
        channel: &str,
        now_ms: i64,
    ) -> Result<(), PublishRefusal> {
        let Self::Signed(claim) = self else { return Err(PublishRefusal::unsigned()) };
        if key.is_some_and(|key| !key.is_enabled) {
            return Err(PublishRefusal {
                code: ErrorCode::InvalidAccessKeyId,
                ec: Some("0002-00000904"),
                message: "The OSS Access Key Id you provided is disabled.",
            });
        }
        let secret = known_key::check(&claim.access_key, claim.token.as_deref(), key, now_ms).map_err(|error| {
            PublishRefusal { code: error.code, ec: error.ec, message: error.code.default_message() }
        })?;
        if self.verify(secret, bucket, channel) { Ok(()) } else { Err(PublishRefusal::mismatch()) }
    }

    /// Whether any candidate string (LiveChannel 3.3) for this bucket and channel has the signature; compared in
    /// constant time. An unsigned publish never verifies.
    pub fn verify(&self, secret: &SecretKey, bucket: &str, channel: &str) -> bool {
        let Self::Signed(claim) = self else { return false };
        let has = |names: &[&str]| claim.parameters.iter().any(|(name, _)| names.contains(&name.as_str()));
        let (has_token, has_helpers) = (has(&[TOKEN]), has(&HELPERS));
        for omits_helpers in [false, true] {
            for omits_token in [false, true] {
                if (omits_helpers && !has_helpers) || (omits_token && !has_token) {
                    continue;
                }
                let mut signed: Vec<(&str, &str)> = claim
                    .parameters
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .filter(|(name, _)| !(omits_token && *name == TOKEN || omits_helpers && HELPERS.contains(name)))
                    .collect();
                signed.sort_by_key(|(name, _)| *name);
                let in_byte_order = string_to_sign(&claim.expires, &signed, bucket, channel);
                // PHP and C# do not tell upper from lower case when they sort.
                signed.sort_by_key(|(name, _)| name.to_lowercase());
                let in_folded_order = string_to_sign(&claim.expires, &signed, bucket, channel);
                let matches = |text: &str| is_same(&sign_sha1(secret, text.as_bytes()), &claim.signature);
                if matches(&in_byte_order) || (in_folded_order != in_byte_order && matches(&in_folded_order)) {
                    return true;
                }
            }
        }
        false
    }
}

/// Looks at a V4 credential, `<AK>/<YYYYMMDD>/<region>/<service>/aliyun_v4_request` (LiveChannel 1.10).
///
/// # Errors
/// EC 0002-00000809, 810 or 811, in that order.
fn check_credential(credential: &str, now_s: i64) -> Result<(), PublishRefusal> {
    let deny = |ec, message| Err(PublishRefusal::denied(Some(ec), message));
    let mut parts = credential.split('/');
    if AccessKeyId::parse(parts.next().unwrap_or_default()).is_err() {
        return deny("0002-00000809", "The access key id in the parameter Credential is not valid.");
    }
    let day = parts.next().unwrap_or_default();
    let begin_s = date::parse_basic(&format!("{day}T000000Z"));
    if begin_s.is_none_or(|begin_s| begin_s.abs_diff(now_s) > MAX_DAY_DISTANCE_S) {
        return deny("0002-00000810", "The date in the parameter Credential is not YYYYMMDD, or far from today.");
    }
    let rest: Vec<&str> = parts.take(4).collect();
    match rest.as_slice() {
        [region, service, "aliyun_v4_request"] if !region.is_empty() && !service.is_empty() => Ok(()),
        _ => deny("0002-00000811", "The parameter Credential does not end in region, service and aliyun_v4_request."),
    }
}

/// `Expires \n name:value \n … /bucket/channel`, everything decoded (LiveChannel 3.3).
fn string_to_sign(expires: &str, sorted: &[(&str, &str)], bucket: &str, channel: &str) -> String {
    let mut text = String::with_capacity(128);
    text.push_str(expires);
    text.push('\n');
    for (name, value) in sorted {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push('/');
    text.push_str(bucket);
    text.push('/');
    text.push_str(channel);
    text
}

/// How a publish URL names its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtmpStyle {
    /// `rtmp://bucket.host/live/channel`.
    VirtualHosted,
    /// `rtmp://host/bucket/live/channel`.
    Path,
}

/// A publish URL to be made.
#[derive(Debug, Clone, Copy)]
pub struct RtmpUrl<'a> {
    /// Host with optional port, without bucket.
    pub host: &'a str,
    /// How the bucket is named.
    pub style: RtmpStyle,
    /// The bucket.
    pub bucket: &'a str,
    /// The channel, not encoded.
    pub channel: &'a str,
    /// Parameters in the order of the URL, for example `playlistName`; not encoded.
    pub parameters: &'a [(&'a str, &'a str)],
}

impl RtmpUrl<'_> {
    /// The URL for a publish that needs no signature.
    pub fn unsigned(&self) -> String {
        let mut url = match self.style {
            RtmpStyle::VirtualHosted => format!("rtmp://{}.{}/live/", self.bucket, self.host),
            RtmpStyle::Path => format!("rtmp://{}/{}/live/", self.host, self.bucket),
        };
        url.push_str(&percent_encode(self.channel.as_bytes(), false));
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            push_parameter(&mut url, if index == 0 { '?' } else { '&' }, name, value);
        }
        url
    }
}

/// Signs a publish URL (LiveChannel 3.3). `expires_s` is the last second, Unix time, at which a publish may begin. The
/// token of a temporary key is signed as oss2 and Java do.
pub fn sign_rtmp_url(
    url: &RtmpUrl<'_>,
    access_key: &AccessKeyId,
    secret: &SecretKey,
    token: Option<&str>,
    expires_s: i64,
) -> String {
    let mut parameters = url.parameters.to_vec();
    parameters.extend(token.map(|token| (TOKEN, token)));
    let mut sorted: Vec<(&str, &str)> =
        parameters.iter().copied().filter(|(name, _)| !NEVER_SIGNED.contains(name)).collect();
    sorted.sort_by_key(|(name, _)| *name);
    let expires = expires_s.to_string();
    let signature = sign_sha1(secret, string_to_sign(&expires, &sorted, url.bucket, url.channel).as_bytes());
    let mut text = RtmpUrl { parameters: &parameters, ..*url }.unsigned();
    let credentials = [("OSSAccessKeyId", access_key.as_str()), ("Expires", &expires), ("Signature", &signature)];
    for (index, (name, value)) in credentials.into_iter().enumerate() {
        push_parameter(&mut text, if index == 0 && parameters.is_empty() { '?' } else { '&' }, name, value);
    }
    text
}

fn push_parameter(url: &mut String, separator: char, name: &str, value: &str) {
    url.push(separator);
    url.push_str(&percent_encode(name.as_bytes(), false));
    if !value.is_empty() {
        url.push('=');
        url.push_str(&percent_encode(value.as_bytes(), false));
    }
}

#[cfg(test)]
mod tests;
