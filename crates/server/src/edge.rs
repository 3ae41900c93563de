//! What the edge of a running server holds: its listeners, its bounds, and the services below.

use std::sync::Arc;
use std::time::Duration;

use oss::request::Addressing;

use crate::access_log::AccessLog;
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::{Caps, Connections};
use crate::dependencies::Dependencies;
use crate::files::Files;
use crate::live::{self, Admissions, Live};
use crate::management::Management;
use crate::memory::Memory;
use crate::metering::Usage;
use crate::objects::{self, Objects};
use crate::ops::Services;
use crate::peers::Peers;
use crate::proxies::TrustedProxies;
use crate::stills::Stills;
use crate::tls::Tls;

/// The parts of a running server. Nothing below the edge knows it.
pub(crate) struct Edge {
    /// What the run was configured with.
    pub(crate) config: Config,
    /// The time.
    pub(crate) clock: Clock,
    /// Buckets and objects.
    pub(crate) objects: Arc<Objects>,
    /// Whether metadata and blobs answer.
    pub(crate) dependencies: Arc<Dependencies>,
    /// Who may call.
    pub(crate) accounts: Arc<Accounts>,
    /// Channels and pushes.
    pub(crate) live: Arc<Live>,
    /// This server among those that share the map.
    pub(crate) peers: Arc<Peers>,
    /// What makes pictures.
    pub(crate) stills: Arc<Stills>,
    /// What was used.
    pub(crate) usage: Arc<Usage>,
    /// What the operations of the API work with.
    pub(crate) services: Services,
    /// The management API.
    pub(crate) management: Management,
    /// What a publish is judged by.
    pub(crate) admissions: Admissions,
    /// Entries about requests to buckets that are logged.
    pub(crate) access_log: Arc<AccessLog>,
    /// Blobs for requests, which have a share of the files that may be open.
    pub(crate) files: Arc<Files>,
    /// What all peers together may make us hold.
    pub(crate) memory: Arc<Memory>,
    /// Who is connected.
    pub(crate) connections: Arc<Connections>,
    /// Who is connected to the admin listener.
    pub(crate) admin_connections: Arc<Connections>,
    /// Host names and what they mean.
    pub(crate) addressing: Addressing,
    /// The certificate, when there is one.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Whose word about addresses is believed.
    pub(crate) proxies: TrustedProxies,
    /// When the server started, unix ms.
    pub(crate) started_ms: i64,
    /// Where it listens, once it does: what for, and the address with its real port.
    pub(crate) listening: std::sync::OnceLock<Vec<(&'static str, std::net::SocketAddr)>>,
}

/// What the edge is built from.
pub(crate) struct Parts {
    /// The metadata store.
    pub(crate) meta: store::meta::Meta,
    /// The blob store.
    pub(crate) blobs: Arc<dyn store::blob::BlobStore>,
    /// The root account.
    pub(crate) root: crate::root_key::RootKey,
    /// This server among those that share the map.
    pub(crate) peers: Arc<Peers>,
    /// How many descriptors there are for what.
    pub(crate) shares: crate::descriptors::Shares,
    /// The certificate, when there is one.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Host names and what they mean.
    pub(crate) addressing: Addressing,
    /// The time.
    pub(crate) clock: Clock,
    /// What the run was configured with.
    pub(crate) config: Config,
}

impl Edge {
    /// Builds the services from the bottom.
    ///
    /// # Errors
    /// When a trusted proxy is no network.
    pub(crate) fn new(parts: Parts) -> anyhow::Result<Self> {
        let Parts { meta, blobs, root, peers, shares, tls, addressing, clock, config } = parts;
        let connections = Connections::new(Caps::new(&shares, config.max_unproven_per_address));
        let files = Arc::new(Files::new(blobs.clone(), &shares, connections.clone()));
        let memory = Arc::new(Memory::new(&config));
        let settings = objects::Settings::of(&config);
        let objects = Objects::new(meta.clone(), files.clone(), blobs.clone(), memory.clone(), clock.clone(), settings);
        let objects = Arc::new(objects);
        let usage = Arc::new(Usage::new(meta.clone(), clock.clone(), peers.clone()));
        let accounts = Arc::new(Accounts::new(meta.clone(), root, clock.clone(), &config));
        let stills = Stills::new(config.snapshots.clone(), objects.clone(), accounts.root().id.clone(), clock.clone());
        let stills = Arc::new(stills);
        let dependencies = Arc::new(Dependencies::new(objects.clone(), blobs.clone()));
        let live = Live::new(meta, blobs, clock.clone(), live::Settings::of(&config), peers.clone());
        let live = Arc::new(live.with_stills(stills.clone()));
        let log_interval = Duration::from_secs(config.storage.access_log_interval_s);
        Ok(Self {
            services: Services {
                objects: objects.clone(),
                live: live.clone(),
                stills: stills.clone(),
                signed_playlists: Default::default(),
                files: files.clone(),
                cache: config.cache.clone(),
                callback_allow_private: config.callback_allow_private,
            },
            management: Management::new(
                accounts.clone(),
                objects.clone(),
                live.clone(),
                memory.clone(),
                usage.clone(),
                clock.clone(),
            ),
            admissions: Admissions {
                objects: objects.clone(),
                accounts: accounts.clone(),
                live: live.clone(),
                addressing: addressing.clone(),
            },
            access_log: Arc::new(AccessLog::new(objects.clone(), log_interval)),
            admin_connections: Connections::new(Caps::admin(&shares)),
            proxies: config.proxies()?,
            started_ms: clock.now_ms(),
            listening: Default::default(),
            clock,
            objects,
            dependencies,
            accounts,
            live,
            peers,
            usage,
            stills,
            files,
            memory,
            connections,
            addressing,
            tls,
            config,
        })
    }
}

#[cfg(test)]
impl Edge {
    /// An edge without sockets on these stores.
    pub(crate) fn in_memory(
        meta: store::meta::Meta,
        blobs: Arc<dyn store::blob::BlobStore>,
        addressing: Addressing,
        config: Config,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let peers = Arc::new(Peers::alone(meta.clone(), "test".to_owned()));
        Self::new(Parts {
            meta,
            blobs,
            root: crate::root_key::RootKey::obtain(folder.path())?,
            peers,
            shares: crate::descriptors::Shares::new(1024, 0, 1, None)
                .ok_or_else(|| anyhow::anyhow!("1024 files are enough"))?,
            tls: None,
            addressing,
            clock: Clock::system(),
            config,
        })
    }
}
