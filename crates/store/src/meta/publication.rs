//! Pushes: what a publisher writes while it is live, so that a crash at any point can be repaired (LiveChannel 4.3
//! to 4.6, D8).
//!
//! While a push is live it has a record that names its open segment's blob. Each finished segment is one commit: the
//! object, its index entry, the playlist, the window, the next open segment. Every commit shows the publisher's
//! lease, so whoever lost it writes nothing more.

use bytes::Bytes;
use oss::name::{BucketName, ChannelName, ObjectKey};
use serde::{Deserialize, Serialize};

use super::channel::{HistoryEntry, HistoryRecord};
use super::key::{self, Table};
use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Meta, ObjectRecord, PutGuard, SegmentEntry, Stored, gave_up};
use crate::blob::BlobId;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Lease, Precondition, Range, Write, add_counters, counters};
use crate::lease::{PublisherLease, publisher_lease_name};
use crate::record::{Record, decode};

/// Pushes that a channel remembers (LiveChannel 2.4).
const MAX_HISTORY: usize = 10;

/// How a push began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// When, Unix milliseconds.
    pub started_ms: i64,
    /// Who pushes, `ip:port`.
    pub remote_addr: String,
    /// The name of the live playlist in force.
    pub playlist: String,
    /// What else the publisher wants to find after a crash, in its own writing.
    pub details: Bytes,
}

/// A segment that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSegment {
    /// Its number.
    pub number_ms: u64,
    /// The blob that grows.
    pub blob: BlobId,
    /// What else the publisher wants to find after a crash, in its own writing.
    pub details: Bytes,
}

/// A push that is live, or was when its process died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationRecord {
    /// Its number among the pushes of the channel name, from 1.
    pub session: u32,
    /// How it began.
    pub start: StartRecord,
    /// Who held the lease when it began.
    pub holder: String,
    /// The segment being written.
    pub open: Option<OpenSegment>,
    /// When the last stored segment ended, Unix milliseconds.
    pub last_end_ms: Option<i64>,
}

impl Record for PublicationRecord {
    const SUBJECT: Subject = Subject::Publication;
}

/// A finished segment and all that changes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentCommit {
    /// The key of the segment's object.
    pub key: ObjectKey,
    /// The segment's object; its blob is durable.
    pub object: ObjectRecord,
    /// Its entry in the index.
    pub entry: SegmentEntry,
    /// The live playlist that lists it.
    pub playlist: Option<(ObjectKey, ObjectRecord)>,
    /// The state of that playlist.
    pub window: Bytes,
    /// The segment that is open now; `None` when the push ends or pauses.
    pub next: Option<OpenSegment>,
    /// When the segment ended, Unix milliseconds.
    pub end_ms: i64,
}

/// A push whose publisher is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DanglingPublication {
    /// The bucket of its channel.
    pub bucket: BucketName,
    /// Its channel.
    pub channel: ChannelName,
    /// What it wrote down.
    pub record: PublicationRecord,
    /// Its lease, if it has not expired: the token to take over.
    pub lease: Option<Lease>,
}

