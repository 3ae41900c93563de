//! How access keys and sessions are written down: with their secrets sealed (OSS auth 1). Rows of version 1 held them
//! in clear; they are still read, and sealed by [`Meta::seal_secrets`].

use std::sync::Arc;

use bytes::Bytes;
use model::OwnerId;
use serde::{Deserialize, Serialize};

use super::Meta;
use super::account::{KeyRecord, SessionRecord, SessionRole};
use super::key::Table;
use crate::error::{Error, Result, Subject};
use crate::kv::{Commit, Outcome, Precondition, Range, Write};
use crate::record::{Record, decode, encode};
use crate::vault::Vault;

/// The setting whose value was sealed with the key of this installation.
const PROOF: &str = "secrets-proof";
/// What it says.
const PROOF_TEXT: &str = "millpond";

/// A secret as it lies in a row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret {
    sealed: Bytes,
    /// Of rows of version 1 only; never written.
    #[serde(skip)]
    clear: Option<String>,
}

impl Secret {
    fn clear(text: String) -> Self {
        Self { sealed: Bytes::new(), clear: Some(text) }
    }

    fn is_clear(&self) -> bool {
        self.clear.is_some()
    }
}

/// An access key as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredKey {
    pub(crate) id: String,
    pub(crate) uid: OwnerId,
    secret: Secret,
    enabled: bool,
    created_ms: i64,
    #[serde(default)]
    description: String,
}

/// A session as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSession {
    pub(crate) id: String,
    pub(crate) uid: OwnerId,
    secret: Secret,
    token: Secret,
    policy: Option<String>,
    #[serde(default)]
    role: Option<SessionRole>,
    pub(crate) expires_ms: i64,
}

#[derive(Deserialize)]
struct KeyVersion1 {
    id: String,
    secret: String,
    uid: OwnerId,
    enabled: bool,
    created_ms: i64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct SessionVersion1 {
    id: String,
    secret: String,
    token: String,
    uid: OwnerId,
    policy: Option<String>,
    #[serde(default)]
    role: Option<SessionRole>,
    expires_ms: i64,
}

fn version_1<'b, T: Deserialize<'b>>(version: u8, body: &'b [u8]) -> Result<T> {
    if version != 1 {
        let detail = format!("a record of version {version}, which this program cannot read");
        return Err(Error::corrupt(Subject::Account, detail));
    }
    rmp_serde::from_slice(body).map_err(|error| Error::corrupt(Subject::Account, error))
}

impl Record for StoredKey {
    const SUBJECT: Subject = Subject::Account;
    const VERSION: u8 = 2;

    fn migrate(version: u8, body: &[u8]) -> Result<Self> {
        let KeyVersion1 { id, secret, uid, enabled, created_ms, description } = version_1(version, body)?;
        Ok(Self { id, uid, secret: Secret::clear(secret), enabled, created_ms, description })
    }
}

impl Record for StoredSession {
    const SUBJECT: Subject = Subject::Account;
    const VERSION: u8 = 2;

    fn migrate(version: u8, body: &[u8]) -> Result<Self> {
        let SessionVersion1 { id, secret, token, uid, policy, role, expires_ms } = version_1(version, body)?;
        Ok(Self { id, uid, secret: Secret::clear(secret), token: Secret::clear(token), policy, role, expires_ms })
    }
}

fn place_of_key(id: &str) -> String {
    format!("key {id}")
}

fn place_of_session(id: &str) -> String {
    format!("session {id}")
}

fn place_of_token(id: &str) -> String {
    format!("token {id}")
}

impl StoredKey {
    pub(crate) fn seal(key: &KeyRecord, vault: &Vault) -> Result<Self> {
        let KeyRecord { id, secret, uid, enabled, created_ms, description } = key.clone();
        let secret = seal(vault, &place_of_key(&id), &secret)?;
        Ok(Self { id, uid, secret, enabled, created_ms, description })
    }

