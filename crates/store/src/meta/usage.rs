//! What was used (LiveChannel 7): a row of sums for each hour and each month, bucket, channel and user.
//!
//! What a change uses is added by the commit that makes the change, so that after a crash both are there or neither. Stored
//! bytes are counted here, for every object that is written or removed, whoever does it; everything else is what the
//! caller says with [`Meta::counting`]. Rows are only ever added to, which never conflicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::usage::{self, Counters, GroupBy, Hour, Ledger, Month, Query, RETAINED_HOURS, Row, RowKey, Step, Window};
use model::StorageClass;
use model::name::BucketName;

use super::key::{self, Table};
use super::object::StoredObject;
use super::{Meta, ObjectRole};
use crate::error::Result;
use crate::kv::{Commit, Entry, Outcome, Precondition, Range, Write, counters};
use crate::record::decode;

/// Rows read or deleted at once.
const CHUNK: usize = 1024;
/// The setting that says that the bytes which were stored before usage was counted have been counted.
const BEGUN: &str = "usage-begun";

/// What a change counts beside the bytes that it stores, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// For whom. The bucket need not be the one that is changed.
    pub subject: usage::Subject,
    /// What.
    pub counts: Counters,
}

/// Whether usage may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuchUsage {
    /// Rows that the answer would have at most.
    pub rows: u64,
}

/// How the stored bytes of a bucket move with a commit.
#[derive(Debug, Default)]
pub(super) struct StoredChange(BTreeMap<(String, usage::StorageClass), i64>);

impl StoredChange {
    /// So many bytes come or, below zero, go. What the server made for a channel is counted for the channel.
    pub(super) fn add(&mut self, key: &str, role: ObjectRole, class: StorageClass, bytes: i64) {
        let sum = self.0.entry((channel_of(key, role).to_owned(), class_of(class))).or_default();
        *sum = sum.wrapping_add(bytes);
    }

    /// The change by channel.
    fn by_channel(self) -> BTreeMap<String, Vec<(usage::StorageClass, i64)>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((channel, class), bytes) in self.0.into_iter().filter(|(_, bytes)| *bytes != 0) {
            found.entry(channel).or_default().push((class, bytes));
        }
        found
    }
}

/// The channel that an object was made for; empty for ordinary objects.
fn channel_of(key: &str, role: ObjectRole) -> &str {
    match role {
        ObjectRole::Ordinary => "",
        _ => key.split_once('/').map_or("", |(channel, _)| channel),
    }
}

fn class_of(class: StorageClass) -> usage::StorageClass {
    match class {
        StorageClass::Standard => usage::StorageClass::Standard,
        StorageClass::InfrequentAccess => usage::StorageClass::InfrequentAccess,
        StorageClass::Archive => usage::StorageClass::Archive,
        StorageClass::ColdArchive => usage::StorageClass::ColdArchive,
        StorageClass::DeepColdArchive => usage::StorageClass::DeepColdArchive,
    }
}

/// The additions that a subject's rows become.
fn writes(
    subject: &usage::Subject,
    at_s: u64,
    shard: u8,
    counts: &Counters,
    stored: &[(usage::StorageClass, i64)],
) -> impl Iterator<Item = Write> {
    subject.changes(at_s, counts, stored).into_iter().filter_map(move |(window, change)| {
        let deltas = change.deltas();
        (!deltas.is_empty()).then(|| Write::Add(Table::Usage.name(subject.key(window, shard)), deltas))
    })
}

fn read(row: &Entry) -> Result<(RowKey, Counters)> {
    let key = RowKey::decode(key::last(row, &Table::Usage.all())?).ok_or_else(|| key::strange(row))?;
    Ok((key, Counters::from_sums(counters(&row.value))))
}

/// The rows between two windows of a kind, the second excluded.
fn between(from: Window, to: Window) -> Range {
    let row = |window| Table::Usage.name(RowKey::prefix(window));
    Range { from: row(from), to: Some(row(to)), limit: CHUNK, reverse: false }
}

