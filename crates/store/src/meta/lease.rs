//! The right to publish on a channel: one at a time, across processes too.

use std::time::Duration;

use model::name::{BucketName, ChannelName};

use super::Meta;
use crate::error::Result;
use crate::kv::{Claim, FencingToken, Lease};

/// The right of one publisher on one channel. Whoever publishes shows it with every commit, and a commit with a lease
/// that was given to another since is refused; so nothing depends on a clock being right, only how soon another may
/// take over. Not released when dropped: a publisher that dies lets it expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherLease {
    bucket: BucketName,
    channel: ChannelName,
    pub(crate) lease: Lease,
}

impl PublisherLease {
    /// The bucket of the channel.
    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Who holds it.
    pub fn holder(&self) -> &str {
        &self.lease.holder
    }

    /// Distinguishes this holding from those before and after.
    pub fn token(&self) -> FencingToken {
        self.lease.token
    }

    /// When others may take it, Unix milliseconds.
    pub fn expires_ms(&self) -> i64 {
        self.lease.expires_ms
    }
}

/// What the lease on a channel is called in the map. Bucket names have no `/`.
pub(crate) fn publisher_lease_name(bucket: &BucketName, channel: &ChannelName) -> String {
    format!("publish/{bucket}/{channel}")
}

impl Meta {
    /// Takes the right to publish on a channel for `ttl`. `holder` says who publishes, for people and for
    /// [`Meta::dangling_publications`]. The right of a holder with a life (see [`super::peer`]) ends with it.
    ///
    /// # Errors
    /// `Held` when somebody publishes and `claim` does not allow to take over.
    pub async fn acquire_publisher(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        holder: &str,
        ttl: Duration,
        claim: Claim,
    ) -> Result<PublisherLease> {
        let lease = self.acquire_of_living(&publisher_lease_name(bucket, channel), holder, ttl, claim).await?;
        Ok(PublisherLease { bucket: bucket.clone(), channel: channel.clone(), lease })
    }

    /// Keeps the right until `ttl` from now.
    ///
    /// # Errors
    /// `Conflict` when another has it by now.
    pub async fn renew_publisher(&self, lease: &PublisherLease, ttl: Duration) -> Result<PublisherLease> {
        let renewed = self.kv().renew(&lease.lease, ttl).await?;
        Ok(PublisherLease { lease: renewed, ..lease.clone() })
    }

    /// Gives the right back; nothing happens when another has it by now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn release_publisher(&self, lease: &PublisherLease) -> Result<()> {
        self.kv().release(&lease.lease).await
    }

    /// Who may publish on a channel now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn publisher(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<Lease>> {
        self.lease_of_living(&publisher_lease_name(bucket, channel)).await
    }
}
