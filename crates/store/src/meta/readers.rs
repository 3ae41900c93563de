//! Since when somebody reads: what other processes that share the blobs have to know before they delete any.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::blob::Pinned;

/// Who reads now, by when each began. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers(Arc<Mutex<BTreeMap<i64, usize>>>);

/// Keeps blobs from being deleted as garbage as long as it lives: by this process and, where it is counted as a reader, by
/// the others.
#[derive(Debug)]
pub struct Reading {
    _pinned: Pinned,
    counted: Option<(Readers, i64)>,
}

impl Readers {
    /// Somebody begins to read.
    pub(super) fn begin(&self, pinned: Pinned, now_ms: i64) -> Reading {
        *self.counts().entry(now_ms).or_default() += 1;
        Reading { _pinned: pinned, counted: Some((self.clone(), now_ms)) }
    }

    /// When the oldest reader began.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.counts().keys().next().copied()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<i64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// A reader that only this process knows.
    pub(super) fn uncounted(pinned: Pinned) -> Self {
        Self { _pinned: pinned, counted: None }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some((readers, began_ms)) = &self.counted else { return };
        let mut counts = readers.counts();
        if let Some(count) = counts.get_mut(began_ms) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(began_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Pins;

    #[test]
    fn the_oldest_reader_is_known_until_it_ends() {
        let (readers, pins) = (Readers::default(), Pins::default());
        let begin = |now_ms| readers.begin(pins.pin([]), now_ms);
        assert_eq!(readers.oldest_ms(), None);
        let (one, two, three) = (begin(5), begin(5), begin(7));
        drop(one);
        assert_eq!(readers.oldest_ms(), Some(5));
        drop(two);
        assert_eq!(readers.oldest_ms(), Some(7));
        drop(three);
        drop(Reading::uncounted(pins.pin([])));
        assert_eq!(readers.oldest_ms(), None);
    }
}
