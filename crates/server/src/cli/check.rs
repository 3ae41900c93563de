//! `millpond check`: the store's invariants as a program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use store::check::Finding;

use crate::config::Durability;
use crate::log::{self, LogFormat};
use crate::secrets::KeySource;
use crate::startup::{Missing, Stores, open_stores};

/// The flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Folder of the server, which must not be running.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
    /// File with the key that secrets are sealed with [default: secrets.key in the data directory].
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    secrets_key_file: Option<PathBuf>,
    /// Delete bytes that no name leads to.
    #[arg(long)]
    reclaim: bool,
}

impl Check {
    /// Prints each finding; the exit code says whether a name leads nowhere.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        let Stores { meta, blobs, lock: _lock } = open_stores(&self.data_dir, Durability::Full, Missing::Refuse)?;
        let secrets = KeySource::new(&self.data_dir, self.secrets_key_file.as_deref());
        super::small_runtime()?.block_on(async {
            let mut has_key = true;
            let meta = match secrets.open(meta.clone()).await {
                Ok(meta) => meta,
                Err(error) => {
                    say!("{error:#}");
                    has_key = false;
                    meta
                }
            };
            let now_ms = crate::clock::Clock::system().now_ms();
            // Nothing runs on the directory, so no blob is waiting for its name, but the open segment of a push that
            // a crash ended: that one has a name.
            let report = store::check::check(&meta, blobs.as_ref(), now_ms, 0).await?;
            for finding in &report.findings {
                say!("{finding}");
            }
            let orphans = report.findings.iter().filter(|finding| matches!(finding, Finding::OrphanBlob(..))).count();
            let faults = report.findings.len() - orphans;
            // A server that once started without its metadata has left new ones that name nothing.
            let is_other = self.reclaim
                && orphans > 0
                && orphans as u64 == report.blobs
                && meta.list_buckets(None, "", "", 1).await?.items.is_empty();
            let swept = match self.reclaim && orphans > 0 && !is_other {
                true => store::check::sweep(&meta, blobs.as_ref(), now_ms, 0).await?,
                false => 0,
            };
            say!(
                "{} objects, {} blobs; {faults} faults, {orphans} blobs without a name{}",
                report.objects,
                report.blobs,
                if swept > 0 { format!(", of which {swept} were deleted") } else { String::new() }
            );
            anyhow::ensure!(
                !is_other,
                "the metadata knows no bucket, and all {orphans} blobs are without a name: these are not the metadata of \
                 these blobs, so nothing was deleted; put meta.sqlite back from your backup, or remove the folder blobs"
            );
            Ok(if faults == 0 && has_key { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}
