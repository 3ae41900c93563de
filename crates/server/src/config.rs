//! The configuration of a run: defaults, then a TOML file, then `MILLPOND_…` variables, then flags. Unknown keys are refused.
//! The comments here are the reference that `docs/config.md` is checked against.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use model::name::{BucketName, ChannelName};
use serde::{Deserialize, Serialize};

use crate::proxies::{ForwardedHeader, TrustedProxies};

/// The longest name of a server, bytes.
const INSTANCE_MAX: usize = 32;

/// Everything a server needs to know before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where objects and metadata are kept.
    pub(crate) data_dir: PathBuf,
    /// Where the map is, when several servers share it: `postgres://USER@HOST:PORT/DATABASE`. Absent: the data directory.
    pub(crate) meta: Option<String>,
    /// Where blobs are, when several servers share them: `s3://BUCKET/PREFIX?endpoint=URL`. Absent: the data directory.
    pub(crate) blobs: Option<String>,
    /// Serve what is in the data directory and change nothing, so that it can be moved meanwhile.
    pub(crate) read_only: bool,
    /// The name of this server among those that share a map, kept when its disk is lost. Absent: one made in the data directory.
    pub(crate) instance: Option<String>,
    /// Addresses that speak HTTP and RTMP (told apart by the first byte, D15).
    pub(crate) listen: Vec<SocketAddr>,
    /// Addresses that speak RTMP; the same sockets answer HTTP too.
    pub(crate) rtmp_listen: Vec<SocketAddr>,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    pub(crate) admin_listen: SocketAddr,
    /// Address of the console and the management API, so that the public listeners have neither (D27); absent: the
    /// console is on the public listeners and the management API at `admin_listen`.
    pub(crate) console_listen: Option<SocketAddr>,
    /// Endpoint domains: `bucket.HOST` names a bucket, `HOST` itself the service (HTTP API 1.2).
    pub(crate) domains: Vec<String>,
    /// Custom domains: `domain = "bucket"` (HTTP API 1.2).
    pub(crate) custom_domains: BTreeMap<String, String>,
    /// What a host that is neither known nor an address means (HTTP API 1.2).
    pub(crate) host_fallback: UnknownHost,
    /// Refuse path style on endpoint domains, as the official service does (HTTP API 1.2).
    pub(crate) force_virtual_hosted: bool,
    /// The endpoint that bucket information shows to clients of the outside; absent: the first domain (HTTP API 1.6).
    pub(crate) public_endpoint: Option<String>,
    /// The endpoint that it shows to clients of the inside; absent: the same (HTTP API 1.6).
    pub(crate) internal_endpoint: Option<String>,
    /// The region shown to clients (D20).
    pub(crate) region: String,
    /// Regions accepted in V4 signatures; empty accepts any (D20).
    pub(crate) accepted_regions: Vec<String>,
    /// Host (and port) of PublishUrls, when encoders reach the server under another name than API clients.
    pub(crate) public_rtmp: Option<String>,
    /// Answer with virtual-host URLs even to path-style requests (LiveChannel 1.1.3).
    pub(crate) virtual_host_urls: bool,
    /// Buckets one account may have (HTTP API 16).
    pub(crate) max_buckets: usize,
    /// Callbacks of uploads may reach loopback and private addresses (HTTP API 13).
    pub(crate) callback_allow_private: bool,
    /// Wrong signatures a minute from one address before further ones are answered with 503; 0 is no limit.
    pub(crate) auth_failures_per_minute: u32,
    /// Connections over HTTP and RTMP at once; absent: what the limit of open files allows, at most 16384.
    pub(crate) max_connections: Option<usize>,
    /// Connections from one address (an IPv6 /64) that have not yet had a complete request or an admitted publish;
    /// absent: a quarter of `max_connections`, between 4 and 256; 0 is no limit. Trusted proxies have none.
    pub(crate) max_unproven_per_address: Option<usize>,
    /// The file with the key that secrets at rest are sealed with, when it is not the one in the data directory.
    pub(crate) secrets_key_file: Option<PathBuf>,
    /// Networks of reverse proxies, whose word about the address and the scheme of a request counts.
    pub(crate) trusted_proxies: Vec<String>,
    /// The header in which they say it.
    pub(crate) forwarded_header: ForwardedHeader,
    /// How long `/readyz` says that the server stops before it does, seconds; for balancers in front of several.
    pub(crate) leave_s: u64,
    /// How long requests in flight may take to end once the server stops, seconds; 20 more and the process has left,
    /// whatever its disk does.
    pub(crate) drain_s: u64,
    /// The certificate of HTTPS and RTMPS.
    pub(crate) tls: TlsConfig,
    /// How long HTTP peers may take.
    pub(crate) http: HttpConfig,
    /// What browsers and caches may keep.
    pub(crate) cache: CacheConfig,
    /// Requests of pages from other origins.
    pub(crate) cors: CorsConfig,
    /// Hotlink protection.
    pub(crate) referer: RefererConfig,
    /// Playlists that are signed for their player.
    pub(crate) hls_sign: HlsSignConfig,
    /// How live pushes are handled.
    pub(crate) live: LiveConfig,
    /// Pictures of pushes and recordings.
    pub(crate) snapshots: SnapshotsConfig,
    /// How bytes are kept.
    pub(crate) storage: StorageConfig,
    /// What all peers together may make the server hold.
    pub(crate) memory: MemoryConfig,
}

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

