//! The ways to a channel: how it is configured, who publishes to it, what it recorded.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::access::Caller;
use model::name::{BucketName, ChannelName};
use model::{ChannelStatus, Error, ErrorCode};
use store::meta::{ChannelRecord, ChannelSettings, HistoryEntry, Meta, Page};
use usage::{Counters, Meter};

use super::channels::{ChannelId, OnAir};
use super::vod::vod_text;
use super::{Live, StopReason};
use crate::metering::{tally, user_of};
use crate::objects::internal;

/// How long the end of a push is waited for whose encoder has left.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long disabling waits for the push to end (LiveChannel 1.2).
const DISABLE_TIMEOUT: Duration = Duration::from_secs(10);

impl Live {
    /// A channel.
    ///
    /// # Errors
    /// `NoSuchLiveChannel`, and those of the store.
    pub(crate) async fn channel(&self, bucket: &BucketName, name: &ChannelName) -> Result<ChannelRecord, Error> {
        let found = self.meta.channel(bucket, name).await.map_err(internal)?;
        found.ok_or_else(|| Error::new(ErrorCode::NoSuchLiveChannel))
    }

    /// Changes the settings of a channel beside its configuration, and gives them. The next push follows them.
    ///
    /// # Errors
    /// `NoSuchLiveChannel`, and those of the store.
    pub(crate) async fn change_settings(
        &self,
        id: &ChannelId,
        mut change: impl FnMut(&mut ChannelSettings) + Send,
    ) -> Result<ChannelSettings, Error> {
        let changed = self.meta.update_channel(&id.0, &id.1, |channel| change(&mut channel.settings)).await;
        let changed = changed.map_err(|error| match error.kind {
            store::ErrorKind::NotFound => Error::new(ErrorCode::NoSuchLiveChannel),
            _ => internal(error),
        })?;
        Ok(changed.settings)
    }

    /// Who publishes to a channel, if anybody does.
    pub(crate) fn on_air(&self, id: &ChannelId) -> Option<Arc<OnAir>> {
        // Who waits for the push of another server to end is not on air.
        self.channels.find(id).filter(|on_air| !self.peers.is_shared() || on_air.has_begun())
    }

    /// Everybody who publishes, with the channels.
    pub(crate) fn all_on_air(&self) -> std::collections::HashMap<ChannelId, Arc<OnAir>> {
        self.channels.all()
    }

    /// Somebody read an object. Who reads the playlist of a push is counted among its viewers.
    pub(crate) fn note_reader(&self, bucket: &BucketName, key: &str, address: IpAddr, user_agent: &[u8]) {
        let Some((channel, playlist)) = key.split_once('/').filter(|(_, playlist)| playlist.ends_with(".m3u8")) else {
            return;
        };
        let Ok(channel) = ChannelName::parse(channel.as_bytes()) else { return };
        if let Some(on_air) = self.channels.find(&(bucket.clone(), channel)) {
            on_air.note_viewer(playlist, address, user_agent);
        }
    }

