//! What happens to a request, step by step: parse, authenticate, look up, decide, run, render. Each step has its own
//! type, so that a later step cannot meet what an earlier one handled.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, Version};
use model::OperationKind;
use model::access::cors::{self, CorsHeaders};
use model::{Error, ErrorCode};
use oss::request::{RawRequest, Route};

use crate::accounts::Authenticated;
use crate::dialect::{self, Answer, Asked, Content, Judge};
use crate::edge::Edge;
use crate::http::access_log_entry::{About, Logged};
use crate::http::active;
use crate::http::ambiguity;
use crate::http::around::Around;
use crate::http::body::RequestBody;
use crate::http::body_timeout::BodyTimeout;
use crate::http::door::Door;
use crate::http::interpret::{Interpreted, Understood};
use crate::http::linger::Unread;
use crate::http::logged_body::LoggedBody;
use crate::http::page;
use crate::http::render::Envelope;
use crate::http::reports;
use crate::memory::Held;
use crate::metering::MeteredRequest;
use crate::objects::{BodySource, Bucket, no_such_bucket};
use crate::ops::{Call, Granted};
use crate::proxies::Origin;

/// The longest head that needs no room.
const MAX_USUAL_HEAD: usize = 16 * 1024;

/// Answers one request; whatever goes wrong, the peer gets an answer. Without `room` that is why there is none.
pub(super) async fn answer(
    edge: Arc<Edge>,
    request: Request<Incoming>,
    peer: SocketAddr,
    is_secure: bool,
    door: Door,
    room: Result<(), Error>,
) -> Response<LoggedBody> {
    let started = Instant::now();
    let now_ms = edge.clock.now_ms();
    let version = request.version();
    let Origin { address: peer, is_secure } = edge.proxies.origin(peer, is_secure, request.headers());
    let http = &edge.config.http;
    let body_timeout = BodyTimeout::new(Duration::from_secs(http.body_timeout_s), http.min_body_bytes_per_s);
    let (raw, mut body, shape) = receive(request, is_secure, body_timeout);
    let shape = shape.and(room);
    let expects_continue = raw.header("expect").is_some();
    let request_id = crate::ids::request_id(now_ms);
    let mut envelope = Envelope::new(&edge, &raw, request_id, now_ms, started, door);
    let mut facts = RequestFacts::default();
    let is_ambiguous = shape.is_err();
    let mut held = edge.memory.receive.hold();
    let outcome = match hold_head(&mut held, &raw, shape).await {
        Ok(()) => run(&edge, &raw, &mut body, peer, door, &mut envelope, &mut facts).await,
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        Ok(answer) => has_room(&edge, &raw, answer).await,
        Err(error) => Err(error),
    };
    let operation = facts.operation;
    if version <= Version::HTTP_11 {
        body.drain(expects_continue).await;
    }
    let error_code = outcome.as_ref().err().map(|error| error.code);
    // An upload may have taken hours; clients set their clocks by `Date`.
    envelope.answered_ms = edge.clock.now_ms();
    let mut response = match outcome {
        Ok(answer) => envelope.answer(answer),
        Err(error) => envelope.refusal(&error),
    };
    if !body.is_read() || is_ambiguous {
        // What was not read cannot be skipped, nor is it sure where a doubtful request ends, so the connection cannot be used again.
        // Who was too slow for an answer is not listened to any longer.
        if error_code != Some(ErrorCode::RequestTimeout) {
            response.extensions_mut().insert(Unread);
        }
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    } else if let Some(said) = said_of_connection(version, raw.header("connection")) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static(said));
    }
    let status = response.status().as_u16();
    crate::metrics::requests::count_answer(operation, status, started.elapsed());
    tracing::debug!(%peer, request_id = envelope.request_id, operation, status, "http request");
    let entry = facts.logged.map(|logged| {
        let about =
            About { version, envelope: &envelope, error_code, operation: facts.kind, received: body.received() };
        logged.entry(&edge.access_log, &raw, peer, &about, &response)
    });
    let sent = facts.metered.map(|request| request.answered(&edge.usage, status, now_ms)).unwrap_or_default();
    response.map(|body| LoggedBody::new(body, entry, sent))
}

