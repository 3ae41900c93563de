//! Pictures of many channels wait here for a few workers. Nothing in here can hold up whoever offers a picture.

use crate::counters::Counters;
use crate::job::{Image, Job};
use crate::refusal::{Reason, Refusal};
use crate::worker::{Decoder, WorkerCommand};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Pictures that wait, of all channels together.
    pub waiting: usize,
    /// Bytes of their access units.
    pub bytes: usize,
    /// How long a picture may wait before it is too late for it.
    pub wait: Duration,
    /// How long a worker may take for one.
    pub deadline: Duration,
    /// How long a worker that has nothing to do keeps its process.
    pub idle: Duration,
}

impl Default for QueueLimits {
    /// 256 pictures, 64 MiB, 5 s, 2 s, 30 s.
    fn default() -> Self {
        Self {
            waiting: 256,
            bytes: 64 << 20,
            wait: Duration::from_secs(5),
            deadline: Duration::from_secs(2),
            idle: Duration::from_secs(30),
        }
    }
}

/// What a picture that was offered becomes.
type Answer = Result<Image, Refusal>;

/// A queue of pictures to be made: of each key, usually a channel, at most the newest waits.
#[derive(Debug)]
pub struct Queue<K> {
    limits: QueueLimits,
    state: Mutex<State<K>>,
    ready: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct State<K> {
    /// In the order in which keys began to wait: a channel that is replaced keeps its place.
    order: VecDeque<K>,
    waiting: HashMap<K, Waiting>,
    bytes: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    since: Instant,
    answer: oneshot::Sender<Answer>,
}

/// A picture that a worker has taken on. Dropped without an answer it counts as stopped.
#[derive(Debug)]
pub struct Ticket<K> {
    /// Whose it is.
    pub key: K,
    /// What to make.
    pub job: Job,
    answer: Option<oneshot::Sender<Answer>>,
    counters: Arc<Counters>,
}

impl<K> Ticket<K> {
    /// Gives the one who asked what became of it.
    pub fn answer(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        if let Some(sender) = self.answer.take() {
            self.counters.settle(&answer);
            // Nobody may be waiting any more.
            drop(sender.send(answer));
        }
    }
}

impl<K> Drop for Ticket<K> {
    fn drop(&mut self) {
        self.settle(Err(Refusal::new(Reason::Stopped, "the worker went away")));
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue.
    pub fn new(limits: QueueLimits) -> Self {
        let state = State { order: VecDeque::new(), waiting: HashMap::new(), bytes: 0, is_closed: false };
        Self { limits, state: Mutex::new(state), ready: Notify::new(), counters: Arc::default() }
    }

    /// The counters of this queue.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// How many pictures wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offers a picture; never waits. An older one of the same key that is still waiting is answered
    /// [`Reason::Late`]; when too many wait the offered one is answered [`Reason::Full`].
    pub fn offer(&self, key: K, job: Job) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.counters.offer();
        let waiting = Waiting { job, since: Instant::now(), answer: sender };
        let refused = {
            let mut state = self.lock();
            state.put(key, waiting, &self.limits)
        };
        match refused {
            Some((waiting, refusal)) => self.refuse(waiting, refusal),
            None => self.ready.notify_one(),
        }
        receiver
    }

    /// The next picture to be made, in the order in which keys began to wait; `None` once the queue is closed. Pictures
    /// that waited too long, or that nobody wants any more, are answered on the way.
    pub async fn take(&self) -> Option<Ticket<K>> {
        loop {
            let ready = self.ready.notified();
            if let Some(next) = self.next() {
                return next;
            }
            ready.await;
        }
    }

    /// Nothing is taken or accepted any more; what waits is answered [`Reason::Stopped`].
    pub fn close(&self) {
        let waiting: Vec<Waiting> = {
            let mut state = self.lock();
            state.is_closed = true;
            state.order.clear();
            state.bytes = 0;
            state.waiting.drain().map(|(_, waiting)| waiting).collect()
        };
        for waiting in waiting {
            self.refuse(waiting, Refusal::new(Reason::Stopped, "shutting down"));
        }
        self.ready.notify_waiters();
        self.ready.notify_one();
    }

