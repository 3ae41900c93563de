//! Reads everything that is stored, slowly, and compares it with its checksums: damage that nobody reads is found while there
//! may still be another copy somewhere.

use std::time::Duration;

use crate::blob::{BlobId, BlobState, BlobStore};
use crate::error::{ErrorKind, Result};
use crate::meta::Meta;

/// Bytes of a blob that are read in one go.
const WINDOW: u64 = 1 << 20;

/// How fast a scrub reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second; at least one.
    pub bytes_per_s: u64,
}

impl Pace {
    /// Waits for as long as so many bytes are to take.
    async fn wait(self, bytes: u64) {
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_per_s.max(1);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
}

/// What a scrub saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Bytes compared.
    pub bytes: u64,
    /// Blobs compared.
    pub blobs: u64,
    /// Blobs that have no checksums, because an earlier version wrote them.
    pub unsummed: u64,
    /// Blobs with damaged bytes. [`BlobStore::next_damage`] names each.
    pub damaged_blobs: u64,
    /// What is wrong with bodies in the map, with their names.
    pub damaged_bodies: Vec<String>,
    /// What could not be read at all.
    pub unreadable: Vec<String>,
}

/// Goes over everything once: the bodies in the map, then all finished blobs. What cannot be read is noted and left behind.
///
/// # Errors
/// `Unavailable` when the map does not answer, or the blobs cannot be listed.
pub async fn scrub(meta: &Meta, blobs: &dyn BlobStore, pace: Pace) -> Result<Scrubbed> {
    let mut seen = Scrubbed::default();
    let mut next = None;
    loop {
        let page = match meta.verify_bodies(next).await {
            // A damaged page of the map hides rows; the blobs are elsewhere.
            Err(error) if error.kind == ErrorKind::Corrupt => {
                seen.unreadable.push(format!("bodies in the map: {error}"));
                break;
            }
            page => page?,
        };
        seen.bytes += page.bytes;
        seen.damaged_bodies.extend(page.damaged);
        pace.wait(page.bytes).await;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let mut cursor = None;
    loop {
        let page = blobs.scan(cursor).await?;
        for info in page.blobs.iter().filter(|info| info.state == BlobState::Finished) {
            match scrub_blob(blobs, info.id, pace, &mut seen.bytes).await {
                Ok(Some(is_sound)) => {
                    seen.blobs += 1;
                    seen.damaged_blobs += u64::from(!is_sound);
                }
                Ok(None) => seen.unsummed += 1,
                Err(error) if error.is_not_found() => {}
                Err(error) => seen.unreadable.push(format!("{}: {error}", info.id)),
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(seen);
        }
    }
}

/// Whether a blob is sound; `None` when that cannot be known.
async fn scrub_blob(blobs: &dyn BlobStore, id: BlobId, pace: Pace, bytes: &mut u64) -> Result<Option<bool>> {
    let (mut at, mut is_sound) = (0, true);
    loop {
        let verified = blobs.verify(id, at..at.saturating_add(WINDOW)).await?;
        if !verified.has_sums {
            return Ok(None);
        }
        is_sound &= verified.damaged.is_empty();
        let read = verified.len.saturating_sub(at).min(WINDOW);
        *bytes += read;
        pace.wait(read).await;
        at = at.saturating_add(WINDOW);
        if at >= verified.len {
            return Ok(Some(is_sound));
        }
    }
}
