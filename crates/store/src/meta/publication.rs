//! Pushes: what a publisher writes while it is live, so that a crash at any point can be repaired (LiveChannel 4.3
//! to 4.6, D8).
//!
//! While a push is live it has a record that names its open segment's blob. Each finished segment is one commit: the
//! object, its index entry, the playlist, the window, the next open segment. Every commit shows the publisher's
//! lease, so whoever lost it writes nothing more.

use std::collections::HashMap;

use bytes::Bytes;
use model::name::{BucketName, ChannelName, ObjectKey};
use serde::{Deserialize, Serialize};

use super::channel::{HistoryEntry, HistoryRecord};
use super::key::{self, Table};
use super::lease::{PublisherLease, publisher_lease_name};
use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Meta, ObjectRecord, PutGuard, SegmentEntry, Stored, was_busy};
use crate::blob::BlobId;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Lease, Precondition, Range, Write, add_counters, counters};
use crate::record::{Record, decode, newer};

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
    /// What the publisher says of its push, in its own writing, once it has ended and left segments that wait.
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
    /// Segments before it that are complete and wait to be stored and listed, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<OpenSegment>,
    /// When the last stored segment ended, Unix milliseconds.
    pub last_end_ms: Option<i64>,
}

impl Record for PublicationRecord {
    const SUBJECT: Subject = Subject::Publication;
    const VERSION: u8 = 2;

    /// Programs that know version 1 only would lose what waits.
    fn version(&self) -> u8 {
        if self.waiting.is_empty() { 1 } else { Self::VERSION }
    }

    fn migrate(version: u8, body: &[u8]) -> Result<Self> {
        match version {
            1 => rmp_serde::from_slice(body).map_err(|error| Error::corrupt(Self::SUBJECT, error)),
            _ => Err(newer::<Self>(version)),
        }
    }
}

impl PublicationRecord {
    /// The segments that are not listed yet, in their order.
    pub fn unlisted(&self) -> impl Iterator<Item = &OpenSegment> {
        self.waiting.iter().chain(&self.open)
    }
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
    /// Segments after it that are complete and wait, in their order.
    pub waiting: Vec<OpenSegment>,
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

/// Who a process was before it was started again.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// The instance, which keeps its name.
    pub instance: &'a str,
    /// The life that it has now; the same as the instance where it has none.
    pub life: &'a str,
}

