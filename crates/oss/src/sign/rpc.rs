//! The signature of the official management services, such as `AssumeRole` of STS: every parameter in one query, signed
//! with HMAC-SHA1 (OSS auth 11).

use std::fmt;

use super::known_key::{self, KnownKey};
use super::refusal;
use super::secret::{SecretKey, fingerprint, is_same, sign_sha1};
use crate::request::Query;
use model::date;
use model::name::AccessKeyId;
use model::percent::percent_encode;
use model::{Error, ErrorCode};

/// What the parameters of such a call claim about its caller. `Debug` leaves out signature and token.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcClaim {
    access_key: AccessKeyId,
    token: Option<String>,
    signature: String,
    string_to_sign: String,
}

impl fmt::Debug for RpcClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClaim").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl RpcClaim {
    /// Reads the claim of a call whose parameters, those of the query and those of a form in the body, are `parameters`.
    /// `method` is in upper case; `now_ms` is Unix time in milliseconds. `None` when nothing of the kind is claimed.
    ///
    /// # Errors
    /// `InvalidArgument` for another algorithm; `InvalidAccessKeyId` for an impossible id; `AccessDenied` without a
    /// date; `RequestTimeTooSkewed`.
    pub fn extract(method: &str, parameters: &Query, now_ms: i64) -> Result<Option<Self>, Error> {
        let (Some(id), Some(signature)) = (parameters.first("AccessKeyId"), parameters.first("Signature")) else {
            return Ok(None);
        };
        let algorithm = parameters.first("SignatureMethod");
        if algorithm != Some("HMAC-SHA1") {
            return Err(refusal::parameter("SignatureMethod", algorithm, "The SignatureMethod must be HMAC-SHA1."));
        }
        let access_key = AccessKeyId::parse(id)?;
        let moment = parameters.first("Timestamp").and_then(date::parse_moment).ok_or_else(refusal::date_is_missing)?;
        let moment = moment.div_euclid(1000);
        refusal::check_skew(moment, now_ms.div_euclid(1000))?;
        Ok(Some(Self {
            access_key,
            token: super::non_empty(parameters.first("SecurityToken")),
            signature: signature.to_owned(),
            string_to_sign: string_to_sign(method, parameters),
        }))
    }

    /// The access key that is claimed.
    pub fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key
    }

    /// As [`super::Credentials::fingerprint`].
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(self.access_key.as_str(), &self.signature)
    }

    /// Checks key, token and signature. `key` is `None` when there is no such key.
    ///
    /// # Errors
    /// As [`super::Credentials::admit`].
    pub fn admit(&self, key: Option<&KnownKey<'_>>, now_ms: i64) -> Result<(), Error> {
        let secret = known_key::check(&self.access_key, self.token.as_deref(), key, now_ms)?;
        if is_same(&sign(secret, &self.string_to_sign), &self.signature) {
            return Ok(());
        }
        Err(Error::new(ErrorCode::SignatureDoesNotMatch).with("StringToSign", self.string_to_sign.as_str()))
    }
}

fn sign(secret: &SecretKey, text: &str) -> String {
    let mut key = secret.as_text().to_owned();
    key.push('&');
    sign_sha1(&SecretKey::new(key), text.as_bytes())
}

/// `METHOD&%2F&` and the encoded canonical query: parameters sorted by name, without the signature.
fn string_to_sign(method: &str, parameters: &Query) -> String {
    let mut pairs: Vec<(String, String)> = parameters
        .pairs()
        .iter()
        .filter(|pair| pair.name != b"Signature")
        .map(|pair| (percent_encode(&pair.name, false), percent_encode(&pair.value, false)))
        .collect();
    pairs.sort();
    let canonical = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    format!("{method}&%2F&{}", percent_encode(canonical.as_bytes(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the official description of the algorithm (ECS, DescribeRegions).
    const PUBLISHED: &str = "Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions\
                             &SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf\
                             &Version=2014-05-26&SignatureVersion=1.0&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D";
    const MOMENT_MS: i64 = 1_456_231_584_000;

    fn check(query: &str, now_ms: i64, expected: Result<(), ErrorCode>) {
        let secret = SecretKey::new("testsecret".to_owned());
        let key = KnownKey { secret: &secret, is_enabled: true, user_is_enabled: true, session: None };
        let outcome = RpcClaim::extract("GET", &Query::parse(query), now_ms)
            .and_then(|claim| claim.ok_or(Error::new(ErrorCode::AccessDenied))?.admit(Some(&key), now_ms));
        assert_eq!(outcome.map_err(|error| error.code), expected, "{query}");
    }

    #[test]
    fn the_published_example_verifies() {
        check(PUBLISHED, MOMENT_MS, Ok(()));
        let claim = RpcClaim::extract("GET", &Query::parse(PUBLISHED), MOMENT_MS).unwrap().unwrap();
        assert_eq!(
            claim.string_to_sign,
            "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1\
             %26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0\
             %26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
        );
    }

    #[test]
    fn what_is_changed_or_old_is_refused() {
        check(&PUBLISHED.replace("XML", "JSON"), MOMENT_MS, Err(ErrorCode::SignatureDoesNotMatch));
        check(&format!("{PUBLISHED}&a=b"), MOMENT_MS, Err(ErrorCode::SignatureDoesNotMatch));
        check(PUBLISHED, MOMENT_MS + 901_000, Err(ErrorCode::RequestTimeTooSkewed));
        check(&PUBLISHED.replace("SHA1", "SHA256"), MOMENT_MS, Err(ErrorCode::InvalidArgument));
        check(&PUBLISHED.replace("Timestamp=", "Time="), MOMENT_MS, Err(ErrorCode::AccessDenied));
        check("Action=AssumeRole", MOMENT_MS, Err(ErrorCode::AccessDenied));
    }
}