/// Counts the head of a request that is to be answered at all, which is kept as long as that takes. One of the usual length
/// never waits: what others upload must not hold up whoever reads.
pub(super) async fn hold_head(held: &mut Held, raw: &RawRequest, shape: Result<(), Error>) -> Result<(), Error> {
    shape?;
    let headers: usize = raw.headers.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    let len = headers.saturating_add(raw.path.len()).saturating_add(raw.query.len());
    if len > MAX_USUAL_HEAD {
        return held.grow(len).await;
    }
    held.grow_anyway(len);
    Ok(())
}

/// Waits until a long answer that is in memory has room to wait for its peer. Only what was read can be asked for again.
async fn has_room(edge: &Edge, raw: &RawRequest, answer: Answer) -> Result<Answer, Error> {
    let len = match &answer.content {
        Content::Xml(text) => text.len(),
        Content::Bytes(bytes) => bytes.len(),
        Content::Empty | Content::Announced(_) | Content::Stored(_) => 0,
    };
    if len > crate::memory::MAX_AHEAD && raw.method == "GET" {
        edge.memory.send.make_room_for(len).await?;
    }
    Ok(answer)
}

/// What the `Connection` header says, which every response of HTTP/1 has (HTTP API 4). Where it is left to hyper it is
/// hyper's to decide: for peers of HTTP/1.0 that ask to be kept, and those of HTTP/1.1 that ask for the end.
fn said_of_connection(version: Version, asked: Option<&[u8]>) -> Option<&'static str> {
    match (version, asked) {
        (Version::HTTP_11, None) => Some("keep-alive"),
        (Version::HTTP_11, Some(asked)) if asked.eq_ignore_ascii_case(b"keep-alive") => Some("keep-alive"),
        (Version::HTTP_10, None) => Some("close"),
        _ => None,
    }
}

/// What became known of a request on its way.
struct RequestFacts {
    operation: &'static str,
    kind: Option<OperationKind>,
    logged: Option<Logged>,
    metered: Option<MeteredRequest>,
}

impl Default for RequestFacts {
    fn default() -> Self {
        Self { operation: "none", kind: None, logged: None, metered: None }
    }
}

