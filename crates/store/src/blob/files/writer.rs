//! A blob that is written to its file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use tokio::sync::oneshot;

use super::flusher::Turn;
use super::sums::Summing;
use super::{Shared, blocking, failed};
use crate::blob::direct::{BLOCK, Run};
use crate::blob::{Blob, BlobId, BlobWriter, OnDrop};
use crate::durability::Durability;
use crate::error::{Error, Result, Subject};

/// Pieces of this size come faster than live: a push is written out five times a second, an upload when it has so much.
const FAST_PIECE: usize = 256 << 10;

/// Says that a writer of this process is at a blob, as long as it lives.
pub(super) struct Mark {
    store: Arc<Shared>,
    id: BlobId,
}

impl Mark {
    pub(super) fn new(store: &Arc<Shared>, id: BlobId) -> Result<Self> {
        if !store.growing().insert(id) {
            return Err(Error::conflict(Subject::Blob, format!("{id} is being written")));
        }
        Ok(Self { store: Arc::clone(store), id })
    }

    pub(super) fn store(&self) -> &Shared {
        &self.store
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.store.growing().remove(&self.id);
    }
}

/// A blob that grows.
pub(super) struct FileWriter {
    /// Shared with the write in flight, so that nobody takes up the blob before that has ended.
    mark: Arc<Mark>,
    file: Arc<File>,
    /// The same file, open for direct writes.
    direct: Option<Arc<File>>,
    len: u64,
    /// What was appended last, while bytes come in large pieces. Everything before is written or in flight.
    run: Option<Run>,
    in_flight: Option<oneshot::Receiver<io::Result<()>>>,
    /// A write or a flush failed, so the file may lack bytes that count.
    is_broken: bool,
    /// Whether the name of the unfinished file is on disk too.
    is_entry_synced: bool,
    /// Of all bytes up to `len`.
    sums: Summing,
    on_drop: OnDrop,
    is_over: bool,
}

impl FileWriter {
    pub(super) fn new(mark: Mark, file: File, len: u64, on_drop: OnDrop) -> Self {
        Self {
            mark: Arc::new(mark),
            file: Arc::new(file),
            direct: None,
            len,
            run: None,
            in_flight: None,
            is_broken: false,
            is_entry_synced: false,
            sums: Summing::unseen(len),
            on_drop,
            is_over: false,
        }
    }

    /// Says what becomes of it when it is dropped.
    pub(super) fn set_on_drop(&mut self, on_drop: OnDrop) {
        self.on_drop = on_drop;
    }

    fn failed(&mut self, error: &io::Error) -> Error {
        self.is_broken = true;
        failed(self.mark.id.to_string(), error)
    }

    /// Writes into the page cache, on this thread: handing such a write to another thread costs more than the write.
    fn write_cached(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.len).map_err(|e| self.failed(&e))?;
        self.sums.update(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Starts to gather bytes for direct writes, if the filesystem has them, from the next whole block on.
    fn begin_run(&mut self, bytes: &mut Bytes) -> Result<()> {
        if self.direct.is_none() {
            let store = &self.mark.store;
            self.direct = store.runs.open(&store.directories.part(self.mark.id)).map(Arc::new);
        }
        if self.direct.is_none() || !self.mark.store.runs.is_on() {
            return Ok(());
        }
        let block = BLOCK as u64;
        let missing = usize::try_from((block - self.len % block) % block).unwrap_or(0);
        let head = bytes.split_to(missing.min(bytes.len()));
        self.write_cached(&head)?;
        self.run = Some(self.mark.store.runs.take());
        Ok(())
    }

    /// Has work done where it may wait. Whoever stops waiting for it finds what it came to at the next call: a write, a cut or
    /// a flush that failed is final for the blob, and the system says so only once (D29).
    async fn work(&mut self, work: impl FnOnce(&Mark) -> io::Result<()> + Send + 'static) -> Result<()> {
        let mark = Arc::clone(&self.mark);
        let flusher = &self.mark.store.flusher;
        self.in_flight = Some(flusher.submit(Turn::Later, move || work(&mark)));
        self.settle().await
    }

    /// Waits for the work in flight, and refuses to go on after one that failed.
    async fn settle(&mut self) -> Result<()> {
        if let Some(task) = &mut self.in_flight {
            let written = task.await;
            self.in_flight = None;
            written.map_err(io::Error::other).flatten().map_err(|e| self.failed(&e))?;
        }
        if self.is_broken {
            return Err(self.failed(&io::Error::other("an earlier write failed")));
        }
        Ok(())
    }

    /// The write of what is gathered, to be run where it may wait. Nothing is in flight.
    fn take_run(&mut self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let (mark, file, direct) = (Arc::clone(&self.mark), Arc::clone(&self.file), self.direct.clone());
        let run = self.run.take();
        let end = self.len;
        move || {
            let Some(run) = run else { return Ok(()) };
            let offset = end.saturating_sub(run.len() as u64);
            let runs = &mark.store.runs;
            let written = run.write(direct.as_ref().unwrap_or(&file), &file, offset, runs);
            runs.put(run);
            written
        }
    }
}

/// Has a write done where it may wait, beside others.
fn on_a_thread(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> oneshot::Receiver<io::Result<()>> {
    let (reply, outcome) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _ = reply.send(work());
    });
    outcome
}

