//! The management API: users, keys, policies, sessions, reports of pushes, as JSON under `/api/v1/`, and the official
//! `AssumeRole` call. It is answered at the operators' listener, at the console's, and under `/-/api/v1/` of hosts that
//! serve the console.
//!
//! Requests are signed as OSS requests are (OSS auth 3, 5), as if `/api/v1/users` were the object `v1/users` in a bucket
//! `api`; so every signer of an OSS SDK can sign them. A header `x-oss-admin: v1`, which the signature covers, makes
//! sure that no request that was signed for a real bucket of that name works here. A body is covered too, by
//! Content-MD5 or `x-oss-content-sha256`. A call that changes something works once.

mod attempt;
mod channels;
mod due;
mod host;
mod on_air;
mod operator;
mod rights;
mod sessions;
mod table;
mod usage;
mod users;
mod visitor;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::name::{BucketName, ObjectKey};
use model::percent::percent_decode;
use model::{Error, ErrorCode, OperationKind, Resource};
use oss::request::{BodyDigests, Query, RawRequest, Route, Style};
use oss::sign::Credentials;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::accounts::{Accounts, Fault, Identity, code_of};
use crate::clock::Clock;
use crate::live::{ChannelId, Live};
use crate::memory::Memory;
use crate::metering::Usage;
use crate::objects::{BodySource, Objects, read_whole};
pub(crate) use host::{As, Attempt, Host, Rehearsed};
use operator::{Operator, denied};
use table::{CallKind, Right};
pub(crate) use visitor::Visitor;

/// The header that says for whom a request was signed, and its value.
pub(crate) const PURPOSE: (&str, &str) = ("x-oss-admin", "v1");
/// The header with which equal requests of one second differ.
pub(crate) const NONCE: &str = "x-oss-admin-nonce";
/// The first part of the path, which is signed as if it were a bucket.
pub(crate) const BUCKET: &str = "api";
/// How long calls are remembered: from the earliest moment at which a date is accepted to the last, and a minute more.
const REMEMBER_MS: i64 = (2 * 900 + 60) * 1000;
/// The longest body: a policy document and what is around it.
const MAX_BODY_BYTES: usize = 64 * 1024;

const JSON: &str = "application/json";

/// The management API.
pub(crate) struct Management {
    accounts: Arc<Accounts>,
    objects: Arc<Objects>,
    live: Arc<Live>,
    memory: Arc<Memory>,
    usage: Arc<Usage>,
    clock: Clock,
    survey: on_air::Survey,
    /// One preview of lifecycle rules at a time.
    previews: tokio::sync::Mutex<()>,
}

/// What a call is answered.
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// `Content-Type`.
    pub(crate) content_type: &'static str,
    /// The body.
    pub(crate) text: String,
}

impl Reply {
    fn json(status: u16, value: &Value) -> Self {
        Self { status, content_type: JSON, text: value.to_string() }
    }

    fn done() -> Self {
        Self { status: 204, content_type: JSON, text: String::new() }
    }
}

/// Whether a request is for this API.
pub(crate) fn is_wanted(raw: &RawRequest) -> bool {
    let has_form = || raw.method == "POST" && raw.header_text("content-type").is_some_and(is_form);
    raw.path.starts_with("/api/") || raw.path == "/" && (raw.query.contains("Action=") || has_form())
}

