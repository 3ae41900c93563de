//! LiveChannels: configuration, playlist window, history.

use bytes::Bytes;
use oss::model::LiveChannelConfig;
use oss::name::{BucketName, ChannelName};
use serde::{Deserialize, Serialize};

use super::key::{self, Table};
use super::publication::PublicationRecord;
use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Meta, Page, gave_up};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Precondition, Range, Version, Write, add_counters, counters};
use crate::lease::publisher_lease_name;
use crate::record::{Record, decode};

/// A LiveChannel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// As configured.
    pub config: LiveChannelConfig,
    /// When it was last configured, Unix milliseconds.
    pub modified_ms: i64,
}

impl Record for ChannelRecord {
    const SUBJECT: Subject = Subject::Channel;
}

/// What a put of a channel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelPut {
    /// There was none of that name.
    Created,
    /// There was one, and nobody was publishing on it.
    Replaced,
}

/// A push that is over (LiveChannel 2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it began, Unix milliseconds.
    pub start_ms: i64,
    /// When it ended, Unix milliseconds.
    pub end_ms: i64,
    /// Who pushed, `ip:port`.
    pub remote_addr: String,
}

/// The newest pushes of a channel, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct HistoryRecord {
    pub(crate) entries: Vec<HistoryEntry>,
}

impl Record for HistoryRecord {
    const SUBJECT: Subject = Subject::Channel;
}

