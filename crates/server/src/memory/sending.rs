//! Answers that wait for their peers. Each holds at most [`MAX_AHEAD`] bytes that were read for it; how long a peer takes
//! for them is its own business until others need the room, or for `http.stalled_answer_s`.
//!
//! An answer moves when bytes of it are dropped, which is when the connection has written them out. The one that has not
//! moved for the longest time is the first to be ended: its HTTP/2 stream, and where that frees nothing, because the whole
//! connection is stuck, or where there is none, the connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::Error;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::budget::{Budget, Room};
use super::with_guard;

/// What stays open as long as this is kept.
pub(crate) type Open = Arc<dyn std::any::Any + Send + Sync>;

/// What may be read ahead of a peer, bytes an answer.
pub(crate) const MAX_AHEAD: usize = 64 * 1024;
/// How much is read for an answer at once, so that one piece is written while the next is read.
pub(crate) const PIECE: usize = MAX_AHEAD / 2;

/// An answer that has not moved for so long may be ended when there is no room.
const STALLED: Duration = Duration::from_secs(2);
/// How long the end of a stream may take to free what it held, before the connection is ended.
const STREAM_END: Duration = Duration::from_secs(2);
/// How often room is made while somebody waits for it.
const MAKE_ROOM_EVERY: Duration = Duration::from_millis(100);
/// How much room is made at once: the budget divided by this.
const SHARE: usize = 16;
/// How long an answer that is kept in memory as a whole may wait for room.
const WAIT: Duration = Duration::from_secs(5);

tokio::task_local! {
    static STREAM: StreamEnd;
}

/// The word that one HTTP/2 stream ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamEnd(Arc<Notify>);

impl StreamEnd {
    /// Runs the task of a stream, which is dropped when the word is given. What runs in it finds the word by
    /// `stream_end`.
    pub(crate) async fn govern(self, task: impl Future) {
        let word = self.clone();
        STREAM
            .scope(self, async move {
                tokio::select! {
                    biased;
                    () = word.0.notified() => {}
                    _ = task => {}
                }
            })
            .await;
    }
}

/// The word that ends the stream whose task this is called in.
fn stream_end() -> Option<StreamEnd> {
    STREAM.try_with(Clone::clone).ok()
}

/// The budget of answers, and the connections that they are sent on.
#[derive(Debug)]
pub(crate) struct Sending {
    budget: Budget,
    stalled_after: Duration,
    start: Instant,
    connections: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    made_room: Mutex<Option<Instant>>,
}

/// A connection as others see it.
#[derive(Debug, Default)]
struct Entry {
    answers: Mutex<Vec<Weak<Answer>>>,
    end: Notify,
}

/// An HTTP connection. Dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Connection {
    sending: Arc<Sending>,
    number: u64,
    entry: Arc<Entry>,
}

/// One answer on its way.
#[derive(Debug)]
struct Answer {
    sending: Arc<Sending>,
    connection: Arc<Entry>,
    stream: Option<StreamEnd>,
    /// Bytes that were read and not yet written out.
    held: AtomicUsize,
    /// When it last moved, and when it was asked to end, in ms since the start; 0 for not at all.
    moved_ms: AtomicU64,
    told_ms: AtomicU64,
    waker: Mutex<Option<Waker>>,
    /// The request counts as open until its answer has left.
    _open: Option<Open>,
}

/// The sender's side of an answer on its way.
#[derive(Debug, Clone)]
pub(crate) struct Answering(Arc<Answer>);

impl Sending {
    /// Answers that move less often than `stalled_after` are ended.
    pub(super) fn new(budget: Budget, stalled_after: Duration) -> Self {
        Self {
            budget,
            stalled_after,
            start: Instant::now(),
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            made_room: Mutex::default(),
        }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A new connection.
    pub(crate) fn connection(self: &Arc<Self>) -> Connection {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry::default());
        self.connections.lock().insert(number, Arc::clone(&entry));
        Connection { sending: Arc::clone(self), number, entry }
    }

    /// Waits until an answer of so many bytes would have room. It is not taken: the answer itself takes it.
    ///
    /// # Errors
    /// `ServiceUnavailable` when none can be made in time.
    pub(crate) async fn make_room_for(&self, bytes: usize) -> Result<(), Error> {
        match tokio::time::timeout(WAIT, self.take(bytes)).await {
            Ok(()) => {
                self.budget.give_back(bytes);
                Ok(())
            }
            Err(_) => Err(self.budget.refuse()),
        }
    }