impl Meta {
    /// Begins a push and returns its session number.
    ///
    /// # Errors
    /// `NotFound` (bucket or channel); `Conflict` when the lease was taken over; `AlreadyExists` when an earlier push
    /// was neither ended nor repaired: see [`Meta::publication`].
    pub async fn begin_publication(&self, lease: &PublisherLease, start: &StartRecord) -> Result<u32> {
        let (bucket, channel) = (lease.bucket(), lease.channel());
        let row = key::of_channel(Table::Publication, bucket, channel);
        let numbering = key::of_channel(Table::Numbering, bucket, channel);
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let earlier = Error::new(ErrorKind::AlreadyExists, Subject::Publication, channel);
            transaction.require(Precondition::Absent(row.clone()), earlier);
            let seen = self.kv().get(&numbering).await?;
            let last = seen.as_ref().and_then(|seen| counters(&seen.value).next()).unwrap_or(0);
            let session = u32::try_from(last).unwrap_or(u32::MAX).saturating_add(1);
            transaction.expect_unchanged(numbering.clone(), seen.map(|seen| seen.version));
            transaction.write(Write::Put(numbering.clone(), add_counters(b"", &[i64::from(session)]).into()));
            let record = PublicationRecord {
                session,
                start: start.clone(),
                holder: lease.holder().to_owned(),
                open: None,
                last_end_ms: None,
            };
            transaction.put(row.clone(), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(session);
            }
        }
        Err(gave_up(Subject::Publication, channel))
    }

    /// The push on a channel that is live, or was left by a crash.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn publication(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<PublicationRecord>> {
        let row = key::of_channel(Table::Publication, bucket, channel);
        Ok(self.record(&row).await?.map(|stored| stored.value))
    }

    /// Writes down which segment is open, `None` when none is. A blob that was open and is not any more, without
    /// having been committed, is deleted.
    ///
    /// # Errors
    /// `NotFound` (publication); `Conflict` when the lease was taken over.
    pub async fn open_segment(&self, lease: &PublisherLease, open: Option<&OpenSegment>) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let mut record = self.live(&mut transaction, lease).await?;
            let left = record.open.take().map(|open| open.blob);
            transaction.discard(left.filter(|blob| open.is_none_or(|open| open.blob != *blob)));
            record.open = open.cloned();
            transaction.put(key::of_channel(Table::Publication, lease.bucket(), lease.channel()), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Publication, lease.channel()))
    }

    /// Stores a finished segment and everything that changes with it, in one commit.
    ///
    /// # Errors
    /// `NotFound` (bucket, channel or publication); `Conflict` when the lease was taken over.
    pub async fn commit_segment(&self, lease: &PublisherLease, segment: &SegmentCommit) -> Result<()> {
        let (bucket, channel) = (lease.bucket(), lease.channel());
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let mut record = self.live(&mut transaction, lease).await?;
            transaction.put_object(&segment.key, &segment.object, PutGuard::Any).await?;
            if let Some((key, playlist)) = &segment.playlist {
                transaction.put_object(key, playlist, PutGuard::Any).await?;
            }
            transaction.put(key::segment(bucket, channel, segment.entry.number_ms), &segment.entry.row())?;
            transaction.write(Write::Put(key::of_channel(Table::Window, bucket, channel), segment.window.clone()));
            let left = record.open.take().map(|open| open.blob);
            let is_named = |blob: &BlobId| {
                segment.object.body.blobs().any(|named| named == *blob)
                    || segment.next.as_ref().is_some_and(|next| next.blob == *blob)
            };
            transaction.discard(left.filter(|blob| !is_named(blob)));
            record.open.clone_from(&segment.next);
            record.last_end_ms = Some(segment.end_ms);
            transaction.put(key::of_channel(Table::Publication, bucket, channel), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Publication, channel))
    }

    /// Rewrites the live playlist and its state without a new segment.
    ///
    /// # Errors
    /// As [`Meta::commit_segment`].
    pub async fn commit_playlist(
        &self,
        lease: &PublisherLease,
        key: &ObjectKey,
        playlist: &ObjectRecord,
        window: Bytes,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            transaction.put_object(key, playlist, PutGuard::Any).await?;
            let row = key::of_channel(Table::Window, lease.bucket(), lease.channel());
            transaction.write(Write::Put(row, window.clone()));
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Publication, lease.channel()))
    }

    /// Ends a push: it moves to the history. `end_ms` of `None` is the end of its last segment, or its start if it
    /// stored none (LiveChannel 2.4). A segment still open is given up.
    ///
    /// # Errors
    /// `NotFound` (bucket, channel or publication); `Conflict` when the lease was taken over.
    pub async fn end_publication(&self, lease: &PublisherLease, end_ms: Option<i64>) -> Result<()> {
        let (bucket, channel) = (lease.bucket(), lease.channel());
        let history_row = key::of_channel(Table::History, bucket, channel);
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let record = self.live(&mut transaction, lease).await?;
            transaction.discard(record.open.map(|open| open.blob));
            let history = self.record::<HistoryRecord>(&history_row).await?;
            transaction.expect_unchanged(history_row.clone(), history.as_ref().map(|history| history.version));
            let mut history = history.map(|history| history.value).unwrap_or_default();
            history.entries.push(HistoryEntry {
                start_ms: record.start.started_ms,
                end_ms: end_ms.or(record.last_end_ms).unwrap_or(record.start.started_ms),
                remote_addr: record.start.remote_addr,
            });
            let surplus = history.entries.len().saturating_sub(MAX_HISTORY);
            history.entries.drain(..surplus);
            transaction.put(history_row.clone(), &history)?;
            transaction.write(Write::Delete(key::of_channel(Table::Publication, bucket, channel)));
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Publication, channel))
    }

    /// The pushes that nobody looks after any more: whose lease has run out or is held by `previous_life`, the holder
    /// that this process used before it was started again. To repair one, take its lease over, store what its open
    /// segment holds with [`Meta::commit_segment`], and end it.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn dangling_publications(&self, previous_life: Option<&str>) -> Result<Vec<DanglingPublication>> {
        let mut dangling = Vec::new();
        for row in self.kv().range(&Range::prefix(Table::Publication.all())).await? {
            let (bucket, channel) = key::channel_of(&row)?;
            let lease = self.kv().lease(&publisher_lease_name(&bucket, &channel)).await?;
            if lease.as_ref().is_none_or(|lease| previous_life == Some(lease.holder.as_str())) {
                dangling.push(DanglingPublication { bucket, channel, record: decode(&row.value)?, lease });
            }
        }
        Ok(dangling)
    }

    /// The push of a lease, which must not change until the commit.
    async fn live(&self, transaction: &mut MetaTransaction<'_>, lease: &PublisherLease) -> Result<PublicationRecord> {
        let row = key::of_channel(Table::Publication, lease.bucket(), lease.channel());
        let Some(Stored { value, version }) = self.record(&row).await? else {
            // Why it is gone matters: the bucket or the channel was deleted, or the lease lost.
            let gone = Error::not_found(Subject::Publication, lease.channel());
            let mut why = publishing(self, lease);
            why.require(Precondition::Exists(row), gone.clone());
            return why.commit().await.and(Err(gone));
        };
        transaction.expect_unchanged(row, Some(version));
        Ok(value)
    }
}

/// A change that is refused unless the bucket and the channel are there and the lease is held.
fn publishing<'a>(meta: &'a Meta, lease: &'a PublisherLease) -> MetaTransaction<'a> {
    let (bucket, channel) = (lease.bucket(), lease.channel());
    let mut transaction = MetaTransaction::new(meta, bucket);
    transaction.require(
        Precondition::Exists(key::of_channel(Table::Channel, bucket, channel)),
        Error::not_found(Subject::Channel, channel),
    );
    transaction.require(
        Precondition::LeaseHeld(publisher_lease_name(bucket, channel), lease.token()),
        Error::conflict(Subject::Lease, format!("{channel} was taken over from {}", lease.holder())),
    );
    transaction
}