    pub(crate) fn open(self, vault: Option<&Vault>) -> Result<KeyRecord> {
        let Self { id, uid, secret, enabled, created_ms, description } = self;
        let secret = open(vault, &place_of_key(&id), secret)?;
        Ok(KeyRecord { id, secret, uid, enabled, created_ms, description })
    }
}

impl StoredSession {
    pub(crate) fn seal(session: &SessionRecord, vault: &Vault) -> Result<Self> {
        let SessionRecord { id, secret, token, uid, policy, role, expires_ms } = session.clone();
        let secret = seal(vault, &place_of_session(&id), &secret)?;
        let token = seal(vault, &place_of_token(&id), &token)?;
        Ok(Self { id, uid, secret, token, policy, role, expires_ms })
    }

    pub(crate) fn open(self, vault: Option<&Vault>) -> Result<SessionRecord> {
        let Self { id, uid, secret, token, policy, role, expires_ms } = self;
        let secret = open(vault, &place_of_session(&id), secret)?;
        let token = open(vault, &place_of_token(&id), token)?;
        Ok(SessionRecord { id, secret, token, uid, policy, role, expires_ms })
    }
}

fn seal(vault: &Vault, place: &str, text: &str) -> Result<Secret> {
    Ok(Secret { sealed: vault.seal(place, text)?, clear: None })
}

fn open(vault: Option<&Vault>, place: &str, secret: Secret) -> Result<String> {
    match (secret.clear, vault) {
        (Some(text), _) => Ok(text),
        (None, Some(vault)) => vault.open(place, &secret.sealed),
        (None, None) => Err(no_vault()),
    }
}

fn no_vault() -> Error {
    Error::unavailable(Subject::Account, "secrets are sealed, and the key that opens them is not here")
}

impl Meta {
    /// Seals and opens secrets with this vault. Without one they can be neither written nor read.
    #[must_use]
    pub fn with_vault(mut self, vault: Vault) -> Self {
        self.vault = Some(Arc::new(vault));
        self
    }

    pub(crate) fn vault(&self) -> Result<&Vault> {
        self.vault.as_deref().ok_or_else(no_vault)
    }

    /// Whether secrets of this map were sealed with any key yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_sealed_secrets(&self) -> Result<bool> {
        Ok(self.setting(PROOF).await?.is_some())
    }

    /// Makes sure that this vault has the key of the map; the first one whose vault is shown decides which that is.
    ///
    /// # Errors
    /// `Corrupt` when the map was sealed with another key; `Unavailable`.
    pub async fn prove_vault(&self) -> Result<()> {
        let vault = self.vault()?;
        let proof = self.setting_or(PROOF, vault.seal(PROOF, PROOF_TEXT)?).await?;
        vault.open(PROOF, &proof).map(|_| ())
    }

    /// Seals what rows of version 1 hold in clear; how many rows it were.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn seal_secrets(&self) -> Result<usize> {
        let vault = self.vault()?;
        let mut count = 0;
        for table in [Table::AccessKey, Table::Session] {
            for row in self.kv().range(&Range::prefix(table.all())).await? {
                let sealed = if table == Table::AccessKey {
                    let key: StoredKey = decode(&row.value)?;
                    if !key.secret.is_clear() {
                        continue;
                    }
                    encode(&StoredKey::seal(&key.open(None)?, vault)?)?
                } else {
                    let session: StoredSession = decode(&row.value)?;
                    if !session.secret.is_clear() {
                        continue;
                    }
                    encode(&StoredSession::seal(&session.open(None)?, vault)?)?
                };
                // Who changed the row meanwhile has sealed it.
                let commit = Commit::new()
                    .require(Precondition::VersionIs(row.key.to_vec(), row.version))
                    .write(Write::Put(row.key.to_vec(), sealed));
                count += usize::from(matches!(self.kv().commit(commit).await?, Outcome::Done(_)));
            }
        }
        Ok(count)
    }
}

/// Whether the secrets of a row can be opened; rows that cannot be read at all are another matter.
pub(crate) fn can_open_key(value: &[u8], vault: Option<&Vault>) -> Result<bool> {
    Ok(decode::<StoredKey>(value)?.open(vault).is_ok())
}

/// As [`can_open_key`].
pub(crate) fn can_open_session(value: &[u8], vault: Option<&Vault>) -> Result<bool> {
    Ok(decode::<StoredSession>(value)?.open(vault).is_ok())
}

#[cfg(test)]
mod tests {
    use model::name::AccessKeyId;
    use serde::Serialize;

    use super::super::account::AccountChange;
    use super::*;
    use crate::ErrorKind;
    use crate::fixture::fixture;