/// Step 1: the request, free of hyper, and whether it can be understood in one way only.
pub(super) fn receive(
    request: Request<Incoming>,
    is_secure: bool,
    body_timeout: BodyTimeout,
) -> (RawRequest, RequestBody, Result<(), Error>) {
    let (head, incoming) = request.into_parts();
    let shape = ambiguity::check(&head);
    let headers: Vec<(String, Vec<u8>)> =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let host = head
        .headers
        .get(hyper::header::HOST)
        .and_then(|host| std::str::from_utf8(host.as_bytes()).ok())
        .map(str::to_owned)
        .or_else(|| head.uri.authority().map(|authority| authority.to_string()))
        .unwrap_or_default();
    let announced = head
        .headers
        .get(hyper::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    let is_chunked = head.headers.contains_key(hyper::header::TRANSFER_ENCODING);
    let raw = RawRequest {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        host,
        secure: is_secure,
    };
    (raw, RequestBody::new(incoming, announced, is_chunked, body_timeout), shape)
}

async fn run(
    edge: &Arc<Edge>,
    raw: &RawRequest,
    body: &mut dyn BodySource,
    peer: SocketAddr,
    door: Door,
    envelope: &mut Envelope,
    facts: &mut RequestFacts,
) -> Result<Answer, Error> {
    let (raw, authenticated, granted) = match decide(edge, raw, body, peer, door, envelope, facts).await? {
        Decided::Answer(answer) => return Ok(answer),
        Decided::Granted(granted) => *granted,
    };
    let step = Step { edge, raw: &raw, authenticated: &authenticated, peer, now_ms: envelope.now_ms };
    let answer = dialect::run(&step.asked(), &step.call(granted, &envelope.request_id), body).await?;
    note_viewer(edge, &authenticated.route, &raw, peer);
    Ok(answer)
}

/// What the way of a request leads to.
enum Decided<'a> {
    /// It is answered without an operation: a page, a preflight, a call of the management API.
    Answer(Answer),
    /// It may be carried out.
    Granted(Box<(Cow<'a, RawRequest>, Authenticated, Granted)>),
}

/// Who reads the playlist of a push watches it, whatever the answer is made of.
fn note_viewer(edge: &Edge, route: &Route, raw: &RawRequest, peer: SocketAddr) {
    if !matches!(route.kind, OperationKind::GetObject | OperationKind::GetSignedPlaylist) {
        return;
    }
    if let Some((bucket, key)) = route.bucket.as_ref().zip(route.resource.key()) {
        let user_agent = raw.header("user-agent").unwrap_or_default();
        edge.live.note_reader(bucket, key.as_str(), peer.ip(), user_agent);
    }
}

/// Everything before the operation: what is meant, who calls, may they.
async fn decide<'r>(
    edge: &'r Arc<Edge>,
    raw: &'r RawRequest,
    body: &mut dyn BodySource,
    peer: SocketAddr,
    door: Door,
    envelope: &mut Envelope,
    facts: &mut RequestFacts,
) -> Result<Decided<'r>, Error> {
    let interpreted = match Interpreted::of(raw, &edge.addressing) {
        // No bucket can be called `-`; a key that begins with `-/` needs a virtual host.
        Err(_) if raw.path.starts_with("/-/") && envelope.has_pages => {
            if door.has_console(&edge.config) && reports::is_wanted(&raw.path) {
                facts.operation = "ChannelSessions";
                let answer = reports::answer(edge, raw, body, peer, envelope.now_ms, &envelope.request_id);
                return Box::pin(answer).await.map(Decided::Answer);
            }
            if let Some(path) = raw.path.strip_prefix("/-").filter(|path| path.starts_with("/api/"))
                && door.has_console(&edge.config)
            {
                facts.operation = "Management";
                let call = RawRequest { path: path.to_owned(), ..raw.clone() };
                let around = Around::public(edge, raw, door);
                let reply = Box::pin(edge.management.answer(&around, &call, body, peer, &envelope.request_id)).await;
                return Ok(Decided::Answer(reply.into()));
            }
            facts.operation = "Page";
            return Ok(Decided::Answer(page::answer(raw, &edge.config, door)));
        }
        // No bucket can be called so either.
        Err(_) if raw.path == page::FAVICON && envelope.has_pages => {
            facts.operation = "Page";
            return Ok(Decided::Answer(page::answer(raw, &edge.config, door)));
        }
        interpreted => interpreted?,
    };
    let route = interpreted.route();
    if route.kind == OperationKind::ListBuckets
        && envelope.has_pages
        && door.has_console(&edge.config)
        && page::is_visit(raw)
    {
        facts.operation = "Page";
        return Ok(Decided::Answer(page::to_console()));
    }
    facts.operation = route.kind.name();
    facts.kind = Some(route.kind);
    door.check(raw)?;
    if envelope.has_pages {
        active::refuse_service_worker(raw)?;
    }
    let bucket = look_up(edge, route).await?;
    facts.metered = Some(MeteredRequest::of(bucket.as_ref().map(|bucket| &bucket.name), route, &raw.method));
    facts.logged = bucket.as_ref().and_then(|bucket| Logged::of(bucket, route));
    add_cors(envelope, raw, route, bucket.as_ref(), edge.config.cache.vary_origin);
    let answer = match route.kind {
        OperationKind::Preflight => Some(preflight(envelope, raw, route, bucket.as_ref())),
        _ => None,
    };
    // A cache that is shared has to tell origins apart where the answer repeats one (access control 7.4).
    let is_echo = envelope.cors.as_ref().is_some_and(CorsHeaders::echoes_origin);
    envelope.vary_origin |= edge.config.cors.vary_on_echo && is_echo;
    if let Some(answer) = answer {
        return answer.map(Decided::Answer);
    }
    let (raw, authenticated) = match interpreted.authenticate(&edge.accounts, envelope.now_ms).await {
        Ok(found) => found,
        Err(error) => return Err(edge.accounts.refuse(peer.ip(), error).await),
    };
    if let Some(logged) = &mut facts.logged {
        logged.learn_caller(&authenticated);
    }
    if let Some(metered) = &mut facts.metered {
        metered.learn_caller(&authenticated.caller);
    }
    let raw = match door.as_public(&raw, &edge.config) {
        Some(public) => Cow::Owned(public),
        None => raw,
    };
    let Understood { raw, authenticated, bucket } = Understood::new(raw, authenticated, bucket, &edge.objects).await?;
    let step = Step { edge, raw: &raw, authenticated: &authenticated, peer, now_ms: envelope.now_ms };
    let granted = step.grant(bucket, body).await?;
    Ok(Decided::Granted(Box::new((raw, authenticated, granted))))
}

