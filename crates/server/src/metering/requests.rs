//! What requests count as: for the metrics by bucket and month (LiveChannel 7.3), and as usage.

use std::sync::Arc;

use metrics::Counter;
use model::access::Caller;
use model::name::{BucketName, ChannelName};
use model::row::{Metering, On};
use model::{Container, Resource};
use oss::request::Route;
use usage::{Meter, Operation, Subject, class_of};

use super::Usage;
use super::gathered::Cell;
use crate::metrics as names;

/// A request that is counted, if it is answered below 500.
#[derive(Debug)]
pub(crate) struct MeteredRequest {
    /// Empty for a request that is about none.
    bucket: String,
    /// Whether the bucket is there: strangers could make up as many others as they like.
    is_known: bool,
    /// The channel it is about, if what it asks for is there.
    channel: String,
    user: String,
    operation: Operation,
    counters: &'static [&'static str],
}

/// Where the bytes of an answer are counted.
#[derive(Default)]
pub(crate) struct Sent {
    hls: Option<Counter>,
    cell: Option<Arc<Cell>>,
}

impl Sent {
    /// So many bytes go out.
    pub(crate) fn count(&self, bytes: usize) {
        let bytes = bytes as u64;
        if let Some(counter) = &self.hls {
            counter.increment(bytes);
        }
        if let Some(cell) = &self.cell {
            cell.add(Meter::OutgoingBytes, bytes);
        }
    }
}

impl MeteredRequest {
    /// What a request counts as. `bucket` is the one that it names, if it is there.
    pub(crate) fn of(bucket: Option<&BucketName>, route: &Route, method: &str) -> Self {
        let metering = route.kind.row().metering;
        let counters: &[&str] = match metering {
            _ if bucket.is_none() => &[],
            Metering::ChannelCreation => &[names::LIVE_CREATIONS],
            Metering::ChannelStatus => &[names::LIVE_STATUS_CHANGES],
            Metering::Channel => &[names::LIVE_REQUESTS],
            Metering::VodPlaylist | Metering::VodPlaylistShown => &[names::LIVE_REQUESTS, names::LIVE_VOD_PLAYLISTS],
            Metering::Playback if route.resource.key().is_some_and(|key| is_hls(key.as_str())) => {
                &[names::HLS_REQUESTS]
            }
            Metering::Nothing | Metering::ChannelDeletion | Metering::Playback | Metering::PlaybackHead => &[],
        };
        let named = bucket.or(route.bucket.as_ref());
        Self {
            bucket: named.map_or_else(String::new, ToString::to_string),
            is_known: bucket.is_some(),
            channel: channel_of(route, metering).to_owned(),
            user: String::new(),
            operation: operation_of(route, metering, method),
            counters,
        }
    }

    /// Who calls, once that was proved.
    pub(crate) fn learn_caller(&mut self, caller: &Caller) {
        self.user = super::user_of(caller);
    }

    /// Counts it, and returns where the bytes of its answer are to be counted.
    pub(crate) fn answered(self, usage: &Usage, status: u16, now_ms: i64) -> Sent {
        let Some(class) = class_of(self.operation, status) else { return Sent::default() };
        let mut sent = Sent::default();
        if !self.counters.is_empty() {
            let counter = |name| names::requests::of_bucket(name, &self.bucket, now_ms);
            self.counters.iter().for_each(|name| counter(name).increment(1));
            let is_hls = self.counters == [names::HLS_REQUESTS];
            sent.hls = is_hls.then(|| counter(names::HLS_BYTES_OUT));
        }
        let is_done = status < 400;
        let is_somebody = !self.user.is_empty();
        if !(self.is_known || is_done && !self.bucket.is_empty() || self.bucket.is_empty() && is_somebody) {
            return sent;
        }
        let subject = Subject {
            bucket: self.bucket,
            // Anything can be asked for; what was found is bounded by what there is.
            channel: if is_done { self.channel } else { String::new() },
            user: self.user,
        };
        let cell = usage.cell(subject);
        // What was carried out was counted by the commit that did it.
        if !matches!(class, Meter::ChannelCreations | Meter::StatusChanges | Meter::VodPlaylists) {
            cell.add(class, 1);
        }
        sent.cell = Some(cell);
        sent
    }
}

