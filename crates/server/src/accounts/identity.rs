//! Who an access key id stands for: the account, one of its users, or a temporary session (access control 1).
//!
//! Everything is read from the store each time, so that a change is effective for the next request on every server.
//! What is kept is only what follows from what was read: parsed policies, and the keys that V4 derives.

use std::sync::Arc;

use model::OwnerId;
use model::access::policy::Policy;
use model::access::{AssumedRole, Caller};
use model::name::AccessKeyId;
use model::{Error, ErrorCode};
use oss::sign::{KnownKey, SecretKey, SessionToken, SigningKey};
use quick_cache::sync::Cache;
use store::meta::{UserPolicy, UserRecord};

use super::Accounts;
use crate::objects::internal;

/// What temporary access key ids begin with (OSS auth 11).
pub(crate) const SESSION_PREFIX: &str = "STS.";

/// Users whose parsed policies are kept.
const MAX_USERS: usize = 1024;
/// Keys derived for a day and a region that are kept.
const MAX_SIGNING_KEYS: usize = 4096;
/// The longest region, in bytes, whose key is kept. It comes from a request that is not verified yet, and whoever knows a
/// key id could fill the memory with regions as long as a request may be.
const MAX_KEPT_REGION: usize = 64;

/// What is known of an access key.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    secret: SecretKey,
    is_enabled: bool,
    user_is_enabled: bool,
    session: Option<Session>,
    caller: Caller,
}

#[derive(Clone)]
struct Session {
    token: String,
    expires_at_s: i64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("expires_at_s", &self.expires_at_s).finish_non_exhaustive()
    }
}

impl Identity {
    /// What signatures are checked against.
    pub(crate) fn known_key(&self) -> KnownKey<'_> {
        let session = self
            .session
            .as_ref()
            .map(|session| SessionToken { token: &session.token, expires_at_s: session.expires_at_s });
        KnownKey { secret: &self.secret, is_enabled: self.is_enabled, user_is_enabled: self.user_is_enabled, session }
    }

    /// The secret of the key.
    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// Who calls, once a signature with this key was verified.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Until when a temporary key is good, Unix seconds; `None` for any other key.
    pub(crate) fn expires_at_s(&self) -> Option<i64> {
        self.session.as_ref().map(|session| session.expires_at_s)
    }

    /// The token that requests with a temporary key carry.
    pub(crate) fn token(&self) -> Option<&str> {
        self.session.as_ref().map(|session| session.token.as_str())
    }

    /// Whether the key is a temporary one.
    pub(crate) fn is_session(&self) -> bool {
        self.session.is_some()
    }
}

/// What follows from the stored records and need not be computed again.
#[derive(Debug)]
pub(super) struct Derived {
    /// By the number of the user; good as long as the policies are the same texts.
    policies: Cache<String, ParsedPolicies>,
    /// By key id, day and region; good as long as the secret is the same.
    signing_keys: Cache<(String, String, String), (SecretKey, SigningKey)>,
}

/// Policies as they are stored and as they are evaluated.
type ParsedPolicies = Arc<(Vec<UserPolicy>, Arc<[Policy]>)>;

impl Default for Derived {
    fn default() -> Self {
        Self { policies: Cache::new(MAX_USERS), signing_keys: Cache::new(MAX_SIGNING_KEYS) }
    }
}

impl Derived {
    /// The key that V4 signs with, derived once a day and region.
    pub(super) fn signing_key(&self, id: &AccessKeyId, secret: &SecretKey, date: &str, region: &str) -> SigningKey {
        if region.len() > MAX_KEPT_REGION {
            return SigningKey::derive(secret, date, region);
        }
        let name = (id.to_string(), date.to_owned(), region.to_owned());
        match self.signing_keys.get(&name) {
            Some((of, key)) if of.is_same(secret) => key,
            _ => {
                let key = SigningKey::derive(secret, date, region);
                self.signing_keys.insert(name, (secret.clone(), key.clone()));
                key
            }
        }
    }

    fn policies(&self, user: &UserRecord) -> Result<Arc<[Policy]>, Error> {
        if let Some(known) = self.policies.get(&user.uid.0)
            && known.0 == user.policies
        {
            return Ok(known.1.clone());
        }
        let parsed: Arc<[Policy]> = user.policies.iter().map(parse_policy).collect::<Result<_, _>>()?;
        self.policies.insert(user.uid.0.clone(), Arc::new((user.policies.clone(), parsed.clone())));
        Ok(parsed)
    }
}

/// A policy of a user as it is evaluated. One that cannot be read refuses everything rather than allowing too much.
fn parse_policy(policy: &UserPolicy) -> Result<Policy, Error> {
    let parsed = match &policy.document {
        None => Policy::predefined(&policy.name).ok_or_else(|| Error::new(ErrorCode::InvalidPolicyDocument)),
        Some(document) => Policy::read_for_user(document.as_bytes()),
    };
    parsed.map_err(|error| {
        tracing::error!(policy = policy.name, %error, "the stored policy of a user cannot be read");
        Error::new(ErrorCode::InternalError)
    })
}

