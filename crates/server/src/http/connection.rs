//! One HTTP connection: hyper's settings, and its end when the server stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::http::file_stream::{FileStream, Outbox};
use crate::http::pipeline;
use crate::shutdown::Shutdown;
use crate::state::State;

/// The longest head of a request: an 8 KiB metadata limit, a long key and a signed URL fit several times.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;

/// Answers the requests of a connection without TLS, whose kernel can take the bytes of files from where they lie.
pub(crate) async fn serve_plain(stream: TcpStream, peer: SocketAddr, state: Arc<State>, shutdown: Shutdown) {
    let outbox = Arc::new(Outbox::default());
    let stream = FileStream::new(stream, outbox.clone());
    serve(stream, Some(outbox), peer, false, state, shutdown).await;
}

/// Answers the requests of a connection behind TLS.
pub(crate) async fn serve_secure<S>(stream: S, peer: SocketAddr, state: Arc<State>, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve(stream, None, peer, true, state, shutdown).await;
}

/// Answers the requests of one connection until it ends or the server stops.
async fn serve<S>(
    stream: S,
    outbox: Option<Arc<Outbox>>,
    peer: SocketAddr,
    is_secure: bool,
    state: Arc<State>,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_timeout = Duration::from_secs(state.config.http.head_timeout_s);
    let service = service_fn(move |request: Request<Incoming>| {
        // Only HTTP/1 hands a body to the stream as it is.
        let outbox = outbox.clone().filter(|_| request.version() <= Version::HTTP_11);
        let state = state.clone();
        async move {
            let response = pipeline::answer(state, request, peer, is_secure).await;
            Ok::<_, Infallible>(match outbox {
                Some(outbox) => response.map(|body| body.through(&outbox)),
                None => response,
            })
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
