//! What the last pushes to a channel left behind, and which were refused, as JSON: not an operation of OSS, but what the
//! console and the management API show (D7, D21).

use std::sync::Arc;

use model::name::{BucketName, ChannelName};
use model::{Error, ErrorCode};
use oss::request::parse_channel;
use serde_json::{Value, json};
use store::meta::HistoryEntry;

use super::{Answer, Call, Content, internal};
use crate::live::{Refused, SessionReport};
use crate::state::State;

/// Answers whoever may read the history of a channel.
///
/// # Errors
/// `NoSuchLiveChannel`.
pub(crate) async fn channel_sessions(call: &Call<'_>) -> Result<Answer, Error> {
    let name = parse_channel(call.route(), call.state.config.live.channel_name_max_bytes)?;
    let sessions = sessions_of(call.state, &call.bucket()?.name, &name).await?;
    let sessions = sessions.ok_or_else(|| Error::new(ErrorCode::NoSuchLiveChannel))?;
    let text = Content::Bytes(sessions.to_string().into());
    Ok(Answer { status: 200, headers: Vec::new(), content: text }
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .header("x-content-type-options", "nosniff"))
}

/// The sessions of a channel and its refusals, both oldest first; `None` when there is no such channel.
///
/// # Errors
/// When the store fails.
pub(crate) async fn sessions_of(
    state: &Arc<State>,
    bucket: &BucketName,
    channel: &ChannelName,
) -> Result<Option<Value>, Error> {
    if state.meta.channel(bucket, channel).await.map_err(internal)?.is_none() {
        return Ok(None);
    }
    let history = state.meta.history(bucket, channel).await.map_err(internal)?;
    let refused = state.channels.refused.of(&(bucket.clone(), channel.clone()));
    Ok(Some(json!({
        "sessions": history.iter().map(session).collect::<Vec<_>>(),
        "refusals": refused.iter().map(refusal).collect::<Vec<_>>(),
    })))
}

/// A session with its report, `null` where the server did not live to write one.
fn session(entry: &HistoryEntry) -> Value {
    json!({
        "start": model::date::format_iso8601(entry.start_ms),
        "end": model::date::format_iso8601(entry.end_ms),
        "remote_addr": entry.remote_addr,
        "report": SessionReport::parse(&entry.report),
    })
}

fn refusal(refused: &Refused) -> Value {
    json!({
        "time": model::date::format_iso8601(refused.at_ms),
        "remote_addr": refused.remote.to_string(),
        "code": refused.code,
        "ec": refused.ec,
        "message": refused.message,
        "request_id": refused.request_id,
        "count": refused.count,
    })
}