    /// The life of one worker: takes pictures until the queue is closed. Run it as often as there shall be processes.
    pub async fn work(&self, command: WorkerCommand) {
        let mut decoder = Decoder::start(command);
        loop {
            let ticket = match tokio::time::timeout(self.limits.idle, self.take()).await {
                Ok(Some(ticket)) => ticket,
                Ok(None) => break,
                Err(_) => {
                    decoder.stop().await;
                    match self.take().await {
                        Some(ticket) => ticket,
                        None => break,
                    }
                }
            };
            let (begin, starts) = (Instant::now(), decoder.starts());
            let answer = decoder.decode(&ticket.job, self.limits.deadline).await;
            self.counters.work(begin.elapsed(), decoder.starts() - starts);
            ticket.answer(answer);
        }
        decoder.stop().await;
        // Another worker may still be waiting for the news.
        self.ready.notify_one();
    }

    /// `None`: wait; `Some(None)`: closed.
    fn next(&self) -> Option<Option<Ticket<K>>> {
        loop {
            let (key, waiting, more) = {
                let mut state = self.lock();
                if state.is_closed {
                    return Some(None);
                }
                let (key, waiting) = state.pop()?;
                (key, waiting, !state.order.is_empty())
            };
            if waiting.since.elapsed() > self.limits.wait {
                self.refuse(waiting, Refusal::new(Reason::Late, "waited too long for a worker"));
            } else if waiting.answer.is_closed() {
                self.refuse(waiting, Refusal::new(Reason::Late, "nobody waits for it any more"));
            } else {
                // One permit may stand for several pictures.
                if more {
                    self.ready.notify_one();
                }
                let Waiting { job, answer, .. } = waiting;
                return Some(Some(Ticket { key, job, answer: Some(answer), counters: Arc::clone(&self.counters) }));
            }
        }
    }

