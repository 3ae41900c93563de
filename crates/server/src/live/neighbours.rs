//! Pushes of other servers that share the map: who is on air there, and how they are asked to make way or to end.

use std::net::SocketAddr;
use std::time::Duration;

use model::Error;
use store::meta::peer::{ShownPush, Wish, WishRecord};
use tokio::time::Instant;

use super::Live;
use super::channels::ChannelId;
use super::shown::remote;
use crate::objects::internal;

/// How often it is looked whether another server has answered, or ended a push.
const POLL: Duration = Duration::from_millis(200);
/// How long who wants to publish waits for another server: it may be dead, which shows after ten seconds.
const YIELD_TIMEOUT: Duration = Duration::from_secs(12);

/// A push of another server.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere {
    /// When it began, Unix milliseconds.
    pub(crate) started_ms: i64,
    /// The publisher.
    pub(crate) remote: SocketAddr,
    /// What its server shows of it, once it does.
    pub(crate) push: Option<ShownPush>,
}

/// What a server answered that holds a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The channel is free.
    Free,
    /// Its publisher is there.
    Taken,
}

impl Live {
    /// Who publishes to a channel on another server, if somebody does and other servers share the map.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn elsewhere(&self, id: &ChannelId) -> Result<Option<Elsewhere>, Error> {
        if !self.peers.is_shared() {
            return Ok(None);
        }
        let (bucket, channel) = id;
        let Some(push) = self.meta.publication(bucket, channel).await.map_err(internal)? else { return Ok(None) };
        let Some(lease) = self.meta.publisher(bucket, channel).await.map_err(internal)? else {
            // Its server died, or is about to end it.
            return Ok(None);
        };
        let started_ms = push.start.started_ms;
        let others = self.peers.others().await.map_err(internal)?;
        let shown = others.iter().filter(|other| other.life == lease.holder).flat_map(|other| &other.shown.pushes);
        let is_it = |one: &&ShownPush| {
            (one.bucket.as_str(), one.channel.as_str(), one.started_ms)
                == (bucket.as_str(), channel.as_str(), started_ms)
        };
        let push_shown = { shown }.find(is_it).cloned();
        Ok(Some(Elsewhere { started_ms, remote: remote(&push.start.remote_addr), push: push_shown }))
    }

    /// Ends the push that another server has on a channel which was disabled, and waits for its end, at most `timeout`.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn end_elsewhere(&self, id: &ChannelId, timeout: Duration) -> Result<(), Error> {
        if !self.peers.is_shared() || !self.is_held(id).await? {
            return Ok(());
        }
        let wish = self.wish(id, Wish::End).await?;
        let deadline = Instant::now() + timeout;
        let mut ended = Ok(());
        while Instant::now() < deadline {
            match self.is_held(id).await {
                Ok(true) => tokio::time::sleep(POLL).await,
                Ok(false) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        self.take_back(id, &wish).await;
        ended
    }

    /// Asks the server that holds a channel to give it to a publisher of this one, and waits for what comes of it.
    /// `is_gone` ends when the publisher has left.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn ask_for(&self, id: &ChannelId, is_gone: impl Future<Output = ()>) -> Result<Answer, Error> {
        if !self.peers.is_shared() {
            return Ok(Answer::Taken);
        }
        if !self.is_held(id).await? {
            return Ok(Answer::Free);
        }
        let wish = self.wish(id, Wish::Publish).await?;
        let answer = tokio::select! {
            answer = self.answer(id, &wish) => answer,
            () = is_gone => Ok(Answer::Taken),
            () = self.channels.closed() => Ok(Answer::Taken),
        };
        self.take_back(id, &wish).await;
        answer
    }

    /// What comes of a wish to publish.
    async fn answer(&self, id: &ChannelId, wish: &str) -> Result<Answer, Error> {
        let deadline = Instant::now() + YIELD_TIMEOUT;
        while Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
            if !self.is_held(id).await? {
                return Ok(Answer::Free);
            }
            if self.meta.is_wish_refused(&id.0, &id.1, wish).await.map_err(internal)? {
                break;
            }
        }
        Ok(Answer::Taken)
    }

    /// Whether a living process holds the channel. This one does not: it would have found the push in its memory.
    async fn is_held(&self, id: &ChannelId) -> Result<bool, Error> {
        Ok(self.meta.publisher(&id.0, &id.1).await.map_err(internal)?.is_some())
    }

    async fn wish(&self, id: &ChannelId, wish: Wish) -> Result<String, Error> {
        let name = model::hex_upper(&crate::ids::random::<8>());
        let record = WishRecord { wish, by: self.peers.holder().to_owned(), is_refused: false };
        self.meta.wish(&id.0, &id.1, &name, &record).await.map_err(internal)?;
        Ok(name)
    }

    /// A wish that cannot be taken back now is cleared away when this process has ended.
    async fn take_back(&self, id: &ChannelId, wish: &str) {
        if let Err(error) = self.meta.unwish(&id.0, &id.1, wish).await {
            tracing::debug!(%error, bucket = %id.0, channel = %id.1, "a wish cannot be taken back now");
        }
    }

    /// Frees a channel whose publisher's process is dead, so that it can be configured or deleted.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn free_of_dead(&self, id: &ChannelId) -> Result<(), Error> {
        if !self.peers.is_shared() || self.is_held(id).await? {
            return Ok(());
        }
        let (ttl, claim) = (self.peers.lease_ttl(), store::kv::Claim::IfFree);
        // Where somebody was faster, the channel is not free.
        if let Ok(lease) = self.meta.acquire_publisher(&id.0, &id.1, self.peers.holder(), ttl, claim).await {
            self.meta.release_publisher(&lease).await.map_err(internal)?;
        }
        Ok(())
    }
}
