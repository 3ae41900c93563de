//! PostObject: an upload by a form (HTTP API 11). Whoever reads the form says who sends it and what becomes of the file;
//! the file flows and is never kept in memory.

use bytes::Bytes;
use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ObjectType, OperationKind};
use store::meta::PutGuard;

use super::authorization::AccessDetails;
use super::callback::{self, Callback};
use super::object::{NewHeaders, Written, already_exists, counting_upload, exists, guard_of, store, uploaded};
use super::{BodySource, Call};
use crate::objects::{Intake, Keep, ObjectGrant};

/// A file that is to be stored.
pub(crate) struct PostObject {
    /// Who sends it.
    pub(crate) sender: Caller,
    /// Its key.
    pub(crate) key: ObjectKey,
    /// What is said about it, if that can be read.
    pub(crate) headers: Result<NewHeaders, Error>,
    /// Whom to tell, if that can be read.
    pub(crate) callback: Result<Option<Callback>, Error>,
}

/// A file that may be stored, while it arrives. Dropped before its end it leaves nothing behind.
pub(crate) struct Posted<'a> {
    grant: ObjectGrant,
    headers: NewHeaders,
    guard: PutGuard,
    callback: Option<Callback>,
    intake: Intake<'a>,
}

/// Decides whether the sender of a form may store the file that begins.
///
/// # Errors
/// The refusals of access control 8; then what is wrong with the fields; `FileAlreadyExists`; those of
/// [`callback::check`].
pub(crate) async fn begin<'a>(call: &Call<'a>, request: PostObject) -> Result<Posted<'a>, Error> {
    let PostObject { sender, key, headers, callback } = request;
    let bucket = call.bucket()?;
    // Who may not store the file gets that answer before what is wrong with its fields.
    let tags = headers.as_ref().ok().and_then(|headers| headers.tags.as_deref()).unwrap_or_default();
    let details = || AccessDetails { tags: Some(tags), ..AccessDetails::default() };
    let grant = call.may_as(&sender, OperationKind::PostObject, bucket, &key, details()).await?;
    if !tags.is_empty() {
        call.may_as(&sender, OperationKind::PutObjectTagging, bucket, &key, details()).await?;
    }
    let headers = headers?;
    if headers.forbid_overwrite && exists(call, &grant).await? {
        return Err(already_exists(&key));
    }
    let callback = callback?;
    callback::check(call, callback.as_ref()).await?;
    let guard = guard_of(headers.forbid_overwrite);
    Ok(Posted { grant, headers, guard, callback, intake: Intake::new(call.objects(), Keep::Anywhere) })
}

impl Posted<'_> {
    /// The key of the file.
    pub(crate) fn key(&self) -> &ObjectKey {
        self.grant.key()
    }

    /// Bytes of the file so far.
    pub(crate) fn len(&self) -> u64 {
        self.intake.len()
    }

    /// The next piece of the body in which the file comes. While none comes, next to nothing is held.
    ///
    /// # Errors
    /// What the body's source says; `InternalError`.
    pub(crate) async fn next_of(&mut self, body: &mut dyn BodySource) -> Result<Option<Bytes>, Error> {
        self.intake.next_of(body).await
    }

    /// Adds bytes to the file.
    ///
    /// # Errors
    /// `EntityTooLarge`, `InternalError`, `ServiceUnavailable`.
    pub(crate) async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.intake.push(bytes).await
    }

    /// Stores the file, which is whole.
    ///
    /// # Errors
    /// `FileAlreadyExists`, `InternalError`.
    pub(crate) async fn store(self, call: &Call<'_>) -> Result<Written, Error> {
        let Self { grant, headers, guard, callback, intake } = self;
        let received = intake.finish(|_| Ok(())).await?;
        let record = uploaded(call, headers, received, ObjectType::Normal)?;
        let grant = counting_upload(grant, record.size);
        store(call, &grant, &record, guard).await?;
        Written::of(call, grant.key(), record, callback.as_ref()).await
    }
}
