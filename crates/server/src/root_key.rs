//! The root account's access key: from the variables that the SDK examples read, or generated once and kept in the
//! data directory (D16).

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use model::OwnerId;
use model::name::AccessKeyId;
use oss::sign::SecretKey;
use serde::{Deserialize, Serialize};

/// The variable that holds the id.
pub(crate) const ID_VARIABLE: &str = "OSS_ACCESS_KEY_ID";
/// The variable that holds the secret.
pub(crate) const SECRET_VARIABLE: &str = "OSS_ACCESS_KEY_SECRET";
/// The file below the data directory that keeps a generated key.
pub(crate) const FILE: &str = "root-key.json";
/// The account that owns everything in this release (HTTP API 5.4).
const ROOT_OWNER: &str = "1000000000000001";

/// The root account and its key.
#[derive(Debug, Clone)]
pub(crate) struct RootKey {
    /// The account.
    pub(crate) owner: OwnerId,
    /// The id of its key.
    pub(crate) id: AccessKeyId,
    /// The secret of its key.
    pub(crate) secret: SecretKey,
    /// Whether the key was made just now, so that it has to be shown.
    pub(crate) is_new: bool,
    /// The secret as text, kept only while a new key has to be shown or a signature made on the command line.
    pub(crate) text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    access_key_id: String,
    access_key_secret: String,
}

impl RootKey {
    /// The pair of the environment, else the pair kept below `data_dir`, else a new pair that is kept there.
    ///
    /// # Errors
    /// When only one of the variables is set, the pair is not legal, or the file cannot be read or written.
    pub(crate) fn obtain(data_dir: &Path) -> anyhow::Result<Self> {
        match Self::from_environment()? {
            Some(key) => Ok(key),
            None => match Self::kept(data_dir)? {
                Some(key) => Ok(key),
                None => Self::generate(data_dir),
            },
        }
    }

    /// The pair of the environment, else the pair kept below `data_dir`: for commands that sign.
    ///
    /// # Errors
    /// As [`RootKey::obtain`], and when there is no pair at all.
    pub(crate) fn find(data_dir: &Path) -> anyhow::Result<Self> {
        if let Some(key) = Self::from_environment()? {
            return Ok(key);
        }
        Self::kept(data_dir)?.with_context(|| {
            format!(
                "no access key: set {ID_VARIABLE} and {SECRET_VARIABLE}, or point --data-dir at the folder of a server \
                 that has started once (looked in {})",
                data_dir.display()
            )
        })
    }

    /// Where the secret of the key can be read, for people.
    pub(crate) fn place_of_secret(data_dir: &Path) -> String {
        match Self::from_environment() {
            Ok(Some(_)) => format!("from {SECRET_VARIABLE}"),
            _ => format!("in {}", data_dir.join(FILE).display()),
        }
    }

    fn from_environment() -> anyhow::Result<Option<Self>> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        match (variable(ID_VARIABLE), variable(SECRET_VARIABLE)) {
            (Some(id), Some(secret)) => Self::new(&id, secret, false).map(Some),
            (None, None) => Ok(None),
            _ => bail!("set both {ID_VARIABLE} and {SECRET_VARIABLE}, or neither"),
        }
    }

    fn kept(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mode = std::fs::metadata(&path)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others may read the root key; run chmod 600 on it");
        }
        let kept: Kept = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Self::new(&kept.access_key_id, kept.access_key_secret, false).map(Some)
    }

    fn generate(data_dir: &Path) -> anyhow::Result<Self> {
        let (id, secret) = (crate::ids::access_key_id(), crate::ids::secret());
        let text =
            serde_json::to_string_pretty(&Kept { access_key_id: id.clone(), access_key_secret: secret.clone() })?;
        let path = data_dir.join(FILE);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot keep the root key in {}", path.display()))?;
        let kept = writeln!(file, "{text}").and_then(|()| file.sync_all());
        let kept = kept.and_then(|()| std::fs::File::open(data_dir)?.sync_all());
        if let Err(error) = kept {
            // The next start must not find, and believe, what may be gone after a power cut (D29).
            let _ = std::fs::remove_file(&path);
            return Err(error).with_context(|| format!("cannot keep the root key in {}", path.display()));
        }
        Self::new(&id, secret, true)
    }

    fn new(id: &str, secret: String, is_new: bool) -> anyhow::Result<Self> {
        let id =
            AccessKeyId::parse(id).map_err(|error| anyhow::anyhow!("{ID_VARIABLE} is no access key id: {error}"))?;
        if secret.len() > 128 {
            bail!("{SECRET_VARIABLE} is longer than 128 bytes");
        }
        Ok(Self {
            owner: OwnerId(ROOT_OWNER.to_owned()),
            id,
            secret: SecretKey::new(secret.clone()),
            is_new,
            text: secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_kept_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(RootKey::kept(folder.path()).unwrap().is_none());
        let made = RootKey::generate(folder.path()).unwrap();
        assert!(made.is_new);
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = RootKey::kept(folder.path()).unwrap().unwrap();
        assert_eq!((found.id, found.text, found.is_new), (made.id, made.text, false));
    }
}
