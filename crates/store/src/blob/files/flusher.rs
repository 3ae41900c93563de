//! Flushes of many files, one behind the other on few threads.
//!
//! Handing each flush to a thread of its own costs two wake-ups of threads, which at hundreds of pushes is more than the
//! flush. So flushes stand in a queue. One thread takes them in turn as long as they are short; when the disk takes its
//! time there are more, since then it is the waiting that counts, and many flushes at once are merged by the system.
//! Whoever ends a segment goes before those who only make an open one durable.

use std::collections::VecDeque;
use std::io;
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
            // Should work panic, its thread is gone and counts as such.
            tokio::task::spawn_blocking(move || Thread(flusher).run());
        }
        outcome
    }
}

/// One of the threads, as long as it has something to do.
struct Thread(Arc<Flusher>);

impl Thread {
    fn run(&self) {
        let mut began = None;
        loop {
            let now = Instant::now();
            let mut queue = self.0.queue();
            if let Some(began) = began {
                queue.last = now.saturating_duration_since(began);
            }
            let Some(job) = queue.next() else { return };
            queue.began = Some(now);
            drop(queue);
            began = Some(now);
            job();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.threads = queue.threads.saturating_sub(1);
        if queue.threads == 0 {
            queue.began = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_ends_something_goes_first() {
        let flusher = Arc::new(Flusher::default());
        // As if as many as are ever needed on a fast disk were at work, of which one ends.
        flusher.queue().threads = SOON_THREADS;
        let (hold, held) = mpsc::channel::<()>();
        let first = flusher.submit(Turn::Later, move || Ok(held.recv().is_err()));
        let thread = Thread(Arc::clone(&flusher));
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
}