impl Accounts {
    /// Looks an access key up. `None` when there is no such key.
    ///
    /// # Errors
    /// `InternalError`, `ServiceUnavailable` when the store does not answer or holds what cannot be read.
    pub(crate) async fn find(&self, id: &AccessKeyId) -> Result<Option<Arc<Identity>>, Error> {
        if *id == self.root.id {
            return Ok(Some(Arc::new(Identity {
                secret: self.root.secret.clone(),
                is_enabled: true,
                user_is_enabled: true,
                session: None,
                caller: Caller::Root { owner: self.root.owner.clone(), access_key: id.clone() },
            })));
        }
        if id.as_str().starts_with(SESSION_PREFIX) {
            return self.find_session(id).await;
        }
        let Some(key) = self.meta.key(id).await.map_err(internal)? else { return Ok(None) };
        if key.uid == self.root.owner {
            return Ok(Some(Arc::new(Identity {
                secret: SecretKey::new(key.secret),
                is_enabled: key.enabled,
                user_is_enabled: true,
                session: None,
                caller: Caller::Root { owner: key.uid, access_key: id.clone() },
            })));
        }
        let Some(user) = self.meta.user(&key.uid).await.map_err(internal)? else { return Ok(None) };
        let policies = self.derived.policies(&user)?;
        Ok(Some(Arc::new(Identity {
            secret: SecretKey::new(key.secret),
            is_enabled: key.enabled,
            user_is_enabled: user.enabled,
            session: None,
            caller: caller(user.account, user.uid, id, policies),
        })))
    }

    /// A session has the rights of whom it acts for, as they are now, narrowed by its own policy.
    async fn find_session(&self, id: &AccessKeyId) -> Result<Option<Arc<Identity>>, Error> {
        let Some(record) = self.meta.session(id).await.map_err(internal)? else { return Ok(None) };
        let (account, policies, user_is_enabled) = if record.uid == self.root.owner {
            (record.uid.clone(), Arc::from([Policy::full_access()]), true)
        } else {
            let Some(user) = self.meta.user(&record.uid).await.map_err(internal)? else { return Ok(None) };
            let policies = self.derived.policies(&user)?;
            (user.account, policies, user.enabled)
        };
        let session_policy = record
            .policy
            .map(|document| {
                let policy = UserPolicy { name: "session".to_owned(), document: Some(document) };
                parse_policy(&policy).map(Arc::new)
            })
            .transpose()?;
        let role = record.role.map(|role| AssumedRole { role: role.role, session: role.session });
        Ok(Some(Arc::new(Identity {
            secret: SecretKey::new(record.secret),
            is_enabled: true,
            user_is_enabled,
            session: Some(Session { token: record.token, expires_at_s: record.expires_ms.div_euclid(1000) }),
            caller: Caller::User {
                owner: account,
                uid: record.uid,
                access_key: id.clone(),
                policies,
                session_policy,
                role,
            },
        })))
    }
}

fn caller(owner: OwnerId, uid: OwnerId, id: &AccessKeyId, policies: Arc<[Policy]>) -> Caller {
    Caller::User { owner, uid, access_key: id.clone(), policies, session_policy: None, role: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_are_those_of_the_secret() {
        let derived = Derived::default();
        let id = AccessKeyId::parse("AK").unwrap();
        let (old, new) = (SecretKey::new("old".to_owned()), SecretKey::new("new".to_owned()));
        let credentials = |secret: &SecretKey| {
            let signer = oss::sign::presign::Signer { access_key: id.clone(), secret: secret.clone(), token: None };
            let unsigned = oss::sign::presign::UnsignedRequest { method: "GET", key: "a", ..Default::default() };
            signer.v4_headers(&unsigned, "r", 0)
        };
        assert_ne!(credentials(&old), credentials(&new));
        // The keys cannot be compared; what they verify can, and the end-to-end tests do that. Here it matters that a
        // key of another secret is not handed out.
        let _ = derived.signing_key(&id, &old, "20240102", "r");
        let _ = derived.signing_key(&id, &new, "20240102", "r");
        let name = ("AK".to_owned(), "20240102".to_owned(), "r".to_owned());
        assert!(derived.signing_keys.get(&name).unwrap().0.is_same(&new));
    }

    #[test]
    fn keys_kept_are_few_and_short() {
        let derived = Derived::default();
        let id = AccessKeyId::parse("AK").unwrap();
        let secret = SecretKey::new("s".to_owned());
        let _ = derived.signing_key(&id, &secret, "20240102", &"r".repeat(MAX_KEPT_REGION + 1));
        assert_eq!(derived.signing_keys.len(), 0);
        for number in 0..3 * MAX_SIGNING_KEYS {
            let _ = derived.signing_key(&id, &secret, "20240102", &format!("r{number}"));
        }
        assert!((1..=MAX_SIGNING_KEYS).contains(&derived.signing_keys.len()), "{}", derived.signing_keys.len());
    }

    #[test]
    fn policies_are_parsed_again_when_they_change() {
        let derived = Derived::default();
        let mut user = UserRecord {
            uid: OwnerId("2".to_owned()),
            name: "anna".to_owned(),
            account: OwnerId("1".to_owned()),
            policies: vec![UserPolicy { name: "AliyunOSSReadOnlyAccess".to_owned(), document: None }],
            enabled: true,
            created_ms: 0,
        };
        let first = derived.policies(&user).unwrap();
        assert_eq!(*first, [Policy::read_only_access()]);
        assert!(Arc::ptr_eq(&first, &derived.policies(&user).unwrap()));
        user.policies.clear();
        assert!(derived.policies(&user).unwrap().is_empty());
        user.policies.push(UserPolicy { name: "p".to_owned(), document: Some("{}".to_owned()) });
        assert_eq!(derived.policies(&user).unwrap_err().code, ErrorCode::InternalError);
    }
}