/// Whether a `Content-Type` says that there are parameters in the body.
fn is_form(kind: &str) -> bool {
    kind.split(';').next().unwrap_or(kind).trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

impl Management {
    /// What is managed here.
    pub(crate) fn new(
        accounts: Arc<Accounts>,
        objects: Arc<Objects>,
        live: Arc<Live>,
        memory: Arc<Memory>,
        usage: Arc<Usage>,
        clock: Clock,
    ) -> Self {
        Self {
            accounts,
            objects,
            live,
            memory,
            usage,
            clock,
            survey: on_air::Survey::default(),
            previews: Default::default(),
        }
    }

    /// Answers a call, whose path begins with `/api/` or is that of the official call. `host` is the server around it.
    pub(crate) async fn answer(
        &self,
        host: &dyn Host,
        raw: &RawRequest,
        body: &mut dyn BodySource,
        peer: SocketAddr,
        request_id: &str,
    ) -> Reply {
        match self.run(host, raw, body, peer, request_id).await {
            Ok(reply) => reply,
            Err(fault) => self.refuse(fault, raw, peer, request_id),
        }
    }

    /// What a call is answered that is refused, which is logged.
    pub(crate) fn refuse(&self, fault: Fault, raw: &RawRequest, peer: SocketAddr, request_id: &str) -> Reply {
        let (status, code) = code_of(&fault);
        let message = match fault {
            Fault::NotFound(message) | Fault::AlreadyExists(message) | Fault::Invalid(message) => message,
            Fault::Oss(error) => error.message.into_owned(),
        };
        let what = format!("management request refused: {code}");
        of_stranger!(
            INFO,
            &what,
            peer.ip(),
            %peer,
            request_id,
            status,
            code,
            "management request refused: {message}"
        );
        let shown = match raw.path.as_str() {
            "/" => json!({"Code": code, "Message": message, "RequestId": request_id, "HostId": "sts"}),
            _ => json!({"code": code, "message": message, "request_id": request_id}),
        };
        Reply::json(status, &shown)
    }

    async fn run(
        &self,
        host: &dyn Host,
        raw: &RawRequest,
        body: &mut dyn BodySource,
        peer: SocketAddr,
        request_id: &str,
    ) -> Result<Reply, Fault> {
        let route = route(raw, &raw.path)?;
        let too_large = Error::new(ErrorCode::EntityTooLarge);
        let body = read_whole(body, MAX_BODY_BYTES, too_large, self.memory.receive.hold()).await?;
        let authenticated = match raw.path.as_str() {
            "/" => self.authenticate_call(raw, &route, &body).await,
            _ => self
                .authenticate(raw, &route, &body)
                .await
                .map(|(identity, fingerprint)| (identity, fingerprint, Query::default())),
        };
        let (identity, fingerprint, parameters) = match authenticated {
            Ok(found) => found,
            Err(error) => return Err(self.accounts.refuse(peer.ip(), error).await.into()),
        };
        if !matches!(raw.method.as_str(), "GET" | "HEAD") || raw.path == "/" {
            self.refuse_replay(&fingerprint).await?;
        }
        if raw.path == "/" {
            let caller = Operator::of(self, &identity).await?;
            return sessions::assume_role(self, &caller, &parameters, request_id).await;
        }
        let path = raw.path.strip_prefix("/api/v1/").unwrap_or_default().trim_end_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let method = if raw.method == "HEAD" { "GET" } else { raw.method.as_str() };
        let Some(row) = table::find(method, &parts) else {
            // What there is, is no secret: it is documented.
            if table::has_path(&parts) {
                return Err(Error::new(ErrorCode::MethodNotAllowed).into());
            }
            return Err(Fault::NotFound("There is no such call in this API.".to_owned()));
        };
        let visitor = Visitor::new(&identity, raw, peer, self.clock.now_ms());
        match row.right {
            Right::Root => {
                Operator::of(self, &identity).await?.must_be_root()?;
                users::answer(self, row.kind, &parts, &body).await
            }
            Right::Own => sessions::begin(self, &Operator::of(self, &identity).await?, &body).await,
            Right::Signed => match row.kind {
                CallKind::OnAir => on_air::answer(self, &visitor, &Query::parse(&raw.query)).await,
                CallKind::Usage => usage::answer(self, &visitor, &Query::parse(&raw.query)).await,
                CallKind::Rights => rights::answer(self, &visitor, &Query::parse(&raw.query)).await,
                _ => Ok(Reply::json(200, &host.about(visitor.is_root()).await)),
            },
            Right::Bucket(operation) => {
                let name = parts.get(1).copied().unwrap_or_default();
                let grant = self.grant(&visitor, operation, name).await?;
                match row.kind {
                    CallKind::Try => attempt::answer(host, &visitor, BucketName::parse(name)?, &body).await,
                    CallKind::BucketUsage => usage::of_bucket(self, name).await,
                    _ => due::answer(self, &grant).await,
                }
            }
            Right::Channel(operation) => {
                let id = channels::id(&parts)?;
                let grant = self.channel_grant(&visitor, operation, &id).await?;
                channels::answer(self, row.kind, &grant, &id, &body).await
            }
        }
    }

    /// The right to do something to a bucket, which every call about one shows.
    async fn grant(
        &self,
        visitor: &Visitor<'_>,
        operation: OperationKind,
        bucket: &str,
    ) -> Result<model::access::Grant, Fault> {
        let judged = visitor::Judged::find(&self.objects, bucket).await?;
        let resource = Resource::Bucket(judged.bucket.name.clone());
        Ok(visitor.may(operation, &resource, Some(&judged), None)?)
    }

    /// The right to do something to a channel, which every call about one shows. Who has none does not learn whether
    /// there is such a channel.
    async fn channel_grant(
        &self,
        visitor: &Visitor<'_>,
        operation: OperationKind,
        (bucket, channel): &ChannelId,
    ) -> Result<model::access::Grant, Fault> {
        let judged = visitor::Judged::find(&self.objects, bucket.as_str()).await?;
        let resource = Resource::Object(bucket.clone(), ObjectKey::parse(channel.as_str().as_bytes())?);
        Ok(visitor.may(operation, &resource, Some(&judged), None)?)
    }

    /// Who makes the official call: signed in the way of the official SDKs, or with OSS V4. The parameters, which may be
    /// in the query and in a form, come with it.
    async fn authenticate_call(
        &self,
        raw: &RawRequest,
        route: &Route,
        body: &Bytes,
    ) -> Result<(Arc<Identity>, Fingerprint, Query), Error> {
        let has_form = raw.header_text("content-type").is_some_and(is_form);
        let form = if has_form { String::from_utf8_lossy(body).replace('+', "%20") } else { String::new() };
        let parameters = Query::parse(format!("{}&{form}", raw.query).trim_matches('&'));
        let now_ms = self.clock.now_ms();
        match self.accounts.rpc_caller(&raw.method, &parameters, now_ms).await? {
            Some((claim, identity)) => Ok((identity, claim.fingerprint(), parameters)),
            None => {
                let (identity, fingerprint) = self.authenticate(raw, route, body).await?;
                Ok((identity, fingerprint, parameters))
            }
        }
    }

    async fn authenticate(
        &self,
        raw: &RawRequest,
        route: &Route,
        body: &Bytes,
    ) -> Result<(Arc<Identity>, Fingerprint), Error> {
        let now_ms = self.clock.now_ms();
        let credentials = self.accounts.claim(raw, route, now_ms)?;
        let is_right_scheme = match &credentials {
            Credentials::V4Header(_) => true,
            // V1 does not sign the parameters of AssumeRole, which are in the query.
            Credentials::V1Header(_) => route.bucket.is_some(),
            _ => false,
        };
        if !is_right_scheme {
            let message = "This API wants an Authorization header, with signature version 4 for AssumeRole.";
            return Err(Error::new(ErrorCode::AccessDenied).message(message));
        }
        if route.bucket.is_some() {
            check_purpose(raw)?;
        }
        let proven = self.accounts.authenticate(credentials, raw, route.clone(), || None, now_ms).await?;
        check_body(raw, &proven.credentials, body)?;
        let fingerprint = proven.credentials.fingerprint().ok_or(ErrorCode::AccessDenied)?;
        Ok((proven.identity.ok_or(ErrorCode::AccessDenied)?, fingerprint))
    }

    /// A signature is good for a quarter of an hour around its date; whoever saw it go by must not be able to use it again
    /// for another key or session.
    async fn refuse_replay(&self, fingerprint: &Fingerprint) -> Result<(), Fault> {
        let until_ms = self.clock.now_ms().saturating_add(REMEMBER_MS);
        if self.accounts.remember_once(fingerprint, until_ms).await? {
            return Ok(());
        }
        Err(denied("This very request was made before. To repeat it, sign it again, with another x-oss-admin-nonce."))
    }
}

/// The request as signatures see it, with the path that they name.
///
/// # Errors
/// When the path is no object key.
pub(crate) fn route(raw: &RawRequest, path: &str) -> Result<Route, Error> {
    let query = Query::parse(&raw.query);
    let service = Route {
        kind: OperationKind::GetObject,
        resource: Resource::Service,
        style: Style::Path,
        query,
        bucket: None,
        path_below_bucket: Vec::new(),
        bucket_without_slash: false,
        channel_path: None,
        sub_resource: None,
    };
    if path == "/" {
        return Ok(service);
    }
    let below = percent_decode(path.strip_prefix("/api/").unwrap_or_default());
    let bucket = BucketName::parse(BUCKET)?;
    let resource = Resource::Object(bucket.clone(), ObjectKey::parse(&below)?);
    Ok(Route { resource, bucket: Some(bucket), path_below_bucket: below, ..service })
}

/// A request that was signed for a real bucket of the name does not pass here.
///
/// # Errors
/// `AccessDenied` without the header that says for whom the request was signed.
pub(crate) fn check_purpose(raw: &RawRequest) -> Result<(), Error> {
    if raw.header_text(PURPOSE.0) == Some(PURPOSE.1) {
        return Ok(());
    }
    let message = format!("The header {}: {} is missing.", PURPOSE.0, PURPOSE.1);
    Err(Error::new(ErrorCode::AccessDenied).message(message))
}

/// A body that the signature does not cover could be anybody's.
fn check_body(raw: &RawRequest, credentials: &Credentials, body: &Bytes) -> Result<(), Error> {
    let digests = BodyDigests::parse(raw)?;
    if digests.md5.is_some() {
        digests.check(crate::checksums::checksums(body).md5, None)?;
    }
    match credentials.payload_sha256() {
        Some(signed) if signed != <[u8; 32]>::from(Sha256::digest(body)) => Err(Error::new(ErrorCode::InvalidDigest)),
        None if digests.md5.is_none() && !body.is_empty() => Err(Error::new(ErrorCode::AccessDenied)
            .message("A body needs a Content-MD5 or an x-oss-content-sha256 that the signature covers.")),
        _ => Ok(()),
    }
}

/// What tells a signed request from every other.
type Fingerprint = [u8; 32];

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::Invalid("The body is not a JSON object.".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Fault::Invalid(format!("The body is not as expected: {error}")))
}
