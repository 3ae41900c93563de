//! `millpond backup`: a copy of a server that goes on working (docs/design/backup.md).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use store::backup::{Filled, Generation, Pace, Repository};
use store::blob::{BlobId, BlobIds, FileBlobs};
use store::check::Finding;
use store::clock::{Clock, Randomness};

use crate::data_dir;
use crate::log::{self, LogFormat};
use crate::secrets::KeySource;

/// Files of the data directory that go into each generation as they are, if they are there.
const INSTANCE: [&str; 1] = [data_dir::INSTANCE];
/// The same for keys.
const KEYS: [&str; 2] = [crate::root_key::FILE, crate::secrets::FILE];

/// The flags of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Folder of the backup, made if it is not there. Each run adds a generation to it.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folder of the server, which may be running.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
    /// File with the key that secrets are sealed with [default: secrets.key in the data directory]. It is only read.
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    secrets_key_file: Option<PathBuf>,
    /// Generations that are kept; older ones are deleted at the end of a run that found no fault.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Copy every blob, also where a hard link could share it with the server.
    #[arg(long)]
    copy: bool,
    /// Copy at most so many MiB in a second.
    #[arg(long, value_name = "N")]
    mib_per_s: Option<u64>,
    /// Leave the keys out (root-key.json, secrets.key). Keep them elsewhere: without them nobody can sign anything.
    #[arg(long)]
    without_keys: bool,
    /// Compare all blobs with their checksums, not only those that are new in the backup.
    #[arg(long)]
    verify_all: bool,
    /// Make no new generation; look at those that there are.
    #[arg(long, conflicts_with_all = ["copy", "mib_per_s", "without_keys"])]
    check: bool,
}

