//! The LiveChannel operations (LiveChannel 1.1 to 1.7).

use std::net::SocketAddr;

use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ChannelStatus, Error, LiveChannelConfig, OperationKind, SnapshotConfig};
use store::meta::peer::ShownSnapshots;
use store::meta::{ChannelRecord, HistoryEntry, Page};

use super::Call;
use crate::live::{Measurement, measurement, snapshots};

/// How a channel is to be.
#[derive(Debug)]
pub(crate) struct NewChannel {
    /// Its name.
    pub(crate) name: ChannelName,
    /// The pictures that are asked for: whether their bucket will do is answered before what else is wrong.
    pub(crate) snapshot: Option<SnapshotConfig>,
    /// Its configuration, or what is wrong with it beside the pictures.
    pub(crate) config: Result<LiveChannelConfig, Error>,
}

/// PutLiveChannel (LiveChannel 1.1): makes a channel or configures one anew. Gives the configuration now in force.
///
/// # Errors
/// `InvalidArgument` about the bucket of the pictures and the rest of the configuration, the refusals of access
/// control 8 for the pictures, `ChannelStillLive`, `LiveChannelAlreadyExists` where the server is configured to refuse, and
/// those of the store.
pub(crate) async fn put(call: &Call<'_>, request: NewChannel) -> Result<LiveChannelConfig, Error> {
    let NewChannel { name, snapshot, config } = request;
    if let Some(snapshot) = &snapshot {
        check_snapshot(call, &name, snapshot).await?;
    }
    let config = config?;
    let id = (call.bucket()?.name.clone(), name);
    let record = ChannelRecord::new(config, call.now_ms);
    call.live().configure(&id, &record, call.granted.grant.caller()).await?;
    Ok(record.config)
}

/// Whether pictures can go to the bucket that is named for them (LiveChannel 6.1).
async fn check_snapshot(call: &Call<'_>, channel: &ChannelName, snapshot: &SnapshotConfig) -> Result<(), Error> {
    let bucket = call.bucket()?;
    let refused = |ec, message| Error::argument("DestBucket", snapshot.dest_bucket.as_str(), message).ec(ec);
    let found = match BucketName::parse(&snapshot.dest_bucket) {
        Ok(dest) => call.objects().bucket(&dest).await?,
        Err(_) => None,
    };
    let dest = found.ok_or_else(|| refused("0044-00000009", "DestBucket does not exist."))?;
    if dest.record.owner != bucket.record.owner {
        return Err(refused("0044-00000010", "DestBucket has a different owner."));
    }
    if call.objects().region_of(&dest.record) != call.objects().region_of(&bucket.record) {
        return Err(refused("0044-00000011", "DestBucket is in a different region."));
    }
    // The server is to write there in the caller's name (D34).
    let picture = ObjectKey::parse(format!("{channel}/{}.jpg", call.now_ms).as_bytes())?;
    call.may(OperationKind::PutObject, &dest, &picture).await.map(drop)
}

/// PutLiveChannelStatus (LiveChannel 1.2). Disabling ends a running push before it answers.
///
/// # Errors
/// `NoSuchLiveChannel`, and those of the store.
pub(crate) async fn put_status(call: &Call<'_>, name: ChannelName, status: ChannelStatus) -> Result<(), Error> {
    let id = (call.bucket()?.name.clone(), name);
    call.live().set_status(&id, status, call.now_ms, call.granted.grant.caller()).await
}

/// GetLiveChannelInfo (LiveChannel 1.3): how a channel is configured.
///
/// # Errors
/// `NoSuchLiveChannel`, and those of the store.
pub(crate) async fn info(call: &Call<'_>, name: &ChannelName) -> Result<LiveChannelConfig, Error> {
    Ok(find(call, name).await?.config)
}

/// What a channel is doing (LiveChannel 2.1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stat {
    /// It is configured to let nobody publish.
    Disabled,
    /// Nobody publishes.
    Idle,
    /// Somebody publishes.
    Live {
        /// When the session began, unix ms.
        connected_ms: i64,
        /// The publisher.
        remote: SocketAddr,
        /// What is known of its media.
        measured: Box<Measurement>,
        /// What became of the snapshots that the channel asks for.
        snapshots: Option<ShownSnapshots>,
    },
}

/// GetLiveChannelStat (LiveChannel 1.4, 2).
///
/// # Errors
/// `NoSuchLiveChannel`, and those of the store.
pub(crate) async fn stat(call: &Call<'_>, name: ChannelName) -> Result<Stat, Error> {
    let channel = find(call, &name).await?;
    let id = (call.bucket()?.name.clone(), name);
    Ok(match (channel.config.status, call.live().on_air(&id)) {
        (ChannelStatus::Disabled, _) => Stat::Disabled,
        (ChannelStatus::Enabled, None) => match call.live().elsewhere(&id).await? {
            Some(found) => Stat::Live {
                connected_ms: found.started_ms,
                remote: found.remote,
                measured: Box::new(found.push.as_ref().map(measurement).unwrap_or_default()),
                snapshots: found.push.and_then(|push| push.snapshots),
            },
            None => Stat::Idle,
        },
        (ChannelStatus::Enabled, Some(on_air)) => Stat::Live {
            connected_ms: on_air.connected_ms,
            remote: on_air.remote,
            measured: Box::new(on_air.measure()),
            snapshots: on_air.snapshots().map(snapshots),
        },
    })
}

/// GetLiveChannelHistory (LiveChannel 1.5, 2.4): the last pushes that are over, oldest first.
///
/// # Errors
/// `NoSuchLiveChannel`, and those of the store.
pub(crate) async fn history(call: &Call<'_>, name: &ChannelName) -> Result<Vec<HistoryEntry>, Error> {
    find(call, name).await?;
    call.live().history(&call.bucket()?.name, name).await
}

/// Which channels of the bucket are to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListChannels {
    /// What their names begin with.
    pub(crate) prefix: String,
    /// The name behind which the list begins; need not be a legal one.
    pub(crate) after: String,
    /// The most channels.
    pub(crate) limit: usize,
}

/// ListLiveChannel (LiveChannel 1.6).
///
/// # Errors
/// `MetaOperationQpsLimitExceeded` beyond the quota of the bucket, and those of the store.
pub(crate) async fn list(call: &Call<'_>, request: &ListChannels) -> Result<Page<(ChannelName, ChannelRecord)>, Error> {
    let ListChannels { prefix, after, limit } = request;
    call.live().list_channels(&call.bucket()?.name, prefix, after, *limit).await
}

/// DeleteLiveChannel (LiveChannel 1.7); there need not be such a channel.
///
/// # Errors
/// `ChannelStillLive`, and those of the store.
pub(crate) async fn delete(call: &Call<'_>, name: ChannelName) -> Result<(), Error> {
    call.live().delete_channel(&(call.bucket()?.name.clone(), name)).await
}

async fn find(call: &Call<'_>, name: &ChannelName) -> Result<ChannelRecord, Error> {
    call.live().channel(&call.bucket()?.name, name).await
}
