//! `GET buckets/BUCKET/lifecycle/due`: what the stored rules would do if they ran now, without doing it.

use model::access::Grant;
use serde_json::{Value, json};

use super::{Management, Reply};
use crate::accounts::Fault;
use crate::objects::lifecycle::Due;

/// Answers. One look at a time: each reads a bucket through.
pub(super) async fn answer(management: &Management, grant: &Grant) -> Result<Reply, Fault> {
    let _turn = management.previews.lock().await;
    let due = management.objects.lifecycle_due(grant, management.clock.now_ms()).await?;
    let rules: Vec<Value> = due.rules.iter().map(rule).collect();
    Ok(Reply::json(200, &json!({"rules": rules, "truncated": due.is_truncated})))
}

fn rule(due: &Due) -> Value {
    json!({
        "id": due.id, "objects": due.objects, "bytes": due.bytes, "relabelled": due.relabelled,
        "uploads": due.uploads, "examples": due.examples,
    })
}
