//! The calls of the management API, what each is called, and who may make it. `docs/management.md` says the same for
//! people; a test compares the two.

use model::OperationKind;

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// The account itself.
    Root,
    /// A user for itself, by a permanent key, and the account for everybody.
    Own,
    /// Whoever has signed; the answer has what the caller may see.
    Signed,
    /// Whoever may do this to the bucket in the path.
    Bucket(OperationKind),
    /// Whoever may do this to the channel in the path.
    Channel(OperationKind),
}

macro_rules! calls {
    ($($(#[$meta:meta])* $name:ident $method:literal $path:literal $right:expr;)*) => {
        /// What may be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum CallKind { $($(#[$meta])* $name,)* }

        /// Every call there is.
        pub(super) const ALL: &[Row] =
            &[$(Row { kind: CallKind::$name, method: $method, path: $path, right: $right },)*];
    };
}

/// What belongs to a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) kind: CallKind,
    pub(super) method: &'static str,
    /// The path behind `/api/v1/`; what is in capitals stands for a name.
    pub(super) path: &'static str,
    pub(super) right: Right,
}

calls! {
    /// The users.
    ListUsers "GET" "users" Right::Root;
    /// A new user.
    CreateUser "POST" "users" Right::Root;
    /// A user.
    GetUser "GET" "users/USER" Right::Root;
    /// A user is enabled or disabled.
    ChangeUser "PATCH" "users/USER" Right::Root;
    /// A user goes, with keys and sessions.
    DeleteUser "DELETE" "users/USER" Right::Root;
    /// The keys of a user.
    ListKeys "GET" "users/USER/keys" Right::Root;
    /// A new key.
    CreateKey "POST" "users/USER/keys" Right::Root;
    /// A key is enabled or disabled.
    ChangeKey "PATCH" "users/USER/keys/ID" Right::Root;
    /// A key goes.
    DeleteKey "DELETE" "users/USER/keys/ID" Right::Root;
    /// The policies of a user.
    ListPolicies "GET" "users/USER/policies" Right::Root;
    /// A policy of a user.
    PutPolicy "PUT" "users/USER/policies/POLICY" Right::Root;
    /// A policy of a user goes.
    DeletePolicy "DELETE" "users/USER/policies/POLICY" Right::Root;
    /// A temporary key.
    BeginSession "POST" "sessions" Right::Own;
    /// The reports of the last pushes to a channel.
    ChannelSessions "GET" "channels/BUCKET/CHANNEL/sessions" Right::Channel(OperationKind::GetLiveChannelHistory);
    /// The settings of a channel beside its configuration.
    ChannelSettings "GET" "channels/BUCKET/CHANNEL/settings" Right::Channel(OperationKind::GetLiveChannelInfo);
    /// Some of them are changed.
    ChangeChannelSettings "PATCH" "channels/BUCKET/CHANNEL/settings" Right::Channel(OperationKind::PutLiveChannel);
    /// The channels that the caller may look at, across buckets.
    OnAir "GET" "on-air" Right::Signed;
    /// What the caller may do.
    Rights "GET" "rights" Right::Signed;
    /// The server.
    About "GET" "about" Right::Signed;
    /// What was used. All of it the account sees, others that of a bucket whose figures they may see.
    Usage "GET" "usage" Right::Signed;
    /// What was used of a bucket, by day and month.
    BucketUsage "GET" "buckets/BUCKET/usage" Right::Bucket(OperationKind::GetBucketStat);
    /// What a request would be answered.
    Try "POST" "buckets/BUCKET/try" Right::Bucket(OperationKind::GetBucketInfo);
    /// What the lifecycle rules would do now.
    LifecycleDue "GET" "buckets/BUCKET/lifecycle/due" Right::Bucket(OperationKind::GetBucketLifecycle);
}

/// The call that a method and the parts of a path name.
pub(super) fn find(method: &str, parts: &[&str]) -> Option<&'static Row> {
    ALL.iter().find(|row| row.method == method && fits(row.path, parts))
}

/// Whether any call has this path, with another method.
pub(super) fn has_path(parts: &[&str]) -> bool {
    ALL.iter().any(|row| fits(row.path, parts))
}

fn fits(path: &str, parts: &[&str]) -> bool {
    let is_name = |pattern: &str| pattern.bytes().all(|byte| byte.is_ascii_uppercase());
    path.split('/').count() == parts.len()
        && path.split('/').zip(parts).all(|(pattern, part)| is_name(pattern) && !part.is_empty() || pattern == *part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_calls() {
        let kind = |method, path: &str| find(method, &path.split('/').collect::<Vec<_>>()).map(|row| row.kind);
        assert_eq!(kind("GET", "users"), Some(CallKind::ListUsers));
        assert_eq!(kind("GET", "users/anna"), Some(CallKind::GetUser));
        assert_eq!(kind("GET", "users/"), None);
        assert_eq!(kind("PUT", "users"), None);
        assert_eq!(kind("GET", "buckets/media/lifecycle/due"), Some(CallKind::LifecycleDue));
        assert_eq!(kind("GET", "buckets/media/lifecycle"), None);
        assert!(has_path(&["on-air"]) && !has_path(&["off-air"]));
    }

    #[test]
    fn every_call_is_in_the_documentation() {
        let documentation = include_str!("../../../../docs/management.md");
        for row in ALL {
            let line = format!("| `{} {}`", row.method, row.path);
            assert!(documentation.contains(&line), "docs/management.md has no row {line}");
        }
    }
}
