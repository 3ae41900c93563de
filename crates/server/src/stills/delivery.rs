//! From an image to an object of the bucket that a channel names for it (LiveChannel 6.2).

use model::name::{BucketName, ObjectKey};
use model::{OwnerId, SnapshotConfig};
use pictures::Image;

use super::progress::Refused;
use super::{ChannelId, Stills};

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

/// Stores a picture, if the owner of the channel may.
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
    let grant = objects.picture_grant((&channel.0, &channel.1), &dest, taken_ms, stills.root.clone()).await?;
    objects.write_picture(&grant, &image.bytes, image.format.media_type()).await.map_err(refused)?;
    crate::metering::count_snapshot(&channel.0, stills.clock.now_ms());
    Ok(Taken {
        channel: channel.clone(),
        owner: grant.owner().clone(),
        key: grant.key().clone(),
        taken_ms,
        width: image.width,
        height: image.height,
    })
}
