//! Backups of a store that goes on working: generations of the map over one pool of blobs (`docs/design/backup.md`).
//!
//! ```text
//! millpond-backup        says that the folder is one
//! lock                   held by whoever changes it
//! blobs/                 the blobs of all generations, as a store of its own
//! generations/<name>/    one moment of the store
//!     meta.sqlite        the map as of one commit
//!     blobs.list         the blobs that it names, one in a line
//!     open/              blobs that pushes were writing to, which never are in the pool
//! ```
//!
//! A generation gets its name when everything it needs is on disk, and blobs are deleted when no generation lists them any
//! more. So whatever ends a backup, the generations before it can be restored. Everything here blocks.

mod generation;
mod overlay;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::blob::{BlobId, BlobIds, BlobStore, FileBlobs};
use crate::error::{Error, Result, Subject};

pub use generation::{Draft, Filled, Generation, Pace};
pub use overlay::Overlay;

/// The file by which a backup is known, and what it says.
const MARKER: (&str, &str) = ("millpond-backup", "millpond backup 1\n");
const LOCK: &str = "lock";
const BLOBS: &str = "blobs";
const GENERATIONS: &str = "generations";
/// What the name of a generation ends in that is not complete.
const DRAFT: &str = ".new";

/// A folder of backups, held by this process alone.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
    pool: FileBlobs,
    ids: BlobIds,
    _lock: File,
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let detail = format!("{}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        return Error::not_found(Subject::Backup, detail);
    }
    Error::unavailable(Subject::Backup, detail)
}

impl Repository {
    /// Opens the backup in `root`, or makes one if there is nothing. What an interrupted one left is removed.
    ///
    /// # Errors
    /// `Conflict` if something else is there, or another process is at it; `Unavailable`.
    pub fn make(root: &Path, ids: BlobIds) -> Result<Self> {
        let fail = |e: io::Error| failed(root, &e);
        fs::create_dir_all(root).map_err(fail)?;
        if !is_backup(root)? {
            // What a beginning leaves that was cut off.
            let (name, text) = MARKER;
            let marker = format!("{name}{DRAFT}");
            let is_ours = |name: &OsStr| name == LOCK || name == GENERATIONS || *name == *marker;
            let mut names = fs::read_dir(root).map_err(fail)?;
            let is_foreign = |entry: io::Result<fs::DirEntry>| entry.map_or(true, |entry| !is_ours(&entry.file_name()));
            if names.any(is_foreign) {
                return Err(Error::conflict(
                    Subject::Backup,
                    format!("{} is not empty and is no backup of ours", root.display()),
                ));
            }
            let lock = lock(root)?;
            let new = root.join(&marker);
            fs::write(&new, text).map_err(fail)?;
            fs::create_dir_all(root.join(GENERATIONS)).map_err(fail)?;
            fs::rename(&new, root.join(name)).map_err(fail)?;
            drop(lock);
        }
        let repository = Self::open(root, ids)?;
        repository.remove_drafts()?;
        Ok(repository)
    }

    /// Opens the backup in `root`.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Conflict` if another process is at it; `Unavailable`.
    pub fn open(root: &Path, ids: BlobIds) -> Result<Self> {
        if !is_backup(root)? {
            return Err(Error::not_found(Subject::Backup, format!("there is no backup in {}", root.display())));
        }
        let lock = lock(root)?;
        let pool = FileBlobs::open(&root.join(BLOBS), ids.clone())?;
        Ok(Self { root: root.to_owned(), pool, ids, _lock: lock })
    }

    /// The names of the generations that are complete, the oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn generations(&self) -> Result<Vec<String>> {
        let mut names = self.folders()?;
        names.retain(|name| !name.ends_with(DRAFT));
        names.sort_unstable();
        Ok(names)
    }

    /// A generation.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub fn generation(&self, name: &str) -> Result<Generation> {
        if !self.generations()?.iter().any(|known| known == name) {
            return Err(Error::not_found(Subject::Backup, format!("there is no generation {name}")));
        }
        Generation::open(self.folder(name), self.pool.clone(), self.ids.clone())
    }

    /// Begins a generation of this name, which is in no use.
    ///
    /// # Errors
    /// `Conflict`, `Unavailable`.
    pub fn begin(&self, name: &str) -> Result<Draft> {
        let folder = self.folder(name);
        if fs::exists(&folder).map_err(|e| failed(&folder, &e))? {
            return Err(Error::conflict(Subject::Backup, format!("there is a generation {name} already")));
        }
        Draft::begin(self.folder(&format!("{name}{DRAFT}")), folder, self.pool.clone(), self.ids.clone())
    }

    /// Deletes the oldest generations but `keep`, and blobs that no other lists; their names, and how many blobs it were.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` if the list of a generation cannot be read: then no blob is deleted.
    pub async fn prune(&self, keep: usize) -> Result<(Vec<String>, usize)> {
        let mut old = self.generations()?;
        let kept = old.split_off(old.len().saturating_sub(keep.max(1)));
        for name in &old {
            let (folder, gone) = (self.folder(name), self.folder(&format!("{name}{DRAFT}")));
            // Under its name there is never half of it.
            let remove = || fs::rename(&folder, &gone).and_then(|()| fs::remove_dir_all(&gone));
            remove().map_err(|e| failed(&folder, &e))?;
        }
        let mut listed = HashSet::new();
        for name in &kept {
            listed.extend(generation::read_list(&self.folder(name))?);
        }
        let mut deleted = 0;
        let mut cursor = None;
        loop {
            let page = self.pool.scan(cursor).await?;
            let unlisted: Vec<BlobId> =
                page.blobs.iter().map(|info| info.id).filter(|blob| !listed.contains(blob)).collect();
            for blob in unlisted {
                self.pool.delete(blob).await?;
                deleted += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok((old, deleted));
            }
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(GENERATIONS).join(name)
    }

    fn folders(&self) -> Result<Vec<String>> {
        let folder = self.root.join(GENERATIONS);
        let fail = |e: io::Error| failed(&folder, &e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_type().map_err(fail)?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn remove_drafts(&self) -> Result<()> {
        for name in self.folders()?.iter().filter(|name| name.ends_with(DRAFT)) {
            let folder = self.folder(name);
            fs::remove_dir_all(&folder).map_err(|e| failed(&folder, &e))?;
        }
        Ok(())
    }
}

fn is_backup(root: &Path) -> Result<bool> {
    let path = root.join(MARKER.0);
    fs::exists(&path).map_err(|e| failed(&path, &e))
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| failed(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::conflict(Subject::Backup, format!("another process is at the backup in {}", root.display())))
        }
        Err(TryLockError::Error(error)) => Err(failed(&path, &error)),
    }
}

#[cfg(test)]
mod tests;
