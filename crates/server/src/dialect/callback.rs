//! Callbacks on the wire (HTTP API 13): how they are asked for, what they say, and what becomes of the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Error;
use oss::request::{self, CallbackFacts, PostFields, callback_failed};
use store::meta::ObjectRecord;

use super::Asked;
use super::object::DEFAULT_TYPE;
use super::{Answer, Content};
use crate::ops::callback::{Callback, Facts, Notified};

/// The callback that a request asks for. Its addresses are judged by [`crate::ops::callback::check`].
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn of_request(asked: &Asked<'_>) -> Result<Option<Callback>, Error> {
    Ok(request::Callback::of_request(asked.raw, asked.query())?.map(Callback::from))
}

/// The callback that a form asks for.
///
/// # Errors
/// As [`of_request`].
pub(super) fn of_form(fields: &PostFields) -> Result<Option<Callback>, Error> {
    Ok(request::Callback::of_form(fields)?.map(Callback::from))
}

impl From<request::Callback> for Callback {
    fn from(sent: request::Callback) -> Self {
        Self {
            urls: sent.urls.clone(),
            host: sent.host.clone(),
            content_type: sent.body_type.as_str(),
            sni: sent.sni,
            message: Box::new(move |facts| message(&sent, facts)),
        }
    }
}

fn message(sent: &request::Callback, facts: &Facts<'_>) -> String {
    let record = facts.record;
    let mime_type = record.headers.content_type.as_deref().map(String::from_utf8_lossy);
    let md5 = record.md5.map(|md5| STANDARD.encode(md5));
    sent.body(CallbackFacts {
        bucket: facts.bucket.as_str(),
        object: facts.key.as_str(),
        etag: record.etag.as_str(),
        size: record.size,
        mime_type: mime_type.as_deref().unwrap_or(DEFAULT_TYPE),
        crc64: record.crc64,
        content_md5: md5.as_deref().unwrap_or_default(),
        client_ip: &facts.client.to_string(),
        request_id: facts.request_id,
        operation: facts.operation.name(),
    })
}

/// The answer to an upload with a callback: that of the application's server.
///
/// # Errors
/// `CallbackFailed`, which is sent as 203: the object stays.
pub(super) fn answer(answer: Answer, notified: Notified, record: &ObjectRecord) -> Result<Answer, Error> {
    match notified {
        Notified::Nobody => Ok(answer),
        Notified::Reply(json) => {
            let mut answer = Answer { status: 200, content: Content::Bytes(json), ..answer };
            answer.headers.retain(|(name, _)| name != "content-type" && name != "location");
            Ok(answer.header("content-type", "application/json"))
        }
        Notified::Failed(fault) => Err(callback_failed(fault)
            .header("etag", record.etag.quoted())
            .header("x-oss-hash-crc64ecma", record.crc64.to_string())),
    }
}
