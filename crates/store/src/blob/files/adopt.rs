//! Blobs taken over from another store, for backups: by a hard link where both are on one filesystem, else as a copy.

use std::fs::{self, File};
use std::io;

use super::{FileBlobs, failed};
use crate::blob::BlobId;
use crate::error::{Error, Result, Subject};

/// How a blob came into a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It was there already.
    Present,
    /// Both stores have the same file now.
    Linked,
    /// So many bytes were copied.
    Copied(u64),
}

impl FileBlobs {
    /// Takes over a finished blob of another store, which never changes any more. It is there whole or not at all; it is
    /// durable after [`FileBlobs::flush_all`]. Blocks.
    ///
    /// # Errors
    /// `NotFound` if the other store does not have it; `Unavailable`.
    pub fn adopt(&self, from: &FileBlobs, id: BlobId, may_link: bool) -> Result<Adopted> {
        let (source, target) = (from.0.directories.finished(id), self.0.directories.finished(id));
        let adopt = || {
            if fs::exists(&target)? {
                return Ok(Adopted::Present);
            }
            fs::create_dir_all(self.0.directories.of(id))?;
            if may_link {
                match fs::hard_link(&source, &target) {
                    Ok(()) => return Ok(Adopted::Linked),
                    // Another filesystem, or one without links, or a file that has all it may have.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            let part = self.0.directories.part(id);
            let bytes = fs::copy(&source, &part)?;
            flush(&part)?;
            fs::rename(&part, &target)?;
            Ok(Adopted::Copied(bytes))
        };
        adopt().map_err(|e| failed(id.to_string(), &e))
    }

    /// Copies a blob that may still grow, or be finished meanwhile, as far as it is now and under the name it has. It is
    /// never linked: whoever takes it up after a crash changes the file. Blocks.
    ///
    /// # Errors
    /// `NotFound` if the other store does not have it; `Unavailable`.
    pub fn adopt_unfinished(&self, from: &FileBlobs, id: BlobId) -> Result<()> {
        let (ours, theirs) = (&self.0.directories, &from.0.directories);
        // It may be finished between the two attempts, so the first name is tried again.
        for (source, target) in [
            (theirs.finished(id), ours.finished(id)),
            (theirs.part(id), ours.part(id)),
            (theirs.finished(id), ours.finished(id)),
        ] {
            let copy = || {
                fs::create_dir_all(ours.of(id))?;
                fs::copy(&source, &target)?;
                flush(&target)
            };
            match copy() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done.map_err(|e| failed(id.to_string(), &e)),
            }
        }
        Err(Error::not_found(Subject::Blob, id.to_string()))
    }

    /// Makes everything durable that is on the filesystem of this store. Blocks.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn flush_all(&self) -> Result<()> {
        self.0.directories.sync_filesystem().map_err(|e| failed(self.0.directories.root(), &e))
    }
}

/// Flushes a file where the filesystem is not flushed as a whole later.
fn flush(path: &std::path::Path) -> io::Result<()> {
    if cfg!(target_os = "linux") { Ok(()) } else { File::open(path)?.sync_all() }
}
