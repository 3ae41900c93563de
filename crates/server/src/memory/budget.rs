//! A number of bytes that many share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::{Error, ErrorCode};
use tokio::sync::Notify;

use super::with_guard;

/// How long a request may wait for room before it is asked to come back (503).
const WAIT: Duration = Duration::from_secs(5);
/// When it may come back, seconds.
const RETRY_AFTER_S: &str = "5";

/// How many bytes may be held, and how many are.
#[derive(Debug)]
pub(crate) struct Budget {
    name: &'static str,
    limit: usize,
    used: AtomicUsize,
    /// How many wait for room: while nobody does, giving back costs one subtraction.
    waiting: AtomicUsize,
    freed: Notify,
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It is taken.
    Taken,
    /// There was none.
    None,
}

impl Budget {
    /// A budget of `limit` bytes; `name` is its label in metrics.
    pub(crate) fn new(name: &'static str, limit: usize) -> Self {
        Self { name, limit, used: AtomicUsize::new(0), waiting: AtomicUsize::new(0), freed: Notify::new() }
    }

    /// Begins to hold nothing.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes that may be held.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes held now.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    pub(super) fn try_take(&self, bytes: usize) -> Room {
        let taken = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        if taken.is_ok() { Room::Taken } else { Room::None }
    }

    /// Takes room that there may not be: for bytes that are held already.
    pub(super) fn take_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::SeqCst);
            // Whoever counts itself afterwards looks at what is used afterwards.
            if self.waiting.load(Ordering::SeqCst) > 0 {
                self.freed.notify_waiters();
            }
        }
    }

    /// Waits for room, at most so long.
    pub(super) async fn take_within(&self, bytes: usize, wait: Duration) -> Room {
        let _waiting = Waiting::begin(&self.waiting);
        let taken = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                // What is given back from here on wakes.
                freed.as_mut().enable();
                if self.try_take(bytes) == Room::Taken {
                    return;
                }
                freed.await;
            }
        };
        match tokio::time::timeout(wait, taken).await {
            Ok(()) => Room::Taken,
            Err(_) => Room::None,
        }
    }

    /// The refusal of a request that there is no room for.
    pub(super) fn refuse(&self) -> Error {
        metrics::counter!(crate::metrics::MEMORY_REFUSED, "budget" => self.name).increment(1);
        Error::new(ErrorCode::ServiceUnavailable)
            .message("There is no room for your request now. Please try again later.")
            .header("retry-after", RETRY_AFTER_S)
    }

    /// Sets the gauges.
    pub(super) fn show(&self) {
        metrics::gauge!(crate::metrics::MEMORY_USED, "budget" => self.name).set(self.used() as f64);
        metrics::gauge!(crate::metrics::MEMORY_LIMIT, "budget" => self.name).set(self.limit as f64);
    }
}

/// Somebody who waits for room; stops counting also when it is dropped while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Bytes that somebody holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// Holds so many bytes more if there is room at once.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> Room {
        let room = self.budget.try_take(bytes);
        if room == Room::Taken {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        room
    }

    /// Holds so many bytes more, after a while if need be.
    ///
    /// # Errors
    /// `ServiceUnavailable` when no room comes free.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        if self.try_grow(bytes) == Room::Taken {
            return Ok(());
        }
        match self.budget.take_within(bytes, WAIT).await {
            Room::Taken => {
                self.bytes = self.bytes.saturating_add(bytes);
                Ok(())
            }
            Room::None => Err(self.budget.refuse()),
        }
    }

    /// Holds so many bytes more, whether or not there is room: for what is little and there already.
    pub(crate) fn grow_anyway(&mut self, bytes: usize) {
        self.budget.take_anyway(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Holds as many bytes as this, no more and no fewer.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) async fn resize(&mut self, bytes: usize) -> Result<(), Error> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more).await,
            None => {
                self.budget.give_back(self.bytes.saturating_sub(bytes));
                self.bytes = bytes;
                Ok(())
            }
        }
    }

    /// Bytes whose last clone gives all of this back.
    pub(crate) fn attach(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 { bytes } else { with_guard(bytes, self) }
    }

    /// Passes everything on to a holder of its own.
    pub(crate) fn split(&mut self) -> Held {
        Held { budget: Arc::clone(&self.budget), bytes: std::mem::take(&mut self.bytes) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_given_back_once() {
        let budget = Arc::new(Budget::new("test", 100));
        let mut held = budget.hold();
        assert_eq!((held.try_grow(60), held.try_grow(41), budget.used()), (Room::Taken, Room::None, 60));
        held.resize(100).await.unwrap();
        held.resize(30).await.unwrap();
        let bytes = held.split().attach(Bytes::from_static(b"abc"));
        drop(held);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!((&part[..], budget.used()), (&b"bc"[..], 30));
        drop(part);
        assert_eq!(budget.used(), 0);
        let mut beyond = budget.hold();
        beyond.grow_anyway(101);
        assert_eq!((budget.used(), budget.hold().try_grow(1)), (101, Room::None));
        drop(beyond);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn room_is_waited_for_and_then_refused() {
        let budget = Arc::new(Budget::new("test", 100));
        let mut first = budget.hold();
        assert_eq!(first.try_grow(100), Room::Taken);
        assert_eq!(budget.take_within(1, Duration::from_millis(10)).await, Room::None);
        assert_eq!((budget.used(), budget.waiting.load(Ordering::SeqCst)), (100, 0));
        assert_eq!(budget.refuse().code, ErrorCode::ServiceUnavailable);
        let mut second = budget.hold();
        let (grown, ()) = tokio::join!(second.grow(50), async { drop(first) });
        assert_eq!((grown.is_ok(), budget.used()), (true, 50));
    }
}
