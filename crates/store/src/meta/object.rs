//! Objects: what is known of them and where their bytes are.

use std::sync::Arc;

use bytes::Bytes;
use model::name::{BucketName, ObjectKey};
use model::{ContentHeaders, ETag, ObjectAcl, ObjectType, StorageClass, Tag};
use serde::{Deserialize, Serialize};

use super::transaction::MetaTransaction;
use super::{ATTEMPTS, Meta, Stored, gave_up, key, stored};
use crate::blob::BlobId;
use crate::error::{Error, Result, Subject};
use crate::kv::Version;
use crate::record::{Record, decode, encode};

/// Extents that fit in an object's record; more of them have their own row, so that listings need not read them.
const MAX_EXTENTS_IN_RECORD: usize = 4;

/// A run of bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The blob.
    pub blob: BlobId,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// Where the bytes of an object are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Here. For small bodies, about 16 KiB at most: such an object is one commit.
    Inline(Bytes),
    /// In blobs, one run after the other. Copies of an object share its blobs.
    Blobs(Vec<Extent>),
    /// In the object of this key in the same bucket (HTTP API 9.10).
    Link(String),
}

impl Body {
    /// The blobs it is in, one for each run.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        let extents = match self {
            Body::Blobs(extents) => extents.as_slice(),
            Body::Inline(_) | Body::Link(_) => &[],
        };
        extents.iter().map(|extent| extent.blob)
    }
}

/// What the server itself made an object for. It decides how long caches may keep the object (D23): what is
/// uploaded under the name of a segment is an ordinary object again, and so is a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ObjectRole {
    /// Nothing: it was uploaded, copied or joined.
    #[default]
    Ordinary,
    /// A segment of a push. Its name has the moment at which it was begun, and the server gives no name twice.
    LiveSegment,
    /// The list of a push's last segments, rewritten with each of them.
    LivePlaylist,
    /// The list of what was recorded in a span of time.
    VodPlaylist,
}

impl ObjectRole {
    fn is_ordinary(&self) -> bool {
        *self == Self::Ordinary
    }
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRecord {
    /// Its length in bytes; the position of the next append.
    pub size: u64,
    /// Its entity tag (HTTP API 5.2).
    pub etag: ETag,
    /// The CRC-64 of its bytes (HTTP API 5.3); 0 for a link.
    pub crc64: u64,
    /// The MD5 of its bytes, where it is known.
    pub md5: Option<[u8; 16]>,
    /// When its bytes were last written, Unix milliseconds.
    pub modified_ms: i64,
    /// How it came to be.
    pub object_type: ObjectType,
    /// What the server made it for.
    pub role: ObjectRole,
    /// Who may do what with it.
    pub acl: ObjectAcl,
    /// Its label.
    pub storage_class: StorageClass,
    /// The headers that are sent with it.
    pub headers: ContentHeaders,
    /// `x-oss-meta-*`, names in lower case and without the prefix.
    pub user_meta: Vec<(String, Vec<u8>)>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its bytes.
    pub body: Body,
}

/// An object as it was when somebody decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenObject {
    /// Its key; no key twice in one list.
    pub key: ObjectKey,
    /// When its bytes had last been written, Unix milliseconds.
    pub modified_ms: i64,
    /// The tag it had.
    pub etag: ETag,
}

/// What a put demands of the object it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PutGuard {
    /// Nothing: the last one wins.
    #[default]
    Any,
    /// That there is none (`x-oss-forbid-overwrite`, the first append).
    Absent,
    /// That it is still the one that was read (the next append).
    VersionIs(Version),
}

/// An object whose blobs others come to share, as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its bucket.
    pub bucket: &'a BucketName,
    /// Its key.
    pub key: &'a ObjectKey,
    /// The commit that wrote it.
    pub version: Version,
}

/// An object as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredObject {
    pub(crate) size: u64,
    pub(crate) etag: ETag,
    crc64: u64,
    md5: Option<[u8; 16]>,
    pub(crate) modified_ms: i64,
    pub(crate) object_type: ObjectType,
    acl: ObjectAcl,
    pub(crate) storage_class: StorageClass,
    #[serde(default)]
    headers: ContentHeaders,
    #[serde(default)]
    user_meta: Vec<(String, Bytes)>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default, skip_serializing_if = "ObjectRole::is_ordinary")]
    role: ObjectRole,
    pub(crate) body: StoredBody,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum StoredBody {
    /// The bytes are in the row of bodies that the same commit wrote.
    Inline,
    /// The extents are here.
    Blobs(Vec<Extent>),
    /// The extents are in the row of bodies that the same commit wrote.
    ManyBlobs,
    Link(String),
}

