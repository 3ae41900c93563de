//! The bytes of bodies: those that come with a request, and those that are stored.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use model::{Error, ErrorCode};
use store::blob::{BlobId, BlobReader, BlobStore, FileRange};
use store::meta::{Extent, Meta, Reading};

use super::failure::internal;
use crate::memory::Held;

/// The bytes of a request's body, one piece after the other.
pub(crate) trait BodySource: Send {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `IncompleteBody` when the peer went away, `RequestTimeout` when it stopped sending.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<Bytes>, Error>> + Send + '_>>;

    /// The length the peer announced.
    fn announced_length(&self) -> Option<u64>;

    /// Whether the request has a body at all: it announced a length or sends in chunks.
    fn is_present(&self) -> bool;
}

/// Bytes of a stored body.
#[derive(Debug)]
pub(crate) enum StoredBody {
    /// At hand.
    Bytes(Bytes),
    /// In blobs.
    Blobs(StoredContent),
}

impl StoredBody {
    /// All of it in memory: for bodies whose size was checked.
    ///
    /// # Errors
    /// As [`StoredContent::next`].
    pub(crate) async fn whole(self) -> Result<Bytes, Error> {
        match self {
            StoredBody::Bytes(bytes) => Ok(bytes),
            StoredBody::Blobs(mut stored) => {
                let mut whole = bytes::BytesMut::new();
                while let Some(piece) = stored.next(COPY_BYTES).await? {
                    whole.extend_from_slice(&piece);
                }
                Ok(whole.freeze())
            }
        }
    }
}

/// A range of a stored body: pieces of blobs. The first ones are open before the answer begins, so that an overwrite or
/// delete during a long download changes nothing for it; of an object of very many parts the later ones are opened
/// when it is their turn, because open files are few, and are pinned until then.
pub(crate) struct StoredContent {
    files: Arc<dyn BlobStore>,
    pieces: std::collections::VecDeque<Piece>,
    remaining: u64,
    _pinned: Option<Reading>,
}

/// A range of one blob.
struct Piece {
    blob: BlobId,
    reader: Option<Box<dyn BlobReader>>,
    offset: u64,
    len: u64,
}

/// How much is read at once of what goes from one blob to another: large enough that a system call costs little beside
/// its bytes.
pub(crate) const COPY_BYTES: usize = 256 * 1024;
/// Fewer bytes than this are read: copying them costs less than the further system call.
const MIN_SHARED: u64 = 32 * 1024;
/// Blobs that one answer holds open.
const OPEN_AT_ONCE: usize = 16;

impl std::fmt::Debug for StoredContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredContent({} bytes)", self.remaining)
    }
}

impl StoredContent {
    /// Joins runs of bytes of `files`, the blobs that requests may open.
    ///
    /// # Errors
    /// `InternalError` when one of the first blobs cannot be opened, `ServiceUnavailable` when there is no descriptor for
    /// it at the moment.
    pub(crate) async fn open(meta: &Meta, files: Arc<dyn BlobStore>, runs: &[Extent]) -> Result<Self, Error> {
        // Only the first has to be open. An answer that waited for several could wait for others that do the same.
        let at_once = if files.has_room(runs.len().min(OPEN_AT_ONCE)) { OPEN_AT_ONCE } else { 1 };
        let later = runs.get(at_once..).filter(|later| !later.is_empty());
        // Other servers only know since when somebody reads, so there every answer counts.
        let is_pinned = later.is_some() || meta.counts_readers();
        let pinned = is_pinned.then(|| meta.pin(later.unwrap_or_default().iter().map(|run| run.blob)));
        let piece = |run: &Extent| Piece { blob: run.blob, reader: None, offset: run.offset, len: run.len };
        let mut pieces: std::collections::VecDeque<_> = runs.iter().map(piece).collect();
        for piece in pieces.iter_mut().take(at_once) {
            let reader = files.open(piece.blob).await.map_err(unreadable)?;
            if reader.is_damaged(piece.offset, piece.len) {
                // The answer has not begun, so it can still say so.
                let damage = format!("blob {} is damaged", piece.blob);
                return Err(unreadable(store::Error::new(store::ErrorKind::Corrupt, store::Subject::Blob, damage)));
            }
            piece.reader = Some(reader);
        }
        let remaining = pieces.iter().map(|piece| piece.len).sum();
        Ok(Self { files, pieces, remaining, _pinned: pinned })
    }

    /// Bytes still to come.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes, at most `limit`, as the place where they lie, if passing them on from there needs no waiting;
    /// `None` says to ask for [`Self::next`].
    pub(crate) fn try_share(&mut self, limit: usize) -> Option<FileRange> {
        while self.pieces.front().is_some_and(|piece| piece.len == 0) {
            self.pieces.pop_front();
        }
        let piece = self.pieces.front_mut()?;
        if piece.len < MIN_SHARED {
            return None;
        }
        let wanted = usize::try_from(piece.len).unwrap_or(limit).min(limit);
        let range = piece.reader.as_ref()?.try_share_at(piece.offset, wanted)?;
        let shared = range.len as u64;
        piece.offset += shared;
        piece.len = piece.len.saturating_sub(shared);
        self.remaining = self.remaining.saturating_sub(shared);
        Some(range)
    }

    /// The next bytes, at most `limit`; `None` at the end.
    ///
    /// # Errors
    /// `InternalError` when a blob is shorter than its metadata says or cannot be read, `ServiceUnavailable` when there is
    /// no descriptor for it.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
            if piece.len == 0 {
                self.pieces.pop_front();
                continue;
            }
            let wanted = usize::try_from(piece.len).unwrap_or(limit).min(limit);
            let reader = match &mut piece.reader {
                Some(reader) => reader,
                closed => closed.insert(self.files.open(piece.blob).await.map_err(unreadable)?),
            };
            let bytes = reader.read_at(piece.offset, wanted).await.map_err(unreadable)?;
            if bytes.is_empty() {
                tracing::error!("a stored body is shorter than its metadata says");
                return Err(Error::new(ErrorCode::InternalError));
            }
            let read = (bytes.len() as u64).min(piece.len);
            piece.offset += read;
            piece.len -= read;
            self.remaining = self.remaining.saturating_sub(read);
            return Ok(Some(bytes));
        }
    }
}

/// A disk that does not answer now is another thing than bytes that are not there or damaged.
fn unreadable(error: store::Error) -> Error {
    if error.kind == store::ErrorKind::Unavailable {
        return internal(error);
    }
    crate::damage::count(&error);
    tracing::error!(%error, "a stored body cannot be read");
    Error::new(ErrorCode::InternalError)
}

/// Reads a whole body of at most `limit` bytes, which count as `held` until the last clone is dropped.
///
/// # Errors
/// What the body's source says, `too_large` when there is more, or `ServiceUnavailable` when there is no room.
pub(crate) async fn read_whole(
    body: &mut dyn BodySource,
    limit: usize,
    too_large: Error,
    mut held: Held,
) -> Result<Bytes, Error> {
    if body.announced_length().is_some_and(|len| len > limit as u64) {
        return Err(too_large);
    }
    let mut whole = bytes::BytesMut::new();
    while let Some(piece) = body.next().await? {
        if whole.len() + piece.len() > limit {
            return Err(too_large);
        }
        held.grow(piece.len()).await?;
        whole.extend_from_slice(&piece);
    }
    Ok(held.attach(whole.freeze()))
}
