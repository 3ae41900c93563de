//! The listener for operators: is it alive, is it ready, what are its numbers.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::admin_api;
use crate::shutdown::Shutdown;
use crate::state::State;

/// Answers until the word to stop is given.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, numbers: PrometheusHandle, mut shutdown: Shutdown) {
    let upkeep = numbers.clone();
    let mut every_5_s = tokio::time::interval(std::time::Duration::from_secs(5));
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = every_5_s.tick() => upkeep.run_upkeep(),
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                };
                let (state, numbers, shutdown) = (state.clone(), numbers.clone(), shutdown.clone());
                tokio::spawn(async move {
                    let tls = state.tls.clone();
                    let mut is_secure = false;
                    let stream: Box<dyn Stream> = match tls {
                        Some(tls) if matches!(first_byte(&stream).await, Some(0x16)) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            is_secure = true;
                            Box::new(stream)
                        }
                        _ => Box::new(stream),
                    };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (state, numbers, shutdown) = (state.clone(), numbers.clone(), shutdown.clone());
                        async move {
                            Ok::<_, Infallible>(if admin_api::is_wanted(&request) {
                                if state.config.console_listen.is_some() {
                                    return Ok(text(StatusCode::NOT_FOUND, MOVED.to_owned()));
                                }
                                admin_api::answer(request, &state, peer, is_secure).await
                            } else {
                                answer(&request, &state, &numbers, &shutdown).await
                            })
                        }
                    });
                    let mut builder = Builder::new(TokioExecutor::new());
                    builder.http1().timer(TokioTimer::new()).header_read_timeout(std::time::Duration::from_secs(10));
                    // A broken connection of an operator's tool concerns nobody else.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
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
    state: &Arc<State>,
    numbers: &PrometheusHandle,
    shutdown: &Shutdown,
) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let path = request.uri().path().to_owned();
    let (state, numbers, is_stopping) = (state.clone(), numbers.clone(), shutdown.is_on());
    async move {
        let (status, text) = match path.as_str() {
            _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n".to_owned()),
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if is_stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
            "/readyz" => match state.meta.list_buckets(None, "", "", 1).await {
                Ok(_) => (StatusCode::OK, "ready\n".to_owned()),
                Err(error) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("the metadata store does not answer: {error}\n"))
                }
            },
            "/metrics" => (StatusCode::OK, numbers.render()),
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
