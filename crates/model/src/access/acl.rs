//! What the ACLs of bucket and object open (access control 5.2).

use super::denied;
use crate::OperationKind;
use crate::Permission;
use crate::error::Error;
use crate::types::{BucketAcl, ObjectAcl};

/// Whether an ACL opens a class D operation to everybody. The ACL of an existing object decides unless it is `default`;
/// otherwise that of the bucket does. `object` is `None` when there is no object.
///
/// # Errors
/// `AccessDenied` with the message of access control 8 for the ACL that denied.
pub fn decide(
    operation: OperationKind,
    permission: Permission,
    bucket: BucketAcl,
    object: Option<ObjectAcl>,
) -> Result<(), Error> {
    let (effective, is_of_object) = match object {
        None | Some(ObjectAcl::Default) => (bucket, false),
        Some(ObjectAcl::Private) => (BucketAcl::Private, true),
        Some(ObjectAcl::PublicRead) => (BucketAcl::PublicRead, true),
        Some(ObjectAcl::PublicReadWrite) => (BucketAcl::PublicReadWrite, true),
    };
    if opens(effective, permission) {
        return Ok(());
    }
    Err(match (operation, permission) {
        (OperationKind::GetObjectAcl, _) => {
            denied("You do not have read acl permission on this object.").ec("0003-00000007")
        }
        (OperationKind::PutObjectAcl, _) => denied("You do not have write acl permission on this object."),
        (_, Permission::Read) if is_of_object => denied("You do not have read permission on this object."),
        (_, Permission::Write) if is_of_object => denied("You do not have write permission on this object."),
        _ => denied("You have no right to access this object because of bucket acl.").ec("0003-00000001"),
    })
}

/// The matrix itself.
fn opens(acl: BucketAcl, permission: Permission) -> bool {
    match (permission, acl) {
        (Permission::Public, _) => true,
        (Permission::Control | Permission::OwnerOnly, _) => false,
        (Permission::Read, BucketAcl::PublicRead | BucketAcl::PublicReadWrite) => true,
        (Permission::Write, BucketAcl::PublicReadWrite) => true,
        (Permission::Read, BucketAcl::Private) => false,
        (Permission::Write, BucketAcl::Private | BucketAcl::PublicRead) => false,
    }
}
