//! The configuration of a run: defaults, then a TOML file, then `MILLPOND_…` variables, then flags. Unknown keys are refused.
//! The comments here are the reference that `docs/config.md` is checked against.

mod check;
mod flags;
mod http;
mod live;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use flags::ConfigArgs;
pub(crate) use http::{
    CacheConfig, CorsConfig, HlsSignConfig, HttpConfig, MemoryConfig, RangeBehavior, RefererConfig, UnknownHost,
};
pub(crate) use live::{Authoring, Durability, LiveConfig, SegmentEtag, Segmenting, SnapshotsConfig, StorageConfig};

use crate::proxies::ForwardedHeader;

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

/// The certificate of HTTPS and RTMPS (D5); both files or neither.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// PEM file with the certificate and those that lead to its root.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub(crate) key: Option<PathBuf>,
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

#[cfg(test)]
mod tests;
