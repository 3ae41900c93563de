//! The body of an answer with the line of the access log that is written when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use oss::Error;

use crate::access_log::Entry;
use crate::http::body::AnswerBody;
use crate::http::file_stream::Outbox;

/// The body of an answer to a request that may be logged.
pub(crate) struct LoggedBody {
    body: AnswerBody,
    entry: Option<Box<Entry>>,
}

impl LoggedBody {
    /// A body, and the line about it.
    pub(super) fn new(body: AnswerBody, entry: Option<Entry>) -> Self {
        Self { body, entry: entry.map(Box::new) }
    }

    /// The same body, for a stream whose kernel can take the bytes of files from where they lie.
    pub(super) fn through(self, outbox: &Arc<Outbox>) -> Self {
        Self { body: self.body.through(outbox), ..self }
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
        if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut self.entry, &polled)
            && let Some(data) = frame.data_ref()
        {
            entry.count_sent(data.len());
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