    /// A key as version 1 wrote it.
    #[derive(Serialize)]
    struct OldKey {
        id: &'static str,
        secret: &'static str,
        uid: &'static str,
        enabled: bool,
        created_ms: i64,
    }

    #[derive(Serialize)]
    struct OldSession {
        id: &'static str,
        secret: &'static str,
        token: &'static str,
        uid: &'static str,
        policy: Option<&'static str>,
        expires_ms: i64,
    }

    fn version_1_row(value: &impl Serialize) -> Bytes {
        let mut bytes = vec![1];
        rmp_serde::encode::write_named(&mut bytes, value).unwrap();
        bytes.into()
    }

    async fn holds(meta: &Meta, text: &str) -> bool {
        let rows = meta.kv().range(&Range::prefix(Vec::new())).await.unwrap();
        rows.iter().any(|row| row.value.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    #[tokio::test]
    async fn rows_of_version_1_are_read_and_sealed() {
        let f = fixture().await;
        let key = OldKey { id: "AK", secret: "hush-key", uid: "1", enabled: true, created_ms: 7 };
        let session = OldSession {
            id: "STS.A",
            secret: "hush-session",
            token: "hush-token",
            uid: "1",
            policy: None,
            expires_ms: 9,
        };
        let commit = Commit::new()
            .write(Write::Put(Table::AccessKey.name("AK"), version_1_row(&key)))
            .write(Write::Put(Table::Session.name("STS.A"), version_1_row(&session)));
        f.meta.kv().commit(commit).await.unwrap();
        let (key_id, session_id) = (AccessKeyId::parse("AK").unwrap(), AccessKeyId::parse("STS.A").unwrap());
        let key = f.meta.key(&key_id).await.unwrap().unwrap();
        let session = f.meta.session(&session_id).await.unwrap().unwrap();
        assert_eq!((key.secret.as_str(), key.created_ms), ("hush-key", 7));
        assert_eq!((session.secret.as_str(), session.token.as_str()), ("hush-session", "hush-token"));
        assert!(holds(&f.meta, "hush").await);
        assert_eq!(f.meta.seal_secrets().await, Ok(2));
        assert!(!holds(&f.meta, "hush").await);
        assert_eq!(f.meta.key(&key_id).await, Ok(Some(key)));
        assert_eq!(f.meta.session(&session_id).await, Ok(Some(session)));
        assert_eq!(f.meta.seal_secrets().await, Ok(0));
        let strange = Commit::new().write(Write::Put(Table::AccessKey.name("AK"), Bytes::from_static(b"\x09\x80")));
        f.meta.kv().commit(strange).await.unwrap();
        assert_eq!(f.meta.key(&key_id).await.unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn the_first_key_is_the_one_for_ever() {
        let f = fixture().await;
        let bare = Meta { vault: None, ..f.meta.clone() };
        assert!(!bare.has_sealed_secrets().await.unwrap());
        assert_eq!(bare.prove_vault().await.unwrap_err().kind, ErrorKind::Unavailable);
        f.meta.prove_vault().await.unwrap();
        assert!(bare.has_sealed_secrets().await.unwrap());
        f.meta.prove_vault().await.unwrap();
        let other = f.meta.clone().with_vault(Vault::new(&[9; 32]).unwrap());
        assert_eq!(other.prove_vault().await.unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn a_sealed_secret_opens_in_its_own_row_only() {
        let f = fixture().await;
        let record = KeyRecord {
            id: "AK".to_owned(),
            secret: "hush".to_owned(),
            uid: OwnerId("1".to_owned()),
            enabled: true,
            created_ms: 1,
            description: String::new(),
        };
        f.change_account(AccountChange::PutKey(&record)).await;
        let mut stolen: StoredKey =
            decode(&f.meta.kv().get(&Table::AccessKey.name("AK")).await.unwrap().unwrap().value).unwrap();
        stolen.id = "MINE".to_owned();
        let commit = Commit::new().write(Write::Put(Table::AccessKey.name("MINE"), encode(&stolen).unwrap()));
        f.meta.kv().commit(commit).await.unwrap();
        assert_eq!(f.meta.key(&AccessKeyId::parse("MINE").unwrap()).await.unwrap_err().kind, ErrorKind::Corrupt);
    }
}
