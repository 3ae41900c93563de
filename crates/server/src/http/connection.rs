//! One HTTP connection: hyper's settings, and its end when the server stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use oss::{Error, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::admin_api;
use crate::connections::{Full, InUse, Slot, Watched};
use crate::http::body::AnswerBody;
use crate::http::door::Door;
use crate::http::file_stream::{FileStream, Outbox};
use crate::http::logged::LoggedBody;
use crate::http::pipeline;
use crate::shutdown::Shutdown;
use crate::state::State;

/// The longest head of a request: an 8 KiB metadata limit, a long key and a signed URL fit several times.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;

/// Answers the requests of a connection without TLS, whose kernel can take the bytes of files from where they lie.
pub(crate) async fn serve_plain(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    slot: Arc<Slot>,
    state: Arc<State>,
    shutdown: Shutdown,
) {
    let outbox = Arc::new(Outbox::default());
    let stream = FileStream::new(stream, outbox.clone());
    serve(stream, Some(outbox), Origin { peer, is_secure: false, door, slot }, state, shutdown).await;
}

/// Answers the requests of a connection behind TLS.
pub(crate) async fn serve_secure<S>(
    stream: S,
    peer: SocketAddr,
    door: Door,
    slot: Arc<Slot>,
    state: Arc<State>,
    shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve(stream, None, Origin { peer, is_secure: true, door, slot }, state, shutdown).await;
}

/// Where the requests of a connection come from.
struct Origin {
    peer: SocketAddr,
    is_secure: bool,
    door: Door,
    slot: Arc<Slot>,
}

/// What a request is told when every connection is in use.
fn no_room() -> Error {
    Error::new(ErrorCode::ServiceUnavailable)
        .message("Every connection of this server is in use. Please try again in a moment.")
        .header("retry-after", "2")
}

/// Answers the requests of one connection until it ends or the server stops.
async fn serve<S>(
    stream: S,
    outbox: Option<Arc<Outbox>>,
    Origin { peer, is_secure, door, slot }: Origin,
    state: Arc<State>,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_timeout = Duration::from_secs(state.config.http.head_timeout_s);
    let stream = Watched::new(stream, slot.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        // Only HTTP/1 hands a body to the stream as it is.
        let outbox = outbox.clone().filter(|_| request.version() <= Version::HTTP_11);
        let (state, slot) = (state.clone(), slot.clone());
        async move {
            let (in_request, room) = match state.connections.begin_request(&slot) {
                Ok(Some(in_request)) => (Some(in_request), Ok(())),
                // The connection is being closed at this moment.
                Ok(None) => return std::future::pending().await,
                Err(Full) => (None, Err(no_room())),
            };
            if door != Door::Public && is_management(&request) {
                let response = manage(request, &state, peer, is_secure).await;
                return Ok(response.map(|body| InUse::new(body, in_request)));
            }
            let response = pipeline::answer(state, request, peer, is_secure, door, room).await;
            Ok::<_, Infallible>(response.map(|body| {
                let body = match outbox {
                    Some(outbox) => body.through(&outbox),
                    None => body,
                };
                InUse::new(body, in_request)
            }))
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        // The stream must see the pieces of a body one by one.
        .writev(true)
        .half_close(true);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_header_list_size(
        // The list counts 32 bytes of overhead a field; the bound is about the same as for HTTP/1.
        u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX),
    );
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A peer that goes away, or speaks something else, ends its own connection only.
        tracing::debug!(%peer, %error, "http connection ended");
    }
}

/// Whether a request at the console's listener is for the management API. A bucket may be called `api`, too; calls about
/// it lack the header.
fn is_management(request: &Request<Incoming>) -> bool {
    admin_api::is_wanted(request)
        && (request.uri().path() == "/" || request.headers().contains_key(admin_api::PURPOSE.0))
}

async fn manage(
    request: Request<Incoming>,
    state: &Arc<State>,
    peer: SocketAddr,
    is_secure: bool,
) -> Response<LoggedBody> {
    let (head, body) = admin_api::answer(request, state, peer, is_secure).await.into_parts();
    let Ok(body) = body.collect().await;
    Response::from_parts(head, LoggedBody::new(AnswerBody::Whole(body.to_bytes()), None, None))
}
