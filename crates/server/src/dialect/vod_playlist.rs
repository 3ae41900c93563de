//! PostVodPlaylist and GetVodPlaylist on the wire (LiveChannel 5).

use model::Error;
use oss::request::{PlaylistTarget, VodParameters};

use super::Answer;
use super::live_channel::channel_name;
use super::{Asked, caching, playlist};
use crate::ops::Call;
use crate::ops::vod_playlist::{self, Recorded};

/// PostVodPlaylist: stores the playlist as an object.
pub(super) async fn post(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let target = PlaylistTarget::parse(asked.route, asked.config.live.channel_name_max_bytes)?;
    let span = VodParameters::parse(asked.query())?;
    let recorded = Recorded { channel: target.channel, from_s: span.start_s, to_s: span.end_s };
    let etag = vod_playlist::post(call, &recorded, target.key).await?;
    Ok(Answer::empty(200).header("etag", etag.quoted()))
}

/// GetVodPlaylist: answers with the playlist.
pub(super) async fn get(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let channel = channel_name(asked)?;
    let span = VodParameters::parse(asked.query())?;
    let recorded = Recorded { channel, from_s: span.start_s, to_s: span.end_s };
    let made = vod_playlist::get(call, &recorded).await?;
    let answer = Answer::bytes(playlist::content_type(asked), Vec::new());
    let (answer, etag) = playlist::made(asked, answer, made.text.into(), &made.etag);
    Ok(caching::announce(answer.header("etag", etag.quoted()), made.keeping))
}
