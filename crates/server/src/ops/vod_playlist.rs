//! PostVodPlaylist and GetVodPlaylist (LiveChannel 5): a playlist over segments that exist.

use model::name::{ChannelName, ObjectKey};
use model::{ETag, Error};
use store::meta::{ObjectRole, PutGuard};
use usage::{Counters, Meter};

use super::caching::{self, Keeping};
use super::{Call, internal};
use crate::checksums::checksums;
use crate::objects::{Judged, ObjectGrant, playlist_record};

/// What was recorded between two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The channel.
    pub(crate) channel: ChannelName,
    /// The first second, unix time.
    pub(crate) from_s: u64,
    /// The last second, unix time.
    pub(crate) to_s: u64,
}

/// A playlist that was made for its reader.
pub(crate) struct MadePlaylist {
    /// The playlist.
    pub(crate) text: Vec<u8>,
    /// The tag of its content.
    pub(crate) etag: ETag,
    /// Who may keep it, and for how long; `None` when nothing is to be said about that.
    pub(crate) keeping: Option<Keeping>,
}

/// PostVodPlaylist: stores the playlist of what was recorded as the object `key`, which lies below the channel. Gives
/// the tag of the object.
///
/// # Errors
/// `InvalidArgument` (0044-00000308) when nothing was recorded, and those of the store.
pub(crate) async fn post(call: &Call<'_>, recorded: &Recorded, key: ObjectKey) -> Result<ETag, Error> {
    let text = playlist(call, recorded).await?;
    let record = playlist_record(text.into_bytes(), ObjectRole::VodPlaylist, call.now_ms);
    let target = ObjectGrant::new(call.granted.grant.put_below_channel(key)?, Judged::Unread)?;
    let target = target.counting(recorded.channel.as_str(), Counters::of(Meter::VodPlaylists, 1));
    call.objects().write(&target, &record, PutGuard::Any, &[]).await.map_err(internal)?;
    Ok(record.etag)
}

/// GetVodPlaylist: the playlist of what was recorded.
///
/// # Errors
/// `InvalidArgument` (0044-00000308) when nothing was recorded, and those of the store.
pub(crate) async fn get(call: &Call<'_>, recorded: &Recorded) -> Result<MadePlaylist, Error> {
    let text = playlist(call, recorded).await?.into_bytes();
    // A span that is not over grows.
    let is_over = i64::try_from(recorded.to_s).is_ok_and(|to_s| to_s < call.now_ms.div_euclid(1000));
    let longest_s = if is_over { call.services.cache.vod_playlist_max_age_s } else { 0 };
    Ok(MadePlaylist { etag: checksums(&text).etag, text, keeping: caching::of_made(call, longest_s) })
}

async fn playlist(call: &Call<'_>, recorded: &Recorded) -> Result<String, Error> {
    let (from_ms, to_ms) =
        (recorded.from_s.saturating_mul(1000), recorded.to_s.saturating_mul(1000).saturating_add(999));
    call.live().recorded(&call.bucket()?.name, &recorded.channel, from_ms, to_ms).await
}