/// The certificate of HTTPS and RTMPS (D5); both files or neither.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// PEM file with the certificate and those that lead to its root.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub(crate) key: Option<PathBuf>,
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

/// The switches of live pushes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LiveConfig {
    /// Where segments are cut when a key frame comes late (D9).
    pub(crate) segmenting: Segmenting,
    /// Recovery points, and I pictures marked as key frames, may start segments (quirk Q42).
    pub(crate) recovery_points_start_segments: bool,
    /// Seconds after which a push is refused of which nothing can be recorded; 0 never (D21).
    pub(crate) refuse_unrecordable_after_s: u64,
    /// Whose rules playlists keep beyond the standard, where those of OSS and Apple differ.
    pub(crate) authoring: Authoring,
    /// PROGRAM-DATE-TIME in live playlists (D10).
    pub(crate) program_date_time: bool,
    /// PROGRAM-DATE-TIME in VOD playlists (D10).
    pub(crate) vod_program_date_time: bool,
    /// A push that returns within this many seconds continues the sliding playlist (D11); 0 always starts afresh.
    pub(crate) reconnect_window_s: u64,
    /// Seconds after the end of a push at which the live playlist gets an ENDLIST (D12); absent: never.
    pub(crate) end_list_after_s: Option<u64>,
    /// Silence of an old publisher after which a new one takes its channel over, seconds (D1).
    pub(crate) takeover_after_s: u64,
    /// Silence after which a publisher is pinged, seconds (D1).
    pub(crate) ping_after_s: u64,
    /// Time without media after which a push is ended, seconds (D1).
    pub(crate) media_timeout_s: u64,
    /// Largest RTMP message, bytes (D4).
    pub(crate) max_message_bytes: usize,
    /// PutLiveChannel on an existing channel is refused with 409 `LiveChannelAlreadyExists` (LiveChannel 11.1).
    pub(crate) reject_existing_channel: bool,
    /// PutLiveChannel with only one of FragDuration and FragCount gets the other's default (LiveChannel 11.24).
    pub(crate) fill_in_fragments: bool,
    /// PutLiveChannel accepts and keeps a Snapshot; otherwise it answers EC 0044-00000004 (LiveChannel 6.2).
    pub(crate) accept_snapshots: bool,
    /// The longest name of a channel, bytes (LiveChannel 0.4 rule 2).
    pub(crate) channel_name_max_bytes: usize,
    /// Channels per bucket (LiveChannel 7.4).
    pub(crate) max_channels_per_bucket: usize,
    /// ListLiveChannel calls per second and bucket (LiveChannel 7.4); 0 is no limit.
    pub(crate) max_list_calls_per_s: u32,
    /// Ingest per channel in Mbit/s, kept by reading slower (LiveChannel 7.4); 0 is no limit.
    pub(crate) max_ingest_mbit_s: u32,
    /// A bucket for pushes whose URL names none (LiveChannel 3.8 step 5).
    pub(crate) default_bucket: Option<String>,
    /// How the ETag of a segment is made.
    pub(crate) segment_etag: SegmentEtag,
}

