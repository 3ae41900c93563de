//! An installation that a command looks at or copies, wherever it is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use store::blob::TakeBlobs;
use store::meta::Meta;

use crate::clock::Clock;
use crate::config::{Durability, StorageConfig};
use crate::data_dir;
use crate::places::Places;
use crate::stores::{self, Missing, Stores};

/// Where an installation is, as the server takes it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Where {
    /// Folder of the server, which must not be running; not needed when map and blobs are elsewhere.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    pub(crate) data_dir: PathBuf,
    /// Map that several servers share, in PostgreSQL.
    #[arg(long, env = "MILLPOND_META", value_name = "URL", hide_env_values = true)]
    pub(crate) meta: Option<String>,
    /// Blobs that several servers share, on an S3-compatible store.
    #[arg(long, env = "MILLPOND_BLOBS", value_name = "URL", hide_env_values = true)]
    pub(crate) blobs: Option<String>,
}

/// An installation, and the folder that stands for its data directory.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) places: Places,
    pub(super) data_dir: PathBuf,
    /// The folder when there is no data directory; it goes with this.
    _scratch: Option<Scratch>,
}

/// Its stores, open.
pub(super) struct Opened {
    pub(super) meta: Meta,
    pub(super) blobs: Arc<dyn TakeBlobs>,
    /// Keeps servers away.
    pub(super) _lock: File,
    /// Where the map lies that was copied from under a running server.
    pub(super) _beside: Option<Scratch>,
}

impl Side {
    /// The installation at these places. What has map and blobs elsewhere needs no data directory of a server, and leaves
    /// that of one alone.
    ///
    /// # Errors
    /// When an address is none, the data directory is needed and not named, or no folder can be made.
    pub(super) fn new(meta: Option<&str>, blobs: Option<&str>, data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let places = Places::at(meta, blobs)?;
        if places.has_shared_map() && places.has_shared_blobs() {
            let scratch = Scratch::make()?;
            return Ok(Self { places, data_dir: scratch.0.clone(), _scratch: Some(scratch) });
        }
        let data_dir = data_dir.context("its data directory is needed, as not both map and blobs are elsewhere")?;
        Ok(Self { places, data_dir: data_dir.to_owned(), _scratch: None })
    }

    /// That of a command that takes one.
    ///
    /// # Errors
    /// As [`Side::new`].
    pub(super) fn of(place: &Where) -> anyhow::Result<Self> {
        Self::new(place.meta.as_deref(), place.blobs.as_deref(), Some(&place.data_dir))
    }

    /// Opens it. Nothing of shared blobs is kept on this machine.
    ///
    /// # Errors
    /// When a server has it, a part is missing, or an engine does not answer.
    pub(super) async fn open(&self, missing: Missing) -> anyhow::Result<Opened> {
        let storage =
            StorageConfig { durability: Durability::Full, cache_mib: 0, tail_ms: 0, ..StorageConfig::default() };
        let opened = self.places.open(&self.data_dir, &storage, missing, &Clock::system()).await?;
        let Stores { meta, blobs, lock } = opened;
        Ok(Opened { meta, blobs, _lock: lock, _beside: None })
    }

    /// Opens it to be copied. A data directory may have a server that changes nothing, whose run is returned by name.
    ///
    /// # Errors
    /// As [`Side::open`], and when its server may change something.
    pub(super) async fn open_source(&self) -> anyhow::Result<(Opened, Option<String>)> {
        let Some(run) = self.read_only_run()? else { return Ok((self.open(Missing::Refuse).await?, None)) };
        let beside = Scratch::make()?;
        let Stores { meta, blobs, lock } = stores::open_beside(&self.data_dir, &beside.0, &Clock::system())?;
        Ok((Opened { meta, blobs, _lock: lock, _beside: Some(beside) }, Some(run)))
    }

    /// The run of a server that has the data directory and changes nothing in it.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub(super) fn read_only_run(&self) -> anyhow::Result<Option<String>> {
        if self.places.are_local() { stores::read_only_run(&self.data_dir) } else { Ok(None) }
    }

    /// Its places in words.
    pub(super) fn shown(&self) -> String {
        self.places.shown(&self.data_dir)
    }
}

/// A folder for a spool that stays empty. It is deleted with this.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("millpond-{}", model::hex_upper(&crate::ids::random::<8>())));
        data_dir::make(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
