//! Blobs as entries of directories: made, opened, taken up, deleted and listed. Everything here may wait for a disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::time::UNIX_EPOCH;

use super::Shared;
use super::directories::PART;
use super::sums::{self, Ending};
use crate::blob::{BlobId, BlobInfo, BlobState};

/// A blob that is open for reading.
pub(super) struct Opened {
    pub(super) file: File,
    /// Its length, without the trailer.
    pub(super) len: u64,
    pub(super) has_sums: bool,
    pub(super) is_finished: bool,
}

impl Shared {
    pub(super) fn create(&self, id: BlobId) -> io::Result<File> {
        self.directories.make(id)?;
        OpenOptions::new().read(true).write(true).create_new(true).open(self.directories.part(id))
    }

    /// Opens a blob that needs no further look: no call that waits for its bytes.
    pub(super) fn open_sound(&self, id: BlobId) -> io::Result<Option<(File, u64)>> {
        let Some(len) = self.known.sound(id) else { return Ok(None) };
        match File::open(self.directories.finished(id)) {
            // It was deleted meanwhile, or is being taken up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some((file?, len))),
        }
    }

    /// Opens a blob as it lies there.
    pub(super) fn open(&self, id: BlobId) -> io::Result<Opened> {
        // A blob may be finished between the two attempts, so the first name is tried again.
        let (finished, part) = (self.directories.finished(id), self.directories.part(id));
        for (path, is_finished) in [(&finished, true), (&part, false), (&finished, true)] {
            match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    let Ending { len, has_sums } = sums::ending(&file, id, file.metadata()?.len())?;
                    return Ok(Opened { file, len, has_sums, is_finished });
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Opens a blob again to be written, without its trailer.
    pub(super) fn recover(&self, id: BlobId) -> io::Result<(File, u64)> {
        let part = self.directories.part(id);
        match fs::rename(self.directories.finished(id), &part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.known.forget(id);
        let file = OpenOptions::new().read(true).write(true).open(part)?;
        let ending = sums::ending(&file, id, file.metadata()?.len())?;
        if ending.has_sums {
            file.set_len(ending.len)?;
        }
        Ok((file, ending.len))
    }

    pub(super) fn delete(&self, id: BlobId) -> io::Result<()> {
        self.known.forget(id);
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
            let len = match is_part {
                true => metadata.len(),
                false => match File::open(entry.path()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    file => sums::ending(&file?, id, metadata.len())?.len,
                },
            };
            blobs.push(BlobInfo {
                id,
                len,
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
