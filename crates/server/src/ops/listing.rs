//! Listings of objects (HTTP API 8.7 to 8.9): the cost follows the page.

use model::Error;
use store::meta::{BucketRecord, ListQuery, ListedObject, Listing};

use super::Call;

/// A page of the objects of a bucket.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// Whose objects they are.
    pub(crate) bucket: &'a BucketRecord,
    /// The objects and groups.
    pub(crate) listing: Listing<ListedObject>,
}

/// Lists objects of the bucket.
///
/// # Errors
/// Those of the store.
pub(crate) async fn objects<'a>(call: &'a Call<'_>, query: &ListQuery) -> Result<Page<'a>, Error> {
    let listing = call.objects().list(&call.granted.grant, query).await?;
    Ok(Page { bucket: &call.bucket()?.record, listing })
}
