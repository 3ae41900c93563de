//! What is known about an access key, and the checks that need nothing but that (OSS auth 8, 11).

use subtle::ConstantTimeEq as _;

use super::{SecretKey, refusal};
use model::name::AccessKeyId;
use model::{Error, ErrorCode};

/// An access key as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct KnownKey<'a> {
    /// Its secret.
    pub secret: &'a SecretKey,
    /// Whether the key may be used.
    pub is_enabled: bool,
    /// Whether its user may do anything.
    pub user_is_enabled: bool,
    /// What makes the key a temporary one.
    pub session: Option<SessionToken<'a>>,
}

/// The token that has to come with a temporary key.
#[derive(Clone, Copy)]
pub struct SessionToken<'a> {
    /// The token.
    pub token: &'a str,
    /// The last second at which it is valid, Unix time.
    pub expires_at_s: i64,
}

impl std::fmt::Debug for SessionToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionToken").field("expires_at_s", &self.expires_at_s).finish_non_exhaustive()
    }
}

/// Checks key and token in the order of OSS auth 8, and hands out the secret.
pub(super) fn check<'k>(
    id: &AccessKeyId,
    token: Option<&str>,
    key: Option<&KnownKey<'k>>,
    now_ms: i64,
) -> Result<&'k SecretKey, Error> {
    let key = key.ok_or_else(|| refusal::key_is_unknown(id))?;
    if !key.is_enabled {
        return Err(Error::new(ErrorCode::InvalidAccessKeyId)
            .message("The OSS Access Key Id you provided is disabled.")
            .with("OSSAccessKeyId", id.as_str()));
    }
    if !key.user_is_enabled {
        return Err(Error::new(ErrorCode::UserDisable).ec("0003-00000801"));
    }
    match (key.session, token) {
        (None, None) => Ok(key.secret),
        (None, Some(_)) => Err(Error::new(ErrorCode::AccessKeyIdAndSecurityTokenNotMatch)),
        (Some(_), None) => Err(refusal::key_is_unknown(id)),
        (Some(session), Some(token)) => {
            if !bool::from(session.token.as_bytes().ct_eq(token.as_bytes())) {
                return Err(Error::new(ErrorCode::InvalidSecurityToken));
            }
            if now_ms.div_euclid(1000) > session.expires_at_s {
                return Err(Error::new(ErrorCode::SecurityTokenExpired));
            }
            Ok(key.secret)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(session: Option<(&str, i64)>, token: Option<&str>, expected: Option<ErrorCode>) {
        let secret = SecretKey::new("s".to_owned());
        let session = session.map(|(token, expires_at_s)| SessionToken { token, expires_at_s });
        let key = KnownKey { secret: &secret, is_enabled: true, user_is_enabled: true, session };
        let id = AccessKeyId::parse("STS.a").unwrap();
        assert_eq!(super::check(&id, token, Some(&key), 1_000_999).err().map(|e| e.code), expected);
    }

    #[test]
    fn tokens_belong_to_temporary_keys() {
        check(None, None, None);
        check(None, Some("t"), Some(ErrorCode::AccessKeyIdAndSecurityTokenNotMatch));
        check(Some(("t", 1000)), Some("t"), None);
        check(Some(("t", 999)), Some("t"), Some(ErrorCode::SecurityTokenExpired));
        check(Some(("t", 1000)), Some("u"), Some(ErrorCode::InvalidSecurityToken));
        check(Some(("t", 1000)), None, Some(ErrorCode::InvalidAccessKeyId));
    }

    #[test]
    fn unknown_and_disabled_keys_are_refused() {
        let secret = SecretKey::new("s".to_owned());
        let id = AccessKeyId::parse("a").unwrap();
        let key = KnownKey { secret: &secret, is_enabled: false, user_is_enabled: true, session: None };
        let refuse = |key| super::check(&id, None, key, 0).unwrap_err();
        assert_eq!(refuse(None).ec, Some("0002-00000902"));
        assert_eq!(refuse(Some(&key)).message, "The OSS Access Key Id you provided is disabled.");
        let key = KnownKey { is_enabled: true, user_is_enabled: false, ..key };
        assert_eq!(refuse(Some(&key)).code, ErrorCode::UserDisable);
    }
}