impl Backup {
    /// Adds a generation, and says what came into it. The exit code says whether a check found faults.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        crate::data_dir::keep_private();
        if self.check {
            return super::small_runtime()?.block_on(self.look());
        }
        ensure!(self.data_dir.is_dir(), "there is no data directory {}", self.data_dir.display());
        ensure!(data_dir::check_is_whole(&self.data_dir)?, "there is nothing in {}", self.data_dir.display());
        ensure!(data_dir::has_metadata(&self.data_dir)?, "there is no metadata in {}", self.data_dir.display());
        refuse_inside(&self.folder, &self.data_dir)?;
        super::small_runtime()?.block_on(self.take())
    }

    async fn take(&self) -> anyhow::Result<ExitCode> {
        let repository = Repository::make(&self.folder, blob_ids())?;
        let name = free_name(&repository)?;
        let source = FileBlobs::open(&self.data_dir.join(data_dir::BLOBS), blob_ids())?;
        let pace = Pace { may_link: !self.copy, bytes_per_s: self.mib_per_s.map(|mib| mib.saturating_mul(1 << 20)) };
        let draft = repository.begin(&name)?;
        let filled = draft.fill(&self.data_dir.join(data_dir::METADATA), &source, pace).await?;
        let keys: &[&str] = if self.without_keys { &[] } else { &KEYS };
        copy_files(&self.data_dir, draft.folder(), INSTANCE.iter().chain(keys))?;
        let keys_of = KeySource::new(&self.data_dir, self.secrets_key_file.as_deref());
        let wanted = |blob: BlobId| self.verify_all || filled.new.binary_search(&blob).is_ok();
        let faults = examine(&draft.as_generation()?, &keys_of, wanted).await?;
        draft.keep()?;
        say!("generation {name}: {}", shown(&filled));
        if faults > 0 {
            say!("{faults} faults; what was there before is kept");
            return Ok(ExitCode::FAILURE);
        }
        let (old, blobs) = repository.prune(usize::from(self.keep)).await?;
        for name in old {
            say!("generation {name} was deleted");
        }
        let count = repository.generations()?.len();
        say!("0 faults; {count} generations in {}, {blobs} blobs of older ones deleted", self.folder.display());
        Ok(ExitCode::SUCCESS)
    }

    async fn look(&self) -> anyhow::Result<ExitCode> {
        let repository = Repository::open(&self.folder, blob_ids())?;
        let mut faults = 0;
        for name in repository.generations()? {
            let generation = repository.generation(&name)?;
            let keys = KeySource::new(key_folder(&generation, &self.data_dir), self.secrets_key_file.as_deref());
            let found = examine(&generation, &keys, |_| true).await?;
            say!("generation {name}: {found} faults");
            faults += found;
        }
        Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The folder that has the key of the secrets: that of the generation, if it was taken along.
fn key_folder<'a>(generation: &'a Generation, data_dir: &'a Path) -> &'a Path {
    if generation.folder().join(crate::secrets::FILE).exists() { generation.folder() } else { data_dir }
}

/// Looks at a generation as `millpond check` does at a data directory, prints what must not be, and counts it.
async fn examine(
    generation: &Generation,
    keys: &KeySource,
    is_wanted: impl Fn(BlobId) -> bool,
) -> anyhow::Result<usize> {
    let blobs = generation.blobs();
    let meta = generation.meta()?;
    let meta = match keys.open(meta.clone()).await {
        Ok(meta) => meta,
        Err(error) => {
            say!("{error:#}");
            meta
        }
    };
    let mut report = store::check::check(&meta, &blobs, crate::clock::Clock::system().now_ms(), 0).await?;
    // Blobs of other generations have no name here.
    report.findings.retain(|finding| !matches!(finding, Finding::OrphanBlob(..)));
    store::check::verify_these(&blobs, &mut report, is_wanted).await;
    for finding in &report.findings {
        say!("{finding}");
    }
    Ok(report.findings.len())
}

/// What came into a generation, for people.
pub(super) fn shown(filled: &Filled) -> String {
    let copied = (filled.new.len() as u64).saturating_sub(filled.linked);
    let mut text = format!(
        "{} blobs linked, {copied} copied ({:.1} MiB), {} were there, {} of running pushes",
        filled.linked,
        filled.copied_bytes as f64 / f64::from(1 << 20),
        filled.present,
        filled.open,
    );
    if filled.missing > 0 {
        text.push_str(&format!(", {} are missing", filled.missing));
    }
    text
}

/// Ids for stores that make no blobs.
pub(super) fn blob_ids() -> BlobIds {
    BlobIds::new(Clock::system(), Randomness::new(|buffer| buffer.fill(0)))
}

/// Copies those of the files that are there; they are private from the start.
///
/// # Errors
/// The operating system's refusal.
pub(super) fn copy_files<'a>(from: &Path, to: &Path, names: impl Iterator<Item = &'a &'a str>) -> anyhow::Result<()> {
    for name in names {
        let (source, target) = (from.join(name), to.join(name));
        match fs::copy(&source, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot copy {}", source.display())),
            Ok(_) => fs::File::open(&target)?.sync_all()?,
        }
    }
    Ok(())
}

/// The files that a restored data directory gets from a generation.
pub(super) fn kept_files() -> impl Iterator<Item = &'static &'static str> {
    INSTANCE.iter().chain(&KEYS)
}

/// A name by the time, UTC; names sort as the generations came.
fn free_name(repository: &Repository) -> anyhow::Result<String> {
    let taken = repository.generations()?;
    let mut now_ms = crate::clock::Clock::system().now_ms();
    // A clock that was put back makes no generation older than those that there are.
    loop {
        let name: String = model::date::format_iso8601(now_ms).chars().filter(char::is_ascii_alphanumeric).collect();
        if taken.last().is_none_or(|last| *last < name) {
            return Ok(name);
        }
        now_ms = now_ms.saturating_add(1000);
        ensure!(now_ms < i64::MAX / 2, "the generations have names of another time");
    }
}

/// A backup in the data directory would go with it.
fn refuse_inside(folder: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let data_dir = fs::canonicalize(data_dir)?;
    let mut there = std::path::absolute(folder)?;
    while !there.exists() && there.pop() {}
    let there = fs::canonicalize(&there)?;
    ensure!(!there.starts_with(&data_dir), "the backup must not be inside of the data directory");
    Ok(())
}
