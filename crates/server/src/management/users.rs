//! Users, keys and policies over the management API: what only the account may do.

use serde::Deserialize;
use serde_json::{Value, json};
use store::meta::{KeyRecord, UserRecord};

use super::table::CallKind;
use super::{Management, Reply, parse};
use crate::accounts::Fault;

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

/// What only the account may do.
pub(super) async fn answer(
    management: &Management,
    kind: CallKind,
    parts: &[&str],
    body: &[u8],
) -> Result<Reply, Fault> {
    match (kind, parts) {
        (CallKind::ListUsers, _) => {
            let users = management.accounts.users().await?;
            Ok(Reply::json(200, &json!({"users": users.iter().map(shown_user).collect::<Vec<_>>()})))
        }
        (CallKind::CreateUser, _) => {
            let sent: NewUser = parse(body)?;
            Ok(Reply::json(201, &shown_user(&management.accounts.create_user(&sent.name).await?)))
        }
        (CallKind::GetUser, [_, name]) => Ok(Reply::json(200, &shown_user(&management.accounts.user(name).await?))),
        (CallKind::ChangeUser, [_, name]) => {
            let sent: Enabled = parse(body)?;
            Ok(Reply::json(200, &shown_user(&management.accounts.enable_user(name, sent.enabled).await?)))
        }
        (CallKind::DeleteUser, [_, name]) => management.accounts.delete_user(name).await.map(|()| Reply::done()),
        (CallKind::ListKeys, [_, name, _]) => {
            let keys = management.accounts.keys(name).await?;
            Ok(Reply::json(200, &json!({"keys": keys.iter().map(shown_key).collect::<Vec<_>>()})))
        }
        (CallKind::CreateKey, [_, name, _]) => {
            let sent: NewKey = if body.is_empty() { NewKey::default() } else { parse(body)? };
            let key = management.accounts.create_key(name, &sent.description).await?;
            let mut shown = shown_key(&key);
            // The only time that the secret is returned.
            shown["access_key_secret"] = key.secret.into();
            Ok(Reply::json(201, &shown))
        }
        (CallKind::ChangeKey, [_, name, _, id]) => {
            let sent: Enabled = parse(body)?;
            Ok(Reply::json(200, &shown_key(&management.accounts.enable_key(name, id, sent.enabled).await?)))
        }
        (CallKind::DeleteKey, [_, name, _, id]) => {
            management.accounts.delete_key(name, id).await.map(|()| Reply::done())
        }
        (CallKind::ListPolicies, [_, name, _]) => {
            let user = management.accounts.user(name).await?;
            Ok(Reply::json(200, &json!({"policies": shown_policies(&user)})))
        }
        (CallKind::PutPolicy, [_, name, _, policy]) => {
            let text = (!body.is_empty()).then(|| String::from_utf8(body.to_vec())).transpose();
            let document = text.map_err(|_| Fault::Invalid("The policy is no UTF-8.".to_owned()))?;
            management.accounts.put_policy(name, policy, document).await.map(|()| Reply::done())
        }
        (CallKind::DeletePolicy, [_, name, _, policy]) => {
            management.accounts.delete_policy(name, policy).await.map(|()| Reply::done())
        }
        _ => Err(Fault::NotFound("There is no such call in this API.".to_owned())),
    }
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
