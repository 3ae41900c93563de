//! Blobs on their way to the store and back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{WHOLE, lock};
use crate::blob::finished::FinishedBlobs;
use crate::blob::{BlobId, BlobReader};
use crate::error::{Error, ErrorKind, Result, Subject};

/// The pause before an upload that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an upload that failed says that the store takes nothing, as long as none succeeds.
const FAILS_FOR: Duration = Duration::from_secs(60);

/// Uploads of short blobs at once, and as many of segments; each has at most [`WHOLE`] in memory.
const SHORT: usize = 8;

/// Uploads of long blobs at once; each has two parts in memory.
const LONG: usize = 4;

/// Fetches at once; each has at most [`WHOLE`] in memory.
const FETCHES: usize = 16;

/// What waits for a turn. Each kind has turns of its own: somebody's upload of gigabytes takes minutes, and neither a live
/// playlist nor a small object waits for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A segment, on which a playlist waits.
    Segment,
    /// What somebody uploads, or an installation that moves.
    Upload,
}

/// A blob that is read, and whether that has failed.
struct Reading<'a> {
    reader: &'a dyn BlobReader,
    has_failed: AtomicBool,
}

#[async_trait]
impl BlobReader for Reading<'_> {
    fn len(&self) -> u64 {
        self.reader.len()
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let read = self.reader.read_at(offset, len).await;
        if read.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        read
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        self.reader.try_read_at(offset, len)
    }
}

/// The uploads of a store, so many at once.
pub(super) struct Uploads {
    segments: Semaphore,
    short: Semaphore,
    long: Semaphore,
    fetches: Semaphore,
    /// When the last one failed, if none has succeeded since.
    failed: Mutex<Option<Instant>>,
}

impl Uploads {
    pub(super) fn new() -> Self {
        Self {
            segments: Semaphore::new(SHORT),
            short: Semaphore::new(SHORT),
            long: Semaphore::new(LONG),
            fetches: Semaphore::new(FETCHES),
            failed: Mutex::default(),
        }
    }

    fn turns(&self, kind: Kind, len: u64) -> &Semaphore {
        match kind {
            Kind::Segment => &self.segments,
            Kind::Upload if len <= WHOLE => &self.short,
            Kind::Upload => &self.long,
        }
    }

    /// Whether the store takes nothing at the moment, whatever it answers to those who read.
    pub(super) fn fail(&self) -> bool {
        lock(&self.failed).is_some_and(|failed| failed.elapsed() < FAILS_FOR)
    }

