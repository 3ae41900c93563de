//! Buckets: made, listed, shown and deleted (HTTP API 7.1, 8.1 to 8.6, 8.10).

use model::name::BucketName;
use model::{BucketAcl, DataRedundancy, Error, ErrorCode, OwnerId, StorageClass};
use store::meta::{BucketRecord, BucketStatistics};

use super::Call;

/// Which buckets are to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListBuckets {
    /// What their names begin with.
    pub(crate) prefix: String,
    /// The name behind which the list begins.
    pub(crate) after: String,
    /// The most buckets.
    pub(crate) limit: usize,
    /// The tag that they have; without a value, with any value of this key.
    pub(crate) tag: Option<(String, Option<String>)>,
}

impl ListBuckets {
    fn fits(&self, bucket: &BucketRecord) -> bool {
        self.tag.as_ref().is_none_or(|(key, value)| {
            bucket.tags.iter().any(|tag| tag.key == *key && value.as_ref().is_none_or(|value| tag.value == *value))
        })
    }
}

/// The buckets of an account, or the first of them.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    /// The account.
    pub(crate) owner: OwnerId,
    /// Ascending by name.
    pub(crate) buckets: Vec<ListedBucket>,
    /// Whether there are more.
    pub(crate) is_truncated: bool,
}

/// A bucket in a list.
#[derive(Debug, Clone)]
pub(crate) struct ListedBucket {
    /// What is known of it.
    pub(crate) record: BucketRecord,
    /// Where it is.
    pub(crate) region: String,
}

/// Lists the buckets of the caller's account (HTTP API 7.1).
///
/// # Errors
/// Those of the store.
pub(crate) async fn list(call: &Call<'_>, request: &ListBuckets) -> Result<Buckets, Error> {
    let owner = account(call)?.clone();
    // A filter by tag thins pages out, so pages are read until one is full.
    let mut found: Vec<BucketRecord> = Vec::new();
    let mut after = request.after.clone();
    let mut has_more = true;
    while has_more && found.len() <= request.limit {
        let page =
            call.objects().list_buckets(&owner, &request.prefix, &after, request.limit.saturating_add(1)).await?;
        has_more = page.is_truncated;
        if let Some(last) = page.items.last() {
            after.clone_from(&last.name);
        }
        found.extend(page.items.into_iter().filter(|bucket| request.fits(bucket)));
    }
    let is_truncated = found.len() > request.limit;
    found.truncate(request.limit);
    let listed = |record: BucketRecord| ListedBucket { region: call.objects().region_of(&record).to_owned(), record };
    Ok(Buckets { owner, buckets: found.into_iter().map(listed).collect(), is_truncated })
}

/// How a bucket is to be; absent members have no opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NewBucket {
    /// Who may do what with it.
    pub(crate) acl: Option<BucketAcl>,
    /// The label of objects that name none.
    pub(crate) storage_class: Option<StorageClass>,
    /// Where its data is said to live.
    pub(crate) redundancy: Option<DataRedundancy>,
}

/// Makes the bucket of the request, or changes the ACL of one that the caller has (HTTP API 8.1).
///
/// # Errors
/// `BucketAlreadyExists` when it is somebody else's or cannot become what is asked for, `TooManyBuckets`, and those of
/// the store.
pub(crate) async fn put(call: &Call<'_>, new: &NewBucket) -> Result<(), Error> {
    let Some(bucket) = &call.granted.bucket else { return create(call, new).await };
    let record = &bucket.record;
    let taken = || Error::new(ErrorCode::BucketAlreadyExists).with("BucketName", bucket.name.as_str());
    if call.granted.grant.caller().account() != Some(&record.owner) {
        return Err(taken());
    }
    let is_other_class = new.storage_class.is_some_and(|class| class != record.storage_class);
    let is_other_redundancy = new.redundancy.is_some_and(|redundancy| redundancy != record.redundancy);
    if is_other_class || is_other_redundancy {
        return Err(taken().message("Cannot modify existing bucket's storage class."));
    }
    set_acl(call, new.acl).await
}

/// Sets the ACL of the bucket; with one it makes a missing bucket, as the official service does (HTTP API 8.10).
///
/// # Errors
/// `NoSuchBucket` without an ACL, and what [`put`] says of a bucket that is made.
pub(crate) async fn put_acl(call: &Call<'_>, acl: Option<BucketAcl>) -> Result<(), Error> {
    match (call.bucket(), acl) {
        (Ok(_), _) => set_acl(call, acl).await,
        (Err(missing), None) => Err(missing),
        (Err(_), Some(_)) => create(call, &NewBucket { acl, ..NewBucket::default() }).await,
    }
}

async fn set_acl(call: &Call<'_>, acl: Option<BucketAcl>) -> Result<(), Error> {
    match acl {
        None => Ok(()),
        Some(acl) => call.objects().update_bucket(&call.granted.grant, |record| record.acl = acl).await,
    }
}

/// Makes a bucket in the region that the server is said to be in.
async fn create(call: &Call<'_>, new: &NewBucket) -> Result<(), Error> {
    let mut record = BucketRecord::new(name(call)?, account(call)?.clone(), call.now_ms);
    record.region = Some(call.objects().region().to_owned());
    record.acl = new.acl.unwrap_or(record.acl);
    record.storage_class = new.storage_class.unwrap_or(record.storage_class);
    record.redundancy = new.redundancy.unwrap_or(record.redundancy);
    call.objects().create_bucket(&call.granted.grant, &record).await
}

/// What is known of the bucket (HTTP API 8.2, 8.4, 8.5, 8.10).
///
/// # Errors
/// `NoSuchBucket`.
pub(crate) fn get<'a>(call: &'a Call<'_>) -> Result<&'a BucketRecord, Error> {
    Ok(&call.bucket()?.record)
}

/// Where the bucket is; where it would be, when there is none, and where the server is (HTTP API 7.2).
pub(crate) fn region<'a>(call: &'a Call<'_>) -> &'a str {
    match &call.granted.bucket {
        Some(bucket) => call.objects().region_of(&bucket.record),
        None => call.objects().region(),
    }
}

/// Deletes the bucket, which must hold nothing (HTTP API 8.3).
///
/// # Errors
/// `NoSuchBucket`, `BucketNotEmpty`, and those of the store.
pub(crate) async fn delete(call: &Call<'_>) -> Result<(), Error> {
    call.objects().delete_bucket(&call.granted.grant).await
}

/// How much is in the bucket (HTTP API 8.6).
///
/// # Errors
/// Those of the store.
pub(crate) async fn statistics(call: &Call<'_>) -> Result<BucketStatistics, Error> {
    call.objects().statistics(&call.granted.grant).await
}

/// The account whose buckets the caller sees and makes. Strangers were refused before.
fn account<'a>(call: &'a Call<'_>) -> Result<&'a OwnerId, Error> {
    call.granted.grant.caller().account().ok_or_else(|| Error::new(ErrorCode::AccessDenied))
}

/// The bucket that the request names, whether it exists or not.
pub(super) fn name<'a>(call: &'a Call<'_>) -> Result<&'a BucketName, Error> {
    call.granted.grant.resource().bucket().ok_or_else(|| Error::new(ErrorCode::InvalidBucketName))
}
