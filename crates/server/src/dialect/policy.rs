//! The policy of a bucket on the wire (HTTP API 8.14).

use model::access::policy::Policy;
use model::{Error, ErrorCode};
use oss::xml::bucket::render_policy_status;

use super::Answer;
use super::Asked;
use crate::objects::BodySource;
use crate::ops::{Call, bucket, policy};

/// PutBucketPolicy: the document is JSON, and is kept as it was sent.
pub(super) async fn put(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let too_long = Error::new(ErrorCode::InvalidPolicyDocument).message("The policy is longer than 16 KB.");
    let document = asked.document(body, too_long).await?;
    Policy::parse_for_bucket(&document, asked.bucket()?, bucket::region(call))?.check_actions()?;
    let text = String::from_utf8(document.to_vec())
        .map_err(|_| Error::new(ErrorCode::InvalidPolicyDocument).message("The policy is no UTF-8."))?;
    policy::put(call, text).await?;
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
