//! The playlist over segments that were recorded (LiveChannel 5).

use media::hls::{MediaPlaylist, VodSegment, vod_list};
use model::name::{BucketName, ChannelName};
use model::{Error, ErrorCode};
use store::meta::Meta;

use crate::config::Authoring;
use crate::objects::internal;

/// The most segments of a playlist: a day of segments of half a second.
const MAX_SEGMENTS: usize = 172_800;

/// The playlist of what was recorded between two moments, unix ms. `program_date_time` says whether it tells the time
/// of day at which its segments began, `authoring` whose rules it keeps beyond the standard.
///
/// # Errors
/// `InvalidArgument` (0044-00000308) when nothing was, and those of the store.
pub(crate) async fn vod_text(
    meta: &Meta,
    bucket: &BucketName,
    channel: &ChannelName,
    from_ms: u64,
    to_ms: u64,
    program_date_time: bool,
    authoring: Authoring,
) -> Result<String, Error> {
    let entries = meta.segments_begun(bucket, channel, from_ms, to_ms, MAX_SEGMENTS).await.map_err(internal)?;
    if entries.is_empty() {
        return Err(no_segments_found());
    }
    // A player that cannot load a segment stops there, so what is damaged is left out like what could not be recorded.
    let mut is_after_gap = false;
    let independent = entries.iter().all(|entry| entry.is_independent || entry.is_damaged);
    let segments: Vec<_> = entries
        .into_iter()
        .map(|entry| (std::mem::replace(&mut is_after_gap, entry.is_damaged), entry))
        .filter(|(_, entry)| !entry.is_damaged)
        .map(|(is_after_gap, entry)| VodSegment {
            uri: entry.file_name(),
            duration_ms: u64::from(entry.duration_ms),
            session: u64::from(entry.session),
            discontinuity: entry.is_discontinuous || is_after_gap,
            start_ms: i64::try_from(entry.opened_ms).unwrap_or(i64::MAX),
        })
        .collect();
    if segments.is_empty() {
        return Err(no_segments_found());
    }
    let list = vod_list(&segments, program_date_time);
    Ok(match authoring {
        Authoring::Oss => list.render(),
        Authoring::Apple => MediaPlaylist { is_vod: true, independent_segments: independent, ..list }.render(),
    })
}

/// The refusal of a span without segments (LiveChannel 5.1).
fn no_segments_found() -> Error {
    Error::new(ErrorCode::InvalidArgument).message("No ts file found in specified time span.").ec("0044-00000308")
}
