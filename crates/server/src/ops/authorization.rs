//! Rights beyond the one that the request itself was granted: the source of a copy, the target of a link, each key of a
//! batch, the sender of a form.

use model::Error;
use model::OperationKind;
use model::Resource;
use model::Tag;
use model::access::{AccessRequest, Caller, authorize, tag_pairs};
use model::name::{BucketName, ObjectKey};

use super::{Bucket, Call, judge, no_such_bucket};
use crate::objects::ObjectGrant;

/// How a further right is asked for, where it is not in the usual way.
#[derive(Default)]
pub(super) struct AccessDetails<'a> {
    /// Tags that are set, unless they are those of the header.
    pub(super) tags: Option<&'a [Tag]>,
    /// Whether a version of the object is named.
    pub(super) names_version: bool,
}

impl Call<'_> {
    /// Decides whether the caller may also do this to an object.
    ///
    /// # Errors
    /// The refusals of access control 8.
    pub(super) async fn may(
        &self,
        kind: OperationKind,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<ObjectGrant, Error> {
        self.may_with(kind, bucket, key, AccessDetails::default()).await
    }

    /// As [`Call::may`], asked in another way than the usual one.
    ///
    /// # Errors
    /// The refusals of access control 8.
    pub(super) async fn may_with(
        &self,
        kind: OperationKind,
        bucket: &Bucket,
        key: &ObjectKey,
        details: AccessDetails<'_>,
    ) -> Result<ObjectGrant, Error> {
        self.may_as(self.granted.grant.caller(), kind, bucket, key, details).await
    }

    /// Decides whether somebody may do this to an object.
    ///
    /// # Errors
    /// The refusals of access control 8.
    pub(super) async fn may_as(
        &self,
        caller: &Caller,
        kind: OperationKind,
        bucket: &Bucket,
        key: &ObjectKey,
        details: AccessDetails<'_>,
    ) -> Result<ObjectGrant, Error> {
        let access = self.objects().access(&bucket.name, &bucket.record)?;
        let judged = judge(self.objects(), caller, &access, key).await?;
        let asking = &self.granted.asking;
        let mut conditions = asking.conditions.clone();
        conditions.existing_tags = tag_pairs(judged.tags());
        if let Some(tags) = details.tags {
            conditions.request_tags = tag_pairs(tags);
        }
        conditions.bucket_tags = tag_pairs(&bucket.record.tags);
        let grant = authorize(&AccessRequest {
            caller,
            operation: kind,
            resource: &Resource::Object(bucket.name.clone(), key.clone()),
            object_acl: judged.acl(),
            bucket: Some(&access),
            names_version: details.names_version,
            is_get: asking.is_get,
            url_signed: asking.url_signed,
            referer: asking.referer.as_deref(),
            conditions: &conditions,
        })?;
        ObjectGrant::new(grant, judged)
    }

    /// A bucket that the request names beside its own.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub(super) async fn other_bucket(&self, name: &BucketName) -> Result<Bucket, Error> {
        match &self.granted.bucket {
            Some(bucket) if bucket.name == *name => Ok(bucket.clone()),
            _ => self.objects().bucket(name).await?.ok_or_else(|| no_such_bucket(name)),
        }
    }
}
