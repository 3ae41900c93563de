//! The policy of a bucket (HTTP API 8.14, access control 4).

use model::{Error, ErrorCode};

use super::{Call, bucket_settings};

/// Puts the policy, which was understood and found fit for the bucket; it is kept as it was written.
///
/// # Errors
/// `NoSuchBucket`, and those of the store.
pub(crate) async fn put(call: &Call<'_>, policy: String) -> Result<(), Error> {
    set(call, Some(policy)).await
}

/// The policy, byte for byte as it was sent.
///
/// # Errors
/// `NoSuchBucketPolicy`.
pub(crate) fn get<'a>(call: &'a Call<'_>) -> Result<&'a str, Error> {
    bucket_settings::configured(call, |record| record.policy_json.as_deref(), ErrorCode::NoSuchBucketPolicy)
}

/// Whether the policy lets everybody in. Without one it does not.
///
/// # Errors
/// `InternalError` when the stored policy cannot be read.
pub(crate) fn is_public(call: &Call<'_>) -> Result<bool, Error> {
    let bucket = call.bucket()?;
    let access = call.objects().access(&bucket.name, &bucket.record)?;
    Ok(access.policy.is_some_and(|policy| policy.is_public()))
}

/// Deletes the policy; there need not be one.
///
/// # Errors
/// `NoSuchBucket`, and those of the store.
pub(crate) async fn delete(call: &Call<'_>) -> Result<(), Error> {
    set(call, None).await
}

async fn set(call: &Call<'_>, text: Option<String>) -> Result<(), Error> {
    call.objects().update_bucket(&call.granted.grant, |record| record.policy_json.clone_from(&text)).await
}
