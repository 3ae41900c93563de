//! What the last pushes to a channel left behind, and which were refused, as JSON: not an operation of OSS, but what
//! the console and the management API show (D7, D21).

use model::Error;
use model::name::{BucketName, ChannelName};
use serde_json::{Value, json};
use store::meta::HistoryEntry;

use super::shown::SeenRefusal;
use super::{Live, SessionReport};
use crate::objects::internal;

impl Live {
    /// The sessions of a channel and its refusals, both oldest first; `None` when there is no such channel.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sessions(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<Value>, Error> {
        let Some(record) = self.meta.channel(bucket, channel).await.map_err(internal)? else { return Ok(None) };
        let history = self.meta.history(bucket, channel).await.map_err(internal)?;
        let refused = self.refusals(&(bucket.clone(), channel.clone()), &record).await?;
        Ok(Some(json!({
            "sessions": history.iter().map(session).collect::<Vec<_>>(),
            "refusals": refused.iter().map(refusal).collect::<Vec<_>>(),
        })))
    }
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

fn refusal(seen: &SeenRefusal) -> Value {
    let refused = &seen.refusal;
    let mut shown = json!({
        "time": model::date::format_iso8601(refused.at_ms),
        "remote_addr": refused.remote,
        "code": refused.code,
        "ec": refused.ec,
        "message": refused.message,
        "request_id": refused.request_id,
        "count": refused.count,
    });
    if let Some(server) = &seen.server {
        shown["server"] = server.as_str().into();
    }
    shown
}
