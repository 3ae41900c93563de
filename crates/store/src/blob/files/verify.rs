//! Compares the bytes of a blob with their checksums, as they lie on the disk: past the page cache, which may have a good
//! copy of what has rotted, and would forget what others read for what nobody needs.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::Shared;
use super::sums::{self, BLOCK_BYTES};
use crate::blob::direct::{BLOCK, open_to_read};
use crate::blob::{BlobId, Verified};

/// Read at once: whole blocks of both kinds.
const READ_BYTES: usize = 16 * BLOCK_BYTES;

impl Shared {
    /// Verifies the blocks of a blob that `range` touches.
    pub(super) fn verify(&self, id: BlobId, range: &Range<u64>) -> io::Result<Verified> {
        let opened = self.open(id)?;
        let mut verified = Verified { len: opened.len, has_sums: false, damaged: Vec::new() };
        if !opened.has_sums || !opened.is_finished {
            return Ok(verified);
        }
        let Some(sums) = sums::read(&opened.file, id, opened.len)? else {
            tracing::warn!(%id, "the checksums of a blob are damaged themselves, so its bytes cannot be verified");
            return Ok(verified);
        };
        verified.has_sums = true;
        let direct = open_to_read(&self.directories.finished(id));
        let mut memory = vec![0; READ_BYTES + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        let buffer = memory.get_mut(start..start + READ_BYTES).unwrap_or_default();
        let block = BLOCK_BYTES as u64;
        let mut at = range.start / block * block;
        let end = range.end.div_ceil(block).saturating_mul(block).min(opened.len);
        while at < end {
            let count = usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            fill(direct.as_ref(), &opened.file, buffer, at, count)?;
            verified.damaged.extend(sums.damage(at, buffer.get(..count).unwrap_or_default()));
            at = at.saturating_add(READ_BYTES as u64);
        }
        if !verified.damaged.is_empty() {
            self.known.note_damage(id, &verified.damaged);
        } else if range.start == 0 && range.end >= opened.len {
            self.known.note_sound(id, opened.len);
        }
        Ok(verified)
    }
}

/// Reads `count` bytes, through `direct` where that works.
fn fill(direct: Option<&File>, cached: &File, buffer: &mut [u8], at: u64, count: usize) -> io::Result<()> {
    if let Some(direct) = direct {
        // The end of the file need not be a whole block; what is read beyond `count` does not matter.
        match direct.read_at(buffer, at) {
            Ok(read) if read >= count => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
            _ => {}
        }
    }
    cached.read_exact_at(buffer.get_mut(..count).unwrap_or_default(), at)
}
