//! Blobs on their way to the store and back.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::WHOLE;
use crate::blob::finished::FinishedBlobs;
use crate::blob::{BlobId, BlobReader};
use crate::error::{Error, Result, Subject};

/// The pause before an upload that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Uploads a blob whole, again and again until the store has confirmed it or `timeout` is over. It takes a turn for each
/// attempt, so that those who wait for a store that is away do not keep others from finding out that it is back.
pub(super) async fn upload(
    store: &dyn FinishedBlobs,
    turns: &Semaphore,
    id: BlobId,
    reader: &dyn BlobReader,
    timeout: Duration,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let mut has_failed = false;
    loop {
        let error = {
            let _turn = turns.acquire().await.map_err(|error| Error::unavailable(Subject::Blob, error))?;
            match store.put(id, reader).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            }
        };
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
pub(super) async fn fetch(store: &dyn FinishedBlobs, id: BlobId) -> Result<(u64, Bytes)> {
    let len = store.len(id).await?;
    match len > WHOLE {
        true => Ok((len, Bytes::new())),
        false => Ok((len, store.read(id, 0..len).await?)),
    }
}
