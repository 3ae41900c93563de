//! Making signatures, the client's side: for the command line, the demo and tests (OSS auth 3-6).

use std::fmt;

use super::secret::{SigningKey, sign_sha1};
use super::signable::{Parameter, Signable, resource};
use super::v4::{self, AdditionalHeaders, Credential};
use super::{Credentials, SecretKey, V1Url, V4Url, date, v1};
use crate::request::Query;
use model::name::{AccessKeyId, BucketName, ObjectKey};
use model::percent::percent_encode;

const TOKEN: &str = "security-token";

/// Whoever signs. `Debug` leaves out the token.
#[derive(Clone)]
pub struct Signer {
    /// The id of the key.
    pub access_key: AccessKeyId,
    /// Its secret.
    pub secret: SecretKey,
    /// The token, when the key is a temporary one.
    pub token: Option<String>,
}

/// A request to be signed. It is not tied to a host: the signature holds in every addressing style.
#[derive(Debug, Clone, Default)]
pub struct UnsignedRequest<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// The bucket; none for the service.
    pub bucket: Option<&'a BucketName>,
    /// The key, not encoded; empty for the bucket itself.
    pub key: &'a str,
    /// Parameters of the query, not encoded; `None` for a bare name.
    pub query: &'a [(&'a str, Option<&'a str>)],
    /// Headers, names in lower case. Those that the signature covers must be sent as they are here.
    pub headers: &'a [(String, Vec<u8>)],
}