impl Meta {
    /// The same map for one change, which then also counts this. To be used once: whatever is changed with it counts it
    /// again.
    #[must_use]
    pub fn counting(&self, tally: Tally) -> Self {
        let tally = (!tally.counts.is_empty()).then(|| Arc::new(tally));
        Self { tally, ..self.clone() }
    }

    /// Writes to rows of its own, so that many servers on one map need not all add to the same ones.
    #[must_use]
    pub fn with_usage_shard(mut self, shard: u8) -> Self {
        self.usage_shard = shard;
        self
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now_ms().div_euclid(1000)).unwrap_or(0)
    }

    /// What a commit adds to the rows: its stored bytes and its tally.
    pub(super) fn usage_writes(&self, bucket: &BucketName, stored: StoredChange) -> Vec<Write> {
        let (at_s, shard) = (self.now_s(), self.usage_shard);
        let mut found = Vec::new();
        for (channel, changes) in stored.by_channel() {
            let subject = usage::Subject { bucket: bucket.to_string(), channel, user: String::new() };
            found.extend(writes(&subject, at_s, shard, &Counters::default(), &changes));
        }
        if let Some(tally) = &self.tally {
            found.extend(writes(&tally.subject, at_s, shard, &tally.counts, &[]));
        }
        found
    }

    /// Adds what was gathered elsewhere, as of now; all of it or nothing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn add_usage(&self, gathered: &[(usage::Subject, Counters)]) -> Result<()> {
        let at_s = self.now_s();
        let shard = self.usage_shard;
        let writes = gathered.iter().flat_map(|(subject, counts)| writes(subject, at_s, shard, counts, &[]));
        let commit = Commit { preconditions: Vec::new(), writes: writes.collect() };
        if !commit.writes.is_empty() {
            self.kv().commit(commit).await?;
        }
        Ok(())
    }

    /// Answers a question, as of one commit. `Err` inside when the answer could have more than `max_rows` rows.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn usage(&self, query: &Query, max_rows: u64) -> Result<std::result::Result<Vec<Row>, TooMuchUsage>> {
        let ledger = self.ledger(query, max_rows).await?;
        // The ledger has what the question is about, under the names that the answer tells apart.
        let all = Query { bucket: None, user: None, ..query.clone() };
        Ok(ledger.map(|ledger| ledger.query(&all)))
    }

    /// The rows that a question is about, added up by what the answer tells apart.
    async fn ledger(&self, query: &Query, max_rows: u64) -> Result<std::result::Result<Ledger, TooMuchUsage>> {
        let mut ledger = Ledger::default();
        let windows = query.count_windows();
        if query.from_s >= query.to_s {
            return Ok(Ok(ledger));
        }
        let last = Month::of(query.to_s.saturating_sub(1));
        let mut months = between(Window::Month(Month::of(0)), Window::Month(last));
        // The month in which the question ends, too.
        months.to = crate::kv::after_prefix(&Table::Usage.name(RowKey::prefix(Window::Month(last))));
        let mut ranges = vec![months];
        if query.step == Step::Hour {
            // What an hour began with is what its month ended with, less what came since.
            ranges.push(between(Window::Hour(Hour::of(query.from_s)), Window::Hour(Hour::of(last.end()))));
        }
        let snapshot = self.kv().snapshot().await?;
        for mut range in ranges {
            loop {
                let rows = snapshot.range(&range).await?;
                for row in &rows {
                    let (key, counters) = read(row)?;
                    if query.concerns(&key.subject) {
                        let subject = query.group_by.of(&key.subject);
                        ledger.add(RowKey { subject, shard: 0, ..key }, &counters);
                    }
                }
                let count = u64::try_from(ledger.count_subjects()).unwrap_or(u64::MAX).saturating_mul(windows);
                if count > max_rows {
                    return Ok(Err(TooMuchUsage { rows: count }));
                }
                match rows.last() {
                    Some(last) if rows.len() == range.limit => range.from = [last.key.as_ref(), &[0]].concat(),
                    _ => break,
                }
            }
        }
        Ok(Ok(ledger))
    }

    /// Deletes the hours that are no longer kept at `now_s`; how many rows that were.
    ///
    /// # Errors
    /// `Unavailable`; what was deleted until then stays deleted.
    pub async fn expire_usage(&self, now_s: u64) -> Result<usize> {
        let first = Hour(Hour::of(now_s).0.saturating_sub(RETAINED_HOURS - 1));
        let range = between(Window::Hour(Hour(0)), Window::Hour(first));
        let mut deleted = 0;
        loop {
            let rows = self.kv().range(&range).await?;
            if rows.is_empty() {
                return Ok(deleted);
            }
            let writes = rows.iter().map(|row| Write::Delete(row.key.to_vec())).collect();
            self.kv().commit(Commit { preconditions: Vec::new(), writes }).await?;
            deleted += rows.len();
        }
    }

    /// Counts what was stored before usage was counted, once; whether that was done now. Nothing else may write meanwhile.
    /// Reads every object.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn begin_usage(&self) -> Result<bool> {
        let begun = Table::Setting.name(BEGUN);
        if self.kv().get(&begun).await?.is_some() {
            return Ok(false);
        }
        let mut missing: BTreeMap<String, StoredChange> = BTreeMap::new();
        let mut range = Range::prefix(Table::Object.all()).limit(CHUNK);
        loop {
            let rows = self.kv().range(&range).await?;
            for row in &rows {
                let (bucket, key) = key::two(row)?;
                // What cannot be read is no reason not to begin; it is named by the check.
                let Ok(object) = decode::<StoredObject>(&row.value) else { continue };
                let bucket = key::bucket_name(bucket, row)?.to_string();
                let key = String::from_utf8_lossy(key);
                let size = object.size.cast_signed();
                missing.entry(bucket).or_default().add(&key, object.role(), object.storage_class, size);
            }
            match rows.last() {
                Some(last) if rows.len() == range.limit => range.from = [last.key.as_ref(), &[0]].concat(),
                _ => break,
            }
        }
        // What commands have changed since is counted already.
        let from_s = 0;
        let group_by = GroupBy { bucket: true, channel: true, user: false };
        let query = Query { from_s, to_s: self.now_s().saturating_add(1), group_by, ..Query::default() };
        if let Ok(ledger) = self.ledger(&query, u64::MAX).await? {
            for (key, counters) in ledger.rows() {
                let counted = &mut missing.entry(key.subject.bucket.clone()).or_default().0;
                for (class, level) in counters.levels() {
                    let sum = counted.entry((key.subject.channel.clone(), class)).or_default();
                    *sum = sum.wrapping_sub(i64::try_from(level.change).unwrap_or(0));
                }
            }
        }
        let mut commit = Commit::new().require(Precondition::Absent(begun.clone()));
        for (bucket, change) in missing {
            for (channel, changes) in change.by_channel() {
                let subject = usage::Subject { bucket: bucket.clone(), channel, user: String::new() };
                commit.writes.extend(writes(&subject, self.now_s(), self.usage_shard, &Counters::default(), &changes));
            }
        }
        commit.writes.push(Write::Put(begun, bytes::Bytes::new()));
        Ok(matches!(self.kv().commit(commit).await?, Outcome::Done(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, fixture, inline, key};
    use crate::meta::PutGuard;
    use usage::Meter;

    async fn rows(f: &Fixture, step: Step, from_s: u64, to_s: u64) -> Vec<Row> {
        let group_by = GroupBy { channel: true, user: true, bucket: true };
        let query = Query { from_s, to_s, step, group_by, ..Query::default() };
        f.meta.usage(&query, u64::MAX).await.unwrap().unwrap()
    }

    fn uploaded(bytes: u64) -> Tally {
        let subject = usage::Subject { bucket: "bucket".to_owned(), channel: String::new(), user: "7".to_owned() };
        Tally { subject, counts: Counters::of(Meter::UploadBytes, bytes) }
    }

    #[tokio::test]
    async fn a_change_counts_once_and_with_what_it_stores() {
        let f = fixture().await;
        let mut segment = inline("segment");
        segment.role = ObjectRole::LiveSegment;
        let put = async |name: &str, record, tally| {
            f.meta.counting(tally).put_object(&f.bucket, &key(name), &record, PutGuard::Any).await
        };
        put("a", inline("12345"), uploaded(5)).await.unwrap();
        put("a", inline("123"), uploaded(3)).await.unwrap();
        put("ch/1.ts", segment, Tally::default()).await.unwrap();
        let absent = f.meta.counting(uploaded(9));
        assert!(absent.put_object(&f.bucket, &key("a"), &inline("x"), PutGuard::Absent).await.is_err());
        let found: Vec<_> = rows(&f, Step::Month, 0, 2000)
            .await
            .into_iter()
            .map(|row| {
                let stored: i128 = row.stored.values().map(|stored| stored.at_end).sum();
                (row.subject.channel, row.subject.user, row.counters.get(Meter::UploadBytes), stored)
            })
            .collect();
        let row = |channel: &str, user: &str, uploaded, stored| (channel.to_owned(), user.to_owned(), uploaded, stored);
        assert_eq!(found, [row("", "", 0, 3), row("", "7", 8, 0), row("ch", "", 0, 7)]);
        f.meta.delete_object(&f.bucket, &key("ch/1.ts")).await.unwrap();
        f.meta.delete_object(&f.bucket, &key("a")).await.unwrap();
        assert_eq!(rows(&f, Step::Month, 3_000_000, 3_000_001).await, []);
    }

    #[tokio::test]
    async fn hours_go_and_months_stay() {
        let f = fixture().await;
        f.meta.add_usage(&[(uploaded(0).subject, Counters::of(Meter::ReadRequests, 2))]).await.unwrap();
        assert_eq!(rows(&f, Step::Hour, 0, 3600).await.len(), 1);
        assert_eq!(f.meta.expire_usage(RETAINED_HOURS * 3600 - 1).await, Ok(0));
        assert_eq!(f.meta.expire_usage(RETAINED_HOURS * 3600).await, Ok(1));
        assert_eq!(rows(&f, Step::Hour, 0, 3600).await, []);
        assert_eq!(rows(&f, Step::Month, 0, 3600).await.len(), 1);
    }

    #[tokio::test]
    async fn what_was_there_before_is_counted_once() {
        let f = fixture().await;
        f.meta.put_object(&f.bucket, &key("old"), &inline("12345"), PutGuard::Any).await.unwrap();
        // As an older program left it.
        let forget = Commit::new().write(Write::DeletePrefix(Table::Usage.all()));
        f.meta.kv().commit(forget).await.unwrap();
        // As a command changed it before the first start.
        f.meta.put_object(&f.bucket, &key("new"), &inline("123"), PutGuard::Any).await.unwrap();
        assert_eq!(f.meta.begin_usage().await, Ok(true));
        assert_eq!(f.meta.begin_usage().await, Ok(false));
        let stored = |rows: &[Row]| rows[0].stored[&usage::StorageClass::Standard].at_end;
        assert_eq!(stored(&rows(&f, Step::Month, 0, 2000).await), 8);
        assert_eq!(stored(&rows(&f, Step::Hour, 0, 2000).await), 8);
    }

    #[tokio::test]
    async fn answers_are_bounded() {
        let f = fixture().await;
        f.meta.put_object(&f.bucket, &key("a"), &inline("12345"), PutGuard::Any).await.unwrap();
        let query = Query { to_s: 10 * 3600, step: Step::Hour, ..Query::default() };
        assert_eq!(f.meta.usage(&query, 9).await.unwrap(), Err(TooMuchUsage { rows: 10 }));
        assert!(f.meta.usage(&query, 10).await.unwrap().is_ok());
    }
}