    /// The channels of a bucket, at most `limit`, for a page that shows those of all buckets. Not a call of LiveChannel
    /// 7.4, so its quota does not count it; whoever calls bounds it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn survey_channels(
        &self,
        bucket: &BucketName,
        limit: usize,
    ) -> Result<Page<(ChannelName, ChannelRecord)>, Error> {
        self.meta.list_channels(bucket, "", "", limit).await.map_err(internal)
    }

    /// Makes a channel or configures one anew, which nobody publishes to.
    ///
    /// # Errors
    /// `ChannelStillLive`; `LiveChannelAlreadyExists` where the server is configured to refuse; `InvalidArgument` for one
    /// channel too many; those of the store.
    pub(crate) async fn configure(&self, id: &ChannelId, record: &ChannelRecord, caller: &Caller) -> Result<(), Error> {
        self.wait_until_free(id).await?;
        let settings = &self.settings.live;
        if settings.reject_existing_channel && self.meta.channel(&id.0, &id.1).await.map_err(internal)?.is_some() {
            return Err(Error::new(ErrorCode::LiveChannelAlreadyExists));
        }
        let max_channels = settings.max_channels_per_bucket as u64;
        let counting = self.counting(id, caller, Meter::ChannelCreations);
        counting.put_channel(&id.0, &id.1, record, max_channels).await.map_err(|error| match error.kind {
            store::ErrorKind::QuotaExceeded => too_many_channels(),
            store::ErrorKind::Held => Error::new(ErrorCode::ChannelStillLive),
            _ => internal(error),
        })?;
        tracing::info!(bucket = %id.0, channel = %id.1, "channel configured");
        Ok(())
    }

    /// Lets a channel be published to, or not. Disabling ends a running push.
    ///
    /// # Errors
    /// `NoSuchLiveChannel`, and those of the store.
    pub(crate) async fn set_status(
        &self,
        id: &ChannelId,
        status: ChannelStatus,
        now_ms: i64,
        caller: &Caller,
    ) -> Result<(), Error> {
        let changed = self
            .counting(id, caller, Meter::StatusChanges)
            .update_channel(&id.0, &id.1, |channel| {
                if channel.config.status != status {
                    channel.config.status = status;
                    channel.modified_ms = now_ms;
                }
            })
            .await;
        changed.map_err(|error| match error.kind {
            store::ErrorKind::NotFound => Error::new(ErrorCode::NoSuchLiveChannel),
            _ => internal(error),
        })?;
        if status == ChannelStatus::Disabled {
            self.channels.stop(id, StopReason::Disabled, DISABLE_TIMEOUT).await;
            self.end_elsewhere(id, DISABLE_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Deletes a channel that nobody publishes to; there need not be one.
    ///
    /// # Errors
    /// `ChannelStillLive`, and those of the store.
    pub(crate) async fn delete_channel(&self, id: &ChannelId) -> Result<(), Error> {
        self.wait_until_free(id).await?;
        match self.meta.delete_channel(&id.0, &id.1).await {
            Ok(_) => {
                self.channels.refused.forget(id);
                Ok(())
            }
            Err(error) if error.kind == store::ErrorKind::Held => Err(Error::new(ErrorCode::ChannelStillLive)),
            Err(error) => Err(internal(error)),
        }
    }

    /// A page of the channels of a bucket.
    ///
    /// # Errors
    /// `MetaOperationQpsLimitExceeded` beyond the quota of the bucket (LiveChannel 7.4), and those of the store.
    pub(crate) async fn list_channels(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Page<(ChannelName, ChannelRecord)>, Error> {
        if !self.limits.allows_list(bucket) {
            return Err(Error::new(ErrorCode::MetaOperationQpsLimitExceeded));
        }
        self.meta.list_channels(bucket, prefix, after, limit).await.map_err(internal)
    }

    /// The last pushes that are over, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn history(&self, bucket: &BucketName, name: &ChannelName) -> Result<Vec<HistoryEntry>, Error> {
        self.meta.history(bucket, name).await.map_err(internal)
    }

    /// The playlist of what was recorded between two moments, unix ms (LiveChannel 5).
    ///
    /// # Errors
    /// `InvalidArgument` (0044-00000308) when nothing was, and those of the store.
    pub(crate) async fn recorded(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        from_ms: u64,
        to_ms: u64,
    ) -> Result<String, Error> {
        let live = &self.settings.live;
        vod_text(&self.meta, bucket, channel, from_ms, to_ms, live.vod_program_date_time, live.authoring).await
    }

    /// The store, for one change that counts as this.
    fn counting(&self, id: &ChannelId, caller: &Caller, meter: Meter) -> Meta {
        self.meta.counting(tally(&id.0, id.1.as_str(), user_of(caller), Counters::of(meter, 1)))
    }

    /// The last segment of a push that has ended is soon stored.
    async fn wait_until_free(&self, id: &ChannelId) -> Result<(), Error> {
        self.channels.settle(id, SETTLE_TIMEOUT).await;
        match self.channels.find(id) {
            Some(_) => Err(Error::new(ErrorCode::ChannelStillLive)),
            None => self.free_of_dead(id).await,
        }
    }
}

/// The refusal of one channel too many (LiveChannel 1.1.4).
fn too_many_channels() -> Error {
    Error::new(ErrorCode::InvalidArgument).message("The number of live channels in the bucket exceeds the limit.")
}
