//! `GET on-air`: the channels that the caller may look at, across buckets, in one answer whatever their number.
//!
//! Which channels there are is read at most once a second, whoever asks, and so is what other servers have on air, where there
//! are some; what is on air here is in memory. Nothing else is read, and nothing is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ChannelStatus, Error, OperationKind, Resource};
use oss::request::Query;
use serde_json::{Value, json};
use store::meta::peer::ShownPush;

use super::visitor::{Judged, Visitor};
use super::{Management, Reply};
use crate::accounts::Fault;
use crate::live::{ChannelId, Seen};
use crate::objects::Bucket;

/// The most channels of an answer.
const MAX_LIMIT: usize = 5000;
/// The most channels that are looked at: those beyond are on air or not shown.
const MAX_SURVEYED: usize = 10_000;
/// The most buckets that are looked at.
const MAX_BUCKETS: usize = 1000;
/// How often a picture is a new one, milliseconds.
const STILL_EVERY_MS: i64 = 10_000;
/// For how long what was read is good.
const FRESH: Duration = Duration::from_secs(1);

/// The channels of all buckets, as they were a moment ago.
#[derive(Default)]
pub(super) struct Survey {
    last: tokio::sync::Mutex<Option<(Instant, Arc<Surveyed>)>>,
}

/// What a look at all buckets found.
struct Surveyed {
    buckets: Vec<(Judged, Vec<Known>)>,
    is_whole: bool,
}

/// A channel.
struct Known {
    name: ChannelName,
    description: String,
    is_enabled: bool,
}

impl Survey {
    /// The channels; read anew when the last look is too old. Whoever comes meanwhile waits for the same look.
    async fn get(&self, management: &Management) -> Result<Arc<Surveyed>, Error> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            let _ = at;
            return Ok(found.clone());
        }
        let found = Arc::new(survey(management).await?);
        *last = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

async fn survey(management: &Management) -> Result<Surveyed, Error> {
    let page = management.objects.list_buckets(management.accounts.owner(), "", "", MAX_BUCKETS).await?;
    let mut found = Surveyed { buckets: Vec::new(), is_whole: !page.is_truncated };
    let mut room = MAX_SURVEYED;
    for record in page.items {
        let Ok(name) = BucketName::parse(&record.name) else { continue };
        let channels = management.live.survey_channels(&name, room.max(1)).await?;
        found.is_whole &= !channels.is_truncated && (room > 0 || channels.items.is_empty());
        let channels: Vec<Known> = channels
            .items
            .into_iter()
            .take(room)
            .map(|(name, record)| Known {
                name,
                description: record.config.description,
                is_enabled: record.config.status == ChannelStatus::Enabled,
            })
            .collect();
        room = room.saturating_sub(channels.len());
        // A bucket whose policy cannot be read shows nothing to anybody, and hides no other.
        let Ok(judged) = Judged::of(&management.objects, Bucket::new(name, record)) else { continue };
        found.buckets.push((judged, channels));
    }
    Ok(found)
}

/// What is asked for.
struct Asked<'q> {
    limit: usize,
    only_live: bool,
    bucket: Option<&'q str>,
}

impl<'q> Asked<'q> {
    fn parse(query: &'q Query) -> Result<Self, Fault> {
        let invalid = |text: &str| Fault::Invalid(text.to_owned());
        let limit = query.first("limit").map_or(Some(1000), |text| text.parse().ok());
        let only_live = match query.first("state") {
            None | Some("all") => false,
            Some("live") => true,
            Some(_) => return Err(invalid("state is live or all.")),
        };
        Ok(Self {
            limit: limit
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| invalid(&format!("limit is 1 to {MAX_LIMIT}.")))?,
            only_live,
            bucket: query.first("bucket").filter(|name| !name.is_empty()),
        })
    }
}

