//! ListParts and ListMultipartUploads (HTTP API 10.6, 10.7).

use model::{Error, StorageClass};
use store::meta::{Page, PartRecord, UploadListQuery, UploadListing};

use super::find;
use crate::ops::Call;

/// A page of the parts of an upload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    /// The class that the object will have.
    pub(crate) storage_class: StorageClass,
    /// Numbers and parts, ascending by number.
    pub(crate) page: Page<(u16, PartRecord)>,
}

/// ListParts (HTTP API 10.6): at most `limit` parts with numbers beyond `after`.
///
/// # Errors
/// `NoSuchUpload`, and those of the store.
pub(crate) async fn parts(call: &Call<'_>, upload_id: &str, after: u16, limit: usize) -> Result<Parts, Error> {
    let begun = find(call, upload_id).await?.value;
    let page = call.objects().list_parts(&call.object_grant()?, upload_id, after, limit).await?;
    Ok(Parts { storage_class: begun.storage_class, page })
}

/// ListMultipartUploads (HTTP API 10.7).
///
/// # Errors
/// Those of the store.
pub(crate) async fn uploads(call: &Call<'_>, query: &UploadListQuery) -> Result<UploadListing, Error> {
    call.objects().list_uploads(&call.granted.grant, query).await
}
