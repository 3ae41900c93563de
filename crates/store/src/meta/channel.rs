//! LiveChannels: configuration, playlist window, history.

use bytes::Bytes;
use model::LiveChannelConfig;
use model::name::{BucketName, ChannelName};
use serde::{Deserialize, Serialize};

use super::key::{self, Table};
use super::lease::publisher_lease_name;
use super::publication::PublicationRecord;
use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Meta, Page, gave_up};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Precondition, Range, Version, Write, add_counters, counters};
use crate::record::{Record, decode};

/// A LiveChannel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// As configured.
    pub config: LiveChannelConfig,
    /// When it was last configured, Unix milliseconds.
    pub modified_ms: i64,
    /// Settings that no configuration of OSS has an element for. Configuring the channel anew leaves them as they are.
    #[serde(default, skip_serializing_if = "ChannelSettings::are_none")]
    pub settings: ChannelSettings,
    /// When it was made, Unix milliseconds, which tells it from one of the same name that was deleted before. It is set when
    /// a channel is made and stays; those of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<i64>,
}

impl ChannelRecord {
    /// A channel that is configured now.
    pub fn new(config: LiveChannelConfig, now_ms: i64) -> Self {
        Self { config, modified_ms: now_ms, settings: ChannelSettings::default(), created_ms: None }
    }
}

/// Settings of a channel beside its configuration; what is `None` is the server's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelSettings {
    /// Whether recovery points may start segments (quirk Q42).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_points_start_segments: Option<bool>,
    /// Seconds after which a push is refused of which nothing can be recorded; 0 never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse_unrecordable_after_s: Option<u64>,
}

impl ChannelSettings {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
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
    /// What the publisher had to say about it at its end, in its own writing; empty after a crash.
    #[serde(default)]
    pub report: Bytes,
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
            let kept = self.kv().get(&row).await?;
            let seen = kept.as_ref().map(|row| row.version);
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
            // What cannot be read is replaced.
            let before = kept.and_then(|row| decode::<ChannelRecord>(&row.value).ok());
            let (settings, created_ms) = match before {
                Some(before) => (before.settings, before.created_ms),
                None => (record.settings, Some(record.modified_ms)),
            };
            transaction.put(row.clone(), &ChannelRecord { settings, created_ms, ..record.clone() })?;
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
                transaction.unname(left.iter().flat_map(|left| left.value.unlisted()).map(|segment| segment.blob));
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

