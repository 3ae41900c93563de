//! Who calls, and what they may do: the decisions of the OSS API, asked about one bucket or channel after the other.

use std::net::SocketAddr;

use model::access::policy::ConditionValues;
use model::access::{AccessRequest, BucketAccess, Caller, Grant, authorize, tag_pairs};
use model::name::BucketName;
use model::{Error, ObjectAcl, OperationKind, Resource, Tag};
use oss::request::RawRequest;

use crate::accounts::Identity;
use crate::objects::{Bucket, Objects, no_such_bucket};

/// Whoever has signed a call.
pub(crate) struct Visitor<'a> {
    /// The key that signed.
    pub(crate) identity: &'a Identity,
    /// From where the call comes.
    pub(crate) peer: SocketAddr,
    conditions: ConditionValues,
}

/// A bucket as decisions see it.
pub(super) struct Judged {
    pub(super) bucket: Bucket,
    access: BucketAccess,
}

impl<'a> Visitor<'a> {
    pub(super) fn new(identity: &'a Identity, raw: &RawRequest, peer: SocketAddr, now_ms: i64) -> Self {
        let conditions = ConditionValues {
            source_ip: Some(peer.ip().to_canonical()),
            user_agent: raw.header_text("user-agent").map(str::to_owned),
            now_s: now_ms.div_euclid(1000),
            secure: raw.secure,
            ..ConditionValues::default()
        };
        Self { identity, peer, conditions }
    }

    pub(super) fn caller(&self) -> &'a Caller {
        self.identity.caller()
    }

    pub(super) fn is_root(&self) -> bool {
        matches!(self.caller(), Caller::Root { .. })
    }

    /// May they, by the rules of every request. `object` is what there is under the key: its ACL and its tags.
    ///
    /// # Errors
    /// The refusals of access control 8.
    pub(super) fn may(
        &self,
        operation: OperationKind,
        resource: &Resource,
        judged: Option<&Judged>,
        object: Option<(ObjectAcl, &[Tag])>,
    ) -> Result<Grant, Error> {
        let mut conditions = self.conditions.clone();
        if let Some(judged) = judged {
            conditions.bucket_tags = tag_pairs(&judged.bucket.record.tags);
        }
        conditions.existing_tags = object.map(|(_, tags)| tag_pairs(tags)).unwrap_or_default();
        authorize(&AccessRequest {
            caller: self.caller(),
            operation,
            resource,
            bucket: judged.map(|judged| &judged.access),
            object_acl: object.map(|(acl, _)| acl),
            names_version: false,
            is_get: false,
            url_signed: false,
            referer: None,
            conditions: &conditions,
        })
    }
}

impl Judged {
    /// A bucket by its name.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidBucketName`, and those of the store.
    pub(super) async fn find(objects: &Objects, name: &str) -> Result<Self, Error> {
        let name = BucketName::parse(name)?;
        let bucket = objects.bucket(&name).await?.ok_or_else(|| no_such_bucket(&name))?;
        Self::of(objects, bucket)
    }

    /// A bucket that was read.
    ///
    /// # Errors
    /// `InternalError` when its policy cannot be read.
    pub(super) fn of(objects: &Objects, bucket: Bucket) -> Result<Self, Error> {
        let access = objects.access(&bucket.name, &bucket.record)?;
        Ok(Self { bucket, access })
    }
}
