//! The LiveChannel operations on the wire (LiveChannel 1.1 to 1.7).

use model::name::{BucketName, ChannelName};
use model::{Error, LiveChannelConfig};
use oss::request::{
    ChannelUrlRules, ChannelUrls, ListLiveChannelParameters, check_comp, parse_channel, parse_channel_status,
};
use oss::xml::live_channel::{
    AudioStat, ConfigurationRules, ListLiveChannelResult, ListedChannel, LiveChannelStat, LiveRecord,
    SentConfiguration, SnapshotStat, VideoStat, render_configuration, render_create_result, render_history,
};

use super::Answer;
use super::Asked;
use crate::objects::BodySource;
use crate::ops::Call;
use crate::ops::live_channel::{self, ListChannels, NewChannel, Stat};

/// PutLiveChannel (LiveChannel 1.1).
pub(super) async fn put(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let name = channel_name(asked)?;
    let text = asked.xml(body).await?;
    let live = &asked.config.live;
    let rules =
        ConfigurationRules { snapshot_supported: live.accept_snapshots, fill_in_fragments: live.fill_in_fragments };
    let sent = SentConfiguration::parse(&text, rules)?;
    let new = NewChannel { name: name.clone(), snapshot: sent.snapshot().cloned(), config: sent.finish() };
    let config = live_channel::put(call, new).await?;
    Ok(Answer::xml(render_create_result(&urls(asked, asked.bucket()?, &name, &config))))
}

/// PutLiveChannelStatus (LiveChannel 1.2).
pub(super) async fn put_status(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(asked)?;
    let status = parse_channel_status(asked.query())?;
    live_channel::put_status(call, name, status).await?;
    Ok(Answer::empty(200))
}

/// GetLiveChannelInfo (LiveChannel 1.3).
pub(super) async fn info(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(asked)?;
    check_comp(asked.query())?;
    Ok(Answer::xml(render_configuration(&live_channel::info(call, &name).await?)))
}

/// GetLiveChannelStat (LiveChannel 1.4, 2).
pub(super) async fn stat(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let shown = match live_channel::stat(call, channel_name(asked)?).await? {
        Stat::Disabled => LiveChannelStat::Disabled,
        Stat::Idle => LiveChannelStat::Idle,
        Stat::Live { connected_ms, remote, measured, snapshots } => {
            let facts = measured.facts;
            LiveChannelStat::Live {
                connected_ms,
                remote: remote.to_string(),
                video: measured.video.map(|bandwidth| VideoStat {
                    width: facts.width,
                    height: facts.height,
                    frame_rate: facts.frame_rate,
                    bandwidth,
                    codec: facts.video_codec,
                }),
                audio: measured.audio.map(|bandwidth| AudioStat {
                    bandwidth,
                    sample_rate: facts.sample_rate,
                    codec: facts.audio_codec,
                }),
                snapshots: snapshots.map(|shown| SnapshotStat {
                    taken: shown.taken,
                    missing: shown.missing,
                    fault: shown.fault,
                }),
            }
        }
    };
    Ok(Answer::xml(shown.render()))
}

/// GetLiveChannelHistory (LiveChannel 1.5, 2.4).
pub(super) async fn history(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let entries = live_channel::history(call, &channel_name(asked)?).await?;
    let records: Vec<_> = entries
        .into_iter()
        .map(|entry| LiveRecord { start_ms: entry.start_ms, end_ms: entry.end_ms, remote: entry.remote_addr })
        .collect();
    Ok(Answer::xml(render_history(&records)))
}

/// ListLiveChannel (LiveChannel 1.6).
pub(super) async fn list(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListLiveChannelParameters::parse(asked.query())?;
    let wanted =
        ListChannels { prefix: sent.prefix.clone(), after: sent.marker.clone(), limit: sent.max_keys as usize };
    let page = live_channel::list(call, &wanted).await?;
    let bucket = asked.bucket()?;
    let channels: Vec<_> = page
        .items
        .into_iter()
        .map(|(name, channel)| ListedChannel {
            urls: urls(asked, bucket, &name, &channel.config),
            name: name.to_string(),
            description: channel.config.description,
            status: channel.config.status,
            modified_ms: channel.modified_ms,
        })
        .collect();
    let result = ListLiveChannelResult {
        prefix: sent.prefix,
        marker: sent.marker,
        max_keys: sent.max_keys,
        next_marker: channels.last().filter(|_| page.is_truncated).map(|channel| channel.name.clone()),
        channels,
    };
    Ok(Answer::xml(result.render()))
}

/// DeleteLiveChannel (LiveChannel 1.7).
pub(super) async fn delete(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    live_channel::delete(call, channel_name(asked)?).await?;
    Ok(Answer::empty(204))
}

/// The channel that the request names.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn channel_name(asked: &Asked<'_>) -> Result<ChannelName, Error> {
    parse_channel(asked.route, asked.config.live.channel_name_max_bytes)
}

/// The addresses of a channel, in the style in which the request named its bucket (LiveChannel 1.1.3).
fn urls(asked: &Asked<'_>, bucket: &BucketName, channel: &ChannelName, config: &LiveChannelConfig) -> ChannelUrls {
    let rules = ChannelUrlRules {
        rtmp_authority: asked.config.public_rtmp.clone(),
        force_virtual_hosted: asked.config.virtual_host_urls,
    };
    ChannelUrls::new(asked.raw, asked.route.style, &rules, bucket, channel, config.playlist_name.as_str())
}
