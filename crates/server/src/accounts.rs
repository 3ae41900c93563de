//! Users, their keys and policies, and temporary sessions: what operators do with them (access control 1, 5.1, OSS auth
//! 11). Who may do it is decided before, at the edge.

use std::sync::Arc;
use std::time::Duration;

use model::OwnerId;
use model::access::policy::Policy;
use model::name::AccessKeyId;
use model::{Error, ErrorCode};
use store::meta::{KeyRecord, SessionRecord, SessionRole, UserPolicy, UserRecord};

use crate::identity::SESSION_PREFIX;
use crate::ops::internal;
use crate::shutdown::Shutdown;
use crate::state::State;

/// The name that stands for the account itself where keys are made.
pub(crate) const ROOT_NAME: &str = "root";
/// Users of the account.
const MAX_USERS: usize = 10_000;
/// Keys of one user: rotating needs two.
const MAX_KEYS: usize = 10;
/// Policies of one user.
const MAX_POLICIES: usize = 20;
/// The longest a session may last (12 hours, as the official service).
pub(crate) const MAX_SESSION_S: u32 = 43_200;
/// How long an ended session is remembered, so that its user reads `SecurityTokenExpired` and not that the key is
/// unknown.
const REMEMBER_ENDED_MS: i64 = 86_400_000;
/// How often ended sessions are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Why a change was refused.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is no such user, key or policy.
    NotFound(String),
    /// The name is taken.
    AlreadyExists(String),
    /// What was sent is not right.
    Invalid(String),
    /// The store failed, or a policy broke the grammar.
    Oss(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Oss(error)
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Fault::Oss(internal(error))
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// The users, in order of number.
pub(crate) async fn users(state: &State) -> Result<Vec<UserRecord>> {
    Ok(state.meta.list_users("", MAX_USERS).await?.items)
}

/// The user of this name.
pub(crate) async fn user(state: &State, name: &str) -> Result<UserRecord> {
    let found = users(state).await?.into_iter().find(|user| user.name == name);
    found.ok_or_else(|| Fault::NotFound(format!("There is no user {name:?}.")))
}

/// Makes a user, who may do nothing yet.
pub(crate) async fn create_user(state: &State, name: &str) -> Result<UserRecord> {
    check_name("The name of a user", name)?;
    let _editing = state.identities.editing.lock().await;
    let users = users(state).await?;
    if name == ROOT_NAME || users.iter().any(|user| user.name == name) {
        return Err(Fault::AlreadyExists(format!("There is a user {name:?} already.")));
    }
    if users.len() >= MAX_USERS {
        return Err(Fault::Invalid(format!("There are {MAX_USERS} users, which is all there may be.")));
    }
    let user = UserRecord {
        uid: OwnerId(crate::ids::user_number()),
        name: name.to_owned(),
        account: state.root.owner.clone(),
        policies: Vec::new(),
        enabled: true,
        created_ms: state.clock.now_ms(),
    };
    state.meta.put_user(&user).await?;
    tracing::info!(user = name, uid = %user.uid, "user created");
    Ok(user)
}

/// Lets a user do what the policies say, or nothing.
pub(crate) async fn enable_user(state: &State, name: &str, enabled: bool) -> Result<UserRecord> {
    let user = change_user(state, name, |user| {
        user.enabled = enabled;
        Ok(())
    })
    .await?;
    tracing::info!(user = name, enabled, "user changed");
    Ok(user)
}

/// Deletes a user with all keys and sessions.
pub(crate) async fn delete_user(state: &State, name: &str) -> Result<()> {
    let _editing = state.identities.editing.lock().await;
    let user = user(state, name).await?;
    // The user goes first: from then on the keys find nobody.
    state.meta.delete_user(&user.uid).await?;
    state.meta.delete_keys_of(&user.uid).await?;
    tracing::info!(user = name, "user deleted");
    Ok(())
}

async fn change_user(
    state: &State,
    name: &str,
    change: impl FnOnce(&mut UserRecord) -> Result<()>,
) -> Result<UserRecord> {
    let _editing = state.identities.editing.lock().await;
    let mut user = user(state, name).await?;
    change(&mut user)?;
    state.meta.put_user(&user).await?;
    Ok(user)
}

/// The number of a user, or of the account.
async fn uid(state: &State, name: &str) -> Result<OwnerId> {
    if name == ROOT_NAME { Ok(state.root.owner.clone()) } else { Ok(user(state, name).await?.uid) }
}

/// The keys of a user, or of the account, without the one that the server was started with.
pub(crate) async fn keys(state: &State, name: &str) -> Result<Vec<KeyRecord>> {
    let uid = uid(state, name).await?;
    Ok(keys_of(state, &uid).await?)
}

async fn keys_of(state: &State, uid: &OwnerId) -> std::result::Result<Vec<KeyRecord>, store::Error> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = state.meta.list_keys(&after, 1000).await?;
        if let Some(last) = page.items.last() {
            after.clone_from(&last.id);
        }
        found.extend(page.items.into_iter().filter(|key| key.uid == *uid));
        if !page.is_truncated {
            return Ok(found);
        }
    }
}

