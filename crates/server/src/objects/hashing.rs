//! Checksums of long bodies, computed on another thread while the body is received and written.
//!
//! An MD5 runs at some 600 MB/s, slower than a good disk or network, so whoever hashes between reading and writing waits
//! for it every time. Here the pieces of a body queue for a thread that hashes, which is there only while there is
//! something to do: a slow upload holds none.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use model::{Error, ErrorCode};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use crate::checksums::{BodyDigest, Checksums};

/// Pieces that may wait to be hashed, of all uploads together: 64 MiB of the pieces that uploads are cut into.
static WAITING: Semaphore = Semaphore::const_new(256);

/// The checksums of one body. Dropped, it forgets what waits.
pub(crate) struct Hashing {
    queue: Arc<Mutex<Queue>>,
    job: Option<JoinHandle<()>>,
}

struct Queue {
    pieces: VecDeque<(Bytes, SemaphorePermit<'static>)>,
    /// `None` while a thread is at it.
    sums: Option<Box<Sums>>,
}

struct Sums {
    digest: BodyDigest,
    sha256: Option<Sha256>,
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }
}

impl Hashing {
    /// MD5 and CRC-64 of a body, and its SHA-256 if that is wanted.
    pub(crate) fn new(with_sha256: bool) -> Self {
        let sums = Sums { digest: BodyDigest::with_md5(), sha256: with_sha256.then(Sha256::new) };
        let queue = Queue { pieces: VecDeque::new(), sums: Some(Box::new(sums)) };
        Self { queue: Arc::new(Mutex::new(queue)), job: None }
    }

    /// Adds a piece. Waits only when too much is waiting already.
    pub(crate) async fn update(&mut self, piece: Bytes) {
        // The semaphore is never closed; without a permit the piece would be left out, so it is hashed here.
        let Ok(permit) = WAITING.acquire().await else { return self.update_here(&piece).await };
        let mut queue = self.queue.lock();
        queue.pieces.push_back((piece, permit));
        if let Some(sums) = queue.sums.take() {
            let queue = Arc::clone(&self.queue);
            self.job = Some(tokio::task::spawn_blocking(move || work(sums, &queue)));
        }
    }

    /// Adds bytes on this thread, after everything before them.
    pub(crate) async fn update_here(&mut self, bytes: &[u8]) {
        self.settle().await;
        if let Some(sums) = &mut self.queue.lock().sums {
            sums.update(bytes);
        }
    }

    async fn settle(&mut self) {
        // Only `update` starts jobs, and it did not while this one ran.
        if let Some(job) = self.job.take() {
            let _ = job.await;
        }
    }

    /// What the bytes came to, and their SHA-256 if it was wanted.
    ///
    /// # Errors
    /// `InternalError` when the hashing thread was lost.
    pub(crate) async fn finish(mut self) -> Result<(Checksums, Option<[u8; 32]>), Error> {
        self.settle().await;
        let sums = self.queue.lock().sums.take().ok_or_else(|| Error::new(ErrorCode::InternalError))?;
        Ok((sums.digest.finish(), sums.sha256.map(|sha256| sha256.finalize().into())))
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.queue.lock().pieces.clear();
    }
}

/// Hashes what waits until nothing does.
fn work(mut sums: Box<Sums>, queue: &Mutex<Queue>) {
    loop {
        let (piece, permit) = {
            let mut queue = queue.lock();
            match queue.pieces.pop_front() {
                Some(next) => next,
                None => {
                    queue.sums = Some(sums);
                    return;
                }
            }
        };
        sums.update(&piece);
        // The memory is free before the next piece may take its place.
        drop(piece);
        drop(permit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksums::checksums;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pieces_are_hashed_in_order_wherever_that_happens() {
        let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251).to_le_bytes()[0]).collect();
        for size in [7_000, 256 << 10, 4_999_999, 5_000_000] {
            let mut hashing = Hashing::new(true);
            for (n, piece) in body.chunks(size).enumerate() {
                match n % 5 {
                    4 => hashing.update_here(piece).await,
                    _ => hashing.update(Bytes::copy_from_slice(piece)).await,
                }
            }
            let (sums, sha256) = hashing.finish().await.unwrap();
            assert_eq!(sums, checksums(&body));
            assert_eq!(sha256, Some(Sha256::digest(&body).into()));
        }
        let (sums, sha256) = Hashing::new(false).finish().await.unwrap();
        assert_eq!((sums, sha256), (checksums(b""), None));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn uploads_that_end_early_give_back_what_they_took() {
        for _ in 0..20 {
            let mut hashing = Hashing::new(false);
            for _ in 0..40 {
                hashing.update(Bytes::from(vec![1; 64 << 10])).await;
            }
        }
        // All pieces could be taken again, so nothing was lost on the way.
        drop(WAITING.acquire_many(256).await.unwrap());
    }
}
