//! Blobs on their way to the store and back.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::time::Instant;

use super::failed;
use crate::blob::{BlobId, BlobReader};
use crate::error::{Error, Result, Subject};

/// Longer blobs go in parts, and are read in ranges.
pub(super) const WHOLE: u64 = 16 << 20;
/// A part of an upload.
const PART: u64 = 8 << 20;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;
/// The pause before an upload that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Uploads a blob whole, again and again until the store has confirmed it or `timeout` is over.
pub(super) async fn upload(
    store: &dyn ObjectStore,
    path: &Path,
    id: BlobId,
    reader: &dyn BlobReader,
    timeout: Duration,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        let error = match upload_once(store, path, id, reader).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        tracing::warn!(%id, %error, "a blob cannot be stored now and waits in the spool");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn upload_once(store: &dyn ObjectStore, path: &Path, id: BlobId, reader: &dyn BlobReader) -> Result<()> {
    if reader.len() <= WHOLE {
        let bytes = piece(reader, 0, reader.len()).await?;
        return store.put(path, PutPayload::from(bytes)).await.map(drop).map_err(|error| failed(id, &error));
    }
    let mut upload = store.put_multipart(path).await.map_err(|error| failed(id, &error))?;
    let mut at = 0;
    let sent = async {
        while at < reader.len() {
            let mut parts = Vec::new();
            while parts.len() < PARTS_AT_ONCE && at < reader.len() {
                let bytes = piece(reader, at, PART).await?;
                at = at.saturating_add(bytes.len() as u64);
                parts.push(upload.put_part(PutPayload::from(bytes)));
            }
            try_join_all(parts).await.map_err(|error| failed(id, &error))?;
        }
        upload.complete().await.map(drop).map_err(|error| failed(id, &error))
    }
    .await;
    if sent.is_err() {
        // What stays behind is for a rule of the store that ends unfinished uploads.
        let _ = upload.abort().await;
    }
    sent
}

/// `len` bytes, or as many as there are; a file that has fewer than it should is no blob.
async fn piece(reader: &dyn BlobReader, offset: u64, len: u64) -> Result<Bytes> {
    let wanted = len.min(reader.len().saturating_sub(offset));
    let bytes = reader.read_at(offset, usize::try_from(wanted).unwrap_or(usize::MAX)).await?;
    if bytes.len() as u64 == wanted {
        return Ok(bytes);
    }
    Err(Error::corrupt(Subject::Blob, "a blob of the spool is shorter than it was"))
}

/// The length of a blob, and its first bytes: all of them if it is not longer than [`WHOLE`].
pub(super) async fn fetch(store: &dyn ObjectStore, path: &Path, id: BlobId) -> Result<(u64, Bytes)> {
    // A store refuses a range of nothing, so the length comes first.
    let len = store.head(path).await.map_err(|error| failed(id, &error))?.size;
    if len == 0 || len > WHOLE {
        return Ok((len, Bytes::new()));
    }
    let found = store.get(path).await.map_err(|error| failed(id, &error))?;
    let bytes = found.bytes().await.map_err(|error| failed(id, &error))?;
    match bytes.len() as u64 == len {
        true => Ok((len, bytes)),
        false => Err(Error::unavailable(Subject::Blob, format!("{id}: the store sent {} of {len} bytes", bytes.len()))),
    }
}

/// A range of a blob, which must be whole.
pub(super) async fn fetch_range(store: &dyn ObjectStore, path: &Path, id: BlobId, from: u64, to: u64) -> Result<Bytes> {
    let options = GetOptions { range: Some(GetRange::Bounded(from..to)), ..GetOptions::default() };
    let found = store.get_opts(path, options).await.map_err(|error| failed(id, &error))?;
    let bytes = found.bytes().await.map_err(|error| failed(id, &error))?;
    match bytes.len() as u64 == to.saturating_sub(from) {
        true => Ok(bytes),
        false => Err(Error::unavailable(
            Subject::Blob,
            format!("{id}: the store sent {} bytes of {from}..{to}", bytes.len()),
        )),
    }
}
