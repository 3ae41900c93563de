//! Who may sign requests: access keys, users, temporary sessions; and settings of the installation.

use std::fmt;

use bytes::Bytes;
use model::OwnerId;
use model::name::AccessKeyId;
use serde::{Deserialize, Serialize};

use super::key::Table;
use super::secret::{StoredKey, StoredSession};
use super::{Meta, Page};
use crate::error::{Error, Result, Subject};
use crate::kv::{Commit, Entry, Outcome, Precondition, Range, Version, Write};
use crate::record::{Record, decode, encode};

/// An access key. Its secret is written down sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: String,
    /// Its secret, in clear: signatures cannot be checked with less.
    pub secret: String,
    /// The account or user it belongs to.
    pub uid: OwnerId,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
    /// What it is for.
    pub description: String,
}

/// A user of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The id.
    pub uid: OwnerId,
    /// The name, for people.
    pub name: String,
    /// The account the user belongs to.
    pub account: OwnerId,
    /// What the user may do.
    pub policies: Vec<UserPolicy>,
    /// Whether the user may do anything.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
}

/// A policy of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPolicy {
    /// Its name, one of its kind per user.
    pub name: String,
    /// The document, as it was sent; a predefined policy has none.
    pub document: Option<String>,
}

fn yes() -> bool {
    true
}

/// A temporary key of a user. Its secret and its token are written down sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The id of the temporary key.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// What must be sent with it.
    pub token: String,
    /// The account or user it acts for.
    pub uid: OwnerId,
    /// What narrows it further.
    pub policy: Option<String>,
    /// The role it was given for, as bucket policies name it (access control 4.1).
    pub role: Option<SessionRole>,
    /// When it ends, Unix milliseconds.
    pub expires_ms: i64,
}

/// A role in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRole {
    /// The role.
    pub role: String,
    /// The name that its user chose for the session.
    pub session: String,
}

/// That something happened, which must not happen again.
#[derive(Serialize, Deserialize)]
struct ReplayGuard {
    until_ms: i64,
}

impl Record for ReplayGuard {
    const SUBJECT: Subject = Subject::Account;
}

impl Record for UserRecord {
    const SUBJECT: Subject = Subject::Account;
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("uid", &self.uid)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("uid", &self.uid)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

/// The state of all users and permanent keys, as whoever is about to change them saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountsSeen(Option<Version>);

/// A change of a user or a permanent key.
#[derive(Debug, Clone, Copy)]
pub enum AccountChange<'a> {
    /// Sets a user.
    PutUser(&'a UserRecord),
    /// Deletes a user. The user's keys stay, and find no user.
    DeleteUser(&'a OwnerId),
    /// Sets a key.
    PutKey(&'a KeyRecord),
    /// Deletes a key.
    DeleteKey(&'a str),
}

/// The row that every change of users and keys writes. It is not there before the first.
fn accounts_row() -> Vec<u8> {
    Table::Setting.name("accounts")
}

impl Meta {
    /// The state that users and permanent keys are in, to be shown with a change of them: read before what the change
    /// is decided on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn accounts_seen(&self) -> Result<AccountsSeen> {
        Ok(AccountsSeen(self.kv().get(&accounts_row()).await?.map(|row| row.version)))
    }

    /// Changes users and keys in one commit that holds only if nobody else changed any of them since `seen`.
    ///
    /// # Errors
    /// `Conflict` (account) when somebody did; `Unavailable`.
    pub async fn change_accounts(&self, seen: AccountsSeen, changes: &[AccountChange<'_>]) -> Result<()> {
        let row = accounts_row();
        let mut commit = Commit::new().require(match seen.0 {
            Some(version) => Precondition::VersionIs(row.clone(), version),
            None => Precondition::Absent(row.clone()),
        });
        commit = commit.write(Write::Put(row, Bytes::new()));
        for change in changes {
            commit = commit.write(match change {
                AccountChange::PutUser(user) => Write::Put(Table::User.name(&user.uid.0), encode(*user)?),
                AccountChange::DeleteUser(uid) => Write::Delete(Table::User.name(&uid.0)),
                AccountChange::PutKey(key) => {
                    Write::Put(Table::AccessKey.name(&key.id), encode(&StoredKey::seal(key, self.vault()?)?)?)
                }
                AccountChange::DeleteKey(id) => Write::Delete(Table::AccessKey.name(id)),
            });
        }
        match self.kv().commit(commit).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_) => Err(Error::conflict(Subject::Account, "users and keys changed meanwhile")),
        }
    }

    /// An access key.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn key(&self, id: &AccessKeyId) -> Result<Option<KeyRecord>> {
        let stored = self.record::<StoredKey>(&Table::AccessKey.name(id.as_str())).await?;
        stored.map(|stored| stored.value.open(self.vault.as_deref())).transpose()
    }

    /// The access keys after the id `after`, in order.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_keys(&self, after: &str, limit: usize) -> Result<Page<KeyRecord>> {
        let after = Some(Table::AccessKey.name(after));
        let open = |row: &Entry| decode::<StoredKey>(&row.value)?.open(self.vault.as_deref());
        self.page(Table::AccessKey.all(), after, limit, open).await
    }

