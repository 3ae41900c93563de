//! The ways to a bucket: each takes the grant for it.

use std::sync::Arc;

use model::access::policy::Policy;
use model::access::{BucketAccess, Grant};
use model::name::{BucketName, ObjectKey};
use model::{Error, ErrorCode, OwnerId};
use store::meta::{BucketRecord, BucketStatistics, ListQuery, ListedObject, Listing, Page};

use super::doors::check_may_change;
use super::lifecycle::{Preview, Run};
use super::{Judged, Objects, internal};

/// The most buckets whose bytes are added up.
const MAX_SUMMED: usize = 1000;

/// A bucket as it was when the request arrived.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: BucketName,
    /// Its record.
    pub(crate) record: BucketRecord,
}

impl Bucket {
    /// A bucket with its record.
    pub(crate) fn new(name: BucketName, record: BucketRecord) -> Self {
        Self { name, record }
    }
}

impl Objects {
    /// A bucket, for whoever is to decide about it; `None` when there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn bucket(&self, name: &BucketName) -> Result<Option<Bucket>, Error> {
        let record = self.meta.bucket(name).await.map_err(internal)?;
        Ok(record.map(|record| Bucket::new(name.clone(), record)))
    }

    /// Whether the metadata store answers.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn check_ready(&self) -> Result<(), store::Error> {
        self.meta.list_buckets(None, "", "", 1).await.map(drop)
    }

    /// What there is of an object, for whoever is to decide about it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn judge(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Judged, Error> {
        self.meta.object(bucket, key).await.map(Judged::of).map_err(internal)
    }

    /// The bucket as access decisions see it.
    ///
    /// # Errors
    /// `InternalError` when a stored policy cannot be read: nobody passes then, rather than everybody.
    pub(crate) fn access(&self, name: &BucketName, record: &BucketRecord) -> Result<BucketAccess, Error> {
        let policy = match &record.policy_json {
            None => None,
            Some(text) => Some(Arc::new(
                Policy::parse_for_bucket(text.as_bytes(), name, self.region_of(record)).map_err(|error| {
                    tracing::error!(bucket = %name, %error, "the stored bucket policy cannot be read");
                    Error::new(ErrorCode::InternalError)
                })?,
            )),
        };
        Ok(BucketAccess {
            name: name.clone(),
            owner: record.owner.clone(),
            acl: record.acl,
            referer: record.referer.clone().map(Arc::new),
            referer_hosts: self.settings.referer_hosts,
            policy,
        })
    }

    /// The region of a bucket: the one in which it was made, whatever is configured now. Buckets of times when that was
    /// not written down are in the one that is configured.
    pub(crate) fn region_of<'a>(&'a self, record: &'a BucketRecord) -> &'a str {
        record.region.as_deref().unwrap_or(&self.settings.region)
    }

    /// The region of buckets that are made now.
    pub(crate) fn region(&self) -> &str {
        &self.settings.region
    }

    /// The buckets of an account that are behind `after`.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn list_buckets(
        &self,
        owner: &OwnerId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Page<BucketRecord>, Error> {
        self.meta.list_buckets(Some(owner), prefix, after, limit).await.map_err(internal)
    }

    /// Makes the bucket of the grant.
    ///
    /// # Errors
    /// `TooManyBuckets`; `BucketAlreadyExists` when somebody else made it a moment ago; those of the store.
    pub(crate) async fn create_bucket(&self, grant: &Grant, record: &BucketRecord) -> Result<(), Error> {
        let name = changed(grant)?;
        self.meta.create_bucket(name, record, self.settings.max_buckets).await.map_err(|error| match error.kind {
            store::ErrorKind::QuotaExceeded => Error::new(ErrorCode::TooManyBuckets),
            store::ErrorKind::AlreadyExists => {
                Error::new(ErrorCode::BucketAlreadyExists).with("BucketName", name.as_str())
            }
            _ => internal(error),
        })
    }

    /// Changes the bucket of the grant in one commit.
    ///
    /// # Errors
    /// `NoSuchBucket`, and those of the store.
    pub(crate) async fn update_bucket(
        &self,
        grant: &Grant,
        change: impl FnMut(&mut BucketRecord) + Send,
    ) -> Result<(), Error> {
        let name = changed(grant)?;
        match self.meta.update_bucket(name, change).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(no_such_bucket(name)),
            Err(error) => Err(internal(error)),
        }
    }

    /// Deletes the bucket of the grant, if it holds nothing.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`, and those of the store.
    pub(crate) async fn delete_bucket(&self, grant: &Grant) -> Result<(), Error> {
        let name = changed(grant)?;
        self.meta.delete_bucket(name).await.map_err(|error| match error.kind {
            store::ErrorKind::NotFound => no_such_bucket(name),
            store::ErrorKind::NotEmpty => Error::new(ErrorCode::BucketNotEmpty)
                .message(match error.subject {
                    store::Subject::Upload => "The bucket has Multipart Uploads. Please delete them first.",
                    store::Subject::Channel => "The bucket you tried to delete is not empty.",
                    _ => "The bucket has objects. Please delete them first.",
                })
                .with("BucketName", name.as_str()),
            _ => internal(error),
        })
    }

    /// How much is in the bucket of the grant.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn statistics(&self, grant: &Grant) -> Result<BucketStatistics, Error> {
        self.meta.bucket_statistics(named(grant)?).await.map_err(internal)
    }

    /// What the lifecycle rules of the bucket of the grant would do at a moment; nothing is done.
    ///
    /// # Errors
    /// `NoSuchBucket`, and those of the store.
    pub(crate) async fn lifecycle_due(&self, grant: &Grant, now_ms: i64) -> Result<Preview, Error> {
        let name = named(grant)?;
        let record = self.meta.bucket(name).await.map_err(internal)?.ok_or_else(|| no_such_bucket(name))?;
        let run = Run { meta: &self.meta, now_ms, is_dry: true };
        run.preview(name, record.lifecycle.as_deref().unwrap_or_default()).await.map_err(internal)
    }

    /// The bytes that are stored under names, of all buckets together.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn stored_bytes(&self) -> Result<u64, Error> {
        let mut sum: u64 = 0;
        for record in self.meta.list_buckets(None, "", "", MAX_SUMMED).await.map_err(internal)?.items {
            let Ok(name) = BucketName::parse(&record.name) else { continue };
            let statistics = self.meta.bucket_statistics(&name).await.map_err(internal)?;
            sum = sum.saturating_add(statistics.total.bytes);
        }
        Ok(sum)
    }

    /// A page of the objects in the bucket of the grant.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn list(&self, grant: &Grant, query: &ListQuery) -> Result<Listing<ListedObject>, Error> {
        self.meta.list_objects(named(grant)?, query).await.map_err(internal)
    }
}

/// The bucket that a grant is about.
pub(super) fn named(grant: &Grant) -> Result<&BucketName, Error> {
    grant.resource().bucket().ok_or_else(|| Error::new(ErrorCode::InvalidBucketName))
}

/// The bucket that a grant is about which is one to change it.
fn changed(grant: &Grant) -> Result<&BucketName, Error> {
    check_may_change(grant)?;
    named(grant)
}

/// 404 for a bucket.
pub(crate) fn no_such_bucket(name: &BucketName) -> Error {
    Error::new(ErrorCode::NoSuchBucket).with("BucketName", name.as_str())
}
