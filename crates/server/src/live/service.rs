//! Live pushes as a service: what all of them share.

use std::sync::Arc;
use std::time::Duration;

use store::blob::BlobStore;
use store::meta::Meta;

use super::caretaker::Caretaker;
use super::{Channels, RateLimits};
use crate::clock::Clock;
use crate::config::{Config, LiveConfig};
use crate::peers::Peers;
use crate::stills::Stills;

/// Who publishes, what is on air, and what a crash left. A test of a push builds this and nothing else.
pub(crate) struct Live {
    pub(super) meta: Meta,
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) channels: Arc<Channels>,
    pub(super) limits: RateLimits,
    /// What pushes have left that waits, and nobody has taken up.
    pub(super) caretaker: Caretaker,
    /// What takes pictures of pushes; `None` where nothing does.
    pub(super) stills: Option<Arc<Stills>>,
    /// This server among those that share the map.
    pub(super) peers: Arc<Peers>,
}

/// What the configuration says about pushes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Everything below `[live]`.
    pub(crate) live: LiveConfig,
    /// How long what was deleted is still there for its readers, seconds.
    pub(crate) garbage_grace_s: u64,
}

impl Settings {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        Self { live: config.live.clone(), garbage_grace_s: config.storage.garbage_grace_s }
    }
}

impl Live {
    /// Whether segments may have to wait for a store or a map that others run, and that may be away.
    pub(super) fn may_wait(&self) -> bool {
        self.blobs.finishes_elsewhere() || self.peers.is_shared()
    }

    /// Pushes into these stores.
    pub(crate) fn new(
        meta: Meta,
        blobs: Arc<dyn BlobStore>,
        clock: Clock,
        settings: Settings,
        peers: Arc<Peers>,
    ) -> Self {
        let limits = RateLimits::new(settings.live.max_list_calls_per_s);
        let (channels, caretaker) = (Arc::new(Channels::default()), Caretaker::default());
        Self { meta, blobs, clock, settings, channels, limits, caretaker, stills: None, peers }
    }

    /// The same with what takes pictures of pushes.
    pub(crate) fn with_stills(self, stills: Arc<Stills>) -> Self {
        Self { stills: Some(stills), ..self }
    }

    /// Who is on air.
    pub(crate) fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }

    /// Ends all pushes, each with its last segment listed.
    pub(crate) async fn stop_all(&self, timeout: Duration) {
        self.channels.stop_all(super::StopReason::Shutdown, timeout).await;
    }
}
