//! Multipart uploads (HTTP API 10): parts under an upload, made one object without copying a byte.

use model::name::{BucketName, ObjectKey};
use model::{ContentHeaders, ETag, StorageClass, Tag};
use serde::{Deserialize, Serialize};

use super::key;
use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Extent, Meta, ObjectRecord, Page, PutGuard, Source, Stored, gave_up};
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
        self.set_part(bucket, key, id, number, part, None).await
    }

    /// The same with blobs that all belong to `source`, which keeps them.
    ///
    /// # Errors
    /// As [`Meta::put_part`]; `Conflict` (source) when the source was written since.
    pub async fn put_part_from(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &str,
        number: u16,
        part: &PartRecord,
        source: &Source<'_>,
    ) -> Result<()> {
        self.set_part(bucket, key, id, number, part, Some(source)).await
    }

    async fn set_part(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &str,
        number: u16,
        part: &PartRecord,
        source: Option<&Source<'_>>,
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
            if let Some(source) = source {
                transaction.borrow(source, blobs(part));
            }
            transaction.name(blobs(part));
            match &old {
                Some(old) => transaction.unname(blobs(&old.value)),
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

    /// Forgets a part whose bytes are lost. Whoever completes the upload hears that it is missing, and may send it again.
    ///
    /// # Errors
    /// `NotFound` (bucket or part).
    pub(crate) async fn remove_part(&self, bucket: &BucketName, id: &str, number: u16) -> Result<()> {
        let row = key::part(bucket, id, number);
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            let gone = || Error::not_found(Subject::Part, id);
            let part = self.record::<PartRecord>(&row).await?.ok_or_else(gone)?;
            transaction.expect_unchanged(row.clone(), Some(part.version));
            transaction.unname(blobs(&part.value));
            transaction.count(|statistics| statistics.add_parts(-1));
            transaction.write(Write::Delete(row.clone()));
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
            drop_upload(&mut transaction, bucket, id, &row, &parts);
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
            drop_upload(&mut transaction, bucket, id, &row, &parts);
            if transaction.commit().await?.is_some() {
                return Ok(());
            }
        }
        Err(gave_up(Subject::Upload, id))
    }

    async fn all_parts(&self, bucket: &BucketName, id: &str) -> Result<Vec<PartRecord>> {
        let rows = self.kv().range(&Range::prefix(key::parts(bucket, id))).await?;
        rows.iter().map(|row| decode(&row.value)).collect()
    }
}

fn drop_upload(transaction: &mut MetaTransaction<'_>, bucket: &BucketName, id: &str, row: &[u8], parts: &[PartRecord]) {
    transaction.write(Write::Delete(row.to_vec()));
    transaction.write(Write::DeletePrefix(key::parts(bucket, id)));
    transaction.count(|statistics| {
        statistics.add_uploads(-1);
        statistics.add_parts(-i64::try_from(parts.len()).unwrap_or(i64::MAX));
    });
    transaction.unname(parts.iter().flat_map(blobs));
}

