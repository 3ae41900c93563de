//! The signature of a PostObject form (OSS auth 7).

use std::fmt;

use super::secret::{is_same, sign_sha1};
use super::v4::{self, Credential, Place};
use super::{KnownKey, SecretKey, SignOptions, SigningKey, date, known_key, non_empty, refusal};
use model::Error;
use model::name::AccessKeyId;

/// What the fields of a form claim about its sender. The policy is signed as the base64 text that was sent; reading it
/// is not the business of authentication. `Debug` leaves out signature and token.
#[derive(Clone, PartialEq, Eq)]
pub enum FormCredentials {
    /// Nothing is claimed.
    Anonymous,
    /// `OSSAccessKeyId`, `policy`, `Signature`.
    V1 {
        /// Who signed.
        access_key: AccessKeyId,
        /// The base64 text of the policy.
        policy: String,
        /// The signature, base64.
        signature: String,
        /// The token of a temporary key.
        token: Option<String>,
    },
    /// `x-oss-signature-version=OSS4-HMAC-SHA256` and its companions.
    V4(FormClaim),
}

/// What a form with a V4 signature claims.
#[derive(Clone, PartialEq, Eq)]
pub struct FormClaim {
    credential: Credential,
    policy: String,
    signature: String,
    token: Option<String>,
}

impl fmt::Debug for FormCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormCredentials").field("access_key", &self.access_key_id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for FormClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormClaim").field("access_key", &self.credential.access_key).finish_non_exhaustive()
    }
}

