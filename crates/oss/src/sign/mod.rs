//! Who calls: what a request claims about its caller, and whether the signature proves it (OSS auth).
//!
//! Authentication has three steps, in the order of OSS auth 8. [`Credentials::extract`] reads the claim and checks its
//! form and dates. The caller then looks the access key up. [`Credentials::admit`] checks key, token, region and
//! signature.

mod date;
mod form;
mod known_key;
pub mod presign;
mod refusal;
mod rpc;
pub mod rtmp;
mod secret;
mod signable;
mod v1;
mod v4;

pub use form::FormCredentials;
pub use known_key::{KnownKey, SessionToken};
pub use rpc::RpcClaim;
pub use secret::{SecretKey, SigningKey};
pub(crate) use v1::is_signed_parameter;
pub use v1::{V1Header, V1Url};
pub use v4::{V4Header, V4Url};

use crate::request::{Query, RawRequest, Route};
use model::OperationKind;
use model::name::AccessKeyId;
use model::{Error, ErrorCode};
use signable::Signable;

/// What the operator decides about signatures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignOptions {
    /// The regions that V4 credentials may name. Empty, or containing `*`, accepts any, because people guess theirs
    /// wrong (D20).
    pub accepted_regions: Vec<String>,
}

impl SignOptions {
    fn accepts(&self, region: &str) -> bool {
        self.accepted_regions.is_empty() || self.accepted_regions.iter().any(|known| known == "*" || known == region)
    }
}

/// What a request claims about its caller, its form and dates checked (OSS auth 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing is claimed.
    Anonymous,
    /// The claim is in the form that is the body; see [`FormCredentials`].
    Form,
    /// `Authorization: OSS …` (OSS auth 3).
    V1Header(V1Header),
    /// `OSSAccessKeyId`, `Expires` and `Signature` in the query (OSS auth 4).
    V1Url(V1Url),
    /// `Authorization: OSS4-HMAC-SHA256 …` (OSS auth 5).
    V4Header(V4Header),
    /// `x-oss-signature-version=OSS4-HMAC-SHA256` in the query (OSS auth 6).
    V4Url(V4Url),
}

impl Credentials {
    /// Finds the scheme that a request uses and reads its claim. `now_ms` is Unix time in milliseconds; dates are
    /// compared in whole seconds.
    ///
    /// # Errors
    /// Everything of OSS auth 3.5, 4, 5.5, 6 and 8 that can be said before a key is looked up.
    pub fn extract(raw: &RawRequest, route: &Route, options: &SignOptions, now_ms: i64) -> Result<Self, Error> {
        let now_s = now_ms.div_euclid(1000);
        let query = &route.query;
        match route.kind {
            OperationKind::Preflight => return Ok(Self::Anonymous),
            OperationKind::PostObject => return Ok(Self::Form),
            _ => {}
        }
        if let Some(value) = raw.header("authorization") {
            if query.has("Signature") || query.has("x-oss-signature") {
                return Err(Error::new(ErrorCode::InvalidArgument).with("ArgumentName", "Authorization"));
            }
            let whole = String::from_utf8_lossy(value);
            let credentials = Self::from_header(raw, whole.trim(), options, now_s)?;
            let in_query = match &credentials {
                Self::V4Header(_) => query.first("x-oss-security-token"),
                _ => query.first("security-token"),
            };
            return match (credentials.security_token(), non_empty(in_query)) {
                (Some(_), Some(_)) => Err(refusal::token_is_sent_twice()),
                _ => Ok(credentials),
            };
        }
        let credentials = match query.first("x-oss-signature-version") {
            Some(v4::ALGORITHM) => Self::V4Url(V4Url::extract(raw, query, options, now_s)?),
            Some(version) => {
                let message = "Authorization header is invalid.";
                return Err(refusal::parameter("x-oss-signature-version", Some(version), message));
            }
            None if query.has("OSSAccessKeyId") || query.has("Signature") => {
                Self::V1Url(V1Url::extract(raw, query, now_s)?)
            }
            None => Self::Anonymous,
        };
        // The token has to reach the signed children, and a player sends no headers (OSS auth 4, 9.2).
        if route.kind == OperationKind::GetSignedPlaylist
            && credentials.is_url_signed()
            && credentials.security_token().is_some()
            && header_token(raw).is_some()
        {
            return Err(refusal::token_must_be_in_the_query());
        }
        Ok(credentials)
    }

