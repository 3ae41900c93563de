//! One commit in the making, with the rules that every change of an object keeps.

use std::collections::HashSet;

use oss::name::{BucketName, ObjectKey};

use super::bucket::StatisticsDelta;
use super::key::{self, Table};
use super::object::{BodyRow, StoredObject};
use super::{GarbageRecord, Meta, ObjectRecord, PutGuard};
use crate::blob::BlobId;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Commit, Outcome, Precondition, Version, Write};
use crate::record::{Record, decode, encode};

/// What to make of a precondition that does not hold.
enum Refusal {
    /// Somebody was faster: read again.
    Retry,
    /// The change cannot be made.
    Fail(Error),
}

/// A change within one bucket: what must hold, what is written, which blobs lose their name and how the bucket's
/// counters move, all in one commit.
pub(crate) struct MetaTransaction<'a> {
    meta: &'a Meta,
    bucket: &'a BucketName,
    commit: Commit,
    refusals: Vec<Refusal>,
    garbage: Vec<BlobId>,
    statistics: StatisticsDelta,
}

impl<'a> MetaTransaction<'a> {
    /// A change that is refused if the bucket is not there.
    pub(crate) fn new(meta: &'a Meta, bucket: &'a BucketName) -> Self {
        let mut transaction = Self {
            meta,
            bucket,
            commit: Commit::new(),
            refusals: Vec::new(),
            garbage: Vec::new(),
            statistics: StatisticsDelta::default(),
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

    pub(crate) fn discard(&mut self, blobs: impl IntoIterator<Item = BlobId>) {
        self.garbage.extend(blobs);
    }

    pub(crate) fn count(&mut self, change: impl FnOnce(&mut StatisticsDelta)) {
        change(&mut self.statistics);
    }

    /// Sets an object, and lets go of the blobs of the one it replaces.
    pub(crate) async fn put_object(&mut self, key: &ObjectKey, record: &ObjectRecord, guard: PutGuard) -> Result<()> {
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
        self.expect_unchanged(row.clone(), seen);
        let (stored, body) = StoredObject::split(record)?;
        let kept: HashSet<BlobId> = record.body.blobs().collect();
        if let Some(old) = &old {
            self.forget_object(key, &old.value, &kept).await?;
        }
        self.statistics.add_object(record.storage_class, record.size, 1);
        let body_row = key::body(self.bucket, key);
        match body {
            Some(body) => self.write(Write::Put(body_row, body)),
            None if old.is_some_and(|old| old.value.has_body_row()) => self.write(Write::Delete(body_row)),
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
        self.forget_object(key, &old.value, &HashSet::new()).await?;
        if old.value.has_body_row() {
            self.write(Write::Delete(key::body(self.bucket, key)));
        }
        if let Some((channel, number_ms)) = key::segment_named(key) {
            self.write(Write::Delete(key::segment(self.bucket, &channel, number_ms)));
        }
        self.write(Write::Delete(row));
        Ok(true)
    }

    async fn forget_object(&mut self, key: &ObjectKey, old: &StoredObject, kept: &HashSet<BlobId>) -> Result<()> {
        self.statistics.add_object(old.storage_class, old.size, -1);
        let mut blobs: Vec<BlobId> = match old.extents() {
            Some(extents) => extents.iter().map(|extent| extent.blob).collect(),
            None => match self.meta.kv().get(&key::body(self.bucket, key)).await? {
                Some(row) => decode::<BodyRow>(&row.value)?.blobs(),
                None => Vec::new(),
            },
        };
        blobs.retain(|blob| !kept.contains(blob));
        self.garbage.extend(blobs);
        Ok(())
    }

    /// Makes the change; `None` when somebody was faster and it has to be begun again.
    pub(crate) async fn commit(mut self) -> Result<Option<Version>> {
        if let Some(deltas) = self.statistics.deltas() {
            self.commit.writes.push(Write::Add(Table::Statistics.name(self.bucket.as_str()), deltas));
        }
        self.garbage.sort_unstable();
        self.garbage.dedup();
        if let Some(first) = self.garbage.first() {
            let due_ms = self.meta.clock.now_ms().saturating_add(self.meta.garbage_grace_ms);
            let row = key::garbage(due_ms, Some(*first));
            self.commit.writes.push(Write::Put(row, encode(&GarbageRecord { blobs: self.garbage })?));
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
