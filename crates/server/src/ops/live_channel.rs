//! The LiveChannel operations (LiveChannel 1.1 to 1.7).

use std::time::Duration;

use model::OperationKind;
use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ChannelStatus, LiveChannelConfig};
use model::{Error, ErrorCode};
use oss::request::{
    ChannelUrlRules, ChannelUrls, ListLiveChannelParameters, check_comp, parse_channel, parse_channel_status,
};
use oss::xml::live_channel::{
    AudioStat, ConfigurationRules, ListLiveChannelResult, ListedChannel, LiveChannelStat, LiveRecord,
    SentConfiguration, VideoStat, render_configuration, render_create_result, render_history,
    snapshot_bucket_elsewhere, snapshot_bucket_foreign, snapshot_bucket_missing, too_many_channels,
};
use store::meta::ChannelRecord;

use super::bucket::region_of;
use super::{Answer, BodySource, Bucket, Call, internal, read_xml};
use crate::live::StopReason;

/// How long the end of a push is waited for whose encoder has left.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// How long disabling waits for the push to end (LiveChannel 1.2).
const DISABLE_PATIENCE: Duration = Duration::from_secs(10);

/// PutLiveChannel (LiveChannel 1.1).
pub(crate) async fn put(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let name = channel_name(call)?;
    let text = read_xml(call, body).await?;
    let live = &call.state.config.live;
    let rules =
        ConfigurationRules { snapshot_supported: live.accept_snapshots, fill_in_fragments: live.fill_in_fragments };
    let sent = SentConfiguration::parse(&text, rules)?;
    let bucket = call.bucket()?;
    if let Some(snapshot) = sent.snapshot() {
        let found = match model::name::BucketName::parse(&snapshot.dest_bucket) {
            Ok(dest) => call.state.meta.bucket(&dest).await.map_err(internal)?,
            Err(_) => None,
        };
        let dest = found.ok_or_else(|| snapshot_bucket_missing(&snapshot.dest_bucket))?;
        if dest.owner != bucket.record.owner {
            return Err(snapshot_bucket_foreign(&snapshot.dest_bucket));
        }
        let region = |record| region_of(record, &call.state.config);
        if region(&dest) != region(&bucket.record) {
            return Err(snapshot_bucket_elsewhere(&snapshot.dest_bucket));
        }
        // The server is to write there in the caller's name (D34).
        let picture = ObjectKey::parse(format!("{name}/{}.jpg", call.now_ms).as_bytes())?;
        let dest = Bucket::new(model::name::BucketName::parse(&snapshot.dest_bucket)?, dest);
        call.may(OperationKind::PutObject, &dest, &picture).await?;
    }
    let config = sent.finish()?;
    let id = (bucket.name.clone(), name.clone());
    // The last segment of a push that has ended is soon stored.
    call.state.channels.settle(&id, SETTLE_PATIENCE).await;
    if call.state.channels.find(&id).is_some() {
        return Err(Error::new(ErrorCode::ChannelStillLive));
    }
    if live.reject_existing_channel && call.state.meta.channel(&id.0, &name).await.map_err(internal)?.is_some() {
        return Err(Error::new(ErrorCode::LiveChannelAlreadyExists));
    }
    let record = ChannelRecord { config: config.clone(), modified_ms: call.now_ms };
    let max_channels = live.max_channels_per_bucket as u64;
    call.state.meta.put_channel(&id.0, &name, &record, max_channels).await.map_err(|error| match error.kind {
        store::ErrorKind::QuotaExceeded => too_many_channels(),
        store::ErrorKind::Held => Error::new(ErrorCode::ChannelStillLive),
        _ => internal(error),
    })?;
    tracing::info!(bucket = %id.0, channel = %name, "channel configured");
    Ok(Answer::xml(render_create_result(&urls(call, &id.0, &name, &config))))
}

/// PutLiveChannelStatus (LiveChannel 1.2). Disabling ends a running push before it answers.
pub(crate) async fn put_status(call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(call)?;
    let status = parse_channel_status(call.query())?;
    let bucket = call.bucket()?.name.clone();
    let now_ms = call.now_ms;
    call.state
        .meta
        .update_channel(&bucket, &name, |channel| {
            if channel.config.status != status {
                channel.config.status = status;
                channel.modified_ms = now_ms;
            }
        })
        .await
        .map_err(missing_channel)?;
    if status == ChannelStatus::Disabled {
        call.state.channels.stop(&(bucket, name), StopReason::Disabled, DISABLE_PATIENCE).await;
    }
    Ok(Answer::empty(200))
}

/// GetLiveChannelInfo (LiveChannel 1.3).
pub(crate) async fn info(call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(call)?;
    check_comp(call.query())?;
    let channel = find(call, &name).await?;
    Ok(Answer::xml(render_configuration(&channel.config)))
}

