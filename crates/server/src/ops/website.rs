//! A bucket that answers like a web site (HTTP API 8.16): index and error documents for anonymous GET. Signed requests
//! are not affected.

use model::IndexDocument;
use model::OperationKind;
use model::Resource;
use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ErrorCode};
use oss::request::{RawRequest, Route, object_location};
use store::meta::ObjectRecord;

use super::object::{content, object_headers, send};
use super::{Answer, Bucket, Call, internal};

/// Turns an anonymous GET of the root of a web site into one of its index document.
pub(super) fn enter(route: &mut Route, raw: &RawRequest, caller: &Caller, bucket: Option<&Bucket>) {
    let Some(bucket) = bucket else { return };
    let index = bucket.record.website.as_ref().and_then(|website| website.index_document.as_ref());
    let is_visit = raw.method == "GET" && *caller == Caller::Anonymous && route.kind == OperationKind::ListObjects;
    if let (true, Some(key)) = (is_visit, index.and_then(|index| key_below("", index))) {
        route.kind = OperationKind::GetObject;
        route.resource = Resource::Object(bucket.name.clone(), key);
    }
}

/// What an anonymous visitor gets instead of `refusal`, that there is no such key.
///
/// # Errors
/// The refusal itself where the web site has no page for it.
pub(super) async fn instead(call: &Call<'_>, refusal: Error) -> Result<Answer, Error> {
    let is_visit = call.raw.method == "GET" && *call.granted.grant.caller() == Caller::Anonymous;
    let Some(website) = call.bucket()?.record.website.clone().filter(|_| is_visit) else { return Err(refusal) };
    if let Some(index) = &website.index_document
        && let Some(answer) = directory(call, index).await?
    {
        return Ok(answer);
    }
    let Some(page) = &website.error_document else { return Err(refusal) };
    let Ok(key) = ObjectKey::parse(page.key.as_bytes()) else { return Err(refusal) };
    let Some(record) = readable(call, &key).await? else { return Err(refusal) };
    let content = content(call, &record.body, 0, record.size).await?;
    Ok(Answer { status: page.http_status, content, ..object_headers(Answer::empty(200), &record) })
}

/// The index document of the directory that the key names, or the way to it.
async fn directory(call: &Call<'_>, index: &IndexDocument) -> Result<Option<Answer>, Error> {
    let key = call.key()?.as_str();
    let is_directory = key.ends_with('/');
    let page = match (is_directory, index.support_sub_dir) {
        (true, true) => key_below(key, index),
        (true, false) => key_below("", index),
        (false, true) => key_below(&format!("{key}/"), index),
        (false, false) => None,
    };
    let Some(page) = page else { return Ok(None) };
    let Some(record) = readable(call, &page).await? else { return Ok(None) };
    match (is_directory, index.sub_dir_type) {
        (true, _) | (false, 2) => send(call, &page, &record).await.map(Some),
        (false, 0) => {
            let Ok(directory) = ObjectKey::parse(format!("{key}/").as_bytes()) else { return Ok(None) };
            let location = object_location(call.raw, call.route().style, &call.bucket()?.name, &directory);
            Ok(Some(Answer::empty(302).header("location", location)))
        }
        (false, _) => Ok(None),
    }
}

fn key_below(directory: &str, index: &IndexDocument) -> Option<ObjectKey> {
    ObjectKey::parse(format!("{directory}{}", index.suffix).as_bytes()).ok()
}

/// A page that is there and that the visitor may read.
async fn readable(call: &Call<'_>, key: &ObjectKey) -> Result<Option<ObjectRecord>, Error> {
    let bucket = call.bucket()?;
    match call.may(OperationKind::GetObject, bucket, key).await {
        Ok(_) => {}
        Err(error) if error.code == ErrorCode::AccessDenied => return Ok(None),
        Err(error) => return Err(error),
    }
    let found = call.state.meta.object(&bucket.name, key).await.map_err(internal)?;
    Ok(found.map(|stored| stored.value))
}
