//! Multipart uploads (HTTP API 10): parts under an upload, made one object without copying a byte.

use oss::model::{ContentHeaders, ETag, StorageClass, Tag};
use oss::name::{BucketName, ObjectKey};
use serde::{Deserialize, Serialize};

use super::key::{self, Table};
use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Extent, Meta, ObjectRecord, Page, PutGuard, Stored, gave_up};
use crate::blob::BlobId;
use crate::error::{Error, Result, Subject};
use crate::kv::{Precondition, Range, Version, Write};
use crate::record::{Record, decode};

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// When, Unix milliseconds.
    pub initiated_ms: i64,
    /// The label of the object to be.
    pub storage_class: StorageClass,
    /// The headers of the object to be.
    #[serde(default)]
    pub headers: ContentHeaders,
    /// Its user metadata.
    #[serde(default)]
    pub user_meta: Vec<(String, Vec<u8>)>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Who began it, in the writing of the caller.
    #[serde(default)]
    pub initiator: Option<String>,
}

impl Record for UploadRecord {
    const SUBJECT: Subject = Subject::Upload;
}

/// A part that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// The CRC-64 of its bytes.
    pub crc64: u64,
    /// The MD5 of its bytes.
    pub md5: Option<[u8; 16]>,
    /// When it was uploaded, Unix milliseconds.
    pub modified_ms: i64,
    /// Its bytes.
    pub extents: Vec<Extent>,
}

impl Record for PartRecord {
    const SUBJECT: Subject = Subject::Part;
}

impl Meta {
    /// Begins an upload under an id that was never used.
    ///
    /// # Errors
    /// `NotFound` (bucket); `Conflict` when the id is in use.
    pub async fn initiate_upload(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &str,
        record: &UploadRecord,
    ) -> Result<()> {
        let row = key::upload(bucket, key, id);
        let mut transaction = MetaTransaction::new(self, bucket);
        transaction.require(Precondition::Absent(row.clone()), Error::conflict(Subject::Upload, id));
        transaction.require(
            Precondition::PrefixEmpty(key::parts(bucket, id)),
            Error::conflict(Subject::Upload, format!("{id} has parts")),
        );
        transaction.put(row, record)?;
        transaction.count(|statistics| statistics.add_uploads(1));
        transaction.commit().await?.map(|_| ()).ok_or_else(|| gave_up(Subject::Upload, id))
    }