    /// A user.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn user(&self, uid: &OwnerId) -> Result<Option<UserRecord>> {
        Ok(self.record(&Table::User.name(&uid.0)).await?.map(|stored| stored.value))
    }

    /// The users after the id `after`, in order.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_users(&self, after: &str, limit: usize) -> Result<Page<UserRecord>> {
        self.page(Table::User.all(), Some(Table::User.name(after)), limit, |row| decode(&row.value)).await
    }

    /// Sets a temporary session.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_session(&self, session: &SessionRecord) -> Result<()> {
        let row = encode(&StoredSession::seal(session, self.vault()?)?)?;
        self.kv().commit(Commit::new().write(Write::Put(Table::Session.name(&session.id), row))).await.map(|_| ())
    }

    /// A temporary session, ended or not.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn session(&self, id: &AccessKeyId) -> Result<Option<SessionRecord>> {
        let stored = self.record::<StoredSession>(&Table::Session.name(id.as_str())).await?;
        stored.map(|stored| stored.value.open(self.vault.as_deref())).transpose()
    }

    /// Deletes the keys and sessions of an account or user; the ids of those it were.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn delete_keys_of(&self, uid: &OwnerId) -> Result<Vec<String>> {
        let mut commit = Commit::new();
        let mut ids = Vec::new();
        for row in self.kv().range(&Range::prefix(Table::AccessKey.all())).await? {
            let key: StoredKey = decode(&row.value)?;
            if key.uid == *uid {
                commit = commit.write(Write::Delete(row.key.to_vec()));
                ids.push(key.id);
            }
        }
        for row in self.kv().range(&Range::prefix(Table::Session.all())).await? {
            let session: StoredSession = decode(&row.value)?;
            if session.uid == *uid {
                commit = commit.write(Write::Delete(row.key.to_vec()));
                ids.push(session.id);
            }
        }
        if !ids.is_empty() {
            self.kv().commit(commit).await?;
        }
        Ok(ids)
    }

    /// Remembers until `until_ms` that something happened, unless it is remembered already; whether it was new. However
    /// many servers ask, one of them learns that it was.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn remember_once(&self, what: &[u8; 32], until_ms: i64) -> Result<bool> {
        let row = Table::ReplayGuard.name(what);
        let value = encode(&ReplayGuard { until_ms })?;
        let commit = Commit::new().require(Precondition::Absent(row.clone())).write(Write::Put(row, value));
        Ok(matches!(self.kv().commit(commit).await?, Outcome::Done(_)))
    }

    /// Forgets what was to be remembered until before `now_ms`, `limit` at most; how many it were.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn forget_happened(&self, now_ms: i64, limit: usize) -> Result<usize> {
        let mut commit = Commit::new();
        for row in self.kv().range(&Range::prefix(Table::ReplayGuard.all())).await? {
            if commit.writes.len() < limit && decode::<ReplayGuard>(&row.value)?.until_ms < now_ms {
                commit = commit.write(Write::Delete(row.key.to_vec()));
            }
        }
        let count = commit.writes.len();
        if count > 0 {
            self.kv().commit(commit).await?;
        }
        Ok(count)
    }

    /// Deletes the sessions that ended before `now_ms`, `limit` of them at most; how many it were.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn delete_ended_sessions(&self, now_ms: i64, limit: usize) -> Result<usize> {
        let mut commit = Commit::new();
        for row in self.kv().range(&Range::prefix(Table::Session.all())).await? {
            if commit.writes.len() < limit && decode::<StoredSession>(&row.value)?.expires_ms < now_ms {
                commit = commit.write(Write::Delete(row.key.to_vec()));
            }
        }
        let count = commit.writes.len();
        if count > 0 {
            self.kv().commit(commit).await?;
        }
        Ok(count)
    }

    /// A setting of the installation, in the writing of whoever set it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn setting(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.kv().get(&Table::Setting.name(name)).await?.map(|row| row.value))
    }

    /// Sets a setting unless it is set, and returns what it is now: how several processes agree on a generated value.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn setting_or(&self, name: &str, value: Bytes) -> Result<Bytes> {
        let row = Table::Setting.name(name);
        // It is there at every start but the first, and a map may take no commit.
        if let Some(found) = self.kv().get(&row).await? {
            return Ok(found.value);
        }
        let commit =
            Commit::new().require(Precondition::Absent(row.clone())).write(Write::Put(row.clone(), value.clone()));
        match self.kv().commit(commit).await? {
            Outcome::Done(_) => Ok(value),
            Outcome::Refused(_) => {
                let row = self.kv().get(&row).await?;
                Ok(row.ok_or_else(|| Error::conflict(Subject::Account, name))?.value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fixture;

    fn id(text: &str) -> AccessKeyId {
        AccessKeyId::parse(text).unwrap()
    }

    #[tokio::test]
    async fn keys_users_and_sessions_are_kept() {
        let f = fixture().await;
        let record = |id: &str| KeyRecord {
            id: id.to_owned(),
            secret: "hidden-secret".to_owned(),
            uid: OwnerId("1".to_owned()),
            enabled: true,
            created_ms: 1,
            description: String::new(),
        };
        for name in ["b", "a", "c"] {
            f.change_account(AccountChange::PutKey(&record(name))).await;
        }
        assert_eq!(f.meta.key(&id("b")).await, Ok(Some(record("b"))));
        let page = f.meta.list_keys("a", 1).await.unwrap();
        assert_eq!((page.items, page.is_truncated), (vec![record("b")], true));
        assert_eq!(f.meta.list_keys("", 9).await.unwrap().items.len(), 3);
        f.change_account(AccountChange::DeleteKey("b")).await;
        assert_eq!(f.meta.key(&id("b")).await, Ok(None));
        assert!(!format!("{:?}", record("a")).contains("hidden"));

        let user = UserRecord {
            uid: OwnerId("2".to_owned()),
            name: "anna".to_owned(),
            account: OwnerId("1".to_owned()),
            policies: vec![UserPolicy { name: "p".to_owned(), document: Some("{}".to_owned()) }],
            enabled: false,
            created_ms: 1,
        };
        f.change_account(AccountChange::PutUser(&user)).await;
        assert_eq!(f.meta.user(&user.uid).await, Ok(Some(user.clone())));
        assert_eq!(f.meta.list_users("", 9).await.unwrap().items, vec![user.clone()]);
        f.change_account(AccountChange::DeleteUser(&user.uid)).await;
        assert_eq!(f.meta.user(&user.uid).await, Ok(None));

        for n in 0..5 {
            let session = SessionRecord {
                id: format!("STS.{n}"),
                secret: "hidden".to_owned(),
                token: "t".to_owned(),
                uid: user.uid.clone(),
                policy: None,
                role: None,
                expires_ms: n,
            };
            assert!(!format!("{session:?}").contains("hidden"));
            f.meta.put_session(&session).await.unwrap();
        }
        assert_eq!(f.meta.delete_keys_of(&OwnerId("none".to_owned())).await, Ok(Vec::new()));
        assert_eq!(f.meta.delete_ended_sessions(3, 2).await, Ok(2));
        assert_eq!(f.meta.delete_ended_sessions(3, 2).await, Ok(1));
        assert_eq!(f.meta.delete_ended_sessions(3, 2).await, Ok(0));
        assert_eq!(f.meta.session(&id("STS.3")).await.unwrap().unwrap().expires_ms, 3);
        assert_eq!(f.meta.delete_keys_of(&user.uid).await.unwrap(), ["STS.3", "STS.4"]);
        assert_eq!(f.meta.delete_keys_of(&OwnerId("1".to_owned())).await.unwrap(), ["a", "c"]);
        assert_eq!(f.meta.session(&id("STS.3")).await, Ok(None));
    }

    #[tokio::test]
    async fn what_happened_is_remembered_for_a_while() {
        let f = fixture().await;
        let (one, other) = ([1; 32], [0; 32]);
        assert_eq!(f.meta.remember_once(&one, 10).await, Ok(true));
        assert_eq!(f.meta.remember_once(&one, 99).await, Ok(false));
        assert_eq!(f.meta.remember_once(&other, 20).await, Ok(true));
        assert_eq!(f.meta.forget_happened(10, 9).await, Ok(0));
        assert_eq!(f.meta.forget_happened(11, 9).await, Ok(1));
        assert_eq!(f.meta.remember_once(&one, 30).await, Ok(true));
        assert_eq!(f.meta.remember_once(&other, 30).await, Ok(false));
    }

    #[tokio::test]
    async fn the_first_setting_stays() {
        let f = fixture().await;
        assert_eq!(f.meta.setting("a").await, Ok(None));
        assert_eq!(f.meta.setting_or("a", Bytes::from_static(b"1")).await.unwrap(), "1");
        assert_eq!(f.meta.setting_or("a", Bytes::from_static(b"2")).await.unwrap(), "1");
        assert_eq!(f.meta.setting("a").await.unwrap().unwrap(), "1");
    }
}
