//! The management API on the operators' port: users, keys, policies, sessions, reports of pushes, as JSON under
//! `/api/v1/`, and the official `AssumeRole` call.
//!
//! Requests are signed as OSS requests are (OSS auth 3, 5), as if `/api/v1/users` were the object `v1/users` in a bucket
//! `api`; so every signer of an OSS SDK can sign them. A header `x-oss-admin: v1`, which the signature covers, makes
//! sure that no request that was signed for a real bucket of that name works here. A body is covered too, by
//! Content-MD5 or `x-oss-content-sha256`. A call that changes something works once.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use model::OperationKind;
use model::Resource;
use model::access::Caller;
use model::name::{BucketName, ChannelName, ObjectKey};
use model::percent::percent_decode;
use model::{Error, ErrorCode};
use oss::request::{BodyDigests, Query, RawRequest, Route, Style};
use oss::sign::{Credentials, RpcClaim, SignOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::meta::{KeyRecord, SessionRecord, UserRecord};

use crate::accounts::{self, Fault, SessionWish};
use crate::identity::{self, Identity};
use crate::memory::Held;
use crate::proxies::Origin;
use crate::state::State;

/// The header that says for whom a request was signed, and its value.
pub(crate) const PURPOSE: (&str, &str) = ("x-oss-admin", "v1");
/// The header with which equal requests of one second differ.
pub(crate) const NONCE: &str = "x-oss-admin-nonce";
/// How long calls are remembered: from the earliest moment at which a date is accepted to the last, and a minute more.
const REMEMBER_MS: i64 = (2 * 900 + 60) * 1000;
/// The first part of the path, which is signed as if it were a bucket.
pub(crate) const BUCKET: &str = "api";
/// The longest body: a policy document and what is around it.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a peer may take to send it.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// The shortest session of the official AssumeRole, and the length when none is asked for, seconds.
const ASSUME_ROLE_S: (u32, u32) = (900, 3600);

/// Whether a request is for this API.
pub(crate) fn is_wanted(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let has_form = || {
        let kind = request.headers().get(hyper::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.is_some_and(is_form) && request.method() == hyper::Method::POST
    };
    let names_action = || request.uri().query().is_some_and(|query| query.contains("Action="));
    path.starts_with("/api/") || path == "/" && (names_action() || has_form())
}

/// Whether a `Content-Type` says that there are parameters in the body.
fn is_form(kind: &str) -> bool {
    kind.split(';').next().unwrap_or(kind).trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Answers a request; whatever goes wrong, the peer gets an answer.
pub(crate) async fn answer(
    request: Request<Incoming>,
    state: &Arc<State>,
    peer: SocketAddr,
    is_secure: bool,
) -> Response<Full<Bytes>> {
    let Origin { address: peer, is_secure } = state.proxies.origin(peer, is_secure, request.headers());
    let request_id = crate::ids::request_id(state.clock.now_ms());
    let is_official = request.uri().path() == "/";
    let outcome = run(request, state, peer, is_secure, &request_id).await;
    let (status, content_type, text) = match outcome {
        Ok(answer) => (answer.status, answer.content_type, answer.text),
        Err(fault) => {
            let (status, code) = accounts::code_of(&fault);
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
            let told = match is_official {
                true => json!({"Code": code, "Message": message, "RequestId": request_id, "HostId": "sts"}),
                false => json!({"code": code, "message": message, "request_id": request_id}),
            };
            (status, JSON, told.to_string())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Secrets are in some of the answers.
    headers.insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const JSON: &str = "application/json";

struct Answer {
    status: u16,
    content_type: &'static str,
    text: String,
}

impl Answer {
    fn json(status: u16, value: &Value) -> Self {
        Self { status, content_type: JSON, text: value.to_string() }
    }

    fn done() -> Self {
        Self { status: 204, content_type: JSON, text: String::new() }
    }
}

async fn run(
    request: Request<Incoming>,
    state: &Arc<State>,
    peer: SocketAddr,
    is_secure: bool,
    request_id: &str,
) -> Result<Answer, Fault> {
    let (head, incoming) = request.into_parts();
    let raw = RawRequest {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        host: String::new(),
        secure: is_secure,
    };
    let route = route(&raw, &raw.path)?;
    let body = read(incoming, state.memory.receive.hold()).await?;
    let authenticated = match raw.path.as_str() {
        "/" => authenticate_call(state, &raw, &route, &body).await,
        _ => {
            authenticate(state, &raw, &route, &body).await.map(|(identity, print)| (identity, print, Query::default()))
        }
    };
    let (identity, fingerprint, parameters) = match authenticated {
        Ok(found) => found,
        Err(error) => return Err(state.auth_failures.refuse(peer.ip(), error).await.into()),
    };
    if !matches!(raw.method.as_str(), "GET" | "HEAD") || raw.path == "/" {
        refuse_replay(state, &fingerprint).await?;
    }
    let caller = Operator::of(state, &identity).await?;
    if raw.path == "/" {
        return assume_role(state, &caller, &parameters, request_id).await;
    }
    let path = raw.path.strip_prefix("/api/v1/").unwrap_or_default().trim_end_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    if parts == ["sessions"] && raw.method == "POST" {
        return begin_session(state, &caller, &body).await;
    }
    caller.must_be_root()?;
    manage(state, &raw.method, &parts, &body).await
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

/// Who makes the official call: signed in the way of the official SDKs, or with OSS V4. The parameters, which may be in
/// the query and in a form, come with it.
async fn authenticate_call(
    state: &State,
    raw: &RawRequest,
    route: &Route,
    body: &Bytes,
) -> Result<(Arc<Identity>, Fingerprint, Query), Error> {
    let has_form = raw.header_text("content-type").is_some_and(is_form);
    let form = if has_form { String::from_utf8_lossy(body).replace('+', "%20") } else { String::new() };
    let parameters = Query::parse(format!("{}&{form}", raw.query).trim_matches('&'));
    let now_ms = state.clock.now_ms();
    let Some(claim) = RpcClaim::extract(&raw.method, &parameters, now_ms)? else {
        let (identity, fingerprint) = authenticate(state, raw, route, body).await?;
        return Ok((identity, fingerprint, parameters));
    };
    let identity = identity::find(state, claim.access_key_id()).await?;
    claim.admit(identity.as_deref().map(Identity::known_key).as_ref(), now_ms)?;
    Ok((identity.ok_or(ErrorCode::AccessDenied)?, claim.fingerprint(), parameters))
}

async fn authenticate(
    state: &State,
    raw: &RawRequest,
    route: &Route,
    body: &Bytes,
) -> Result<(Arc<Identity>, Fingerprint), Error> {
    let now_ms = state.clock.now_ms();
    let options = SignOptions { accepted_regions: state.config.accepted_regions.clone() };
    let credentials = Credentials::extract(raw, route, &options, now_ms)?;
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
    let id = credentials.access_key_id().ok_or(ErrorCode::AccessDenied)?;
    let identity = identity::find(state, id).await?;
    credentials.admit(identity.as_deref().map(Identity::known_key).as_ref(), raw, route, now_ms)?;
    check_body(raw, &credentials, body)?;
    let fingerprint = credentials.fingerprint().ok_or(ErrorCode::AccessDenied)?;
    Ok((identity.ok_or(ErrorCode::AccessDenied)?, fingerprint))
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

/// A signature is good for a quarter of an hour around its date; whoever saw it go by must not be able to use it again
/// for another key or session.
async fn refuse_replay(state: &State, fingerprint: &Fingerprint) -> Result<(), Fault> {
    let until_ms = state.clock.now_ms().saturating_add(REMEMBER_MS);
    if state.meta.remember_once(fingerprint, until_ms).await? {
        return Ok(());
    }
    Err(denied("This very request was made before. To repeat it, sign it again, with another x-oss-admin-nonce."))
}

async fn read(mut incoming: Incoming, mut held: Held) -> Result<Bytes, Error> {
    let whole = async {
        let mut whole = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|_| Error::new(ErrorCode::IncompleteBody))?;
            if let Ok(data) = frame.into_data() {
                if whole.len() + data.len() > MAX_BODY_BYTES {
                    return Err(Error::new(ErrorCode::EntityTooLarge));
                }
                held.grow(data.len()).await?;
                whole.extend_from_slice(&data);
            }
        }
        Ok(held.attach(whole.freeze()))
    };
    tokio::time::timeout(BODY_TIMEOUT, whole).await.map_err(|_| Error::new(ErrorCode::RequestTimeout))?
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

/// Who manages.
enum Operator {
    Root,
    /// A user by permanent key.
    User(String),
}

impl Operator {
    async fn of(state: &State, identity: &Identity) -> Result<Self, Fault> {
        match identity.caller() {
            Caller::Root { .. } => Ok(Self::Root),
            // A session that began another one would leave its own policy and its own end behind.
            Caller::User { uid, .. } if !identity.is_session() => {
                let user = state.meta.user(uid).await?;
                Ok(Self::User(user.map(|user| user.name).unwrap_or_default()))
            }
            _ => Err(denied("Temporary keys cannot be used here.")),
        }
    }

    fn must_be_root(&self) -> Result<(), Fault> {
        match self {
            Self::Root => Ok(()),
            Self::User(_) => Err(denied("Only the account itself may do this.")),
        }
    }

    /// The account may act for everybody, a user for itself.
    fn may_act_for(&self, name: &str) -> Result<(), Fault> {
        match self {
            Self::Root => Ok(()),
            Self::User(own) if own == name => Ok(()),
            Self::User(_) => Err(denied("A user may begin sessions for itself only.")),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Root => accounts::ROOT_NAME,
            Self::User(name) => name,
        }
    }
}

fn denied(message: &'static str) -> Fault {
    Error::new(ErrorCode::AccessDenied).message(message).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enabled {
    enabled: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewKey {
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    user: Option<String>,
    #[serde(default = "default_session_name")]
    session_name: String,
    #[serde(default = "default_duration")]
    duration_s: u32,
    policy: Option<Value>,
}

fn default_session_name() -> String {
    "session".to_owned()
}

fn default_duration() -> u32 {
    ASSUME_ROLE_S.1
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::Invalid(format!("The body is not as expected: {error}")))
}

/// What only the account may do.
async fn manage(state: &Arc<State>, method: &str, parts: &[&str], body: &[u8]) -> Result<Answer, Fault> {
    match (method, parts) {
        ("GET", ["users"]) => {
            let users = accounts::users(state).await?;
            Ok(Answer::json(200, &json!({"users": users.iter().map(shown_user).collect::<Vec<_>>()})))
        }
        ("POST", ["users"]) => {
            let wish: NewUser = parse(body)?;
            Ok(Answer::json(201, &shown_user(&accounts::create_user(state, &wish.name).await?)))
        }
        ("GET", ["users", name]) => Ok(Answer::json(200, &shown_user(&accounts::user(state, name).await?))),
        ("PATCH", ["users", name]) => {
            let wish: Enabled = parse(body)?;
            Ok(Answer::json(200, &shown_user(&accounts::enable_user(state, name, wish.enabled).await?)))
        }
        ("DELETE", ["users", name]) => accounts::delete_user(state, name).await.map(|()| Answer::done()),
        ("GET", ["users", name, "keys"]) => {
            let keys = accounts::keys(state, name).await?;
            Ok(Answer::json(200, &json!({"keys": keys.iter().map(shown_key).collect::<Vec<_>>()})))
        }
        ("POST", ["users", name, "keys"]) => {
            let wish: NewKey = if body.is_empty() { NewKey::default() } else { parse(body)? };
            let key = accounts::create_key(state, name, &wish.description).await?;
            let mut shown = shown_key(&key);
            // The only time that the secret is told.
            shown["access_key_secret"] = key.secret.into();
            Ok(Answer::json(201, &shown))
        }
        ("PATCH", ["users", name, "keys", id]) => {
            let wish: Enabled = parse(body)?;
            Ok(Answer::json(200, &shown_key(&accounts::enable_key(state, name, id, wish.enabled).await?)))
        }
        ("DELETE", ["users", name, "keys", id]) => accounts::delete_key(state, name, id).await.map(|()| Answer::done()),
        ("GET", ["users", name, "policies"]) => {
            let user = accounts::user(state, name).await?;
            Ok(Answer::json(200, &json!({"policies": shown_policies(&user)})))
        }
        ("PUT", ["users", name, "policies", policy]) => {
            let text = (!body.is_empty()).then(|| String::from_utf8(body.to_vec())).transpose();
            let document = text.map_err(|_| Fault::Invalid("The policy is no UTF-8.".to_owned()))?;
            accounts::put_policy(state, name, policy, document).await.map(|()| Answer::done())
        }
        ("DELETE", ["users", name, "policies", policy]) => {
            accounts::delete_policy(state, name, policy).await.map(|()| Answer::done())
        }
        ("GET", ["channels", bucket, channel, "sessions"]) => {
            let bucket = BucketName::parse(bucket)?;
            let channel = ChannelName::parse(&percent_decode(channel))?;
            let missing = || Fault::NotFound("There is no such channel.".to_owned());
            let sessions = crate::ops::sessions_of(state, &bucket, &channel).await?.ok_or_else(missing)?;
            Ok(Answer::json(200, &sessions))
        }
        _ => Err(Fault::NotFound("There is no such call in this API.".to_owned())),
    }
}

async fn begin_session(state: &State, caller: &Operator, body: &[u8]) -> Result<Answer, Fault> {
    let wish: NewSession = parse(body)?;
    let user = wish.user.as_deref().unwrap_or(caller.name());
    caller.may_act_for(user)?;
    // A document is taken as JSON or as the text of it.
    let policy = wish.policy.map(|policy| match policy {
        Value::String(text) => text,
        document => document.to_string(),
    });
    let session = SessionWish { user, session_name: &wish.session_name, duration_s: wish.duration_s, policy };
    let session = accounts::assume(state, session).await?;
    Ok(Answer::json(
        201,
        &json!({
            "access_key_id": session.id,
            "access_key_secret": session.secret,
            "security_token": session.token,
            "expiration": model::date::format_iso8601(session.expires_ms),
        }),
    ))
}

/// `POST /?Action=AssumeRole&RoleArn=acs:ram::<account>:role/<user>&RoleSessionName=…`: a role is a user of that name.
async fn assume_role(state: &State, caller: &Operator, query: &Query, request_id: &str) -> Result<Answer, Fault> {
    let text = |name: &str| query.first(name).filter(|value| !value.is_empty());
    if text("Action") != Some("AssumeRole") {
        return Err(Fault::NotFound("The only action here is AssumeRole.".to_owned()));
    }
    let arn = text("RoleArn").ok_or_else(|| Fault::Invalid("RoleArn is missing.".to_owned()))?;
    let role = arn
        .strip_prefix("acs:ram::")
        .and_then(|rest| rest.split_once(":role/"))
        .filter(|(account, _)| *account == state.root.owner.0)
        .map(|(_, role)| role)
        .ok_or_else(|| Fault::Invalid(format!("RoleArn is acs:ram::{}:role/USER.", state.root.owner)))?;
    caller.may_act_for(role)?;
    let session_name =
        text("RoleSessionName").ok_or_else(|| Fault::Invalid("RoleSessionName is missing.".to_owned()))?;
    let (shortest, usual) = ASSUME_ROLE_S;
    let duration_s = text("DurationSeconds").map_or(Some(usual), |text| text.parse().ok());
    let duration_s = duration_s
        .filter(|seconds| (shortest..=accounts::MAX_SESSION_S).contains(seconds))
        .ok_or_else(|| Fault::Invalid(format!("DurationSeconds is {shortest} to {}.", accounts::MAX_SESSION_S)))?;
    let policy = text("Policy").map(str::to_owned);
    let session = accounts::assume(state, SessionWish { user: role, session_name, duration_s, policy }).await?;
    let role_id = format!("{}:{session_name}", session.uid);
    let is_json = text("Format").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    Ok(if is_json {
        Answer::json(200, &assumed_json(&session, arn, session_name, &role_id, request_id))
    } else {
        Answer {
            status: 200,
            content_type: "text/xml",
            text: assumed_xml(&session, arn, session_name, &role_id, request_id),
        }
    })
}

fn assumed_json(session: &SessionRecord, arn: &str, session_name: &str, role_id: &str, request_id: &str) -> Value {
    json!({
        "RequestId": request_id,
        "AssumedRoleUser": {"Arn": format!("{arn}/{session_name}"), "AssumedRoleId": role_id},
        "Credentials": {
            "AccessKeyId": session.id,
            "AccessKeySecret": session.secret,
            "SecurityToken": session.token,
            "Expiration": expiration(session),
        },
    })
}

/// All that goes in was checked to be free of what XML would have to escape, or was made here.
fn assumed_xml(session: &SessionRecord, arn: &str, session_name: &str, role_id: &str, request_id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<AssumeRoleResponse><RequestId>{request_id}</RequestId>\
         <AssumedRoleUser><Arn>{arn}/{session_name}</Arn><AssumedRoleId>{role_id}</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><AccessKeySecret>{}</AccessKeySecret>\
         <SecurityToken>{}</SecurityToken><Expiration>{}</Expiration></Credentials></AssumeRoleResponse>\n",
        session.id,
        session.secret,
        session.token,
        expiration(session),
    )
}

/// The official call writes whole seconds.
fn expiration(session: &SessionRecord) -> String {
    model::date::format_iso8601(session.expires_ms.div_euclid(1000).saturating_mul(1000)).replace(".000Z", "Z")
}

fn shown_user(user: &UserRecord) -> Value {
    json!({
        "uid": user.uid.0,
        "name": user.name,
        "enabled": user.enabled,
        "created": model::date::format_iso8601(user.created_ms),
        "policies": user.policies.iter().map(|policy| policy.name.clone()).collect::<Vec<_>>(),
    })
}

fn shown_key(key: &KeyRecord) -> Value {
    json!({
        "access_key_id": key.id,
        "enabled": key.enabled,
        "created": model::date::format_iso8601(key.created_ms),
        "description": key.description,
    })
}

fn shown_policies(user: &UserRecord) -> Vec<Value> {
    user.policies
        .iter()
        .map(|policy| {
            let document = policy.document.as_deref().map(|text| serde_json::from_str(text).unwrap_or(Value::Null));
            json!({"name": policy.name, "document": document})
        })
        .collect()
}
