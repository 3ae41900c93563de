//! Symbolic links (HTTP API 9.10). GetObject and HeadObject follow them; see [`super::object::find_content`].

use model::name::ObjectKey;
use model::{ETag, ObjectType};
use model::{Error, ErrorCode};
use store::meta::{Body, ObjectRecord};

use super::Call;
use super::object::{NewHeaders, find, guard_of, may_set, store, uploaded};
use crate::checksums::checksums;
use crate::objects::Received;

/// A link that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PutSymlink {
    /// Where it leads to, in the same bucket.
    pub(crate) target: ObjectKey,
    /// What is said about the link.
    pub(crate) headers: NewHeaders,
}

/// PutSymlink (HTTP API 9.10).
///
/// # Errors
/// `FileAlreadyExists`, the refusals of access control 8 for tags.
pub(crate) async fn put(call: &Call<'_>, request: PutSymlink) -> Result<ObjectRecord, Error> {
    let PutSymlink { target, headers } = request;
    let grant = call.object_grant()?;
    may_set(call, &grant, &headers).await?;
    let guard = guard_of(headers.forbid_overwrite);
    let received = Received { body: Body::Link(target.as_str().to_owned()), sums: checksums(b"") };
    let record = ObjectRecord {
        // Changes with what the link leads to (HTTP API 5.2).
        etag: ETag::from_bits(u128::from_be_bytes(crate::ids::random())),
        md5: None,
        ..uploaded(call, headers, received, ObjectType::Symlink)?
    };
    store(call, &grant, &record, guard).await?;
    Ok(record)
}

/// A link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symlink {
    /// Where it leads to.
    pub(crate) target: String,
    /// What is known of the link itself.
    pub(crate) record: ObjectRecord,
}

/// GetSymlink (HTTP API 9.10).
///
/// # Errors
/// As [`find`]; `NotSymlink`.
pub(crate) async fn get(call: &Call<'_>, version: Option<&str>) -> Result<Symlink, Error> {
    let record = find(call, version).await?;
    let Body::Link(target) = &record.body else { return Err(Error::new(ErrorCode::NotSymlink)) };
    Ok(Symlink { target: target.clone(), record })
}
