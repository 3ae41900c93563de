//! The policy of a bucket on the wire (HTTP API 8.14).

use model::access::policy::Policy;
use model::{Error, ErrorCode};
use oss::xml::bucket::render_policy_status;

use super::Answer;
use super::Asked;
use crate::objects::BodySource;
use crate::ops::{Call, policy};

/// PutBucketPolicy: the document is JSON.
pub(super) async fn put(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let too_long = Error::new(ErrorCode::InvalidPolicyDocument).message("The policy is longer than 16 KB.");
    let document = asked.document(body, Policy::MAX_BYTES, too_long).await?;
    policy::put(call, &document).await?;
    Ok(Answer::empty(200))
}

/// GetBucketPolicy: byte for byte what was sent.
pub(super) fn get(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::bytes("application/json", policy::get(call)?.to_owned()))
}

/// GetBucketPolicyStatus.
pub(super) fn status(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_policy_status(policy::is_public(call)?)))
}

/// DeleteBucketPolicy.
pub(super) async fn delete(call: &Call<'_>) -> Result<Answer, Error> {
    policy::delete(call).await?;
    Ok(Answer::empty(204))
}