    /// The live playlists of all channels that ever had a segment, in order, those after one channel.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn channel_windows(
        &self,
        after: Option<(&BucketName, &ChannelName)>,
        limit: usize,
    ) -> Result<Page<(BucketName, ChannelName, Bytes)>> {
        let after = after.map(|(bucket, channel)| key::of_channel(Table::Window, bucket, channel));
        self.page(Table::Window.all(), after, limit, |row| {
            let (bucket, channel) = key::channel_of(row)?;
            Ok((bucket, channel, row.value.clone()))
        })
        .await
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::{Fixture, channel, fixture, owner};
    use crate::kv::Claim;
    use crate::meta::BucketRecord;
    use model::ChannelStatus;

    fn record(frag_count: u32) -> ChannelRecord {
        ChannelRecord::new(LiveChannelConfig { frag_count, ..LiveChannelConfig::default() }, 1)
    }

    async fn put(f: &Fixture, name: &str, max: u64) -> Result<ChannelPut, ErrorKind> {
        f.meta.put_channel(&f.bucket, &channel(name), &record(3), max).await.map_err(|error| error.kind)
    }

    #[tokio::test]
    async fn a_channel_that_is_made_again_is_another_one() {
        let f = fixture().await;
        let mut made = Vec::new();
        for (now_ms, is_made_again) in [(7, true), (8, false), (9, true)] {
            if is_made_again {
                f.meta.delete_channel(&f.bucket, &channel("a")).await.unwrap();
            }
            let record = ChannelRecord { modified_ms: now_ms, ..record(3) };
            f.meta.put_channel(&f.bucket, &channel("a"), &record, 10).await.unwrap();
            let kept = f.meta.update_channel(&f.bucket, &channel("a"), |channel| channel.modified_ms += 1).await;
            made.push(kept.unwrap().created_ms);
        }
        assert_eq!(made, [Some(7), Some(7), Some(9)]);
    }

    #[tokio::test]
    async fn only_new_names_count_against_the_quota() {
        let f = fixture().await;
        assert_eq!(put(&f, "a", 2).await, Ok(ChannelPut::Created));
        assert_eq!(put(&f, "b", 2).await, Ok(ChannelPut::Created));
        assert_eq!(put(&f, "c", 2).await, Err(ErrorKind::QuotaExceeded));
        assert_eq!(put(&f, "a", 2).await, Ok(ChannelPut::Replaced));
        assert_eq!(f.meta.count_channels(&f.bucket).await, Ok(2));
        assert_eq!(f.meta.delete_channel(&f.bucket, &channel("a")).await, Ok(true));
        assert_eq!(f.meta.delete_channel(&f.bucket, &channel("a")).await, Ok(false));
        assert_eq!(put(&f, "c", 2).await, Ok(ChannelPut::Created));
        assert_eq!(f.meta.bucket_statistics(&f.bucket).await.unwrap().channels, 2);
        let elsewhere = BucketName::parse("elsewhere").unwrap();
        let absent = f.meta.put_channel(&elsewhere, &channel("a"), &record(3), 0).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Bucket));
        f.check_clean().await;
    }

    #[tokio::test]
    async fn a_channel_is_replaced_whole_and_changed_in_part() {
        let f = fixture().await;
        put(&f, "a", 9).await.unwrap();
        f.meta.put_channel(&f.bucket, &channel("a"), &record(7), 9).await.unwrap();
        let replaced = ChannelRecord { created_ms: Some(1), ..record(7) };
        assert_eq!(f.meta.channel(&f.bucket, &channel("a")).await, Ok(Some(replaced)));
        let name = channel("a");
        let changed = f.meta.update_channel(&f.bucket, &name, |c| c.config.status = ChannelStatus::Disabled);
        assert_eq!(changed.await.unwrap().config.status, ChannelStatus::Disabled);
        let read = f.meta.channel(&f.bucket, &channel("a")).await.unwrap().unwrap();
        assert_eq!((read.config.status, read.config.frag_count), (ChannelStatus::Disabled, 7));
        let absent = f.meta.update_channel(&f.bucket, &channel("b"), |_| ()).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Channel));
    }

    async fn check_list(f: &Fixture, prefix: &str, after: &str, limit: usize, expected: (&[&str], bool)) {
        let page = f.meta.list_channels(&f.bucket, prefix, after, limit).await.unwrap();
        let names: Vec<String> = page.items.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!((names, page.is_truncated), (expected.0.iter().map(|n| (*n).to_owned()).collect(), expected.1));
    }

    #[tokio::test]
    async fn lists_follow_names() {
        // The worked examples of LiveChannel 1.6.
        let f = fixture().await;
        for n in 1..=9 {
            put(&f, &format!("channel-list-{n}"), 100).await.unwrap();
        }
        put(&f, "other", 100).await.unwrap();
        let list = |n: &[u32]| n.iter().map(|n| format!("channel-list-{n}")).collect::<Vec<_>>();
        let (three, all) = (list(&[5, 6, 7]), list(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let text = |names: &[String]| names.iter().map(|n| n.clone().leak() as &str).collect::<Vec<&str>>();
        check_list(&f, "channel-list-", "channel-list-4", 3, (&text(&three), true)).await;
        check_list(&f, "channel-list-", "", 9, (&text(&all), false)).await;
        check_list(&f, "channel-list-", "a", 9, (&text(&all), false)).await;
        check_list(&f, "", "channel-list-9", 9, (&["other"], false)).await;
        check_list(&f, "channel-list-", "d", 9, (&[], false)).await;
        check_list(&f, "", "/", 1, (&["channel-list-1"], true)).await;
    }

    #[tokio::test]
    async fn channels_are_found_by_name() {
        let f = fixture().await;
        put(&f, "a", 9).await.unwrap();
        let second = BucketName::parse("another").unwrap();
        f.meta.create_bucket(&second, &BucketRecord::new(&second, owner(), 1), 9).await.unwrap();
        f.meta.put_channel(&second, &channel("a"), &record(3), 9).await.unwrap();
        f.meta.put_channel(&second, &channel("ab"), &record(3), 9).await.unwrap();
        let find = async |limit| f.meta.buckets_with_channel(&channel("a"), limit).await.unwrap();
        assert_eq!(find(64).await, [second.clone(), f.bucket.clone()]);
        assert_eq!(find(1).await, std::slice::from_ref(&second));
        f.meta.delete_channel(&second, &channel("a")).await.unwrap();
        assert_eq!(find(64).await, std::slice::from_ref(&f.bucket));
        f.check_clean().await;
    }

    #[tokio::test]
    async fn a_live_channel_is_neither_replaced_nor_deleted() {
        let f = fixture().await;
        put(&f, "a", 9).await.unwrap();
        let ttl = Duration::from_secs(10);
        let lease = f.meta.acquire_publisher(&f.bucket, &channel("a"), "me", ttl, Claim::IfFree).await.unwrap();
        assert_eq!(put(&f, "a", 9).await, Err(ErrorKind::Held));
        let deleted = f.meta.delete_channel(&f.bucket, &channel("a")).await.unwrap_err();
        assert_eq!((deleted.kind, deleted.subject), (ErrorKind::Held, Subject::Channel));
        f.meta.update_channel(&f.bucket, &channel("a"), |c| c.modified_ms = 9).await.unwrap();
        f.meta.release_publisher(&lease).await.unwrap();
        assert_eq!(put(&f, "a", 9).await, Ok(ChannelPut::Replaced));
    }
}
