//! What waits for the store's side of a push, and how much may.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::live::recorder::Work;

/// Media of one push that waits in memory for a slow store; with more the encoder is not read from. As much as 40 s of a
/// stream of 0.9 Mbit/s.
const MAX_WAITING: usize = 4 << 20;
/// The same while the store is in time. A push that is faster than it gains nothing by more, since it is held up all the
/// same, and what waits for long has left the processor's caches when it is summed and written.
const MAX_WAITING_IN_TIME: usize = 512 << 10;
/// How long the store may take for what it was handed and be in time.
const IN_TIME: Duration = Duration::from_millis(50);
/// Media of all pushes that waits; with more only a push of which nothing waits is read from.
const MAX_ALL_WAITING: usize = 128 << 20;

/// Bytes that wait, of all pushes.
static ALL_WAITING: AtomicUsize = AtomicUsize::new(0);

/// What waits for the store's side, counted among that of all pushes.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) work: VecDeque<Work>,
    /// Bytes in `work`, and in what is being done.
    bytes: usize,
    /// When what is being done was taken.
    taken: Option<Instant>,
}

impl Waiting {
    pub(super) fn push(&mut self, work: Work) {
        self.bytes += work.len();
        ALL_WAITING.fetch_add(work.len(), Ordering::Relaxed);
        self.work.push_back(work);
    }

    /// Takes all of it; its bytes count until [`Self::is_done`].
    pub(super) fn take(&mut self) -> VecDeque<Work> {
        self.taken = Some(Instant::now());
        std::mem::take(&mut self.work)
    }

    /// Whether there is room for more, beside what waits of other pushes.
    pub(super) fn has_room(&self) -> bool {
        let is_late = self.taken.is_some_and(|taken| taken.elapsed() >= IN_TIME);
        let most = if is_late { MAX_WAITING } else { MAX_WAITING_IN_TIME };
        self.bytes == 0 || (self.bytes < most && ALL_WAITING.load(Ordering::Relaxed) < MAX_ALL_WAITING)
    }

    /// What was taken is done.
    pub(super) fn is_done(&mut self) {
        self.taken = None;
        let left = self.work.iter().map(Work::len).sum();
        ALL_WAITING.fetch_sub(self.bytes - left, Ordering::Relaxed);
        self.bytes = left;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        ALL_WAITING.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_waits_is_counted_until_it_is_done() {
        let mut waiting = Waiting::default();
        waiting.push(Work::Data(Bytes::from_static(b"12345")));
        let taken = waiting.take();
        waiting.push(Work::Data(Bytes::from_static(b"678")));
        assert_eq!((taken.len(), waiting.bytes), (1, 8));
        waiting.is_done();
        assert_eq!((waiting.work.len(), waiting.bytes), (1, 3));
    }

    fn of(len: usize) -> Work {
        Work::Data(Bytes::from(vec![0; len]))
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_more_room_while_the_store_is_late() {
        let mut waiting = Waiting::default();
        waiting.push(of(MAX_WAITING_IN_TIME - 1));
        assert!(waiting.has_room());
        waiting.push(of(1));
        assert!(!waiting.has_room(), "it was handed nothing yet");
        waiting.take();
        tokio::time::advance(IN_TIME - Duration::from_millis(1)).await;
        assert!(!waiting.has_room(), "it is in time");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(waiting.has_room(), "it is late");
        waiting.push(of(MAX_WAITING - MAX_WAITING_IN_TIME - 1));
        assert!(waiting.has_room());
        waiting.push(of(1));
        assert!(!waiting.has_room(), "all that one push may have");
        waiting.is_done();
        assert_eq!(waiting.bytes, MAX_WAITING - MAX_WAITING_IN_TIME);
        assert!(!waiting.has_room(), "what came meanwhile waits for a store that is in time again");
        waiting.take();
        waiting.is_done();
        assert!(waiting.has_room());
    }
}