    /// An upload; `None` when there is no such id for that key. Its version rises with every part.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn upload(&self, bucket: &BucketName, key: &ObjectKey, id: &str) -> Result<Option<Stored<UploadRecord>>> {
        self.record(&key::upload(bucket, key, id)).await
    }

    /// Sets a part, whose blobs must be durable; one of the same number is replaced.
    ///
    /// # Errors
    /// `NotFound` (bucket or upload): the upload was completed or aborted, and the caller still owns the blobs.
    pub async fn put_part(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &str,
        number: u16,
        part: &PartRecord,
    ) -> Result<()> {
        let (upload_row, row) = (key::upload(bucket, key, id), key::part(bucket, id, number));
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            let upload = self.record::<UploadRecord>(&upload_row).await?;
            let gone = Error::not_found(Subject::Upload, id);
            transaction.require(Precondition::Exists(upload_row.clone()), gone.clone());
            let Some(upload) = upload else {
                return transaction.commit().await.and(Err(gone));
            };
            let old = self.record::<PartRecord>(&row).await?;
            transaction.expect_unchanged(row.clone(), old.as_ref().map(|old| old.version));
            match old {
                Some(old) => transaction.discard(unused(&old.value.extents, &part.extents)),
                None => transaction.count(|statistics| statistics.add_parts(1)),
            }
            transaction.put(row.clone(), part)?;
            // The same upload again: its new version tells a completion under way that the parts have changed.
            transaction.put(upload_row.clone(), &upload.value)?;
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Part, id))
    }

    /// The parts of an upload after number `after`, in order.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_parts(
        &self,
        bucket: &BucketName,
        id: &str,
        after: u16,
        limit: usize,
    ) -> Result<Page<(u16, PartRecord)>> {
        let after = Some(key::part(bucket, id, after));
        self.page(key::parts(bucket, id), after, limit, |row| Ok((key::part_number(row)?, decode(&row.value)?))).await
    }

    /// Makes an upload an object, in one commit. `record` has the extents of the parts that were chosen; parts it
    /// leaves out are deleted. `seen` is the version of the upload before its parts were read.
    ///
    /// # Errors
    /// `NotFound` (bucket or upload); `Conflict` (upload) when a part was put since, so that the parts have to be read
    /// again; what `guard` says about the object.
    pub async fn complete_upload(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &str,
        seen: Version,
        record: &ObjectRecord,
        guard: PutGuard,
    ) -> Result<Version> {
        let row = key::upload(bucket, key, id);
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            transaction.require(Precondition::Exists(row.clone()), Error::not_found(Subject::Upload, id));
            transaction.require(
                Precondition::VersionIs(row.clone(), seen),
                Error::conflict(Subject::Upload, format!("{id} has other parts by now")),
            );
            let parts = self.all_parts(bucket, id).await?;
            let named: Vec<BlobId> = record.body.blobs().collect();
            drop_upload(&mut transaction, bucket, id, &row, &parts, &named);
            transaction.put_object(key, record, guard).await?;
            if let Some(version) = transaction.commit().await? {
                return Ok(version);
            }
        }
        Err(gave_up(Subject::Upload, id))
    }

    /// Gives an upload up with its parts.
    ///
    /// # Errors
    /// `NotFound` (bucket or upload).
    pub async fn abort_upload(&self, bucket: &BucketName, key: &ObjectKey, id: &str) -> Result<()> {
        let row = key::upload(bucket, key, id);
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            let gone = Error::not_found(Subject::Upload, id);
            transaction.require(Precondition::Exists(row.clone()), gone.clone());
            let Some(upload) = self.kv().get(&row).await? else {
                return transaction.commit().await.and(Err(gone));
            };
            transaction.expect_unchanged(row.clone(), Some(upload.version));
            let parts = self.all_parts(bucket, id).await?;
            drop_upload(&mut transaction, bucket, id, &row, &parts, &[]);
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Upload, id))
    }

    /// Uploads of all buckets that were begun before `initiated_ms`, `limit` at most. Reads every unfinished upload
    /// until the limit is reached.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn old_uploads(&self, initiated_ms: i64, limit: usize) -> Result<Vec<(BucketName, ObjectKey, String)>> {
        let mut old = Vec::new();
        let mut range = Range::prefix(Table::Upload.all()).limit(512);
        loop {
            let rows = self.kv().range(&range).await?;
            for row in &rows {
                if old.len() == limit {
                    return Ok(old);
                }
                if decode::<UploadRecord>(&row.value)?.initiated_ms < initiated_ms {
                    let (bucket, rest) = key::two(row)?;
                    let (key, id) = key::split_upload(rest).ok_or_else(|| key::strange(row))?;
                    old.push((key::bucket_name(bucket, row)?, key::object_key(&key, row)?, id.to_owned()));
                }
            }
            match rows.last() {
                Some(last) if rows.len() == range.limit => range.from = [last.key.as_ref(), &[0]].concat(),
                _ => return Ok(old),
            }
        }
    }

    async fn all_parts(&self, bucket: &BucketName, id: &str) -> Result<Vec<PartRecord>> {
        let rows = self.kv().range(&Range::prefix(key::parts(bucket, id))).await?;
        rows.iter().map(|row| decode(&row.value)).collect()
    }
}

fn drop_upload(
    transaction: &mut MetaTransaction<'_>,
    bucket: &BucketName,
    id: &str,
    row: &[u8],
    parts: &[PartRecord],
    named: &[BlobId],
) {
    transaction.write(Write::Delete(row.to_vec()));
    transaction.write(Write::DeletePrefix(key::parts(bucket, id)));
    transaction.count(|statistics| {
        statistics.add_uploads(-1);
        statistics.add_parts(-i64::try_from(parts.len()).unwrap_or(i64::MAX));
    });
    let named: std::collections::HashSet<BlobId> = named.iter().copied().collect();
    let blobs = parts.iter().flat_map(|part| part.extents.iter().map(|extent| extent.blob));
    transaction.discard(blobs.filter(|blob| !named.contains(blob)));
}

/// The blobs of `old` that `new` does not name.
fn unused<'a>(old: &'a [Extent], new: &'a [Extent]) -> impl Iterator<Item = BlobId> + 'a {
    let is_named = move |blob: &BlobId| new.iter().any(|extent| extent.blob == *blob);
    old.iter().map(|extent| extent.blob).filter(move |blob| !is_named(blob))
}
