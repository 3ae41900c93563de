//! A picture of a push, as an object of the bucket that its channel names (LiveChannel 6.2).

use bytes::Bytes;
use model::access::policy::ConditionValues;
use model::access::{AccessRequest, Caller, authorize, tag_pairs};
use model::name::{AccessKeyId, BucketName, ChannelName, ObjectKey};
use model::{ContentHeaders, Error, ObjectAcl, ObjectType, OperationKind, OwnerId, Resource, StorageClass};
use store::meta::{ObjectRecord, ObjectRole, PutGuard};
use usage::{Counters, Meter};

use super::intake::{Intake, Keep};
use super::{Bucket, Judged, ObjectGrant, Objects, internal, no_such_bucket};

/// How much is given to the store at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The right to store one picture of a push: its channel names the bucket, and the owner of the channel may write there, as
/// buckets, owners and policies are now. All of them may have changed since the channel was configured.
pub(crate) struct PictureGrant {
    owner: OwnerId,
    storage_class: StorageClass,
    grant: ObjectGrant,
}

/// Why there is no right to store a picture.
#[derive(Debug)]
pub(crate) enum NoPicture {
    /// The bucket of the pictures belongs to another account than that of the channel.
    OtherOwner,
    /// It is in another region.
    OtherRegion,
    /// A bucket is missing, or its policy refuses.
    Refused(Error),
}

impl From<Error> for NoPicture {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl PictureGrant {
    /// The account whose picture it is.
    pub(crate) fn owner(&self) -> &OwnerId {
        &self.owner
    }

    /// The name of the picture: below that of its channel.
    pub(crate) fn key(&self) -> &ObjectKey {
        self.grant.key()
    }
}

impl Objects {
    /// The right to store the picture of `channel`, a channel of `bucket`, that was taken at `taken_ms` (unix ms) into
    /// `dest`, in the name of the account whose key is `root`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn picture_grant(
        &self,
        (bucket, channel): (&BucketName, &ChannelName),
        dest: &BucketName,
        taken_ms: i64,
        root: AccessKeyId,
    ) -> Result<PictureGrant, NoPicture> {
        let (source, dest) = (self.existing(bucket).await?, self.existing(dest).await?);
        let owner = source.record.owner.clone();
        if dest.record.owner != owner {
            return Err(NoPicture::OtherOwner);
        }
        if self.region_of(&dest.record) != self.region_of(&source.record) {
            return Err(NoPicture::OtherRegion);
        }
        let key = ObjectKey::parse(format!("{channel}/{taken_ms}.jpg").as_bytes())?;
        let access = self.access(&dest.name, &dest.record)?;
        let grant = authorize(&AccessRequest {
            caller: &Caller::Root { owner: owner.clone(), access_key: root },
            operation: OperationKind::PutObject,
            resource: &Resource::Object(dest.name.clone(), key),
            bucket: Some(&access),
            object_acl: None,
            names_version: false,
            is_get: false,
            url_signed: false,
            referer: None,
            conditions: &ConditionValues {
                now_s: self.now_ms().div_euclid(1000),
                // It never leaves the process.
                secure: true,
                bucket_tags: tag_pairs(&dest.record.tags),
                ..ConditionValues::default()
            },
        })?;
        let grant = ObjectGrant::new(grant, Judged::Unread)?.counting_for(
            bucket,
            channel.as_str(),
            Counters::of(Meter::Snapshots, 1),
        );
        Ok(PictureGrant { owner, storage_class: dest.record.storage_class, grant })
    }

    async fn existing(&self, name: &BucketName) -> Result<Bucket, Error> {
        self.bucket(name).await?.ok_or_else(|| no_such_bucket(name))
    }

