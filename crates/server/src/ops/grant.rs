//! May they: collects what the decision needs, and asks `oss::access`, which alone can say yes.

use std::net::SocketAddr;
use std::sync::Arc;

use model::OperationKind;
use model::Permission;
use model::Resource;
use model::Tag;
use model::access::policy::ConditionValues;
use model::access::{AccessRequest, BucketAccess, Caller, authorize};
use model::{Error, ErrorCode};
use oss::playlist_sign::{check_request, is_sign_process, split_process_key};
use oss::request::{RawRequest, Route, check_row, parse_tagging_header};
use oss::sign::Credentials;

use super::{BodySource, Bucket, Granted, internal, object_settings, website};
use crate::identity::Identity;
use crate::objects::{Judged, Objects};
use crate::state::State;

/// A request whose caller is known.
pub(crate) struct Authenticated {
    /// What is asked for.
    pub(crate) route: Route,
    /// How the caller proved who it is.
    pub(crate) credentials: Credentials,
    /// Who calls.
    pub(crate) caller: Caller,
    /// The key that signed.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// Decides whether the caller may do what the request asks for, and whether that is all that the request asks for.
///
/// # Errors
/// `NoSuchBucket`, the refusals of access control 8, and for who may: what [`check_row`] refuses.
pub(crate) async fn grant(
    state: &Arc<State>,
    raw: &RawRequest,
    authenticated: Authenticated,
    bucket: Option<Bucket>,
    body: &mut dyn BodySource,
    peer: SocketAddr,
    now_ms: i64,
) -> Result<Granted, Error> {
    let Authenticated { mut route, credentials, caller, identity } = authenticated;
    if credentials.is_url_signed() {
        read_process_in_key(state, raw, &mut route).await?;
    }
    if route.kind == OperationKind::GetSignedPlaylist
        && let Some(key) = route.resource.key()
    {
        check_request(raw, &credentials, key)?;
    }
    // An odd spelling of the host may have led to another bucket than the one that was looked up.
    let bucket = match (&route.bucket, bucket) {
        (Some(name), Some(bucket)) if bucket.name == *name => Some(bucket),
        (Some(name), Some(_)) => {
            state.meta.bucket(name).await.map_err(internal)?.map(|record| Bucket::new(name.clone(), record))
        }
        (_, bucket) => bucket,
    };
    website::enter(&mut route, raw, &caller, bucket.as_ref());
    let objects = &state.objects;
    let access = bucket.as_ref().map(|bucket| objects.access(&bucket.name, &bucket.record)).transpose()?;
    let judged = match (&access, route.resource.key(), route.kind.permission()) {
        (Some(access), Some(key), Permission::Read | Permission::Write | Permission::OwnerOnly) => {
            judge(objects, &caller, access, key).await?
        }
        _ => Judged::Unread,
    };
    let mut asking = Asking::new(raw, &route, &credentials, peer, now_ms);
    let object = judged.found().map(|found| &found.value);
    let mut conditions = asking.conditions.clone();
    conditions.existing_tags = object.map(|object| tag_pairs(&object.tags)).unwrap_or_default();
    let in_row = check_row(&route, raw, bucket.as_ref().map(|bucket| bucket.record.acl));
    // The tags are in the body, and policies have a say in them.
    let tagging = match route.kind {
        OperationKind::PutObjectTagging if in_row.is_ok() => {
            Some(object_settings::read_tags(state, raw, &credentials, body).await)
        }
        _ => None,
    };
    if let Some(Ok(tags)) = &tagging {
        conditions.request_tags = tag_pairs(tags);
        asking.conditions.request_tags.clone_from(&conditions.request_tags);
    }
    conditions.bucket_tags = bucket.as_ref().map(|bucket| tag_pairs(&bucket.record.tags)).unwrap_or_default();
    let request = AccessRequest {
        caller: &caller,
        operation: route.kind,
        resource: &route.resource,
        bucket: access.as_ref(),
        object_acl: object.map(|object| object.acl),
        names_version: route.query.has("versionId"),
        is_get: asking.is_get,
        url_signed: asking.url_signed,
        referer: asking.referer.as_deref(),
        conditions: &conditions,
    };
    let grant = authorize(&request)?;
    // Only now, so that a stranger hears what strangers hear; and here, where everything that runs comes by (D22).
    in_row?;
    Ok(Granted { grant, route, credentials, identity, bucket, judged, asking, tagging })
}

/// Undoes what a client that wrote `x-oss-process` into the key has done, unless there is an object with that very key
/// (OSS auth 9.7, forms D and E). The signature was verified with the key as it was sent.
async fn read_process_in_key(state: &Arc<State>, raw: &RawRequest, route: &mut Route) -> Result<(), Error> {
    if !matches!(route.kind, OperationKind::GetObject | OperationKind::HeadObject) {
        return Ok(());
    }
    let Resource::Object(bucket, key) = &route.resource else { return Ok(()) };
    let Some((name, parameters)) = split_process_key(key) else { return Ok(()) };
    let asks_for_signing = parameters.iter().any(|(name, value)| name == "x-oss-process" && is_sign_process(value));
    if !asks_for_signing || state.meta.object(bucket, key).await.map_err(internal)?.is_some() {
        return Ok(());
    }
    let mut query = raw.query.clone();
    for (name, value) in &parameters {
        let encode = |text: &str| model::percent::percent_encode(text.as_bytes(), false);
        query.push_str(&format!("&{}={}", encode(name), encode(value)));
    }
    route.query = oss::request::Query::parse(&query);
    route.resource = Resource::Object(bucket.clone(), name);
    route.kind = OperationKind::GetSignedPlaylist;
    Ok(())
}

/// What is known of the object: its ACL matters to those whom neither ownership nor a policy lets in, its tags to
/// policies.
pub(super) async fn judge(
    objects: &Objects,
    caller: &Caller,
    bucket: &BucketAccess,
    key: &model::name::ObjectKey,
) -> Result<Judged, Error> {
    let is_owner = matches!(caller, Caller::Root { owner, .. } if *owner == bucket.owner);
    if is_owner && bucket.policy.is_none() {
        return Ok(Judged::Unread);
    }
    objects.judge(&bucket.name, key).await
}

/// What decisions look at beside who asks for what: the circumstances of the request (access control 4.4, 6).
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// What the conditions of policies look at, but for tags of what is stored.
    pub(crate) conditions: ConditionValues,
    /// Whether the method is GET or HEAD (access control 6.1).
    pub(crate) is_get: bool,
    /// Whether the signature was in the URL.
    pub(crate) url_signed: bool,
    /// The `Referer` header.
    pub(crate) referer: Option<String>,
}

