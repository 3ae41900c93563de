//! Stores on a disk that takes its time, stands still or answers with errors.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store::blob::{Blob, BlobId, BlobReader, BlobStore, BlobWriter, MemoryBlobs, OnDrop, ScanCursor, ScanPage};
use store::{Error, ErrorKind, Result, Subject};
use tokio::sync::watch;

/// What a disk does with whatever has to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// It takes it at once.
    Well,
    /// It takes it after a while.
    Takes(Duration),
    /// It answers nothing until it is well again.
    Hangs,
    /// It answers with an error.
    Fails,
    /// It is well, but what is finished goes elsewhere, and from there nothing answers until it is well again.
    StoreAway,
    /// The same for what is stored, though who asks whether it is there hears yes.
    StoreRefuses,
    /// The same, and this machine's disk takes nothing any more.
    StoreAwayAndFull,
    /// The map does what it is asked for, and its answer is lost: after a while nobody knows.
    LosesAnswers,
    /// The map answers with an error, after a while, and has done nothing.
    MapAway,
    /// The map renews leases and does nothing else.
    OnlyRenews,
}

/// The state of the disk that all stores of a stage are on. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Trouble(Arc<watch::Sender<Disk>>);

impl Default for Trouble {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Disk::Well)))
    }
}

impl Trouble {
    pub(super) fn set(&self, disk: Disk) {
        self.0.send_replace(disk);
    }

    /// Passes when the disk has taken something.
    pub(super) async fn reach_the_disk(&self) -> Result<()> {
        let mut disk = self.0.subscribe();
        let now = *disk.borrow();
        match now {
            Disk::Well
            | Disk::StoreAway
            | Disk::StoreRefuses
            | Disk::LosesAnswers
            | Disk::MapAway
            | Disk::OnlyRenews => {}
            Disk::StoreAwayAndFull => return self.write(),
            Disk::Takes(time) => tokio::time::sleep(time).await,
            Disk::Hangs => drop(disk.wait_for(|disk| *disk != Disk::Hangs).await),
            Disk::Fails => return Err(Error::new(ErrorKind::Unavailable, Subject::Blob, "the disk fails")),
        }
        Ok(())
    }

    /// Passes when the place of finished blobs has taken one.
    async fn reach_the_store(&self) {
        let mut disk = self.0.subscribe();
        drop(
            disk.wait_for(|disk| !matches!(disk, Disk::StoreAway | Disk::StoreRefuses | Disk::StoreAwayAndFull)).await,
        );
    }

    /// Passes when the answer about something that is done has come.
    pub(super) async fn hear_the_answer(&self) -> Result<()> {
        if *self.0.borrow() == Disk::LosesAnswers {
            tokio::time::sleep(Duration::from_secs(11)).await;
            return Err(Error::new(ErrorKind::Unavailable, Subject::Engine, "no answer in time"));
        }
        Ok(())
    }

    /// Passes when the map does more than renewing leases.
    pub(super) async fn be_answered(&self) {
        let _ = self.0.subscribe().wait_for(|disk| *disk != Disk::OnlyRenews).await;
    }

    /// Passes when the map takes a commit.
    pub(super) async fn reach_the_map(&self) -> Result<()> {
        if *self.0.borrow() == Disk::MapAway {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Err(Error::new(ErrorKind::Unavailable, Subject::Engine, "the map is away"));
        }
        Ok(())
    }

    fn write(&self) -> Result<()> {
        // What is only handed to the system takes no time.
        match *self.0.borrow() {
            Disk::Fails | Disk::StoreAwayAndFull => {
                Err(Error::new(ErrorKind::Unavailable, Subject::Blob, "the disk fails"))
            }
            _ => Ok(()),
        }
    }
}

pub(super) struct TroubledBlobs {
    blobs: Arc<MemoryBlobs>,
    trouble: Trouble,
    /// Whether finished blobs go to another place.
    elsewhere: bool,
}

impl TroubledBlobs {
    pub(super) fn new(blobs: Arc<MemoryBlobs>, trouble: Trouble, elsewhere: bool) -> Self {
        Self { blobs, trouble, elsewhere }
    }

    fn writer(&self, inner: Box<dyn BlobWriter>) -> Box<dyn BlobWriter> {
        Box::new(TroubledWriter { inner, trouble: self.trouble.clone() })
    }
}

#[async_trait]
impl BlobStore for TroubledBlobs {
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        self.trouble.reach_the_disk().await?;
        Ok(self.writer(self.blobs.create(on_drop).await?))
    }

    fn finishes_elsewhere(&self) -> bool {
        self.elsewhere
    }

    fn refuses_writes(&self) -> bool {
        *self.trouble.0.borrow() == Disk::StoreRefuses
    }

    fn lies_here(&self, id: BlobId) -> bool {
        self.blobs.lies_here(id)
    }

    async fn answers(&self) -> Result<()> {
        match *self.trouble.0.borrow() {
            Disk::StoreAway | Disk::StoreAwayAndFull => {
                Err(Error::new(ErrorKind::Unavailable, Subject::Blob, "the store is away"))
            }
            _ => Ok(()),
        }
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        self.blobs.open(id).await
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        self.trouble.write()?;
        Ok(self.writer(self.blobs.recover(id, on_drop).await?))
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.trouble.write()?;
        self.blobs.delete(id).await
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        self.blobs.scan(cursor).await
    }
}

struct TroubledWriter {
    inner: Box<dyn BlobWriter>,
    trouble: Trouble,
}

#[async_trait]
impl BlobWriter for TroubledWriter {
    fn id(&self) -> BlobId {
        self.inner.id()
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn crc64(&self) -> Option<u64> {
        self.inner.crc64()
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.trouble.write()?;
        self.inner.append(bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.trouble.write()?;
        self.inner.flush().await
    }

    async fn sync(&mut self) -> Result<()> {
        self.trouble.reach_the_disk().await?;
        self.inner.sync().await
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        self.trouble.write()?;
        self.inner.truncate(len).await
    }

    async fn finish(self: Box<Self>) -> Result<Blob> {
        self.trouble.reach_the_disk().await?;
        self.trouble.reach_the_store().await;
        self.inner.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.trouble.write()?;
        self.inner.abort().await
    }
}
