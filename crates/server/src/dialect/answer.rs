//! The answer to a request, free of any HTTP library.

use bytes::Bytes;

use crate::objects::{StoredBody, StoredContent};

/// The answer to a request: always complete, or streamed from blobs that are open already.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers beside those that every answer has; names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub(crate) content: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// None, with `Content-Length: 0`.
    Empty,
    /// None, but a HEAD tells what GET would send.
    Announced(u64),
    /// An XML document.
    Xml(String),
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes of stored blobs.
    Stored(StoredContent),
}

impl From<StoredBody> for Content {
    fn from(body: StoredBody) -> Self {
        match body {
            StoredBody::Bytes(bytes) => Content::Bytes(bytes),
            StoredBody::Blobs(stored) => Content::Stored(stored),
        }
    }
}

impl Content {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Content::Empty => 0,
            Content::Announced(len) => *len,
            Content::Xml(text) => text.len() as u64,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Stored(stored) => stored.remaining(),
        }
    }
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Empty }
    }

    /// 200 with an XML document.
    pub(crate) fn xml(text: String) -> Self {
        Self { status: 200, headers: Vec::new(), content: Content::Xml(text) }
    }

    /// 200 with bytes of the given type.
    pub(crate) fn bytes(content_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self { status: 200, headers: Vec::new(), content: Content::Bytes(bytes.into()) }
            .header("content-type", content_type)
    }

    /// Adds a header; `name` in lower case.
    #[must_use]
    pub(crate) fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
