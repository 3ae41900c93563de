//! The actions that there are. A policy that names another one says nothing, most often by a slip of the pen, and whoever
//! wrote it believes that it does; so it is refused where it is stored. What was stored before is read as it is.

use super::{Policy, Statement, wildcard};
use crate::OperationKind;
use crate::error::{Error, ErrorCode};
use wildcard::QuestionMark;

/// Actions of OSS whose operations are not built. Documents of others may name them; they allow nothing here.
const UNBUILT: &[&str] = &[
    "AbortBucketWorm",
    "CleanRestoredObject",
    "CloseMetaQuery",
    "CompleteBucketWorm",
    "CreateAccessPoint",
    "CreateAccessPointForObjectProcess",
    "CreateCnameToken",
    "DeleteAccessPoint",
    "DeleteAccessPointForObjectProcess",
    "DeleteAccessPointPolicy",
    "DeleteBucketEncryption",
    "DeleteBucketInventory",
    "DeleteBucketPublicAccessBlock",
    "DeleteBucketReplication",
    "DeleteCname",
    "DeletePublicAccessBlock",
    "DeleteStyle",
    "DoMetaQuery",
    "ExtendBucketWorm",
    "GetAccessPoint",
    "GetAccessPointForObjectProcess",
    "GetAccessPointPolicy",
    "GetBucketAccessMonitor",
    "GetBucketArchiveDirectRead",
    "GetBucketEncryption",
    "GetBucketHttpsConfig",
    "GetBucketInventory",
    "GetBucketPublicAccessBlock",
    "GetBucketReplication",
    "GetBucketReplicationLocation",
    "GetBucketReplicationProgress",
    "GetBucketRequestPayment",
    "GetBucketResourceGroup",
    "GetBucketTransferAcceleration",
    "GetBucketWorm",
    "GetCallbackPolicy",
    "GetCnameToken",
    "GetMetaQueryStatus",
    "GetPublicAccessBlock",
    "GetStyle",
    "InitiateBucketWorm",
    "ListAccessPoints",
    "ListAccessPointsForObjectProcess",
    "ListBucketInventory",
    "ListCname",
    "ListStyle",
    "OpenMetaQuery",
    "PostProcessTask",
    "ProcessImm",
    "PutAccessPointPolicy",
    "PutBucketAccessMonitor",
    "PutBucketArchiveDirectRead",
    "PutBucketEncryption",
    "PutBucketHttpsConfig",
    "PutBucketInventory",
    "PutBucketPublicAccessBlock",
    "PutBucketReplication",
    "PutBucketRequestPayment",
    "PutBucketResourceGroup",
    "PutBucketRTC",
    "PutBucketTransferAcceleration",
    "PutCallbackPolicy",
    "PutCname",
    "PutPublicAccessBlock",
    "PutStyle",
    "ReplicateDelete",
    "ReplicateGet",
    "ReplicateList",
    "ReplicatePut",
    "RestoreObject",
    "RestoreObjectVersion",
    "SealAppendObject",
    "SelectObject",
    "WriteGetObjectResponse",
];

impl Policy {
    /// Whether every action that the policy names is one: for documents that are about to be stored.
    ///
    /// # Errors
    /// `InvalidPolicyDocument` naming the first that is none.
    pub fn check_actions(&self) -> Result<(), Error> {
        match self.statements.iter().flat_map(unknown_actions).next() {
            None => Ok(()),
            Some(action) => Err(Error::new(ErrorCode::InvalidPolicyDocument)
                .message(format!("The Action \"{}\" fits no action of OSS.", action.escape_debug()))),
        }
    }
}

fn unknown_actions(statement: &Statement) -> impl Iterator<Item = &str> {
    statement.actions.patterns.iter().map(String::as_str).filter(|pattern| !is_known(pattern))
}

/// Whether a pattern in lower case fits an action.
fn is_known(pattern: &str) -> bool {
    let fits = |action: &str| wildcard::matches(pattern, &action.to_ascii_lowercase(), QuestionMark::Literal);
    OperationKind::ALL.iter().any(|kind| fits(kind.action()) || kind.row().versioned.is_some_and(fits))
        || UNBUILT.iter().any(|name| fits(&format!("oss:{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_actions_that_there_are_can_be_stored() {
        for (action, expected) in [
            ("oss:*", true),
            ("oss:GetObject", true),
            ("oss:getobject", true),
            ("oss:Get*", true),
            ("oss:*Object*", true),
            ("oss:DeleteObjectVersion", true),
            ("oss:PublishRtmpStream", true),
            ("oss:PutBucketEncryption", true),
            ("oss:GetObjekt", false),
            ("oss:Frobnicate*", false),
            ("oss:ReadObject", false),
        ] {
            let document = format!(
                r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":["oss:GetObject","{action}"],"Resource":"*"}}]}}"#
            );
            let policy = Policy::parse_for_user(document.as_bytes(), "cn-hangzhou").unwrap();
            let said = policy.check_actions().err().map(|error| error.message.into_owned());
            assert_eq!(said.is_none(), expected, "{action}: {said:?}");
            assert!(said.is_none_or(|said| said.contains(&action.to_ascii_lowercase())), "{action}");
        }
        Policy::full_access().check_actions().unwrap();
        Policy::read_only_access().check_actions().unwrap();
    }
}