/// Whose rules playlists keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Authoring {
    /// As OSS writes and sends them.
    #[default]
    Oss,
    /// As Apple's authoring specification wants them: named VOD, six segments at least, compressed, with their registered
    /// type.
    Apple,
}

/// Where segments are cut when a key frame comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Segmenting {
    /// Wait for the key frame, as OSS does.
    Oss,
    /// Cut before the target duration would be exceeded.
    Strict,
}

/// How the ETag of a live segment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SegmentEtag {
    /// From two 64-bit CRCs; costs next to nothing while the segment is written.
    Crc,
    /// The MD5 of the content, as for uploads; about three times the CPU of the whole ingest.
    Md5,
}

/// Pictures: those that channels ask for, those that requests ask for, and what they may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SnapshotsConfig {
    /// Whether pictures are made at all. Without, no decoder is ever started.
    pub(crate) enabled: bool,
    /// Decoder processes for the pictures of pushes, and as many for those of requests; 0 is half of the processors, at
    /// least one.
    pub(crate) workers: usize,
    /// How long a decoder may take for the picture of a push, milliseconds.
    pub(crate) deadline_ms: u64,
    /// How long it may take for a picture that a request asks for, milliseconds.
    pub(crate) request_deadline_ms: u64,
    /// The largest picture that is decoded, pixels.
    pub(crate) max_pixels: u64,
    /// Pictures that may wait for a decoder; further ones are dropped and counted.
    pub(crate) max_waiting: usize,
    /// Memory for the newest key frames of the channels on air, of which stills are made, MiB; 0 makes them of the last
    /// segment.
    pub(crate) stills_mib: usize,
    /// Quality of JPEG files, 1 to 100.
    pub(crate) jpeg_quality: u8,
    /// A program `ffmpeg` that decodes interlaced video; absent: it is refused.
    pub(crate) ffmpeg: Option<PathBuf>,
    /// Where the messages about pictures go: `topic = "http://..."` (LiveChannel 6.2).
    pub(crate) topics: BTreeMap<String, String>,
}

/// The switches of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StorageConfig {
    /// What a power cut may take (D8).
    pub(crate) durability: Durability,
    /// How long the bytes of a replaced or deleted object are kept for downloads that still run, seconds.
    pub(crate) garbage_grace_s: u64,
    /// How often lifecycle rules are run, seconds (HTTP API 8.13).
    pub(crate) lifecycle_interval_s: u64,
    /// How often access logs are written to their buckets, seconds (HTTP API 8.15).
    pub(crate) access_log_interval_s: u64,
    /// Free space of the file system below which uploads are refused, MiB, at most a twentieth of it: deletions and pushes
    /// live on it; 0 keeps none.
    pub(crate) reserve_mib: u64,
    /// Bytes of blobs that are kept on this machine when `blobs` are elsewhere, MiB.
    pub(crate) cache_mib: u64,
    /// How often the new bytes of open segments go to the shared store when `blobs` are elsewhere, ms: what the loss of a
    /// machine may cost; 0 never.
    pub(crate) tail_ms: u64,
    /// How fast everything stored is read in the background and compared with its checksums, MiB a second; 0 never.
    pub(crate) scrub_mib_per_s: u32,
}

