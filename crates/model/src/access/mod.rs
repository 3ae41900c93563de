//! May they: pure decisions about who may do what (access control 3), about hotlinks and about other origins.
//!
//! Every operation needs a [`Grant`], and only [`authorize`] makes one.

pub mod acl;
pub mod cors;
pub mod network;
pub mod policy;
pub mod referer;
mod wildcard;

use std::sync::Arc;

use crate::OperationKind;
use crate::Permission;
use crate::Resource;
use crate::error::{Error, ErrorCode};
use crate::name::{AccessKeyId, BucketName, ObjectKey};
use crate::types::{BucketAcl, ObjectAcl, OwnerId, RefererConfiguration, Tag};
pub use referer::RefererHosts;

use crate::row::{Hotlink, KeysIn};
use policy::{ConditionValues, Decision, Policy, PolicyQuestion};

/// Who calls, once the signature was verified (access control 1).
#[derive(Debug, Clone, PartialEq)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// The account itself.
    Root {
        /// The account.
        owner: OwnerId,
        /// The key that signed.
        access_key: AccessKeyId,
    },
    /// A user of the account, or a session.
    User {
        /// The account it belongs to.
        owner: OwnerId,
        /// Its own number.
        uid: OwnerId,
        /// The key that signed.
        access_key: AccessKeyId,
        /// What it may do.
        policies: Arc<[Policy]>,
        /// What a temporary key may do at most.
        session_policy: Option<Arc<Policy>>,
        /// The role that a temporary key was given for.
        role: Option<AssumedRole>,
    },
}

/// A role in use, as bucket policies name it: `arn:sts::<uid>:assumed-role/<role>/<session>` (access control 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumedRole {
    /// The role.
    pub role: String,
    /// The name that its user chose for the session.
    pub session: String,
}

impl Caller {
    /// The account that the caller is or belongs to.
    pub fn account(&self) -> Option<&OwnerId> {
        match self {
            Self::Anonymous => None,
            Self::Root { owner, .. } | Self::User { owner, .. } => Some(owner),
        }
    }

    /// The key that signed.
    pub fn access_key_id(&self) -> Option<&AccessKeyId> {
        match self {
            Self::Anonymous => None,
            Self::Root { access_key, .. } | Self::User { access_key, .. } => Some(access_key),
        }
    }

    /// The number of the account or user itself, for records.
    pub fn uid(&self) -> Option<&OwnerId> {
        match self {
            Self::Anonymous => None,
            Self::Root { owner, .. } => Some(owner),
            Self::User { uid, .. } => Some(uid),
        }
    }

    fn is_root_of(&self, account: &OwnerId) -> bool {
        matches!(self, Self::Root { owner, .. } if owner == account)
    }
}

/// What a bucket says about who may use it.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketAccess {
    /// Its name.
    pub name: BucketName,
    /// The account that owns it.
    pub owner: OwnerId,
    /// Its ACL.
    pub acl: BucketAcl,
    /// Its hotlink protection, if configured.
    pub referer: Option<Arc<RefererConfiguration>>,
    /// How the patterns of the hotlink protection are compared with hosts.
    pub referer_hosts: RefererHosts,
    /// Its policy, if configured.
    pub policy: Option<Arc<Policy>>,
}

/// A question for [`authorize`].
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What for. A copy asks twice: with the kind of the request for its target, with `GetObject` for its source. A
    /// request that also sets tags asks for `PutObjectTagging` too.
    pub operation: OperationKind,
    /// About what. For LiveChannels and publishing the key is the name of the channel.
    pub resource: &'a Resource,
    /// The bucket of the resource, if it exists.
    pub bucket: Option<&'a BucketAccess>,
    /// The ACL of the object, if it exists.
    pub object_acl: Option<ObjectAcl>,
    /// Whether the request names a version of the object.
    pub names_version: bool,
    /// Whether the method is GET or HEAD: no other has its `Referer` looked at (access control 6.1), not even where it
    /// reads an object, as a copy does.
    pub is_get: bool,
    /// Whether the signature was in the URL.
    pub url_signed: bool,
    /// The `Referer` header.
    pub referer: Option<&'a str>,
    /// What the conditions of policies look at.
    pub conditions: &'a ConditionValues,
}

