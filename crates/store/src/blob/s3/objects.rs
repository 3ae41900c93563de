//! Finished blobs as objects, `PREFIX/<2 hex digits>/<id>`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutPayload};

use super::WHOLE;
use crate::blob::finished::FinishedBlobs;
use crate::blob::{BlobId, BlobInfo, BlobReader, BlobState};
use crate::error::{Error, Result, Subject};

/// A part of an upload.
const PART: u64 = 8 << 20;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;
/// How long a store may take to say whether something is there.
const ANSWER: Duration = Duration::from_secs(5);
/// Objects in one page of a scan.
const PAGE: usize = 1000;

/// The objects below a prefix of a bucket.
pub(super) struct ObjectBlobs {
    remote: Arc<dyn ObjectStore>,
    prefix: String,
}

impl ObjectBlobs {
    pub(super) fn new(remote: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { remote, prefix: prefix.to_owned() }
    }

    /// The prefix with a slash at its end, if there is one.
    pub(super) fn folder(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    /// The name of a blob. Its folder is chosen by random digits, as stores spread their load by the beginnings of names.
    pub(super) fn path(&self, id: BlobId) -> Path {
        let name = id.to_string();
        let shard = name.get(name.len().saturating_sub(2)..).unwrap_or_default();
        Path::from(format!("{}{shard}/{name}", self.folder()))
    }

    /// Writes, reads and deletes an object of its own.
    ///
    /// # Errors
    /// What the store answers, and that it returned other bytes.
    pub(super) async fn probe(&self) -> Result<()> {
        let path = Path::from(format!("{}probe", self.folder()));
        let id = BlobId::from_bytes([0; 16]);
        let failed = |error: object_store::Error| failed(id, &error);
        let bytes = Bytes::from_static(b"millpond");
        self.remote.put(&path, bytes.clone().into()).await.map_err(failed)?;
        let found = self.remote.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        self.remote.delete(&path).await.map_err(failed)?;
        match found == bytes {
            true => Ok(()),
            false => Err(Error::unavailable(Subject::Blob, "the store returned other bytes than it was given")),
        }
    }

    /// Asks for an object that need not be there: whether it is, a store says that answers and takes our key. It is a GET,
    /// since the answer to a HEAD has no body, so that it could not say that the bucket is what is gone.
    ///
    /// # Errors
    /// What the store answers, or that it says nothing for [`ANSWER`].
    pub(super) async fn answers(&self) -> Result<()> {
        let path = Path::from(format!("{}probe", self.folder()));
        match tokio::time::timeout(ANSWER, self.remote.get(&path)).await {
            Ok(Err(error @ object_store::Error::NotFound { .. })) if says_no_bucket(&error) => {
                Err(Error::unavailable(Subject::Blob, "the bucket does not exist (NoSuchBucket)"))
            }
            Ok(Ok(_) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(Error::unavailable(Subject::Blob, error)),
            Err(_) => Err(Error::unavailable(Subject::Blob, format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    async fn put_parts(&self, id: BlobId, reader: &dyn BlobReader) -> Result<()> {
        let mut upload = self.remote.put_multipart(&self.path(id)).await.map_err(|error| failed(id, &error))?;
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
}

/// Whether what a store says of an object that is not there is that its bucket is not. The client has one error for both; the
/// code is in the body of the answer, which stands at its root.
fn says_no_bucket(error: &object_store::Error) -> bool {
    let mut cause = Some(error as &dyn std::error::Error);
    while let Some(error) = cause {
        if error.to_string().contains("NoSuchBucket") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[async_trait]
impl FinishedBlobs for ObjectBlobs {
    async fn put(&self, id: BlobId, bytes: &dyn BlobReader) -> Result<()> {
        if bytes.len() > WHOLE {
            return self.put_parts(id, bytes).await;
        }
        let whole = piece(bytes, 0, bytes.len()).await?;
        self.remote.put(&self.path(id), PutPayload::from(whole)).await.map(drop).map_err(|error| failed(id, &error))
    }

    async fn len(&self, id: BlobId) -> Result<u64> {
        Ok(self.remote.head(&self.path(id)).await.map_err(|error| failed(id, &error))?.size)
    }

    async fn read(&self, id: BlobId, range: Range<u64>) -> Result<Bytes> {
        // A store refuses a range of nothing.
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end.saturating_sub(range.start);
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found = self.remote.get_opts(&self.path(id), options).await.map_err(|error| failed(id, &error))?;
        let bytes = found.bytes().await.map_err(|error| failed(id, &error))?;
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(Error::unavailable(
                Subject::Blob,
                format!("{id}: the store sent {} bytes of {range:?}", bytes.len()),
            )),
        }
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        match self.remote.delete(&self.path(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(id, &error)),
        }
    }

    async fn scan(&self, after: Option<&str>) -> Result<(Vec<BlobInfo>, Option<String>)> {
        let prefix = (!self.prefix.is_empty()).then(|| Path::from(self.prefix.as_str()));
        let mut names = match after {
            None => self.remote.list(prefix.as_ref()),
            Some(after) => self.remote.list_with_offset(prefix.as_ref(), &Path::from(after)),
        };
        let mut blobs = Vec::new();
        let (mut seen, mut last) = (0, None);
        while seen < PAGE
            && let Some(found) = names.next().await
        {
            let found = found.map_err(|error| failed(BlobId::from_bytes([0; 16]), &error))?;
            seen += 1;
            // Objects of others are none of our business, and never deleted.
            if let Some(id) = found.location.filename().and_then(|name| name.parse::<BlobId>().ok())
                && found.location == self.path(id)
            {
                blobs.push(BlobInfo {
                    id,
                    len: found.size,
                    modified_ms: found.last_modified.timestamp_millis(),
                    state: BlobState::Finished,
                });
            }
            last = Some(found.location.to_string());
        }
        Ok((blobs, last.filter(|_| seen == PAGE)))
    }
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

/// An error of the store in our words. It names requests, never keys.
pub(super) fn failed(id: BlobId, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::not_found(Subject::Blob, id),
        error => Error::unavailable(Subject::Blob, format!("{id}: {error}")),
    }
}
