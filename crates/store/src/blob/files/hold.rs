//! Garbage that is held: while a backup of this directory runs, maybe in another process, no blob that lost its name is
//! deleted.
//!
//! The file `hold` in the root of the store is locked, shared by every backup and exclusively by a collection of garbage. The
//! system gives a lock back when its process ends, however it ends, so nothing has to expire.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{FileBlobs, Shared, failed};
use crate::blob::Collecting;
use crate::error::Result;

pub(super) const NAME: &str = "hold";

/// Keeps the garbage of a store as long as it lives.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

/// The file, as this process has it open to collect garbage.
#[derive(Debug, Default)]
pub(super) struct HoldFile(OnceLock<Arc<File>>);

impl HoldFile {
    /// Opens it, if that can be done now: a disk that is full may not have room for its entry yet.
    pub(super) fn open(root: &Path) -> Self {
        let file = Self::default();
        let _ = file.get(root);
        file
    }

    fn get(&self, root: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = self.0.get() {
            return Ok(Arc::clone(file));
        }
        let opened = Arc::new(open(root)?);
        Ok(Arc::clone(self.0.get_or_init(|| opened)))
    }
}

fn open(root: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(root.join(NAME))
}

impl FileBlobs {
    /// Holds the garbage of this store, in whichever process it is collected. Waits for a collection that is under way,
    /// which takes a moment. Blocks.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or locked.
    pub fn hold_garbage(&self) -> Result<Hold> {
        let root = self.0.directories.root();
        let file = open(root).map_err(|e| failed(root, &e))?;
        file.lock_shared().map_err(|e| failed(root, &e))?;
        Ok(Hold { _file: file })
    }
}

/// Gives the lock back.
struct Unlock(Arc<File>);

impl Drop for Unlock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Shared {
    /// The right to delete garbage; `None` while somebody holds it.
    pub(super) fn collecting(&self) -> Result<Option<Collecting>> {
        let root = self.directories.root();
        let file = self.hold.get(root).map_err(|e| failed(root, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Collecting::until_dropped(Unlock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(root, &error)),
        }
    }
}
