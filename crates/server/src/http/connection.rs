//! One HTTP connection: hyper's settings, and its end when the server stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use model::{Error, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::connections::{Full, InUse, Slot, Watched};
use crate::edge::Edge;
use crate::http::body::{AnswerBody, Way};
use crate::http::door::Door;
use crate::http::file_stream::{FileStream, Outbox};
use crate::http::lifetime::{self, Lifetime};
use crate::http::linger::{Lingering, Rest, Unread};
use crate::http::logged_body::LoggedBody;
use crate::http::management::{self, is_management};
use crate::http::pipeline;
use crate::shutdown::Shutdown;

/// Requests that one HTTP/2 connection may have open: with all of their answers stalled, it holds 8 MiB.
const MAX_STREAMS: u32 = 128;

/// Answers the requests of a connection without TLS, whose kernel can take the bytes of files from where they lie. The
/// client may have spoken TLS with a proxy (`is_secure`).
pub(crate) async fn serve_plain(
    stream: TcpStream,
    peer: SocketAddr,
    is_secure: bool,
    door: Door,
    slot: Arc<Slot>,
    edge: Arc<Edge>,
    shutdown: Shutdown,
) {
    let outbox = Arc::new(Outbox::default());
    let stream = FileStream::new(stream, outbox.clone());
    serve(stream, Some(outbox), Origin { peer, is_secure, door, slot }, edge, shutdown).await;
}

/// Answers the requests of a connection behind TLS.
pub(crate) async fn serve_secure<S>(
    stream: S,
    peer: SocketAddr,
    door: Door,
    slot: Arc<Slot>,
    edge: Arc<Edge>,
    shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve(stream, None, Origin { peer, is_secure: true, door, slot }, edge, shutdown).await;
}

/// Where the requests of a connection come from.
struct Origin {
    peer: SocketAddr,
    is_secure: bool,
    door: Door,
    slot: Arc<Slot>,
}

/// The answer when every connection is in use.
fn no_room() -> Error {
    Error::new(ErrorCode::ServiceUnavailable)
        .message("Every connection of this server is in use. Please try again in a moment.")
        .header("retry-after", "2")
}

/// The answer of a request that panicked, which is a bug. What of its body was read is not known.
fn failed() -> Response<LoggedBody> {
    let document = oss::xml::render_error(&Error::new(ErrorCode::InternalError), "", "");
    let mut response = Response::new(LoggedBody::new(AnswerBody::Whole(document.into()), None, Default::default()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response.extensions_mut().insert(Unread);
    response
}

/// Answers the requests of one connection until it ends or the server stops.
async fn serve<S>(
    stream: S,
    outbox: Option<Arc<Outbox>>,
    Origin { peer, is_secure, door, slot }: Origin,
    edge: Arc<Edge>,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_timeout = Duration::from_secs(edge.config.http.head_timeout_s);
    let rest = Arc::new(Rest::default());
    let stream = Lingering::new(Watched::new(stream, slot.clone()), rest.clone());
    let stalling = slot.clone();
    let lifetime = Lifetime::begin();
    let sending = Arc::new(edge.memory.send.connection());
    let (requests, answers) = (lifetime.clone(), sending.clone());
    let pause = Duration::from_secs(edge.config.http.stalled_answer_s);
    let service = service_fn(move |request: Request<Incoming>| {
        let version = request.version();
        // Only HTTP/1 hands a body to the stream as it is.
        let outbox = outbox.clone().filter(|_| version <= Version::HTTP_11);
        let (edge, slot, answers, open) = (edge.clone(), slot.clone(), answers.clone(), requests.open(version));
        let rest = rest.clone();
        // On its own piece of memory: hyper keeps room for what a service returns also while a connection is idle, and that is
        // tens of KiB.
        Box::pin(async move {
            let (in_request, room) = match edge.connections.begin_request(&slot) {
                Ok(Some(in_request)) => (Some(in_request), Ok(())),
                // The connection is being closed at this moment.
                Ok(None) => return std::future::pending().await,
                Err(Full) => (None, Err(no_room())),
            };
            // On HTTP/2 the connection has other requests, which go on.
            let answer = pin!(async {
                match door != Door::Public && is_management(&request) {
                    true => management::answer(request, &edge, peer, is_secure, room)
                        .await
                        .map(|body| LoggedBody::new(AnswerBody::Whole(body), None, Default::default())),
                    false => pipeline::answer(edge, request, peer, is_secure, door, room).await,
                }
            });
            let response = crate::panics::guard("request", answer).await.unwrap_or_else(failed);
            if version <= Version::HTTP_11 && response.extensions().get::<Unread>().is_some() {
                rest.expect();
            }
            let way = Way { outbox, sending: &answers, is_http1: version <= Version::HTTP_11, open };
            Ok::<_, Infallible>(response.map(|body| InUse::new(body.on(way), in_request)))
        })
    });
    let builder = lifetime::builder(head_timeout, MAX_STREAMS, pause);
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    let end = async {
        tokio::select! {
            () = sending.ended() => {}
            // What the kernel sends from files is in nobody's budget, and may stand still as well.
            () = stalling.stalled(pause) => {
                metrics::counter!(crate::metrics::STALLED_ANSWERS_ENDED).increment(1);
            }
        }
    };
    let ended = lifetime::run(connection, &lifetime, head_timeout, shutdown.wait(), end).await;
    if let Err(error) = ended {
        // A peer that goes away, or speaks something else, ends its own connection only.
        tracing::debug!(%peer, %error, "http connection ended");
    }
}
