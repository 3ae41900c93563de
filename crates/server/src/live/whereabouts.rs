//! In which blob the bytes of a segment are, for everybody who wants to know: whoever writes them, also when it has to begin
//! again elsewhere, and whoever notes meanwhile where a crash would find them.

use std::sync::Arc;

use parking_lot::Mutex;
use store::blob::BlobId;

/// One place that several know; nowhere at first.
#[derive(Debug, Clone, Default)]
pub(super) struct Whereabouts(Arc<Mutex<Option<BlobId>>>);

impl Whereabouts {
    /// In this blob.
    pub(super) fn known(blob: BlobId) -> Self {
        Self(Arc::new(Mutex::new(Some(blob))))
    }

    /// The blob, if there is one yet.
    pub(super) fn blob(&self) -> Option<BlobId> {
        *self.0.lock()
    }

    /// From now on the bytes are in this blob; where they were before.
    pub(super) fn moved_to(&self, blob: BlobId) -> Option<BlobId> {
        self.0.lock().replace(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_know_it_see_it_move() {
        let [first, second] = [1, 2].map(|n| BlobId::new(1_700_000_000_000, [n; 10]));
        let place = Whereabouts::default();
        let seen = place.clone();
        assert_eq!((seen.blob(), place.moved_to(first), seen.blob()), (None, None, Some(first)));
        assert_eq!((place.moved_to(second), seen.blob()), (Some(first), Some(second)));
        assert_eq!(Whereabouts::known(first).blob(), Some(first));
    }
}
