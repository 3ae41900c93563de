//! Blobs that come from elsewhere with the ids that they have there: by a move, and for a store that keeps its finished
//! blobs in another place, and files only as a spool and a cache.

use std::fs;

#[cfg(feature = "s3")]
use bytes::Bytes;

use super::{FileBlobs, FileWriter, Mark, blocking};
use crate::blob::{BlobId, BlobWriter, OnDrop};
use crate::error::Result;

impl FileBlobs {
    /// Begins a blob with an id that another store gave it.
    pub(crate) async fn create_as(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let mark = Mark::new(&self.0, id)?;
        let mut writer = blocking(id, move || {
            // What an earlier attempt left is begun anew.
            match fs::remove_file(mark.store().directories.part(id)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = mark.store().create(id)?;
            Ok(FileWriter::new(mark, file, 0, OnDrop::Delete))
        })
        .await?;
        writer.set_on_drop(on_drop);
        Ok(Box::new(writer))
    }

    /// Keeps bytes under an id that another store gave them. They need not survive a crash of the machine.
    #[cfg(feature = "s3")]
    pub(crate) async fn put_as(&self, id: BlobId, bytes: Bytes) -> Result<()> {
        let mut writer = self.create_as(id, OnDrop::Delete).await?;
        writer.append(bytes).await?;
        writer.finish().await.map(drop)
    }

    /// Takes over a finished blob of a store on the same filesystem, with its checksums. It is `len` bytes long.
    #[cfg(feature = "s3")]
    pub(crate) async fn take_over(&self, from: &FileBlobs, id: BlobId, len: u64) -> Result<()> {
        let (to, from) = (std::sync::Arc::clone(&self.0), std::sync::Arc::clone(&from.0));
        blocking(id, move || {
            to.directories.make(id)?;
            let was_sound = from.known.sound(id).is_some();
            fs::rename(from.directories.finished(id), to.directories.finished(id))?;
            from.known.forget(id);
            if was_sound && len > 0 {
                to.known.note_sound(id, len);
            }
            Ok(())
        })
        .await
    }
}