fn operation_of(route: &Route, metering: Metering, method: &str) -> Operation {
    let is_read = matches!(method, "GET" | "HEAD" | "OPTIONS");
    match metering {
        Metering::ChannelCreation => Operation::PutLiveChannel,
        Metering::ChannelStatus => Operation::PutLiveChannelStatus,
        Metering::VodPlaylist => Operation::PostVodPlaylist,
        Metering::Channel | Metering::ChannelDeletion | Metering::VodPlaylistShown => Operation::LiveChannelQuery,
        Metering::Playback | Metering::PlaybackHead => {
            Operation::read_object(route.resource.key().map_or("", |key| key.as_str()))
        }
        Metering::Nothing if is_read => Operation::OtherRead,
        Metering::Nothing => Operation::OtherWrite,
    }
}

/// The channel that a request is about: the one it names, or the one below which the playlist or segment lies that it
/// reads. Who deletes channels may name any, also those that are not there.
fn channel_of(route: &Route, metering: Metering) -> &str {
    let Resource::Object(_, key) = &route.resource else { return "" };
    let key = key.as_str();
    match metering {
        Metering::ChannelDeletion => "",
        _ if route.kind.row().on == On::Channel => key,
        Metering::Playback | Metering::PlaybackHead if is_hls(key) => key
            .split_once('/')
            .map(|(channel, _)| channel)
            .filter(|channel| ChannelName::parse(channel.as_bytes()).is_ok())
            .unwrap_or_default(),
        _ => "",
    }
}

fn is_hls(key: &str) -> bool {
    key.rsplit_once('.').is_some_and(|(_, end)| end == "m3u8" || Container::of_extension(end).is_some())
}

#[cfg(test)]
mod tests {
    use oss::request::{Addressing, RawRequest, route};

    use super::*;

    fn metered(method: &str, target: &str) -> MeteredRequest {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let raw = RawRequest {
            method: method.into(),
            host: "bkt.localhost".into(),
            path: path.into(),
            query: query.into(),
            ..RawRequest::default()
        };
        let route = route(&raw, &Addressing::default()).unwrap();
        MeteredRequest::of(Some(&BucketName::parse("bkt").unwrap()), &route, method)
    }

    #[test]
    fn requests_count_as_what_they_are() {
        for (method, target, expected, operation, channel) in [
            ("PUT", "/c?live", &[names::LIVE_CREATIONS][..], Operation::PutLiveChannel, "c"),
            ("PUT", "/c?live&status=enabled", &[names::LIVE_STATUS_CHANGES], Operation::PutLiveChannelStatus, "c"),
            ("DELETE", "/c?live", &[], Operation::LiveChannelQuery, ""),
            ("GET", "/?live", &[names::LIVE_REQUESTS], Operation::LiveChannelQuery, ""),
            ("GET", "/c?live", &[names::LIVE_REQUESTS], Operation::LiveChannelQuery, "c"),
            ("GET", "/c?live&comp=stat", &[names::LIVE_REQUESTS], Operation::LiveChannelQuery, "c"),
            ("GET", "/c?live&comp=history", &[names::LIVE_REQUESTS], Operation::LiveChannelQuery, "c"),
            (
                "GET",
                "/c?vod&startTime=1&endTime=2",
                &[names::LIVE_REQUESTS, names::LIVE_VOD_PLAYLISTS],
                Operation::LiveChannelQuery,
                "c",
            ),
            (
                "POST",
                "/c/p.m3u8?vod",
                &[names::LIVE_REQUESTS, names::LIVE_VOD_PLAYLISTS],
                Operation::PostVodPlaylist,
                "c",
            ),
            ("GET", "/c/p.m3u8", &[names::HLS_REQUESTS], Operation::ReadObject { is_hls: true }, "c"),
            ("GET", "/c/1.ts", &[names::HLS_REQUESTS], Operation::ReadObject { is_hls: true }, "c"),
            (
                "GET",
                "/c/p.m3u8?x-oss-process=hls/sign",
                &[names::HLS_REQUESTS],
                Operation::ReadObject { is_hls: true },
                "c",
            ),
            ("HEAD", "/c/1.ts", &[], Operation::ReadObject { is_hls: true }, "c"),
            ("PUT", "/c/1.ts", &[], Operation::OtherWrite, ""),
            ("GET", "/c/1.mp4", &[], Operation::ReadObject { is_hls: false }, ""),
            ("GET", "/?prefix=a.ts", &[], Operation::OtherRead, ""),
            ("DELETE", "/c/1.ts", &[], Operation::OtherWrite, ""),
        ] {
            let found = metered(method, target);
            assert_eq!((found.counters, found.operation), (expected, operation), "{method} {target}");
            assert_eq!(found.channel, channel, "{method} {target}");
        }
    }
}
