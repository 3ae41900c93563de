//! Bodies: hyper's into pieces for operations, and the content of answers into frames for hyper.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::{Error, ErrorCode};

use crate::dialect::Content;
use crate::http::body_timeout::BodyTimeout;
use crate::http::file_stream::{self, Outbox};
use crate::http::lifetime::OpenRequest;
use crate::memory::{Answering, Connection, PIECE};
use crate::objects::{BodySource, StoredContent};

/// What is read of a refused upload so that the peer gets to see the refusal (HTTP API 2).
const DRAIN_BYTES: u64 = 1 << 20;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The body of a request.
pub(super) struct RequestBody {
    incoming: Incoming,
    announced: Option<u64>,
    is_chunked: bool,
    body_timeout: BodyTimeout,
    received: u64,
    is_started: bool,
    is_finished: bool,
    is_broken: bool,
}

impl RequestBody {
    /// Takes the body; `announced` is the Content-Length, `is_chunked` whether it comes in chunks.
    pub(super) fn new(incoming: Incoming, announced: Option<u64>, is_chunked: bool, body_timeout: BodyTimeout) -> Self {
        let is_finished = incoming.is_end_stream();
        Self {
            incoming,
            announced,
            is_chunked,
            body_timeout,
            received: 0,
            is_started: false,
            is_finished,
            is_broken: false,
        }
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether the whole body was read, so that the next request can follow it.
    pub(super) fn is_read(&self) -> bool {
        self.is_finished && !self.is_broken
    }

    /// Reads a little of what nobody wanted, so that the peer reads the answer instead of a reset connection. A peer
    /// that waits for `100 Continue` has sent nothing and gets the answer at once.
    pub(super) async fn drain(&mut self, expects_continue: bool) {
        if self.is_finished || (expects_continue && !self.is_started) {
            return;
        }
        if self.announced.is_some_and(|len| len.saturating_sub(self.received) > DRAIN_BYTES) {
            return;
        }
        let start = self.received;
        let _ = tokio::time::timeout(DRAIN_TIME, async {
            while self.received - start < DRAIN_BYTES {
                if !matches!(self.next_piece().await, Ok(Some(_))) {
                    return;
                }
            }
        })
        .await;
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.read_piece().await;
        self.is_broken |= piece.is_err();
        piece
    }

    async fn read_piece(&mut self) -> Result<Option<Bytes>, Error> {
        self.is_started = true;
        loop {
            if self.is_finished {
                return Ok(None);
            }
            let since = Instant::now();
            let Ok(frame) = tokio::time::timeout(self.body_timeout.left(), self.incoming.frame()).await else {
                self.is_finished = true;
                return Err(Error::new(ErrorCode::RequestTimeout));
            };
            match frame {
                None => {
                    self.is_finished = true;
                    if self.announced.is_some_and(|len| len != self.received) {
                        return Err(Error::new(ErrorCode::IncompleteBody));
                    }
                }
                Some(Err(_)) => {
                    self.is_finished = true;
                    return Err(Error::new(ErrorCode::IncompleteBody));
                }
                // Trailers carry nothing that OSS knows (HTTP API 2).
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received += data.len() as u64;
                        self.body_timeout.receive(data.len() as u64, since.elapsed());
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

impl BodySource for RequestBody {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<Bytes>, Error>> + Send + '_>> {
        Box::pin(self.next_piece())
    }

    fn announced_length(&self) -> Option<u64> {
        self.announced
    }

    fn is_present(&self) -> bool {
        self.announced.is_some() || self.is_chunked
    }
}

/// A whole answer of HTTP/1 up to this length is not counted: there is one a connection, and sockets take it at once.
const MAX_UNCOUNTED: usize = 16 * 1024;

/// How an answer gets to its peer.
pub(super) struct Way<'a> {
    /// How the connection sends ranges of files, if it can.
    pub(super) outbox: Option<Arc<Outbox>>,
    /// The connection.
    pub(super) sending: &'a Connection,
    /// Whether it is of HTTP/1, with one answer at a time.
    pub(super) is_http1: bool,
    /// The request that is answered.
    pub(super) open: Arc<OpenRequest>,
}

type Reading = Pin<Box<dyn Future<Output = (Stored, Result<Option<Bytes>, Error>)> + Send>>;

/// Stored bytes on their way to a connection.
pub(crate) struct Stored {
    content: StoredContent,
    /// Bytes that still have to come.
    left: u64,
    /// How this connection sends ranges of files, if it can.
    outbox: Option<Arc<Outbox>>,
    /// What is read ahead of the peer; `None` before the answer is on its way.
    answering: Option<Answering>,
}

impl Stored {
    /// The next bytes as a placeholder for a range of a file, if there is a way and they are at hand.
    fn share(&mut self) -> Option<Bytes> {
        let outbox = self.outbox.as_ref()?;
        let range = self.content.try_share(file_stream::MAX_RANGE)?;
        Some(outbox.put(range))
    }

    /// The next bytes, which count as held until they are written out.
    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(answering) = &self.answering else { return self.content.next(PIECE).await };
        let taken = answering.take(usize::try_from(self.left).unwrap_or(PIECE).min(PIECE)).await;
        Ok(self.content.next(PIECE).await?.map(|bytes| taken.attach(bytes)))
    }

    fn count(&mut self, bytes: &Bytes) {
        metrics::counter!(crate::metrics::HTTP_BYTES_OUT).increment(bytes.len() as u64);
        self.left = self.left.saturating_sub(bytes.len() as u64);
    }
}

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// Nothing, or nothing more.
    Empty,
    /// Bytes at hand.
    Whole(Bytes),
    /// Stored bytes, between two reads.
    Stored(Stored),
    /// Stored bytes, while one read runs, and how many are left.
    Reading(Reading, u64),
}

impl AnswerBody {
    /// Turns the content of an answer into frames.
    pub(super) fn new(content: Content) -> Self {
        match content {
            Content::Empty | Content::Announced(_) => AnswerBody::Empty,
            Content::Xml(text) => AnswerBody::Whole(text.into()),
            Content::Bytes(bytes) => AnswerBody::Whole(bytes),
            Content::Stored(content) => {
                let left = content.remaining();
                AnswerBody::Stored(Stored { content, left, outbox: None, answering: None })
            }
        }
    }

