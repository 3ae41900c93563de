//! The key that secrets at rest are sealed with (OSS auth 1): from a variable, or a file that is made at the first start.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use store::meta::Meta;
use store::vault::Vault;

/// The variable that holds the key itself, for servers that share one.
pub(crate) const VARIABLE: &str = "MILLPOND_SECRETS_KEY";
/// The file below the data directory that keeps a key that was made.
pub(crate) const FILE: &str = "secrets.key";

/// Where the key is.
pub(crate) struct KeySource {
    path: PathBuf,
    /// Whether the path was chosen rather than the default one.
    is_chosen: bool,
    in_environment: Option<String>,
}

impl KeySource {
    /// The variable, else the file of the settings, else the file below the data directory.
    pub(crate) fn new(data_dir: &Path, file: Option<&Path>) -> Self {
        let in_environment = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        Self {
            path: file.map_or_else(|| data_dir.join(FILE), Path::to_owned),
            is_chosen: file.is_some(),
            in_environment,
        }
    }

    /// Gives the store what opens its secrets, and seals those that still lie open. Without a key, one is made, unless
    /// there are secrets that it could not open.
    ///
    /// # Errors
    /// When the key is missing, unreadable, or not the one that the secrets were sealed with.
    pub(crate) async fn unlock(&self, meta: Meta) -> anyhow::Result<Meta> {
        let key = match self.find()? {
            Some(key) => key,
            None if meta.has_sealed_secrets().await? => bail!("{}", self.missing()),
            None => self.make()?,
        };
        let meta = meta.with_vault(Vault::new(&key)?);
        self.prove(&meta).await?;
        let sealed = meta.seal_secrets().await?;
        if sealed > 0 {
            tracing::info!(rows = sealed, "secrets that lay open in the store were sealed");
        }
        Ok(meta)
    }

    /// As [`KeySource::unlock`], without making or changing anything: with what is there.
    ///
    /// # Errors
    /// As [`KeySource::unlock`].
    pub(crate) async fn open(&self, meta: Meta) -> anyhow::Result<Meta> {
        let key = self.find()?;
        let Some(key) = key else {
            return if meta.has_sealed_secrets().await? { bail!("{}", self.missing()) } else { Ok(meta) };
        };
        let is_sealed = meta.has_sealed_secrets().await?;
        let meta = meta.with_vault(Vault::new(&key)?);
        if is_sealed {
            self.prove(&meta).await?;
        }
        Ok(meta)
    }

    async fn prove(&self, meta: &Meta) -> anyhow::Result<()> {
        match meta.prove_vault().await {
            Ok(()) => Ok(()),
            Err(error) if error.kind == store::ErrorKind::Corrupt => bail!(
                "the key in {} is not the one that the secrets of users and sessions were sealed with; put the right one \
                 there, from the backup of this data directory",
                self.shown()
            ),
            Err(error) => Err(error.into()),
        }
    }

    fn shown(&self) -> String {
        match self.in_environment {
            Some(_) => VARIABLE.to_owned(),
            None => self.path.display().to_string(),
        }
    }

    fn missing(&self) -> String {
        format!(
            "the key that the secrets of users and sessions were sealed with is not in {}; put it back from your backup, \
             or set {VARIABLE}",
            self.path.display()
        )
    }

    fn find(&self) -> anyhow::Result<Option<[u8; Vault::KEY_BYTES]>> {
        let is_wrong = || format!("the key in {} is not {} hex digits", self.shown(), Vault::KEY_BYTES * 2);
        if let Some(text) = &self.in_environment {
            return parse(text).with_context(is_wrong).map(Some);
        }
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        };
        if std::fs::metadata(&self.path)?.permissions().mode() & 0o077 != 0 && !self.is_chosen {
            tracing::warn!(file = %self.path.display(), "others may read the key of the secrets; run chmod 600 on it");
        }
        parse(&text).with_context(is_wrong).map(Some)
    }

    /// Makes a key and keeps it, whole and durable before anything is sealed with it. Of several servers that do so at
    /// once for one file, one key wins.
    fn make(&self) -> anyhow::Result<[u8; Vault::KEY_BYTES]> {
        let key = crate::ids::random();
        let kept = || format!("cannot keep the key of the secrets in {}", self.path.display());
        let draft = self.path.with_extension(format!("draft-{}", model::hex_upper(&crate::ids::random::<4>())));
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).with_context(kept)?;
        writeln!(file, "{}", model::hex_upper(&key)).with_context(kept)?;
        if let Err(error) = file.sync_all() {
            let _ = std::fs::remove_file(&draft);
            return Err(error).with_context(kept);
        }
        // Unlike a renamed file, a link never takes the place of one that is there.
        let linked = std::fs::hard_link(&draft, &self.path);
        std::fs::remove_file(&draft).with_context(kept)?;
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return self.find()?.with_context(kept),
            linked => linked.with_context(kept)?,
        }
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(kept)?;
        }
        Ok(key)
    }
}

fn parse(text: &str) -> Option<[u8; Vault::KEY_BYTES]> {
    let digits = text.trim().as_bytes();
    let mut key = [0; Vault::KEY_BYTES];
    if digits.len() != key.len() * 2 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::kv::MemoryKv;

    use super::*;

    fn meta() -> Meta {
        let clock = store::clock::Clock::system();
        Meta::new(Arc::new(MemoryKv::new(clock.clone())), clock)
    }

    fn source(path: &Path) -> KeySource {
        KeySource { path: path.to_owned(), is_chosen: false, in_environment: None }
    }

    #[tokio::test]
    async fn a_key_is_made_once_and_needed_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let meta = meta();
        // Reading alone makes nothing.
        source(&path).open(meta.clone()).await.unwrap();
        assert!(!path.exists());
        source(&path).unlock(meta.clone()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        source(&path).unlock(meta.clone()).await.unwrap();
        source(&path).open(meta.clone()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

        std::fs::remove_file(&path).unwrap();
        for refused in [source(&path).unlock(meta.clone()).await, source(&path).open(meta.clone()).await] {
            assert!(refused.unwrap_err().to_string().contains("put it back from your backup"));
        }
        assert!(!path.exists(), "no other key may take the place of the one that is missing");
        std::fs::write(&path, "11".repeat(32)).unwrap();
        for refused in [source(&path).unlock(meta.clone()).await, source(&path).open(meta.clone()).await] {
            assert!(refused.unwrap_err().to_string().contains("is not the one"));
        }
        std::fs::write(&path, "short").unwrap();
        assert!(source(&path).unlock(meta.clone()).await.unwrap_err().to_string().contains("64 hex digits"));
        let only = source(&path).make().unwrap_err();
        assert!(only.to_string().contains("64 hex digits"), "{only:#}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no drafts are left");
        let shared = KeySource { in_environment: Some(text), ..source(&path) };
        shared.unlock(meta).await.unwrap();
    }

    #[test]
    fn keys_are_hex() {
        assert_eq!(parse(&format!(" {}\n", "aF".repeat(32))), Some([0xaf; 32]));
        for text in ["", "aF", &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