/// What a power cut may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// Finished objects survive; of an open segment at most the last second is missing.
    Full,
    /// The operating system decides when bytes reach the disk; a process crash still loses nothing finished.
    Relaxed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./millpond-data"),
            meta: None,
            blobs: None,
            instance: None,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 9000))],
            rtmp_listen: vec![SocketAddr::from(([127, 0, 0, 1], 1935))],
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9001)),
            console_listen: None,
            domains: Vec::new(),
            custom_domains: BTreeMap::new(),
            host_fallback: UnknownHost::default(),
            force_virtual_hosted: false,
            public_endpoint: None,
            internal_endpoint: None,
            region: "cn-hangzhou".to_owned(),
            accepted_regions: Vec::new(),
            public_rtmp: None,
            virtual_host_urls: false,
            max_buckets: 100,
            callback_allow_private: false,
            auth_failures_per_minute: 600,
            max_connections: None,
            max_unproven_per_address: None,
            secrets_key_file: None,
            read_only: false,
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            leave_s: 0,
            drain_s: 30,
            tls: TlsConfig::default(),
            http: HttpConfig::default(),
            cache: CacheConfig::default(),
            cors: CorsConfig::default(),
            referer: RefererConfig::default(),
            hls_sign: HlsSignConfig::default(),
            live: LiveConfig::default(),
            snapshots: SnapshotsConfig::default(),
            storage: StorageConfig::default(),
            memory: MemoryConfig::default(),
        }
    }
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

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            segmenting: Segmenting::Oss,
            recovery_points_start_segments: false,
            refuse_unrecordable_after_s: 0,
            authoring: Authoring::Oss,
            program_date_time: true,
            vod_program_date_time: false,
            reconnect_window_s: 60,
            end_list_after_s: None,
            takeover_after_s: 3,
            ping_after_s: 5,
            media_timeout_s: 15,
            max_message_bytes: 32 << 20,
            reject_existing_channel: false,
            fill_in_fragments: false,
            accept_snapshots: true,
            channel_name_max_bytes: ChannelName::DEFAULT_MAX_BYTES,
            max_channels_per_bucket: 1000,
            max_list_calls_per_s: 100,
            max_ingest_mbit_s: 100,
            default_bucket: None,
            segment_etag: SegmentEtag::Crc,
        }
    }
}

impl Default for SnapshotsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            workers: 0,
            deadline_ms: 2_000,
            request_deadline_ms: 10_000,
            max_pixels: 4096 * 2304,
            max_waiting: 256,
            stills_mib: 64,
            jpeg_quality: 95,
            ffmpeg: None,
            topics: BTreeMap::new(),
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            garbage_grace_s: 300,
            lifecycle_interval_s: 3600,
            access_log_interval_s: 60,
            reserve_mib: 256,
            cache_mib: 4096,
            tail_ms: 1000,
            scrub_mib_per_s: 4,
        }
    }
}

/// The flags of `serve` and `demo`; each overrides its variable, its line in the file and its default.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// TOML file with settings.
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for objects and metadata [default: ./millpond-data].
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Map that several servers share, in PostgreSQL: `postgres://USER@HOST:PORT[,HOST:PORT]/DATABASE`. The password
    /// comes from PGPASSWORD or a PGPASSFILE.
    #[arg(long, env = "MILLPOND_META", value_name = "URL", hide_env_values = true)]
    pub(crate) meta: Option<String>,
    /// Blobs that several servers share, on an S3-compatible store: `s3://BUCKET[/PREFIX]?endpoint=URL`. Keys come from
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    #[arg(long, env = "MILLPOND_BLOBS", value_name = "URL", hide_env_values = true)]
    pub(crate) blobs: Option<String>,
    /// Serve what is in the data directory and refuse what would change it, while `millpond migrate` copies it.
    #[arg(long, env = "MILLPOND_READ_ONLY")]
    pub(crate) read_only: bool,
    /// Name of this server among those that share a map, which no other one has: 1 to 32 letters, digits and dashes
    /// [default: a random one in the data directory].
    #[arg(long, env = "MILLPOND_INSTANCE", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Address for HTTP and RTMP; may be repeated [default: 127.0.0.1:9000].
    #[arg(long, env = "MILLPOND_LISTEN", value_name = "ADDR", value_parser = crate::address::parse, value_delimiter = ',')]
    pub(crate) listen: Vec<SocketAddr>,
    /// Further address for RTMP; may be repeated [default: 127.0.0.1:1935].
    #[arg(long, env = "MILLPOND_RTMP_LISTEN", value_name = "ADDR", value_parser = crate::address::parse, value_delimiter = ',')]
    pub(crate) rtmp_listen: Vec<SocketAddr>,
    /// Address for /healthz, /readyz and /metrics [default: 127.0.0.1:9001].
    #[arg(long, env = "MILLPOND_ADMIN_LISTEN", value_name = "ADDR", value_parser = crate::address::parse)]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Address for the console and the management API, which the other addresses then do not have.
    #[arg(long, env = "MILLPOND_CONSOLE_LISTEN", value_name = "ADDR", value_parser = crate::address::parse)]
    pub(crate) console_listen: Option<SocketAddr>,
    /// Endpoint domain: bucket.HOST then names a bucket; may be repeated.
    #[arg(long = "domain", env = "MILLPOND_DOMAIN", value_name = "HOST", value_delimiter = ',')]
    pub(crate) domains: Vec<String>,
    /// Region shown to clients [default: cn-hangzhou].
    #[arg(long, env = "MILLPOND_REGION", value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Host and port encoders should push to, when it differs from the API's.
    #[arg(long, env = "MILLPOND_PUBLIC_RTMP", value_name = "HOST[:PORT]")]
    pub(crate) public_rtmp: Option<String>,
    /// PEM file with the certificate of HTTPS and RTMPS; read again when it changes.
    #[arg(long, env = "MILLPOND_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, env = "MILLPOND_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Wrong signatures a minute from one address before further ones are answered with 503 [default: 600].
    #[arg(long, env = "MILLPOND_AUTH_FAILURES_PER_MINUTE", value_name = "COUNT")]
    pub(crate) auth_failures_per_minute: Option<u32>,
    /// File with the key that secrets are sealed with [default: secrets.key in the data directory].
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    pub(crate) secrets_key_file: Option<PathBuf>,
    /// Network of a reverse proxy whose word about addresses counts; may be repeated.
    #[arg(long = "trusted-proxy", env = "MILLPOND_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<String>,
    /// Where segments are cut when a key frame comes late [default: oss].
    #[arg(long, env = "MILLPOND_SEGMENTING", value_enum)]
    pub(crate) segmenting: Option<Segmenting>,
    /// What a power cut may take [default: full].
    #[arg(long, env = "MILLPOND_DURABILITY", value_enum)]
    pub(crate) durability: Option<Durability>,
}

