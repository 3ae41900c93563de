//! What can be said of an object after it was written: its ACL and its tags (HTTP API 9.9, 9.11).

use model::OperationKind;
use model::Tag;
use model::{Error, ErrorCode};
use oss::request::{RawRequest, required_object_acl};
use oss::sign::Credentials;
use oss::xml::bucket::render_acl;
use oss::xml::tagging::{parse_object_tagging, render_tagging};
use store::meta::ObjectRecord;

use super::object::{check_version, find};
use super::{Answer, BodySource, Call, internal, read_checked};
use crate::state::State;

/// PutObjectACL (HTTP API 9.9).
pub(crate) async fn put_acl(call: &Call<'_>) -> Result<Answer, Error> {
    let acl = required_object_acl(call.raw)?;
    update(call, |record| record.acl = acl).await?;
    Ok(Answer::empty(200))
}

/// GetObjectACL (HTTP API 9.9).
pub(crate) async fn acl(call: &Call<'_>) -> Result<Answer, Error> {
    let record = find(call).await?;
    Ok(Answer::xml(render_acl(&call.bucket()?.record.owner, record.acl.as_str())))
}

/// PutObjectTagging (HTTP API 9.11).
pub(crate) async fn put_tags(call: &Call<'_>) -> Result<Answer, Error> {
    let tags = call.granted.tagging.clone().unwrap_or_else(|| Err(Error::new(ErrorCode::MalformedXML)))?;
    update(call, |record| record.tags.clone_from(&tags)).await?;
    Ok(Answer::empty(200))
}

/// The tags in the body of PutObjectTagging, which policies look at before it is granted.
pub(super) async fn read_tags(
    state: &State,
    raw: &RawRequest,
    credentials: &Credentials,
    body: &mut dyn BodySource,
) -> Result<Vec<Tag>, Error> {
    let limit = oss::xml::body_limit(OperationKind::PutObjectTagging).unwrap_or(oss::xml::MAX_DOCUMENT_BYTES);
    let held = state.memory.receive.hold();
    let too_large = Error::new(ErrorCode::MalformedXML);
    parse_object_tagging(&read_checked(raw, credentials, body, limit, too_large, held).await?)
}

/// GetObjectTagging (HTTP API 9.11).
pub(crate) async fn tags(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_tagging(&find(call).await?.tags)))
}

/// DeleteObjectTagging (HTTP API 9.11).
pub(crate) async fn delete_tags(call: &Call<'_>) -> Result<Answer, Error> {
    update(call, |record| record.tags.clear()).await?;
    Ok(Answer::empty(204))
}

/// Changes the object in one commit; when its bytes were last written stays as it is.
async fn update(call: &Call<'_>, change: impl FnMut(&mut ObjectRecord) + Send) -> Result<(), Error> {
    check_version(call)?;
    let key = call.key()?;
    match call.state.meta.update_object(&call.bucket()?.name, key, change).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Err(Error::new(ErrorCode::NoSuchKey).with("Key", key.as_str())),
        Err(error) => Err(internal(error)),
    }
}