    /// Takes room, and makes it as long as there is none.
    async fn take(&self, bytes: usize) {
        while self.budget.try_take(bytes) == Room::None {
            self.make_room(bytes);
            if self.budget.take_within(bytes, MAKE_ROOM_EVERY).await == Room::Taken {
                return;
            }
        }
    }

    /// Ends the answers that have stalled for the longest time.
    fn make_room(&self, bytes: usize) {
        let now = Instant::now();
        let mut made_room = self.made_room.lock();
        if made_room.is_some_and(|last| now.duration_since(last) < MAKE_ROOM_EVERY) {
            return;
        }
        *made_room = Some(now);
        drop(made_room);
        let mut left = bytes.max(self.budget.limit() / SHARE);
        let mut stalled = self.stalled(now, STALLED);
        stalled.sort_unstable_by_key(|answer| answer.moved_ms.load(Ordering::Relaxed));
        let count = stalled
            .iter()
            .take_while(|answer| {
                let is_wanted = left > 0;
                left = left.saturating_sub(answer.held.load(Ordering::Relaxed));
                is_wanted
            })
            .filter(|answer| answer.end(self.ms(now)))
            .count();
        if count > 0 {
            tracing::info!(count, "stalled answers were ended to make room for others");
        }
    }

    /// Ends the answers that have stalled for too long, whether or not there is room.
    pub(super) fn end_overdue(&self, now: Instant) {
        let stalled = self.stalled(now, self.stalled_after);
        let count = stalled.iter().filter(|answer| answer.end(self.ms(now))).count();
        if count > 0 {
            tracing::info!(count, "answers that had stalled for too long were ended");
        }
    }