    fn from_header(raw: &RawRequest, whole: &str, options: &SignOptions, now_s: i64) -> Result<Self, Error> {
        if whole.is_empty() {
            return Err(refusal::header(whole, "Authorization header value is empty."));
        }
        match whole.split_once(' ') {
            Some(("OSS", items)) => Ok(Self::V1Header(V1Header::extract(raw, whole, items, now_s)?)),
            Some((v4::ALGORITHM, items)) => Ok(Self::V4Header(V4Header::extract(raw, whole, items, options, now_s)?)),
            _ => Err(refusal::header_is_invalid(whole)),
        }
    }

    /// The access key that is claimed; `None` when nothing is claimed here.
    pub fn access_key_id(&self) -> Option<&AccessKeyId> {
        match self {
            Self::Anonymous | Self::Form => None,
            Self::V1Header(claim) => Some(&claim.access_key),
            Self::V1Url(claim) => Some(&claim.access_key),
            Self::V4Header(V4Header { claim, .. }) | Self::V4Url(V4Url { claim, .. }) => {
                Some(&claim.credential.access_key)
            }
        }
    }

    /// The token of a temporary key; an empty one counts as absent (OSS auth 11).
    pub fn security_token(&self) -> Option<&str> {
        match self {
            Self::Anonymous | Self::Form => None,
            Self::V1Header(claim) => claim.token.as_deref(),
            Self::V1Url(claim) => claim.token.as_deref(),
            Self::V4Header(V4Header { claim, .. }) | Self::V4Url(V4Url { claim, .. }) => claim.token.as_deref(),
        }
    }