impl Record for StoredObject {
    const SUBJECT: Subject = Subject::Object;
}

/// The row of a body that is too long for the object's record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BodyRow {
    Inline(Bytes),
    Blobs(Vec<Extent>),
}

impl Record for BodyRow {
    const SUBJECT: Subject = Subject::Object;
    const IS_COMPACT: bool = true;
}

impl BodyRow {
    pub(crate) fn blobs(self) -> Vec<BlobId> {
        match self {
            BodyRow::Inline(_) => Vec::new(),
            BodyRow::Blobs(extents) => extents.iter().map(|extent| extent.blob).collect(),
        }
    }
}

impl StoredObject {
    /// The record, and its row of bodies if it needs one.
    pub(crate) fn split(record: &ObjectRecord) -> Result<(Self, Option<Bytes>)> {
        let (body, row) = match &record.body {
            Body::Inline(bytes) => (StoredBody::Inline, Some(BodyRow::Inline(bytes.clone()))),
            Body::Blobs(extents) if extents.len() > MAX_EXTENTS_IN_RECORD => {
                (StoredBody::ManyBlobs, Some(BodyRow::Blobs(extents.clone())))
            }
            Body::Blobs(extents) => (StoredBody::Blobs(extents.clone()), None),
            Body::Link(target) => (StoredBody::Link(target.clone()), None),
        };
        let stored = Self {
            size: record.size,
            etag: record.etag.clone(),
            crc64: record.crc64,
            md5: record.md5,
            modified_ms: record.modified_ms,
            object_type: record.object_type,
            acl: record.acl,
            storage_class: record.storage_class,
            headers: record.headers.clone(),
            user_meta: record.user_meta.iter().map(|(n, v)| (n.clone(), Bytes::copy_from_slice(v))).collect(),
            tags: record.tags.clone(),
            role: record.role,
            body,
        };
        Ok((stored, row.as_ref().map(encode).transpose()?))
    }

    /// What the server made it for.
    pub(crate) fn role(&self) -> ObjectRole {
        self.role
    }

    pub(crate) fn has_body_row(&self) -> bool {
        matches!(self.body, StoredBody::Inline | StoredBody::ManyBlobs)
    }

    /// The extents, unless they are in the row of bodies.
    pub(crate) fn extents(&self) -> Option<&[Extent]> {
        match &self.body {
            StoredBody::Inline | StoredBody::Link(_) => Some(&[]),
            StoredBody::Blobs(extents) => Some(extents),
            StoredBody::ManyBlobs => None,
        }
    }

    fn join(self, row: Option<BodyRow>) -> Result<ObjectRecord> {
        let body = match (self.body, row) {
            (StoredBody::Inline, Some(BodyRow::Inline(bytes))) => Body::Inline(bytes),
            (StoredBody::ManyBlobs, Some(BodyRow::Blobs(extents))) | (StoredBody::Blobs(extents), None) => {
                Body::Blobs(extents)
            }
            (StoredBody::Link(target), None) => Body::Link(target),
            _ => return Err(Error::corrupt(Subject::Object, "its row of bodies is missing or of another kind")),
        };
        Ok(ObjectRecord {
            size: self.size,
            etag: self.etag,
            crc64: self.crc64,
            md5: self.md5,
            modified_ms: self.modified_ms,
            object_type: self.object_type,
            role: self.role,
            acl: self.acl,
            storage_class: self.storage_class,
            headers: self.headers,
            user_meta: self.user_meta.into_iter().map(|(n, v)| (n, v.to_vec())).collect(),
            tags: self.tags,
            body,
        })
    }
}

