//! What every request and every push needs to reach.

use std::sync::Arc;

use oss::request::Addressing;
use store::blob::BlobStore;
use store::meta::Meta;

use crate::access_log::AccessLog;
use crate::auth_failures::AuthFailures;
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::Connections;
use crate::files::Files;
use crate::identity::Identities;
use crate::live::Channels;
use crate::memory::Memory;
use crate::objects::Objects;
use crate::ops::{RateLimits, SignedPlaylists};
use crate::proxies::TrustedProxies;
use crate::root_key::RootKey;
use crate::tls::Tls;

/// The parts of a running server.
pub(crate) struct State {
    /// What the run was told.
    pub(crate) config: Config,
    /// The time.
    pub(crate) clock: Clock,
    /// Buckets and objects, behind doors.
    pub(crate) objects: Arc<Objects>,
    /// Buckets, objects, channels.
    pub(crate) meta: Meta,
    /// Bytes, for pushes and upkeep. Requests reach them through `files`.
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// The same bytes for requests, which have a share of the files that may be open.
    pub(crate) files: Arc<Files>,
    /// Who is connected.
    pub(crate) connections: Arc<Connections>,
    /// Who is connected to the admin listener.
    pub(crate) admin_connections: Arc<Connections>,
    /// Host names and what they mean.
    pub(crate) addressing: Addressing,
    /// The account that owns everything.
    pub(crate) root: RootKey,
    /// What is kept of users and keys.
    pub(crate) identities: Identities,
    /// Playlists signed lately.
    pub(crate) signed_playlists: SignedPlaylists,
    /// The certificate, when there is one.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Whose word about addresses is believed.
    pub(crate) proxies: TrustedProxies,
    /// Who guesses keys.
    pub(crate) auth_failures: AuthFailures,
    /// The name under which this data directory's server holds leases, the same in its next life.
    pub(crate) holder: String,
    /// Who is on air.
    pub(crate) channels: Arc<Channels>,
    /// Lines about requests to buckets that are logged.
    pub(crate) access_log: AccessLog,
    /// Quotas by rate (LiveChannel 7.4).
    pub(crate) limits: RateLimits,
    /// What all peers together may make us hold.
    pub(crate) memory: Arc<Memory>,
}
