//! The files of requests: blobs that are sent or received, of which only so many are open at once. Pushes have some
//! that requests cannot take, so that a segment is always written, however many read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store::blob::{Blob, BlobId, BlobReader, BlobStore, BlobWriter, FileRange, OnDrop, ScanCursor, ScanPage};
use store::{Error, ErrorKind, Result, Subject};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connections::{Connections, Full};
use crate::descriptors::{PER_CALLBACK, PER_UPLOAD, Seldom, Shares};

/// How long a request waits for files of others to be closed, and a push for those of readers that were asked to.
const WAIT: Duration = Duration::from_secs(3);
/// How long the next reader is given to close its files, once asked.
const CLOSING: Duration = Duration::from_millis(50);

/// A blob store that opens only so many files for requests.
pub(crate) struct Files {
    blobs: Arc<dyn BlobStore>,
    room: Arc<Semaphore>,
    for_pushes: Arc<Semaphore>,
    max: usize,
    per_push: usize,
    connections: Arc<Connections>,
    wait: Duration,
    refused: Seldom,
}

impl Files {
    /// Files of `blobs`. Where they are all open, `connections` are asked who does not read.
    pub(crate) fn new(blobs: Arc<dyn BlobStore>, shares: &Shares, connections: Arc<Connections>) -> Self {
        Self {
            blobs,
            room: Arc::new(Semaphore::new(shares.files)),
            for_pushes: Arc::new(Semaphore::new(shares.push_files)),
            max: shares.files,
            per_push: shares.per_push,
            connections,
            wait: WAIT,
            refused: Seldom::new(),
        }
    }

    /// How many files are open for requests and pushes, and how many may be.
    pub(crate) fn open_and_max(&self) -> (usize, usize) {
        (self.max.saturating_sub(self.room.available_permits()), self.max)
    }

    /// Room for the files of a push, until the permit is dropped. If need be, readers are closed for it.
    ///
    /// # Errors
    /// [`Full`] when all files belong to pushes and uploads.
    pub(crate) async fn for_push(&self) -> Result<OwnedSemaphorePermit, Full> {
        let count = u32::try_from(self.per_push).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.for_pushes).try_acquire_many_owned(count) {
            return Ok(permit);
        }
        let wait = acquire(&self.room, self.per_push);
        let make_room = async {
            loop {
                tokio::time::sleep(CLOSING).await;
                self.connections.close_reader(true);
            }
        };
        tokio::select! {
            permit = tokio::time::timeout(self.wait, wait) => permit.ok().flatten().ok_or(Full),
            () = make_room => Err(Full),
        }
    }

    /// Room for a connection that a request makes, and the one that finds its address.
    ///
    /// # Errors
    /// `Unavailable` (descriptor) when nothing was closed in time.
    pub(crate) async fn for_callback(&self) -> Result<OwnedSemaphorePermit> {
        self.for_request(PER_CALLBACK).await
    }

    /// Room for some files of a request. Whoever waits here is served in turn.
    ///
    /// # Errors
    /// `Unavailable` (descriptor) when no other file was closed in time.
    async fn for_request(&self, count: usize) -> Result<OwnedSemaphorePermit> {
        if let Some(permit) = self.try_for_request(count) {
            return Ok(permit);
        }
        self.connections.close_reader(false);
        match tokio::time::timeout(self.wait, acquire(&self.room, count)).await {
            Ok(Some(permit)) => Ok(permit),
            _ => {
                metrics::counter!(crate::metrics::FILES_REFUSED).increment(1);
                if let Some(count) = self.refused.count() {
                    tracing::warn!(count, max = self.max, "requests were refused: all files that may be open are");
                }
                Err(Error::new(ErrorKind::Unavailable, Subject::Descriptor, "all files that may be open are"))
            }
        }
    }

    fn try_for_request(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        let count = u32::try_from(count.min(self.max)).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(count).ok()
    }

    async fn writer(
        &self,
        permit: OwnedSemaphorePermit,
        writer: impl Future<Output = Result<Box<dyn BlobWriter>>>,
    ) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(Writer { writer: writer.await?, _permit: permit }))
    }
}

async fn acquire(room: &Arc<Semaphore>, count: usize) -> Option<OwnedSemaphorePermit> {
    // The semaphore is never closed.
    Arc::clone(room).acquire_many_owned(u32::try_from(count).ok()?).await.ok()
}