impl Earlier<'_> {
    /// Whether this holder is an earlier life of the process.
    fn had(self, holder: &str) -> bool {
        super::peer::is_life_of(holder, self.instance) && (holder != self.life || self.life == self.instance)
    }
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
                waiting: Vec::new(),
                last_end_ms: None,
            };
            transaction.put(row.clone(), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(session);
            }
        }
        Err(was_busy(Subject::Publication, channel))
    }

    /// The push on a channel that is live, or was left by a crash.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn publication(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<PublicationRecord>> {
        let row = key::of_channel(Table::Publication, bucket, channel);
        Ok(self.record(&row).await?.map(|stored| stored.value))
    }

    /// Writes down which segments are complete and wait, in their order, and which is open, `None` when none is. A blob
    /// that was noted and is not any more, without having been committed, is deleted. What is listed already, by a commit of
    /// which its maker never heard, is not noted again.
    ///
    /// # Errors
    /// `NotFound` (publication); `Conflict` when the lease was taken over.
    pub async fn note_segments(
        &self,
        lease: &PublisherLease,
        waiting: &[OpenSegment],
        open: Option<&OpenSegment>,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let mut record = self.live(&mut transaction, lease).await?;
            let mut noted = Vec::with_capacity(waiting.len());
            for segment in waiting {
                let was_noted = record.unlisted().any(|known| known.number_ms == segment.number_ms);
                let row = key::segment(lease.bucket(), lease.channel(), segment.number_ms);
                if was_noted || self.kv().get(&row).await?.is_none() {
                    noted.push(segment.clone());
                }
            }
            transaction.unname(record.unlisted().map(|segment| segment.blob));
            (record.waiting, record.open) = (noted, open.cloned());
            transaction.name(record.unlisted().map(|segment| segment.blob));
            transaction.put(key::of_channel(Table::Publication, lease.bucket(), lease.channel()), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(was_busy(Subject::Publication, lease.channel()))
    }

    /// Stores a finished segment and everything that changes with it, in one commit.
    ///
    /// # Errors
    /// `NotFound` (bucket, channel or publication); `Conflict` when the lease was taken over.
    pub async fn commit_segment(&self, lease: &PublisherLease, segment: &SegmentCommit) -> Result<()> {
        let (bucket, channel) = (lease.bucket(), lease.channel());
        let row = key::segment(bucket, channel, segment.entry.number_ms);
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let mut record = self.live(&mut transaction, lease).await?;
            // An engine that did not answer may have made the commit: asked again, it must not count it again.
            let has_number = record.unlisted().any(|noted| noted.number_ms == segment.entry.number_ms);
            if !has_number && self.kv().get(&row).await?.is_some() {
                return Ok(());
            }
            transaction.put_object(&segment.key, &segment.object, PutGuard::Any).await?;
            if let Some((key, playlist)) = &segment.playlist {
                transaction.put_object(key, playlist, PutGuard::Any).await?;
            }
            transaction.put(row.clone(), &segment.entry.row())?;
            if let Some(opened_ms) = segment.entry.moment() {
                let moment = key::moment(bucket, channel, opened_ms, segment.entry.number_ms);
                transaction.write(Write::Put(moment, Bytes::new()));
            }
            transaction.write(Write::Put(key::of_channel(Table::Window, bucket, channel), segment.window.clone()));
            transaction.unname(record.unlisted().map(|noted| noted.blob));
            record.waiting.clone_from(&segment.waiting);
            record.open.clone_from(&segment.next);
            transaction.name(record.unlisted().map(|noted| noted.blob));
            record.last_end_ms = Some(segment.end_ms);
            transaction.put(key::of_channel(Table::Publication, bucket, channel), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(was_busy(Subject::Publication, channel))
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
        Err(was_busy(Subject::Publication, lease.channel()))
    }

    /// Ends a push: it moves to the history. `end_ms` of `None` is the end of its last segment, or its start if it
    /// stored none (LiveChannel 2.4). Segments that are not listed are given up. `report` is kept with the history.
    ///
    /// # Errors
    /// `NotFound` (bucket, channel or publication); `Conflict` when the lease was taken over.
    pub async fn end_publication(&self, lease: &PublisherLease, end_ms: Option<i64>, report: Bytes) -> Result<()> {
        let (bucket, channel) = (lease.bucket(), lease.channel());
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let record = self.live(&mut transaction, lease).await?;
            transaction.unname(record.unlisted().map(|segment| segment.blob));
            let ended_ms = end_ms.or(record.last_end_ms).unwrap_or(record.start.started_ms);
            self.remember(&mut transaction, lease, ended(record.start, ended_ms, report.clone())).await?;
            transaction.write(Write::Delete(key::of_channel(Table::Publication, bucket, channel)));
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(was_busy(Subject::Publication, channel))
    }

    /// Keeps what the publisher says of its push, which has ended and left segments that wait: it comes into the history with
    /// the push.
    ///
    /// # Errors
    /// `NotFound` (publication); `Conflict` when the lease was taken over.
    pub async fn keep_report(&self, lease: &PublisherLease, report: Bytes) -> Result<()> {
        let row = key::of_channel(Table::Publication, lease.bucket(), lease.channel());
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let mut record = self.live(&mut transaction, lease).await?;
            record.start.details = report.clone();
            transaction.put(row.clone(), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(was_busy(Subject::Publication, lease.channel()))
    }

    /// Begins a push that takes up what an earlier one of the channel left `waiting`, and returns the session number, which is
    /// that of the earlier one, as segments of it are still to be listed. What else was noted is given up. The earlier push
    /// moves to the history; it ended at `ended_ms`.
    ///
    /// # Errors
    /// `NotFound` (bucket, channel or publication); `Conflict` when the lease was taken over.
    pub async fn take_up_publication(
        &self,
        lease: &PublisherLease,
        start: &StartRecord,
        waiting: &[OpenSegment],
        ended_ms: i64,
    ) -> Result<u32> {
        let (bucket, channel) = (lease.bucket(), lease.channel());
        for _ in 0..ATTEMPTS {
            let mut transaction = publishing(self, lease);
            let mut record = self.live(&mut transaction, lease).await?;
            let earlier = std::mem::replace(&mut record.start, start.clone());
            lease.holder().clone_into(&mut record.holder);
            transaction.unname(record.unlisted().map(|segment| segment.blob));
            (record.waiting, record.open) = (waiting.to_vec(), None);
            transaction.name(record.unlisted().map(|segment| segment.blob));
            self.remember(&mut transaction, lease, ended(earlier, ended_ms, Bytes::new())).await?;
            transaction.put(key::of_channel(Table::Publication, bucket, channel), &record)?;
            if transaction.commit().await?.is_some() {
                return Ok(record.session);
            }
        }
        Err(was_busy(Subject::Publication, channel))
    }

    /// Adds a push that has ended to the history of its channel.
    async fn remember(
        &self,
        transaction: &mut MetaTransaction<'_>,
        lease: &PublisherLease,
        entry: HistoryEntry,
    ) -> Result<()> {
        let row = key::of_channel(Table::History, lease.bucket(), lease.channel());
        let history = self.record::<HistoryRecord>(&row).await?;
        transaction.expect_unchanged(row.clone(), history.as_ref().map(|history| history.version));
        let mut history = history.map(|history| history.value).unwrap_or_default();
        history.entries.push(entry);
        let surplus = history.entries.len().saturating_sub(MAX_HISTORY);
        history.entries.drain(..surplus);
        transaction.put(row, &history)
    }

    /// The pushes that nobody looks after any more: whose lease has run out, whose holder is dead, or which were begun or are held by
    /// a life of `instance` other than `life`: by this process before it was started again. Of these another may have the channel for a
    /// moment. To repair one, take its lease over, store what its open segment holds with [`Meta::commit_segment`], and end it.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn dangling_publications(&self, earlier: Option<Earlier<'_>>) -> Result<Vec<DanglingPublication>> {
        let mut dangling = Vec::new();
        // Many pushes have one holder.
        let mut dead: HashMap<String, bool> = HashMap::new();
        for row in self.kv().range(&Range::prefix(Table::Publication.all())).await? {
            let (bucket, channel) = key::channel_of(&row)?;
            let mut lease = self.kv().lease(&publisher_lease_name(&bucket, &channel)).await?;
            if let Some(holder) = lease.as_ref().map(|lease| &lease.holder) {
                let is_dead = match dead.get(holder) {
                    Some(is_dead) => *is_dead,
                    None => {
                        let is_dead = self.is_dead(holder).await?;
                        dead.insert(holder.clone(), is_dead);
                        is_dead
                    }
                };
                lease = lease.filter(|_| !is_dead);
            }
            let held = lease.as_ref().map(|lease| lease.holder.as_str());
            let is_dangling = held.is_none_or(|held| earlier.is_some_and(|earlier| earlier.had(held)));
            let record: PublicationRecord = match decode(&row.value) {
                Ok(record) => record,
                Err(error) if is_dangling => return Err(error),
                // Somebody is at it who can read it.
                Err(_) => continue,
            };
            if is_dangling || earlier.is_some_and(|earlier| earlier.had(&record.holder)) {
                dangling.push(DanglingPublication { bucket, channel, record, lease });
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

fn ended(start: StartRecord, end_ms: i64, report: Bytes) -> HistoryEntry {
    // Who repairs a push knows no more of it than it said itself.
    let report = if report.is_empty() { start.details } else { report };
    HistoryEntry { start_ms: start.started_ms, end_ms, remote_addr: start.remote_addr, report }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::{Fixture, channel, fixture, inline, key, object};
    use crate::kv::Claim;
    use crate::live::{Kept, WindowRecord};
    use crate::meta::{Body, ChannelRecord};
    use crate::record::encode;
    use model::LiveChannelConfig;

    const TTL: Duration = Duration::from_secs(30);

    async fn with_channel() -> Fixture {
        let f = fixture().await;
        let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
        f.meta.put_channel(&f.bucket, &channel("ch"), &record, 9).await.unwrap();
        f
    }

    async fn lease(f: &Fixture, holder: &str, claim: Claim) -> PublisherLease {
        f.meta.acquire_publisher(&f.bucket, &channel("ch"), holder, TTL, claim).await.unwrap()
    }

    fn start(started_ms: i64) -> StartRecord {
        StartRecord {
            started_ms,
            remote_addr: "192.0.2.10:47745".to_owned(),
            playlist: "playlist.m3u8".to_owned(),
            details: Bytes::from_static(b"avc"),
        }
    }

    fn window_of(last_number_ms: u64) -> Bytes {
        WindowRecord { last_number_ms, ..WindowRecord::default() }.to_bytes().unwrap()
    }

    async fn segment(f: &Fixture, number_ms: u64, session: u32) -> SegmentCommit {
        SegmentCommit {
            key: key(&format!("ch/{number_ms}.ts")),
            object: object(Body::Blobs(vec![f.extent(188).await])),
            entry: SegmentEntry {
                number_ms,
                opened_ms: number_ms,
                duration_ms: 5000,
                session,
                size: 188,
                is_discontinuous: false,
                is_independent: false,
                is_damaged: false,
                container: model::Container::MpegTs,
            },
            playlist: Some((key("ch/playlist.m3u8"), inline("#EXTM3U"))),
            window: window_of(number_ms),
            waiting: Vec::new(),
            next: None,
            end_ms: i64::try_from(number_ms).unwrap() + 5000,
        }
    }

    async fn listed(f: &Fixture) -> Vec<u64> {
        let segments = f.meta.segments(&f.bucket, &channel("ch"), 0, u64::MAX, 1000).await.unwrap();
        segments.iter().map(|segment| segment.number_ms).collect()
    }

    #[tokio::test]
    async fn a_push_takes_up_what_another_left_waiting() {
        let f = with_channel().await;
        let first = lease(&f, "me", Claim::IfFree).await;
        f.meta.begin_publication(&first, &start(100)).await.unwrap();
        let mut waits = segment(&f, 1000, 1).await;
        let noted = |commit: &SegmentCommit| {
            let Body::Blobs(extents) = &commit.object.body else { panic!("a segment is a blob") };
            OpenSegment { number_ms: commit.entry.number_ms, blob: extents[0].blob, details: Bytes::new() }
        };
        let torn = OpenSegment { number_ms: 6000, blob: f.extent(1).await.blob, details: Bytes::new() };
        f.meta.note_segments(&first, &[noted(&waits)], Some(&torn)).await.unwrap();
        f.meta.keep_report(&first, Bytes::from_static(b"said")).await.unwrap();
        f.meta.release_publisher(&first).await.unwrap();
        let second = lease(&f, "another", Claim::IfFree).await;
        let remote_addr = "192.0.2.11:47746".to_owned();
        let next = StartRecord { remote_addr, details: Bytes::new(), ..start(9000) };
        assert_eq!(f.meta.take_up_publication(&second, &next, &[noted(&waits)], 7000).await, Ok(1));
        let live = f.meta.publication(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!((&live.start, live.holder.as_str(), live.waiting.len()), (&next, "another", 1));
        let before = f.meta.take_up_publication(&first, &next, &[], 7000).await.unwrap_err();
        assert_eq!(before.kind, ErrorKind::Conflict, "who lost the channel takes up nothing");
        waits.next = None;
        f.meta.commit_segment(&second, &waits).await.unwrap();
        f.meta.end_publication(&second, Some(20_000), Bytes::new()).await.unwrap();
        assert_eq!(listed(&f).await, [1000]);
        let history = f.meta.history(&f.bucket, &channel("ch")).await.unwrap();
        let seen: Vec<_> = history.iter().map(|push| (push.start_ms, push.end_ms, push.remote_addr.as_str())).collect();
        assert_eq!(seen, [(100, 7000, "192.0.2.10:47745"), (9000, 20_000, "192.0.2.11:47746")]);
        assert_eq!(history.iter().map(|push| &push.report[..]).collect::<Vec<_>>(), [&b"said"[..], b""]);
        assert_eq!(f.check_clean().await, 1);
    }

    #[tokio::test]
    async fn a_push_from_begin_to_end() {
        let f = with_channel().await;
        let lease = lease(&f, "me", Claim::IfFree).await;
        assert_eq!(f.meta.begin_publication(&lease, &start(100)).await, Ok(1));
        let mut first = segment(&f, 1000, 1).await;
        let next = OpenSegment { number_ms: 6000, blob: f.extent(1).await.blob, details: Bytes::new() };
        first.next = Some(next.clone());
        f.meta.commit_segment(&lease, &first).await.unwrap();
        let live = f.meta.publication(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!((live.open, live.last_end_ms, live.session), (Some(next), Some(6000), 1));
        f.meta.commit_segment(&lease, &segment(&f, 6000, 1).await).await.unwrap();

        assert_eq!(listed(&f).await, [1000, 6000]);
        let object = f.meta.object(&f.bucket, &key("ch/playlist.m3u8")).await.unwrap().unwrap();
        assert_eq!(object.value, inline("#EXTM3U"));
        assert_eq!(f.meta.channel_window(&f.bucket, &channel("ch")).await, Ok(Some(window_of(6000))));
        let last = f.meta.last_segment(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!((last.number_ms, last.duration_ms, last.size), (6000, 5000, 188));
        assert_eq!(f.check_clean().await, 2, "the blob that was open and never committed is deleted");

        f.meta.end_publication(&lease, None, Bytes::from_static(b"report")).await.unwrap();
        let history = f.meta.history(&f.bucket, &channel("ch")).await.unwrap();
        let expected = HistoryEntry {
            start_ms: 100,
            end_ms: 11000,
            remote_addr: "192.0.2.10:47745".to_owned(),
            report: Bytes::from_static(b"report"),
        };
        assert_eq!(history, [expected]);
        assert_eq!(f.meta.begin_publication(&lease, &start(200)).await, Ok(2));
        f.check_clean().await;
    }

    #[tokio::test]
    async fn the_playlist_alone_can_be_rewritten() {
        let f = with_channel().await;
        let lease = lease(&f, "me", Claim::IfFree).await;
        f.meta.begin_publication(&lease, &start(100)).await.unwrap();
        let (name, window) = (key("ch/playlist.m3u8"), window_of(1));
        f.meta.commit_playlist(&lease, &name, &inline("end"), window.clone()).await.unwrap();
        assert_eq!(f.meta.object(&f.bucket, &name).await.unwrap().unwrap().value, inline("end"));
        assert_eq!(f.meta.channel_window(&f.bucket, &channel("ch")).await, Ok(Some(window)));
    }

    #[tokio::test]
    async fn whoever_lost_the_lease_writes_nothing() {
        let f = with_channel().await;
        let old = lease(&f, "old", Claim::IfFree).await;
        f.meta.begin_publication(&old, &start(1)).await.unwrap();
        let new = lease(&f, "new", Claim::TakeOver(old.token())).await;
        let lost = segment(&f, 1000, 1).await;
        for refused in [
            f.meta.commit_segment(&old, &lost).await,
            f.meta.note_segments(&old, &[], None).await,
            f.meta.end_publication(&old, None, Bytes::new()).await,
            f.meta.begin_publication(&old, &start(1)).await.map(|_| ()),
            f.meta.commit_playlist(&old, &key("ch/p"), &inline("x"), Bytes::new()).await,
            f.meta.renew_publisher(&old, TTL).await.map(|_| ()),
        ] {
            let error = refused.unwrap_err();
            assert_eq!((error.kind, error.subject), (ErrorKind::Conflict, Subject::Lease));
        }
        assert_eq!(listed(&f).await, [0; 0]);
        let earlier = f.meta.begin_publication(&new, &start(2)).await.unwrap_err();
        assert_eq!((earlier.kind, earlier.subject), (ErrorKind::AlreadyExists, Subject::Publication));
        f.meta.end_publication(&new, None, Bytes::new()).await.unwrap();
        assert_eq!(f.meta.begin_publication(&new, &start(2)).await, Ok(2));
    }

    #[tokio::test]
    async fn a_crashed_push_is_found_and_repaired() {
        let f = with_channel().await;
        let dead = lease(&f, "node-1", Claim::IfFree).await;
        f.meta.begin_publication(&dead, &start(100)).await.unwrap();
        let open = OpenSegment { number_ms: 1000, blob: f.extent(7).await.blob, details: Bytes::new() };
        f.meta.note_segments(&dead, &[], Some(&open)).await.unwrap();

        assert_eq!(f.meta.dangling_publications(None).await, Ok(vec![]), "its lease still runs");
        assert_eq!(
            f.meta.dangling_publications(Some(Earlier { instance: "node-2", life: "node-2" })).await,
            Ok(vec![])
        );
        let mine = f.meta.dangling_publications(Some(Earlier { instance: "node-1", life: "node-1" })).await.unwrap();
        assert_eq!(mine.len(), 1);
        let held = mine[0].lease.clone().unwrap();
        assert_eq!((held.token, &mine[0].record.open), (dead.token(), &Some(open.clone())));
        f.clock.advance_ms(30_000);
        let expired = f.meta.dangling_publications(None).await.unwrap();
        assert_eq!((expired.len(), &expired[0].lease), (1, &None));

        let repair = lease(&f, "node-1", Claim::IfFree).await;
        let mut torn = segment(&f, 1000, 1).await;
        torn.object = object(Body::Blobs(vec![crate::meta::Extent { blob: open.blob, offset: 0, len: 7 }]));
        f.meta.commit_segment(&repair, &torn).await.unwrap();
        f.meta.end_publication(&repair, None, Bytes::new()).await.unwrap();
        assert_eq!(listed(&f).await, [1000]);
        assert_eq!(f.meta.history(&f.bucket, &channel("ch")).await.unwrap()[0].end_ms, 6000);
        assert_eq!(f.meta.dangling_publications(None).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn segments_that_wait_are_kept_until_they_are_listed() {
        let f = with_channel().await;
        let lease = lease(&f, "me", Claim::IfFree).await;
        f.meta.begin_publication(&lease, &start(100)).await.unwrap();
        let mut first = segment(&f, 1000, 1).await;
        let mut noted: Vec<OpenSegment> = first
            .object
            .body
            .blobs()
            .map(|blob| OpenSegment { number_ms: 1000, blob, details: Bytes::new() })
            .collect();
        for number_ms in [6000, 11_000] {
            noted.push(OpenSegment { number_ms, blob: f.extent(188).await.blob, details: Bytes::new() });
        }
        let (open, waiting) = noted.split_last().unwrap();
        f.meta.note_segments(&lease, waiting, Some(open)).await.unwrap();
        let record = f.meta.publication(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!(record.unlisted().collect::<Vec<_>>(), noted.iter().collect::<Vec<_>>());
        assert_eq!(f.check_clean().await, 3, "all of them have a name");

        (first.waiting, first.next) = (waiting[1..].to_vec(), Some(open.clone()));
        f.meta.commit_segment(&lease, &first).await.unwrap();
        f.meta.commit_segment(&lease, &first).await.unwrap();
        let record = f.meta.publication(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!((record.waiting, record.open), (waiting[1..].to_vec(), Some(open.clone())));
        assert_eq!(listed(&f).await, [1000]);
        // Who does not know that it was listed notes it again, and lists it again: nothing changes twice.
        f.meta.note_segments(&lease, &noted[..2], Some(open)).await.unwrap();
        let record = f.meta.publication(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!(record.waiting, waiting[1..]);
        let again = SegmentCommit { object: inline("another"), playlist: None, ..first.clone() };
        f.meta.commit_segment(&lease, &again).await.unwrap();
        let record = f.meta.publication(&f.bucket, &channel("ch")).await.unwrap().unwrap();
        assert_eq!((record.waiting, record.open), (waiting[1..].to_vec(), Some(open.clone())));
        assert_eq!(f.meta.object(&f.bucket, &first.key).await.unwrap().unwrap().value, first.object);

        f.meta.end_publication(&lease, None, Bytes::new()).await.unwrap();
        assert_eq!(f.check_clean().await, 1, "what was never listed is deleted");
    }

    #[test]
    fn programs_that_know_no_waiting_segments_read_records_without_and_refuse_those_with() {
        let open = OpenSegment { number_ms: 1, blob: BlobId::from_bytes([1; 16]), details: Bytes::new() };
        let mut record = PublicationRecord {
            session: 1,
            start: start(100),
            holder: "me".to_owned(),
            open: Some(open.clone()),
            waiting: Vec::new(),
            last_end_ms: None,
        };
        let written = encode(&record).unwrap();
        assert_eq!(written[0] & 0x7f, 1);
        assert!(!written.windows(7).any(|bytes| bytes == b"waiting"), "as it was always written");
        assert_eq!(decode::<PublicationRecord>(&written).as_ref(), Ok(&record));
        record.waiting.push(open);
        let written = encode(&record).unwrap();
        assert_eq!(written[0] & 0x7f, 2);
        assert_eq!(decode::<PublicationRecord>(&written), Ok(record));
    }

    #[tokio::test]
    async fn history_keeps_the_newest_ten() {
        let f = with_channel().await;
        let lease = lease(&f, "me", Claim::IfFree).await;
        for n in 0..13 {
            f.meta.begin_publication(&lease, &start(n)).await.unwrap();
            f.meta.end_publication(&lease, Some(n + 1), Bytes::new()).await.unwrap();
        }
        let history = f.meta.history(&f.bucket, &channel("ch")).await.unwrap();
        assert_eq!(history.iter().map(|entry| entry.start_ms).collect::<Vec<_>>(), (3..13).collect::<Vec<_>>());
        f.meta.release_publisher(&lease).await.unwrap();
        let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
        f.meta.put_channel(&f.bucket, &channel("ch"), &record, 9).await.unwrap();
        assert_eq!(f.meta.history(&f.bucket, &channel("ch")).await, Ok(vec![]), "LiveChannel 1.1.6");
    }

    #[tokio::test]
    async fn the_index_outlives_the_channel_but_not_its_objects() {
        let f = with_channel().await;
        let lease = lease(&f, "me", Claim::IfFree).await;
        f.meta.begin_publication(&lease, &start(1)).await.unwrap();
        for number_ms in [1000, 6000, 11_000] {
            f.meta.commit_segment(&lease, &segment(&f, number_ms, 1).await).await.unwrap();
        }
        f.meta.end_publication(&lease, None, Bytes::new()).await.unwrap();
        f.meta.release_publisher(&lease).await.unwrap();
        f.meta.delete_channel(&f.bucket, &channel("ch")).await.unwrap();
        assert_eq!(listed(&f).await, [1000, 6000, 11_000]);
        f.meta.delete_object(&f.bucket, &key("ch/6000.ts")).await.unwrap();
        assert_eq!(listed(&f).await, [1000, 11_000]);
        let some = f.meta.segments(&f.bucket, &channel("ch"), 1000, 10_999, 9).await.unwrap();
        assert_eq!(some.len(), 1, "both ends belong to the range");
        f.check_clean().await;

        let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
        f.meta.put_channel(&f.bucket, &channel("ch"), &record, 9).await.unwrap();
        assert_eq!(f.meta.channel_window(&f.bucket, &channel("ch")).await, Ok(None));
        let lease = self::lease(&f, "me", Claim::IfFree).await;
        assert_eq!(f.meta.begin_publication(&lease, &start(1)).await, Ok(2), "sessions are counted by name");
    }

    #[tokio::test]
    async fn nothing_is_published_where_there_is_no_channel() {
        let f = with_channel().await;
        let lease = f.meta.acquire_publisher(&f.bucket, &channel("no"), "me", TTL, Claim::IfFree).await.unwrap();
        let absent = f.meta.begin_publication(&lease, &start(1)).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Channel));
        let lease = self::lease(&f, "me", Claim::IfFree).await;
        let absent = f.meta.commit_segment(&lease, &segment(&f, 1000, 1).await).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Publication));
    }
}
