//! Blobs as entries of directories: made, opened, taken up, deleted and listed. Everything here may wait for a disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::time::UNIX_EPOCH;

use super::Shared;
use super::directories::PART;
use crate::blob::{BlobId, BlobInfo, BlobState};

impl Shared {
    pub(super) fn create(&self, id: BlobId) -> io::Result<File> {
        self.directories.make(id)?;
        OpenOptions::new().read(true).write(true).create_new(true).open(self.directories.part(id))
    }

    pub(super) fn open(&self, id: BlobId) -> io::Result<File> {
        // A blob may be finished between the two attempts, so the first name is tried again.
        for path in [self.directories.finished(id), self.directories.part(id)] {
            match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        File::open(self.directories.finished(id))
    }

    pub(super) fn recover(&self, id: BlobId) -> io::Result<(File, u64)> {
        let part = self.directories.part(id);
        match fs::rename(self.directories.finished(id), &part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).open(part)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    pub(super) fn delete(&self, id: BlobId) -> io::Result<()> {
        for path in [self.directories.part(id), self.directories.finished(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn scan(&self, shard: usize) -> io::Result<Vec<BlobInfo>> {
        let entries = match fs::read_dir(self.directories.directory(shard)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut blobs = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let (text, is_part) = name.strip_suffix(PART).map_or((name, false), |text| (text, true));
            // Files of others are none of our business, and never deleted.
            let Ok(id) = text.parse::<BlobId>() else { continue };
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            blobs.push(BlobInfo {
                id,
                len: metadata.len(),
                modified_ms: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
                state: match (is_part, self.growing().contains(&id)) {
                    (false, _) => BlobState::Finished,
                    (true, true) => BlobState::Growing,
                    (true, false) => BlobState::Torn,
                },
            });
        }
        Ok(blobs)
    }
}