    /// Sends it on its way. Called in the task that is to end when the answer stalls.
    pub(super) fn on(mut self, way: Way<'_>) -> Self {
        let Way { outbox, sending, is_http1, open } = way;
        let max_uncounted = if is_http1 { MAX_UNCOUNTED } else { 0 };
        match &mut self {
            AnswerBody::Stored(stored) => {
                stored.answering = Some(sending.answer(Some(open)));
                stored.outbox = outbox;
            }
            AnswerBody::Whole(bytes) if bytes.len() > max_uncounted => {
                let taken = sending.answer(Some(open)).take_anyway(bytes.len());
                *bytes = taken.attach(std::mem::take(bytes));
            }
            _ => {}
        }
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            match std::mem::replace(&mut *self, AnswerBody::Empty) {
                AnswerBody::Empty => return Poll::Ready(None),
                AnswerBody::Whole(bytes) => {
                    metrics::counter!(crate::metrics::HTTP_BYTES_OUT).increment(bytes.len() as u64);
                    return Poll::Ready(if bytes.is_empty() { None } else { Some(Ok(Frame::data(bytes))) });
                }
                AnswerBody::Stored(Stored { left: 0, .. }) => return Poll::Ready(None),
                AnswerBody::Stored(mut stored) => {
                    if let Some(placeholder) = stored.share() {
                        stored.count(&placeholder);
                        *self = AnswerBody::Stored(stored);
                        return Poll::Ready(Some(Ok(Frame::data(placeholder))));
                    }
                    if stored.answering.as_ref().is_some_and(|answering| answering.poll_room(context).is_pending()) {
                        *self = AnswerBody::Stored(stored);
                        return Poll::Pending;
                    }
                    let left = stored.left;
                    let reading = Box::pin(async move {
                        let read = stored.read().await;
                        (stored, read)
                    });
                    *self = AnswerBody::Reading(reading, left);
                }
                AnswerBody::Reading(mut reading, left) => match reading.as_mut().poll(context) {
                    Poll::Pending => {
                        *self = AnswerBody::Reading(reading, left);
                        return Poll::Pending;
                    }
                    Poll::Ready((mut stored, Ok(Some(bytes)))) => {
                        stored.count(&bytes);
                        *self = AnswerBody::Stored(stored);
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Poll::Ready((_, Ok(None))) => return Poll::Ready(None),
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Empty => SizeHint::with_exact(0),
            AnswerBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Stored(Stored { left, .. }) | AnswerBody::Reading(_, left) => SizeHint::with_exact(*left),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, AnswerBody::Empty | AnswerBody::Stored(Stored { left: 0, .. }))
    }
}