    /// Uploads a blob whole, again and again until the store has confirmed it or `timeout` is over. It takes a turn for each
    /// attempt, so that those who wait for a store that is away do not keep others from finding out that it is back.
    ///
    /// # Errors
    /// What the store said last; at once, what kept the blob from being read.
    pub(super) async fn upload(
        &self,
        store: &dyn FinishedBlobs,
        id: BlobId,
        reader: &dyn BlobReader,
        kind: Kind,
        timeout: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let turns = self.turns(kind, reader.len());
        let reader = Reading { reader, has_failed: AtomicBool::new(false) };
        let mut has_failed = false;
        loop {
            let error = {
                let _turn = tokio::time::timeout_at(deadline, turns.acquire())
                    .await
                    .map_err(|_| Error::unavailable(Subject::Blob, "too many uploads wait for the store"))?
                    .map_err(|error| Error::unavailable(Subject::Blob, error))?;
                match store.put(id, &reader).await {
                    Ok(()) => {
                        *lock(&self.failed) = None;
                        return Ok(());
                    }
                    Err(error) => error,
                }
            };
            // What cannot be read here is not the store's fault, and does not get better by asking it again.
            if reader.has_failed.load(Ordering::Relaxed) || error.kind == ErrorKind::Corrupt {
                return Err(error);
            }
            *lock(&self.failed) = Some(Instant::now());
            if Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            if !std::mem::replace(&mut has_failed, true) {
                tracing::warn!(%id, %error, "a blob cannot be stored now and waits in the spool");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    /// The length of a blob, and its first bytes: all of them if it is not longer than [`WHOLE`].
    pub(super) async fn fetch(&self, store: &dyn FinishedBlobs, id: BlobId) -> Result<(u64, Bytes)> {
        let _turn = self.fetches.acquire().await.map_err(|error| Error::unavailable(Subject::Blob, error))?;
        let len = store.len(id).await?;
        match len > WHOLE {
            true => Ok((len, Bytes::new())),
            false => Ok((len, store.read(id, 0..len).await?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::blob::BlobInfo;

    /// A store that takes short blobs at once, and long ones for ever.
    #[derive(Default)]
    struct Slow(AtomicUsize);

    #[async_trait]
    impl FinishedBlobs for Slow {
        async fn put(&self, _: BlobId, bytes: &dyn BlobReader) -> Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            bytes.read_at(0, 1).await?;
            match bytes.len() > WHOLE {
                true => std::future::pending().await,
                false => Ok(()),
            }
        }

        async fn len(&self, id: BlobId) -> Result<u64> {
            Err(Error::not_found(Subject::Blob, id))
        }

        async fn read(&self, id: BlobId, _: std::ops::Range<u64>) -> Result<Bytes> {
            Err(Error::not_found(Subject::Blob, id))
        }

        async fn delete(&self, _: BlobId) -> Result<()> {
            Ok(())
        }

        async fn scan(&self, _: Option<&str>) -> Result<(Vec<BlobInfo>, Option<String>)> {
            Ok((Vec::new(), None))
        }
    }

    /// So many bytes, or a disk that cannot read them.
    struct Blob(u64, bool);

    #[async_trait]
    impl BlobReader for Blob {
        fn len(&self) -> u64 {
            self.0
        }

        async fn read_at(&self, _: u64, _: usize) -> Result<Bytes> {
            match self.1 {
                true => Ok(Bytes::new()),
                false => Err(Error::unavailable(Subject::Blob, "EIO")),
            }
        }

        fn try_read_at(&self, _: u64, _: usize) -> Option<Bytes> {
            None
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn upload(uploads: &Uploads, store: &Slow, blob: Blob, kind: Kind) -> Result<()> {
        uploads.upload(store, BlobId::from_bytes([7; 16]), &blob, kind, PATIENCE).await
    }

    #[tokio::test(start_paused = true)]
    async fn long_uploads_hold_up_neither_segments_nor_short_ones() {
        let (uploads, store) = (Uploads::new(), Slow::default());
        let long = async || {
            let all = (0..LONG + 3).map(|_| upload(&uploads, &store, Blob(WHOLE + 1, true), Kind::Upload));
            futures_util::future::join_all(all).await
        };
        let others = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for _ in 0..3 * SHORT {
                upload(&uploads, &store, Blob(WHOLE, true), Kind::Upload).await.unwrap();
                upload(&uploads, &store, Blob(10, true), Kind::Segment).await.unwrap();
            }
            assert_eq!(store.0.load(Ordering::SeqCst), LONG + 6 * SHORT);
        };
        tokio::select! {
            _ = long() => panic!("nobody takes them"),
            () = others => {}
        }
        // Who gets no turn is told, and the store is not blamed.
        let (waiting, _held) = (Blob(WHOLE + 1, true), uploads.long.acquire_many(LONG as u32).await.unwrap());
        let refused = upload(&uploads, &store, waiting, Kind::Upload).await.unwrap_err();
        assert!(refused.detail.contains("too many"), "{refused}");
        assert!(!uploads.fail());
    }

    #[tokio::test(start_paused = true)]
    async fn a_blob_that_cannot_be_read_is_not_tried_again() {
        let (uploads, store) = (Uploads::new(), Slow::default());
        let begun = Instant::now();
        let error = upload(&uploads, &store, Blob(10, false), Kind::Segment).await.unwrap_err();
        assert!(error.detail.contains("EIO") && begun.elapsed().is_zero() && !uploads.fail());
        assert_eq!(store.0.load(Ordering::SeqCst), 1);
    }
}