/// Answers; live channels come first.
pub(super) async fn answer(management: &Management, visitor: &Visitor<'_>, query: &Query) -> Result<Reply, Fault> {
    let asked = Asked::parse(query)?;
    let surveyed = management.survey.get(management).await?;
    let on_air = management.live.installation().await?;
    let mut shown: Vec<(&Judged, &Known, Option<&Seen>)> = Vec::new();
    for (judged, channels) in &surveyed.buckets {
        if asked.bucket.is_some_and(|wanted| wanted != judged.bucket.name.as_str()) {
            continue;
        }
        for channel in channels {
            let live = find(&on_air, &judged.bucket.name, &channel.name).filter(|_| channel.is_enabled);
            if (asked.only_live && live.is_none()) || !may_look(visitor, judged, &channel.name) {
                continue;
            }
            shown.push((judged, channel, live));
        }
    }
    let total = shown.len();
    // The order within is that of the names; a sort that keeps it.
    shown.sort_by_key(|(_, _, live)| live.is_none());
    shown.truncate(asked.limit);
    let mut channels = Vec::with_capacity(shown.len());
    for (judged, channel, live) in &shown {
        let now_ms = management.clock.now_ms();
        let mut shown = one(judged, channel, *live);
        shown["still"] = live.and_then(|seen| still(visitor, judged, channel, &seen.push, now_ms)).into();
        channels.push(shown);
    }
    Ok(Reply::json(
        200,
        &json!({
            "now": model::date::format_iso8601(management.clock.now_ms()),
            "total": total,
            "truncated": total > channels.len() || !surveyed.is_whole,
            "channels": channels,
        }),
    ))
}

fn find<'m>(on_air: &'m HashMap<ChannelId, Seen>, bucket: &BucketName, channel: &ChannelName) -> Option<&'m Seen> {
    on_air.get(&(bucket.clone(), channel.clone()))
}

fn may_look(visitor: &Visitor<'_>, judged: &Judged, channel: &ChannelName) -> bool {
    ObjectKey::parse(channel.as_str().as_bytes()).is_ok_and(|key| {
        let resource = Resource::Object(judged.bucket.name.clone(), key);
        visitor.may(OperationKind::GetLiveChannelStat, &resource, Some(judged), None).is_ok()
    })
}

/// Where the newest picture is, for those who may read it. It has another version every ten seconds, so that a page which
/// asks more often does not load it each time.
fn still(visitor: &Visitor<'_>, judged: &Judged, channel: &Known, push: &ShownPush, now_ms: i64) -> Option<Value> {
    let key = format!("{}/{}", channel.name, push.playlist.as_ref()?);
    let resource = Resource::Object(judged.bucket.name.clone(), ObjectKey::parse(key.as_bytes()).ok()?);
    visitor.may(OperationKind::GetLiveStill, &resource, Some(judged), None).ok()?;
    let age_ms = i64::try_from(push.key_frame_age_ms?).unwrap_or(i64::MAX);
    let version = now_ms.saturating_sub(age_ms).div_euclid(STILL_EVERY_MS);
    Some(json!({
        "bucket": judged.bucket.name.as_str(), "key": key, "version": version.to_string(),
        "query": [["x-oss-process", "live/still,w_480"]],
    }))
}

fn one(judged: &Judged, channel: &Known, live: Option<&Seen>) -> Value {
    let mut shown = json!({
        "bucket": judged.bucket.name.as_str(),
        "name": channel.name.as_str(),
        "description": channel.description,
        "status": match (channel.is_enabled, live) {
            (false, _) => "Disabled",
            (true, None) => "Idle",
            (true, Some(_)) => "Live",
        },
        "since": null, "remote": null, "video": null, "audio": null, "key_frame_age_ms": null, "viewers": 0,
        "still": null, "warnings": [],
    });
    let Some(Seen { push, server }) = live else { return shown };
    shown["since"] = model::date::format_iso8601(push.started_ms).into();
    shown["remote"] = push.remote.as_str().into();
    shown["video"] = push.video.map_or(Value::Null, |bytes_per_second| {
        json!({
            "codec": push.video_codec, "width": push.width, "height": push.height, "fps": push.frame_rate,
            "bytes_per_second": bytes_per_second,
        })
    });
    shown["audio"] = push.audio.map_or(Value::Null, |bytes_per_second| {
        json!({"codec": push.audio_codec, "sample_rate": push.sample_rate, "bytes_per_second": bytes_per_second})
    });
    shown["key_frame_age_ms"] = push.key_frame_age_ms.into();
    shown["viewers"] = push.viewers.into();
    shown["warnings"] = push.warnings.clone().into();
    if let Some(server) = server {
        shown["server"] = server.as_str().into();
    }
    shown
}