impl UnsignedRequest<'_> {
    fn signable<'a>(&'a self, headers: &'a [(String, Vec<u8>)], added: &'a [(&'a str, String)]) -> Signable<'a> {
        let own = self.query.iter().map(|(name, value)| Parameter::new(name, value.unwrap_or_default()));
        Signable {
            method: self.method,
            resource: resource(self.bucket.map(BucketName::as_str), self.key.as_bytes()),
            is_bare_bucket: false,
            headers,
            host: "",
            parameters: own.chain(added.iter().map(|(name, value)| Parameter::new(name, value))).collect(),
        }
    }

    fn url_query(&self, added: &[(&str, String)]) -> String {
        let own = self.query.iter().map(|(name, value)| (*name, *value));
        let added = added.iter().map(|(name, value)| (*name, Some(value.as_str())));
        let mut text = String::new();
        for (name, value) in own.chain(added) {
            push_parameter(&mut text, name, value);
        }
        text
    }

    /// The path below the bucket, encoded, with its first `/`; path style puts `/bucket` before it.
    pub fn encoded_path(&self) -> String {
        format!("/{}", percent_encode(self.key.as_bytes(), true))
    }
}

/// Appends `name=value` to a query, encoded, after `&` unless it is the first.
pub(crate) fn push_parameter(query: &mut String, name: &str, value: Option<&str>) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&percent_encode(name.as_bytes(), false));
    if let Some(value) = value {
        query.push('=');
        query.push_str(&percent_encode(value.as_bytes(), false));
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Signer {
    /// The query of a URL with a V1 signature that is valid until `expires_s`, Unix time (OSS auth 4).
    pub fn v1_url_query(&self, request: &UnsignedRequest<'_>, expires_s: i64) -> String {
        let expires = expires_s.to_string();
        let mut added: Vec<(&str, String)> = Vec::new();
        added.extend(self.token.clone().map(|token| (TOKEN, token)));
        let signable = request.signable(request.headers, &added);
        let signature =
            sign_sha1(&self.secret, &v1::string_to_sign(&signable, expires.as_bytes(), v1::Spelling::default()));
        drop(signable);
        added.push(("OSSAccessKeyId", self.access_key.to_string()));
        added.push(("Expires", expires));
        added.push(("Signature", signature));
        request.url_query(&added)
    }

    /// The headers to add for a V1 signature: `date`, the token, `authorization` (OSS auth 3).
    pub fn v1_headers(&self, request: &UnsignedRequest<'_>, now_s: i64) -> Vec<(String, Vec<u8>)> {
        let mut added = vec![header("date", model::date::format_http(now_s.saturating_mul(1000)))];
        added.extend(self.token.clone().map(|token| header("x-oss-security-token", token)));
        let headers: Vec<_> = request.headers.iter().chain(&added).cloned().collect();
        let signable = request.signable(&headers, &[]);
        let line = signable.header("date");
        let signature = sign_sha1(&self.secret, &v1::string_to_sign(&signable, line, v1::Spelling::default()));
        added.push(header("authorization", format!("OSS {}:{signature}", self.access_key)));
        added
    }

    /// The query of a URL with a V4 signature that is valid for `expires_in_s` seconds, 1 to 604800 (OSS auth 6).
    pub fn v4_url_query(&self, request: &UnsignedRequest<'_>, region: &str, now_s: i64, expires_in_s: u32) -> String {
        let timestamp = date::format_basic(now_s);
        let credential = self.credential(&timestamp, region);
        let mut added = vec![
            ("x-oss-credential", credential.text()),
            ("x-oss-date", timestamp.clone()),
            ("x-oss-expires", expires_in_s.to_string()),
            ("x-oss-signature-version", v4::ALGORITHM.to_owned()),
        ];
        added.extend(self.token.clone().map(|token| ("x-oss-security-token", token)));
        let signable = request.signable(request.headers, &added);
        let signature = self.sign_v4(&credential, &timestamp, &signable, v4::UNSIGNED_PAYLOAD.as_bytes());
        drop(signable);
        added.push(("x-oss-signature", signature));
        request.url_query(&added)
    }

    /// The headers to add for a V4 signature: date, payload, token, `authorization` (OSS auth 5). A request that has an
    /// `x-oss-content-sha256` signs the digest in it.
    pub fn v4_headers(&self, request: &UnsignedRequest<'_>, region: &str, now_s: i64) -> Vec<(String, Vec<u8>)> {
        let timestamp = date::format_basic(now_s);
        let credential = self.credential(&timestamp, region);
        let mut added = vec![header("x-oss-date", timestamp.clone())];
        if !request.headers.iter().any(|(name, _)| name == v4::PAYLOAD_HEADER) {
            added.push(header(v4::PAYLOAD_HEADER, v4::UNSIGNED_PAYLOAD.to_owned()));
        }
        added.extend(self.token.clone().map(|token| header("x-oss-security-token", token)));
        let headers: Vec<_> = request.headers.iter().chain(&added).cloned().collect();
        let signable = request.signable(&headers, &[]);
        let payload = signable.header(v4::PAYLOAD_HEADER);
        let signature = self.sign_v4(&credential, &timestamp, &signable, payload);
        let value = format!("{} Credential={}, Signature={signature}", v4::ALGORITHM, credential.text());
        added.push(header("authorization", value));
        added
    }

    fn credential(&self, timestamp: &str, region: &str) -> Credential {
        Credential::new(self.access_key.clone(), timestamp.get(..8).unwrap_or_default(), region)
    }

    fn sign_v4(&self, credential: &Credential, timestamp: &str, signable: &Signable<'_>, payload: &[u8]) -> String {
        let key = SigningKey::derive(&self.secret, &credential.date, &credential.region);
        sign_v4(&key, credential, timestamp, signable, payload)
    }
}

/// Signs without additional headers.
fn sign_v4(
    key: &SigningKey,
    credential: &Credential,
    timestamp: &str,
    signable: &Signable<'_>,
    payload: &[u8],
) -> String {
    let none = AdditionalHeaders::default();
    let canonical = v4::canonical_request(signable, &none, payload, v4::Spelling::default());
    key.sign(v4::string_to_sign(timestamp, credential, &canonical).as_bytes())
}

fn header(name: &str, value: String) -> (String, Vec<u8>) {
    (name.to_owned(), value.into_bytes())
}

/// Signs the URIs of a playlist as the request for the playlist was signed: the same key, the same moment of expiry, the
/// same token (OSS auth 9.4).
#[derive(Debug)]
pub(crate) struct ChildSigner<'a> {
    scheme: ChildScheme<'a>,
}

