//! The bytes of objects, under ids that mean nothing.
//!
//! A blob is written once, by one writer, and never changes after it is finished. While it grows it can already be
//! read, and after a crash its torn remains can be found and finished: that is how an open segment survives (D8).

mod damage;
mod direct;
pub mod files;
#[cfg(feature = "s3")]
mod finished;
pub mod memory;
mod pins;
#[cfg(feature = "s3")]
pub mod s3;
mod take;

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::clock::{Clock, Randomness};
use crate::error::{Error, Result, Subject};

pub use damage::{BlobDamage, Verified};
pub use files::{Adopted, FileBlobs, Hold};
#[cfg(feature = "s3")]
pub use finished::FinishedBlobs;
pub use memory::MemoryBlobs;
pub use pins::{Pinned, Pins};
#[cfg(feature = "s3")]
pub use s3::{S3Address, S3Blobs, S3Options};
pub use take::TakeBlobs;

/// The name of a blob: 48 bits of time and 74 of randomness, laid out as a UUID of version 7 (RFC 9562 5.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(u128);

impl BlobId {
    /// An id for a blob begun at `now_ms`, Unix milliseconds.
    pub fn new(now_ms: i64, random: [u8; 10]) -> Self {
        let time = u128::from(now_ms.max(0).unsigned_abs() & 0xffff_ffff_ffff) << 80;
        let mut low = [0; 16];
        if let Some(tail) = low.get_mut(6..) {
            tail.copy_from_slice(&random);
        }
        let random = u128::from_be_bytes(low) & !(0xf << 76) & !(0b11 << 62);
        Self(time | 0x7 << 76 | 0b10 << 62 | random)
    }

    /// When the blob was begun, Unix milliseconds.
    pub fn created_ms(self) -> i64 {
        i64::try_from(self.0 >> 80).unwrap_or(i64::MAX)
    }

    /// The id as bytes, in the order of ids.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::corrupt(Subject::Blob, format!("{text:?} is not a blob id"));
        let is_canonical = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        if !is_canonical {
            return Err(refuse());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| refuse())
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        let bytes = <[u8; 16]>::try_from(bytes.as_ref()).map_err(|_| de::Error::invalid_length(bytes.len(), &"16"))?;
        Ok(Self::from_bytes(bytes))
    }
}

/// Where new ids come from.
#[derive(Debug, Clone)]
pub struct BlobIds {
    clock: Clock,
    randomness: Randomness,
}

impl BlobIds {
    /// Ids of the time that `clock` shows.
    pub fn new(clock: Clock, randomness: Randomness) -> Self {
        Self { clock, randomness }
    }

    /// An id that was not given out before.
    pub fn mint(&self) -> BlobId {
        let mut random = [0; 10];
        self.randomness.fill(&mut random);
        BlobId::new(self.clock.now_ms(), random)
    }
}

/// A finished blob, to be named in the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub id: BlobId,
    /// Its length in bytes.
    pub len: u64,
}

/// What becomes of a blob whose writer is dropped before it is finished or aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrop {
    /// It is deleted: an upload whose client went away.
    Delete,
    /// It stays, torn, to be recovered: the open segment of a push.
    Keep,
}

/// How far a blob has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobState {
    /// Complete and unchanging.
    Finished,
    /// A writer of this process is at it.
    Growing,
    /// Begun and left, or being written by another process.
    Torn,
}

/// A blob as found by a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub id: BlobId,
    /// Its length in bytes.
    pub len: u64,
    /// When its bytes last changed, Unix milliseconds.
    pub modified_ms: i64,
    /// How far it has come.
    pub state: BlobState,
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPage {
    /// Blobs in no order.
    pub blobs: Vec<BlobInfo>,
    /// Where to go on; `None` after the last page.
    pub next: Option<ScanCursor>,
}

/// A place in a scan. Its meaning is the store's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanCursor(pub String);

/// The right to delete blobs that lost their names, as long as it lives. Nobody who copies the store is at it.
pub struct Collecting {
    _held: Option<Box<dyn Any + Send>>,
}

impl Collecting {
    /// A right that nobody can take away.
    pub fn always() -> Self {
        Self { _held: None }
    }

    /// A right that is given back by dropping `held`.
    pub(crate) fn until_dropped(held: impl Any + Send) -> Self {
        Self { _held: Some(Box::new(held)) }
    }
}

impl fmt::Debug for Collecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collecting")
    }
}

