//! The stores of a data directory.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use store::blob::{BlobIds, FileBlobs, TakeBlobs};
use store::clock::{Clock, Randomness};
use store::kv::{BeforeFlush, SqliteKv, SqliteOptions, copy_map};
use store::meta::Meta;

use crate::config::Durability;
use crate::metrics::TimedKv;
use crate::{data_dir, descriptors};

/// The stores of a data directory, held by this process alone.
pub(crate) struct Stores {
    pub(crate) meta: Meta,
    pub(crate) blobs: Arc<dyn TakeBlobs>,
    pub(crate) lock: File,
}

impl Stores {
    /// The same, in which nothing changes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn read_only(mut self) -> anyhow::Result<Self> {
        declare_read_only(&mut self.lock)?;
        Ok(Self { meta: self.meta.read_only(), ..self })
    }
}

/// What to do about stores that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A new installation begins.
    Make,
    /// Who looks for something does not make it.
    Refuse,
}

/// Opens the stores below `data_dir`.
///
/// # Errors
/// When another process has them, a part of them is missing, or the disk refuses.
pub(crate) fn open_stores_at(
    data_dir: &Path,
    durability: Durability,
    missing: Missing,
    clock: &crate::clock::Clock,
) -> anyhow::Result<Stores> {
    if missing == Missing::Refuse {
        ensure!(data_dir.is_dir(), "there is no data directory {}", data_dir.display());
        data_dir::check_is_whole(data_dir)?;
        ensure!(data_dir::has_metadata(data_dir)?, "there is no metadata in {}", data_dir.display());
    }
    data_dir::close_to_others(data_dir)?;
    let lock = lock(data_dir)?;
    // Again, now that nobody else is at it.
    let was_here = data_dir::check_is_whole(data_dir)?;
    let clock = clock.for_stores();
    let blobs = open_files(data_dir, durability, &clock)?;
    let before_flush = (durability == Durability::Relaxed).then(|| {
        let blobs = blobs.clone();
        BeforeFlush::new(move || blobs.flush_late())
    });
    let kv = open_map(data_dir, durability, was_here || missing == Missing::Refuse, before_flush, &clock)?;
    Ok(Stores { meta: Meta::new(Arc::new(TimedKv::new(Arc::new(kv))), clock), blobs: Arc::new(blobs), lock })
}

/// Keeps other processes from a data directory.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let lock_path = data_dir.join(data_dir::LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .with_context(|| format!("cannot open {}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => {
            // What it says was said by the holder before.
            lock.set_len(0).with_context(|| format!("cannot write to {}", lock_path.display()))?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another millpond runs on {}; stop it first, or use another --data-dir (`millpond migrate` also copies from one \
                 that was started with --read-only)",
                data_dir.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data directory"),
    }
}

/// What the lock of a data directory says of a server that changes nothing, before a name of that run.
const READ_ONLY: &str = "read-only ";

/// Tells who finds the lock held that its holder changes nothing.
fn declare_read_only(lock: &mut File) -> anyhow::Result<()> {
    let mark = format!("{READ_ONLY}{}\n", model::hex_upper(&crate::ids::random::<8>()));
    lock.write_all(mark.as_bytes()).context("cannot write into the lock of the data directory")
}

/// The name of the run of a server that has a data directory and changes nothing in it; `None` where no such server runs.
///
/// # Errors
/// When it cannot be found out.
pub(crate) fn read_only_run(data_dir: &Path) -> anyhow::Result<Option<String>> {
    let path = data_dir.join(data_dir::LOCK);
    let Ok(mut lock) = File::open(&path) else { return Ok(None) };
    // Whoever has it keeps others from it, also from sharing it.
    if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    let mut text = String::new();
    lock.read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.strip_prefix(READ_ONLY).map(|name| name.trim_end().to_owned()))
}

/// Opens what a running server has that changes nothing: its blobs where they are, and a copy of its map in the folder
/// `beside`, which only the caller uses.
///
/// # Errors
/// When a part is missing, or the disk refuses.
pub(crate) fn open_beside(data_dir: &Path, beside: &Path, clock: &crate::clock::Clock) -> anyhow::Result<Stores> {
    data_dir::check_is_whole(data_dir)?;
    ensure!(data_dir::has_metadata(data_dir)?, "there is no metadata in {}", data_dir.display());
    let lock = lock(beside)?;
    copy_map(&data_dir.join(data_dir::METADATA), &beside.join(data_dir::METADATA)).context("cannot copy the map")?;
    let clock = clock.for_stores();
    let blobs = open_files(data_dir, Durability::Full, &clock)?;
    let kv = open_map(beside, Durability::Full, true, None, &clock)?;
    Ok(Stores { meta: Meta::new(Arc::new(kv), clock), blobs: Arc::new(blobs), lock })
}

/// The random bits of the operating system.
pub(crate) fn randomness() -> Randomness {
    Randomness::new(|buffer| {
        for chunk in buffer.chunks_mut(16) {
            chunk.copy_from_slice(&crate::ids::random::<16>()[..chunk.len()]);
        }
    })
}

/// Where the ids of new blobs come from.
pub(crate) fn blob_ids(clock: &Clock) -> BlobIds {
    BlobIds::new(clock.clone(), randomness())
}

/// What the store calls a setting.
pub(crate) fn durability(durability: Durability) -> store::Durability {
    match durability {
        Durability::Full => store::Durability::Full,
        Durability::Relaxed => store::Durability::Relaxed,
    }
}

/// The blobs of a data directory that is locked.
pub(crate) fn open_files(data_dir: &Path, wanted: Durability, clock: &Clock) -> anyhow::Result<FileBlobs> {
    FileBlobs::open_with(&data_dir.join(data_dir::BLOBS), blob_ids(clock), durability(wanted))
        .context("cannot open the blob store")
}

/// The map of a data directory that is locked.
pub(crate) fn open_map(
    data_dir: &Path,
    wanted: Durability,
    must_exist: bool,
    before_flush: Option<BeforeFlush>,
    clock: &Clock,
) -> anyhow::Result<SqliteKv> {
    let options = SqliteOptions {
        durability: durability(wanted),
        // The lock says so.
        is_alone: true,
        must_exist,
        max_readers: descriptors::store_readers(descriptors::limit()),
        before_flush,
        ..SqliteOptions::default()
    };
    SqliteKv::open(&data_dir.join(data_dir::METADATA), &options, clock.clone())
        .context("cannot open the metadata store")
}