/// GetLiveChannelStat (LiveChannel 1.4, 2).
pub(crate) async fn stat(call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(call)?;
    let channel = find(call, &name).await?;
    let id = (call.bucket()?.name.clone(), name);
    let stat = match (channel.config.status, call.state.channels.find(&id)) {
        (ChannelStatus::Disabled, _) => LiveChannelStat::Disabled,
        (ChannelStatus::Enabled, None) => LiveChannelStat::Idle,
        (ChannelStatus::Enabled, Some(on_air)) => {
            let measured = on_air.measure();
            let facts = measured.facts;
            LiveChannelStat::Live {
                connected_ms: on_air.connected_ms,
                remote: on_air.remote.to_string(),
                video: measured.video.map(|bandwidth| VideoStat {
                    width: facts.width,
                    height: facts.height,
                    frame_rate: facts.frame_rate,
                    bandwidth,
                    codec: facts.video_codec.clone(),
                }),
                audio: measured.audio.map(|bandwidth| AudioStat {
                    bandwidth,
                    sample_rate: facts.sample_rate,
                    codec: facts.audio_codec.clone(),
                }),
            }
        }
    };
    Ok(Answer::xml(stat.render()))
}

/// GetLiveChannelHistory (LiveChannel 1.5, 2.4).
pub(crate) async fn history(call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(call)?;
    find(call, &name).await?;
    let records = call.state.meta.history(&call.bucket()?.name, &name).await.map_err(internal)?;
    let records: Vec<_> = records
        .into_iter()
        .map(|record| LiveRecord { start_ms: record.start_ms, end_ms: record.end_ms, remote: record.remote_addr })
        .collect();
    Ok(Answer::xml(render_history(&records)))
}

/// ListLiveChannel (LiveChannel 1.6).
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, Error> {
    let parameters = ListLiveChannelParameters::parse(call.query())?;
    let bucket = call.bucket()?;
    if !call.state.limits.allows_list(&bucket.name) {
        return Err(Error::new(ErrorCode::MetaOperationQpsLimitExceeded));
    }
    let max_keys = parameters.max_keys as usize;
    let page = call
        .state
        .meta
        .list_channels(&bucket.name, &parameters.prefix, &parameters.marker, max_keys)
        .await
        .map_err(internal)?;
    let channels: Vec<_> = page
        .items
        .iter()
        .map(|(name, channel)| ListedChannel {
            name: name.to_string(),
            description: channel.config.description.clone(),
            status: channel.config.status,
            modified_ms: channel.modified_ms,
            urls: urls(call, &bucket.name, name, &channel.config),
        })
        .collect();
    let next_marker = if page.is_truncated { channels.last().map(|channel| channel.name.clone()) } else { None };
    let result = ListLiveChannelResult {
        prefix: parameters.prefix,
        marker: parameters.marker,
        max_keys: parameters.max_keys,
        next_marker,
        channels,
    };
    Ok(Answer::xml(result.render()))
}

/// DeleteLiveChannel (LiveChannel 1.7).
pub(crate) async fn delete(call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(call)?;
    let id = (call.bucket()?.name.clone(), name);
    // The last segment of a push that has ended is soon stored.
    call.state.channels.settle(&id, SETTLE_PATIENCE).await;
    if call.state.channels.find(&id).is_some() {
        return Err(Error::new(ErrorCode::ChannelStillLive));
    }
    match call.state.meta.delete_channel(&id.0, &id.1).await {
        Ok(_) => {
            call.state.channels.refused.forget(&id);
            Ok(Answer::empty(204))
        }
        Err(error) if error.kind == store::ErrorKind::Held => Err(Error::new(ErrorCode::ChannelStillLive)),
        Err(error) => Err(internal(error)),
    }
}

/// The channel that the request names.
fn channel_name(call: &Call<'_>) -> Result<ChannelName, Error> {
    parse_channel(call.route(), call.state.config.live.channel_name_max_bytes)
}

async fn find(call: &Call<'_>, name: &ChannelName) -> Result<ChannelRecord, Error> {
    let found = call.state.meta.channel(&call.bucket()?.name, name).await.map_err(internal)?;
    found.ok_or_else(|| Error::new(ErrorCode::NoSuchLiveChannel))
}

fn missing_channel(error: store::Error) -> Error {
    match error.kind {
        store::ErrorKind::NotFound => Error::new(ErrorCode::NoSuchLiveChannel),
        _ => internal(error),
    }
}

/// The addresses of a channel, in the style in which the request named its bucket (LiveChannel 1.1.3).
fn urls(call: &Call<'_>, bucket: &BucketName, channel: &ChannelName, config: &LiveChannelConfig) -> ChannelUrls {
    let rules = ChannelUrlRules {
        rtmp_authority: call.state.config.public_rtmp.clone(),
        force_virtual_hosted: call.state.config.virtual_host_urls,
    };
    ChannelUrls::new(call.raw, call.route().style, &rules, bucket, channel, config.playlist_name.as_str())
}
