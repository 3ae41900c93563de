//! Telling the application's server that an object was stored (HTTP API 13). Sending is [`crate::callback`]'s business.

use std::net::IpAddr;

use bytes::Bytes;
use model::name::{BucketName, ObjectKey};
use model::{Error, OperationKind};
use store::meta::ObjectRecord;

use super::Call;
use crate::callback::{Post, Unreachable, check_address, post};

/// Whom to tell of a stored object, and how.
pub(crate) struct Callback {
    /// Absolute addresses, to be tried in this order.
    pub(crate) urls: Vec<String>,
    /// The host to name, when it is not that of the address.
    pub(crate) host: Option<String>,
    /// The type of the message.
    pub(crate) content_type: &'static str,
    /// Whether a TLS server gets its name (SNI) before it shows a certificate.
    pub(crate) sni: bool,
    /// Writes the message.
    pub(crate) message: Message,
}

/// Writes what is reported of a stored object.
pub(crate) type Message = Box<dyn Fn(&Facts<'_>) -> String + Send + Sync>;

/// What is known of a stored object and of the request that stored it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The bucket.
    pub(crate) bucket: &'a BucketName,
    /// The key.
    pub(crate) key: &'a ObjectKey,
    /// The object.
    pub(crate) record: &'a ObjectRecord,
    /// The address of the client.
    pub(crate) client: IpAddr,
    /// What the request is called.
    pub(crate) request_id: &'a str,
    /// What stored it.
    pub(crate) operation: OperationKind,
}

/// What became of a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notified {
    /// None was asked for.
    Nobody,
    /// The application's server answered with this JSON.
    Reply(Bytes),
    /// It did not; a sentence that the client gets to read. The object stays.
    Failed(String),
}

/// Judges the addresses of a callback, before anything is stored.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) async fn check(call: &Call<'_>, callback: Option<&Callback>) -> Result<(), Error> {
    for url in callback.iter().flat_map(|callback| &callback.urls) {
        let message = match check_address(url, call.services.callback_allow_private).await {
            Ok(()) => continue,
            Err(Unreachable::Private) => "Private address is forbidden to callback.",
            Err(Unreachable::Malformed) => "The callback url configuration is invalid.",
        };
        return Err(Error::argument("callback", "", message));
    }
    Ok(())
}

/// Tells of a stored object, if that was asked for.
///
/// # Errors
/// `NoSuchBucket` when the request is about no bucket. A callback that fails is no error.
pub(super) async fn tell(
    call: &Call<'_>,
    callback: Option<&Callback>,
    key: &ObjectKey,
    record: &ObjectRecord,
) -> Result<Notified, Error> {
    let Some(callback) = callback else { return Ok(Notified::Nobody) };
    let request_id = call.request_id;
    let body = Bytes::from((callback.message)(&Facts {
        bucket: &call.bucket()?.name,
        key,
        record,
        client: call.peer.ip().to_canonical(),
        request_id,
        operation: call.granted.grant.operation(),
    }));
    let message = Post {
        host: callback.host.as_deref(),
        content_type: callback.content_type,
        body: &body,
        sni: callback.sni,
        allow_private: call.services.callback_allow_private,
    };
    let mut fault = String::new();
    for url in &callback.urls {
        let Ok(_room) = call.services.files.for_callback().await else {
            fault = "The server has no connection left for a callback.".to_owned();
            break;
        };
        match post(url, message).await {
            Ok(json) => return Ok(Notified::Reply(json)),
            Err(detail) => fault = detail,
        }
    }
    of_stranger!(INFO, "a callback failed", call.peer.ip(), request_id, fault, "a callback failed");
    Ok(Notified::Failed(fault))
}
