//! The listener for operators: is it alive, is it ready, what are its numbers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::connections::{InUse, Slot, Watched};
use crate::descriptors;
use crate::edge::Edge;
use crate::http::{self, Lifetime, WhileOpen};
use crate::shutdown::Shutdown;

/// Time for the head of a request, and for a connection to be idle before its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that one HTTP/2 connection may have open; each may ask for all the numbers.
const MAX_STREAMS: u32 = 8;

/// Answers until the word to stop is given.
pub(crate) async fn serve(listener: TcpListener, edge: Arc<Edge>, numbers: PrometheusHandle, mut shutdown: Shutdown) {
    let upkeep = numbers.clone();
    let mut every_5_s = tokio::time::interval(std::time::Duration::from_secs(5));
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = every_5_s.tick() => upkeep.run_upkeep(),
            accepted = listener.accept() => {
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        crate::listen::refused(&error, &edge.admin_connections).await;
                        continue;
                    }
                };
                // Descriptors are kept for this listener, and those who hold them for nothing are closed.
                let admitted = tokio::select! {
                    () = shutdown.wait() => return,
                    admitted = edge.admin_connections.enter(peer.ip(), true) => admitted,
                };
                let (edge, numbers, shutdown) = (edge.clone(), numbers.clone(), shutdown.clone());
                crate::panics::spawn("admin connection", async move {
                    tokio::select! {
                        () = serve_one(stream, peer, admitted.slot(), edge, numbers, shutdown) => {}
                        () = admitted.slot().evicted() => {}
                    }
                });
            }
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    slot: &Arc<Slot>,
    edge: Arc<Edge>,
    numbers: PrometheusHandle,
    shutdown: Shutdown,
) {
    let mut is_secure = false;
    let stream: Box<dyn Stream> = match &edge.tls {
        Some(tls) if matches!(first_byte(&stream).await, Some(0x16)) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            is_secure = true;
            Box::new(stream)
        }
        _ => Box::new(stream),
    };
    let stream = Watched::new(stream, slot.clone());
    let slot = slot.clone();
    let lifetime = Lifetime::begin();
    let requests = lifetime.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let open = requests.open(request.version());
        let (edge, slot, numbers, shutdown) = (edge.clone(), slot.clone(), numbers.clone(), shutdown.clone());
        async move {
            // Without a place it is answered all the same: these answers are short.
            let in_request = edge.admin_connections.begin_request(&slot).ok().flatten();
            let response = if !http::management::is_wanted(&request) {
                answer(&request, &edge, &numbers, &shutdown).await
            } else if edge.config.console_listen.is_some() {
                text(StatusCode::NOT_FOUND, MOVED.to_owned())
            } else {
                http::management::answer(request, &edge, peer, is_secure).await.map(Full::new)
            };
            Ok::<_, Infallible>(response.map(|body| InUse::new(WhileOpen::new(body, open), in_request)))
        }
    });
    let builder = http::builder(HEAD_TIMEOUT, MAX_STREAMS);
    let connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    let never = std::future::pending;
    // A broken connection of an operator's tool concerns nobody else.
    let _ = http::run(connection, &lifetime, HEAD_TIMEOUT, never(), never()).await;
}

/// Either kind of connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0; 1];
    let peeked = tokio::time::timeout(std::time::Duration::from_secs(10), stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(1))).then_some(first[0])
}

fn answer(
    request: &Request<Incoming>,
    edge: &Arc<Edge>,
    numbers: &PrometheusHandle,
    shutdown: &Shutdown,
) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let path = request.uri().path().to_owned();
    let (edge, numbers, is_stopping) = (edge.clone(), numbers.clone(), shutdown.is_on());
    async move {
        let (status, text) = match path.as_str() {
            _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n".to_owned()),
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if is_stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
            "/readyz" => match edge.objects.check_ready().await {
                Ok(_) => (StatusCode::OK, "ready\n".to_owned()),
                Err(error) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("the metadata store does not answer: {error}\n"))
                }
            },
            "/metrics" => {
                measure(&edge);
                (StatusCode::OK, numbers.render())
            }
            _ => (StatusCode::NOT_FOUND, "There is /healthz, /readyz, /metrics and /api/v1 here.\n".to_owned()),
        };
        self::text(status, text)
    }
}

/// What is said where the management API was before it got a listener of its own.
const MOVED: &str = "The management API has an address of its own: `console_listen` in the settings.\n";

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    // A proxy's memory of how things were is no answer.
    response.headers_mut().insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

/// Brings those numbers up to date that are counted when somebody asks.
fn measure(edge: &Edge) {
    use crate::metrics::{
        CONNECTIONS, CONNECTIONS_MAX, DESCRIPTORS_LIMIT, DESCRIPTORS_OPEN, REQUEST_FILES_MAX, REQUEST_FILES_OPEN,
    };
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    for (listener, connections) in [("public", &edge.connections), ("admin", &edge.admin_connections)] {
        let census = connections.census();
        for (kind, count) in [
            ("new", census.new),
            ("idle", census.idle),
            ("request", census.in_request),
            ("publishing", census.publishing),
        ] {
            metrics::gauge!(CONNECTIONS, "listener" => listener, "kind" => kind).set(number(count));
        }
        metrics::gauge!(CONNECTIONS_MAX, "listener" => listener).set(number(connections.caps().max));
    }
    let (open, max) = edge.files.open_and_max();
    metrics::gauge!(REQUEST_FILES_OPEN).set(number(open));
    metrics::gauge!(REQUEST_FILES_MAX).set(number(max));
    if let Some(open) = descriptors::open_now() {
        metrics::gauge!(DESCRIPTORS_OPEN).set(number(open));
    }
    metrics::gauge!(DESCRIPTORS_LIMIT).set(number(descriptors::limit()));
}
