//! One moment of a store, while it is copied and when it is complete.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Overlay, failed};
use crate::blob::{Adopted, BlobId, BlobIds, FileBlobs, Hold};
use crate::check::NamedBlobs;
use crate::clock::Clock;
use crate::durability::Durability;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{SqliteKv, SqliteOptions, copy_map};
use crate::meta::Meta;

const MAP: &str = "meta.sqlite";
const LIST: &str = "blobs.list";
const OPEN: &str = "open";
/// A push may give up its open blob in the moment of a copy; another look finds the next one.
const ATTEMPTS: usize = 5;

/// A generation that is being made. Without [`Draft::keep`] nothing comes of it.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    target: PathBuf,
    pool: FileBlobs,
    ids: BlobIds,
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filled {
    /// Blobs that came into the pool, in order.
    pub new: Vec<BlobId>,
    /// How many of them are links to the files of the server.
    pub linked: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
    /// Blobs that an earlier generation had brought.
    pub present: u64,
    /// Blobs that pushes were writing to.
    pub open: u64,
    /// Blobs that the server itself has lost.
    pub missing: u64,
}

/// How blobs are copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Whether files may be shared with the server where they can.
    pub may_link: bool,
    /// Bytes copied in a second at most.
    pub bytes_per_s: Option<u64>,
}

impl Filled {
    /// Brings blobs from one store of files into another, as far as they are not there.
    fn adopt(&mut self, to: &FileBlobs, from: &FileBlobs, blobs: &[BlobId], pace: Pace) -> Result<()> {
        let begun = Instant::now();
        for blob in blobs {
            match to.adopt(from, *blob, pace.may_link) {
                Ok(Adopted::Present) => {
                    self.present += 1;
                    continue;
                }
                Ok(Adopted::Linked) => self.linked += 1,
                Ok(Adopted::Copied(bytes)) => {
                    self.copied_bytes = self.copied_bytes.saturating_add(bytes);
                    slow_down(begun, self.copied_bytes, pace.bytes_per_s);
                }
                Err(error) if error.kind == ErrorKind::NotFound => {
                    self.missing += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.new.push(*blob);
        }
        Ok(())
    }
}

impl Draft {
    pub(super) fn begin(folder: PathBuf, target: PathBuf, pool: FileBlobs, ids: BlobIds) -> Result<Self> {
        fs::create_dir(&folder).map_err(|e| failed(&folder, &e))?;
        Ok(Self { folder, target, pool, ids })
    }

    /// Where further files of the generation go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies the map at `map` and the blobs that it names. The garbage of `blobs` is held from before the map is copied
    /// until all blobs are here, so that none of them goes meanwhile, however long it takes.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn fill(&self, map: &Path, blobs: &FileBlobs, pace: Pace) -> Result<Filled> {
        let hold = blobs.hold_garbage()?;
        let mut attempt = 1;
        let named = loop {
            match self.copy_map_and_open_blobs(map, blobs).await {
                // A name that leads nowhere is damage, and no reason for not having a backup of the rest.
                Ok((named, missing)) if missing == 0 || attempt >= ATTEMPTS => break named,
                Ok(_) => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        let filled = self.adopt(&named, blobs, pace, hold)?;
        self.write_list(&named.finished)?;
        Ok(filled)
    }

    async fn copy_map_and_open_blobs(&self, map: &Path, blobs: &FileBlobs) -> Result<(NamedBlobs, usize)> {
        let copy = self.folder.join(MAP);
        let open = self.folder.join(OPEN);
        for path in [&copy, &open] {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path, &error)),
                _ => {}
            }
        }
        copy_map(map, &copy)?;
        let named = crate::check::named_blobs(&open_map(&self.folder)?).await?;
        let own = FileBlobs::open(&open, self.ids.clone())?;
        let mut missing = 0;
        for blob in &named.open {
            match own.adopt_unfinished(blobs, *blob) {
                Err(error) if error.kind == ErrorKind::NotFound => missing += 1,
                adopted => adopted?,
            }
        }
        Ok((named, missing))
    }

    fn adopt(&self, named: &NamedBlobs, blobs: &FileBlobs, pace: Pace, _hold: Hold) -> Result<Filled> {
        let mut filled = Filled { open: named.open.len() as u64, ..Filled::default() };
        filled.adopt(&self.pool, blobs, &named.finished, pace)?;
        Ok(filled)
    }

