//! Users, their keys and policies: what operators do with them (access control 1, 5.1). Who may do it is decided before, at
//! the edge. Each change is decided on what is stored and made in one commit, which holds only if nobody else changed users
//! or keys meanwhile; else it is decided again.

use model::access::policy::Policy;
use model::name::AccessKeyId;
use model::{Error, ErrorCode, OwnerId};
use store::meta::{AccountChange, KeyRecord, UserPolicy, UserRecord};

use super::{Accounts, ROOT_NAME};
use crate::objects::internal;

/// Users of the account.
const MAX_USERS: usize = 10_000;
/// Keys of one user: rotating needs two.
const MAX_KEYS: usize = 10;
/// Policies of one user.
const MAX_POLICIES: usize = 20;
/// Rows read at once.
const PAGE: usize = 1000;
/// How often a change is decided anew because others were faster.
const ATTEMPTS: usize = 16;

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

pub(super) type Result<T> = std::result::Result<T, Fault>;

/// What a change is decided on.
struct Stored {
    users: Vec<UserRecord>,
    keys: Vec<KeyRecord>,
    root: OwnerId,
}

impl Stored {
    fn user(&self, name: &str) -> Result<&UserRecord> {
        self.users.iter().find(|user| user.name == name).ok_or_else(|| no_such_user(name))
    }

    /// The number of a user, or of the account.
    fn uid(&self, name: &str) -> Result<&OwnerId> {
        if name == ROOT_NAME { Ok(&self.root) } else { Ok(&self.user(name)?.uid) }
    }

    fn keys_of<'a>(&'a self, uid: &'a OwnerId) -> impl Iterator<Item = &'a KeyRecord> {
        self.keys.iter().filter(move |key| key.uid == *uid)
    }

    fn key(&self, name: &str, id: &str) -> Result<&KeyRecord> {
        let uid = self.uid(name)?;
        let missing = || Fault::NotFound(format!("{name} has no access key {id:?}."));
        self.keys_of(uid).find(|key| key.id == id).ok_or_else(missing)
    }
}

/// What is to be written.
enum Change {
    PutUser(UserRecord),
    DeleteUser(OwnerId),
    PutKey(KeyRecord),
    DeleteKey(String),
}

impl Change {
    fn borrowed(&self) -> AccountChange<'_> {
        match self {
            Change::PutUser(user) => AccountChange::PutUser(user),
            Change::DeleteUser(uid) => AccountChange::DeleteUser(uid),
            Change::PutKey(key) => AccountChange::PutKey(key),
            Change::DeleteKey(id) => AccountChange::DeleteKey(id),
        }
    }
}

fn no_such_user(name: &str) -> Fault {
    Fault::NotFound(format!("There is no user {name:?}."))
}

impl Accounts {
    /// The users, in order of number.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn users(&self) -> Result<Vec<UserRecord>> {
        Ok(self.meta.list_users("", MAX_USERS).await?.items)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn user(&self, name: &str) -> Result<UserRecord> {
        self.users().await?.into_iter().find(|user| user.name == name).ok_or_else(|| no_such_user(name))
    }

