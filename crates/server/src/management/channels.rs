//! Calls about one channel: the reports of its pushes, and settings that the configuration of OSS has no elements for,
//! which override those of the server.

use model::OperationKind;
use model::access::Grant;
use model::name::{BucketName, ChannelName};
use model::percent::percent_decode;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use store::meta::ChannelSettings;

use super::operator::denied;
use super::table::CallKind;
use super::{Management, Reply, parse};
use crate::accounts::Fault;
use crate::live::ChannelId;
use crate::metering::user_of;

/// What is to change: a member that is absent stays, `null` leaves it to the server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    #[serde(deserialize_with = "said")]
    recovery_points_start_segments: Option<Option<bool>>,
    #[serde(deserialize_with = "said")]
    refuse_unrecordable_after_s: Option<Option<u64>>,
}

/// Tells `null` from nothing.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The channel that the parts of a path name.
///
/// # Errors
/// When a name is none.
pub(super) fn id(parts: &[&str]) -> Result<ChannelId, Fault> {
    let name = |at: usize| parts.get(at).copied().unwrap_or_default();
    Ok((BucketName::parse(name(1))?, ChannelName::parse(&percent_decode(name(2)))?))
}

/// Answers a call about a channel for which there is a grant.
///
/// # Errors
/// When there is no such channel or setting, or the grant is for another one.
pub(super) async fn answer(
    management: &Management,
    kind: CallKind,
    grant: &Grant,
    id: &ChannelId,
    body: &[u8],
) -> Result<Reply, Fault> {
    let may = |operation| must_cover(grant, operation, id);
    let settings = match kind {
        CallKind::ChannelSessions => {
            may(OperationKind::GetLiveChannelHistory)?;
            let missing = || Fault::NotFound("There is no such channel.".to_owned());
            let sessions = management.live.sessions(&id.0, &id.1).await?.ok_or_else(missing)?;
            return Ok(Reply::json(200, &sessions));
        }
        CallKind::ChangeChannelSettings => {
            may(OperationKind::PutLiveChannel)?;
            change(management, grant, id, body).await?
        }
        _ => {
            may(OperationKind::GetLiveChannelInfo)?;
            management.live.channel(&id.0, &id.1).await?.settings
        }
    };
    Ok(Reply::json(200, &shown(&settings)))
}

/// # Errors
/// `AccessDenied` when the grant is for something else.
fn must_cover(grant: &Grant, operation: OperationKind, id: &ChannelId) -> Result<(), Fault> {
    let is_for_it = grant.resource().bucket() == Some(&id.0)
        && grant.resource().key().is_some_and(|key| key.as_str() == id.1.as_str());
    if grant.operation() == operation && is_for_it {
        return Ok(());
    }
    Err(denied("This is another channel than the one that was asked for."))
}

async fn change(management: &Management, grant: &Grant, id: &ChannelId, body: &[u8]) -> Result<ChannelSettings, Fault> {
    let wanted: Wanted = parse(body)?;
    let change = move |settings: &mut ChannelSettings| {
        if let Some(value) = wanted.recovery_points_start_segments {
            settings.recovery_points_start_segments = value;
        }
        if let Some(value) = wanted.refuse_unrecordable_after_s {
            settings.refuse_unrecordable_after_s = value;
        }
    };
    let changed = management.live.change_settings(id, change).await?;
    tracing::info!(bucket = %id.0, channel = %id.1, user = user_of(grant.caller()), "settings of a channel changed");
    Ok(changed)
}

fn shown(settings: &ChannelSettings) -> Value {
    let ChannelSettings { recovery_points_start_segments, refuse_unrecordable_after_s } = settings;
    json!({
        "recovery_points_start_segments": recovery_points_start_segments,
        "refuse_unrecordable_after_s": refuse_unrecordable_after_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays() {
        let wanted: Wanted = serde_json::from_str(r#"{"refuse_unrecordable_after_s": null}"#).unwrap();
        assert_eq!(wanted.refuse_unrecordable_after_s, Some(None));
        assert_eq!(wanted.recovery_points_start_segments, None);
        for refused in [r#"{"frag_count": 3}"#, r#"{"refuse_unrecordable_after_s": -1}"#, "[]"] {
            assert!(parse::<Wanted>(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
