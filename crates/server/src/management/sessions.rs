//! Temporary sessions over the management API, in our JSON and in the official AssumeRole (OSS auth 11).

use oss::request::Query;
use serde::Deserialize;
use serde_json::{Value, json};
use store::meta::SessionRecord;

use super::operator::Operator;
use super::{Management, Reply, parse};
use crate::accounts::{Fault, MAX_SESSION_S, SessionRequest};

/// The shortest session of the official AssumeRole, and the length when none is asked for, seconds.
const ASSUME_ROLE_S: (u32, u32) = (900, 3600);

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

/// Begins a session for whoever asks, or for whom the account asks.
pub(super) async fn begin(management: &Management, caller: &Operator, body: &[u8]) -> Result<Reply, Fault> {
    let sent: NewSession = parse(body)?;
    let user = sent.user.as_deref().unwrap_or(caller.name());
    caller.may_act_for(user)?;
    // A document is taken as JSON or as the text of it.
    let policy = sent.policy.map(|policy| match policy {
        Value::String(text) => text,
        document => document.to_string(),
    });
    let session = SessionRequest { user, session_name: &sent.session_name, duration_s: sent.duration_s, policy };
    let session = management.accounts.assume(session).await?;
    Ok(Reply::json(
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
pub(super) async fn assume_role(
    management: &Management,
    caller: &Operator,
    query: &Query,
    request_id: &str,
) -> Result<Reply, Fault> {
    let text = |name: &str| query.first(name).filter(|value| !value.is_empty());
    if text("Action") != Some("AssumeRole") {
        return Err(Fault::NotFound("The only action here is AssumeRole.".to_owned()));
    }
    let arn = text("RoleArn").ok_or_else(|| Fault::Invalid("RoleArn is missing.".to_owned()))?;
    let role = arn
        .strip_prefix("acs:ram::")
        .and_then(|rest| rest.split_once(":role/"))
        .filter(|(account, _)| *account == management.accounts.owner().0)
        .map(|(_, role)| role)
        .ok_or_else(|| Fault::Invalid(format!("RoleArn is acs:ram::{}:role/USER.", management.accounts.owner())))?;
    caller.may_act_for(role)?;
    let session_name =
        text("RoleSessionName").ok_or_else(|| Fault::Invalid("RoleSessionName is missing.".to_owned()))?;
    let (shortest, usual) = ASSUME_ROLE_S;
    let duration_s = text("DurationSeconds").map_or(Some(usual), |text| text.parse().ok());
    let duration_s = duration_s
        .filter(|seconds| (shortest..=MAX_SESSION_S).contains(seconds))
        .ok_or_else(|| Fault::Invalid(format!("DurationSeconds is {shortest} to {}.", MAX_SESSION_S)))?;
    let policy = text("Policy").map(str::to_owned);
    let session = management.accounts.assume(SessionRequest { user: role, session_name, duration_s, policy }).await?;
    let role_id = format!("{}:{session_name}", session.uid);
    let is_json = text("Format").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    Ok(if is_json {
        Reply::json(200, &assumed_json(&session, arn, session_name, &role_id, request_id))
    } else {
        Reply {
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