/// The proof that an operation was allowed. It cannot be made in any other way than by [`authorize`], or from a grant
/// that covers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    operation: OperationKind,
    resource: Resource,
    caller: Caller,
}

impl Grant {
    /// What was allowed.
    pub fn operation(&self) -> OperationKind {
        self.operation
    }

    /// About what.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// To whom.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The grant to store an object of a publication: a segment, a playlist, a picture. A publish is admitted once and
    /// may write below its channel as long as it lasts; the playlist of PostVodPlaylist lies there too.
    ///
    /// # Errors
    /// `AccessDenied` when this grant is neither for publishing nor for PostVodPlaylist, or the key does not lie below
    /// the channel.
    pub fn put_below_channel(&self, key: ObjectKey) -> Result<Grant, Error> {
        let covers = matches!(self.operation, OperationKind::PublishRtmpStream | OperationKind::PostVodPlaylist);
        match &self.resource {
            Resource::Object(bucket, channel) if covers && is_below(&key, channel.as_str()) => Ok(Grant {
                operation: OperationKind::PutObject,
                resource: Resource::Object(bucket.clone(), key),
                caller: self.caller.clone(),
            }),
            _ => Err(Error::new(ErrorCode::AccessDenied)),
        }
    }
}

fn is_below(key: &ObjectKey, channel: &str) -> bool {
    key.as_str().strip_prefix(channel).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// Decides in the order of access control 3.
///
/// Requests whose keys are in the body, DeleteMultipleObjects and PostObject, are asked about twice: with the bucket as
/// resource, which is always allowed and gives the right to nothing but reading the body, and then with each key.
///
/// # Errors
/// `NoSuchBucket`; `AccessDenied` with the messages of access control 8.
pub fn authorize(request: &AccessRequest<'_>) -> Result<Grant, Error> {
    let grant =
        || Grant { operation: request.operation, resource: request.resource.clone(), caller: request.caller.clone() };
    let permission = request.operation.permission();
    if permission == Permission::Public {
        return Ok(grant());
    }
    if let (Some(name), None) = (request.resource.bucket(), request.bucket)
        && !matches!(request.operation, OperationKind::PutBucket | OperationKind::PutBucketAcl)
    {
        return Err(Error::new(ErrorCode::NoSuchBucket).with("BucketName", name.as_str()));
    }
    if has_keys_in_body(request) {
        return Ok(grant());
    }
    let protection = request.bucket.and_then(|bucket| Some((bucket.referer.as_deref()?, bucket.referer_hosts)));
    if let Some((configuration, hosts)) = protection
        && referer_matters(request)
    {
        referer::check(configuration, hosts, request.referer).map_err(|error| name_bucket(error, request.resource))?;
    }
    decide(request, permission).map_err(|error| name_bucket(error, request.resource))?;
    Ok(grant())
}

fn has_keys_in_body(request: &AccessRequest<'_>) -> bool {
    request.operation.row().keys == KeysIn::Body && request.resource.key().is_none()
}

fn name_bucket(error: Error, resource: &Resource) -> Error {
    match resource.bucket() {
        Some(bucket) => error.with("BucketName", bucket.as_str()),
        None => error,
    }
}

/// Object-level GET and HEAD, anonymous or URL-signed (access control 6.1).
fn referer_matters(request: &AccessRequest<'_>) -> bool {
    let reads_object = request.operation.row().hotlink == Hotlink::Checked;
    reads_object && request.is_get && (request.url_signed || *request.caller == Caller::Anonymous)
}

fn decide(request: &AccessRequest<'_>, permission: Permission) -> Result<(), Error> {
    let owner = request.bucket.map(|bucket| &bucket.owner);
    let is_root = match (request.caller, owner) {
        // PutBucket itself answers whoever owns the name already: 409, not 403 (HTTP API 8.1).
        (Caller::Root { .. }, Some(_)) if request.operation == OperationKind::PutBucket => true,
        (Caller::Root { .. }, None) => true,
        (caller, Some(owner)) => caller.is_root_of(owner),
        (_, None) => false,
    };
    let question = PolicyQuestion {
        action: action(request),
        owner,
        bucket: request.resource.bucket(),
        below: request.resource.key().map(ObjectKey::as_str),
        caller: request.caller,
        is_root,
        is_listing: request.operation.row().is_listing,
        values: request.conditions,
    };
    let (by_user, session) = match request.caller {
        Caller::User { owner: account, policies, session_policy, .. } => {
            let is_own = owner.is_none_or(|owner| owner == account) || request.operation == OperationKind::PutBucket;
            (if is_own { policy::decide(policies, &question) } else { Decision::None }, session_policy.as_deref())
        }
        Caller::Anonymous | Caller::Root { .. } => (Decision::None, None),
    };
    if session.is_some_and(|policy| policy.decide(&question) != Decision::Allow) {
        return Err(denied("Access denied by authorizer's policy."));
    }
    let by_bucket =
        request.bucket.and_then(|bucket| bucket.policy.as_deref()).map_or(Decision::None, |p| p.decide(&question));
    // Nobody locks himself out: root can always repair the policy.
    let cannot_be_denied = is_root
        && matches!(
            request.operation,
            OperationKind::GetBucketPolicy | OperationKind::PutBucketPolicy | OperationKind::DeleteBucketPolicy
        );
    if by_user == Decision::Deny {
        return Err(denied("Access denied by authorizer's policy."));
    }
    if by_bucket == Decision::Deny && !cannot_be_denied {
        let is_batch = request.operation == OperationKind::DeleteMultipleObjects;
        let ec = if is_batch { "0003-00000204" } else { "0003-00000201" };
        return Err(denied("Access denied by bucket policy.").ec(ec));
    }
    if by_user == Decision::Allow || by_bucket == Decision::Allow || is_root {
        return Ok(());
    }
    match (permission, request.bucket) {
        (Permission::Control, bucket) => decide_control(request, bucket),
        (_, None) => Err(denied("The bucket you access does not belong to you.")),
        (_, Some(bucket)) => acl::decide(request.operation, permission, bucket.acl, request.object_acl),
    }
}

fn decide_control(request: &AccessRequest<'_>, bucket: Option<&BucketAccess>) -> Result<(), Error> {
    let is_publish = request.operation == OperationKind::PublishRtmpStream;
    if is_publish && bucket.is_some_and(|bucket| bucket.acl == BucketAcl::PublicReadWrite) {
        return Ok(());
    }
    Err(denied(match (request.caller, request.operation) {
        (Caller::Anonymous, _) => "Anonymous access is forbidden for this operation.",
        (_, OperationKind::ListBuckets) => "You are forbidden to list buckets.",
        _ => "The bucket you access does not belong to you.",
    }))
}

fn action(request: &AccessRequest<'_>) -> &'static str {
    // PutBucketAcl on a bucket that does not exist makes it (HTTP API 8.10).
    let operation = match (request.operation, request.bucket) {
        (OperationKind::PutBucketAcl, None) => OperationKind::PutBucket,
        (operation, _) => operation,
    };
    if request.names_version { operation.row().versioned } else { None }.unwrap_or(operation.action())
}

/// Tags as the conditions of policies see them.
pub fn tag_pairs(tags: &[Tag]) -> Vec<(String, String)> {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

fn denied(message: &'static str) -> Error {
    Error::new(ErrorCode::AccessDenied).message(message)
}

#[cfg(test)]
mod tests;
