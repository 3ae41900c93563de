//! `millpond migrate`: an installation from one pair of stores into another (docs/design/many-servers.md, "Moving").

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use store::moving::{self, Differing, Mark, Plan, Progress};

use super::backup::copy_files;
use super::side::{Opened, Side};
use crate::clock::Clock;
use crate::data_dir;
use crate::log::{self, LogFormat};
use crate::secrets::KeySource;
use crate::stores::Missing;
use crate::{root_key, secrets};

/// How often it is said how far it has come.
const TELL: Duration = Duration::from_secs(5);
/// So many faults are printed.
const SHOWN: usize = 20;
const MIB: f64 = (1 << 20) as f64;

/// The flags of `migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Data directory of the source, whose server is stopped or was started with --read-only; when both its map and its
    /// blobs are elsewhere, only the key of its secrets is looked for there.
    #[arg(long, value_name = "DIR")]
    from_data_dir: Option<PathBuf>,
    /// Map of the source in PostgreSQL, which is read-only from then on.
    #[arg(long, value_name = "URL")]
    from_meta: Option<String>,
    /// Blobs of the source on an S3-compatible store.
    #[arg(long, value_name = "URL")]
    from_blobs: Option<String>,
    /// Data directory of the target, which has nothing of a server in it; made if it is not there.
    #[arg(long, value_name = "DIR")]
    to_data_dir: Option<PathBuf>,
    /// Map of the target in PostgreSQL; it is made if it is not there, and must be empty.
    #[arg(long, value_name = "URL")]
    to_meta: Option<String>,
    /// Blobs of the target on an S3-compatible store, where there is none below the prefix.
    #[arg(long, value_name = "URL")]
    to_blobs: Option<String>,
    /// File with the key that secrets are sealed with, the same for both [default: secrets.key in the source].
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    secrets_key_file: Option<PathBuf>,
    /// At the end, read all blobs of both sides and compare them byte by byte.
    #[arg(long)]
    compare: bool,
}

impl Migrate {
    /// Moves, and says how far it has come. The exit code says whether servers may use the target.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        data_dir::keep_private();
        let from = Side::new(self.from_meta.as_deref(), self.from_blobs.as_deref(), self.from_data_dir.as_deref())
            .context("the source (--from-…)")?;
        let to = Side::new(self.to_meta.as_deref(), self.to_blobs.as_deref(), self.to_data_dir.as_deref())
            .context("the target (--to-…)")?;
        ensure!(from.shown() != to.shown(), "source and target are the same");
        ensure!(
            self.to_data_dir.as_deref().is_none_or(|folder| folder == to.data_dir),
            "--to-data-dir has nothing to hold: both map and blobs of the target are elsewhere"
        );
        super::small_runtime()?.block_on(self.go(&from, &to))
    }

    async fn go(&self, from: &Side, to: &Side) -> anyhow::Result<ExitCode> {
        let (source, run) = from.open_source().await.context("the source")?;
        let key_folder = self.from_data_dir.as_deref().unwrap_or(&from.data_dir);
        let keys = KeySource::new(key_folder, self.secrets_key_file.as_deref());
        let source = Opened { meta: keys.open(source.meta.clone()).await.context("the source")?, ..source };
        let still = StandStill::begin(from, &source, run).await?;
        let begun = async {
            let plan = moving::plan(&source.meta, source.blobs.as_ref(), now_ms()).await.map_err(refused)?;
            let target = open_target(to).await.context("the target")?;
            let mark = Mark { from: from.shown(), begun_ms: now_ms() };
            let goes_on = moving::begin(&target.meta, target.blobs.as_ref(), &mark).await.map_err(refused)?;
            anyhow::Ok((plan, target, goes_on))
        };
        let (plan, target, goes_on) = match begun.await {
            Ok(begun) => begun,
            Err(error) => {
                still.undo(from).await?;
                return Err(error);
            }
        };
        say!("{} {} to {}", if goes_on { "going on from" } else { "from" }, from.shown(), to.shown());
        say!("{} rows, {} blobs, {:.1} MiB", plan.rows, plan.blobs.len(), plan.bytes as f64 / MIB);
        tell_faults("the source has faults, which are moved as they are", plan.findings.iter());
        copy(&plan, &source, &target).await?;
        let target = Opened { meta: keys.open(target.meta.clone()).await.context("the target")?, ..target };
        self.prove(&plan, &source, &target, to).await?;
        still.check(from).await?;
        let copied = copy_keys(from, to)?;
        moving::finish(&target.meta).await?;
        tell_what_is_next(from, to, copied);
        Ok(ExitCode::SUCCESS)
    }

    /// Makes sure that the target is what the source is.
    async fn prove(&self, plan: &Plan, source: &Opened, target: &Opened, to: &Side) -> anyhow::Result<()> {
        say!("comparing the maps");
        let differing = moving::count_differing_rows(&source.meta, &target.meta, &Progress::default()).await?;
        ensure!(differing == 0, "{differing} rows differ: somebody writes to one of the sides; stop that, and go on");
        say!("checking the target");
        let mut report = moving::examine(plan, &target.meta, target.blobs.as_ref(), now_ms()).await?;
        if !to.places.has_shared_blobs() {
            store::check::verify(target.blobs.as_ref(), &mut report).await;
        }
        let known = |finding| !plan.findings.contains(finding);
        let new: Vec<_> = report.findings.iter().filter(|finding| known(finding)).collect();
        tell_faults("the target has faults that the source has not", new.iter());
        ensure!(new.is_empty(), "the move is not complete; once the cause is gone, the same command goes on");
        if self.compare {
            let progress = Progress::default();
            let comparing = moving::compare_blobs(plan, source.blobs.as_ref(), target.blobs.as_ref(), &progress);
            let differing = told("compared", plan, &progress, comparing).await?;
            tell_faults("blobs that are not the same", shown(&differing).iter());
            ensure!(differing.is_empty(), "the move is not complete");
        }
        say!("0 new faults; {} objects, {} blobs", report.objects, report.blobs);
        Ok(())
    }
}

