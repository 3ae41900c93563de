//! The listener for operators: is it alive, is it ready, what are its numbers.

pub(crate) mod thread;

use std::collections::HashMap;
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
use crate::live::OnAir;
use crate::metrics::page::{Kind, Page};
use crate::metrics::system;
use crate::shutdown::Shutdown;
use thread::Readiness;

/// Time for the head of a request, and for a connection to be idle before its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that one HTTP/2 connection may have open; each may ask for all the numbers.
const MAX_STREAMS: u32 = 8;

/// Answers until the word that the process `ends`, which comes after the one to stop: until then `/readyz` says so.
async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    numbers: PrometheusHandle,
    readiness: Arc<Readiness>,
    shutdown: Shutdown,
    mut ends: Shutdown,
) {
    let upkeep = numbers.clone();
    let mut every_5_s = tokio::time::interval(std::time::Duration::from_secs(5));
    loop {
        tokio::select! {
            () = ends.wait() => return,
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
                    () = ends.wait() => return,
                    admitted = edge.admin_connections.enter(peer.ip(), true) => admitted,
                };
                let (edge, numbers, shutdown) = (edge.clone(), numbers.clone(), shutdown.clone());
                let readiness = readiness.clone();
                crate::panics::spawn("admin connection", async move {
                    let slot = admitted.slot();
                    admitted.run(serve_one(stream, peer, slot, edge, numbers, readiness, shutdown)).await;
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
    readiness: Arc<Readiness>,
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
        let readiness = readiness.clone();
        async move {
            // Without a place it is answered all the same: these answers are short.
            let in_request = edge.admin_connections.begin_request(&slot).ok().flatten();
            let response = if !http::management::is_wanted(&request) {
                answer(&request, &edge, &numbers, &readiness, &shutdown).await
            } else if edge.config.console_listen.is_some() {
                text(StatusCode::NOT_FOUND, MOVED.to_owned())
            } else {
                let answer = async move { http::management::answer(request, &edge, peer, is_secure, Ok(())).await };
                match crate::panics::run_on(readiness.requests(), "management request", answer).await {
                    Some(response) => response.map(Full::new),
                    None => text(StatusCode::INTERNAL_SERVER_ERROR, FAILED.to_owned()),
                }
            };
            Ok::<_, Infallible>(response.map(|body| InUse::new(WhileOpen::new(body, open), in_request)))
        }
    });
    let builder = http::builder(HEAD_TIMEOUT, MAX_STREAMS, HEAD_TIMEOUT);
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
    readiness: &Arc<Readiness>,
    shutdown: &Shutdown,
) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let path = request.uri().path().to_owned();
    let (edge, numbers, is_stopping) = (edge.clone(), numbers.clone(), shutdown.is_on());
    let readiness = readiness.clone();
    async move {
        let (status, text) = match path.as_str() {
            _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n".to_owned()),
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if is_stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
            "/readyz" => match readiness.ask().await {
                // What can be read is read, and what is to be deleted is: who takes it out of service makes it worse.
                // A store of blobs that is away is away for all servers, and pushes go on.
                Ok(_) => match troubles(&edge).join("; ") {
                    none if none.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
                    troubles => (StatusCode::OK, format!("degraded: {troubles}\n")),
                },
                Err(error) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("the metadata store does not answer: {error}\n"))
                }
            },
            "/metrics" => {
                measure(&edge);
                (StatusCode::OK, page(&edge).finish(&numbers.render()))
            }
            _ => (StatusCode::NOT_FOUND, "There is /healthz, /readyz, /metrics and /api/v1 here.\n".to_owned()),
        };
        self::text(status, text)
    }
}