impl Meta {
    /// An object; `None` when there is none, or no such bucket.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn object(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Stored<ObjectRecord>>> {
        let (object_row, body_row) = (key::object(bucket, key), key::body(bucket, key));
        let Some(object) = self.popular_record::<StoredObject>(&object_row).await? else {
            return Ok(None);
        };
        let object = Stored { value: Arc::unwrap_or_clone(object.value), version: object.version };
        if !object.value.has_body_row() {
            return Ok(Some(Stored { value: object.value.join(None)?, version: object.version }));
        }
        // Both rows are always written by one commit, so equal versions mean that they belong together.
        if let Some(body) = self.kv().get(&body_row).await?
            && body.version == object.version
        {
            let row = decode(&body.value).map_err(|error| error.about(body_row.escape_ascii()))?;
            let value = object.value.join(Some(row))?;
            return Ok(Some(Stored { value, version: object.version }));
        }
        // The object was replaced between the two reads.
        let rows = self.kv().get_many(&[object_row, body_row.clone()]).await?;
        let [Some(object), body] = rows.as_slice() else { return Ok(None) };
        let object: Stored<StoredObject> = stored(object)?;
        let body = body.as_ref().filter(|_| object.value.has_body_row()).map(|row| decode(&row.value)).transpose();
        let body = body.map_err(|error| error.about(body_row.escape_ascii()))?;
        Ok(Some(Stored { value: object.value.join(body)?, version: object.version }))
    }

    /// Sets an object. Its blobs must be durable. What it replaces loses its blobs in the same commit.
    ///
    /// # Errors
    /// `NotFound` (bucket), `AlreadyExists` and `Conflict` as the guard demands.
    pub async fn put_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        record: &ObjectRecord,
        guard: PutGuard,
    ) -> Result<Version> {
        self.set_object(bucket, key, record, guard, None).await
    }

    /// The same with blobs that all belong to `source`, which keeps them: a copy that touches no byte.
    ///
    /// # Errors
    /// As [`Meta::put_object`]; `Conflict` (source) when the source was written since, so that its blobs may be gone.
    pub async fn put_object_from(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        record: &ObjectRecord,
        guard: PutGuard,
        source: &Source<'_>,
    ) -> Result<Version> {
        self.set_object(bucket, key, record, guard, Some(source)).await
    }

    async fn set_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        record: &ObjectRecord,
        guard: PutGuard,
        source: Option<&Source<'_>>,
    ) -> Result<Version> {
        let mut is_guess = self.novelty.is_likely() && !matches!(guard, PutGuard::VersionIs(_));
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            if let Some(source) = source {
                transaction.borrow(source, record.body.blobs());
            }
            let was_new = if is_guess {
                transaction.put_new_object(key, record)?;
                true
            } else {
                transaction.put_object(key, record, guard).await?
            };
            if let Some(version) = transaction.commit().await? {
                self.novelty.note(was_new);
                return Ok(version);
            }
            if is_guess {
                self.novelty.note(false);
                is_guess = false;
            }
        }
        Err(gave_up(Subject::Object, key))
    }

    /// Changes what is known of an object: its ACL, tags, headers. The new record is returned. `change` may run more
    /// than once.
    ///
    /// # Errors
    /// `NotFound` (object).
    pub async fn update_object(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        mut change: impl FnMut(&mut ObjectRecord) + Send,
    ) -> Result<ObjectRecord> {
        for _ in 0..ATTEMPTS {
            let object = self.object(bucket, key).await?;
            let Stored { mut value, version } = object.ok_or_else(|| Error::not_found(Subject::Object, key))?;
            change(&mut value);
            match self.put_object(bucket, key, &value, PutGuard::VersionIs(version)).await {
                Err(error) if error.kind == crate::ErrorKind::Conflict => {}
                done => return done.map(|_| value),
            }
        }
        Err(gave_up(Subject::Object, key))
    }

    /// Deletes an object, and its entry in the segment index if it is a segment; whether it was there.
    ///
    /// # Errors
    /// `NotFound` (bucket).
    pub async fn delete_object(&self, bucket: &BucketName, key: &ObjectKey) -> Result<bool> {
        Ok(self.delete_objects(bucket, std::slice::from_ref(key)).await? > 0)
    }

    /// Deletes several objects in one commit; how many of them were there.
    ///
    /// # Errors
    /// `NotFound` (bucket).
    pub async fn delete_objects(&self, bucket: &BucketName, keys: &[ObjectKey]) -> Result<usize> {
        let mut keys: Vec<&ObjectKey> = keys.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            let mut deleted = 0;
            for key in &keys {
                deleted += usize::from(transaction.delete_object(key, |_| true).await?);
            }
            if transaction.commit().await?.is_some() {
                return Ok(deleted);
            }
        }
        Err(gave_up(Subject::Object, bucket))
    }

    /// Deletes those objects whose bytes are still the ones that were seen, all in one commit; which they were. An
    /// object that was written since, however shortly before, stays.
    ///
    /// # Errors
    /// `NotFound` (bucket).
    pub async fn delete_unchanged(&self, bucket: &BucketName, seen: &[SeenObject]) -> Result<Vec<ObjectKey>> {
        for _ in 0..ATTEMPTS {
            let mut transaction = MetaTransaction::new(self, bucket);
            let mut deleted = Vec::new();
            for object in seen {
                let is_same = |now: &StoredObject| now.modified_ms == object.modified_ms && now.etag == object.etag;
                if transaction.delete_object(&object.key, is_same).await? {
                    deleted.push(object.key.clone());
                }
            }
            if deleted.is_empty() || transaction.commit().await?.is_some() {
                return Ok(deleted);
            }
        }
        Err(gave_up(Subject::Object, bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::fixture::{fixture, inline, key, object};

    #[tokio::test]
    async fn an_object_reads_as_it_was_put() {
        let f = fixture().await;
        let many = [f.extent(3).await, f.extent(4).await, f.extent(5).await, f.extent(6).await, f.extent(7).await];
        for body in [
            Body::Inline(Bytes::new()),
            Body::Inline(Bytes::from_static(b"\x00\xff bytes")),
            Body::Blobs(vec![f.extent(5).await]),
            Body::Blobs(many.to_vec()),
            Body::Link("b".to_owned()),
            Body::Inline(Bytes::from_static(b"again")),
        ] {
            let record = ObjectRecord { role: ObjectRole::LiveSegment, ..object(body) };
            let version = f.meta.put_object(&f.bucket, &key("a"), &record, PutGuard::Any).await.unwrap();
            let read = f.meta.object(&f.bucket, &key("a")).await.unwrap();
            assert_eq!(read, Some(Stored { value: record, version }));
        }
        assert_eq!(f.check_clean().await, 0, "blobs of replaced objects are deleted");
        assert_eq!(f.meta.object(&f.bucket, &key("b")).await.unwrap(), None);
    }

    async fn check_guard(guard: PutGuard, is_there: bool, expected: Option<ErrorKind>) {
        check_guard_after(0, guard, is_there, expected).await;
        if !matches!(guard, PutGuard::VersionIs(_)) {
            // After so many new names the next is taken for one, too.
            check_guard_after(100, guard, is_there, expected).await;
        }
    }

    async fn check_guard_after(new_names: usize, guard: PutGuard, is_there: bool, expected: Option<ErrorKind>) {
        let f = fixture().await;
        for n in 0..new_names {
            f.meta.put_object(&f.bucket, &key(&format!("new/{n}")), &inline("new"), PutGuard::Any).await.unwrap();
        }
        assert_eq!(f.meta.novelty.is_likely(), new_names > 0);
        if is_there {
            f.meta.put_object(&f.bucket, &key("a"), &inline("old"), PutGuard::Any).await.unwrap();
        }
        let put = f.meta.put_object(&f.bucket, &key("a"), &inline("new"), guard).await;
        assert_eq!(put.err().map(|error| error.kind), expected, "{guard:?}, {is_there}");
        let found = f.meta.object(&f.bucket, &key("a")).await.unwrap().map(|found| found.value);
        let is_old = expected.is_some() && is_there;
        assert_eq!(found, (expected.is_none() || is_old).then(|| inline(if is_old { "old" } else { "new" })));
        f.check_clean().await;
    }

    #[tokio::test]
    async fn guards_decide() {
        check_guard(PutGuard::Any, true, None).await;
        check_guard(PutGuard::Any, false, None).await;
        check_guard(PutGuard::Absent, false, None).await;
        check_guard(PutGuard::Absent, true, Some(ErrorKind::AlreadyExists)).await;
        check_guard(PutGuard::VersionIs(Version::of_commit(1)), false, Some(ErrorKind::Conflict)).await;
        check_guard(PutGuard::VersionIs(Version::of_commit(1)), true, Some(ErrorKind::Conflict)).await;
        check_guard(PutGuard::VersionIs(Version::of_commit(2)), true, None).await;
    }

    #[tokio::test]
    async fn an_append_keeps_the_blobs_it_has() {
        let f = fixture().await;
        let mut extents = Vec::new();
        let mut guard = PutGuard::Absent;
        for _ in 0..12 {
            extents.push(f.extent(2).await);
            let grown = object(Body::Blobs(extents.clone()));
            guard = PutGuard::VersionIs(f.meta.put_object(&f.bucket, &key("log"), &grown, guard).await.unwrap());
        }
        assert_eq!(f.check_clean().await, 12);
        let read = f.meta.object(&f.bucket, &key("log")).await.unwrap().unwrap();
        assert_eq!(read.value.body, Body::Blobs(extents));
        f.meta.delete_object(&f.bucket, &key("log")).await.unwrap();
        assert_eq!(f.check_clean().await, 0);
    }

    #[tokio::test]
    async fn what_was_written_since_is_not_deleted() {
        let f = fixture().await;
        let seen = |name: &str, body: &'static str| {
            let record = inline(body);
            SeenObject { key: key(name), modified_ms: record.modified_ms, etag: record.etag }
        };
        let newer = ObjectRecord { modified_ms: inline("y").modified_ms + 1, ..inline("y") };
        for (name, record) in [("a", inline("x")), ("b", newer), ("c", inline("x"))] {
            f.meta.put_object(&f.bucket, &key(name), &record, PutGuard::Any).await.unwrap();
        }
        let all = [seen("a", "x"), seen("b", "y"), seen("c", "x"), seen("d", "x")];
        let deleted = f.meta.delete_unchanged(&f.bucket, &all).await.unwrap();
        assert_eq!(deleted, [key("a"), key("c")]);
        assert!(f.meta.object(&f.bucket, &key("b")).await.unwrap().is_some());
        assert_eq!(f.meta.delete_unchanged(&f.bucket, &all).await.unwrap(), []);
        f.check_clean().await;
    }

    #[tokio::test]
    async fn metadata_changes_alone() {
        let f = fixture().await;
        f.meta.put_object(&f.bucket, &key("a"), &inline("body"), PutGuard::Any).await.unwrap();
        let changed = f.meta.update_object(&f.bucket, &key("a"), |o| o.acl = ObjectAcl::PublicRead).await.unwrap();
        assert_eq!(changed.acl, ObjectAcl::PublicRead);
        let read = f.meta.object(&f.bucket, &key("a")).await.unwrap().unwrap();
        assert_eq!((read.value.acl, read.value.body), (ObjectAcl::PublicRead, inline("body").body));
        let absent = f.meta.update_object(&f.bucket, &key("b"), |_| ()).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Object));
        f.check_clean().await;
    }

    #[tokio::test]
    async fn deleting_counts_what_was_there() {
        let f = fixture().await;
        for name in ["a", "b", "c"] {
            let record = object(Body::Blobs(vec![f.extent(9).await]));
            f.meta.put_object(&f.bucket, &key(name), &record, PutGuard::Any).await.unwrap();
        }
        let keys = ["a", "c", "a", "nothing"].map(key);
        assert_eq!(f.meta.delete_objects(&f.bucket, &keys).await, Ok(2));
        assert_eq!(f.meta.delete_object(&f.bucket, &key("a")).await, Ok(false));
        assert_eq!(f.meta.delete_object(&f.bucket, &key("b")).await, Ok(true));
        assert_eq!(f.check_clean().await, 0);
        let elsewhere = BucketName::parse("elsewhere").unwrap();
        let absent = f.meta.delete_object(&elsewhere, &key("a")).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Bucket));
        let absent = f.meta.put_object(&elsewhere, &key("a"), &inline("x"), PutGuard::Any).await.unwrap_err();
        assert_eq!((absent.kind, absent.subject), (ErrorKind::NotFound, Subject::Bucket));
    }

    #[test]
    fn a_record_of_today_is_read_tomorrow() {
        // Stored objects look like this. A change of the record that cannot read it needs a new version.
        let golden = concat!(
            "018ca473697a65cd012ca465746167d9203030303030303030303030303030303030303030303030303030303030313243a5",
            "6372633634cfffffffffffffffffa36d6435dc001007070707070707070707070707070707ab6d6f6469666965645f6d73cf",
            "0000018bcfe56800ab6f626a6563745f74797065a64e6f726d616ca361636ca744656661756c74ad73746f726167655f636c",
            "617373a85374616e64617264a76865616465727386ac636f6e74656e745f747970659a746578742f706c61696ead63616368",
            "655f636f6e74726f6cc0b3636f6e74656e745f646973706f736974696f6ec0b0636f6e74656e745f656e636f64696e67c0b0",
            "636f6e74656e745f6c616e6775616765c0a765787069726573c0a9757365725f6d6574619192a161c402ff00a47461677390",
            "a4626f647981a5426c6f62739183a4626c6f62c41011111111111111111111111111111111a66f666673657401a36c656ecd",
            "012c",
        );
        let bytes: Vec<u8> =
            (0..golden.len() / 2).map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap()).collect();
        let blob = BlobId::from_bytes([0x11; 16]);
        let record = object(Body::Blobs(vec![Extent { blob, offset: 1, len: 300 }]));
        let written = encode(&StoredObject::split(&record).unwrap().0).unwrap();
        // Since 0.2 a checksum stands behind the version; everything else is as it was.
        assert_eq!((written[0], &written[5..]), (0x81, &bytes[1..]));
        assert_eq!(decode::<StoredObject>(&written).unwrap().join(None), Ok(record.clone()));
        assert_eq!(decode::<StoredObject>(&bytes).unwrap().join(None), Ok(record));
    }
}
