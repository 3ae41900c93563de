//! PostVodPlaylist and GetVodPlaylist (LiveChannel 5): a playlist over segments that exist.

use media::hls::{VodSegment, vod_playlist};
use model::Error;
use model::name::{BucketName, ChannelName};
use model::{ContentHeaders, ETag, ObjectAcl, ObjectType, StorageClass};
use oss::request::{PlaylistTarget, VodParameters, no_segments_found, parse_channel};
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard};

use super::{Answer, Call, caching, internal};
use crate::live::checksums;
use crate::state::State;

/// The most segments of a playlist: a day of segments of half a second.
const MAX_SEGMENTS: usize = 172_800;
/// The type of every playlist (LiveChannel 4.4).
pub(crate) const PLAYLIST_TYPE: &str = "application/x-mpegURL";

/// PostVodPlaylist: stores the playlist as an object.
pub(super) async fn post(call: &Call<'_>) -> Result<Answer, Error> {
    let target = PlaylistTarget::parse(call.route(), call.state.config.live.channel_name_max_bytes)?;
    let span = VodParameters::parse(call.query())?;
    let bucket = call.bucket()?.name.clone();
    let text = playlist(call, &bucket, &target.channel, span).await?;
    let record = playlist_record(text.into_bytes(), ObjectRole::VodPlaylist, call.now_ms);
    let etag = record.etag.clone();
    call.state.meta.put_object(&bucket, &target.key, &record, PutGuard::Any).await.map_err(internal)?;
    Ok(Answer::empty(200).header("etag", etag.quoted()))
}

/// GetVodPlaylist: answers with the playlist.
pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Error> {
    let channel = parse_channel(call.route(), call.state.config.live.channel_name_max_bytes)?;
    let span = VodParameters::parse(call.query())?;
    let bucket = call.bucket()?.name.clone();
    let text = playlist(call, &bucket, &channel, span).await?.into_bytes();
    let etag: ETag = checksums(&text).etag;
    let answer = Answer::bytes(PLAYLIST_TYPE, text).header("etag", etag.quoted());
    // A span that is not over grows.
    let is_over = i64::try_from(span.end_s).is_ok_and(|end_s| end_s < call.now_ms.div_euclid(1000));
    let longest_s = if is_over { call.state.config.cache.vod_playlist_max_age_s } else { 0 };
    Ok(caching::announce_made(call, longest_s, answer))
}

async fn playlist(
    call: &Call<'_>,
    bucket: &BucketName,
    channel: &ChannelName,
    span: VodParameters,
) -> Result<String, Error> {
    let (from_ms, to_ms) = (span.start_s.saturating_mul(1000), span.end_s.saturating_mul(1000).saturating_add(999));
    vod_text(call.state, bucket, channel, from_ms, to_ms).await
}

/// The playlist of what was recorded between two moments, unix ms.
///
/// # Errors
/// `InvalidArgument` (0044-00000308) when nothing was.
pub(crate) async fn vod_text(
    state: &State,
    bucket: &BucketName,
    channel: &ChannelName,
    from_ms: u64,
    to_ms: u64,
) -> Result<String, Error> {
    let entries = state.meta.segments(bucket, channel, from_ms, to_ms, MAX_SEGMENTS).await.map_err(internal)?;
    if entries.is_empty() {
        return Err(no_segments_found());
    }
    // A player that cannot load a segment stops there, so what is damaged is left out like what could not be recorded.
    let mut is_after_gap = false;
    let segments: Vec<_> = entries
        .into_iter()
        .map(|entry| (std::mem::replace(&mut is_after_gap, entry.is_damaged), entry))
        .filter(|(_, entry)| !entry.is_damaged)
        .map(|(is_after_gap, entry)| VodSegment {
            uri: format!("{}.ts", entry.number_ms),
            duration_ms: u64::from(entry.duration_ms),
            session: u64::from(entry.session),
            discontinuity: entry.is_discontinuous || is_after_gap,
            start_ms: i64::try_from(entry.number_ms).unwrap_or(i64::MAX),
        })
        .collect();
    if segments.is_empty() {
        return Err(no_segments_found());
    }
    Ok(vod_playlist(&segments, state.config.live.vod_program_date_time))
}

/// A playlist as an object: small enough to be kept beside its metadata.
pub(crate) fn playlist_record(text: Vec<u8>, role: ObjectRole, now_ms: i64) -> ObjectRecord {
    let sums = checksums(&text);
    ObjectRecord {
        size: sums.len,
        etag: sums.etag,
        crc64: sums.crc64,
        md5: sums.md5,
        modified_ms: now_ms,
        object_type: ObjectType::Normal,
        role,
        acl: ObjectAcl::Default,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders { content_type: Some(PLAYLIST_TYPE.into()), ..ContentHeaders::default() },
        user_meta: Vec::new(),
        tags: Vec::new(),
        body: Body::Inline(text.into()),
    }
}
