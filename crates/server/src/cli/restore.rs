//! `millpond restore`: a data directory from a backup.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use store::backup::{Pace, Repository};
use store::blob::FileBlobs;

use super::backup::{blob_ids, copy_files, kept_files, shown};
use super::check::Check;
use crate::data_dir;
use crate::log::{self, LogFormat};

/// The flags of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Folder of the backup.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folder that is to become a server's; it must be empty, or not be there.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
    /// File with the key that secrets are sealed with [default: secrets.key of the backup].
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    secrets_key_file: Option<PathBuf>,
    /// The generation to restore [default: the newest].
    #[arg(long, value_name = "NAME")]
    generation: Option<String>,
    /// Share files with the backup by hard links, if both are on one filesystem.
    #[arg(long)]
    link: bool,
    /// List the generations and restore nothing.
    #[arg(long)]
    list: bool,
}

impl Restore {
    /// Restores, then looks at the result as `millpond check` does, whose exit code it has.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        data_dir::keep_private();
        let repository = Repository::open(&self.folder, blob_ids())?;
        let generations = repository.generations()?;
        if self.list {
            for name in generations {
                say!("{name}");
            }
            return Ok(ExitCode::SUCCESS);
        }
        let name = match &self.generation {
            Some(name) => name,
            None => generations.last().context("the backup has no complete generation")?,
        };
        let generation = repository.generation(name)?;
        data_dir::make(&self.data_dir)?;
        let is_empty = fs::read_dir(&self.data_dir)?.next().is_none();
        ensure!(is_empty, "{} is not empty; restore into a new folder", self.data_dir.display());
        let pace = Pace { may_link: self.link, bytes_per_s: None };
        let blobs = FileBlobs::open(&self.data_dir.join(data_dir::BLOBS), blob_ids())?;
        let filled = super::small_runtime()?.block_on(generation.restore_blobs(&blobs, pace))?;
        copy_files(generation.folder(), &self.data_dir, kept_files())?;
        blobs.flush_all()?;
        // The metadata comes last: a folder without it is refused by the server, one with half of its blobs is not.
        generation.restore_map(&self.data_dir.join(data_dir::METADATA))?;
        drop((blobs, generation));
        say!("restored {name} into {}: {}", self.data_dir.display(), shown(&filled));
        Check::of(self.data_dir, self.secrets_key_file).examine()
    }
}
