//! Listings of objects on the wire (HTTP API 8.7 to 8.9).

use model::Error;
use oss::request::{ListObjectsParameters, ListObjectsV2Parameters, ListVersionsParameters};
use oss::xml::listing::{ListedObject, ObjectPage};
use store::meta::{ListQuery, Listing};

use super::Answer;
use super::Asked;
use crate::ops::{Call, listing};

/// ListObjects (HTTP API 8.7).
pub(super) async fn objects(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListObjectsParameters::parse(asked.query())?;
    let found = listing::objects(call, &query(&sent.prefix, &sent.delimiter, &sent.marker, sent.max_keys)).await?;
    Ok(Answer::xml(page(found.listing).render(&found.bucket.name, &sent, &found.bucket.owner)))
}

/// ListObjectsV2 (HTTP API 8.8).
pub(super) async fn objects_v2(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListObjectsV2Parameters::parse(asked.query())?;
    let found = listing::objects(call, &query(&sent.prefix, &sent.delimiter, sent.after(), sent.max_keys)).await?;
    Ok(Answer::xml(page(found.listing).render_v2(&found.bucket.name, &sent, &found.bucket.owner)))
}

/// ListObjectVersions of a bucket that was never versioned (HTTP API 8.9).
pub(super) async fn versions(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListVersionsParameters::parse(asked.query())?;
    let found = listing::objects(call, &query(&sent.prefix, &sent.delimiter, &sent.key_marker, sent.max_keys)).await?;
    Ok(Answer::xml(page(found.listing).render_versions(&found.bucket.name, &sent, &found.bucket.owner)))
}

fn query(prefix: &str, delimiter: &str, after: &str, limit: u32) -> ListQuery {
    ListQuery {
        prefix: prefix.to_owned(),
        delimiter: delimiter.to_owned(),
        after: after.to_owned(),
        limit: limit as usize,
    }
}

fn page(listing: Listing<store::meta::ListedObject>) -> ObjectPage {
    ObjectPage {
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
    }
}