    /// What a user is called; empty when there is none of this number.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn name_of(&self, uid: &OwnerId) -> Result<String> {
        Ok(self.meta.user(uid).await?.map(|user| user.name).unwrap_or_default())
    }

    /// The keys of a user, or of the account, without the one that the server was started with.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn keys(&self, name: &str) -> Result<Vec<KeyRecord>> {
        let uid = self.uid(name).await?;
        Ok(self.all_keys().await?.into_iter().filter(|key| key.uid == uid).collect())
    }

    /// The number of a user, or of the account.
    pub(super) async fn uid(&self, name: &str) -> Result<OwnerId> {
        if name == ROOT_NAME { Ok(self.root.owner.clone()) } else { Ok(self.user(name).await?.uid) }
    }

    async fn all_keys(&self) -> Result<Vec<KeyRecord>> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.meta.list_keys(&after, PAGE).await?;
            if let Some(last) = page.items.last() {
                after.clone_from(&last.id);
            }
            found.extend(page.items);
            if !page.is_truncated {
                return Ok(found);
            }
        }
    }

    /// Decides on a change and makes it.
    async fn change<T>(&self, mut decide: impl FnMut(&Stored) -> Result<(T, Vec<Change>)>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let seen = self.meta.accounts_seen().await?;
            let stored =
                Stored { users: self.users().await?, keys: self.all_keys().await?, root: self.root.owner.clone() };
            let (outcome, changes) = decide(&stored)?;
            let changes: Vec<_> = changes.iter().map(Change::borrowed).collect();
            match self.meta.change_accounts(seen, &changes).await {
                Ok(()) => return Ok(outcome),
                Err(error) if error.kind == store::ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        let message = "Users and keys are being changed by others. Please try again.";
        Err(Error::new(ErrorCode::ServiceUnavailable).message(message).header("retry-after", "1").into())
    }

    async fn change_user(&self, name: &str, change: impl Fn(&mut UserRecord) -> Result<()>) -> Result<UserRecord> {
        self.change(|stored| {
            let mut user = stored.user(name)?.clone();
            change(&mut user)?;
            Ok((user.clone(), vec![Change::PutUser(user)]))
        })
        .await
    }

    /// Makes a user, who may do nothing yet.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid`.
    pub(crate) async fn create_user(&self, name: &str) -> Result<UserRecord> {
        check_name("The name of a user", name)?;
        let user = self
            .change(|stored| {
                if name == ROOT_NAME || stored.user(name).is_ok() {
                    return Err(Fault::AlreadyExists(format!("There is a user {name:?} already.")));
                }
                if stored.users.len() >= MAX_USERS {
                    return Err(Fault::Invalid(format!("There are {MAX_USERS} users, which is all there may be.")));
                }
                let user = UserRecord {
                    uid: OwnerId(crate::ids::user_number()),
                    name: name.to_owned(),
                    account: self.root.owner.clone(),
                    policies: Vec::new(),
                    enabled: true,
                    created_ms: self.clock.now_ms(),
                };
                Ok((user.clone(), vec![Change::PutUser(user)]))
            })
            .await?;
        tracing::info!(user = name, uid = %user.uid, "user created");
        Ok(user)
    }

    /// Lets a user do what the policies say, or nothing.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn enable_user(&self, name: &str, enabled: bool) -> Result<UserRecord> {
        let user = self
            .change_user(name, |user| {
                user.enabled = enabled;
                Ok(())
            })
            .await?;
        tracing::info!(user = name, enabled, "user changed");
        Ok(user)
    }

    /// Deletes a user with all keys and sessions.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn delete_user(&self, name: &str) -> Result<()> {
        let uid = self
            .change(|stored| {
                let uid = stored.user(name)?.uid.clone();
                let keys = stored.keys_of(&uid).map(|key| Change::DeleteKey(key.id.clone()));
                let changes = std::iter::once(Change::DeleteUser(uid.clone())).chain(keys).collect();
                Ok((uid.clone(), changes))
            })
            .await?;
        // Sessions find nobody any more; what is left of them goes too.
        self.meta.delete_keys_of(&uid).await?;
        tracing::info!(user = name, "user deleted");
        Ok(())
    }

    /// Makes a key. Its secret is in the answer and never shown again.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub(crate) async fn create_key(&self, name: &str, description: &str) -> Result<KeyRecord> {
        if description.len() > 256 {
            return Err(Fault::Invalid("The description of a key has 256 bytes at most.".to_owned()));
        }
        let key = self
            .change(|stored| {
                let uid = stored.uid(name)?;
                if stored.keys_of(uid).count() >= MAX_KEYS {
                    return Err(Fault::Invalid(format!("{name} has {MAX_KEYS} keys, which is all there may be.")));
                }
                let key = KeyRecord {
                    id: crate::ids::access_key_id(),
                    secret: crate::ids::secret(),
                    uid: uid.clone(),
                    enabled: true,
                    created_ms: self.clock.now_ms(),
                    description: description.to_owned(),
                };
                Ok((key.clone(), vec![Change::PutKey(key)]))
            })
            .await?;
        tracing::info!(user = name, key = key.id, "access key created");
        Ok(key)
    }

    /// Lets a key be used, or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn enable_key(&self, name: &str, id: &str, enabled: bool) -> Result<KeyRecord> {
        check_key_id(name, id)?;
        let key = self
            .change(|stored| {
                let key = KeyRecord { enabled, ..stored.key(name, id)?.clone() };
                Ok((key.clone(), vec![Change::PutKey(key)]))
            })
            .await?;
        tracing::info!(user = name, key = id, enabled, "access key changed");
        Ok(key)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn delete_key(&self, name: &str, id: &str) -> Result<()> {
        check_key_id(name, id)?;
        self.change(|stored| Ok(((), vec![Change::DeleteKey(stored.key(name, id)?.id.clone())]))).await?;
        tracing::info!(user = name, key = id, "access key deleted");
        Ok(())
    }

    /// Attaches a policy to a user, or replaces it; without a document it is a predefined one.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, and what is wrong with the document.
    pub(crate) async fn put_policy(&self, name: &str, policy: &str, document: Option<String>) -> Result<()> {
        check_name("The name of a policy", policy)?;
        let is_predefined = Policy::predefined(policy).is_some();
        match &document {
            Some(_) if is_predefined => {
                return Err(Fault::Invalid(format!("{policy} is predefined, so it has no document of its own.")));
            }
            Some(document) => {
                Policy::parse_for_user(document.as_bytes(), &self.region)?.check_actions()?;
            }
            None if !is_predefined => {
                return Err(Fault::NotFound(format!(
                    "There is no predefined policy {policy:?}; there are AliyunOSSFullAccess and AliyunOSSReadOnlyAccess."
                )));
            }
            None => {}
        }
        let attached = UserPolicy { name: policy.to_owned(), document };
        self.change_user(name, |user| {
            user.policies.retain(|known| known.name != policy);
            if user.policies.len() >= MAX_POLICIES {
                return Err(Fault::Invalid(format!("{name} has {MAX_POLICIES} policies, which is all there may be.")));
            }
            user.policies.push(attached.clone());
            Ok(())
        })
        .await?;
        tracing::info!(user = name, policy, "policy attached");
        Ok(())
    }

    /// Takes a policy away from a user.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn delete_policy(&self, name: &str, policy: &str) -> Result<()> {
        self.change_user(name, |user| {
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
}

/// What is no key id cannot be the id of a key.
fn check_key_id(name: &str, id: &str) -> Result<()> {
    AccessKeyId::parse(id).map(drop).map_err(|_| Fault::NotFound(format!("{name} has no access key {id:?}.")))
}

/// Names go into paths, logs and resource names.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
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
