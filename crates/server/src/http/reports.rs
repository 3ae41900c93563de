//! `GET /-/api/v1/channels/BUCKET/CHANNEL/sessions`: the reports of pushes for those who may read the channel's history,
//! over the port that everybody reaches. It is what the console asks for, being no operation of OSS.
//!
//! The request is signed like its namesake of the management API: as the object `v1/channels/…` of a bucket `api`, with
//! the header `x-oss-admin: v1`. The same rules as everywhere decide who may: the grant is that of GetLiveChannelHistory.

use std::net::SocketAddr;
use std::sync::Arc;

use model::OperationKind;
use model::Resource;
use model::name::{BucketName, ObjectKey};
use model::percent::percent_decode;
use model::{Error, ErrorCode};
use oss::request::{Query, RawRequest, Route, Style};
use oss::sign::Credentials;

use super::interpret::authenticate;
use super::pipeline::{Step, look_up};
use crate::accounts::Authenticated;
use crate::dialect::Answer;
use crate::dialect::channel_sessions;
use crate::edge::Edge;
use crate::management;
use crate::objects::{BodySource, no_such_bucket};

/// What comes before the path that is signed.
const PREFIX: &str = "/-";

/// Whether a path belongs here.
pub(super) fn is_wanted(path: &str) -> bool {
    path.starts_with("/-/api/v1/channels/") && path.ends_with("/sessions")
}

/// Answers a request.
///
/// # Errors
/// `MethodNotAllowed`, `NoSuchKey` for any other path, and what authentication and authorisation say.
pub(super) async fn answer(
    edge: &Arc<Edge>,
    raw: &RawRequest,
    body: &mut dyn BodySource,
    peer: SocketAddr,
    now_ms: i64,
    request_id: &str,
) -> Result<Answer, Error> {
    if !matches!(raw.method.as_str(), "GET" | "HEAD") {
        return Err(Error::new(ErrorCode::MethodNotAllowed));
    }
    let missing = || Error::new(ErrorCode::NoSuchKey).message("There is no such call here.");
    let signed = management::route(raw, raw.path.strip_prefix(PREFIX).unwrap_or_default())?;
    let wanted = history_route(raw).ok_or_else(missing)??;
    let proven = match authenticate(&edge.accounts, raw, signed, &edge.addressing, now_ms).await {
        Ok(proven) => proven,
        Err(error) => return Err(edge.accounts.refuse(peer.ip(), error).await),
    };
    if !matches!(proven.credentials, Credentials::V4Header(_) | Credentials::V1Header(_)) {
        return Err(Error::new(ErrorCode::AccessDenied).message("This call wants an Authorization header."));
    }
    management::check_purpose(raw)?;
    let bucket = look_up(edge, &wanted).await?;
    if let (Some(name), None) = (&wanted.bucket, &bucket) {
        return Err(no_such_bucket(name));
    }
    let authenticated = Authenticated { route: wanted, ..proven };
    let step = Step { edge, raw, authenticated: &authenticated, peer, now_ms };
    let granted = step.grant(bucket, body).await?;
    channel_sessions(&step.asked(), &step.call(granted, request_id)).await
}

/// The request as what decides about it: GetLiveChannelHistory of the channel in the path.
fn history_route(raw: &RawRequest) -> Option<Result<Route, Error>> {
    let rest = raw.path.strip_prefix("/-/api/v1/channels/")?.strip_suffix("/sessions")?;
    let (bucket, channel) = rest.split_once('/')?;
    let channel = percent_decode(channel);
    Some(BucketName::parse(bucket).and_then(|bucket| {
        let key = ObjectKey::parse(&channel)?;
        Ok(Route {
            kind: OperationKind::GetLiveChannelHistory,
            resource: Resource::Object(bucket.clone(), key),
            style: Style::Path,
            query: Query::parse(&raw.query),
            bucket: Some(bucket),
            path_below_bucket: channel.clone(),
            bucket_without_slash: false,
            channel_path: Some(channel),
            sub_resource: Some("live"),
        })
    }))
}
