//! A request, free of any HTTP library: where it is addressed, and which operation it asks for.

use crate::name::{BucketName, ObjectKey};

/// A request as it arrived, before anything was understood.
#[derive(Debug, Clone, Default)]
pub struct RawRequest {
    /// Upper-case method.
    pub method: String,
    /// The path exactly as sent, percent-escapes included, beginning with `/`.
    pub path: String,
    /// The query exactly as sent, without `?`; empty when there is none.
    pub query: String,
    /// Header names in lower case, values as bytes, in order of arrival.
    pub headers: Vec<(String, Vec<u8>)>,
    /// `Host` header or `:authority`, with port, as sent.
    pub host: String,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The service itself.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, or a channel: the key is the decoded path below the bucket.
    Object(BucketName, ObjectKey),
}
