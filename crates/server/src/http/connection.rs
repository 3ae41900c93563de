//! One HTTP connection: hyper's settings, and its end when the server stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use model::{Error, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::admin_api;
use crate::connections::{Full, InUse, Slot, Watched};
use crate::http::body::{AnswerBody, Way};
use crate::http::door::Door;
use crate::http::file_stream::{FileStream, Outbox};
use crate::http::lifetime::{self, Lifetime};
use crate::http::logged::LoggedBody;
use crate::http::pipeline;
use crate::shutdown::Shutdown;
use crate::state::State;

/// Requests that one HTTP/2 connection may have open: with all of their answers stalled, it holds 8 MiB.
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
    let lifetime = Lifetime::begin();
    let sending = Arc::new(state.memory.send.connection());
    let (requests, answers) = (lifetime.clone(), sending.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let version = request.version();
        // Only HTTP/1 hands a body to the stream as it is.
        let outbox = outbox.clone().filter(|_| version <= Version::HTTP_11);
        let (state, slot, answers, open) = (state.clone(), slot.clone(), answers.clone(), requests.open(version));
        async move {
            let (in_request, room) = match state.connections.begin_request(&slot) {
                Ok(Some(in_request)) => (Some(in_request), Ok(())),
                // The connection is being closed at this moment.
                Ok(None) => return std::future::pending().await,
                Err(Full) => (None, Err(no_room())),
            };
            let response = match door != Door::Public && is_management(&request) {
                true => manage(request, &state, peer, is_secure).await,
                false => pipeline::answer(state, request, peer, is_secure, door, room).await,
            };
            let way = Way { outbox, sending: &answers, is_http1: version <= Version::HTTP_11, open };
            Ok::<_, Infallible>(response.map(|body| InUse::new(body.on(way), in_request)))
        }
    });
    let builder = lifetime::builder(head_timeout, MAX_STREAMS);
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    let ended = lifetime::run(connection, &lifetime, head_timeout, shutdown.wait(), sending.ended()).await;
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