    /// What tells this signed request from every other, without telling its signature: the SHA-256 of key and signature.
    /// A second request with the same one is the same request again. `None` when nothing is claimed here.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        let signature = match self {
            Self::Anonymous | Self::Form => return None,
            Self::V1Header(claim) => &claim.signature,
            Self::V1Url(claim) => &claim.signature,
            Self::V4Header(V4Header { claim, .. }) | Self::V4Url(V4Url { claim, .. }) => &claim.signature,
        };
        self.access_key_id().map(|id| secret::fingerprint(id.as_str(), signature))
    }

    /// Whether the signature is in the URL.
    pub fn is_url_signed(&self) -> bool {
        matches!(self, Self::V1Url(_) | Self::V4Url(_))
    }

    /// The last second at which a signed URL is valid, Unix time; `None` for the other schemes.
    pub fn expires_at_s(&self) -> Option<i64> {
        match self {
            Self::V1Url(claim) => Some(claim.expires_s),
            Self::V4Url(claim) => Some(claim.expires_at_s),
            Self::Anonymous | Self::Form | Self::V1Header(_) | Self::V4Header(_) => None,
        }
    }

    /// The SHA-256 that the client signed for the body, which the body then must have; a difference is answered with
    /// `InvalidDigest` (OSS auth 5.2).
    pub fn payload_sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::V4Header(claim) => claim.payload_sha256(),
            _ => None,
        }
    }

    /// Day and region for which V4 derives its [`SigningKey`]; `None` for the other schemes.
    pub fn signing_scope(&self) -> Option<(&str, &str)> {
        match self {
            Self::V4Header(V4Header { claim, .. }) | Self::V4Url(V4Url { claim, .. }) => {
                Some((&claim.credential.date, &claim.credential.region))
            }
            _ => None,
        }
    }

    /// Checks all that remains once the access key was looked up: whether it is known and enabled, the token, the
    /// region, the signature. `key` is `None` when there is no such key.
    ///
    /// # Errors
    /// `InvalidAccessKeyId`, `UserDisable`, `InvalidSecurityToken`, `SecurityTokenExpired`,
    /// `AccessKeyIdAndSecurityTokenNotMatch`, and those of [`Credentials::verify`].
    pub fn admit(&self, key: Option<&KnownKey<'_>>, raw: &RawRequest, route: &Route, now_ms: i64) -> Result<(), Error> {
        let Some(id) = self.access_key_id() else { return Err(no_claim()) };
        let secret = known_key::check(id, self.security_token(), key, now_ms)?;
        self.verify(secret, raw, route)
    }

    /// As [`Credentials::admit`], for callers that keep derived keys: `derive` gives what [`SigningKey::derive`] gives
    /// for a secret, a day and a region.
    ///
    /// # Errors
    /// As [`Credentials::admit`].
    pub fn admit_with(
        &self,
        key: Option<&KnownKey<'_>>,
        raw: &RawRequest,
        route: &Route,
        now_ms: i64,
        derive: impl FnOnce(&SecretKey, &str, &str) -> SigningKey,
    ) -> Result<(), Error> {
        let Some(id) = self.access_key_id() else { return Err(no_claim()) };
        let secret = known_key::check(id, self.security_token(), key, now_ms)?;
        match self.signing_scope() {
            Some((date, region)) => self.verify_with(&derive(secret, date, region), raw, route),
            None => self.verify(secret, raw, route),
        }
    }

    /// Compares the signature, in constant time, with those of the accepted spellings of the request (OSS auth 3.4,
    /// 5.6), after the region and product of a V4 credential.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch` with its elements; `InvalidArgument` for a region or product that is not accepted;
    /// `AccessDenied` when nothing was claimed.
    pub fn verify(&self, secret: &SecretKey, raw: &RawRequest, route: &Route) -> Result<(), Error> {
        match self {
            Self::Anonymous | Self::Form => Err(no_claim()),
            Self::V1Header(claim) => claim.verify(secret, &Signable::new(raw, route)),
            Self::V1Url(claim) => claim.verify(secret, &Signable::new(raw, route)),
            Self::V4Header(V4Header { claim, .. }) | Self::V4Url(V4Url { claim, .. }) => {
                self.verify_with(&claim.credential.derive(secret), raw, route)
            }
        }
    }

    /// As [`Credentials::verify`] for V4, with a key that was derived before for [`Credentials::signing_scope`].
    ///
    /// # Errors
    /// As [`Credentials::verify`]; also `AccessDenied` for any other scheme.
    pub fn verify_with(&self, key: &SigningKey, raw: &RawRequest, route: &Route) -> Result<(), Error> {
        match self {
            Self::V4Header(claim) => {
                claim.check_scope()?;
                claim.verify(key, &Signable::new(raw, route))
            }
            Self::V4Url(claim) => {
                claim.check_scope()?;
                claim.verify(key, &Signable::new(raw, route))
            }
            Self::Anonymous | Self::Form | Self::V1Header(_) | Self::V1Url(_) => Err(no_claim()),
        }
    }
}

/// There is nothing that could be verified, so nothing is.
fn no_claim() -> Error {
    Error::new(ErrorCode::AccessDenied)
}

/// The date of a header, Unix seconds.
fn parse_http(text: &str, now_s: i64) -> Option<i64> {
    model::date::parse_http(text, now_s.saturating_mul(1000)).map(|unix_ms| unix_ms.div_euclid(1000))
}

fn non_empty(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn header_token(raw: &RawRequest) -> Option<String> {
    non_empty(raw.header_text("x-oss-security-token"))
}

/// The token of a signed URL: in the query, or in a header as long as it is only there.
fn url_token(raw: &RawRequest, query: &Query, name: &'static str) -> Result<Option<String>, Error> {
    match (non_empty(query.first(name)), header_token(raw)) {
        (Some(_), Some(_)) => Err(refusal::token_is_sent_twice()),
        (in_query, in_header) => Ok(in_query.or(in_header)),
    }
}

#[cfg(test)]
mod tests;