    fn write_list(&self, blobs: &[BlobId]) -> Result<()> {
        let path = self.folder.join(LIST);
        let write = || {
            let mut file = io::BufWriter::new(File::create(&path)?);
            for blob in blobs {
                writeln!(file, "{blob}")?;
            }
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        write().map_err(|e| failed(&path, &e))
    }

    /// The generation as it is so far, to be looked at before it is kept.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub fn as_generation(&self) -> Result<Generation> {
        Generation::open(self.folder.clone(), self.pool.clone(), self.ids.clone())
    }

    /// Makes everything durable, and the draft a generation. Nobody may have its map open any more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn keep(self) -> Result<()> {
        remove_traces(&self.folder);
        self.pool.flush_all()?;
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        let keep = || {
            sync(&self.folder.join(MAP))?;
            sync(&self.folder)?;
            fs::rename(&self.folder, &self.target)?;
            self.target.parent().map_or(Ok(()), sync)
        };
        keep().map_err(|e| failed(&self.target, &e))
    }
}

/// A moment of a store.
#[derive(Debug)]
pub struct Generation {
    folder: PathBuf,
    pool: FileBlobs,
    open: FileBlobs,
}

impl Generation {
    pub(super) fn open(folder: PathBuf, pool: FileBlobs, ids: BlobIds) -> Result<Self> {
        let open = FileBlobs::open(&folder.join(OPEN), ids)?;
        Ok(Self { folder, pool, open })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its map. A check of it writes nothing that counts.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub fn meta(&self) -> Result<Meta> {
        open_map(&self.folder)
    }

    /// Its blobs. Those of other generations are seen as well.
    pub fn blobs(&self) -> Overlay {
        Overlay::new(self.open.clone(), self.pool.clone())
    }

    /// Copies its blobs to `blobs`; how many were copied, linked, or had been lost before the backup. Nothing is durable
    /// before [`FileBlobs::flush_all`].
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn restore_blobs(&self, blobs: &FileBlobs, pace: Pace) -> Result<Filled> {
        let mut filled = Filled::default();
        filled.adopt(blobs, &self.pool, &read_list(&self.folder)?, pace)?;
        for blob in crate::check::named_blobs(&self.meta()?).await?.open {
            match blobs.adopt_unfinished(&self.open, blob) {
                Err(error) if error.kind == ErrorKind::NotFound => filled.missing += 1,
                adopted => {
                    adopted?;
                    filled.open += 1;
                }
            }
        }
        Ok(filled)
    }

    /// Copies its map to the new file `to`, whole or not at all, and durably.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn restore_map(&self, to: &Path) -> Result<()> {
        remove_traces(&self.folder);
        let mut new = to.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let copy = || {
            fs::copy(self.folder.join(MAP), &new)?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, to)?;
            to.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        copy().map_err(|e| failed(to, &e))
    }
}

fn open_map(folder: &Path) -> Result<Meta> {
    let options =
        SqliteOptions { durability: Durability::Relaxed, is_alone: true, must_exist: true, ..SqliteOptions::default() };
    let clock = Clock::system();
    let kv = SqliteKv::open(&folder.join(MAP), &options, clock.clone())?;
    Ok(Meta::new(Arc::new(kv), clock))
}

/// What opening a map leaves beside it. Its log is in the file when the last who had it open has closed it.
fn remove_traces(folder: &Path) {
    let _ = fs::remove_file(folder.join(format!("{MAP}-stamp")));
}

pub(super) fn read_list(folder: &Path) -> Result<Vec<BlobId>> {
    let path = folder.join(LIST);
    let text = fs::read_to_string(&path).map_err(|e| failed(&path, &e))?;
    let read = |line: &str| line.parse::<BlobId>();
    text.lines().map(read).collect::<Result<_>>().map_err(|e| Error::corrupt(Subject::Backup, e))
}

/// Waits until so many bytes are not more than the pace allows.
fn slow_down(begun: Instant, bytes: u64, bytes_per_s: Option<u64>) {
    if let Some(pace) = bytes_per_s.filter(|pace| *pace > 0) {
        let due = Duration::from_millis(bytes.saturating_mul(1000) / pace);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}