#[async_trait]
impl BlobStore for Files {
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let permit = self.for_request(PER_UPLOAD).await?;
        self.writer(permit, self.blobs.create(on_drop)).await
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        let permit = Arc::new(self.for_request(1).await?);
        Ok(Box::new(Reader { reader: self.blobs.open(id).await?, permit }))
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        let permit = self.for_request(PER_UPLOAD).await?;
        self.writer(permit, self.blobs.recover(id, on_drop)).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.blobs.delete(id).await
    }

    fn finishes_elsewhere(&self) -> bool {
        self.blobs.finishes_elsewhere()
    }

    async fn answers(&self) -> Result<()> {
        self.blobs.answers().await
    }

    fn refuses_writes(&self) -> bool {
        self.blobs.refuses_writes()
    }

    fn lies_here(&self, id: BlobId) -> bool {
        self.blobs.lies_here(id)
    }

    /// One answer never takes more than an eighth, so that several have theirs.
    fn has_room(&self, count: usize) -> bool {
        count <= self.max / 8 && count <= self.room.available_permits()
    }

    async fn verify(&self, id: BlobId, range: std::ops::Range<u64>) -> Result<store::blob::Verified> {
        self.blobs.verify(id, range).await
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        self.blobs.scan(cursor).await
    }
}

struct Reader {
    reader: Box<dyn BlobReader>,
    permit: Arc<OwnedSemaphorePermit>,
}

#[async_trait]
impl BlobReader for Reader {
    fn len(&self) -> u64 {
        self.reader.len()
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.reader.read_at(offset, len).await
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        self.reader.try_read_at(offset, len)
    }

    fn is_damaged(&self, offset: u64, len: u64) -> bool {
        self.reader.is_damaged(offset, len)
    }

    fn try_share_at(&self, offset: u64, len: usize) -> Option<FileRange> {
        let range = self.reader.try_share_at(offset, len)?;
        // The file stays open until the range was sent, which may be long after this reader is gone.
        Some(FileRange { held: Some(self.permit.clone()), ..range })
    }
}

struct Writer {
    writer: Box<dyn BlobWriter>,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl BlobWriter for Writer {
    fn id(&self) -> BlobId {
        self.writer.id()
    }

    fn len(&self) -> u64 {
        self.writer.len()
    }

    fn crc64(&self) -> Option<u64> {
        self.writer.crc64()
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.writer.append(bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.writer.flush().await
    }

    async fn sync(&mut self) -> Result<()> {
        self.writer.sync().await
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        self.writer.truncate(len).await
    }

    async fn finish(self: Box<Self>) -> Result<Blob> {
        // The permit goes when the file is closed.
        let Self { writer, _permit } = *self;
        writer.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { writer, _permit } = *self;
        writer.abort().await
    }
}

#[cfg(test)]
mod tests {
    use store::blob::{BlobIds, MemoryBlobs};
    use store::clock::{Clock, Randomness};

    use super::*;
    use crate::connections::Caps;

    fn files(shares: Shares) -> Files {
        let blobs = MemoryBlobs::new(BlobIds::new(Clock::system(), Randomness::seeded(1)), Clock::system());
        let connections = Connections::new(Caps { max: 4, arrivals: 1, unproven_per_address: 0 });
        Files { wait: Duration::from_millis(200), ..Files::new(Arc::new(blobs), &shares, connections) }
    }

    const FEW: Shares = Shares { connections: 4, arrivals: 1, admin: 1, files: 4, push_files: 4, per_push: 4 };

    #[tokio::test]
    async fn requests_leave_pushes_theirs() {
        let files = files(FEW);
        let mut writer = files.create(OnDrop::Delete).await.unwrap();
        writer.append(Bytes::from_static(b"bytes")).await.unwrap();
        assert_eq!(files.open_and_max(), (PER_UPLOAD, 4));
        let id = writer.finish().await.unwrap().id;
        assert_eq!(files.open_and_max(), (0, 4));
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(files.open(id).await.unwrap());
        }
        let refused = files.open(id).await.err().unwrap();
        assert!(refused.is_out_of_descriptors(), "{refused}");
        let push = files.for_push().await.unwrap();
        assert!(files.for_push().await.is_err());
        readers.pop();
        files.open(id).await.unwrap();
        drop(push);
        assert!(files.for_push().await.is_ok());
        // Pushes may have those of requests, too.
        drop(readers);
        let _pushes = (files.for_push().await.unwrap(), files.for_push().await.unwrap());
        assert!(files.open(id).await.is_err());
    }

    #[tokio::test]
    async fn who_waits_is_served_when_a_file_is_closed() {
        let files = Arc::new(files(FEW));
        let id = files.create(OnDrop::Delete).await.unwrap().finish().await.unwrap().id;
        let first = files.create(OnDrop::Delete).await.unwrap();
        let _second = files.create(OnDrop::Delete).await.unwrap();
        assert!(!files.has_room(1));
        let waiting = tokio::spawn({
            let files = files.clone();
            async move { files.open(id).await.is_ok() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
        assert!(waiting.await.unwrap());
    }
}