    /// Stores a picture of a push: one commit names it and is where the trigger of the snapshot counts as usage of the
    /// channel (LiveChannel 7.3).
    ///
    /// # Errors
    /// `NoSuchBucket`, and those of the store.
    pub(crate) async fn write_picture(
        &self,
        grant: &PictureGrant,
        bytes: &Bytes,
        content_type: &'static str,
    ) -> Result<(), Error> {
        let PictureGrant { storage_class, grant, .. } = grant;
        let record = self.take_in(bytes, content_type, *storage_class).await?;
        match self.write(grant, &record, PutGuard::Any, &[]).await {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::ErrorCode;
    use store::blob::{BlobIds, MemoryBlobs};
    use store::clock::{Clock as StoreClock, Randomness};
    use store::kv::MemoryKv;
    use store::meta::{BucketRecord, Meta};

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::connections::{Caps, Connections};
    use crate::descriptors::Shares;
    use crate::files::Files;
    use crate::memory::Memory;
    use crate::objects::Settings;

    const NOW_MS: i64 = 1_704_164_645_000;

    fn bucket(name: &str) -> BucketName {
        BucketName::parse(name).unwrap()
    }

    async fn objects(buckets: &[(&str, &str, &str)], policy: Option<&str>) -> Objects {
        let clock = StoreClock::new(|| NOW_MS);
        let meta = Meta::new(Arc::new(MemoryKv::new(clock.clone())), clock.clone());
        for (name, owner, region) in buckets {
            let name = bucket(name);
            let mut record = BucketRecord::new(&name, OwnerId((*owner).into()), 0);
            record.region = Some((*region).into());
            record.policy_json = policy.map(str::to_owned);
            meta.create_bucket(&name, &record, 10).await.unwrap();
        }
        let blobs = Arc::new(MemoryBlobs::new(BlobIds::new(clock.clone(), Randomness::seeded(1)), clock));
        let shares = Shares::new(1024, 0, 1, None).unwrap();
        let connections = Connections::new(Caps::new(&shares, None));
        let files = Arc::new(Files::new(blobs.clone(), &shares, connections));
        let config = Config::default();
        let memory = Arc::new(Memory::new(&config));
        Objects::new(meta, files, blobs, memory, Clock::system(), Settings::of(&config))
    }

    async fn grant(objects: &Objects) -> Result<PictureGrant, NoPicture> {
        let channel = ChannelName::parse(b"ch").unwrap();
        let root = AccessKeyId::parse("root").unwrap();
        objects.picture_grant((&bucket("live"), &channel), &bucket("pics"), 17, root).await
    }

    #[tokio::test]
    async fn a_picture_goes_where_the_owner_of_its_channel_may_write_now() {
        let both = [("live", "1", "here"), ("pics", "1", "here")];
        let found = objects(&both, None).await;
        let right = grant(&found).await.unwrap();
        assert_eq!((right.key().as_str(), &right.owner().0[..]), ("ch/17.jpg", "1"));
        found.write_picture(&right, &Bytes::from_static(b"jpeg"), "image/jpeg").await.unwrap();
        assert_eq!(found.meta.object(&bucket("pics"), right.key()).await.unwrap().unwrap().value.size, 4);

        let other_owner = objects(&[both[0], ("pics", "2", "here")], None).await;
        assert!(matches!(grant(&other_owner).await, Err(NoPicture::OtherOwner)));
        let other_region = objects(&[both[0], ("pics", "1", "there")], None).await;
        assert!(matches!(grant(&other_region).await, Err(NoPicture::OtherRegion)));
        let missing = objects(&both[..1], None).await;
        assert!(
            matches!(grant(&missing).await, Err(NoPicture::Refused(error)) if error.code == ErrorCode::NoSuchBucket)
        );
        let policy = r#"{"Version":"1","Statement":[{"Effect":"Deny","Action":["oss:PutObject"],"Principal":["1"],
            "Resource":["acs:oss:*:*:pics/ch/*"]}]}"#;
        let denied = objects(&both, Some(policy)).await;
        assert!(
            matches!(grant(&denied).await, Err(NoPicture::Refused(error)) if error.code == ErrorCode::AccessDenied)
        );
    }
}
