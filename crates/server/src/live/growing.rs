//! The bytes of the open segment: in a blob that grows, and in memory as long as the disk may still lose them.
//!
//! A flush that fails is final for its file (D29): the system may have dropped what it could not write, and the next
//! flush of that file would succeed all the same. So a segment whose blob failed is written again to a new blob, from
//! what was durable of the old one and what memory still holds. Where memory does not reach, the segment ends before
//! the hole, at its last whole access unit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::Container;
use store::blob::{Blob, BlobId, BlobStore, BlobWriter, OnDrop};
use tokio::time::Instant;

use super::Live;
use super::losses::Cause;
use super::torn::Torn;
use super::whereabouts::Whereabouts;
use crate::checksums::{BodyDigest, Checksums};
use crate::config::SegmentEtag;

/// What one push keeps in memory until it is durable; at 40 Mbit/s about what comes between two flushes.
const MAX_TAIL: usize = 4 << 20;
/// What all pushes keep.
const MAX_TAILS: usize = 64 << 20;
/// The first and the longest pause between attempts to write a segment again.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// Read at once from a blob that is copied.
const READ_BYTES: usize = 1 << 20;

/// The open segment's bytes.
pub(super) struct Growing {
    /// Whether it is the first segment of its push.
    is_first: bool,
    container: Container,
    blobs: Arc<dyn BlobStore>,
    etag: SegmentEtag,
    /// `None` while the blob is broken, or was never made.
    writer: Option<Box<dyn BlobWriter>>,
    /// The blob that is or was written, also when it is broken.
    place: Whereabouts,
    /// Bytes from the front of that blob which nothing but a crash worse than `durability` allows for can take away.
    settled: u64,
    /// Their CRC-64, as far as the writer knew it: what is copied of a broken blob has to be that.
    settled_crc64: Option<u64>,
    /// A flush of the blob failed, so that nothing beyond `settled` counts.
    has_hole: bool,
    /// What follows the settled bytes.
    tail: Tail,
    /// What its writer does not know: the MD5, where the ETag is one.
    digest: Option<BodyDigest>,
    fault: Option<Fault>,
    /// The blob may have been noted as the open one.
    is_noted: bool,
    times_rewritten: u64,
}

/// What keeps the segment from being written.
struct Fault {
    cause: Cause,
    since: Instant,
    next_attempt: Instant,
    pause: Duration,
}

/// A segment that is stored, whole or as far as it could be.
pub(super) struct Grown {
    pub(super) blob: Blob,
    pub(super) sums: Checksums,
    /// When only a part of the segment is there: the duration of that part in ms.
    pub(super) part_ms: Option<u64>,
    /// What took the rest away.
    pub(super) cause: Option<Cause>,
}

/// Something that happened to the bytes, for whoever counts and logs.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) cause: Cause,
    pub(super) error: store::Error,
}

impl Growing {
    /// Begins a segment, the first of its push or a later one. When no blob can be made, memory takes the bytes until one can.
    pub(super) async fn begin(live: &Live, container: Container, is_first: bool) -> (Self, Result<(), Failed>) {
        let etag = live.settings.live.segment_etag;
        let mut growing = Self {
            blobs: Arc::clone(&live.blobs),
            etag,
            is_first,
            container,
            writer: None,
            place: Whereabouts::default(),
            settled: 0,
            settled_crc64: None,
            has_hole: false,
            tail: Tail::default(),
            digest: (etag == SegmentEtag::Md5).then(BodyDigest::with_md5),
            fault: None,
            is_noted: false,
            times_rewritten: 0,
        };
        let begun = match growing.blobs.create(OnDrop::Keep).await {
            Ok(writer) => {
                growing.place.moved_to(writer.id());
                growing.writer = Some(writer);
                Ok(())
            }
            Err(error) => Err(growing.fail(Cause::Open, error)),
        };
        (growing, begun)
    }

    /// The blob to look for after a crash, for whoever notes it. From here on a name may lead to it.
    pub(super) fn blob_to_note(&mut self) -> Option<BlobId> {
        let blob = self.place.blob();
        self.is_noted |= blob.is_some();
        blob
    }