#[derive(Debug)]
enum ChildScheme<'a> {
    V1 { claim: &'a V1Url, secret: &'a SecretKey },
    V4 { claim: &'a V4Url, key: SigningKey, credential: String },
}

impl<'a> ChildSigner<'a> {
    /// `None` unless the credentials are those of a signed URL.
    pub(crate) fn new(credentials: &'a Credentials, secret: &'a SecretKey) -> Option<Self> {
        let scheme = match credentials {
            Credentials::V1Url(claim) => ChildScheme::V1 { claim, secret },
            Credentials::V4Url(claim) => {
                let credential = &claim.claim.credential;
                ChildScheme::V4 { claim, key: credential.derive(secret), credential: credential.text() }
            }
            _ => return None,
        };
        Some(Self { scheme })
    }

    /// The parameters to append for GET of an object whose URI already has the parameters `own`. `process` is the value
    /// of `x-oss-process` that playlists get.
    pub(crate) fn sign(&self, bucket: &BucketName, key: &ObjectKey, own: &Query, process: Option<&str>) -> String {
        match &self.scheme {
            ChildScheme::V1 { claim, secret } => sign_child_v1(claim, secret, bucket, key, own, process),
            ChildScheme::V4 { claim, key: signing_key, credential } => {
                let mut added = vec![
                    ("x-oss-credential", credential.as_str()),
                    ("x-oss-date", &claim.claim.timestamp),
                    ("x-oss-expires", &claim.expires),
                ];
                added.extend(process.map(|process| (PROCESS, process)));
                added.extend(claim.claim.token.as_deref().map(|token| ("x-oss-security-token", token)));
                added.push(("x-oss-signature-version", v4::ALGORITHM));
                let signable = child(bucket, key, own, &added);
                let signature = sign_v4(
                    signing_key,
                    &claim.claim.credential,
                    &claim.claim.timestamp,
                    &signable,
                    v4::UNSIGNED_PAYLOAD.as_bytes(),
                );
                let mut text = String::with_capacity(384);
                for (name, value) in added {
                    push_parameter(&mut text, name, Some(value));
                }
                push_parameter(&mut text, "x-oss-signature", Some(&signature));
                text
            }
        }
    }
}

const PROCESS: &str = "x-oss-process";

fn sign_child_v1(
    claim: &V1Url,
    secret: &SecretKey,
    bucket: &BucketName,
    key: &ObjectKey,
    own: &Query,
    process: Option<&str>,
) -> String {
    let mut signed: Vec<(&str, &str)> = Vec::new();
    signed.extend(process.map(|process| (PROCESS, process)));
    let token = claim.token.as_deref();
    signed.extend(token.map(|token| (TOKEN, token)));
    let signable = child(bucket, key, own, &signed);
    let string = v1::string_to_sign(&signable, claim.expires.as_bytes(), v1::Spelling::default());
    let signature = sign_sha1(secret, &string);
    let mut text = String::with_capacity(128);
    let mut push = |name, value| push_parameter(&mut text, name, Some(value));
    if let Some(process) = process {
        push(PROCESS, process);
    }
    push("OSSAccessKeyId", claim.access_key.as_str());
    push("Expires", &claim.expires);
    push("Signature", &signature);
    if let Some(token) = token {
        push(TOKEN, token);
    }
    text
}

/// Players add headers of their own, so none is signed.
fn child<'a>(bucket: &BucketName, key: &ObjectKey, own: &'a Query, added: &[(&'a str, &'a str)]) -> Signable<'a> {
    let added = added.iter().map(|(name, value)| Parameter::new(name, value));
    Signable {
        method: "GET",
        resource: resource(Some(bucket.as_str()), key.as_str().as_bytes()),
        is_bare_bucket: false,
        headers: &[],
        host: "",
        parameters: own.pairs().iter().map(|pair| Parameter::of(pair, None)).chain(added).collect(),
    }
}
