//! Buckets, objects, uploads, channels, pushes, segments and keys, written once over [`Kv`].
//!
//! Every change is one commit of the map. Where a change depends on what is there, it reads, makes a commit with
//! preconditions and, when somebody was faster, begins again; after 64 attempts it gives up with `Conflict`.

pub(crate) mod key;
pub mod lease;

mod account;
mod bucket;
mod channel;
mod continuity;
mod damage;
mod decoded;
mod garbage;
mod listing;
mod novelty;
mod object;
pub mod peer;
mod publication;
mod readers;
pub(crate) mod secret;
mod segment;
mod transaction;
mod upload;
mod usage;

use std::fmt;
use std::sync::Arc;

use crate::blob::{BlobId, Pins};
use crate::clock::Clock;
use crate::error::{Error, Result, Subject};
use crate::kv::{Entry, Kv, Range, ReadOnlyKv, Version, Versioned};
use crate::record::{Record, decode};
use crate::vault::Vault;

pub use self::usage::{Tally, TooMuchUsage};
pub use account::{AccountChange, AccountsSeen, KeyRecord, SessionRecord, SessionRole, UserPolicy, UserRecord};
pub use bucket::{BucketRecord, BucketStatistics, ClassStatistics};
pub use channel::{ChannelPut, ChannelRecord, ChannelSettings, HistoryEntry};
pub use damage::{BodiesVerified, Named};
pub use garbage::Collected;
pub use listing::{ListQuery, ListedObject, ListedUpload, Listing, UploadListQuery, UploadListing, UploadMarker};
pub use object::{Body, Extent, ObjectRecord, ObjectRole, PutGuard, SeenObject, Source};
pub use publication::{DanglingPublication, Earlier, OpenSegment, PublicationRecord, SegmentCommit, StartRecord};
pub use readers::Reading;
pub use segment::SegmentEntry;
pub use upload::{PartRecord, UploadRecord};

use continuity::Continuity;
use decoded::Decoded;
use novelty::Novelty;
use readers::Readers;

pub(crate) use bucket::StatisticsDelta;
pub(crate) use garbage::GarbageRecord;
pub(crate) use object::{BodyRow, StoredBody, StoredObject};

/// How often a change is begun again because somebody was faster.
const ATTEMPTS: usize = 64;

/// How long a blob without a name is kept for readers that looked its name up before, milliseconds.
const GARBAGE_GRACE_MS: i64 = 60_000;

/// A record and when it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// The commit that wrote it.
    pub version: Version,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it, in order of name.
    pub items: Vec<T>,
    /// Whether at least one more follows.
    pub is_truncated: bool,
}

/// Everything that has a name, over one map. Clones share it.
#[derive(Clone)]
pub struct Meta {
    kv: Arc<dyn Kv>,
    clock: Clock,
    garbage_grace_ms: i64,
    pins: Pins,
    /// Who reads, where other processes delete blobs too.
    readers: Option<Readers>,
    decoded: Arc<Decoded>,
    novelty: Arc<Novelty>,
    vault: Option<Arc<Vault>>,
    /// Since when this process has said that it lives, where others do.
    continuity: Option<Arc<Continuity>>,
    /// What the next change counts.
    tally: Option<Arc<Tally>>,
    usage_shard: u8,
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta").field("garbage_grace_ms", &self.garbage_grace_ms).finish_non_exhaustive()
    }
}

impl Meta {
    /// The nouns in this map. `clock` dates the garbage.
    pub fn new(kv: Arc<dyn Kv>, clock: Clock) -> Self {
        Self {
            kv,
            clock,
            garbage_grace_ms: GARBAGE_GRACE_MS,
            pins: Pins::default(),
            readers: None,
            continuity: None,
            decoded: Arc::default(),
            novelty: Arc::default(),
            vault: None,
            tally: None,
            usage_shard: 0,
        }
    }

    /// Keeps blobs without a name for this long: from looking a name up to opening or pinning its blob. A store that
    /// cannot read what was deleted while it is open, or is read by several processes, needs longer than the longest
    /// download.
    #[must_use]
    pub fn with_garbage_grace_ms(mut self, grace_ms: i64) -> Self {
        self.garbage_grace_ms = grace_ms;
        self
    }

