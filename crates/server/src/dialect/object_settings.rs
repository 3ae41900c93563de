//! The ACL and the tags of an object on the wire (HTTP API 9.9, 9.11).

use model::Error;
use oss::request::required_object_acl;
use oss::xml::bucket::render_acl;
use oss::xml::tagging::render_tagging;

use super::Answer;
use super::Asked;
use super::object::version;
use crate::ops::Call;
use crate::ops::object_settings;

/// PutObjectACL.
pub(super) async fn put_acl(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let acl = required_object_acl(asked.raw)?;
    object_settings::put_acl(call, version(asked), acl).await?;
    Ok(Answer::empty(200))
}

/// GetObjectACL.
pub(super) async fn acl(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let found = object_settings::acl(call, version(asked)).await?;
    Ok(Answer::xml(render_acl(&found.owner, found.acl.as_str())))
}

/// PutObjectTagging.
pub(super) async fn put_tags(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    object_settings::put_tags(call, version(asked)).await?;
    Ok(Answer::empty(200))
}

/// GetObjectTagging.
pub(super) async fn tags(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_tagging(&object_settings::tags(call, version(asked)).await?)))
}

/// DeleteObjectTagging.
pub(super) async fn delete_tags(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    object_settings::delete_tags(call, version(asked)).await?;
    Ok(Answer::empty(204))
}