    /// The answers that hold something and have not moved for so long.
    fn stalled(&self, now: Instant, at_least: Duration) -> Vec<Arc<Answer>> {
        let before_ms = self.ms(now).saturating_sub(u64::try_from(at_least.as_millis()).unwrap_or(u64::MAX));
        let connections: Vec<_> = self.connections.lock().values().cloned().collect();
        let is_stalled = |answer: &Arc<Answer>| {
            answer.held.load(Ordering::Relaxed) > 0 && answer.moved_ms.load(Ordering::Relaxed) < before_ms
        };
        connections
            .iter()
            .flat_map(|entry| {
                entry.answers.lock().iter().filter_map(Weak::upgrade).filter(is_stalled).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Never 0, which stands for not at all.
    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Connection {
    /// Waits until the connection is to be ended at once.
    pub(crate) async fn ended(&self) {
        self.entry.end.notified().await;
    }

    /// An answer that begins to wait on this connection, in the task of its stream if it has one.
    pub(crate) fn answer(&self, open: Option<Open>) -> Answering {
        let sending = Arc::clone(&self.sending);
        let now_ms = sending.ms(Instant::now());
        let answer = Arc::new(Answer {
            sending,
            connection: Arc::clone(&self.entry),
            stream: stream_end(),
            held: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(now_ms),
            told_ms: AtomicU64::new(0),
            waker: Mutex::default(),
            _open: open,
        });
        let mut answers = self.entry.answers.lock();
        answers.retain(|answer| answer.strong_count() > 0);
        answers.push(Arc::downgrade(&answer));
        Answering(answer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.sending.connections.lock().remove(&self.number);
    }
}

impl Answer {
    /// Tells it to end, or its connection if it was asked before; whether this was the first time.
    fn end(&self, now_ms: u64) -> bool {
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        if told_ms == 0 {
            self.told_ms.store(now_ms, Ordering::Relaxed);
            metrics::counter!(crate::metrics::STALLED_ANSWERS_ENDED).increment(1);
        }
        match &self.stream {
            Some(stream) if told_ms == 0 => stream.0.notify_one(),
            Some(_) if now_ms.saturating_sub(told_ms) < u64::try_from(STREAM_END.as_millis()).unwrap_or(0) => {}
            _ => self.connection.end.notify_one(),
        }
        told_ms == 0
    }
}

impl Answering {
    /// Whether the peer has taken enough that more may be read for it; wakes when it has.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let has_room = || self.0.held.load(Ordering::SeqCst).saturating_add(PIECE) <= MAX_AHEAD;
        if has_room() {
            return Poll::Ready(());
        }
        *self.0.waker.lock() = Some(context.waker().clone());
        // What was written meanwhile has woken nobody.
        if has_room() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes room for bytes that are about to be read, as long as that may take.
    pub(crate) async fn take(&self, bytes: usize) -> Taken {
        self.0.sending.take(bytes).await;
        Taken { answer: Arc::clone(&self.0), bytes: 0 }.with(bytes)
    }

    /// Takes room for bytes that are there already.
    pub(crate) fn take_anyway(&self, bytes: usize) -> Taken {
        self.0.sending.budget.take_anyway(bytes);
        Taken { answer: Arc::clone(&self.0), bytes: 0 }.with(bytes)
    }
}

/// Room that an answer has taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    answer: Arc<Answer>,
    bytes: usize,
}

impl Taken {
    fn with(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        if self.answer.held.fetch_add(bytes, Ordering::SeqCst) == 0 {
            // It was waiting for us, not for its peer.
            self.answer.moved_ms.store(self.answer.sending.ms(Instant::now()), Ordering::Relaxed);
        }
        self
    }

    /// Bytes that take this room, or less of it, until the last of them has left.
    pub(crate) fn attach(mut self, bytes: Bytes) -> Bytes {
        let excess = self.bytes.saturating_sub(bytes.len());
        self.give_back(excess);
        with_guard(bytes, self)
    }

    fn give_back(&mut self, bytes: usize) {
        if bytes > 0 {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.answer.held.fetch_sub(bytes, Ordering::SeqCst);
            self.answer.sending.budget.give_back(bytes);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back(self.bytes);
        self.answer.moved_ms.store(self.answer.sending.ms(Instant::now()), Ordering::Relaxed);
        let waker = self.answer.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(limit: usize) -> Arc<Sending> {
        Arc::new(Sending::new(Budget::new("test", limit), Duration::from_secs(600)))
    }

    #[tokio::test]
    async fn an_answer_reads_no_further_ahead_than_it_may() {
        let sending = sending(1 << 20);
        let answer = sending.connection().answer(None);
        let context = Context::from_waker(Waker::noop());
        let first = answer.take(PIECE).await.attach(vec![1; PIECE].into());
        assert!(answer.poll_room(&context).is_ready());
        // Less than was taken room for is given back.
        let second = answer.take(PIECE).await.attach(vec![1; PIECE - 10].into());
        assert_eq!(sending.budget.used(), 2 * PIECE - 10);
        assert!(answer.poll_room(&context).is_pending());
        drop(first.slice(5..));
        assert!(answer.poll_room(&context).is_pending());
        drop(first);
        assert!(answer.poll_room(&context).is_ready());
        drop(second);
        assert_eq!(sending.budget.used(), 0);
    }

    #[tokio::test]
    async fn the_longest_stalled_is_ended_first_and_then_its_connection() {
        let sending = sending(100);
        let (first, second) = (sending.connection(), sending.connection());
        let (old, new) = (first.answer(None), second.answer(None));
        let _held = (old.take(50).await, new.take(50).await);
        let later = sending.start + Duration::from_secs(100);
        for (answer, seconds) in [(&old, 10), (&new, 50)] {
            let at = sending.start + Duration::from_secs(seconds);
            answer.0.moved_ms.store(sending.ms(at), Ordering::Relaxed);
        }
        let stalled = sending.stalled(later, Duration::from_secs(60));
        assert!(stalled.len() == 1 && Arc::ptr_eq(&stalled[0], &old.0));
        assert_eq!(sending.stalled(later, STALLED).len(), 2);
        // Without a stream there is only the connection to end.
        assert!(old.0.end(sending.ms(later)));
        first.ended().await;
        let mut told = std::pin::pin!(second.ended());
        assert!(futures_poll(told.as_mut()).is_pending());
    }

    #[tokio::test]
    async fn a_stream_that_is_ended_is_dropped() {
        let sending = sending(100);
        let connection = sending.connection();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let stream = tokio::spawn(StreamEnd::default().govern(async move {
            let answer = connection.answer(None);
            let held = answer.take(10).await;
            let _ = sender.send(Arc::downgrade(&answer.0));
            std::future::pending::<()>().await;
            drop((held, connection));
        }));
        let answer = receiver.await.unwrap().upgrade().unwrap();
        assert!(answer.end(5));
        stream.await.unwrap();
        assert_eq!(sending.budget.used(), 0);
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }
}
