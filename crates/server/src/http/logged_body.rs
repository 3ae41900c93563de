//! The body of an answer with the line of the access log that is written when it ends, and the counter of its bytes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use model::Error;

use crate::access_log::Entry;
use crate::http::body::{AnswerBody, Way};
use crate::metering::Sent;

/// The body of an answer to a request that may be logged.
pub(crate) struct LoggedBody {
    body: AnswerBody,
    entry: Option<Box<Entry>>,
    sent: Sent,
}

impl LoggedBody {
    /// A body, the line about it, and where its bytes are counted.
    pub(super) fn new(body: AnswerBody, entry: Option<Entry>, sent: Sent) -> Self {
        Self { body, entry: entry.map(Box::new), sent }
    }

    /// The same body on its way to its peer.
    pub(super) fn on(self, way: Way<'_>) -> Self {
        Self { body: self.body.on(way), ..self }
    }
}

impl Body for LoggedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            if let Some(entry) = &mut self.entry {
                entry.count_sent(data.len());
            }
            self.sent.count(data.len());
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
