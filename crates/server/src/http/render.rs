//! Saying it: answers and refusals with the headers that every response has (HTTP API 4, 6).

use std::time::Instant;

use base64::Engine;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use model::Error;
use model::access::cors::CorsHeaders;
use oss::request::{RawRequest, bare_host};

use crate::dialect::{Answer, Content};
use crate::edge::Edge;
use crate::http::active::{self, Author};
use crate::http::body::AnswerBody;
use crate::http::door::Door;

/// What every response says about its request.
pub(super) struct Envelope {
    /// 24 hex digits.
    pub(super) request_id: String,
    /// Arrival, for `x-oss-server-time`.
    pub(super) started: Instant,
    /// Server time of the arrival, unix ms.
    pub(super) now_ms: i64,
    /// Server time of the answer, unix ms: its `Date`.
    pub(super) answered_ms: i64,
    /// The request's `Host`.
    pub(super) host: String,
    /// A HEAD has no body, whatever the answer is.
    pub(super) is_head: bool,
    /// What CORS adds, also to refusals (access control 7.3).
    pub(super) cors: Option<CorsHeaders>,
    /// `Vary: Origin` is wanted (access control 7.4).
    pub(super) vary_origin: bool,
    /// The host also has the pages under `/-/`, from whose origin stored content is kept away (D27).
    pub(super) has_pages: bool,
    /// Refusals are not to be kept by anybody (D23).
    pub(super) keeps_no_refusal: bool,
}

impl Envelope {
    /// That of a request that came by this door.
    pub(super) fn new(
        edge: &Edge,
        raw: &RawRequest,
        request_id: String,
        now_ms: i64,
        started: Instant,
        door: Door,
    ) -> Self {
        Self {
            request_id,
            started,
            now_ms,
            answered_ms: now_ms,
            host: raw.host.clone(),
            is_head: raw.method == "HEAD",
            cors: None,
            vary_origin: false,
            has_pages: door != Door::Public || edge.addressing.has_pages(&raw.host),
            keeps_no_refusal: edge.config.cache.headers,
        }
    }

    /// A successful answer.
    pub(super) fn answer(&self, answer: Answer) -> Response<AnswerBody> {
        let Answer { status, headers, content } = answer;
        let has_no_body = matches!(status, 204 | 304);
        let content_type = matches!(content, Content::Xml(_)).then_some("application/xml");
        let author = if content_type.is_some() { Author::Server } else { Author::Stranger };
        let len = content.len();
        let body = if self.is_head || has_no_body { AnswerBody::Empty } else { AnswerBody::new(content) };
        let mut response = self.response(status, body);
        let map = response.headers_mut();
        if !has_no_body {
            map.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(len));
        }
        if let Some(content_type) = content_type {
            map.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if status >= 400 {
            self.forbid_keeping(map);
        }
        for (name, value) in headers {
            insert(map, &name, &value);
        }
        if self.has_pages {
            active::contain(map, author);
        }
        response
    }

    /// What is refused now may be granted in a moment, when the object is there or the clock is right. An answer's own
    /// header comes after this one.
    fn forbid_keeping(&self, map: &mut hyper::HeaderMap) {
        if self.keeps_no_refusal {
            map.insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }

    /// A refusal, as XML; for HEAD in a header (HTTP API 6.2).
    pub(super) fn refusal(&self, error: &Error) -> Response<AnswerBody> {
        let status = error.code.status();
        if status == 304 {
            let mut response = self.response(status, AnswerBody::Empty);
            for (name, value) in &error.headers {
                insert(response.headers_mut(), name, value.as_bytes());
            }
            return response;
        }
        let document = oss::xml::render_error(error, &self.request_id, &bare_host(&self.host));
        let body = if self.is_head { AnswerBody::Empty } else { AnswerBody::Whole(document.clone().into()) };
        let mut response = self.response(status, body);
        let map = response.headers_mut();
        self.forbid_keeping(map);
        map.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if self.is_head {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&document);
            insert(map, "x-oss-err", encoded.as_bytes());
            map.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(0));
        } else {
            map.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(document.len()));
        }
        if let Some(ec) = error.ec {
            map.insert("x-oss-ec", HeaderValue::from_static(ec));
        }
        if let Some(seconds) = error.again_after_s {
            map.insert(hyper::header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &error.headers {
            insert(map, name, value.as_bytes());
        }
        if self.has_pages {
            active::contain(map, Author::Server);
        }
        response
    }

    fn response(&self, status: u16, body: AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let map = response.headers_mut();
        map.insert(hyper::header::SERVER, HeaderValue::from_static("AliyunOSS"));
        insert(map, "date", model::date::format_http(self.answered_ms).as_bytes());
        insert(map, "x-oss-request-id", self.request_id.as_bytes());
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        map.insert("x-oss-server-time", HeaderValue::from(elapsed_ms));
        if let Some(cors) = &self.cors {
            for (name, value) in cors.pairs() {
                insert(map, name, value.as_bytes());
            }
        }
        if self.vary_origin {
            map.insert(hyper::header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }
}

/// Adds a name to `Vary`.
fn add_varying(map: &mut hyper::HeaderMap, value: HeaderValue) {
    let said = map.get(hyper::header::VARY).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let new = value.to_str().unwrap_or_default();
    if said.split(',').any(|name| name.trim().eq_ignore_ascii_case(new)) {
        return;
    }
    let all = if said.is_empty() { Ok(value) } else { HeaderValue::from_str(&format!("{said}, {new}")) };
    if let Ok(all) = all {
        map.insert(hyper::header::VARY, all);
    }
}

/// Sets a header; a value that HTTP cannot carry is left out rather than failing the answer.
fn insert(map: &mut hyper::HeaderMap, name: &str, value: &[u8]) {
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        // What a cache has to tell apart comes from several places.
        (Ok(name), Ok(value)) if name == hyper::header::VARY => add_varying(map, value),
        (Ok(name), Ok(value)) => {
            map.insert(name, value);
        }
        _ => tracing::debug!(name, "a header that HTTP cannot carry was left out"),
    }
}
