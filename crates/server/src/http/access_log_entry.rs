//! What the access log says of a request (HTTP API 8.15), gathered on its way through the pipeline.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE};
use hyper::{HeaderMap, Response, Version};
use model::ErrorCode;
use model::LoggingConfiguration;
use model::OperationKind;
use model::name::BucketName;
use model::row::LogSize;
use oss::access_log::AccessLogEntry;
use oss::request::{RawRequest, Route};

use crate::access_log::{AccessLog, Entry};
use crate::accounts::Authenticated;
use crate::http::body::AnswerBody;
use crate::http::render::Envelope;
use crate::objects::Bucket;

/// A request to a bucket that is logged.
pub(super) struct Logged {
    bucket: BucketName,
    owner: String,
    target: LoggingConfiguration,
    key: Option<String>,
    requester: Option<String>,
    access_key_id: Option<String>,
}

/// What is known once the answer is.
pub(super) struct About<'a> {
    /// The version of HTTP it came with.
    pub(super) version: Version,
    /// What every answer says.
    pub(super) envelope: &'a Envelope,
    /// Why it was refused.
    pub(super) error_code: Option<ErrorCode>,
    /// What it asked for.
    pub(super) operation: Option<OperationKind>,
    /// Bytes of its body.
    pub(super) received: u64,
}

impl Logged {
    /// A request to this bucket, if the bucket is logged.
    pub(super) fn of(bucket: &Bucket, route: &Route) -> Option<Self> {
        let target = bucket.record.logging.clone()?;
        Some(Self {
            bucket: bucket.name.clone(),
            owner: bucket.record.owner.to_string(),
            target,
            key: route.resource.key().map(ToString::to_string),
            requester: None,
            access_key_id: None,
        })
    }

    /// Who calls, once that was proved.
    pub(super) fn learn_caller(&mut self, authenticated: &Authenticated) {
        self.requester = authenticated.caller.uid().map(ToString::to_string);
        self.access_key_id = authenticated.credentials.access_key_id().map(ToString::to_string);
    }

    /// The line, to be finished when the answer is sent.
    pub(super) fn entry(
        self,
        log: &Arc<AccessLog>,
        raw: &RawRequest,
        peer: SocketAddr,
        about: &About<'_>,
        response: &Response<AnswerBody>,
    ) -> Entry {
        let envelope = about.envelope;
        let status = response.status().as_u16();
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let line = AccessLogEntry {
            remote_ip: peer.ip().to_canonical(),
            received_ms: envelope.now_ms,
            method: &raw.method,
            path: &raw.path,
            query: &raw.query,
            http_version: &format!("{:?}", about.version),
            status,
            referer: raw.header("referer"),
            user_agent: raw.header("user-agent"),
            host: &raw.host,
            request_id: &envelope.request_id,
            requester: self.requester.as_deref(),
            operation: about.operation.map_or("none", |kind| kind.row().log_name),
            bucket: &self.bucket,
            key: self.key.as_deref(),
            object_size: object_size(about, status, response.headers()),
            server_ms: u64::try_from(envelope.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            error_code: about.error_code.filter(|_| status >= 400).map(ErrorCode::as_str),
            request_bytes: head_bytes(raw).saturating_add(about.received),
            owner: &self.owner,
            storage_class: text("x-oss-storage-class"),
            access_key_id: self.access_key_id.as_deref(),
        }
        .line();
        Entry::new(log, self.bucket, self.target, line, envelope.started)
    }
}

/// The length of the object that was read or written, where request and answer tell it.
fn object_size(about: &About<'_>, status: u16, headers: &HeaderMap) -> Option<u64> {
    let number = |text: &str| text.parse().ok();
    match (about.operation?.row().log_size, status) {
        (LogSize::Received, 200..300) => Some(about.received),
        (LogSize::Sent, 206) => headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit('/').next().and_then(number),
        (LogSize::Sent, 200) => headers.get(CONTENT_LENGTH)?.to_str().ok().and_then(number),
        _ => None,
    }
}

/// The length of the head of a request as HTTP/1 writes it.
fn head_bytes(raw: &RawRequest) -> u64 {
    let query = if raw.query.is_empty() { 0 } else { raw.query.len() + 1 };
    let first = raw.method.len() + raw.path.len() + query + "  HTTP/1.1\r\n".len();
    let fields: usize = raw.headers.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum();
    (first + fields + "\r\n".len()) as u64
}