/// What is wrong with a server that serves all the same, for people.
fn troubles(edge: &Edge) -> Vec<String> {
    let store = edge.dependencies.store_trouble();
    let waiting = edge.live.pushes_that_wait();
    crate::space::trouble()
        .into_iter()
        .chain(store.map(|why| format!("the S3-compatible store does not answer ({why})")))
        .chain((waiting > 0).then(|| format!("segments of {waiting} pushes wait on the disk of this server")))
        .collect()
}

/// What is said where the management API was before it got a listener of its own.
const MOVED: &str = "The management API has an address of its own: `console_listen` in the settings.\n";

/// What is said when answering failed.
const FAILED: &str = "This request failed inside the server; its log says more.\n";

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
        CONNECTIONS, CONNECTIONS_MAX, DEPENDENCY_UP, DESCRIPTORS_LIMIT, DESCRIPTORS_OPEN, REQUEST_FILES_MAX,
        REQUEST_FILES_OPEN,
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
    metrics::gauge!(crate::metrics::ACCESS_LOG_WAITING).set(number(edge.access_log.waiting_bytes()));
    for (dependency, is_up) in edge.dependencies.are_up() {
        metrics::gauge!(DEPENDENCY_UP, "dependency" => dependency).set(number(usize::from(is_up)));
    }
    edge.stills.measure();
    let (open, max) = edge.files.open_and_max();
    metrics::gauge!(REQUEST_FILES_OPEN).set(number(open));
    metrics::gauge!(REQUEST_FILES_MAX).set(number(max));
    if let Some(open) = descriptors::open_now() {
        metrics::gauge!(DESCRIPTORS_OPEN).set(number(open));
    }
    metrics::gauge!(DESCRIPTORS_LIMIT).set(number(descriptors::limit()));
}

/// What is measured when somebody asks, and shown without being recorded.
fn page(edge: &Edge) -> Page {
    let mut page = Page::default();
    page.family("millpond_build_info", "What runs here; always 1", Kind::Gauge).sample(
        "millpond_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    system::process(&mut page, descriptors::open_now(), descriptors::limit());
    system::files(&mut page, &edge.config.data_dir);
    channels(&mut page, edge);
    page
}

/// Every channel that was on air in this life of the process, up to a bound.
fn channels(page: &mut Page, edge: &Edge) {
    let on_air: HashMap<(String, String), Arc<OnAir>> = edge
        .live
        .all_on_air()
        .into_iter()
        .map(|((bucket, channel), on_air)| ((bucket.to_string(), channel.to_string()), on_air))
        .collect();
    let known = crate::metrics::channels::known();
    let mut family = |name: &str, help: &str, value: &dyn Fn(&OnAir) -> Option<f64>, otherwise: Option<f64>| {
        page.family(name, help, Kind::Gauge);
        for id in &known {
            if let Some(value) = on_air.get(id).map_or(otherwise, |on_air| value(on_air)) {
                page.sample(name, &[("bucket", &id.0), ("channel", &id.1)], value);
            }
        }
    };
    let number = |count: u64| count as f64;
    family("millpond_channel_live", "1 while somebody pushes to the channel", &|_| Some(1.0), Some(0.0));
    let rate = |on_air: &OnAir| {
        let measured = on_air.measure();
        Some(number(measured.video.unwrap_or(0).saturating_add(measured.audio.unwrap_or(0))))
    };
    family(
        "millpond_channel_ingest_bytes_per_second",
        "Media payload that is received, over the last five seconds",
        &rate,
        Some(0.0),
    );
    let age = |on_air: &OnAir| on_air.key_frame_age_ms().map(|ms| number(ms) / 1000.0);
    family("millpond_channel_key_frame_age_seconds", "Since the last key frame of a push arrived", &age, None);
    let silence = |on_air: &OnAir| Some(on_air.silence().as_secs_f64());
    family("millpond_channel_silence_seconds", "Since anything of a push arrived", &silence, None);
    let viewers = |on_air: &OnAir| Some(number(on_air.viewers()));
    family("millpond_channel_viewers", "About how many watch", &viewers, Some(0.0));
}
