//! One commit in the making, with the rules that every change of an object keeps.

use std::collections::BTreeMap;

use model::name::{BucketName, ChannelName, ObjectKey};

use super::bucket::StatisticsDelta;
use super::key::{self, Table};
use super::object::{BodyRow, StoredObject};
use super::segment::SegmentRow;
use super::usage::StoredChange;
use super::{GarbageRecord, Meta, ObjectRecord, PutGuard, Source};
use crate::blob::BlobId;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Commit, Outcome, Precondition, Version, Write, counters};
use crate::record::{Record, decode, encode};

/// What to make of a precondition that does not hold.
enum Refusal {
    /// Somebody was faster: read again.
    Retry,
    /// The change cannot be made.
    Fail(Error),
}

/// How the names of a blob change. A name is one mention in an object, a part or the open segment of a push.
#[derive(Debug, Clone, Copy, Default)]
struct Names {
    gained: i64,
    lost: i64,
    /// Somebody else names it too, as the commit demands.
    is_borrowed: bool,
}

/// A change within one bucket: what must hold, what is written, which blobs gain or lose names and how the bucket's
/// counters move, all in one commit.
///
/// A blob with one name has no row of its own; further names are counted in a row. So only copies write that row, and
/// only what takes a name away reads it: the last name that goes makes the blob garbage.
pub(crate) struct MetaTransaction<'a> {
    meta: &'a Meta,
    bucket: &'a BucketName,
    commit: Commit,
    refusals: Vec<Refusal>,
    names: BTreeMap<BlobId, Names>,
    statistics: StatisticsDelta,
    stored: StoredChange,
}

impl<'a> MetaTransaction<'a> {
    /// A change that is refused if the bucket is not there.
    pub(crate) fn new(meta: &'a Meta, bucket: &'a BucketName) -> Self {
        let mut transaction = Self {
            meta,
            bucket,
            commit: Commit::new(),
            refusals: Vec::new(),
            names: BTreeMap::new(),
            statistics: StatisticsDelta::default(),
            stored: StoredChange::default(),
        };
        let absent = Error::not_found(Subject::Bucket, bucket);
        transaction.require(Precondition::Exists(key::bucket(bucket)), absent);
        transaction
    }

    /// Fails with `error` unless this holds.
    pub(crate) fn require(&mut self, precondition: Precondition, error: Error) {
        self.commit.preconditions.push(precondition);
        self.refusals.push(Refusal::Fail(error));
    }

    /// Is to be begun again unless the row is as it was read.
    pub(crate) fn expect_unchanged(&mut self, key: Vec<u8>, seen: Option<Version>) {
        self.commit.preconditions.push(match seen {
            Some(version) => Precondition::VersionIs(key, version),
            None => Precondition::Absent(key),
        });
        self.refusals.push(Refusal::Retry);
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.commit.writes.push(write);
    }

