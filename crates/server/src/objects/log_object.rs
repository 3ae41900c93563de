//! An object that the server itself writes, piece by piece: an access log (HTTP API 8.15).

use bytes::Bytes;
use model::Error;
use model::{ContentHeaders, ObjectAcl, ObjectType, StorageClass};
use store::blob::BlobId;
use store::kv::Version;
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard};

use super::intake::{Intake, Keep};
use super::lengthen::lengthened;
use super::{LogGrant, Objects, internal};
use crate::checksums::{BodyDigest, checksums};

/// The type of log objects.
const LOG_TYPE: &[u8] = b"text/plain";
/// How much is given to the store at once.
const PIECE_BYTES: usize = 256 * 1024;

/// An ordinary object that grows. Each growth is one commit; its tag is the MD5 of all of it.
pub(crate) struct LogObject {
    grant: LogGrant,
    record: ObjectRecord,
    sums: BodyDigest,
    /// The commit that wrote it last; `None` before the first.
    version: Option<Version>,
}

/// How a log object did not grow.
pub(crate) enum NotWritten {
    /// Somebody else wrote or deleted the object, or took its name: another object has to begin.
    Replaced,
    /// The bucket is gone.
    NoBucket,
    /// The store does not take it now.
    Failed(Error),
}

impl LogObject {
    /// An object to be, which is not there before its first bytes.
    pub(crate) fn new(grant: LogGrant, storage_class: StorageClass) -> Self {
        let empty = checksums(b"");
        let record = ObjectRecord {
            size: 0,
            etag: empty.etag,
            crc64: empty.crc64,
            md5: empty.md5,
            modified_ms: 0,
            object_type: ObjectType::Normal,
            role: ObjectRole::Ordinary,
            acl: ObjectAcl::Default,
            storage_class,
            headers: ContentHeaders { content_type: Some(LOG_TYPE.to_vec()), ..ContentHeaders::default() },
            user_meta: Vec::new(),
            tags: Vec::new(),
            body: Body::Inline(Bytes::new()),
        };
        Self { grant, record, sums: BodyDigest::with_md5(), version: None }
    }

    /// Adds bytes to the end; all of them or none.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn append(&mut self, objects: &Objects, text: &str) -> Result<(), NotWritten> {
        let mut sums = self.sums.clone();
        sums.update(text.as_bytes());
        let total = sums.clone().finish();
        let record = ObjectRecord {
            size: total.len,
            etag: total.etag,
            crc64: total.crc64,
            md5: total.md5,
            modified_ms: objects.now_ms(),
            body: extended(objects, self.record.body.clone(), text).await.map_err(NotWritten::Failed)?,
            ..self.record.clone()
        };
        let guard = self.version.map_or(PutGuard::Absent, PutGuard::VersionIs);
        match objects.meta.put_object(self.grant.bucket(), self.grant.key(), &record, guard).await {
            Ok(version) => {
                (self.record, self.sums, self.version) = (record, sums, Some(version));
                Ok(())
            }
            Err(error) => {
                let old: Vec<BlobId> = self.record.body.blobs().collect();
                objects.discard(record.body.blobs().filter(|blob| !old.contains(blob)), &error).await;
                Err(match error.kind {
                    store::ErrorKind::Conflict | store::ErrorKind::AlreadyExists => NotWritten::Replaced,
                    store::ErrorKind::NotFound => NotWritten::NoBucket,
                    _ => NotWritten::Failed(internal(error)),
                })
            }
        }
    }
}

async fn extended(objects: &Objects, old: Body, text: &str) -> Result<Body, Error> {
    let mut intake = Intake::new(objects, Keep::Anywhere);
    for piece in text.as_bytes().chunks(PIECE_BYTES) {
        intake.push(piece).await?;
    }
    lengthened(objects, old, intake.finish(|_| Ok(())).await?).await
}
