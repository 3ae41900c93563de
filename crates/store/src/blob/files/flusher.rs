//! Flushes of many files, one behind the other on few threads.
//!
//! Handing each flush to a thread of its own costs two wake-ups of threads, which at hundreds of pushes is more than the
//! flush. So flushes stand in a queue. One thread takes them in turn as long as they are short; when the disk takes its
//! time there are more, since then it is the waiting that counts, and many flushes at once are merged by the system.
//! Whoever ends a segment goes before those who only make an open one durable.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// What takes longer is a slow disk, for which others do not wait.
const SHORT: Duration = Duration::from_millis(8);
/// Flushes at once at most.
const MAX_THREADS: usize = 64;
/// Flushes at once for those who wait, also on a fast disk: the system merges them.
const SOON_THREADS: usize = 4;

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Somebody waits for the end of a segment or an object.
    Soon,
    /// Bytes of a file that still grows.
    Later,
}

type Job = Box<dyn FnOnce() + Send>;

/// The queue, shared by all files of a store.
#[derive(Debug, Default)]
pub(super) struct Flusher(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    soon: VecDeque<Job>,
    later: VecDeque<Job>,
    threads: usize,
    /// When the last of the threads began what it is at.
    began: Option<Instant>,
    /// How long the last flush took.
    last: Duration,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.soon.len() + self.later.len();
        f.debug_struct("Queue").field("waiting", &waiting).field("threads", &self.threads).finish()
    }
}

impl Queue {
    fn next(&mut self) -> Option<Job> {
        self.soon.pop_front().or_else(|| self.later.pop_front())
    }

    /// Whether what waits would wait for a slow disk.
    fn is_slow(&self, now: Instant) -> bool {
        self.last > SHORT || self.began.is_some_and(|began| now.saturating_duration_since(began) > SHORT)
    }
}

impl Flusher {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has work done that waits for the disk. It is done also when nobody waits for the result any more.
    pub(super) fn submit<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> oneshot::Receiver<io::Result<T>> {
        let (reply, outcome) = oneshot::channel();
        let job: Job = Box::new(move || {
            let _ = reply.send(work());
        });
        let mut queue = self.queue();
        let enough = match turn {
            Turn::Soon => {
                queue.soon.push_back(job);
                SOON_THREADS
            }
            Turn::Later => {
                queue.later.push_back(job);
                1
            }
        };
        let is_needed = queue.threads < enough || (queue.threads < MAX_THREADS && queue.is_slow(Instant::now()));
        if is_needed {
            queue.threads += 1;
            drop(queue);
            let flusher = Arc::clone(self);
            tokio::task::spawn_blocking(move || flusher.run());
        }
        outcome
    }

    /// One of the threads, as long as it has something to do.
    fn run(&self) {
        let mut began = None;
        loop {
            let now = Instant::now();
            let mut queue = self.queue();
            if let Some(began) = began {
                queue.last = now.saturating_duration_since(began);
            }
            let Some(job) = queue.next() else {
                // Before anybody else looks: who submits work counts on the threads that there are.
                queue.threads = queue.threads.saturating_sub(1);
                if queue.threads == 0 {
                    queue.began = None;
                }
                return;
            };
            queue.began = Some(now);
            drop(queue);
            began = Some(now);
            // Who waits for work that panics hears of it by its reply, which is dropped; what waits behind it is done.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// How long a flush that nobody does is waited for.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn who_ends_something_goes_first() {
        let flusher = Arc::new(Flusher::default());
        // As if as many as are ever needed on a fast disk were at work, of which one ends.
        flusher.queue().threads = SOON_THREADS;
        let (hold, held) = mpsc::channel::<()>();
        let first = flusher.submit(Turn::Later, move || Ok(held.recv().is_err()));
        let thread = Arc::clone(&flusher);
        let running = tokio::task::spawn_blocking(move || thread.run());
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let order = Arc::clone(&order);
            move || {
                order.lock().unwrap().push(name);
                Ok(())
            }
        };
        let waiting = [(Turn::Later, "a"), (Turn::Soon, "b"), (Turn::Later, "c")]
            .map(|(turn, name)| flusher.submit(turn, note(name)));
        drop(hold);
        assert!(first.await.unwrap().unwrap());
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        running.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["b", "a", "c"]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_disk_that_stands_still() {
        let flusher = Arc::new(Flusher::default());
        let (hold, held) = mpsc::channel::<()>();
        let stuck = flusher.submit(Turn::Later, move || Ok(held.recv().is_err()));
        tokio::time::sleep(2 * SHORT).await;
        // Others end although the first has not.
        for _ in 0..3 {
            flusher.submit(Turn::Soon, || Ok(())).await.unwrap().unwrap();
        }
        drop(hold);
        stuck.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_takes_nobody_with_it() {
        let flusher = Arc::new(Flusher::default());
        assert!(flusher.submit::<()>(Turn::Soon, || panic!("a test")).await.is_err());
        flusher.submit(Turn::Soon, || Ok(())).await.unwrap().unwrap();
        let failed = flusher.submit::<()>(Turn::Later, || Err(io::ErrorKind::StorageFull.into())).await;
        assert_eq!(failed.unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    /// A thread that has nothing to do any more is not counted on, however close after its last look work comes.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn work_that_comes_as_a_thread_ends_is_done() {
        let crowd: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(async {
                    let flusher = Arc::new(Flusher::default());
                    for _ in 0..20_000 {
                        let done = flusher.submit(Turn::Later, || Ok(()));
                        tokio::time::timeout(PATIENCE, done).await.expect("nobody does it").unwrap().unwrap();
                    }
                })
            })
            .collect();
        for one in crowd {
            one.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_waits_behind_work_that_panics_is_done() {
        let flusher = Arc::new(Flusher::default());
        let (hold, held) = mpsc::channel::<()>();
        let first = flusher.submit::<()>(Turn::Later, move || {
            let _ = held.recv();
            panic!("a test")
        });
        let second = flusher.submit(Turn::Later, || Ok(()));
        drop(hold);
        assert!(first.await.is_err());
        tokio::time::timeout(PATIENCE, second).await.expect("nobody does it").unwrap().unwrap();
    }
}
