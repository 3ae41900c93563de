//! A picture of a push, as an object of the bucket that its channel names (LiveChannel 6.2).

use bytes::Bytes;
use model::name::{BucketName, ChannelName};
use model::{ContentHeaders, Error, ObjectAcl, ObjectType, StorageClass};
use store::meta::{ObjectRecord, ObjectRole, PutGuard};
use usage::{Counters, Meter};

use super::intake::{Intake, Keep};
use super::{ObjectGrant, Objects, internal, no_such_bucket};

/// How much is given to the store at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A picture of a push.
pub(crate) struct PictureOfPush<'a> {
    /// The bucket of its channel, not the one where it goes.
    pub(crate) bucket: &'a BucketName,
    /// Its channel.
    pub(crate) channel: &'a ChannelName,
    /// The file.
    pub(crate) bytes: Bytes,
    /// Its type.
    pub(crate) content_type: &'static str,
    /// How it is kept.
    pub(crate) storage_class: StorageClass,
}

impl Objects {
    /// Stores a picture of a push: one commit names it and is where the trigger of the snapshot counts as usage of
    /// `picture.bucket` and `picture.channel` (LiveChannel 7.3).
    ///
    /// # Errors
    /// `NoSuchBucket`, and those of the store.
    pub(crate) async fn write_picture(&self, grant: &ObjectGrant, picture: PictureOfPush<'_>) -> Result<(), Error> {
        let record = self.take_in(&picture.bytes, picture.content_type, picture.storage_class).await?;
        let grant =
            grant.clone().counting_for(picture.bucket, picture.channel.as_str(), Counters::of(Meter::Snapshots, 1));
        match self.write(&grant, &record, PutGuard::Any, &[]).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(no_such_bucket(grant.bucket())),
            Err(error) => Err(internal(error)),
        }
    }

    /// Stores bytes that the server made itself; the object that they are to be has no name yet.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn take_in(
        &self,
        bytes: &Bytes,
        content_type: &str,
        storage_class: StorageClass,
    ) -> Result<ObjectRecord, Error> {
        let mut intake = Intake::new(self, Keep::Anywhere);
        for piece in bytes.chunks(PIECE_BYTES) {
            intake.push(piece).await?;
        }
        let received = intake.finish(|_| Ok(())).await?;
        Ok(ObjectRecord {
            size: received.sums.len,
            etag: received.sums.etag,
            crc64: received.sums.crc64,
            md5: received.sums.md5,
            modified_ms: self.now_ms(),
            object_type: ObjectType::Normal,
            role: ObjectRole::Ordinary,
            acl: ObjectAcl::Default,
            storage_class,
            headers: ContentHeaders { content_type: Some(content_type.into()), ..ContentHeaders::default() },
            user_meta: Vec::new(),
            tags: Vec::new(),
            body: received.body,
        })
    }
}
