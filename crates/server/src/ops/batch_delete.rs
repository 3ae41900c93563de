//! DeleteMultipleObjects (HTTP API 9.6): all keys or none, in one commit.

use model::name::ObjectKey;
use model::{Error, ErrorCode, OperationKind};

use super::Call;
use super::authorization::AccessDetails;

/// One object that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletedObject {
    /// Its key.
    pub(crate) key: ObjectKey,
    /// The version that the client names; only `null` exists.
    pub(crate) version_id: Option<String>,
}

/// Deletes objects of the bucket.
///
/// # Errors
/// The refusals of access control 8 for any of the keys, `NoSuchVersion`; nothing is deleted then.
pub(crate) async fn delete(call: &Call<'_>, objects: &[DeletedObject]) -> Result<(), Error> {
    let bucket = call.bucket()?;
    let mut grants = Vec::with_capacity(objects.len());
    for object in objects {
        let details = AccessDetails { names_version: object.version_id.is_some(), ..AccessDetails::default() };
        grants.push(call.may_with(OperationKind::DeleteMultipleObjects, bucket, &object.key, details).await?);
    }
    for object in objects {
        if let Some(version) = object.version_id.as_deref().filter(|version| !matches!(*version, "" | "null")) {
            return Err(Error::new(ErrorCode::NoSuchVersion)
                .with("Key", object.key.as_str())
                .with("VersionId", version.chars().take(64).collect::<String>()));
        }
    }
    call.objects().delete_all(&grants).await
}