impl Asking {
    fn new(raw: &RawRequest, route: &Route, credentials: &Credentials, peer: SocketAddr, now_ms: i64) -> Self {
        Self {
            conditions: conditions(raw, route, peer, now_ms),
            is_get: matches!(raw.method.as_str(), "GET" | "HEAD"),
            url_signed: credentials.is_url_signed(),
            referer: raw.header_text("referer").map(str::to_owned),
        }
    }
}

fn conditions(raw: &RawRequest, route: &Route, peer: SocketAddr, now_ms: i64) -> ConditionValues {
    ConditionValues {
        // A socket for both families shows IPv4 peers as IPv6 addresses.
        source_ip: Some(peer.ip().to_canonical()),
        user_agent: raw.header_text("user-agent").map(str::to_owned),
        now_s: now_ms.div_euclid(1000),
        secure: raw.secure,
        prefix: route.query.first("prefix").map(str::to_owned),
        delimiter: route.query.first("delimiter").map(str::to_owned),
        // A header that breaks the rules is refused by the operation; no condition fits it.
        request_tags: raw
            .header_text("x-oss-tagging")
            .and_then(|text| parse_tagging_header(text).ok())
            .map(|tags| tag_pairs(&tags))
            .unwrap_or_default(),
        ..ConditionValues::default()
    }
}

/// Tags as conditions of policies see them.
pub(crate) fn tag_pairs(tags: &[Tag]) -> Vec<(String, String)> {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// 404 for the bucket that a request names.
pub(crate) fn no_such_bucket(route: &Route) -> Error {
    let name = route.bucket.as_ref().map(|bucket| bucket.to_string()).unwrap_or_default();
    Error::new(ErrorCode::NoSuchBucket).with("BucketName", name)
}
