//! The management API over HTTP: the same front for the operators' listener, the console's, and hosts that serve the
//! console.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use model::Error;
use oss::request::RawRequest;

use super::around::Around;
use super::body_timeout::BodyTimeout;
use super::linger::Unread;
use super::pipeline::{hold_head, receive};
use crate::dialect::Answer;
use crate::edge::Edge;
use crate::management::{self, Reply};
use crate::proxies::Origin;

/// How long a peer may take to send a piece of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a request at the console's listener is for the management API. A bucket may be called `api`, too; calls about
/// it lack the header.
pub(super) fn is_management(request: &Request<Incoming>) -> bool {
    is_wanted(request) && (request.uri().path() == "/" || request.headers().contains_key(management::PURPOSE.0))
}

/// Whether a request is for the management API.
pub(crate) fn is_wanted(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let raw = RawRequest {
        method: request.method().as_str().to_owned(),
        path: path.to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: content_type.map(|kind| ("content-type".to_owned(), kind.as_bytes().to_vec())).into_iter().collect(),
        ..RawRequest::default()
    };
    management::is_wanted(&raw)
}

/// Answers a request; whatever goes wrong, the peer gets an answer. Without `room` that is why there is none.
pub(crate) async fn answer(
    request: Request<Incoming>,
    edge: &Arc<Edge>,
    peer: SocketAddr,
    is_secure: bool,
    room: Result<(), Error>,
) -> Response<Bytes> {
    let Origin { address: peer, is_secure } = edge.proxies.origin(peer, is_secure, request.headers());
    let request_id = crate::ids::request_id(edge.clock.now_ms());
    let body_timeout = BodyTimeout::new(BODY_TIMEOUT, edge.config.http.min_body_bytes_per_s);
    let (raw, mut body, shape) = receive(request, is_secure, body_timeout);
    let shape = shape.and(room);
    let is_ambiguous = shape.is_err();
    let mut held = edge.memory.receive.hold();
    let reply = match hold_head(&mut held, &raw, shape).await {
        Ok(()) => {
            let around = Around::operators(edge, &raw);
            edge.management.answer(&around, &raw, &mut body, peer, &request_id).await
        }
        Err(error) => edge.management.refuse(error.into(), &raw, peer, &request_id),
    };
    let Reply { status, content_type, text } = reply;
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Secrets are in some of the answers.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_ambiguous {
        // It is not sure where a doubtful request ends.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response.extensions_mut().insert(Unread);
    }
    response
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let answer = Answer::bytes(reply.content_type, reply.text).header("cache-control", "no-store");
        Answer { status: reply.status, ..answer }
    }
}