    /// Whether what comes from here on is lost: the blob is broken, and memory has not kept what followed.
    pub(super) fn is_hopeless(&self) -> bool {
        self.fault.is_some() && !self.tail.is_whole
    }

    /// Whether all of it is in its blob, or on its way there.
    pub(super) fn is_sound(&self) -> bool {
        self.writer.is_some() && self.fault.is_none()
    }

    /// Where its bytes are, now and when they are written again elsewhere.
    pub(super) fn place(&self) -> &Whereabouts {
        &self.place
    }

    /// Lets go of it after a flush, with nothing open and nothing in memory: where it is, its checksums, and how often it was
    /// written again.
    ///
    /// # Errors
    /// Itself, when not all of it is in its blob.
    pub(super) fn shelve(self: Box<Self>) -> Result<(BlobId, Checksums, u64), Box<Self>> {
        let sums = self.sums().filter(|_| self.is_sound() && self.tail.len == 0);
        match (self.place.blob(), sums) {
            (Some(blob), Some(sums)) => Ok((blob, sums, self.times_rewritten)),
            _ => Err(self),
        }
    }

    /// Whether nothing more can be done for it than to end it before what is lost, and when that may be done at once: what
    /// its blob has is all that can be kept.
    pub(super) fn is_cut_short(&self) -> bool {
        self.is_hopeless() && !self.has_hole
    }

    /// Lets go of it; where its bytes are, and what took the rest away.
    pub(super) fn let_go(self) -> (Option<BlobId>, Cause) {
        (self.place.blob(), self.fault.map_or(Cause::Write, |fault| fault.cause))
    }