/// A request whose caller is known, on its way to its operation.
pub(super) struct Step<'a> {
    pub(super) edge: &'a Edge,
    pub(super) raw: &'a RawRequest,
    pub(super) authenticated: &'a Authenticated,
    pub(super) peer: SocketAddr,
    pub(super) now_ms: i64,
}

impl<'a> Step<'a> {
    /// Step 4: may they.
    pub(super) async fn grant(&self, bucket: Option<Bucket>, body: &mut dyn BodySource) -> Result<Granted, Error> {
        let Self { edge, peer, now_ms, .. } = *self;
        let judge = Judge { objects: &edge.objects, memory: &edge.memory, peer, now_ms };
        judge.grant(self.raw, self.authenticated, bucket, body).await
    }

    /// The request as parsers and renderers see it.
    pub(super) fn asked(&self) -> Asked<'a> {
        let Self { edge, raw, authenticated, now_ms, .. } = *self;
        Asked {
            raw,
            route: &authenticated.route,
            credentials: &authenticated.credentials,
            identity: authenticated.identity.as_deref(),
            accounts: &edge.accounts,
            addressing: &edge.addressing,
            config: &edge.config,
            memory: &edge.memory,
            now_ms,
        }
    }

    /// The request as operations see it.
    pub(super) fn call<'b>(&self, granted: Granted, request_id: &'b str) -> Call<'b>
    where
        'a: 'b,
    {
        Call { services: &self.edge.services, granted, peer: self.peer, now_ms: self.now_ms, request_id }
    }
}

/// Step 3: the bucket, wanted by CORS before anybody is authenticated, because refusals carry CORS headers too.
pub(super) async fn look_up(edge: &Edge, route: &Route) -> Result<Option<Bucket>, Error> {
    match &route.bucket {
        None => Ok(None),
        Some(name) => edge.objects.bucket(name).await,
    }
}

/// With rules every answer varies, also to requests without an `Origin` (D23): what the `video` element of a page loaded
/// has no CORS headers, and is not to be given to a script of another origin, which needs them.
fn add_cors(envelope: &mut Envelope, raw: &RawRequest, route: &Route, bucket: Option<&Bucket>, always_vary: bool) {
    let Some(configuration) = bucket.and_then(|bucket| bucket.record.cors.as_ref()) else { return };
    envelope.vary_origin = configuration.response_vary || (always_vary && !configuration.rules.is_empty());
    if route.kind == OperationKind::Preflight {
        return;
    }
    if let Some(origin) = raw.header_text("origin") {
        envelope.cors = cors::evaluate(configuration, origin, &raw.method, None);
    }
}

fn preflight(
    envelope: &mut Envelope,
    raw: &RawRequest,
    route: &Route,
    bucket: Option<&Bucket>,
) -> Result<Answer, Error> {
    let (origin, method) = (raw.header_text("origin"), raw.header_text("access-control-request-method"));
    let (_, wanted) = cors::check_preflight(origin, method)?;
    if let (Some(name), None) = (&route.bucket, bucket) {
        return Err(no_such_bucket(name));
    }
    let configuration = bucket.and_then(|bucket| bucket.record.cors.as_ref());
    let requested_headers = raw.header_text("access-control-request-headers");
    let headers: CorsHeaders = cors::preflight(configuration, origin, method, requested_headers).map_err(|error| {
        let resource = match &route.bucket {
            None => "Service",
            Some(_) if route.path_below_bucket.is_empty() => "Bucket",
            Some(_) => "Object",
        };
        error.with("Method", wanted.chars().take(64).collect::<String>()).with("ResourceType", resource)
    })?;
    envelope.cors = Some(headers);
    Ok(Answer::empty(200))
}

#[cfg(test)]
mod reads;
pub(super) mod rehearsal;