/// Makes a key. Its secret is in the answer and never shown again.
pub(crate) async fn create_key(state: &State, name: &str, description: &str) -> Result<KeyRecord> {
    if description.len() > 256 {
        return Err(Fault::Invalid("The description of a key has 256 bytes at most.".to_owned()));
    }
    let _editing = state.identities.editing.lock().await;
    let uid = uid(state, name).await?;
    if keys_of(state, &uid).await?.len() >= MAX_KEYS {
        return Err(Fault::Invalid(format!("{name} has {MAX_KEYS} keys, which is all there may be.")));
    }
    let key = KeyRecord {
        id: crate::ids::access_key_id(),
        secret: crate::ids::secret(),
        uid,
        enabled: true,
        created_ms: state.clock.now_ms(),
        description: description.to_owned(),
    };
    state.meta.put_key(&key).await?;
    tracing::info!(user = name, key = key.id, "access key created");
    Ok(key)
}

async fn key(state: &State, name: &str, id: &str) -> Result<KeyRecord> {
    let missing = || Fault::NotFound(format!("{name} has no access key {id:?}."));
    let uid = uid(state, name).await?;
    let id = AccessKeyId::parse(id).map_err(|_| missing())?;
    state.meta.key(&id).await?.filter(|key| key.uid == uid).ok_or_else(missing)
}

/// Lets a key be used, or not.
pub(crate) async fn enable_key(state: &State, name: &str, id: &str, enabled: bool) -> Result<KeyRecord> {
    let _editing = state.identities.editing.lock().await;
    let mut key = key(state, name, id).await?;
    key.enabled = enabled;
    state.meta.put_key(&key).await?;
    tracing::info!(user = name, key = id, enabled, "access key changed");
    Ok(key)
}

/// Deletes a key.
pub(crate) async fn delete_key(state: &State, name: &str, id: &str) -> Result<()> {
    let _editing = state.identities.editing.lock().await;
    let key = key(state, name, id).await?;
    state.meta.delete_key(&key.id).await?;
    tracing::info!(user = name, key = id, "access key deleted");
    Ok(())
}

/// Attaches a policy to a user, or replaces it; without a document it is a predefined one.
pub(crate) async fn put_policy(state: &State, name: &str, policy: &str, document: Option<String>) -> Result<()> {
    check_name("The name of a policy", policy)?;
    let is_predefined = Policy::predefined(policy).is_some();
    match &document {
        Some(_) if is_predefined => {
            return Err(Fault::Invalid(format!("{policy} is predefined, so it has no document of its own.")));
        }
        Some(document) => {
            Policy::parse_for_user(document.as_bytes(), &state.config.region)?;
        }
        None if !is_predefined => {
            return Err(Fault::NotFound(format!(
                "There is no predefined policy {policy:?}; there are AliyunOSSFullAccess and AliyunOSSReadOnlyAccess."
            )));
        }
        None => {}
    }
    let attached = UserPolicy { name: policy.to_owned(), document };
    change_user(state, name, |user| {
        user.policies.retain(|known| known.name != policy);
        if user.policies.len() >= MAX_POLICIES {
            return Err(Fault::Invalid(format!("{name} has {MAX_POLICIES} policies, which is all there may be.")));
        }
        user.policies.push(attached);
        Ok(())
    })
    .await?;
    tracing::info!(user = name, policy, "policy attached");
    Ok(())
}