    /// Adds bytes to the end.
    ///
    /// # Errors
    /// The first failure of a blob; what is added while it is broken waits in memory.
    pub(super) async fn append(&mut self, bytes: Bytes) -> Result<(), Failed> {
        if let Some(digest) = &mut self.digest {
            digest.update(&bytes);
        }
        self.tail.push(&bytes);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.append(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(Cause::Write, error)),
        }
    }

    /// Hands the bytes to the system, so that they survive a crash of this process.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) async fn flush(&mut self) -> Result<(), Failed> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.flush().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(Cause::Write, error)),
        }
    }

    /// Makes the bytes survive what the durability of the store says they shall.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) async fn sync(&mut self) -> Result<(), Failed> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.sync().await {
            Ok(()) => {
                self.settle();
                Ok(())
            }
            Err(error) => Err(self.fail(Cause::Sync, error)),
        }
    }

    /// Writes a broken segment to a new blob when the next attempt is due; whether there is a new blob, which is to be
    /// noted in the place of the old one.
    pub(super) async fn mend(&mut self) -> bool {
        let is_due = self.fault.as_ref().is_some_and(|fault| fault.next_attempt <= Instant::now());
        is_due && self.tail.is_whole && self.rewrite().await
    }

    /// Completes the segment, and tries again for as long as `timeout` after it broke. `report` hears of each new
    /// failure. With the segment comes how often it was written again.
    ///
    /// # Errors
    /// What took all of the segment away.
    pub(super) async fn finish(
        mut self,
        timeout: Duration,
        mut report: impl FnMut(Failed) + Send,
    ) -> Result<(Grown, u64), Cause> {
        let mut since = self.fault.as_ref().map(|fault| fault.since);
        let [mut pause, longest] = PAUSE;
        let mut is_again = false;
        loop {
            let sums = self.sums();
            if let Some(writer) = self.writer.take() {
                match self.complete(writer, sums).await {
                    Ok(grown) => return Ok((grown, self.times_rewritten)),
                    Err(error) => report(self.fail(Cause::Sync, error)),
                }
            }
            let since = *since.get_or_insert_with(Instant::now);
            if !self.tail.is_whole {
                break;
            }
            if is_again {
                if since.elapsed() >= timeout {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            is_again = true;
            self.rewrite().await;
        }
        let cause = self.fault.as_ref().map_or(Cause::Write, |fault| fault.cause);
        let (blobs, blob, is_noted) = (Arc::clone(&self.blobs), self.place.blob(), self.is_noted);
        let times_rewritten = self.times_rewritten;
        let error = match self.salvage().await {
            Ok(Some(grown)) => return Ok((grown, times_rewritten)),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        tracing::debug!(?error, "nothing of a broken segment can be taken up");
        if let Some(blob) = blob.filter(|_| !is_noted) {
            // Nobody would find it. One that was noted goes when another takes its place.
            let _ = blobs.delete(blob).await;
        }
        Err(cause)
    }

    /// The checksums of all bytes so far, as far as nothing has to be read for them.
    fn sums(&self) -> Option<Checksums> {
        match (&self.digest, &self.writer) {
            (Some(digest), _) => Some(digest.clone().finish()),
            (None, Some(writer)) => writer.crc64().map(|crc64| Checksums::of_crc64(crc64, writer.len())),
            (None, None) => None,
        }
    }

    /// Completes the blob of this writer.
    async fn complete(&mut self, writer: Box<dyn BlobWriter>, sums: Option<Checksums>) -> Result<Grown, store::Error> {
        let blob = writer.finish().await?;
        let sums = match sums {
            Some(sums) => sums,
            None => {
                let reader = self.blobs.open(blob.id).await?;
                Torn::new(self.container, reader, blob.len).checksums(self.etag).await?
            }
        };
        Ok(Grown { blob, sums, part_ms: None, cause: None })
    }

    fn settle(&mut self) {
        if let Some(writer) = &self.writer {
            (self.settled, self.settled_crc64) = (writer.len(), writer.crc64());
        }
        self.tail.clear();
    }

    /// The blob is broken; its writer leaves it as it is.
    fn fail(&mut self, cause: Cause, error: store::Error) -> Failed {
        self.writer = None;
        self.has_hole |= cause == Cause::Sync;
        let now = Instant::now();
        let [pause, _] = PAUSE;
        self.fault.get_or_insert(Fault { cause, since: now, next_attempt: now, pause });
        Failed { cause, error }
    }

    /// One attempt to write the segment to a new blob.
    async fn rewrite(&mut self) -> bool {
        match self.written_again().await {
            Ok(writer) => {
                let old = self.place.moved_to(writer.id());
                if let Some(old) = old.filter(|_| !self.is_noted) {
                    // Nobody would find it. One that was noted goes when another takes its place.
                    let _ = self.blobs.delete(old).await;
                }
                self.writer = Some(writer);
                self.settle();
                (self.has_hole, self.is_noted, self.fault) = (false, false, None);
                self.times_rewritten += 1;
                true
            }
            Err(error) => {
                tracing::debug!(%error, "a segment cannot be written again yet");
                let [_, longest] = PAUSE;
                if let Some(fault) = &mut self.fault {
                    fault.next_attempt = Instant::now() + fault.pause;
                    fault.pause = (fault.pause * 2).min(longest);
                }
                false
            }
        }
    }

    async fn written_again(&mut self) -> Result<Box<dyn BlobWriter>, store::Error> {
        let mut writer = self.blobs.create(OnDrop::Keep).await?;
        match self.fill(&mut writer).await {
            Ok(()) => Ok(writer),
            Err(error) => {
                // What cannot be deleted now is an orphan for the sweep.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    async fn fill(&mut self, writer: &mut Box<dyn BlobWriter>) -> Result<(), store::Error> {
        if let Some(blob) = self.place.blob().filter(|_| self.settled > 0) {
            let settled = self.blobs.open(blob).await?;
            while writer.len() < self.settled {
                let left = usize::try_from(self.settled - writer.len()).unwrap_or(READ_BYTES);
                let piece = settled.read_at(writer.len(), left.min(READ_BYTES)).await?;
                if piece.is_empty() {
                    let missing = "a broken segment has lost what was durable of it";
                    return Err(store::Error::new(store::ErrorKind::Corrupt, store::Subject::Blob, missing));
                }
                writer.append(piece).await?;
            }
            let sums = self.settled_crc64.zip(writer.crc64());
            if sums.is_some_and(|(settled, copied)| settled != copied) {
                let changed = "what was durable of a broken segment has changed";
                return Err(store::Error::new(store::ErrorKind::Corrupt, store::Subject::Blob, changed));
            }
        }
        for piece in &self.tail.pieces {
            writer.append(piece.clone()).await?;
        }
        // Before the new blob takes the place of the old one it holds as much.
        writer.sync().await
    }

    /// Ends the segment before the hole: what of its blob counts, up to the last whole access unit.
    async fn salvage(mut self) -> Result<Option<Grown>, store::Error> {
        let Some(blob) = self.place.blob() else { return Ok(None) };
        let mut writer = self.take_up(blob).await?;
        // Without a failed flush whatever reached the file counts, once it is flushed.
        let counts = if self.has_hole {
            self.settled
        } else if writer.sync().await.is_ok() {
            writer.len()
        } else {
            self.settled
        };
        let reader = self.blobs.open(blob).await?;
        let torn = Torn::new(self.container, reader, counts);
        let recovered = torn.recover().await?;
        if !recovered.can_be_played(self.is_first) {
            return Ok(None);
        }
        let whole = torn.cut(&recovered);
        let sums = whole.checksums(self.etag).await?;
        writer = self.cut(writer, blob, whole.len()).await?;
        let blob = writer.finish().await?;
        let cause = self.fault.as_ref().map(|fault| fault.cause);
        Ok(Some(Grown { blob, sums, part_ms: Some(recovered.duration_ms), cause }))
    }

    /// Shortens a blob. A writer whose flush failed is good for nothing else, so it is taken up anew.
    async fn cut(
        &mut self,
        mut writer: Box<dyn BlobWriter>,
        blob: BlobId,
        len: u64,
    ) -> Result<Box<dyn BlobWriter>, store::Error> {
        if writer.truncate(len).await.is_ok() {
            return Ok(writer);
        }
        drop(writer);
        let mut writer = self.take_up(blob).await?;
        writer.truncate(len).await?;
        Ok(writer)
    }

    /// Takes up a blob that was given up; a write of its former writer may still be under way.
    async fn take_up(&mut self, blob: BlobId) -> Result<Box<dyn BlobWriter>, store::Error> {
        let [pause, timeout] = PAUSE;
        let begun = Instant::now();
        loop {
            match self.blobs.recover(blob, OnDrop::Keep).await {
                Err(error) if error.kind == store::ErrorKind::Conflict && begun.elapsed() < timeout => {
                    tokio::time::sleep(pause).await;
                }
                taken => return taken,
            }
        }
    }
}

/// The bytes of all tails.
static TAILS: AtomicUsize = AtomicUsize::new(0);

/// Bytes that follow the settled ones, as long as there is room for all of them.
struct Tail {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Whether nothing was left out since it was last cleared.
    is_whole: bool,
}

impl Default for Tail {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), len: 0, is_whole: true }
    }
}

impl Tail {
    fn push(&mut self, bytes: &Bytes) {
        if !self.is_whole {
            return;
        }
        let has_room = self.len + bytes.len() <= MAX_TAIL
            && TAILS
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| {
                    all.checked_add(bytes.len()).filter(|all| *all <= MAX_TAILS)
                })
                .is_ok();
        if !has_room {
            self.clear();
            self.is_whole = false;
            return;
        }
        self.len += bytes.len();
        self.pieces.push_back(bytes.clone());
    }

    fn clear(&mut self) {
        TAILS.fetch_sub(self.len, Ordering::Relaxed);
        self.pieces.clear();
        self.len = 0;
        self.is_whole = true;
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_whole_or_nothing() {
        let mut tail = Tail::default();
        let piece = Bytes::from(vec![1; MAX_TAIL / 4]);
        for _ in 0..4 {
            tail.push(&piece);
        }
        assert_eq!((tail.is_whole, tail.len), (true, MAX_TAIL));
        tail.push(&Bytes::from_static(b"x"));
        assert_eq!((tail.is_whole, tail.len, tail.pieces.len()), (false, 0, 0));
        tail.push(&Bytes::from_static(b"y"));
        assert_eq!(tail.len, 0, "what follows a hole is no use");
        tail.clear();
        tail.push(&Bytes::from_static(b"z"));
        assert_eq!((tail.is_whole, tail.len), (true, 1));
    }
}