impl Config {
    /// Joins defaults, file, environment and flags.
    ///
    /// # Errors
    /// When the file cannot be read or has an unknown key, or a value is out of its bounds.
    pub(crate) fn load(args: &ConfigArgs) -> anyhow::Result<Self> {
        let mut config = match &args.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        fn replace<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                target.clone_from(value);
            }
        }
        fn replace_list<T: Clone>(target: &mut Vec<T>, values: &[T]) {
            if !values.is_empty() {
                *target = values.to_vec();
            }
        }
        replace(&mut config.data_dir, &args.data_dir);
        if args.meta.is_some() {
            config.meta.clone_from(&args.meta);
        }
        if args.blobs.is_some() {
            config.blobs.clone_from(&args.blobs);
        }
        config.read_only |= args.read_only;
        if args.instance.is_some() {
            config.instance.clone_from(&args.instance);
        }
        replace_list(&mut config.listen, &args.listen);
        replace_list(&mut config.rtmp_listen, &args.rtmp_listen);
        replace(&mut config.admin_listen, &args.admin_listen);
        if args.console_listen.is_some() {
            config.console_listen = args.console_listen;
        }
        replace_list(&mut config.domains, &args.domains);
        replace(&mut config.region, &args.region);
        if args.public_rtmp.is_some() {
            config.public_rtmp.clone_from(&args.public_rtmp);
        }
        if args.tls_cert.is_some() {
            config.tls = TlsConfig { certificate: args.tls_cert.clone(), key: args.tls_key.clone() };
        }
        if args.secrets_key_file.is_some() {
            config.secrets_key_file.clone_from(&args.secrets_key_file);
        }
        replace_list(&mut config.trusted_proxies, &args.trusted_proxies);
        replace(&mut config.auth_failures_per_minute, &args.auth_failures_per_minute);
        replace(&mut config.live.segmenting, &args.segmenting);
        replace(&mut config.storage.durability, &args.durability);
        config.check()?;
        Ok(config)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the settings in {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the settings in {} are not right", path.display()))
    }

    /// The proxies whose word counts.
    ///
    /// # Errors
    /// When one of them is no network.
    pub(crate) fn proxies(&self) -> anyhow::Result<TrustedProxies> {
        TrustedProxies::new(&self.trusted_proxies, self.forwarded_header)
            .context("`trusted_proxies` are addresses and networks such as 10.0.0.0/8 or 2001:db8::1")
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.read_only && self.meta.as_ref().is_some_and(|meta| !meta.is_empty()) {
            bail!(
                "`read_only` is about a data directory; `millpond store read-only --meta …` makes a map in PostgreSQL read-only"
            );
        }
        if self.listen.is_empty() {
            bail!("`listen` needs at least one address");
        }
        if self.region.is_empty() || !self.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            bail!("`region` is letters, digits and dashes, such as cn-hangzhou; it is {:?}", self.region);
        }
        if let Some(instance) = &self.instance {
            let is_name = (1..=INSTANCE_MAX).contains(&instance.len())
                && instance.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_name {
                bail!(
                    "`instance` is 1 to {INSTANCE_MAX} letters, digits and dashes, such as pond-1; it is {instance:?}"
                );
            }
            if self.meta.as_deref().is_none_or(str::is_empty) {
                bail!("`instance` names one of several servers that share a map: set `meta` too, or leave it out");
            }
        }
        for (domain, bucket) in &self.custom_domains {
            if BucketName::parse(bucket).is_err() {
                bail!("`custom_domains` maps {domain} to {bucket:?}, which is no bucket name");
            }
        }
        for bucket in &self.hls_sign.siblings {
            if BucketName::parse(bucket).is_err() {
                bail!("`hls_sign.siblings` lists {bucket:?}, which is no bucket name");
            }
        }
        if let Some(bucket) = &self.live.default_bucket
            && BucketName::parse(bucket).is_err()
        {
            bail!("`live.default_bucket` is {bucket:?}, which is no bucket name");
        }
        for endpoint in [&self.public_endpoint, &self.internal_endpoint].into_iter().flatten() {
            if endpoint.is_empty() || endpoint.contains(|c: char| c.is_whitespace() || c == '/') {
                bail!(
                    "`public_endpoint` and `internal_endpoint` are a host and a port if it needs one, not {endpoint:?}"
                );
            }
        }
        self.proxies()?;
        if self.max_connections == Some(0) {
            bail!("`max_connections` is at least 1");
        }
        if !(1024..=1 << 30).contains(&self.live.max_message_bytes) {
            bail!("`live.max_message_bytes` is between 1 KiB and 1 GiB");
        }
        if !(1..=ChannelName::MAX_BYTES).contains(&self.live.channel_name_max_bytes) {
            bail!(
                "`live.channel_name_max_bytes` is between 1 and {}, so that a playlist's name fits behind it in a key",
                ChannelName::MAX_BYTES
            );
        }
        if !(1..=86_400).contains(&self.storage.lifecycle_interval_s) {
            bail!("`storage.lifecycle_interval_s` is between a second and a day");
        }
        if self.storage.cache_mib > 1 << 30 {
            bail!("`storage.cache_mib` is at most 1 PiB");
        }
        if self.storage.tail_ms != 0 && !(100..=60_000).contains(&self.storage.tail_ms) {
            bail!("`storage.tail_ms` is between 100 ms and a minute, or 0 for none");
        }
        if !(1..=3600).contains(&self.storage.access_log_interval_s) {
            bail!("`storage.access_log_interval_s` is between a second and an hour");
        }
        if ![self.http.head_timeout_s, self.http.body_timeout_s].iter().all(|s| (1..=86_400).contains(s)) {
            bail!("`http.head_timeout_s` and `http.body_timeout_s` are between a second and a day");
        }
        if !(1..=86_400).contains(&self.http.stalled_answer_s) {
            bail!("`http.stalled_answer_s` is between a second and a day");
        }
        if self.drain_s > 3600 || self.leave_s > 3600 {
            bail!("`drain_s` and `leave_s` are at most an hour each");
        }
        if self.storage.reserve_mib > 1 << 24 {
            bail!("`storage.reserve_mib` is at most 16 TiB");
        }
        if ![self.memory.receive_mib, self.memory.send_mib].iter().all(|mib| (1..=1 << 20).contains(mib)) {
            bail!("`memory.receive_mib` and `memory.send_mib` are between 1 MiB and 1 TiB");
        }
        if self.http.min_body_bytes_per_s > 1 << 20 {
            bail!("`http.min_body_bytes_per_s` is at most 1 MiB");
        }
        let cache = &self.cache;
        if [cache.segment_max_age_s, cache.live_playlist_max_age_s, cache.vod_playlist_max_age_s]
            .iter()
            .any(|s| *s > 31_536_000)
        {
            bail!("`cache.segment_max_age_s` and the others like it are at most 31536000, a year");
        }
        self.snapshots.check()?;
        if self.live.media_timeout_s == 0 || self.live.ping_after_s == 0 {
            bail!("`live.media_timeout_s` and `live.ping_after_s` are at least 1");
        }
        Ok(())
    }
}

