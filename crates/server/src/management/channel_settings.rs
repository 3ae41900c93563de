//! Settings of one channel that the configuration of OSS has no elements for: they override those of the server.

use model::name::{BucketName, ChannelName};
use model::percent::percent_decode;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use store::meta::ChannelSettings;

use super::table::CallKind;
use super::{Management, Reply, parse};
use crate::accounts::Fault;

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

/// Answers a call about the settings of a channel.
///
/// # Errors
/// When there is no such channel or setting.
pub(super) async fn answer(
    management: &Management,
    kind: CallKind,
    parts: &[&str],
    body: &[u8],
) -> Result<Reply, Fault> {
    let name = |at: usize| parts.get(at).copied().unwrap_or_default();
    let id = (BucketName::parse(name(1))?, ChannelName::parse(&percent_decode(name(2)))?);
    let settings = match kind {
        CallKind::ChangeChannelSettings => {
            let wanted: Wanted = parse(body)?;
            let change = move |settings: &mut ChannelSettings| {
                if let Some(value) = wanted.recovery_points_start_segments {
                    settings.recovery_points_start_segments = value;
                }
                if let Some(value) = wanted.refuse_unrecordable_after_s {
                    settings.refuse_unrecordable_after_s = value;
                }
            };
            management.live.change_settings(&id, change).await?
        }
        _ => management.live.channel(&id.0, &id.1).await?.settings,
    };
    Ok(Reply::json(200, &shown(&settings)))
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