    pub(crate) fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) -> Result<()> {
        self.write(Write::Put(key, encode(record)?));
        Ok(())
    }

    /// Each of these gains a name: its first, unless it loses one too or is borrowed.
    pub(crate) fn name(&mut self, blobs: impl IntoIterator<Item = BlobId>) {
        for blob in blobs {
            self.names.entry(blob).or_default().gained += 1;
        }
    }

    /// Each of these loses a name that it has.
    pub(crate) fn unname(&mut self, blobs: impl IntoIterator<Item = BlobId>) {
        for blob in blobs {
            self.names.entry(blob).or_default().lost += 1;
        }
    }

    /// These blobs are those of another object, which must still be the one that was read.
    pub(crate) fn borrow(&mut self, source: &Source<'_>, blobs: impl IntoIterator<Item = BlobId>) {
        let changed = Error::conflict(Subject::Source, source.key);
        self.require(Precondition::VersionIs(key::object(source.bucket, source.key), source.version), changed);
        for blob in blobs {
            self.names.entry(blob).or_default().is_borrowed = true;
        }
    }

    pub(crate) fn count(&mut self, change: impl FnOnce(&mut StatisticsDelta)) {
        change(&mut self.statistics);
    }

    /// Sets an object, and lets go of the blobs of the one it replaces; whether there is none.
    pub(crate) async fn put_object(&mut self, key: &ObjectKey, record: &ObjectRecord, guard: PutGuard) -> Result<bool> {
        let row = key::object(self.bucket, key);
        let old = self.meta.record::<StoredObject>(&row).await?;
        let seen = old.as_ref().map(|old| old.version);
        match (guard, seen) {
            (PutGuard::Absent, Some(_)) => {
                return Err(Error::new(ErrorKind::AlreadyExists, Subject::Object, key));
            }
            (PutGuard::VersionIs(version), seen) if seen != Some(version) => {
                return Err(Error::conflict(Subject::Object, key));
            }
            _ => {}
        }
        if let Some(old) = &old {
            self.forget_object(key, &old.value).await?;
        }
        let had_body_row = old.is_some_and(|old| old.value.has_body_row());
        self.set_object(key, record, seen, had_body_row)?;
        Ok(seen.is_none())
    }

    /// Sets an object without looking whether there is one: then it is to be begun again.
    pub(crate) fn put_new_object(&mut self, key: &ObjectKey, record: &ObjectRecord) -> Result<()> {
        self.set_object(key, record, None, false)
    }

    fn set_object(
        &mut self,
        key: &ObjectKey,
        record: &ObjectRecord,
        seen: Option<Version>,
        had_body_row: bool,
    ) -> Result<()> {
        let row = key::object(self.bucket, key);
        self.expect_unchanged(row.clone(), seen);
        let (stored, body) = StoredObject::split(record)?;
        self.name(record.body.blobs());
        self.statistics.add_object(record.storage_class, record.size, 1);
        self.stored.add(key.as_str(), record.role, record.storage_class, record.size.cast_signed());
        let body_row = key::body(self.bucket, key);
        match body {
            Some(body) => self.write(Write::Put(body_row, body)),
            None if had_body_row => self.write(Write::Delete(body_row)),
            None => {}
        }
        self.put(row, &stored)
    }

    /// Removes an object, its blobs' names and its entry in the segment index; whether it was there. One that `goes`
    /// does not take stays.
    pub(crate) async fn delete_object(
        &mut self,
        key: &ObjectKey,
        goes: impl FnOnce(&StoredObject) -> bool,
    ) -> Result<bool> {
        let row = key::object(self.bucket, key);
        let old = self.meta.record::<StoredObject>(&row).await?;
        let Some(old) = old.filter(|old| goes(&old.value)) else {
            return Ok(false);
        };
        self.expect_unchanged(row.clone(), Some(old.version));
        self.forget_object(key, &old.value).await?;
        if old.value.has_body_row() {
            self.write(Write::Delete(key::body(self.bucket, key)));
        }
        if let Some((channel, number_ms)) = key::segment_named(key) {
            self.forget_segment(&channel, number_ms).await?;
        }
        self.write(Write::Delete(row));
        Ok(true)
    }

    /// Removes an entry of the segment index, if there is one.
    async fn forget_segment(&mut self, channel: &ChannelName, number_ms: u64) -> Result<()> {
        let row = key::segment(self.bucket, channel, number_ms);
        // What cannot be read goes all the same; its moment, if it has one, leads nowhere then and is passed over.
        if let Ok(Some(entry)) = self.meta.record::<SegmentRow>(&row).await
            && let Some(opened_ms) = entry.value.opened_ms
        {
            self.expect_unchanged(row.clone(), Some(entry.version));
            self.write(Write::Delete(key::moment(self.bucket, channel, opened_ms, number_ms)));
        }
        self.write(Write::Delete(row));
        Ok(())
    }

    async fn forget_object(&mut self, key: &ObjectKey, old: &StoredObject) -> Result<()> {
        self.statistics.add_object(old.storage_class, old.size, -1);
        let gone = old.size.cast_signed().wrapping_neg();
        self.stored.add(key.as_str(), old.role(), old.storage_class, gone);
        let blobs: Vec<BlobId> = match old.extents() {
            Some(extents) => extents.iter().map(|extent| extent.blob).collect(),
            None => match self.meta.kv().get(&key::body(self.bucket, key)).await? {
                Some(row) => decode::<BodyRow>(&row.value)?.blobs(),
                None => Vec::new(),
            },
        };
        self.unname(blobs);
        Ok(())
    }

    /// Counts the names, and returns the blobs that have none any more, in order.
    async fn settle_names(&mut self) -> Result<Vec<BlobId>> {
        let mut garbage = Vec::new();
        for (blob, names) in std::mem::take(&mut self.names) {
            let row = key::sharing(blob);
            // The first name of a new blob is not counted.
            let is_new = names.lost == 0 && !names.is_borrowed;
            let change = names.gained - names.lost - i64::from(is_new);
            if change > 0 {
                self.write(Write::Add(row, vec![change]));
            } else if change < 0 {
                let counted = self.meta.kv().get(&row).await?;
                let further = counted.as_ref().and_then(|row| counters(&row.value).next()).unwrap_or(0);
                if further + change >= 0 {
                    // Whoever else takes names away at the same time is in nobody's way as long as one is left.
                    self.commit.preconditions.push(Precondition::CounterAtLeast(row.clone(), -change));
                    self.refusals.push(Refusal::Retry);
                    self.write(Write::Add(row, vec![change]));
                } else {
                    self.expect_unchanged(row.clone(), counted.as_ref().map(|row| row.version));
                    if counted.is_some() {
                        self.write(Write::Delete(row));
                    }
                    garbage.push(blob);
                }
            }
        }
        Ok(garbage)
    }

    /// Makes the change; `None` when somebody was faster and it has to be begun again.
    pub(crate) async fn commit(mut self) -> Result<Option<Version>> {
        if let Some(deltas) = self.statistics.deltas() {
            self.commit.writes.push(Write::Add(Table::Statistics.name(self.bucket.as_str()), deltas));
        }
        let stored = std::mem::take(&mut self.stored);
        self.commit.writes.extend(self.meta.usage_writes(self.bucket, stored));
        let garbage = self.settle_names().await?;
        if let Some(first) = garbage.first() {
            let due_ms = self.meta.clock.now_ms().saturating_add(self.meta.garbage_grace_ms);
            let row = key::garbage(due_ms, Some(*first));
            self.commit.writes.push(Write::Put(row, encode(&GarbageRecord { blobs: garbage })?));
        }
        match self.meta.kv().commit(self.commit).await? {
            Outcome::Done(version) => Ok(Some(version)),
            Outcome::Refused(index) => match self.refusals.into_iter().nth(index) {
                Some(Refusal::Fail(error)) => Err(error),
                Some(Refusal::Retry) | None => Ok(None),
            },
        }
    }
}
