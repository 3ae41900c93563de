//! The policy of a bucket (HTTP API 8.14, access control 4).

use model::access::policy::Policy;
use model::{Error, ErrorCode};

use super::{Answer, BodySource, Call, bucket, internal, read_checked};

/// PutBucketPolicy: the document is kept as it was sent.
pub(crate) async fn put(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let name = bucket::name(call)?;
    let too_long = || Error::new(ErrorCode::InvalidPolicyDocument).message("The policy is longer than 16 KB.");
    let (credentials, held) = (&call.granted.credentials, call.state.memory.receive.hold());
    let document = read_checked(call.raw, credentials, body, Policy::MAX_BYTES, too_long(), held).await?;
    Policy::parse_for_bucket(&document, name, bucket::region_of(&call.bucket()?.record, &call.state.config))?;
    let text = String::from_utf8(document.to_vec())
        .map_err(|_| Error::new(ErrorCode::InvalidPolicyDocument).message("The policy is no UTF-8."))?;
    set(call, Some(text)).await?;
    Ok(Answer::empty(200))
}

/// GetBucketPolicy: byte for byte what was sent.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Error> {
    let bucket = call.bucket()?;
    let missing = || Error::new(ErrorCode::NoSuchBucketPolicy).with("BucketName", bucket.name.as_str());
    let text = bucket.record.policy_json.clone().ok_or_else(missing)?;
    Ok(Answer::bytes("application/json", text))
}

/// GetBucketPolicyStatus: whether the policy lets everybody in. Without one it does not.
pub(crate) fn status(call: &Call<'_>) -> Result<Answer, Error> {
    let bucket = call.bucket()?;
    let access = call.objects().access(&bucket.name, &bucket.record)?;
    let is_public = access.policy.is_some_and(|policy| policy.is_public());
    Ok(Answer::xml(oss::xml::bucket::render_policy_status(is_public)))
}

/// DeleteBucketPolicy; there need not be one.
pub(crate) async fn delete(call: &Call<'_>) -> Result<Answer, Error> {
    set(call, None).await?;
    Ok(Answer::empty(204))
}

async fn set(call: &Call<'_>, text: Option<String>) -> Result<(), Error> {
    let name = bucket::name(call)?;
    let set = call.state.meta.update_bucket(name, |record| record.policy_json.clone_from(&text)).await;
    set.map(|_| ()).map_err(|error| match error.kind {
        store::ErrorKind::NotFound => super::no_such_bucket(call.route()),
        _ => internal(error),
    })
}
