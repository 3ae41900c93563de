//! Who may begin a push: the checks of LiveChannel 3.9, in their order.

use std::net::SocketAddr;
use std::sync::Arc;

use media::rtmp::command::PublishRequest;
use media::rtmp::target::PublishTarget;
use model::OperationKind;
use model::Resource;
use model::access::policy::ConditionValues;
use model::access::{AccessRequest, Caller, Grant, authorize};
use model::name::{BucketName, ChannelName, ObjectKey, PlaylistName};
use model::{BucketAcl, ChannelStatus};
use model::{Error, ErrorCode};
use oss::request::Addressing;
use oss::sign::rtmp::{PublishCredentials, PublishRefusal as SignatureRefusal};
use store::meta::{BucketRecord, ChannelRecord};

use super::Live;
use super::channels::ChannelId;
use super::refusal::PublishRefusal;
use crate::accounts::{Accounts, Identity};
use crate::objects::{Objects, internal};

/// Buckets that are tried when the URL names none (LiveChannel 3.8 step 5).
const MAX_CANDIDATES: usize = 64;

/// What a publish is judged by.
pub(crate) struct Admissions {
    /// Buckets, for their ACLs and policies.
    pub(crate) objects: Arc<Objects>,
    /// Who may publish.
    pub(crate) accounts: Arc<Accounts>,
    /// Channels, and who is on air.
    pub(crate) live: Arc<Live>,
    /// What host names mean.
    pub(crate) addressing: Addressing,
}

/// A push that may begin.
pub(crate) struct Admission {
    /// The channel.
    pub(super) id: ChannelId,
    /// Its configuration.
    pub(super) channel: ChannelRecord,
    /// The name of the live playlist for this push.
    pub(super) playlist: PlaylistName,
    /// The publisher.
    pub(super) remote: SocketAddr,
    /// The proof that it may; it lives as long as the push.
    pub(super) grant: Grant,
}

impl Admission {
    /// `bucket/channel`, for people.
    pub(crate) fn target(&self) -> String {
        format!("{}/{}", self.id.0, self.id.1)
    }

    /// Takes the channel as it is now: between the admission and the claim it may have been changed, most of all while
    /// the push before was waited for.
    ///
    /// # Errors
    /// `NoSuchLiveChannel`, `LiveChannelDisabled`, or that of the store.
    pub(super) async fn look_again(&mut self, live: &Live) -> Result<(), Error> {
        let channel = live.meta.channel(&self.id.0, &self.id.1).await.map_err(internal)?;
        let channel = channel.ok_or_else(|| Error::new(ErrorCode::NoSuchLiveChannel))?;
        if channel.config.status == ChannelStatus::Disabled {
            return Err(Error::new(ErrorCode::LiveChannelDisabled));
        }
        if self.playlist == self.channel.config.playlist_name {
            self.playlist.clone_from(&channel.config.playlist_name);
        }
        self.channel = channel;
        Ok(())
    }
}

/// Checks a publish.
///
/// # Errors
/// The first check that fails.
pub(crate) async fn admit(
    gate: &Admissions,
    request: &PublishRequest,
    remote: SocketAddr,
    is_secure: bool,
) -> Result<Admission, PublishRefusal> {
    let now_ms = gate.live.clock.now_ms();
    let target = match request.target() {
        Ok(target) => target,
        Err(fault) => {
            let error = Error::new(ErrorCode::InvalidArgument).message(fault.to_string());
            return Err(PublishRefusal::new(error, "", now_ms));
        }
    };
    let shown = match &target.bucket {
        Some(bucket) => format!("{bucket}/{}", target.channel),
        None => target.channel.clone(),
    };
    match check(gate, &target, remote, is_secure, now_ms).await {
        Ok(admission) => Ok(admission),
        Err(error) => {
            let error = gate.accounts.refuse(remote.ip(), error).await;
            // The refusal is what counts; when the channel cannot be found it is sent without it.
            let channel = existing_channel(gate, &target).await.unwrap_or_default();
            let channel = channel.as_ref().map(|(id, record)| (id.clone(), record));
            Err(PublishRefusal::new(error, shown, now_ms).of(channel))
        }
    }
}