    fn refuse(&self, waiting: Waiting, refusal: Refusal) {
        let answer = Err(refusal);
        self.counters.settle(&answer);
        drop(waiting.answer.send(answer));
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Each change below is whole before the lock is left, so that a panic elsewhere leaves nothing torn.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// What has to be refused for it, if anything.
    fn put(&mut self, key: K, new: Waiting, limits: &QueueLimits) -> Option<(Waiting, Refusal)> {
        if self.is_closed {
            return Some((new, Refusal::new(Reason::Stopped, "shutting down")));
        }
        let size = new.job.bytes();
        let former = self.waiting.get(&key).map_or(0, |former| former.job.bytes());
        if self.bytes - former + size > limits.bytes {
            return Some((new, Refusal::new(Reason::Full, "too many bytes wait for a worker")));
        }
        if former == 0 && !self.waiting.contains_key(&key) && self.waiting.len() >= limits.waiting {
            return Some((new, Refusal::new(Reason::Full, "too many pictures wait for a worker")));
        }
        self.bytes = self.bytes - former + size;
        match self.waiting.insert(key.clone(), new) {
            Some(older) => Some((older, Refusal::new(Reason::Late, "a newer key frame of the channel came first"))),
            None => {
                self.order.push_back(key);
                None
            }
        }
    }

    fn pop(&mut self) -> Option<(K, Waiting)> {
        let key = self.order.pop_front()?;
        let waiting = self.waiting.remove(&key)?;
        self.bytes -= waiting.job.bytes();
        Some((key, waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{ImageFormat, Output};
    use bytes::Bytes;

    fn job(bytes: usize) -> Job {
        Job::new(vec![Bytes::from(vec![0; bytes])], Output::default())
    }

    fn image() -> Image {
        Image { format: ImageFormat::Jpeg, width: 1, height: 1, bytes: Bytes::new() }
    }

    async fn reason(receiver: oneshot::Receiver<Answer>) -> Option<Reason> {
        receiver.await.unwrap().err().map(|refusal| refusal.reason)
    }

    #[tokio::test]
    async fn only_the_newest_of_a_channel_waits_and_keeps_its_place() {
        let queue = Queue::new(QueueLimits::default());
        let first = queue.offer("a", job(1));
        let _other = queue.offer("b", job(2));
        let newest = queue.offer("a", job(3));
        assert_eq!(reason(first).await, Some(Reason::Late));
        let ticket = queue.take().await.unwrap();
        assert_eq!((ticket.key, ticket.job.bytes()), ("a", 3));
        ticket.answer(Ok(image()));
        assert_eq!(reason(newest).await, None);
        assert_eq!(queue.take().await.unwrap().key, "b");
        let counters = queue.counters().read();
        assert_eq!((counters.offered, counters.taken, counters.of(Reason::Late)), (3, 1, 1));
    }

    #[tokio::test]
    async fn bounds_of_number_and_bytes() {
        let queue = Queue::new(QueueLimits { waiting: 2, bytes: 10, ..QueueLimits::default() });
        let (_a, _b) = (queue.offer(1, job(4)), queue.offer(2, job(4)));
        assert_eq!(reason(queue.offer(3, job(1))).await, Some(Reason::Full));
        assert_eq!(reason(queue.offer(2, job(7))).await, Some(Reason::Full));
        let _replaced = queue.offer(2, job(6));
        assert_eq!((queue.len(), queue.counters().read().of(Reason::Full)), (2, 2));
        let sizes = [queue.take().await.unwrap().job.bytes(), queue.take().await.unwrap().job.bytes()];
        assert_eq!((sizes, queue.is_empty()), ([4, 6], true));
        let _empty_again = queue.offer(4, job(10));
        assert_eq!(queue.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_too_long_is_dropped_and_counted() {
        let queue = Queue::new(QueueLimits { wait: Duration::from_secs(1), ..QueueLimits::default() });
        let late = queue.offer(1, job(1));
        tokio::time::advance(Duration::from_millis(1500)).await;
        let fresh = queue.offer(2, job(1));
        let ticket = queue.take().await.unwrap();
        assert_eq!(ticket.key, 2);
        drop(ticket);
        assert_eq!((reason(late).await, reason(fresh).await), (Some(Reason::Late), Some(Reason::Stopped)));
    }

    #[tokio::test]
    async fn a_picture_that_nobody_wants_is_not_made() {
        let queue = Queue::new(QueueLimits::default());
        drop(queue.offer(1, job(1)));
        let _wanted = queue.offer(2, job(1));
        assert_eq!(queue.take().await.unwrap().key, 2);
    }

    #[tokio::test]
    async fn closing_answers_what_waits_and_ends_every_worker() {
        let queue = Arc::new(Queue::new(QueueLimits::default()));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { while queue.take().await.is_some() {} })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(reason(queue.offer(2, job(1))).await, Some(Reason::Stopped));
        for worker in workers {
            tokio::time::timeout(Duration::from_secs(20), worker).await.expect("ends").unwrap();
        }
    }

    /// Many producers and few consumers: every picture is answered exactly once, whatever the order.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_offer_is_answered_once() {
        let queue = Arc::new(Queue::new(QueueLimits { waiting: 8, ..QueueLimits::default() }));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    while let Some(ticket) = queue.take().await {
                        tokio::task::yield_now().await;
                        ticket.answer(Ok(image()));
                    }
                })
            })
            .collect();
        let mut answers = Vec::new();
        for round in 0..500_u32 {
            answers.push(queue.offer(round % 20, job(1)));
            if round % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let (mut taken, mut refused) = (0, 0);
        for answer in answers {
            match tokio::time::timeout(Duration::from_secs(20), answer).await.expect("an answer").unwrap() {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
        queue.close();
        for worker in workers {
            worker.await.unwrap();
        }
        let counters = queue.counters().read();
        let counted: u64 = counters.refused.iter().map(|(_, count)| count).sum();
        assert_eq!((counters.offered, counters.taken, counted), (500, taken, refused));
    }
}