fn blobs(part: &PartRecord) -> impl Iterator<Item = BlobId> + '_ {
    part.extents.iter().map(|extent| extent.blob)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::fixture::{Fixture, fixture, inline, key, object};
    use crate::meta::Body;

    const ID: &str = "0004B9894A22E5B1888A1E29F8236E2D";

    async fn begun() -> Fixture {
        let f = fixture().await;
        let record = UploadRecord {
            initiated_ms: 1,
            storage_class: StorageClass::Standard,
            headers: ContentHeaders::default(),
            user_meta: vec![("m".to_owned(), vec![1])],
            tags: Vec::new(),
            initiator: None,
        };
        f.meta.initiate_upload(&f.bucket, &key("big"), ID, &record).await.unwrap();
        f
    }

    async fn put(f: &Fixture, number: u16, len: usize) -> PartRecord {
        let part = PartRecord {
            size: len as u64,
            etag: ETag::from_bits(u128::from(number)),
            crc64: 0,
            md5: None,
            modified_ms: 2,
            extents: vec![f.extent(len).await],
        };
        f.meta.put_part(&f.bucket, &key("big"), ID, number, &part).await.unwrap();
        part
    }

    async fn counts(f: &Fixture) -> (u64, u64, u64) {
        let statistics = f.meta.bucket_statistics(&f.bucket).await.unwrap();
        (statistics.uploads, statistics.parts, statistics.total.objects)
    }

    #[tokio::test]
    async fn chosen_parts_become_the_object() {
        let f = begun().await;
        let first = put(&f, 1, 10).await;
        put(&f, 2, 20).await;
        put(&f, 2, 21).await;
        let last = put(&f, 10_000, 30).await;
        assert_eq!(counts(&f).await, (1, 3, 0));
        let page = f.meta.list_parts(&f.bucket, ID, 1, 1).await.unwrap();
        assert_eq!(
            (page.items.iter().map(|(n, part)| (*n, part.size)).collect::<Vec<_>>(), page.is_truncated),
            (vec![(2, 21)], true)
        );
        assert_eq!(f.check_clean().await, 3, "the replaced part is deleted");

        let seen = f.meta.upload(&f.bucket, &key("big"), ID).await.unwrap().unwrap().version;
        let record = object(Body::Blobs([first.extents, last.extents].concat()));
        let complete = |seen, record: ObjectRecord, guard| {
            let f = &f;
            async move {
                let done = f.meta.complete_upload(&f.bucket, &key("big"), ID, seen, &record, guard).await;
                done.map_err(|error| (error.kind, error.subject))
            }
        };
        f.meta.put_object(&f.bucket, &key("big"), &inline("old"), PutGuard::Any).await.unwrap();
        let forbidden = complete(seen, record.clone(), PutGuard::Absent).await;
        assert_eq!(forbidden, Err((ErrorKind::AlreadyExists, Subject::Object)));
        let stale = complete(Version::of_commit(1), record.clone(), PutGuard::Any).await;
        assert_eq!(stale, Err((ErrorKind::Conflict, Subject::Upload)));
        complete(seen, record.clone(), PutGuard::Any).await.unwrap();
        let again = complete(seen, record.clone(), PutGuard::Any).await;
        assert_eq!(again, Err((ErrorKind::NotFound, Subject::Upload)));
        assert_eq!(f.meta.object(&f.bucket, &key("big")).await.unwrap().unwrap().value, record);
        assert_eq!(counts(&f).await, (0, 0, 1));
        assert_eq!(f.check_clean().await, 2, "the part that was left out is deleted");
    }

    #[tokio::test]
    async fn a_part_that_comes_during_completion_is_noticed() {
        let f = begun().await;
        let part = put(&f, 1, 10).await;
        let seen = f.meta.upload(&f.bucket, &key("big"), ID).await.unwrap().unwrap().version;
        put(&f, 1, 11).await;
        let record = object(Body::Blobs(part.extents));
        let done = f.meta.complete_upload(&f.bucket, &key("big"), ID, seen, &record, PutGuard::Any).await;
        assert_eq!(done.unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(f.check_clean().await, 1);
    }

    #[tokio::test]
    async fn an_aborted_upload_leaves_nothing() {
        let f = begun().await;
        for number in 1..=20 {
            put(&f, number, 5).await;
        }
        f.meta.abort_upload(&f.bucket, &key("big"), ID).await.unwrap();
        assert_eq!(counts(&f).await, (0, 0, 0));
        assert_eq!(f.check_clean().await, 0);
        let gone = f.meta.abort_upload(&f.bucket, &key("big"), ID).await.unwrap_err();
        assert_eq!((gone.kind, gone.subject), (ErrorKind::NotFound, Subject::Upload));
        let part =
            PartRecord { size: 0, etag: ETag::from_bits(0), crc64: 0, md5: None, modified_ms: 0, extents: vec![] };
        let late = f.meta.put_part(&f.bucket, &key("big"), ID, 1, &part).await.unwrap_err();
        assert_eq!((late.kind, late.subject), (ErrorKind::NotFound, Subject::Upload));
        let other = f.meta.put_part(&f.bucket, &key("other"), ID, 1, &part).await.unwrap_err();
        assert!(other.is_not_found(), "the id belongs to another key");
    }
}
