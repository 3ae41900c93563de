//! `millpond lifecycle`: the lifecycle rules once, or what they would do.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::clock::Clock;
use crate::config::Durability;
use crate::log::{self, LogFormat};
use crate::objects::lifecycle::Run;
use crate::stores::{Missing, Stores, open_stores};

/// The flags of `lifecycle`.
#[derive(Debug, Args)]
pub(crate) struct Lifecycle {
    /// Folder of the server, which must not be running; a running one does this by itself.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
}

impl Lifecycle {
    /// Prints each object or upload, and how many they are.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        let Stores { meta, blobs: _, lock: _lock } = open_stores(&self.data_dir, Durability::Full, Missing::Refuse)?;
        super::small_runtime()?.block_on(async {
            let run = Run { meta: &meta, now_ms: Clock::system().now_ms(), is_dry: self.dry_run };
            let totals = run
                .all(&|bucket, step| {
                    say!("{bucket}: {step}");
                })
                .await?;
            let would = if self.dry_run { "would be " } else { "" };
            say!(
                "{} objects {would}deleted, {} labelled, {} uploads aborted",
                totals.expired,
                totals.relabelled,
                totals.aborted
            );
            Ok(ExitCode::SUCCESS)
        })
    }
}
