//! Telling the application's server that an object was stored (HTTP API 13). Sending is [`crate::callback`]'s business.

use base64::Engine;
use bytes::Bytes;
use model::Error;
use model::name::ObjectKey;
use oss::request::{Callback, CallbackFacts, PostFields, callback_failed, private_callback_address};
use store::meta::ObjectRecord;

use super::{Answer, Call, Content};
use crate::callback::{Post, Unreachable, check_address, post};

/// The callback that a request asks for, judged before anything is stored.
///
/// # Errors
/// `InvalidArgument`.
pub(super) async fn of_request(call: &Call<'_>) -> Result<Option<Callback>, Error> {
    permitted(call, Callback::of_request(call.raw, call.query())?).await
}

/// The callback that a form asks for, judged before anything is stored.
///
/// # Errors
/// As [`of_request`].
pub(super) async fn of_form(call: &Call<'_>, fields: &PostFields) -> Result<Option<Callback>, Error> {
    permitted(call, Callback::of_form(fields)?).await
}

async fn permitted(call: &Call<'_>, callback: Option<Callback>) -> Result<Option<Callback>, Error> {
    for url in callback.iter().flat_map(|callback| &callback.urls) {
        match check_address(url, call.state.config.callback_allow_private).await {
            Ok(()) => {}
            Err(Unreachable::Private) => return Err(private_callback_address()),
            Err(Unreachable::Malformed) => {
                return Err(Error::argument("callback", "", "The callback url configuration is invalid."));
            }
        }
    }
    Ok(callback)
}

/// Tells of a stored object, if that was asked for: the answer is then the one of the application's server.
///
/// # Errors
/// `CallbackFailed`, which is sent as 203: the object stays.
pub(super) async fn tell(
    call: &Call<'_>,
    callback: Option<Callback>,
    key: &ObjectKey,
    record: &ObjectRecord,
    answer: Answer,
) -> Result<Answer, Error> {
    let Some(callback) = callback else { return Ok(answer) };
    let mime_type = record.headers.content_type.as_deref().map(String::from_utf8_lossy);
    let md5 = record.md5.map(|md5| base64::engine::general_purpose::STANDARD.encode(md5));
    let body = callback.body(CallbackFacts {
        bucket: call.bucket()?.name.as_str(),
        object: key.as_str(),
        etag: record.etag.as_str(),
        size: record.size,
        mime_type: mime_type.as_deref().unwrap_or(super::object::DEFAULT_TYPE),
        crc64: record.crc64,
        content_md5: md5.as_deref().unwrap_or_default(),
        client_ip: &call.peer.ip().to_canonical().to_string(),
        request_id: call.request_id,
        operation: call.granted.grant.operation().name(),
    });
    let body = Bytes::from(body);
    let message = Post {
        host: callback.host.as_deref(),
        content_type: callback.body_type.as_str(),
        body: &body,
        sni: callback.sni,
        allow_private: call.state.config.callback_allow_private,
    };
    let mut fault = String::new();
    for url in &callback.urls {
        let Ok(_room) = call.state.files.for_callback().await else {
            fault = "The server has no connection left for a callback.".to_owned();
            break;
        };
        match post(url, message).await {
            Ok(json) => {
                let mut answer = Answer { status: 200, content: Content::Bytes(json), ..answer };
                answer.headers.retain(|(name, _)| name != "content-type" && name != "location");
                return Ok(answer.header("content-type", "application/json"));
            }
            Err(detail) => fault = detail,
        }
    }
    let request_id = call.request_id;
    of_stranger!(INFO, "a callback failed", call.peer.ip(), request_id, fault, "a callback failed");
    Err(callback_failed(fault)
        .header("etag", record.etag.quoted())
        .header("x-oss-hash-crc64ecma", record.crc64.to_string()))
}
