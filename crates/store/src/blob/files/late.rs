//! Blobs that were finished without being made durable, which is done for many of them at once before their names are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::PoisonError;

use super::Shared;
use super::directories::shard_of;
use crate::blob::BlobId;

/// More blobs than this are not flushed one by one, but with everything else on their filesystem.
const MAX_ONE_BY_ONE: usize = 64;
/// Blobs that wait at most; what is finished beyond is left to the system.
const MAX_LATE: usize = 1 << 16;

impl Shared {
    /// A blob was finished whose bytes may not be on disk yet.
    pub(super) fn note_late(&self, id: BlobId) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() < MAX_LATE {
            late.push(id);
        }
    }

    pub(super) fn flush_late(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        if late.is_empty() {
            return;
        }
        let flushed = match late.len() > MAX_ONE_BY_ONE {
            true => self.directories.sync_filesystem(),
            false => self.flush_each(&late),
        };
        if let Err(error) = flushed {
            tracing::error!(%error, blobs = late.len(), "finished blobs could not be made durable");
        }
    }

    fn flush_each(&self, late: &[BlobId]) -> io::Result<()> {
        let mut directories = BTreeMap::new();
        for id in late {
            match File::open(self.directories.finished(*id)) {
                // It was deleted since, or taken up.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?.sync_data()?,
            }
            directories.insert(shard_of(*id), *id);
        }
        directories.values().try_for_each(|id| self.directories.sync_renames(*id))
    }
}
