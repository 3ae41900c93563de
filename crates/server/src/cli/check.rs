//! `millpond check`: the store's invariants as a program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use store::blob::BlobStore;
use store::check::{Finding, Report};
use store::meta::Meta;
use store::probe::Verdict;

use super::side::{Side, Where};
use crate::log::{self, LogFormat};
use crate::places::Places;
use crate::secrets::KeySource;
use crate::stores::Missing;

/// Names, then counters; more rounds would find the same again.
const MAX_ROUNDS: usize = 4;

/// How old a blob without a name must be where servers may run: longer than the longest upload.
const SHARED_GRACE_MS: i64 = 24 * 60 * 60 * 1000;

/// The flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    place: Where,
    /// File with the key that secrets are sealed with [default: secrets.key in the data directory].
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    secrets_key_file: Option<PathBuf>,
    /// Delete bytes that no name leads to.
    #[arg(long)]
    reclaim: bool,
    /// Mend what can be mended without guessing, and say what was done.
    #[arg(long)]
    repair: bool,
    /// Look at the metadata only, and do not read the bytes of objects.
    #[arg(long)]
    quick: bool,
    /// Try the database and the bucket for what servers need of them, and say what was seen. Nothing is left there.
    #[arg(long, conflicts_with_all = ["reclaim", "repair", "quick", "secrets_key_file"])]
    store: bool,
}

impl Check {
    /// Prints each finding; the exit code says whether a name leads nowhere.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        if self.store { self.try_engines() } else { self.examine() }
    }

    /// Prints what each engine was tried for; the exit code says whether servers may be run on them.
    fn try_engines(&self) -> anyhow::Result<ExitCode> {
        let places = Places::at(self.place.meta.as_deref(), self.place.blobs.as_deref())?;
        anyhow::ensure!(!places.are_local(), "name what is to be tried: --meta postgres://…, --blobs s3://…, or both");
        let tried = super::small_runtime()?.block_on(places.probe())?;
        let mut bad = 0;
        for (name, seen) in &tried {
            say!("{name}");
            for seen in seen {
                say!("  {seen}");
                bad += usize::from(seen.verdict == Verdict::Bad);
            }
        }
        say!("{}", if bad == 0 { "servers may be run on this".to_owned() } else { format!("{bad} faults") });
        Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// A look at everything in this data directory that changes nothing.
    pub(super) fn of(data_dir: PathBuf, secrets_key_file: Option<PathBuf>) -> Self {
        let place = Where { data_dir, meta: None, blobs: None };
        Self { place, secrets_key_file, reclaim: false, repair: false, quick: false, store: false }
    }

    /// The same, where a log is written already.
    pub(super) fn examine(self) -> anyhow::Result<ExitCode> {
        let side = Side::of(&self.place)?;
        let is_shared = side.places.has_shared_map();
        anyhow::ensure!(
            !(is_shared && self.repair),
            "--repair is for a map that nobody else has open; that of several servers is mended by restoring or by deleting \
             the objects"
        );
        // The key of a server may lie in its data directory also when map and blobs do not.
        let secrets = KeySource::new(&self.place.data_dir, self.secrets_key_file.as_deref());
        super::small_runtime()?.block_on(async {
            let opened = side.open(Missing::Refuse).await?;
            let (meta, blobs) = (opened.meta.clone(), opened.blobs.clone());
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
            // Nothing runs on a directory that is locked, so no blob is waiting for its name, but the open segment of a push
            // that a crash ended: that one has a name. Servers that share a map may be in the middle of uploads.
            let grace_ms = if is_shared { SHARED_GRACE_MS } else { 0 };
            let mut report = store::check::check(&meta, blobs.as_ref(), now_ms, grace_ms).await?;
            if is_shared {
                report.forget_open_blobs();
            }
            // An S3-compatible store looks after its bytes itself.
            let has_sums = !side.places.has_shared_blobs();
            if !self.quick && has_sums {
                store::check::verify(blobs.as_ref(), &mut report).await;
            }
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
                true => store::check::sweep(&meta, blobs.as_ref(), now_ms, grace_ms).await?,
                false => 0,
            };
            if self.repair {
                repair(&meta, blobs.as_ref(), &report, now_ms).await?;
            }
            say!(
                "{} objects, {} blobs; {faults} faults, {orphans} blobs without a name{}",
                report.objects,
                report.blobs,
                if swept > 0 { format!(", of which {swept} were deleted") } else { String::new() }
            );
            if !self.quick && has_sums {
                say!(
                    "{} blobs were compared with their checksums; {} of earlier versions have none",
                    report.verified,
                    report.unsummed
                );
            }
            anyhow::ensure!(
                !is_other,
                "the metadata knows no bucket, and all {orphans} blobs are without a name: these are not the metadata of \
                 these blobs, so nothing was deleted; put meta.sqlite back from your backup, or remove the folder blobs"
            );
            Ok(if faults == 0 && has_key { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}

/// Mends, and says what was done. What is counted can only be counted again when no name is taken away any more, so it goes
/// on until nothing more is done.
async fn repair(meta: &Meta, blobs: &dyn BlobStore, report: &Report, now_ms: i64) -> anyhow::Result<()> {
    anyhow::ensure!(
        report.blobs > 0 || !report.findings.iter().any(|finding| matches!(finding, Finding::MissingBlob(..))),
        "there is no blob at all, but names of some: these are not the blobs of this metadata, so nothing was mended; mount \
         them, or put them back from your backup"
    );
    let mut done = store::check::repair(meta, report).await?;
    let mut count = 0;
    while !done.is_empty() && count < MAX_ROUNDS {
        for mended in &done {
            say!("mended: {mended}");
        }
        count += 1;
        let again = store::check::check(meta, blobs, now_ms, 0).await?;
        done = store::check::repair(meta, &again).await?;
    }
    if count == 0 {
        say!("nothing could be mended");
    }
    Ok(())
}