async fn check(
    gate: &Admissions,
    target: &PublishTarget,
    remote: SocketAddr,
    is_secure: bool,
    now_ms: i64,
) -> Result<Admission, Error> {
    // The signature's form and dates do not depend on the bucket, and where the URL names no bucket the signature is
    // needed to find it. The order of refusals is kept: a bucket that is named and missing is refused first.
    let named = named_bucket(gate, target)?;
    if let Some(name) = &named
        && bucket(gate, name).await?.is_none()
    {
        return Err(no_such_bucket(name.as_str()));
    }
    let extracted = PublishCredentials::extract(&target.parameters, now_ms.div_euclid(1000));
    let identity = match &extracted {
        Ok(credentials) => gate.accounts.publisher(credentials).await?,
        Err(_) => None,
    };
    let record = match named {
        Some(name) => bucket(gate, &name).await?.ok_or_else(|| no_such_bucket(name.as_str()))?,
        None => find_bucket(gate, target, extracted.as_ref().ok(), identity.as_deref())
            .await?
            .ok_or_else(|| no_such_bucket(""))?,
    };
    let name = BucketName::parse(&record.name)?;
    let credentials = extracted?;
    let found = find_channel(gate, &name, target).await?;
    let channel_text = found.as_ref().map_or(target.channel.as_str(), |(channel, _)| channel.as_str());
    let caller = identify(&credentials, identity.as_deref(), &record, channel_text, target, now_ms)?;

    let channel_key =
        ObjectKey::parse(channel_text.as_bytes()).map_err(|_| Error::new(ErrorCode::NoSuchLiveChannel))?;
    let resource = Resource::Object(name.clone(), channel_key);
    let access = gate.objects.access(&name, &record)?;
    let grant = authorize(&AccessRequest {
        caller: &caller,
        operation: OperationKind::PublishRtmpStream,
        resource: &resource,
        bucket: Some(&access),
        object_acl: None,
        names_version: false,
        is_get: false,
        url_signed: false,
        referer: None,
        conditions: &ConditionValues {
            source_ip: Some(remote.ip().to_canonical()),
            secure: is_secure,
            bucket_tags: model::access::tag_pairs(&record.tags),
            now_s: now_ms.div_euclid(1000),
            ..ConditionValues::default()
        },
    })?;

    let (channel_name, channel) = match found {
        Some(found) => found,
        // A name beyond the bound is reported as such: no channel can have it.
        None => {
            return Err(match channel_name(gate, &target.channel) {
                Err(error) if error.ec == Some("0017-00000258") => error,
                _ => Error::new(ErrorCode::NoSuchLiveChannel),
            });
        }
    };
    if channel.config.status == ChannelStatus::Disabled {
        return Err(Error::new(ErrorCode::LiveChannelDisabled));
    }
    let playlist = match target.parameter("playlistName") {
        None | Some("") => channel.config.playlist_name.clone(),
        Some(text) => PlaylistName::parse(text)?,
    };
    Ok(Admission { id: (name, channel_name), channel, playlist, remote, grant })
}

/// Checks 4 to 9: who publishes.
fn identify(
    credentials: &PublishCredentials,
    identity: Option<&Identity>,
    record: &BucketRecord,
    channel: &str,
    target: &PublishTarget,
    now_ms: i64,
) -> Result<Caller, Error> {
    if credentials.access_key_id().is_none() {
        return match record.acl {
            BucketAcl::PublicReadWrite => Ok(Caller::Anonymous),
            BucketAcl::Private | BucketAcl::PublicRead => Err(SignatureRefusal::unsigned().into()),
        };
    }
    let key = identity.map(Identity::known_key);
    let bucket = record.name.as_str();
    // The name that was found is signed; while none is found, any spelling that the client sent may be (step 6).
    let mut outcome = credentials.admit(key.as_ref(), bucket, channel, now_ms);
    for variant in target.channel_variants.iter().filter(|variant| *variant != channel) {
        if outcome.is_ok() {
            break;
        }
        outcome = credentials.admit(key.as_ref(), bucket, variant, now_ms).or(outcome);
    }
    outcome?;
    Ok(identity.map_or(Caller::Anonymous, |identity| identity.caller().clone()))
}

