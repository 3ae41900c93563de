//! Pushes of other servers that share the map: who is on air there, and how they are asked to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{ChannelStatus, Error};
use tokio::time::Instant;

use super::Live;
use super::channels::{ChannelId, OnAir};
use crate::objects::internal;

/// How often it is looked whether another server has ended a push.
const POLL: Duration = Duration::from_millis(250);

/// A push of another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// When it began, Unix milliseconds.
    pub(crate) started_ms: i64,
    /// The publisher.
    pub(crate) remote: SocketAddr,
}

impl Live {
    /// Who publishes to a channel on another server, if somebody does and other servers share the map.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn elsewhere(&self, id: &ChannelId) -> Result<Option<Elsewhere>, Error> {
        if !self.settings.is_shared {
            return Ok(None);
        }
        let (bucket, channel) = id;
        let Some(push) = self.meta.publication(bucket, channel).await.map_err(internal)? else { return Ok(None) };
        if self.meta.publisher(bucket, channel).await.map_err(internal)?.is_none() {
            // Its server died, or is about to end it.
            return Ok(None);
        }
        let remote = push.start.remote_addr.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok(Some(Elsewhere { started_ms: push.start.started_ms, remote }))
    }

    /// Waits until no other server has a push on a channel that was disabled: each looks at its channels when it renews
    /// their leases.
    pub(super) async fn wait_for_neighbours(&self, id: &ChannelId, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        while self.elsewhere(id).await?.is_some() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends a push of this server whose channel somebody disabled at another one.
    pub(super) async fn heed_neighbours(&self, id: &ChannelId, on_air: &Arc<OnAir>) {
        if !self.settings.is_shared {
            return;
        }
        // An error here is one of the store, which the next renewal or segment reports.
        if let Ok(Some(channel)) = self.meta.channel(&id.0, &id.1).await
            && channel.config.status == ChannelStatus::Disabled
        {
            on_air.stop(super::StopReason::Disabled);
        }
    }
}