    /// The same for a process that shares map and blobs with others: who reads is counted, so that they can be told, and that
    /// another does not say that it lives is believed only where it could have.
    #[must_use]
    pub fn with_counted_readers(mut self) -> Self {
        self.readers = Some(Readers::default());
        self.continuity = Some(Arc::default());
        self
    }

    /// The same, in which nothing changes.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.kv = Arc::new(ReadOnlyKv::new(self.kv));
        self
    }

    /// Keeps these blobs, whatever becomes of their names, until it is dropped: for a reader that opens them one after the
    /// other. Holds for this process, and where readers are counted for those that are told of the oldest.
    pub fn pin(&self, blobs: impl IntoIterator<Item = BlobId>) -> Reading {
        let pinned = self.pins.pin(blobs);
        match &self.readers {
            Some(readers) => readers.begin(pinned, self.clock.now_ms()),
            None => Reading::uncounted(pinned),
        }
    }

    /// Whether other processes have to be told who reads.
    pub fn counts_readers(&self) -> bool {
        self.readers.is_some()
    }

    /// Who reads now began at this time at the earliest, Unix milliseconds; now where nobody reads.
    pub fn reading_since_ms(&self) -> i64 {
        let now_ms = self.clock.now_ms();
        self.readers.as_ref().and_then(Readers::oldest_ms).map_or(now_ms, |oldest_ms| oldest_ms.min(now_ms))
    }

    /// What is wrong with the map itself, in words; reads all of it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn faults(&self) -> Result<Vec<String>> {
        self.kv.faults().await
    }

    /// Whether the map lost commits, in words.
    pub fn loss(&self) -> Option<String> {
        self.kv.loss()
    }

    pub(crate) fn kv(&self) -> &dyn Kv {
        self.kv.as_ref()
    }

    /// The record under a key.
    async fn record<R: Record>(&self, key: &[u8]) -> Result<Option<Stored<R>>> {
        let row = self.kv.get(key).await?;
        row.map(|row| stored(&row)).transpose().map_err(|error| error.about(key.escape_ascii()))
    }

    /// The same of a record that is read again and again.
    async fn popular_record<R>(&self, key: &[u8]) -> Result<Option<Stored<Arc<R>>>>
    where
        R: Record + Send + Sync + 'static,
    {
        let Some(row) = self.kv.get(key).await? else { return Ok(None) };
        let value = self.decoded.read(key, &row.value).map_err(|error| error.about(key.escape_ascii()))?;
        Ok(Some(Stored { value, version: row.version }))
    }

    /// A page of the records of a table whose keys begin with `prefix`, after the key `after`, each made an item by
    /// `item`.
    async fn page<T>(
        &self,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: usize,
        mut item: impl FnMut(&Entry) -> Result<T>,
    ) -> Result<Page<T>> {
        let mut range = Range::prefix(prefix).limit(limit.saturating_add(1));
        if let Some(mut after) = after.filter(|after| *after >= range.from) {
            after.push(0);
            range.from = after;
        }
        let rows = self.kv.range(&range).await?;
        let is_truncated = rows.len() > limit;
        let item = |row| item(row).map_err(|error| error.about(row.key.escape_ascii()));
        let items = rows.iter().take(limit).map(item).collect::<Result<_>>()?;
        Ok(Page { items, is_truncated })
    }
}

fn stored<R: Record>(row: &Versioned) -> Result<Stored<R>> {
    Ok(Stored { value: decode(&row.value)?, version: row.version })
}

/// The same of a push: that others were faster, is no word about who has its channel.
fn was_busy(subject: Subject, name: impl fmt::Display) -> Error {
    Error::unavailable(subject, format!("{name} was changed by others {ATTEMPTS} times in a row"))
}

/// What is said when others were faster every time.
fn gave_up(subject: Subject, name: impl fmt::Display) -> Error {
    Error::conflict(subject, format!("{name} was changed by others {ATTEMPTS} times in a row"))
}
