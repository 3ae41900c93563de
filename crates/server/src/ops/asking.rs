//! The circumstances of a request, as decisions look at them (access control 4.4, 6).

use model::Error;
use model::access::policy::ConditionValues;
use model::access::{BucketAccess, Caller};
use model::name::ObjectKey;

use crate::objects::{Judged, Objects};

/// What decisions look at beside who asks for what: the circumstances of the request (access control 4.4, 6).
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// What the conditions of policies look at, but for tags of what is stored.
    pub(crate) conditions: ConditionValues,
    /// Whether the method is GET or HEAD (access control 6.1).
    pub(crate) is_get: bool,
    /// Whether the signature was in the URL.
    pub(crate) url_signed: bool,
    /// The `Referer` header.
    pub(crate) referer: Option<String>,
}

/// What is known of the object: its ACL matters to those whom neither ownership nor a policy lets in, its tags to
/// policies.
pub(crate) async fn judge(
    objects: &Objects,
    caller: &Caller,
    bucket: &BucketAccess,
    key: &ObjectKey,
) -> Result<Judged, Error> {
    let is_owner = matches!(caller, Caller::Root { owner, .. } if *owner == bucket.owner);
    if is_owner && bucket.policy.is_none() {
        return Ok(Judged::Unread);
    }
    objects.judge(&bucket.name, key).await
}
