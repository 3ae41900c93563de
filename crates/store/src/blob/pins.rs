//! Blobs that readers of this process have yet to open: they stay while their names and their grace are gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BlobId;

/// Which blobs are pinned. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<Mutex<HashMap<BlobId, usize>>>);

/// Keeps blobs from being deleted as garbage as long as it lives.
#[derive(Debug)]
pub struct Pinned {
    pins: Pins,
    blobs: Vec<BlobId>,
}

impl Pins {
    /// Pins these blobs, which have a name, or lost it less than a garbage grace ago.
    pub fn pin(&self, blobs: impl IntoIterator<Item = BlobId>) -> Pinned {
        let blobs: Vec<BlobId> = blobs.into_iter().collect();
        let mut counts = self.counts();
        for blob in &blobs {
            *counts.entry(*blob).or_default() += 1;
        }
        drop(counts);
        Pinned { pins: self.clone(), blobs }
    }

    /// Whether somebody has yet to read this blob.
    pub fn is_pinned(&self, blob: BlobId) -> bool {
        self.counts().contains_key(&blob)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<BlobId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut counts = self.pins.counts();
        for blob in &self.blobs {
            if let Some(count) = counts.get_mut(blob) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(blob);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_pinned_until_its_last_pin_goes() {
        let (a, b) = (BlobId::new(1, [1; 10]), BlobId::new(2, [2; 10]));
        let pins = Pins::default();
        let (one, two) = (pins.pin([a, b]), pins.pin([a, a]));
        assert!(pins.is_pinned(a) && pins.is_pinned(b));
        drop(one);
        assert!(pins.is_pinned(a) && !pins.is_pinned(b));
        drop(two);
        assert!(!pins.is_pinned(a));
        assert_eq!(pins.counts().len(), 0);
    }
}
