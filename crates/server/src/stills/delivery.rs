//! From an image to an object of the bucket that a channel names for it (LiveChannel 6.2).

use model::access::policy::ConditionValues;
use model::access::{AccessRequest, Caller, authorize, tag_pairs};
use model::name::{BucketName, ObjectKey};
use model::{OperationKind, OwnerId, Resource, SnapshotConfig};
use pictures::Image;

use super::progress::Refused;
use super::{ChannelId, Stills};
use crate::objects::{Judged, ObjectGrant, PictureOfPush, no_such_bucket};

/// A picture that was stored.
pub(super) struct Taken {
    /// Whose it is.
    pub(super) channel: ChannelId,
    /// The account.
    pub(super) owner: OwnerId,
    /// Its name.
    pub(super) key: ObjectKey,
    /// When the key frame arrived, unix ms.
    pub(super) taken_ms: i64,
    /// Pixels.
    pub(super) width: u32,
    /// Pixels.
    pub(super) height: u32,
}

/// Stores a picture, if the owner of the channel may, as it is now: the bucket, its owner and its policy may have changed
/// since the channel was configured.
///
/// # Errors
/// Why there is none.
pub(super) async fn store(
    stills: &Stills,
    channel: &ChannelId,
    config: &SnapshotConfig,
    image: Image,
    taken_ms: i64,
) -> Result<Taken, Refused> {
    let objects = &stills.objects;
    let refused = |error: model::Error| Refused::by_bucket(&error);
    let dest = BucketName::parse(&config.dest_bucket).map_err(refused)?;
    let find = async |name: &BucketName| {
        objects.bucket(name).await.map_err(refused)?.ok_or_else(|| refused(no_such_bucket(name)))
    };
    let (source, dest) = (find(&channel.0).await?, find(&dest).await?);
    let owner = source.record.owner.clone();
    if dest.record.owner != owner {
        return Err(Refused::other_bucket("the bucket of the pictures has a different owner"));
    }
    if objects.region_of(&dest.record) != objects.region_of(&source.record) {
        return Err(Refused::other_bucket("the bucket of the pictures is in a different region"));
    }
    let key = ObjectKey::parse(format!("{}/{taken_ms}.jpg", channel.1).as_bytes()).map_err(refused)?;
    let access = objects.access(&dest.name, &dest.record).map_err(refused)?;
    let grant = authorize(&AccessRequest {
        caller: &Caller::Root { owner: owner.clone(), access_key: stills.root.clone() },
        operation: OperationKind::PutObject,
        resource: &Resource::Object(dest.name.clone(), key.clone()),
        bucket: Some(&access),
        object_acl: None,
        names_version: false,
        is_get: false,
        url_signed: false,
        referer: None,
        conditions: &ConditionValues {
            now_s: stills.clock.now_ms().div_euclid(1000),
            // It never leaves the process.
            secure: true,
            bucket_tags: tag_pairs(&dest.record.tags),
            ..ConditionValues::default()
        },
    })
    .map_err(refused)?;
    let grant = ObjectGrant::new(grant, Judged::Unread).map_err(refused)?;
    let (width, height) = (image.width, image.height);
    let picture = PictureOfPush {
        bucket: &channel.0,
        channel: &channel.1,
        bytes: image.bytes,
        content_type: image.format.media_type(),
        storage_class: dest.record.storage_class,
    };
    objects.write_picture(&grant, picture).await.map_err(refused)?;
    crate::metering::count_snapshot(&channel.0, stills.clock.now_ms());
    Ok(Taken { channel: channel.clone(), owner, key, taken_ms, width, height })
}
