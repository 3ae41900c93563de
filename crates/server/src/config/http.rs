//! Settings of the HTTP face: memory, timeouts, pages, caches, origins, hotlinks, signed playlists.

use serde::{Deserialize, Serialize};

/// What all peers together may make the server hold. What each may is bounded anyway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MemoryConfig {
    /// Heads and bodies of requests that are being received, MiB. Without room a request waits a little and is then
    /// answered with 503.
    pub(crate) receive_mib: usize,
    /// Answers that were read and not yet sent, MiB. Without room the answer that has stalled the longest is ended.
    pub(crate) send_mib: usize,
}

/// How long HTTP peers may take, so that slow ones cannot collect connections, and the pages for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// Time for the whole head of a request, and for a connection to be idle before its next one, seconds. HTTP/2 has as
    /// long for its preface and between requests.
    pub(crate) head_timeout_s: u64,
    /// The longest pause within the body of a request, and all the time for the fields with which a form says who sends it,
    /// seconds (HTTP API 2).
    pub(crate) body_timeout_s: u64,
    /// The least pace of a body beyond that, bytes per second; 0 asks for none.
    pub(crate) min_body_bytes_per_s: u64,
    /// How long an answer may stand still, because its peer does not read, before it is ended, seconds.
    pub(crate) stalled_answer_s: u64,
    /// The console at `/-/console` and the call that it needs beside those of OSS.
    pub(crate) console: bool,
    /// How ranges that do not lie within their object are answered when the request does not say it (HTTP API 9.2).
    pub(crate) range_behavior: RangeBehavior,
}

/// How ranges that do not lie within their object are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RangeBehavior {
    /// Mostly with the whole object, as OSS does.
    #[default]
    Oss,
    /// As RFC 9110 says: cut at the end of the object, or 416.
    Standard,
}

/// What a host means that is neither a domain of the configuration, nor built in, nor an IP address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UnknownHost {
    /// The bucket is in the path, so that single names of container networks work.
    #[default]
    Path,
    /// 403 `NonStandardHostForbidden`.
    Reject,
}

/// What browsers and caches may keep of live channels, where no header that was stored with an object says it (D23).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheConfig {
    /// `Cache-Control` on segments, playlists and refusals at all.
    pub(crate) headers: bool,
    /// How long a segment may be kept that everybody may read, seconds; 0: it is asked for again each time.
    pub(crate) segment_max_age_s: u64,
    /// How long a live playlist may be kept, seconds; 0: it is asked for again each time.
    pub(crate) live_playlist_max_age_s: u64,
    /// How long the playlist of a recording may be kept, seconds; 0: it is asked for again each time.
    pub(crate) vod_playlist_max_age_s: u64,
    /// `Vary: Origin` on every answer of a bucket with CORS rules, and on what may be kept (access control 7.4).
    pub(crate) vary_origin: bool,
}

/// The switches of requests from other origins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CorsConfig {
    /// `Vary: Origin` whenever an answer repeats the origin, also without `ResponseVary` (access control 7.4).
    pub(crate) vary_on_echo: bool,
}

/// The switches of hotlink protection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RefererConfig {
    /// Patterns are compared with whole hosts instead of their beginnings (access control 10.3).
    pub(crate) strict_host: bool,
}

/// The switches of `x-oss-process=hls/sign`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HlsSignConfig {
    /// The URIs in tags, such as `EXT-X-KEY` and `EXT-X-MAP`, are signed as well (OSS auth 9.3).
    pub(crate) tags: bool,
    /// Buckets in which playlists beside the folder of a playlist are signed too, as masters list them (D25).
    pub(crate) siblings: Vec<String>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { receive_mib: 256, send_mib: 256 }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            head_timeout_s: 30,
            body_timeout_s: 60,
            min_body_bytes_per_s: 256,
            stalled_answer_s: 900,
            console: true,
            range_behavior: RangeBehavior::Oss,
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            headers: true,
            segment_max_age_s: 31_536_000,
            live_playlist_max_age_s: 0,
            vod_playlist_max_age_s: 60,
            vary_origin: true,
        }
    }
}

impl Default for HlsSignConfig {
    fn default() -> Self {
        Self { tags: true, siblings: Vec::new() }
    }
}
