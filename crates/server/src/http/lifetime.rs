//! How long an HTTP connection lives: one that asks nothing is ended in time, whichever version it speaks.
//!
//! hyper bounds the heads of HTTP/1 and the pauses between them. It waits without end for the version, for the preface of
//! HTTP/2 and for its next request, so those are bounded here.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::Version;
use hyper::rt::Executor;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;

use crate::memory::StreamEnd;

/// The longest head of a request: an 8 KiB metadata limit, a long key and a signed URL fit several times.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// What HTTP/2 may buffer for one stream beside the piece that it was given. An answer bounds both together.
const STREAM_BUFFER: usize = 32 * 1024;
/// How often a peer of HTTP/2 with open requests is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How long a connection may take to end after it was announced that nothing more is answered.
const LINGER: Duration = Duration::from_secs(2);
/// How often a connection with open requests is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs the streams of HTTP/2 as tasks that can be ended one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        // What is around it would otherwise keep a place of the same size at every step.
        tokio::spawn(StreamEnd::default().govern(Box::pin(stream)));
    }
}

/// hyper's settings for connections whose heads take at most `head_timeout` and that have at most `max_streams` requests
/// of HTTP/2 open. With that many answers stalled, a connection holds `max_streams` times what an answer may. A peer of
/// HTTP/2 may take `pause` to say that it is there: one that reads nothing does not see the question.
pub(crate) fn builder(head_timeout: Duration, max_streams: u32, pause: Duration) -> Builder<Streams> {
    let mut builder = Builder::new(Streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        // The stream must see the pieces of a body one by one.
        .writev(true)
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_streams)
        .max_send_buf_size(STREAM_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(pause)
        // The list counts 32 bytes of overhead a field; the bound is about the same as for HTTP/1.
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}

/// What a connection has open.
#[derive(Debug)]
pub(crate) struct Lifetime {
    open: AtomicUsize,
    /// hyper looks after the pauses of HTTP/1 itself.
    is_http1: AtomicBool,
    /// Since when nothing is open.
    since: Mutex<Instant>,
}

impl Lifetime {
    /// A connection that begins.
    pub(crate) fn begin() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            is_http1: AtomicBool::new(false),
            since: Mutex::new(Instant::now()),
        })
    }

    /// A request has come.
    pub(crate) fn open(self: &Arc<Self>, version: Version) -> Arc<OpenRequest> {
        if version <= Version::HTTP_11 {
            self.is_http1.store(true, Ordering::Relaxed);
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        Arc::new(OpenRequest(Arc::clone(self)))
    }

    /// Waits until nothing has been open for so long.
    async fn idle(&self, limit: Duration) {
        loop {
            let left = if self.open.load(Ordering::SeqCst) > 0 {
                limit.min(LOOK_EVERY)
            } else {
                limit.saturating_sub(self.since.lock().elapsed())
            };
            if self.is_http1.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// A request that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<Lifetime>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        *self.0.since.lock() = Instant::now();
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection, whatever it serves.
pub(crate) type AnyConnection = Pin<Box<dyn GracefulConnection<Error = Fault, Output = Result<(), Fault>> + Send>>;

/// Why a connection ended.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Runs a connection until it ends, or has been idle for too long, or `end` says so. After `stop` it finishes what is
/// open.
///
/// # Errors
/// What the connection says of its end.
pub(crate) async fn run(
    mut connection: AnyConnection,
    lifetime: &Lifetime,
    idle_timeout: Duration,
    stop: impl Future<Output = ()>,
    end: impl Future<Output = ()>,
) -> Result<(), Fault> {
    let (mut stop, mut end) = (pin!(stop), pin!(end));
    let (mut is_stopping, mut is_idle) = (false, false);
    loop {
        let limit = if is_idle { LINGER } else { idle_timeout };
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = end.as_mut() => return Ok(()),
            () = stop.as_mut(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = lifetime.idle(limit) => {
                if is_idle {
                    return Ok(());
                }
                is_idle = true;
                *lifetime.since.lock() = Instant::now();
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A body whose request is open as long as it is there.
pub(crate) struct WhileOpen<B> {
    body: B,
    _open: Arc<OpenRequest>,
}

impl<B> WhileOpen<B> {
    /// Keeps a request open for its body.
    pub(crate) fn new(body: B, open: Arc<OpenRequest>) -> Self {
        Self { body, _open: open }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WhileOpen<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