impl FormCredentials {
    /// Reads the claim. `field` gives the value of a field by its name in lower case, because the names of form fields
    /// are case-insensitive.
    ///
    /// # Errors
    /// `InvalidArgument` for fields that are missing or malformed, `InvalidAccessKeyId`, `RequestTimeTooSkewed` for a
    /// V4 date more than 900 s ahead.
    pub fn extract<'f>(
        field: impl Fn(&str) -> Option<&'f str>,
        options: &SignOptions,
        now_ms: i64,
    ) -> Result<Self, Error> {
        let text = |name: &str| field(name).map(str::trim).filter(|text| !text.is_empty());
        let policy = text("policy");
        let token = non_empty(text("x-oss-security-token"));
        if let Some(version) = text("x-oss-signature-version") {
            if version != v4::ALGORITHM {
                let message = "The signature version is not supported.";
                return Err(refusal::parameter("x-oss-signature-version", Some(version), message));
            }
            return Self::extract_v4(text, policy, token, options, now_ms);
        }
        let (id, signature) = (text("ossaccesskeyid"), text("signature"));
        if let (None, None, None) = (id, signature, policy) {
            return Ok(Self::Anonymous);
        }
        let missing = |name, message| refusal::parameter(name, None, message);
        let id = id.ok_or_else(|| missing("OSSAccessKeyId", "Post request accessKeyId is empty."))?;
        let signature = signature.ok_or_else(|| missing("Signature", "Post request signature is empty."))?;
        let policy = policy.ok_or_else(|| missing("policy", "Post request policy is empty."))?;
        Ok(Self::V1 {
            access_key: AccessKeyId::parse(id)?,
            policy: policy.to_owned(),
            signature: signature.replace(' ', "+"),
            token,
        })
    }

    fn extract_v4<'f>(
        text: impl Fn(&str) -> Option<&'f str>,
        policy: Option<&str>,
        token: Option<String>,
        options: &SignOptions,
        now_ms: i64,
    ) -> Result<Self, Error> {
        let missing = |name, message| refusal::parameter(name, None, message);
        let credential = text("x-oss-credential")
            .ok_or_else(|| missing("x-oss-credential", "Missing credential.").ec("0002-00000213"))?;
        let signature =
            text("x-oss-signature").ok_or_else(|| missing("x-oss-signature", "Post request signature is empty."))?;
        let policy = policy.ok_or_else(|| missing("policy", "Post request policy is empty."))?;
        let timestamp = text("x-oss-date").unwrap_or_default();
        let moment = date::parse_basic(timestamp)
            .ok_or_else(|| refusal::parameter("x-oss-date", Some(timestamp), "Invalid x-oss-date."))?;
        let parsed = Credential::parse(credential, credential, Place::Form, options)?;
        parsed.check_day(moment, credential, Place::Form)?;
        // How long a form is good is said by its policy; only a date from the future makes no sense.
        let now_s = now_ms.div_euclid(1000);
        if moment.saturating_sub(refusal::MAX_SKEW_S) > now_s {
            return Err(refusal::too_skewed(moment, now_s));
        }
        let claim = FormClaim { credential: parsed, policy: policy.to_owned(), signature: signature.to_owned(), token };
        Ok(Self::V4(claim))
    }

    /// The access key that is claimed.
    pub fn access_key_id(&self) -> Option<&AccessKeyId> {
        match self {
            Self::Anonymous => None,
            Self::V1 { access_key, .. } => Some(access_key),
            Self::V4(claim) => Some(&claim.credential.access_key),
        }
    }

    /// The token of a temporary key.
    pub fn security_token(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::V1 { token, .. } | Self::V4(FormClaim { token, .. }) => token.as_deref(),
        }
    }

    /// The base64 text of the policy; a signed form always has one.
    pub fn policy(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::V1 { policy, .. } | Self::V4(FormClaim { policy, .. }) => Some(policy),
        }
    }

    /// Checks key, token, region and signature; see [`super::Credentials::admit`].
    ///
    /// # Errors
    /// As [`super::Credentials::admit`].
    pub fn admit(&self, key: Option<&KnownKey<'_>>, now_ms: i64) -> Result<(), Error> {
        let Some(id) = self.access_key_id() else { return Err(super::no_claim()) };
        let secret = known_key::check(id, self.security_token(), key, now_ms)?;
        self.verify(secret)
    }

    /// As [`FormCredentials::admit`], for callers that keep derived keys: `derive` gives what [`SigningKey::derive`] gives
    /// for a secret, a day and a region.
    ///
    /// # Errors
    /// As [`FormCredentials::admit`].
    pub fn admit_with(
        &self,
        key: Option<&KnownKey<'_>>,
        now_ms: i64,
        derive: impl FnOnce(&SecretKey, &str, &str) -> SigningKey,
    ) -> Result<(), Error> {
        let Some(id) = self.access_key_id() else { return Err(super::no_claim()) };
        let secret = known_key::check(id, self.security_token(), key, now_ms)?;
        self.verify_with(secret, |credential| derive(secret, &credential.date, &credential.region))
    }

    /// Compares the signature of the policy in constant time.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`; `InvalidArgument` for a region or product that is not accepted; `AccessDenied` when
    /// nothing was claimed.
    pub fn verify(&self, secret: &SecretKey) -> Result<(), Error> {
        self.verify_with(secret, |credential| credential.derive(secret))
    }

    fn verify_with(&self, secret: &SecretKey, derive: impl FnOnce(&Credential) -> SigningKey) -> Result<(), Error> {
        let (id, policy, signature, computed) = match self {
            Self::Anonymous => return Err(super::no_claim()),
            Self::V1 { access_key, policy, signature, .. } => {
                (access_key, policy, signature, sign_sha1(secret, policy.as_bytes()))
            }
            Self::V4(claim) => {
                claim.credential.check_scope(&claim.credential.text(), Place::Form)?;
                let computed = derive(&claim.credential).sign(claim.policy.as_bytes());
                (&claim.credential.access_key, &claim.policy, &claim.signature, computed)
            }
        };
        if is_same(&computed, signature) {
            Ok(())
        } else {
            Err(refusal::mismatch(id, signature, policy.as_bytes(), None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorCode;

    const NOW_MS: i64 = 1_704_164_645_000;
    const POLICY: &str = "eyJleHBpcmF0aW9uIjoiMjAyNC0wMS0wMlQwNDowNDowNS4wMDBaIiwiY29uZGl0aW9ucyI6W3siYnVja2V0IjoiZXhhbXBsZWJ1Y2tldCJ9LFsic3RhcnRzLXdpdGgiLCIka2V5IiwidXBsb2FkLyJdLFsiY29udGVudC1sZW5ndGgtcmFuZ2UiLDEsMTA0ODU3Nl1dfQ==";
    const POLICY_V4: &str = "eyJleHBpcmF0aW9uIjoiMjAyNC0wMS0wMlQwNDowNDowNS4wMDBaIiwiY29uZGl0aW9ucyI6W3siYnVja2V0IjoiZXhhbXBsZWJ1Y2tldCJ9LFsic3RhcnRzLXdpdGgiLCIka2V5IiwidXBsb2FkLyJdLHsieC1vc3Mtc2lnbmF0dXJlLXZlcnNpb24iOiJPU1M0LUhNQUMtU0hBMjU2In0seyJ4LW9zcy1jcmVkZW50aWFsIjoiQUtJREVYQU1QTEUwMDAxLzIwMjQwMTAyL2NuLWhhbmd6aG91L29zcy9hbGl5dW5fdjRfcmVxdWVzdCJ9LHsieC1vc3MtZGF0ZSI6IjIwMjQwMTAyVDAzMDQwNVoifV19";

    fn check(fields: &[(&str, &str)], regions: &[&str], expected: Option<ErrorCode>) {
        let options = SignOptions { accepted_regions: regions.iter().map(|r| (*r).to_owned()).collect() };
        let field = |name: &str| fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let secret = SecretKey::new("FakeSecretForSpecOnly000000000001".to_owned());
        let outcome =
            FormCredentials::extract(field, &options, NOW_MS).and_then(|credentials| credentials.verify(&secret));
        assert_eq!(outcome.err().map(|e| e.code), expected, "{fields:?}");
    }

    #[test]
    fn the_documented_forms_verify() {
        let v1 =
            |policy, signature| [("OSSAccessKeyId", "AKIDEXAMPLE0001"), ("policy", policy), ("Signature", signature)];
        check(&v1(POLICY, "SCL50Xc2R3tkLrp2hOviGvJbqso="), &[], None);
        check(&v1(POLICY, "SCL50Xc2R3tkLrp2hOviGvJbqsp="), &[], Some(ErrorCode::SignatureDoesNotMatch));
        check(&v1(POLICY_V4, "SCL50Xc2R3tkLrp2hOviGvJbqso="), &[], Some(ErrorCode::SignatureDoesNotMatch));
        check(&v1(POLICY, "")[..], &[], Some(ErrorCode::InvalidArgument));
        check(&v1(POLICY, "x")[1..], &[], Some(ErrorCode::InvalidArgument));
        check(&v1("", "x")[..], &[], Some(ErrorCode::InvalidArgument));
        check(&[], &[], Some(ErrorCode::AccessDenied));
        let v4 = |policy, date| {
            [
                ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
                ("x-oss-credential", "AKIDEXAMPLE0001/20240102/cn-hangzhou/oss/aliyun_v4_request"),
                ("x-oss-date", date),
                ("x-oss-signature", "7c33f4e0a03e9f5f24cf16eed6b3d1df8705e7317c0dd15a6bba6f3ccc79a037"),
                ("policy", policy),
            ]
        };
        check(&v4(POLICY_V4, "20240102T030405Z"), &[], None);
        check(&v4(POLICY_V4, "20240102T030405Z"), &["cn-hangzhou"], None);
        check(&v4(POLICY_V4, "20240102T030405Z"), &["cn-beijing"], Some(ErrorCode::InvalidArgument));
        check(&v4(POLICY, "20240102T030405Z"), &[], Some(ErrorCode::SignatureDoesNotMatch));
        check(&v4(POLICY_V4, "20240103T030405Z"), &[], Some(ErrorCode::InvalidArgument));
        check(&v4(POLICY_V4, "20240102T040405Z"), &[], Some(ErrorCode::RequestTimeTooSkewed));
        check(&v4(POLICY_V4, "")[..], &[], Some(ErrorCode::InvalidArgument));
        check(&v4(POLICY_V4, "20240102T030405Z")[..4], &[], Some(ErrorCode::InvalidArgument));
    }
}