/// Takes a policy away from a user.
pub(crate) async fn delete_policy(state: &State, name: &str, policy: &str) -> Result<()> {
    change_user(state, name, |user| {
        let before = user.policies.len();
        user.policies.retain(|known| known.name != policy);
        if user.policies.len() == before {
            return Err(Fault::NotFound(format!("{name} has no policy {policy:?}.")));
        }
        Ok(())
    })
    .await?;
    tracing::info!(user = name, policy, "policy detached");
    Ok(())
}

/// A wish for a temporary session.
#[derive(Debug)]
pub(crate) struct SessionWish<'a> {
    /// Whom it acts for: a user, or the account itself.
    pub(crate) user: &'a str,
    /// What it is called in the names of bucket policies.
    pub(crate) session_name: &'a str,
    /// How long it lasts, seconds.
    pub(crate) duration_s: u32,
    /// What narrows it further.
    pub(crate) policy: Option<String>,
}

/// Makes a temporary session. Secret and token are in the answer and never shown again.
pub(crate) async fn assume(state: &State, wish: SessionWish<'_>) -> Result<SessionRecord> {
    check_name("The name of a session", wish.session_name)?;
    if !(1..=MAX_SESSION_S).contains(&wish.duration_s) {
        return Err(Fault::Invalid(format!("A session lasts 1 to {MAX_SESSION_S} seconds.")));
    }
    if let Some(policy) = &wish.policy {
        Policy::parse_for_user(policy.as_bytes(), &state.config.region)?;
    }
    let uid = uid(state, wish.user).await?;
    let now_ms = state.clock.now_ms();
    let session = SessionRecord {
        id: format!("{SESSION_PREFIX}{}", crate::ids::access_key_id()),
        secret: crate::ids::secret(),
        token: format!("CAIS{}{}", crate::ids::secret(), crate::ids::secret()),
        uid,
        policy: wish.policy,
        role: Some(SessionRole { role: wish.user.to_owned(), session: wish.session_name.to_owned() }),
        expires_ms: now_ms.saturating_add(i64::from(wish.duration_s) * 1000),
    };
    state.meta.put_session(&session).await?;
    tracing::info!(user = wish.user, session = wish.session_name, key = session.id, "session begun");
    Ok(session)
}

/// Forgets sessions that ended a while ago, and calls that nobody can make again, until the word to stop is given.
pub(crate) async fn forget_sessions(state: Arc<State>, mut shutdown: Shutdown) {
    loop {
        let before_ms = state.clock.now_ms().saturating_sub(REMEMBER_ENDED_MS);
        if let Err(error) = state.meta.delete_ended_sessions(before_ms, 1000).await {
            tracing::warn!(%error, "ended sessions cannot be forgotten now");
        }
        if let Err(error) = state.meta.forget_happened(state.clock.now_ms(), 10_000).await {
            tracing::warn!(%error, "calls that were made cannot be forgotten now");
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
    }
}

/// Names go into paths, logs and resource names.
fn check_name(what: &str, name: &str) -> Result<()> {
    let is_legal = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@'))
        && !name.bytes().all(|b| b == b'.');
    if is_legal {
        return Ok(());
    }
    Err(Fault::Invalid(format!("{what} is 1 to 64 letters, digits, dots, dashes, underscores and at signs.")))
}

/// What the code of a fault is called, and its HTTP status.
pub(crate) fn code_of(fault: &Fault) -> (u16, &'static str) {
    match fault {
        Fault::NotFound(_) => (404, "NotFound"),
        Fault::AlreadyExists(_) => (409, "AlreadyExists"),
        Fault::Invalid(_) => (400, ErrorCode::InvalidArgument.as_str()),
        Fault::Oss(error) => (error.code.status(), error.code.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        for (name, is_legal) in [
            ("anna", true),
            ("a.b-c_d@e", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(check_name("It", name).is_ok(), is_legal, "{name}");
        }
        assert!(check_name("It", &"a".repeat(64)).is_ok());
        assert!(check_name("It", &"a".repeat(65)).is_err());
    }
}
