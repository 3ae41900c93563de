//! A bucket that answers like a web site (HTTP API 8.16): index and error documents for anonymous GET. Signed requests
//! are not affected. That the root of a site means its index document is known before this.

use model::IndexDocument;
use model::OperationKind;
use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ErrorCode};
use store::meta::ObjectRecord;

use super::Call;
use super::caching::Page;
use super::object::{Content, Shown};

/// What an anonymous visitor gets instead of `refusal`, that there is no such key.
///
/// # Errors
/// The refusal itself where the web site has no page for it.
pub(super) async fn instead(call: &Call<'_>, page: Option<Page<'_>>, refusal: Error) -> Result<Content, Error> {
    let is_visit = *call.granted.grant.caller() == Caller::Anonymous;
    let Some(website) = call.bucket()?.record.website.clone().filter(|_| is_visit) else { return Err(refusal) };
    if let Some(index) = &website.index_document
        && let Some(content) = directory(call, index, page).await?
    {
        return Ok(content);
    }
    let Some(document) = &website.error_document else { return Err(refusal) };
    let Ok(key) = ObjectKey::parse(document.key.as_bytes()) else { return Err(refusal) };
    let Some(record) = readable(call, &key).await? else { return Err(refusal) };
    Ok(Content::ErrorPage(Box::new(record), document.http_status))
}

/// The index document of the directory that the key names, or the way to it.
async fn directory(call: &Call<'_>, index: &IndexDocument, page: Option<Page<'_>>) -> Result<Option<Content>, Error> {
    let key = call.key()?.as_str();
    let is_directory = key.ends_with('/');
    let document = match (is_directory, index.support_sub_dir) {
        (true, true) => key_below(key, index),
        (true, false) => key_below("", index),
        (false, true) => key_below(&format!("{key}/"), index),
        (false, false) => None,
    };
    let Some(document) = document else { return Ok(None) };
    let Some(record) = readable(call, &document).await? else { return Ok(None) };
    match (is_directory, index.sub_dir_type) {
        (true, _) | (false, 2) => Ok(Some(Content::Object(Box::new(Shown::of(call, &document, record, page)?)))),
        (false, 0) => Ok(ObjectKey::parse(format!("{key}/").as_bytes()).ok().map(Content::Folder)),
        (false, _) => Ok(None),
    }
}

fn key_below(directory: &str, index: &IndexDocument) -> Option<ObjectKey> {
    ObjectKey::parse(format!("{directory}{}", index.suffix).as_bytes()).ok()
}

/// A page that is there and that the visitor may read.
async fn readable(call: &Call<'_>, key: &ObjectKey) -> Result<Option<ObjectRecord>, Error> {
    let grant = match call.may(OperationKind::GetObject, call.bucket()?, key).await {
        Ok(grant) => grant,
        Err(error) if error.code == ErrorCode::AccessDenied => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = call.objects().read(&grant).await?;
    Ok(found.map(|stored| stored.value.clone()))
}
