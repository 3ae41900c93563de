//! Where the map and the blobs are: in the data directory, or in engines that several servers share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use store::blob::{BlobStore, S3Address, S3Blobs, S3Options};
use store::kv::postgres::Password;
use store::kv::{Kv, PostgresAddress, PostgresKv, PostgresOptions};
use store::meta::Meta;

use crate::clock::Clock;
use crate::config::{Config, Durability, StorageConfig};
use crate::metrics::TimedKv;
use crate::stores::{self, Missing, Stores};
use crate::{data_dir, root_key, secrets};

/// Where a server keeps things. What is `None` is in its data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    meta: Option<PostgresAddress>,
    blobs: Option<S3Address>,
}

impl Places {
    /// Those of a configuration.
    ///
    /// # Errors
    /// When an address is not one, or holds a secret that it must not.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        // The detail alone: the rest of an error is about engines.
        let meta = given(&config.meta).map(|text| PostgresAddress::parse(&text)).transpose();
        let blobs = given(&config.blobs).map(|text| S3Address::parse(&text)).transpose();
        Ok(Self {
            meta: meta.map_err(|error| anyhow::anyhow!("`meta`: {}", error.detail))?,
            blobs: blobs.map_err(|error| anyhow::anyhow!("`blobs`: {}", error.detail))?,
        })
    }

    /// Whether everything is in the data directory.
    pub(crate) fn are_local(&self) -> bool {
        *self == Self::default()
    }

    /// Whether other servers may use the same map.
    pub(crate) fn has_shared_map(&self) -> bool {
        self.meta.is_some()
    }

    /// Where on this machine bytes are written: blobs, or what waits to be put elsewhere.
    pub(crate) fn local_folder(&self, data_dir: &Path) -> PathBuf {
        if self.blobs.is_some() { data_dir.to_owned() } else { data_dir.join(data_dir::BLOBS) }
    }

    /// Refuses what would set servers of one installation apart from each other.
    ///
    /// # Errors
    /// What is missing, and where it goes.
    pub(crate) fn check_secrets(&self, secrets_key_file: Option<&Path>) -> anyhow::Result<()> {
        if !self.has_shared_map() {
            return Ok(());
        }
        ensure!(
            is_set(root_key::ID_VARIABLE) && is_set(root_key::SECRET_VARIABLE),
            "servers that share a map have one root key: set {} and {} to the same on each",
            root_key::ID_VARIABLE,
            root_key::SECRET_VARIABLE
        );
        ensure!(
            secrets_key_file.is_some() || is_set(secrets::VARIABLE),
            "servers that share a map seal secrets with one key: set {} to the same 64 hex digits on each, such as those of \
             `openssl rand -hex 32`, or name a file with it by --secrets-key-file",
            secrets::VARIABLE
        );
        Ok(())
    }

    /// Opens the stores. What is local lies below `data_dir`, and so do the spool and the cache of what is not.
    ///
    /// # Errors
    /// As [`stores::open_stores`], and when an engine does not answer or was not prepared.
    pub(crate) async fn open(
        &self,
        data_dir: &Path,
        storage: &StorageConfig,
        missing: Missing,
        clock: &Clock,
    ) -> anyhow::Result<Stores> {
        if self.are_local() {
            return stores::open_stores_at(data_dir, storage.durability, missing, clock);
        }
        self.check_data_dir(data_dir)?;
        data_dir::close_to_others(data_dir)?;
        let lock = stores::lock(data_dir)?;
        let clock = clock.for_stores();
        let blobs: Arc<dyn BlobStore> = match &self.blobs {
            Some(address) => {
                let options = S3Options {
                    durability: stores::durability(storage.durability),
                    cache_bytes: storage.cache_mib << 20,
                    ..S3Options::default()
                };
                let opened = S3Blobs::open(address, data_dir, stores::blob_ids(&clock), options).await;
                tracing::info!(blobs = %address, "blobs are on an S3-compatible store");
                Arc::new(opened.with_context(|| format!("cannot open the blobs in {address}"))?)
            }
            None => Arc::new(stores::open_files(data_dir, storage.durability, &clock)?),
        };
        let kv: Arc<dyn Kv> = match &self.meta {
            Some(address) => {
                let opened = PostgresKv::open(address, &options(address, storage.durability)).await;
                tracing::info!(meta = %address, "the map is in PostgreSQL");
                Arc::new(opened.with_context(|| format!("cannot open the map in {address}"))?)
            }
            None => {
                let must_exist = missing == Missing::Refuse || data_dir.join(data_dir::INSTANCE).exists();
                Arc::new(stores::open_map(data_dir, storage.durability, must_exist, None, &clock)?)
            }
        };
        Ok(Stores { meta: Meta::new(Arc::new(TimedKv::new(kv)), clock), blobs, lock })
    }

    /// Makes what is shared ready for use, and says what was done.
    ///
    /// # Errors
    /// When an engine does not answer or does not allow it.
    pub(crate) async fn prepare(&self, data_dir: &Path) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        if let Some(address) = &self.meta {
            let prepared = store::kv::postgres::prepare(address, &options(address, Durability::Full)).await;
            let prepared = prepared.with_context(|| format!("cannot prepare the map in {address}"))?;
            done.push(match prepared {
                store::kv::postgres::Prepared::Made => format!("made the map in {address}"),
                store::kv::postgres::Prepared::AlreadyThere => format!("the map in {address} is there, and up to date"),
            });
        }
        if let Some(address) = &self.blobs {
            data_dir::make(data_dir)?;
            let ids = stores::blob_ids(&store::clock::Clock::system());
            let blobs = S3Blobs::open(address, &data_dir.join("probe"), ids, S3Options::default()).await;
            let probed = match blobs {
                Ok(blobs) => blobs.probe().await,
                Err(error) => Err(error),
            };
            let _ = std::fs::remove_dir_all(data_dir.join("probe"));
            probed.with_context(|| format!("cannot use {address}; its bucket is to be made by you"))?;
            done.push(format!("{address} takes, returns and deletes bytes"));
        }
        if done.is_empty() {
            done.push(
                "nothing to do: the map and the blobs are in the data directory, which a server makes itself"
                    .to_owned(),
            );
        }
        Ok(done)
    }

    /// Refuses a data directory that has an installation of its own in it, which a server would silently not serve.
    fn check_data_dir(&self, data_dir: &Path) -> anyhow::Result<()> {
        if self.meta.is_some() && data_dir::has_metadata(data_dir)? {
            bail!(
                "{0} has a map of its own ({1}), which a server with `meta` elsewhere would not serve; use another --data-dir",
                data_dir.display(),
                data_dir::METADATA
            );
        }
        Ok(())
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn options(address: &PostgresAddress, durability: Durability) -> PostgresOptions {
    let mut options = PostgresOptions::new(stores::randomness());
    options.password = Password::find(address);
    options.durability = stores::durability(durability);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(meta: &str, blobs: &str) -> anyhow::Result<Places> {
        Places::of(&Config { meta: Some(meta.to_owned()), blobs: Some(blobs.to_owned()), ..Config::default() })
    }

    #[test]
    fn addresses_are_read_and_secrets_are_not_repeated() {
        assert!(places("", "").unwrap().are_local());
        assert!(places("postgres://u@h/d", "s3://b").unwrap().has_shared_map());
        for (meta, blobs) in [("postgres://u:s3cret@h/d", ""), ("", "s3://k:s3cret@b")] {
            let error = format!("{:#}", places(meta, blobs).unwrap_err());
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
