//! The body of an answer, whose connection is in use until the body was handed on or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use super::InRequest;

/// A body that keeps its request counted.
pub(crate) struct InUse<B> {
    body: B,
    _request: Option<InRequest>,
}

impl<B> InUse<B> {
    /// A body and the request that it answers; `None` where the request does not count.
    pub(crate) fn new(body: B, request: Option<InRequest>) -> Self {
        Self { body, _request: request.map(InRequest::send) }
    }
}

impl<B: Body + Unpin> Body for InUse<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