#[async_trait]
impl BlobWriter for FileWriter {
    fn id(&self) -> BlobId {
        self.mark.id
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn crc64(&self) -> Option<u64> {
        self.sums.crc64()
    }

    async fn append(&mut self, mut bytes: Bytes) -> Result<()> {
        // Between runs, work is in flight only if whoever waited for it went away, and it may be about the very end.
        if self.is_broken || self.run.is_none() {
            self.settle().await?;
        }
        // Nobody is about to read such bytes from the page cache; those of a push at ordinary rates stay in it.
        if self.run.is_none() && bytes.len() >= FAST_PIECE {
            self.begin_run(&mut bytes)?;
        }
        while let Some(run) = &mut self.run
            && !bytes.is_empty()
        {
            let count = run.fill(&bytes);
            self.sums.update(bytes.get(..count).unwrap_or_default());
            self.len = self.len.saturating_add(count as u64);
            bytes.advance(count);
            if run.is_full() {
                // One write is on its way while the next run is gathered.
                self.settle().await?;
                self.in_flight = Some(on_a_thread(self.take_run()));
                self.run = Some(self.mark.store.runs.take());
            }
        }
        self.write_cached(&bytes)
    }

    async fn flush(&mut self) -> Result<()> {
        self.settle().await?;
        if self.run.is_some() {
            let write = self.take_run();
            self.work(|_| write()).await?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.flush().await?;
        if self.mark.store.durability == Durability::Relaxed {
            return Ok(());
        }
        let (file, is_entry_synced) = (Arc::clone(&self.file), self.is_entry_synced);
        self.work(move |mark| {
            file.sync_data()?;
            if is_entry_synced { Ok(()) } else { mark.store.directories.sync_renames(mark.id) }
        })
        .await?;
        self.is_entry_synced = true;
        Ok(())
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        self.flush().await?;
        if len < self.len {
            let file = Arc::clone(&self.file);
            // The file is cut also when nobody waits for it, so this is where the next bytes go.
            self.len = len;
            self.sums.truncate(len);
            self.work(move |_| file.set_len(len)).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Blob> {
        self.settle().await?;
        let write = self.take_run();
        let (file, mark, len) = (Arc::clone(&self.file), Arc::clone(&self.mark), self.len);
        let sums = std::mem::replace(&mut self.sums, Summing::new());
        let (id, is_kept) = (mark.id, self.on_drop == OnDrop::Keep);
        let flusher = Arc::clone(&self.mark.store.flusher);
        let ended = flusher.submit(Turn::Soon, move || {
            let directories = &mark.store.directories;
            write()?;
            if let Err(error) = file.write_all_at(&sums.trailer(&file, id, len)?, len) {
                // Media that happens once is worth more than its checksums, which have no room on a full disk.
                if !is_kept || error.kind() != io::ErrorKind::StorageFull {
                    return Err(error);
                }
                file.set_len(len)?;
            }
            // The name is given before the flush, which then takes both to the disk at once: nothing leads to the blob
            // yet, and what a crash leaves of it is taken up or swept under either name. A flush that fails is final: the
            // writer is gone then, and nobody can ask again (D29).
            fs::rename(directories.part(id), directories.finished(id))?;
            if mark.store.durability == Durability::Full {
                file.sync_data()?;
                directories.sync_renames(id)?;
            } else {
                mark.store.note_late(id);
            }
            mark.store.known.note_sound(id, len);
            Ok(())
        });
        ended.await.map_err(io::Error::other).flatten().map_err(|e| failed(id.to_string(), &e))?;
        self.is_over = true;
        Ok(Blob { id, len })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let mark = Arc::clone(&self.mark);
        blocking(mark.id, move || mark.store.delete(mark.id)).await?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.is_over || self.on_drop == OnDrop::Keep {
            return;
        }
        // One unlink on the dropping thread; what fails here is an orphan for the sweep.
        if let Err(error) = self.mark.store.delete(self.mark.id) {
            tracing::debug!(id = %self.mark.id, %error, "an unfinished blob could not be deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::direct::RUN;
    use crate::blob::{BlobIds, FileBlobs};
    use crate::clock::{Clock, Randomness};

    #[tokio::test]
    async fn a_write_that_fails_later_breaks_the_blob() {
        let root = tempfile::tempdir().unwrap();
        let store = FileBlobs::open(root.path(), BlobIds::new(Clock::system(), Randomness::seeded(1))).unwrap();
        let mut writer = FileWriter::new(
            Mark::new(&store.0, store.0.ids.mint()).unwrap(),
            File::open(root.path()).unwrap(),
            0,
            OnDrop::Keep,
        );
        writer.run = Some(store.0.runs.take());
        writer.append(Bytes::from(vec![1; RUN])).await.unwrap();
        assert!(writer.flush().await.is_err());
        assert!(writer.append(Bytes::from_static(b"more")).await.is_err());
        assert!(writer.sync().await.is_err());
        assert!(Box::new(writer).finish().await.is_err());
    }

    #[tokio::test]
    async fn d29_a_flush_that_failed_is_not_forgotten_by_who_went_away() {
        let root = tempfile::tempdir().unwrap();
        let store = FileBlobs::open(root.path(), BlobIds::new(Clock::system(), Randomness::seeded(1))).unwrap();
        let mark = Mark::new(&store.0, store.0.ids.mint()).unwrap();
        let mut writer = FileWriter::new(mark, File::open(root.path()).unwrap(), 0, OnDrop::Keep);
        {
            let (held, until) = std::sync::mpsc::channel::<()>();
            let failing = std::pin::pin!(writer.work(move |_| {
                let _ = until.recv();
                Err(io::ErrorKind::StorageFull.into())
            }));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(failing.poll(&mut context).is_pending());
            drop(held);
        }
        assert!(writer.sync().await.is_err());
        assert!(Box::new(writer).finish().await.is_err());
    }
}