async fn open_target(to: &Side) -> anyhow::Result<Opened> {
    data_dir::make(&to.data_dir)?;
    if to.places.has_shared_map() {
        to.places.prepare_map().await?;
    }
    to.open(Missing::Make).await
}

async fn copy(plan: &Plan, source: &Opened, target: &Opened) -> anyhow::Result<()> {
    let progress = Progress::default();
    let copying = moving::copy_blobs(plan, source.blobs.as_ref(), target.blobs.as_ref(), &progress);
    let damaged = told("copied", plan, &progress, copying).await?;
    tell_faults("blobs of the source that cannot be read", shown(&damaged).iter());
    ensure!(
        damaged.is_empty(),
        "{} blobs are damaged: `millpond check` on the source names their objects; put those again or delete them, and go on",
        damaged.len()
    );
    let amounts = progress.amounts();
    say!("{} blobs copied ({:.1} MiB), {} were there", amounts.blobs, amounts.bytes as f64 / MIB, amounts.present);
    let progress = Progress::default();
    let copying = moving::copy_rows(&source.meta, &target.meta, &progress);
    let rows = told_rows(plan, &progress, copying).await?;
    say!("{} rows, of which {} were written and {} deleted", rows.seen, rows.put, rows.deleted);
    Ok(())
}

/// Does something about blobs, and says now and then how far it has come.
async fn told<T>(
    done: &str,
    plan: &Plan,
    progress: &Progress,
    work: impl Future<Output = store::Result<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    while_telling(work, || {
        let amounts = progress.amounts();
        let seconds = begun.elapsed().as_secs_f64().max(0.001);
        let rate = amounts.bytes as f64 / seconds;
        let present: f64 = amounts.present as f64 / plan.blobs.len().max(1) as f64 * plan.bytes as f64;
        let left = time_left((plan.bytes as f64 - present - amounts.bytes as f64).max(0.0), rate);
        say!(
            "{done} {} of {} blobs, {:.1} of {:.1} MiB; {:.1} MiB/s, {left}",
            amounts.blobs.saturating_add(amounts.present),
            plan.blobs.len(),
            amounts.bytes as f64 / MIB,
            plan.bytes as f64 / MIB,
            rate / MIB,
        );
    })
    .await
}

async fn told_rows<T>(
    plan: &Plan,
    progress: &Progress,
    work: impl Future<Output = store::Result<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    while_telling(work, || {
        let rows = progress.amounts().rows;
        let rate = rows as f64 / begun.elapsed().as_secs_f64().max(0.001);
        let left = time_left(plan.rows.saturating_sub(rows) as f64, rate);
        say!("copied {rows} of {} rows; {rate:.0} rows/s, {left}", plan.rows);
    })
    .await
}

async fn while_telling<T>(work: impl Future<Output = store::Result<T>>, tell: impl Fn()) -> anyhow::Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(TELL, work.as_mut()).await {
            Ok(done) => return Ok(done?),
            Err(_) => tell(),
        }
    }
}

fn time_left(amount: f64, rate: f64) -> String {
    if rate <= 0.0 {
        return "time left not known".to_owned();
    }
    let seconds = (amount / rate).ceil();
    match seconds {
        ..120.0 => format!("{seconds:.0} s left"),
        ..7200.0 => format!("{:.0} min left", seconds / 60.0),
        _ => format!("{:.1} h left", seconds / 3600.0),
    }
}

/// A source whose map does not change.
enum StandStill {
    /// The lock of the data directory sees to it.
    Locked,
    /// A server has the data directory that changes nothing in this run.
    Served(String),
    /// A map in PostgreSQL is read-only under this mark, and whether it was made so just now.
    ReadOnly(u32, bool),
}

