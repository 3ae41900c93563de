//! What is counted for each bucket and month (LiveChannel 7.3). Nothing is billed; whoever wants to takes the numbers from
//! the metrics. As all counters they begin anew with the process, which those who read them know how to add up.

use metrics::{Counter, counter};
use model::name::BucketName;
use model::row::Metering;
use oss::request::Route;

use crate::metrics as names;

/// Milliseconds of a minute that was begun.
const MINUTE_MS: i64 = 60_000;

/// The month of an instant in UTC, as `2024-01`.
fn month(now_ms: i64) -> String {
    let mut text = model::date::format_iso8601(now_ms);
    text.truncate("2024-01".len());
    text
}

fn of_bucket(name: &'static str, bucket: &str, month: &str) -> Counter {
    counter!(name, "bucket" => bucket.to_owned(), "month" => month.to_owned())
}

/// A request that is counted, if it is answered below 500.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MeteredRequest {
    bucket: BucketName,
    counters: &'static [&'static str],
}

impl MeteredRequest {
    /// What a request to a bucket that exists counts as; most count as nothing.
    pub(crate) fn of(bucket: &BucketName, route: &Route) -> Option<Self> {
        let counters: &[&str] = match route.kind.row().metering {
            Metering::Nothing => return None,
            Metering::ChannelCreation => &[names::LIVE_CREATIONS],
            Metering::ChannelStatus => &[names::LIVE_STATUS_CHANGES],
            Metering::Channel => &[names::LIVE_REQUESTS],
            Metering::VodPlaylist => &[names::LIVE_REQUESTS, names::LIVE_VOD_PLAYLISTS],
            Metering::Playback if route.resource.key().is_some_and(|key| is_hls(key.as_str())) => {
                &[names::HLS_REQUESTS]
            }
            Metering::Playback => return None,
        };
        Some(Self { bucket: bucket.clone(), counters })
    }

    /// Counts it, and returns where the bytes of its answer are to be counted.
    pub(crate) fn answered(&self, status: u16, now_ms: i64) -> Option<Counter> {
        if status >= 500 {
            return None;
        }
        let month = month(now_ms);
        for name in self.counters {
            of_bucket(name, self.bucket.as_str(), &month).increment(1);
        }
        let is_hls = self.counters == [names::HLS_REQUESTS];
        is_hls.then(|| of_bucket(names::HLS_BYTES_OUT, self.bucket.as_str(), &month))
    }
}

fn is_hls(key: &str) -> bool {
    key.ends_with(".m3u8") || key.ends_with(".ts")
}

/// The counters of a push.
pub(crate) struct IngestMeter {
    bucket: String,
    began_ms: i64,
    minutes: u64,
    month: String,
    bytes: Counter,
}

impl IngestMeter {
    /// A push that begins now: its first minute counts at once.
    pub(crate) fn new(bucket: &BucketName, now_ms: i64) -> Self {
        let month = month(now_ms);
        let bytes = of_bucket(names::LIVE_INGEST_BYTES, bucket.as_str(), &month);
        let mut meter = Self { bucket: bucket.to_string(), began_ms: now_ms, minutes: 0, month, bytes };
        meter.pass(now_ms);
        meter
    }

    /// Counts the payload of a message.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.increment(bytes as u64);
    }

    /// Says that no picture was taken, where some were asked for.
    pub(crate) fn no_snapshots(&self) {
        of_bucket(names::LIVE_SNAPSHOTS, &self.bucket, &self.month).increment(0);
    }

    /// Counts the minutes that were begun until now.
    pub(crate) fn pass(&mut self, now_ms: i64) {
        let month = month(now_ms);
        if month != self.month {
            self.bytes = of_bucket(names::LIVE_INGEST_BYTES, &self.bucket, &month);
            self.month = month;
        }
        let begun = minutes_begun(now_ms.saturating_sub(self.began_ms));
        if begun > self.minutes {
            of_bucket(names::LIVE_INGEST_MINUTES, &self.bucket, &self.month).increment(begun - self.minutes);
            self.minutes = begun;
        }
    }
}

/// Rounded up, and at least one.
fn minutes_begun(elapsed_ms: i64) -> u64 {
    u64::try_from(elapsed_ms).unwrap_or(0).div_ceil(MINUTE_MS.unsigned_abs()).max(1)
}

#[cfg(test)]
mod tests {
    use oss::request::{Addressing, RawRequest, route};

    use super::*;

    fn counters(method: &str, target: &str) -> Vec<&'static str> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let raw = RawRequest {
            method: method.into(),
            host: "bkt.localhost".into(),
            path: path.into(),
            query: query.into(),
            ..RawRequest::default()
        };
        let route = route(&raw, &Addressing::default()).unwrap();
        let metered = MeteredRequest::of(&BucketName::parse("bkt").unwrap(), &route);
        metered.map_or_else(Vec::new, |metered| metered.counters.to_vec())
    }

    #[test]
    fn requests_count_as_what_they_are() {
        for (method, target, expected) in [
            ("PUT", "/c?live", &[names::LIVE_CREATIONS][..]),
            ("PUT", "/c?live&status=enabled", &[names::LIVE_STATUS_CHANGES]),
            ("DELETE", "/c?live", &[]),
            ("GET", "/?live", &[names::LIVE_REQUESTS]),
            ("GET", "/c?live", &[names::LIVE_REQUESTS]),
            ("GET", "/c?live&comp=stat", &[names::LIVE_REQUESTS]),
            ("GET", "/c?live&comp=history", &[names::LIVE_REQUESTS]),
            ("GET", "/c?vod&startTime=1&endTime=2", &[names::LIVE_REQUESTS, names::LIVE_VOD_PLAYLISTS]),
            ("POST", "/c/p.m3u8?vod", &[names::LIVE_REQUESTS, names::LIVE_VOD_PLAYLISTS]),
            ("GET", "/c/p.m3u8", &[names::HLS_REQUESTS]),
            ("GET", "/c/1.ts", &[names::HLS_REQUESTS]),
            ("GET", "/c/p.m3u8?x-oss-process=hls/sign", &[names::HLS_REQUESTS]),
            ("HEAD", "/c/1.ts", &[]),
            ("PUT", "/c/1.ts", &[]),
            ("GET", "/c/1.mp4", &[]),
            ("GET", "/?prefix=a.ts", &[]),
        ] {
            assert_eq!(counters(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn minutes_are_rounded_up_and_never_none() {
        for (elapsed_ms, minutes) in [(-5, 1), (0, 1), (1, 1), (60_000, 1), (60_001, 2), (120_000, 2), (120_001, 3)] {
            assert_eq!(minutes_begun(elapsed_ms), minutes, "{elapsed_ms}");
        }
        assert_eq!(month(1_704_164_645_000), "2024-01");
    }
}