/// A place for blobs. Methods fail with `Unavailable` when the disk or the network does; other kinds are named.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a blob with an id of the store's choosing.
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>>;

    /// Opens a blob for reading, at the length it has now. A reader goes on reading after the blob was deleted.
    ///
    /// # Errors
    /// `NotFound`.
    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>>;

    /// Takes up the writing of a blob that was left by a crash, finished or torn, with all bytes that reached it. The
    /// caller knows that no name leads to it yet.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a writer of this process is at it.
    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>>;

    /// Deletes a blob, finished or torn; an absent one is no error. No name may lead to it any more.
    async fn delete(&self, id: BlobId) -> Result<()>;

    /// Whether a blob grows on this machine and finishing it waits for another place, which may be away while blobs can
    /// still grow.
    fn finishes_elsewhere(&self) -> bool {
        false
    }

    /// Whether a blob can be taken up without asking any other place.
    fn lies_here(&self, _id: BlobId) -> bool {
        !self.finishes_elsewhere()
    }

    /// Asks the place where finished blobs are whether it answers, without writing anything. Files of this machine are not
    /// asked: whoever reads or writes them finds out.
    ///
    /// # Errors
    /// What it answers instead, or that it says nothing.
    async fn answers(&self) -> Result<()> {
        Ok(())
    }

    /// Whether that place has refused what was finished last, though it may answer those who read: it is full, or its keys may only
    /// read.
    fn refuses_writes(&self) -> bool {
        false
    }

    /// Whether so many blobs could be opened at once without waiting for others to be closed.
    fn has_room(&self, _count: usize) -> bool {
        true
    }

    /// Gives up so many bytes of this machine's disk, or what there is of them, that were kept only to be read sooner.
    async fn give_room(&self, _bytes: u64) {}

    /// Compares the bytes of a blob in `range`, and what shares checksums with them, with what was written. A store that
    /// looks after its bytes itself has nothing to compare.
    ///
    /// # Errors
    /// `NotFound`.
    async fn verify(&self, id: BlobId, _range: Range<u64>) -> Result<Verified> {
        Ok(Verified { len: self.open(id).await?.len(), has_sums: false, damaged: Vec::new() })
    }

    /// The right to delete garbage now; `None` while somebody copies the store, a backup in another process for example.
    fn collecting(&self) -> Result<Option<Collecting>> {
        Ok(Some(Collecting::always()))
    }

    /// Waits for damage that was found since the last call, by whoever read the blob. To be asked by one task.
    async fn next_damage(&self) -> BlobDamage {
        std::future::pending().await
    }

    /// All blobs, page by page. Blobs that come and go during the scan may be seen or not.
    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage>;
}

/// A blob that grows. What was flushed can be read by [`BlobStore::open`] and survives a crash of the process; a crash
/// of the machine, only what was synced. Of what was appended since, any part from the front may be there already.
#[async_trait]
pub trait BlobWriter: Send {
    /// The id it has and will have.
    fn id(&self) -> BlobId;

    /// Bytes appended so far.
    fn len(&self) -> u64;

    /// Whether nothing was appended yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The CRC-64/XZ of the bytes appended so far, which a store computes anyway, to find damage by. `None` where it has not seen
    /// all of them: the blob was taken up, or cut.
    fn crc64(&self) -> Option<u64>;

    /// Adds bytes to the end. They may be written later, so an error here and below may be about bytes of an earlier
    /// call; after one the blob can only be aborted or dropped.
    async fn append(&mut self, bytes: Bytes) -> Result<()>;

    /// Makes what was appended readable, and survive a crash of the process. The other methods do so too.
    async fn flush(&mut self) -> Result<()>;

    /// Makes what was appended survive a crash of the machine, where the store's [`Durability`](crate::Durability) asks for
    /// that. One that fails is final for the blob: nothing since the last that succeeded counts as durable, whatever a later
    /// one would say (D29).
    async fn sync(&mut self) -> Result<()>;

    /// Forgets everything beyond `len`; a longer `len` changes nothing.
    async fn truncate(&mut self, len: u64) -> Result<()>;

    /// Completes the blob. It is as durable as the store makes its blobs from here on, and a name may be given to it. After an error no name may be: what lies there is to be deleted, or taken up by
    /// [`BlobStore::recover`] as far as it was durable before.
    async fn finish(self: Box<Self>) -> Result<Blob>;

    /// Deletes what was written.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// A blob to read from. Cheap to clone behind an `Arc`; reads may overlap.
#[async_trait]
pub trait BlobReader: Send + Sync {
    /// Its length when it was opened.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `offset` on, `len` of them or as many as there are.
    ///
    /// # Errors
    /// `Corrupt` (blob) when they are not what was written, as far as that is known.
    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes>;

    /// The same, if it can be had without waiting for a disk or a network; `None` says to call [`Self::read_at`].
    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes>;

    /// Whether reading some of these bytes is known to fail because they are damaged.
    fn is_damaged(&self, _offset: u64, _len: u64) -> bool {
        false
    }

    /// The same bytes where they lie, for those who can pass them on without reading them. `None` when they are in no
    /// file, or when passing them on would probably wait for a disk.
    fn try_share_at(&self, _offset: u64, _len: usize) -> Option<FileRange> {
        None
    }
}

/// A run of bytes of an open file, all of which were there when it was opened.
#[derive(Debug, Clone)]
pub struct FileRange {
    /// The file, which nobody changes.
    pub file: Arc<File>,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: usize,
    /// What is to be kept as long as the file is, such as a share of the files that may be open.
    pub held: Option<Arc<dyn Any + Send + Sync>>,
}

/// How many of `len` bytes there are from `offset` on in a blob of `total` bytes.
pub(crate) fn available(total: u64, offset: u64, len: usize) -> usize {
    usize::try_from(total.saturating_sub(offset)).unwrap_or(usize::MAX).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7() {
        // The example of RFC 9562 A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F, 2022-02-22T19:22:22Z.
        let id = BlobId::new(0x017f_22e2_79b0, [0xfc, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
        assert_eq!(id.to_string(), "017f22e279b07cc398c4dc0c0c07398f");
        assert_eq!(id.created_ms(), 1_645_557_742_000);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(BlobId::from_bytes(id.to_bytes()), id);
        for text in ["", "017F22E279B07CC398C4DC0C0C07398F", "+17f22e279b07cc398c4dc0c0c07398f"] {
            assert!(text.parse::<BlobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn available_never_exceeds_the_blob() {
        for (total, offset, len, expected) in [(10, 0, 4, 4), (10, 8, 4, 2), (10, 10, 4, 0), (10, u64::MAX, 4, 0)] {
            assert_eq!(available(total, offset, len), expected);
        }
    }
}
