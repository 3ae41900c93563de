//! What can be said of an object after it was written: its ACL and its tags (HTTP API 9.9, 9.11).

use model::{Error, ErrorCode, ObjectAcl, OwnerId, Tag};
use store::meta::ObjectRecord;

use super::Call;
use super::object::{check_version, find};

/// PutObjectACL (HTTP API 9.9).
///
/// # Errors
/// `NoSuchKey`, `NoSuchVersion`.
pub(crate) async fn put_acl(call: &Call<'_>, version: Option<&str>, acl: ObjectAcl) -> Result<(), Error> {
    update(call, version, |record| record.acl = acl).await
}

/// Who owns an object, and whom that owner lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// The owner of its bucket.
    pub(crate) owner: OwnerId,
    /// Its own ACL.
    pub(crate) acl: ObjectAcl,
}

/// GetObjectACL (HTTP API 9.9).
///
/// # Errors
/// As [`find`].
pub(crate) async fn acl(call: &Call<'_>, version: Option<&str>) -> Result<Ownership, Error> {
    let record = find(call, version).await?;
    Ok(Ownership { owner: call.bucket()?.record.owner.clone(), acl: record.acl })
}

/// PutObjectTagging (HTTP API 9.11). The tags were read before this was granted, since policies look at them.
///
/// # Errors
/// What is wrong with the tags; `NoSuchKey`, `NoSuchVersion`.
pub(crate) async fn put_tags(call: &Call<'_>, version: Option<&str>) -> Result<(), Error> {
    let tags = call.granted.tagging.clone().unwrap_or_else(|| Err(Error::new(ErrorCode::MalformedXML)))?;
    update(call, version, |record| record.tags.clone_from(&tags)).await
}

/// GetObjectTagging (HTTP API 9.11).
///
/// # Errors
/// As [`find`].
pub(crate) async fn tags(call: &Call<'_>, version: Option<&str>) -> Result<Vec<Tag>, Error> {
    Ok(find(call, version).await?.tags)
}

/// DeleteObjectTagging (HTTP API 9.11).
///
/// # Errors
/// `NoSuchKey`, `NoSuchVersion`.
pub(crate) async fn delete_tags(call: &Call<'_>, version: Option<&str>) -> Result<(), Error> {
    update(call, version, |record| record.tags.clear()).await
}

/// Changes the object in one commit; when its bytes were last written stays as it is.
async fn update(
    call: &Call<'_>,
    version: Option<&str>,
    change: impl FnMut(&mut ObjectRecord) + Send,
) -> Result<(), Error> {
    check_version(call, version)?;
    call.objects().update(&call.object_grant()?, change).await
}
