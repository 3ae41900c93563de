//! The body of an answer, whose connection is in use until the last byte of it was written out or given up.
//!
//! A body has ended for the server as soon as its last piece was handed on, and that piece may wait for long: for a socket that
//! takes no more, for the window of HTTP/2, or only for the processor. So each piece keeps the request counted as well, and the
//! connection is not between two requests before the last piece has left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::InRequest;
use crate::memory::with_guard;

/// A body that keeps its request counted.
pub(crate) struct InUse<B> {
    body: B,
    request: Option<Arc<InRequest>>,
}

impl<B> InUse<B> {
    /// A body and the request that it answers; `None` where the request does not count.
    pub(crate) fn new(body: B, request: Option<InRequest>) -> Self {
        Self { body, request: request.map(|request| Arc::new(request.send())) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for InUse<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(context);
        let Some(request) = &this.request else { return polled };
        polled.map_ok(|frame| frame.map_data(|bytes| with_guard(bytes, Arc::clone(request))))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
