//! Where the map and the blobs are: in the data directory, or in engines that several servers share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use store::blob::{S3Address, S3Blobs, S3Options, TakeBlobs};
use store::kv::postgres::{LAYOUT, Password};
use store::kv::{Kv, PostgresAddress, PostgresKv, PostgresOptions};
use store::meta::Meta;
use store::meta::peer::Process;
use store::probe::Seen;

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
        Self::at(config.meta.as_deref(), config.blobs.as_deref())
    }

    /// Those with these addresses; empty ones are none.
    ///
    /// # Errors
    /// As [`Places::of`].
    pub(crate) fn at(meta: Option<&str>, blobs: Option<&str>) -> anyhow::Result<Self> {
        // The detail alone: the rest of an error is about engines.
        let meta = meta.filter(|text| !text.is_empty()).map(PostgresAddress::parse).transpose();
        let blobs = blobs.filter(|text| !text.is_empty()).map(S3Address::parse).transpose();
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

    /// Whether the blobs are on an S3-compatible store.
    pub(crate) fn has_shared_blobs(&self) -> bool {
        self.blobs.is_some()
    }

    /// The places in words, without secrets.
    pub(crate) fn shown(&self, data_dir: &Path) -> String {
        let here = |name: &str| data_dir.join(name).display().to_string();
        let meta = self.meta.as_ref().map_or_else(|| here(data_dir::METADATA), ToString::to_string);
        let blobs = self.blobs.as_ref().map_or_else(|| here(data_dir::BLOBS), ToString::to_string);
        format!("{meta} and {blobs}")
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
    /// As [`stores::open_stores_at`], and when an engine does not answer or was not prepared.
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
        let blobs = self.open_blobs(data_dir, storage, &clock).await?;
        let kv = self.open_kv(data_dir, storage.durability, missing, &clock).await?;
        Ok(Stores { meta: Meta::new(Arc::new(TimedKv::new(kv)), clock), blobs, lock })
    }

    async fn open_blobs(
        &self,
        data_dir: &Path,
        storage: &StorageConfig,
        clock: &store::clock::Clock,
    ) -> anyhow::Result<Arc<dyn TakeBlobs>> {
        let Some(address) = &self.blobs else {
            return Ok(Arc::new(stores::open_files(data_dir, storage.durability, clock)?));
        };
        let options = S3Options {
            durability: stores::durability(storage.durability),
            cache_bytes: storage.cache_mib << 20,
            tails_every: Duration::from_millis(storage.tail_ms),
            ..S3Options::default()
        };
        let opened = S3Blobs::open(address, data_dir, stores::blob_ids(clock), options).await;
        tracing::info!(blobs = %address, "blobs are on an S3-compatible store");
        Ok(Arc::new(opened.with_context(|| format!("cannot open the blobs in {address}"))?))
    }

    async fn open_kv(
        &self,
        data_dir: &Path,
        durability: Durability,
        missing: Missing,
        clock: &store::clock::Clock,
    ) -> anyhow::Result<Arc<dyn Kv>> {
        if self.meta.is_some() {
            return self.open_shared_kv(durability).await;
        }
        let must_exist = missing == Missing::Refuse || data_dir.join(data_dir::INSTANCE).exists();
        Ok(Arc::new(stores::open_map(data_dir, durability, must_exist, None, clock)?))
    }

    /// The map that servers share, for whoever needs nothing else.
    ///
    /// # Errors
    /// When there is none, it does not answer, or it was not prepared.
    pub(crate) async fn open_shared_kv(&self, durability: Durability) -> anyhow::Result<Arc<dyn Kv>> {
        let address = self.shared_map()?;
        let opened = PostgresKv::open(address, &options(address, durability)).await;
        tracing::info!(meta = %address, "the map is in PostgreSQL");
        Ok(Arc::new(opened.with_context(|| format!("cannot open the map in {address}"))?))
    }

    fn shared_map(&self) -> anyhow::Result<&PostgresAddress> {
        self.meta.as_ref().context("this is about a map in PostgreSQL: name it with --meta postgres://…")
    }

    /// Makes the map in PostgreSQL read-only, or ends that.
    ///
    /// # Errors
    /// When it is not in PostgreSQL, or that does not answer or does not allow it.
    pub(crate) async fn set_read_only(&self, is_read_only: bool) -> anyhow::Result<()> {
        let address = self.shared_map()?;
        let options = options(address, Durability::Full);
        let done = match is_read_only {
            true => store::kv::postgres::make_read_only(address, &options, store::moving::OF_PROCESSES).await,
            false => store::kv::postgres::make_writable(address, &options).await,
        };
        done.with_context(|| format!("cannot change who may write to the map in {address}; its owner can"))
    }

    /// A number that stays the same while the map in PostgreSQL is read-only.
    ///
    /// # Errors
    /// As [`Places::set_read_only`].
    pub(crate) async fn read_only_mark(&self) -> anyhow::Result<Option<u32>> {
        let address = self.shared_map()?;
        Ok(store::kv::postgres::read_only_mark(address, &options(address, Durability::Full)).await?)
    }

    /// Tries the shared engines; what was tried of which, and what was seen.
    ///
    /// # Errors
    /// When one cannot be asked at all.
    pub(crate) async fn probe(&self) -> anyhow::Result<Vec<(String, Vec<Seen>)>> {
        let clock = store::clock::Clock::system();
        let mut seen = Vec::new();
        if let Some(address) = &self.meta {
            let probed = store::kv::postgres::probe(address, &options(address, Durability::Full), &clock).await;
            seen.push((address.to_string(), probed.with_context(|| format!("cannot ask {address}"))?));
        }
        if let Some(address) = &self.blobs {
            let probed = store::blob::s3::probe(address, &stores::randomness(), &clock).await;
            seen.push((address.to_string(), probed.with_context(|| format!("cannot ask {address}"))?));
        }
        Ok(seen)
    }

    /// Makes what is shared ready for use, and says what was done.
    ///
    /// # Errors
    /// When an engine does not answer or does not allow it.
    pub(crate) async fn prepare(&self, data_dir: &Path) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        if self.has_shared_map() {
            done.push(self.prepare_map().await?);
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

    /// Makes the map in PostgreSQL, if it is not there, and says what was done.
    ///
    /// # Errors
    /// When it does not answer or does not allow it.
    pub(crate) async fn prepare_map(&self) -> anyhow::Result<String> {
        let address = self.shared_map()?;
        let prepared = store::kv::postgres::prepare(address, &options(address, Durability::Full)).await;
        Ok(match prepared.with_context(|| format!("cannot prepare the map in {address}"))? {
            store::kv::postgres::Prepared::Made => format!("made the map in {address}"),
            store::kv::postgres::Prepared::AlreadyThere => format!("the map in {address} is there, and up to date"),
        })
    }

    /// Refuses to go on while a server lives that reads an older layout of the map than this program writes.
    ///
    /// # Errors
    /// The names of those servers, and when the map does not answer.
    pub(crate) async fn check_servers(&self) -> anyhow::Result<()> {
        let Some(address) = &self.meta else { return Ok(()) };
        let opened = PostgresKv::open(address, &options(address, Durability::Full)).await;
        let kv = opened.with_context(|| format!("cannot open the map in {address}"))?;
        let meta = Meta::new(Arc::new(kv), store::clock::Clock::system());
        let older = older(&meta.processes().await?, LAYOUT);
        ensure!(
            older.is_empty(),
            "these servers run an older program, which could not read the new layout: {}; update and restart them first",
            older.join(", ")
        );
        Ok(())
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

/// Refuses a map into which an installation is being moved: what is not there yet would look as if it had never been.
///
/// # Errors
/// From where the move comes, and what to do.
pub(crate) async fn refuse_unfinished(meta: &Meta) -> anyhow::Result<()> {
    if let Some(mark) = store::moving::mark(meta).await? {
        bail!(
            "the move from {} into this store was not finished; go on with it by the same `millpond migrate`, or begin \
             with an empty store",
            mark.from
        );
    }
    Ok(())
}

/// The living servers that only read an older layout than this.
fn older(processes: &[Process], layout: i32) -> Vec<String> {
    let is_older = |process: &&Process| process.is_alive && i64::from(process.record.layout) < i64::from(layout);
    let shown = |process: &Process| format!("{} ({})", process.record.name, process.record.version);
    processes.iter().filter(is_older).map(shown).collect()
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
    use store::meta::peer::ProcessRecord;

    use super::*;

    fn places(meta: &str, blobs: &str) -> anyhow::Result<Places> {
        Places::of(&Config { meta: Some(meta.to_owned()), blobs: Some(blobs.to_owned()), ..Config::default() })
    }

    #[test]
    fn servers_with_an_older_layout_are_named() {
        let process = |name: &str, layout, is_alive| {
            let record =
                ProcessRecord { name: name.to_owned(), version: "0.2.0".to_owned(), layout, ..Default::default() };
            Process { life: name.to_owned(), record, is_alive }
        };
        let all =
            [process("old", 1, true), process("dead", 1, false), process("new", 2, true), process("newer", 3, true)];
        assert_eq!(older(&all, 2), ["old (0.2.0)"]);
        assert!(older(&all, 1).is_empty());
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