impl StandStill {
    async fn begin(from: &Side, source: &Opened, run: Option<String>) -> anyhow::Result<Self> {
        if !from.places.has_shared_map() {
            return Ok(run.map_or(Self::Locked, Self::Served));
        }
        // Before anybody is disturbed for nothing.
        if let Some(push) = moving::pushes(&source.meta).await?.first() {
            bail!("{}", pushes_are_on(push));
        }
        let was_read_only = from.places.read_only_mark().await?.is_some();
        from.places.set_read_only(true).await?;
        let mark = from.places.read_only_mark().await?.context("the map did not become read-only")?;
        Ok(Self::ReadOnly(mark, !was_read_only))
    }

    async fn check(&self, from: &Side) -> anyhow::Result<()> {
        let is_still = match self {
            Self::Locked => true,
            Self::Served(run) => from.read_only_run()?.as_ref() == Some(run),
            Self::ReadOnly(mark, _) => from.places.read_only_mark().await? == Some(*mark),
        };
        ensure!(
            is_still,
            "the source was writable in between, so the target may have missed something; go on with the same command"
        );
        Ok(())
    }

    /// Lets servers write again, after a move that has not begun.
    async fn undo(&self, from: &Side) -> anyhow::Result<()> {
        match self {
            Self::ReadOnly(_, true) => from.places.set_read_only(false).await,
            Self::ReadOnly(_, false) | Self::Locked | Self::Served(_) => Ok(()),
        }
    }
}

fn pushes_are_on(which: &str) -> String {
    format!(
        "a push is on, or was not ended: {which}; end it, or start the server once so that it closes what a crash has left, \
         and stop that"
    )
}

/// An error before anything was copied, with what to do.
fn refused(error: store::Error) -> anyhow::Error {
    match error.kind {
        store::ErrorKind::Held => anyhow::anyhow!("{}", pushes_are_on(&error.detail)),
        store::ErrorKind::Conflict => {
            anyhow::anyhow!("{}; name an empty place as the target, or empty this one", error.detail)
        }
        _ => error.into(),
    }
}

/// Puts the keys of a data directory into that of the target, where servers look for them; which those were.
fn copy_keys(from: &Side, to: &Side) -> anyhow::Result<Vec<&'static str>> {
    if to.places.has_shared_map() || from.places.has_shared_map() {
        return Ok(Vec::new());
    }
    let mut copied = Vec::new();
    for name in [root_key::FILE, secrets::FILE] {
        if !from.data_dir.join(name).exists() {
            continue;
        }
        let there = to.data_dir.join(name);
        let is_other = there.exists() && std::fs::read(&there)? != std::fs::read(from.data_dir.join(name))?;
        ensure!(!is_other, "{} is another one than that of the source", there.display());
        copy_files(&from.data_dir, &to.data_dir, [name].iter())?;
        copied.push(name);
    }
    Ok(copied)
}

fn tell_what_is_next(from: &Side, to: &Side, copied: Vec<&'static str>) {
    say!("moved; servers may be started on the target");
    let wanted = |name: &str, variables: &str| match copied.contains(&name) {
        true => say!("  {name} was copied into {}", to.data_dir.display()),
        false => say!("  give them {variables} of before{}", found_in(from.data_dir.join(name).as_path())),
    };
    wanted(root_key::FILE, &format!("the root key ({}, {})", root_key::ID_VARIABLE, root_key::SECRET_VARIABLE));
    wanted(secrets::FILE, &format!("the key of the secrets ({} or --secrets-key-file)", secrets::VARIABLE));
    match from.places.has_shared_map() {
        true => say!("  the source is read-only; `millpond store writable --meta …` would end that"),
        false => say!(
            "  start no server on the source any more, but with --read-only: what it stores would not be in the target"
        ),
    }
}

fn found_in(path: &Path) -> String {
    if path.exists() { format!(", which is in {}", path.display()) } else { String::new() }
}

fn shown(differing: &[Differing]) -> Vec<String> {
    differing.iter().map(|Differing(blob, why)| format!("blob {blob}: {why}")).collect()
}

fn tell_faults<T: std::fmt::Display>(what: &str, faults: impl ExactSizeIterator<Item = T>) {
    let count = faults.len();
    if count == 0 {
        return;
    }
    say!("{what} ({count}):");
    faults.take(SHOWN).for_each(|fault| say!("  {fault}"));
    if count > SHOWN {
        say!("  and {} more", count.saturating_sub(SHOWN));
    }
}

fn now_ms() -> i64 {
    Clock::system().now_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_has_a_unit() {
        for (amount, rate, text) in [
            (0.0, 10.0, "0 s left"),
            (101.0, 10.0, "11 s left"),
            (6000.0, 10.0, "10 min left"),
            (90_000.0, 10.0, "2.5 h left"),
            (1.0, 0.0, "time left not known"),
        ] {
            assert_eq!(time_left(amount, rate), text);
        }
    }
}
