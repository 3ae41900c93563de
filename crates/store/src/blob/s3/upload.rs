//! Blobs on their way to the store and back.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{WHOLE, lock};
use crate::blob::finished::FinishedBlobs;
use crate::blob::{BlobId, BlobReader};
use crate::error::{Error, Result, Subject};

/// The pause before an upload that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an upload that failed says that the store takes nothing, as long as none succeeds.
const FAILS_FOR: Duration = Duration::from_secs(60);

/// The uploads of a store, so many at once.
pub(super) struct Uploads {
    turns: Semaphore,
    /// When the last one failed, if none has succeeded since.
    failed: Mutex<Option<Instant>>,
}

impl Uploads {
    pub(super) fn new(at_once: usize) -> Self {
        Self { turns: Semaphore::new(at_once), failed: Mutex::default() }
    }

    /// Whether the store takes nothing at the moment, whatever it answers to those who read.
    pub(super) fn fail(&self) -> bool {
        lock(&self.failed).is_some_and(|failed| failed.elapsed() < FAILS_FOR)
    }

    /// Uploads a blob whole, again and again until the store has confirmed it or `timeout` is over. It takes a turn for each
    /// attempt, so that those who wait for a store that is away do not keep others from finding out that it is back.
    pub(super) async fn upload(
        &self,
        store: &dyn FinishedBlobs,
        id: BlobId,
        reader: &dyn BlobReader,
        timeout: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut has_failed = false;
        loop {
            let error = {
                let _turn = self.turns.acquire().await.map_err(|error| Error::unavailable(Subject::Blob, error))?;
                match store.put(id, reader).await {
                    Ok(()) => {
                        *lock(&self.failed) = None;
                        return Ok(());
                    }
                    Err(error) => error,
                }
            };
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
}

/// The length of a blob, and its first bytes: all of them if it is not longer than [`WHOLE`].
pub(super) async fn fetch(store: &dyn FinishedBlobs, id: BlobId) -> Result<(u64, Bytes)> {
    let len = store.len(id).await?;
    match len > WHOLE {
        true => Ok((len, Bytes::new())),
        false => Ok((len, store.read(id, 0..len).await?)),
    }
}