/// The bucket that the URL names: in its path, its host, or a helper parameter.
fn named_bucket(gate: &Admissions, target: &PublishTarget) -> Result<Option<BucketName>, Error> {
    let of_host = target.host.as_deref().and_then(|host| gate.addressing.bucket_of_host(host));
    if let Some(text) = &target.bucket {
        let of_path = BucketName::parse(text).map_err(|_| no_such_bucket(text))?;
        return match of_host {
            Some(of_host) if of_host != of_path => Err(Error::new(ErrorCode::InvalidArgument)
                .message(format!("The host names the bucket {of_host}, and the path names {of_path}."))),
            _ => Ok(Some(of_path)),
        };
    }
    if of_host.is_some() {
        return Ok(of_host);
    }
    match target.bucket_hint() {
        None => Ok(None),
        Some(hint) => BucketName::parse(hint).map(Some).map_err(|_| no_such_bucket(hint)),
    }
}

/// The bucket of a URL that names none: the one whose channel the signature fits, the only public one with such a
/// channel, or the configured one (LiveChannel 3.8 step 5).
async fn find_bucket(
    gate: &Admissions,
    target: &PublishTarget,
    credentials: Option<&PublishCredentials>,
    identity: Option<&Identity>,
) -> Result<Option<BucketRecord>, Error> {
    let is_signed = credentials.is_some_and(|credentials| credentials.access_key_id().is_some());
    let mut public = Vec::new();
    let mut seen: Vec<BucketName> = Vec::new();
    for variant in &target.channel_variants {
        let Ok(channel) = channel_name(gate, variant) else { continue };
        let names = gate.live.meta.buckets_with_channel(&channel, MAX_CANDIDATES).await.map_err(internal)?;
        for name in names {
            let fits = |(c, key): (&PublishCredentials, &Identity)| c.verify(key.secret(), name.as_str(), variant);
            if is_signed && credentials.zip(identity).is_some_and(fits) {
                return bucket(gate, &name).await;
            }
            if !seen.contains(&name) {
                seen.push(name.clone());
                public.extend(bucket(gate, &name).await?.filter(|b| b.acl == BucketAcl::PublicReadWrite));
            }
        }
    }
    if !is_signed && public.len() == 1 {
        return Ok(public.pop());
    }
    match &gate.live.settings.live.default_bucket {
        Some(name) => bucket(gate, &BucketName::parse(name)?).await,
        // A signature that fits no bucket is a wrong signature rather than a missing bucket.
        None if is_signed => match seen.first() {
            Some(name) => bucket(gate, name).await,
            None => Ok(None),
        },
        None => Ok(None),
    }
}

async fn find_channel(
    gate: &Admissions,
    bucket: &BucketName,
    target: &PublishTarget,
) -> Result<Option<(ChannelName, ChannelRecord)>, Error> {
    for variant in &target.channel_variants {
        let Ok(name) = channel_name(gate, variant) else { continue };
        if let Some(channel) = gate.live.meta.channel(bucket, &name).await.map_err(internal)? {
            return Ok(Some((name, channel)));
        }
    }
    Ok(None)
}

/// The channel that a refused publish was for, if the URL names one that is there.
async fn existing_channel(
    gate: &Admissions,
    target: &PublishTarget,
) -> Result<Option<(ChannelId, ChannelRecord)>, Error> {
    let Some(bucket) = named_bucket(gate, target)? else { return Ok(None) };
    Ok(find_channel(gate, &bucket, target).await?.map(|(channel, record)| ((bucket, channel), record)))
}

fn channel_name(gate: &Admissions, text: &str) -> Result<ChannelName, Error> {
    ChannelName::parse_within(text.as_bytes(), gate.live.settings.live.channel_name_max_bytes)
}

async fn bucket(gate: &Admissions, name: &BucketName) -> Result<Option<BucketRecord>, Error> {
    Ok(gate.objects.bucket(name).await?.map(|bucket| bucket.record))
}

fn no_such_bucket(name: &str) -> Error {
    Error { ec: None, ..Error::new(ErrorCode::NoSuchBucket).with("BucketName", name) }
}