impl Meta {
    /// Makes a channel, or replaces one: history cleared, segment index and window kept (LiveChannel 1.1.6).
    ///
    /// # Errors
    /// `NotFound` (bucket); `Held` when somebody publishes on it; `QuotaExceeded` when it is new and the bucket has
    /// `max_channels`.
    pub async fn put_channel(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        record: &ChannelRecord,
        max_channels: u64,
    ) -> Result<ChannelPut> {
        let row = key::of_channel(Table::Channel, bucket, channel);
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            require_nobody_publishes(&mut transaction, bucket, channel);
            let seen = self.kv().get(&row).await?.map(|row| row.version);
            transaction.expect_unchanged(row.clone(), seen);
            if seen.is_none() {
                let count = self.move_channel_count(&mut transaction, bucket, 1).await?;
                // A bucket that is not there has no channels either, and its absence is the better answer.
                if count > max_channels && self.bucket(bucket).await?.is_some() {
                    return Err(Error::new(ErrorKind::QuotaExceeded, Subject::Channel, channel));
                }
                transaction.write(Write::Put(key::channel_by_name(channel, bucket), Bytes::new()));
            }
            transaction.write(Write::Delete(key::of_channel(Table::History, bucket, channel)));
            transaction.put(row.clone(), record)?;
            if transaction.commit().await?.is_some() {
                return Ok(if seen.is_some() { ChannelPut::Replaced } else { ChannelPut::Created });
            }
        }
        Err(gave_up(Subject::Channel, channel))
    }

    /// A channel.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn channel(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<ChannelRecord>> {
        let row = key::of_channel(Table::Channel, bucket, channel);
        Ok(self.record(&row).await?.map(|stored| stored.value))
    }

    /// Changes a channel, live or not, and returns it as it is now. `change` may run more than once.
    ///
    /// # Errors
    /// `NotFound` (bucket or channel).
    pub async fn update_channel(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        mut change: impl FnMut(&mut ChannelRecord) + Send,
    ) -> Result<ChannelRecord> {
        let row = key::of_channel(Table::Channel, bucket, channel);
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            let stored = self.record::<ChannelRecord>(&row).await?;
            let mut stored = stored.ok_or_else(|| Error::not_found(Subject::Channel, channel))?;
            change(&mut stored.value);
            transaction.expect_unchanged(row.clone(), Some(stored.version));
            transaction.put(row.clone(), &stored.value)?;
            if transaction.commit().await?.is_some() {
                return Ok(stored.value);
            }
        }
        Err(gave_up(Subject::Channel, channel))
    }

    /// Deletes a channel with its window and history; whether it was there. Its objects and its segment index stay
    /// (LiveChannel 1.7).
    ///
    /// # Errors
    /// `NotFound` (bucket); `Held` when somebody publishes on it.
    pub async fn delete_channel(&self, bucket: &BucketName, channel: &ChannelName) -> Result<bool> {
        let row = key::of_channel(Table::Channel, bucket, channel);
        let live = key::of_channel(Table::Publication, bucket, channel);
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            require_nobody_publishes(&mut transaction, bucket, channel);
            let seen = self.kv().get(&row).await?.map(|row| row.version);
            transaction.expect_unchanged(row.clone(), seen);
            if seen.is_some() {
                self.move_channel_count(&mut transaction, bucket, -1).await?;
                // What a crashed push left open has no channel to be listed in any more.
                let left = self.record::<PublicationRecord>(&live).await?;
                transaction.expect_unchanged(live.clone(), left.as_ref().map(|left| left.version));
                transaction.discard(left.and_then(|left| left.value.open).map(|open| open.blob));
                transaction.write(Write::Delete(key::channel_by_name(channel, bucket)));
                for table in [Table::Channel, Table::Window, Table::History, Table::Publication] {
                    transaction.write(Write::Delete(key::of_channel(table, bucket, channel)));
                }
            }
            if transaction.commit().await?.is_some() {
                return Ok(seen.is_some());
            }
        }
        Err(gave_up(Subject::Channel, channel))
    }

    /// A bucket's channels whose names begin with `prefix` and follow `after`.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_channels(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Page<(ChannelName, ChannelRecord)>> {
        let after = (!after.is_empty()).then(|| Table::Channel.pair(bucket.as_str(), after));
        self.page(Table::Channel.pair(bucket.as_str(), prefix), after, limit, |row| {
            Ok((key::channel_of(row)?.1, decode(&row.value)?))
        })
        .await
    }

    /// How many channels a bucket has.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_channels(&self, bucket: &BucketName) -> Result<u64> {
        Ok(self.channel_count(bucket).await?.0)
    }

    /// The buckets that have a channel of this name, in order, `limit` at most.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn buckets_with_channel(&self, channel: &ChannelName, limit: usize) -> Result<Vec<BucketName>> {
        let prefix = Table::ChannelByName.below(channel.as_str());
        let rows = self.kv().range(&Range::prefix(prefix).limit(limit)).await?;
        rows.iter().map(|row| key::bucket_name(key::two(row)?.1, row)).collect()
    }

    /// The state of a channel's live playlist, in the writing of whoever keeps it; `None` before the first segment.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn channel_window(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<Bytes>> {
        let row = self.kv().get(&key::of_channel(Table::Window, bucket, channel)).await?;
        Ok(row.map(|row| row.value))
    }

    /// The newest pushes of a channel that are over, ten at most, oldest first.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn history(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Vec<HistoryEntry>> {
        let row = key::of_channel(Table::History, bucket, channel);
        Ok(self.record::<HistoryRecord>(&row).await?.map(|stored| stored.value.entries).unwrap_or_default())
    }

    async fn channel_count(&self, bucket: &BucketName) -> Result<(u64, Option<Version>)> {
        let row = self.kv().get(&Table::ChannelCount.name(bucket.as_str())).await?;
        let count = row.as_ref().and_then(|row| counters(&row.value).next()).unwrap_or(0);
        Ok((u64::try_from(count).unwrap_or(0), row.map(|row| row.version)))
    }

    /// Moves the number of channels, exactly: two that take the last free place do not both succeed. Returns what it
    /// will be.
    async fn move_channel_count(
        &self,
        transaction: &mut MetaTransaction<'_>,
        bucket: &BucketName,
        by: i64,
    ) -> Result<u64> {
        let (count, seen) = self.channel_count(bucket).await?;
        let count = count.saturating_add_signed(by);
        let row = Table::ChannelCount.name(bucket.as_str());
        transaction.expect_unchanged(row.clone(), seen);
        transaction.write(Write::Put(row, add_counters(b"", &[count.cast_signed()]).into()));
        Ok(count)
    }
}

fn require_nobody_publishes(transaction: &mut MetaTransaction<'_>, bucket: &BucketName, channel: &ChannelName) {
    let held = Error::new(ErrorKind::Held, Subject::Channel, channel);
    transaction.require(Precondition::LeaseFree(publisher_lease_name(bucket, channel)), held);
}
