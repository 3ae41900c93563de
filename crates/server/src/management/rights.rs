//! `GET rights`: what the caller may do to a bucket and a key in it, so that a page can say which right is missing before
//! anybody tries. The decision itself is made again, with every request.

use std::collections::BTreeSet;

use model::access::Caller;
use model::name::{BucketName, ObjectKey};
use model::row::{KeysIn, On};
use model::{ObjectAcl, OperationKind, Resource, Tag};
use oss::request::Query;
use serde_json::json;

use super::visitor::{Judged, Visitor};
use super::{Management, Reply};
use crate::accounts::{Fault, ROOT_NAME};
use crate::objects::Judged as Seen;

/// The right to manage users, which only the account has. It is no action of OSS.
const MANAGE_USERS: &str = "millpond:ManageUsers";
/// What stands for any bucket that could be made, and for any key.
const ANY_BUCKET: &str = "any-bucket";
const ANY_KEY: &str = "*";

/// Answers.
pub(super) async fn answer(management: &Management, visitor: &Visitor<'_>, query: &Query) -> Result<Reply, Fault> {
    let named = |name| query.first(name).filter(|value| !value.is_empty());
    let actions = match (named("bucket"), named("key")) {
        (Some(bucket), key) => {
            let key = key.unwrap_or(ANY_KEY);
            in_bucket(management, visitor, bucket, key).await?
        }
        (None, Some(_)) => return Err(Fault::Invalid("A key is in a bucket: bucket is missing.".to_owned())),
        (None, None) => of_service(visitor)?,
    };
    let caller = describe(management, visitor).await?;
    Ok(Reply::json(200, &json!({"caller": caller, "actions": actions})))
}

/// Who calls.
async fn describe(management: &Management, visitor: &Visitor<'_>) -> Result<serde_json::Value, Fault> {
    let uid = visitor.caller().uid();
    let is_own = uid == Some(management.accounts.owner());
    let name = match uid {
        Some(uid) if !is_own => management.accounts.name_of(uid).await?,
        _ => ROOT_NAME.to_owned(),
    };
    let kind = match visitor.caller() {
        _ if visitor.identity.is_session() => "session",
        Caller::Root { .. } => "root",
        Caller::User { .. } | Caller::Anonymous => "user",
    };
    let expires = visitor.identity.expires_at_s().map(|at_s| model::date::format_iso8601(at_s.saturating_mul(1000)));
    Ok(json!({"kind": kind, "name": name, "uid": uid.map(|uid| uid.0.as_str()), "expires": expires}))
}

fn of_service(visitor: &Visitor<'_>) -> Result<BTreeSet<&'static str>, Fault> {
    let new_bucket = Resource::Bucket(BucketName::parse(ANY_BUCKET)?);
    let mut actions: BTreeSet<_> = OperationKind::ALL
        .iter()
        .filter(|kind| kind.row().on == On::Service)
        .filter(|kind| visitor.may(**kind, &Resource::Service, None, None).is_ok())
        .map(|kind| kind.action())
        .collect();
    let make = OperationKind::PutBucket;
    // Which bucket, is not known here: whoever may make one of some name finds the button enabled.
    if visitor.may(make, &new_bucket, None, None).is_ok() || is_named(visitor, make.action()) {
        actions.insert(make.action());
    }
    if visitor.is_root() {
        actions.insert(MANAGE_USERS);
    }
    Ok(actions)
}

async fn in_bucket(
    management: &Management,
    visitor: &Visitor<'_>,
    bucket: &str,
    key: &str,
) -> Result<BTreeSet<&'static str>, Fault> {
    let judged = Judged::find(&management.objects, bucket).await?;
    let is_any = key == ANY_KEY;
    let key = ObjectKey::parse(key.as_bytes())?;
    let seen = if is_any { Seen::Unread } else { management.objects.judge(&judged.bucket.name, &key).await? };
    let object: Option<(ObjectAcl, &[Tag])> = seen.acl().map(|acl| (acl, seen.tags()));
    let of_bucket = Resource::Bucket(judged.bucket.name.clone());
    let of_key = Resource::Object(judged.bucket.name.clone(), key);
    let may = |kind: OperationKind| {
        // The keys are in the body and judged one by one, by actions that others have, too.
        if kind.row().keys == KeysIn::Body {
            return false;
        }
        let resource = match kind.row().on {
            On::Service => return false,
            On::Bucket => &of_bucket,
            On::Object | On::Channel | On::Any => &of_key,
        };
        visitor.may(kind, resource, Some(&judged), object).is_ok()
            || is_any && *resource == of_key && is_named(visitor, kind.action())
    };
    let actions = OperationKind::ALL.iter().filter(|kind| may(**kind)).map(|kind| kind.action());
    // Nobody needs a right to ask whether a page of another origin may.
    Ok(actions.filter(|action| *action != OperationKind::Preflight.action()).collect())
}

/// Whether a policy of the caller allows the action for something, as far as temporary rights reach.
fn is_named(visitor: &Visitor<'_>, action: &str) -> bool {
    match visitor.caller() {
        Caller::User { policies, session_policy, .. } => {
            policies.iter().any(|policy| policy.allows_somewhere(action))
                && session_policy.as_ref().is_none_or(|policy| policy.allows_somewhere(action))
        }
        Caller::Root { .. } | Caller::Anonymous => false,
    }
}