impl SnapshotsConfig {
    fn check(&self) -> anyhow::Result<()> {
        if self.workers > 256 || !(1..=100_000).contains(&self.max_waiting) || self.stills_mib > 1 << 20 {
            bail!("`snapshots.workers`, `snapshots.max_waiting` or `snapshots.stills_mib` is out of its bounds");
        }
        if ![self.deadline_ms, self.request_deadline_ms].iter().all(|ms| (50..=120_000).contains(ms)) {
            bail!("`snapshots.deadline_ms` and `snapshots.request_deadline_ms` are between 50 ms and two minutes");
        }
        if !(1..=100).contains(&self.jpeg_quality) || !(256..=1 << 28).contains(&self.max_pixels) {
            bail!("`snapshots.jpeg_quality` is 1 to 100, `snapshots.max_pixels` 256 to 268435456");
        }
        for (topic, url) in &self.topics {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                bail!("`snapshots.topics` maps {topic:?} to {url:?}, which is no address of HTTP");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused() {
        for (text, fault) in [
            ("listen = [\"127.0.0.1:0\"]\n[live]\nsegmenting = \"strict\"\n", None),
            ("lisen = []\n", Some("lisen")),
            ("[live]\nend_list = 3\n", Some("end_list")),
            ("[live]\nsegmenting = \"sometimes\"\n", Some("sometimes")),
        ] {
            let read = toml::from_str::<Config>(text);
            assert_eq!(read.as_ref().err().map(|e| e.to_string().contains(fault.unwrap_or("-"))), fault.map(|_| true));
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("millpond.toml");
        std::fs::write(&path, "region = \"cn-beijing\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n").unwrap();
        let args = ConfigArgs { config: Some(path), region: Some("cn-shanghai".to_owned()), ..Default::default() };
        let config = Config::load(&args).unwrap();
        assert_eq!(config.region, "cn-shanghai");
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.live, LiveConfig::default());
    }

    #[test]
    fn a_name_of_a_server_is_short_and_for_those_that_share_a_map() {
        let named = |instance: &str, meta: Option<&str>| {
            let args = ConfigArgs { instance: Some(instance.to_owned()), ..Default::default() };
            Config::load(&ConfigArgs { meta: meta.map(str::to_owned), ..args }).map(|config| config.instance)
        };
        let shared = Some("postgres://u@h/d");
        for name in ["a", "pond-1", "0123456789ABCDEF", &"x".repeat(32)] {
            assert_eq!(named(name, shared).unwrap().as_deref(), Some(name));
        }
        for name in ["", "a b", "a/b", "a.b", "é", &"x".repeat(33)] {
            assert!(named(name, shared).unwrap_err().to_string().contains("1 to 32"), "{name:?}");
        }
        for meta in [None, Some("")] {
            assert!(named("pond-1", meta).unwrap_err().to_string().contains("set `meta` too"));
        }
    }

    #[test]
    fn the_reference_names_every_setting() {
        let reference = include_str!("../../../docs/config.md");
        let text = toml::to_string(&Config {
            meta: Some(String::new()),
            blobs: Some(String::new()),
            instance: Some(String::new()),
            public_endpoint: Some(String::new()),
            internal_endpoint: Some(String::new()),
            public_rtmp: Some(String::new()),
            max_connections: Some(1),
            max_unproven_per_address: Some(0),
            secrets_key_file: Some(PathBuf::new()),
            console_listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
            custom_domains: BTreeMap::new(),
            tls: TlsConfig { certificate: Some(PathBuf::new()), key: Some(PathBuf::new()) },
            live: LiveConfig {
                end_list_after_s: Some(0),
                default_bucket: Some(String::new()),
                ..LiveConfig::default()
            },
            snapshots: SnapshotsConfig { ffmpeg: Some(PathBuf::new()), ..SnapshotsConfig::default() },
            ..Config::default()
        })
        .unwrap();
        for line in text.lines() {
            if let Some((key, _)) = line.split_once(" = ") {
                assert!(reference.contains(&format!("`{key}`")), "docs/config.md does not name {key}");
            }
        }
    }
}
