//! ListObjects, first and second version (HTTP API 8.7, 8.8): the cost follows the page.

use model::Error;
use oss::request::{ListObjectsParameters, ListObjectsV2Parameters, ListVersionsParameters};
use oss::xml::listing::{ListedObject, ObjectPage};
use store::meta::ListQuery;

use super::{Answer, Call, internal};

/// ListObjects (HTTP API 8.7).
pub(crate) async fn objects(call: &Call<'_>) -> Result<Answer, Error> {
    let asked = ListObjectsParameters::parse(call.query())?;
    let query = ListQuery {
        prefix: asked.prefix.clone(),
        delimiter: asked.delimiter.clone(),
        after: asked.marker.clone(),
        limit: asked.max_keys as usize,
    };
    let page = page(call, &query).await?;
    let record = &call.bucket()?.record;
    Ok(Answer::xml(page.render(&record.name, &asked, &record.owner)))
}

/// ListObjectsV2 (HTTP API 8.8).
pub(crate) async fn objects_v2(call: &Call<'_>) -> Result<Answer, Error> {
    let asked = ListObjectsV2Parameters::parse(call.query())?;
    let query = ListQuery {
        prefix: asked.prefix.clone(),
        delimiter: asked.delimiter.clone(),
        after: asked.after().to_owned(),
        limit: asked.max_keys as usize,
    };
    let page = page(call, &query).await?;
    let record = &call.bucket()?.record;
    Ok(Answer::xml(page.render_v2(&record.name, &asked, &record.owner)))
}

/// ListObjectVersions of a bucket that was never versioned (HTTP API 8.9).
pub(crate) async fn versions(call: &Call<'_>) -> Result<Answer, Error> {
    let asked = ListVersionsParameters::parse(call.query())?;
    let query = ListQuery {
        prefix: asked.prefix.clone(),
        delimiter: asked.delimiter.clone(),
        after: asked.key_marker.clone(),
        limit: asked.max_keys as usize,
    };
    let page = page(call, &query).await?;
    let record = &call.bucket()?.record;
    Ok(Answer::xml(page.render_versions(&record.name, &asked, &record.owner)))
}

async fn page(call: &Call<'_>, query: &ListQuery) -> Result<ObjectPage, Error> {
    let listing = call.state.meta.list_objects(super::bucket::name(call)?, query).await.map_err(internal)?;
    Ok(ObjectPage {
        objects: listing
            .entries
            .into_iter()
            .map(|object| ListedObject {
                key: object.key.to_string(),
                modified_ms: object.modified_ms,
                etag: object.etag,
                object_type: object.object_type,
                size: object.size,
                storage_class: object.storage_class,
            })
            .collect(),
        prefixes: listing.prefixes,
        next: listing.next.filter(|_| listing.is_truncated),
    })
}
