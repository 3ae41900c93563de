//! Objects: put, get, head, delete (HTTP API 9.1 to 9.5).

use model::name::ObjectKey;
use model::{ContentHeaders, ObjectAcl, ObjectType, OperationKind, StorageClass, Tag};
use model::{Error, ErrorCode};
use store::meta::{Body, ObjectRecord, ObjectRole, PutGuard};
use usage::{Counters, Meter};

use super::caching::{self, Keeping, Page};
use super::callback::{self, Callback, Notified};
use super::expiration::{self, Expiration};
use super::{BodySource, Call, internal, upload, website};
use crate::objects::{Expected, Keep, ObjectGrant, Received, StoredBody, no_such_bucket};

/// What an upload says about the object that it makes (HTTP API 1.1, 9.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NewHeaders {
    /// Its ACL; that of its bucket counts when none is named.
    pub(crate) acl: Option<ObjectAcl>,
    /// Its storage class; that of its bucket when none is named.
    pub(crate) storage_class: Option<StorageClass>,
    /// What is sent back with it.
    pub(crate) content: ContentHeaders,
    /// Names in lower case and values of the client's own.
    pub(crate) user_meta: Vec<(String, Vec<u8>)>,
    /// Its tags; `None` when nothing was said of tags.
    pub(crate) tags: Option<Vec<Tag>>,
    /// Whether an object of that key must not be there.
    pub(crate) forbid_overwrite: bool,
}

impl NewHeaders {
    /// Whether tags are set, for which a right of its own is needed (access control 2).
    pub(super) fn sets_tags(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| !tags.is_empty())
    }
}

/// An object that was stored.
pub(crate) struct Written {
    /// What is known of it.
    pub(crate) record: ObjectRecord,
    /// When it goes again.
    pub(crate) expiration: Option<Expiration>,
    /// What became of the callback that was asked for.
    pub(crate) notified: Notified,
}

impl Written {
    /// Says when a stored object goes again, and tells the application's server of it where that was asked for.
    ///
    /// # Errors
    /// None that a stored object can cause: `NoSuchBucket` when the request is about no bucket.
    pub(super) async fn of(
        call: &Call<'_>,
        key: &ObjectKey,
        record: ObjectRecord,
        callback: Option<&Callback>,
    ) -> Result<Self, Error> {
        let expiration = expiration::of(call, key, &record)?;
        let notified = callback::tell(call, callback, key, &record).await?;
        Ok(Self { record, expiration, notified })
    }
}

/// What is to be stored.
pub(crate) struct PutObject {
    /// What is said about the object.
    pub(crate) headers: NewHeaders,
    /// What the body is said to come to, if that can be read.
    pub(crate) expected: Result<Expected, Error>,
    /// Whom to tell.
    pub(crate) callback: Option<Callback>,
}

/// PutObject (HTTP API 9.1).
///
/// # Errors
/// Those of [`callback::check`] and [`upload::receive`], the refusals of access control 8 for tags, `FileAlreadyExists`.
pub(crate) async fn put(call: &Call<'_>, request: PutObject, body: &mut dyn BodySource) -> Result<Written, Error> {
    let PutObject { headers, expected, callback } = request;
    callback::check(call, callback.as_ref()).await?;
    let expected = upload::check_announced(body, expected)?;
    let grant = call.object_grant()?;
    may_set(call, &grant, &headers).await?;
    let guard = guard_of(headers.forbid_overwrite);
    let received = upload::receive(call, expected, body, Keep::Anywhere).await?;
    let record = uploaded(call, headers, received, ObjectType::Normal)?;
    let grant = counting_upload(grant, record.size);
    store(call, &grant, &record, guard).await?;
    Written::of(call, grant.key(), record, callback.as_ref()).await
}

/// Decides whether an object with these headers may be made, before its body is received.
///
/// # Errors
/// The refusals of access control 8 for tags, `FileAlreadyExists`.
pub(super) async fn may_set(call: &Call<'_>, grant: &ObjectGrant, headers: &NewHeaders) -> Result<(), Error> {
    if headers.sets_tags() {
        call.may(OperationKind::PutObjectTagging, call.bucket()?, grant.key()).await?;
    }
    if headers.forbid_overwrite && exists(call, grant).await? {
        return Err(already_exists(grant.key()));
    }
    Ok(())
}

/// The object that an upload makes.
pub(super) fn uploaded(
    call: &Call<'_>,
    headers: NewHeaders,
    received: Received,
    object_type: ObjectType,
) -> Result<ObjectRecord, Error> {
    Ok(ObjectRecord {
        size: received.sums.len,
        etag: received.sums.etag,
        crc64: received.sums.crc64,
        md5: received.sums.md5,
        modified_ms: call.objects().now_ms(),
        object_type,
        role: ObjectRole::Ordinary,
        acl: headers.acl.unwrap_or(ObjectAcl::Default),
        storage_class: headers.storage_class.unwrap_or(call.bucket()?.record.storage_class),
        headers: headers.content,
        user_meta: headers.user_meta,
        tags: headers.tags.unwrap_or_default(),
        body: received.body,
    })
}

/// Names an object whose blobs are durable and new.
///
/// # Errors
/// `FileAlreadyExists` as the guard demands; the blobs are deleted then.
pub(super) async fn store(
    call: &Call<'_>,
    grant: &ObjectGrant,
    record: &ObjectRecord,
    guard: PutGuard,
) -> Result<(), Error> {
    call.objects().write(grant, record, guard, &[]).await.map(drop).map_err(|error| refused(grant, error))
}

/// The grant for an upload by HTTP, which counts the bytes of its body.
pub(super) fn counting_upload(grant: ObjectGrant, bytes: u64) -> ObjectGrant {
    grant.counting("", Counters::of(Meter::UploadBytes, bytes))
}

/// Why an object was not given its name.
pub(super) fn refused(grant: &ObjectGrant, error: store::Error) -> Error {
    match error.kind {
        store::ErrorKind::AlreadyExists => already_exists(grant.key()),
        store::ErrorKind::NotFound => no_such_bucket(grant.bucket()),
        _ => internal(error),
    }
}

/// What a ban on overwriting demands of the commit.
pub(super) fn guard_of(forbid_overwrite: bool) -> PutGuard {
    if forbid_overwrite { PutGuard::Absent } else { PutGuard::Any }
}

/// Whether there is the object of a grant.
///
/// # Errors
/// Those of the store.
pub(super) async fn exists(call: &Call<'_>, grant: &ObjectGrant) -> Result<bool, Error> {
    Ok(call.objects().read(grant).await?.is_some())
}

/// 409 for an object that was not to be overwritten.
pub(super) fn already_exists(key: &ObjectKey) -> Error {
    Error::new(ErrorCode::FileAlreadyExists).with("Key", key.as_str())
}

/// Which object is to be shown, and to whom.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReadObject<'a> {
    /// The version that the client names; only `null` exists.
    pub(crate) version: Option<&'a str>,
    /// The page that asks, of a browser.
    pub(crate) page: Option<Page<'a>>,
}

/// An object to be shown.
pub(crate) struct Shown {
    /// What is known of it.
    pub(crate) record: ObjectRecord,
    /// When it goes.
    pub(crate) expiration: Option<Expiration>,
    /// Who may keep it, and for how long; `None` when nothing is to be said about that.
    pub(crate) keeping: Option<Keeping>,
}

impl Shown {
    pub(super) fn of(
        call: &Call<'_>,
        key: &ObjectKey,
        record: ObjectRecord,
        page: Option<Page<'_>>,
    ) -> Result<Self, Error> {
        let expiration = expiration::of(call, key, &record)?;
        let keeping = caching::of(call, &record, page);
        Ok(Self { record, expiration, keeping })
    }
}

/// What there is to show for a key.
pub(crate) enum Content {
    /// The object, or the index page of the web site that stands for it.
    Object(Box<Shown>),
    /// The error page of the web site, with the status that its owner wants.
    ErrorPage(Box<ObjectRecord>, u16),
    /// Nothing here, but in the folder of that name (HTTP API 8.16).
    Folder(ObjectKey),
}

/// GetObject (HTTP API 9.2). The bytes are asked for by [`bytes()`].
///
/// # Errors
/// As [`find_content`], unless a web site has a page for it.
pub(crate) async fn get(call: &Call<'_>, request: ReadObject<'_>) -> Result<Content, Error> {
    match find_content(call, request.version).await {
        Err(error) if error.code == ErrorCode::NoSuchKey => website::instead(call, request.page, error).await,
        found => Ok(Content::Object(Box::new(Shown::of(call, call.key()?, found?, request.page)?))),
    }
}

/// HeadObject (HTTP API 9.3).
///
/// # Errors
/// As [`find_content`].
pub(crate) async fn head(call: &Call<'_>, request: ReadObject<'_>) -> Result<Shown, Error> {
    Shown::of(call, call.key()?, find_content(call, request.version).await?, request.page)
}

/// The bytes `start..start + len` of an object that was found.
///
/// # Errors
/// `InternalError`, `ServiceUnavailable`.
pub(crate) async fn bytes(call: &Call<'_>, record: &ObjectRecord, start: u64, len: u64) -> Result<StoredBody, Error> {
    call.objects().content(&record.body, start, len).await
}

/// All bytes of an object that was found and is small.
///
/// # Errors
/// `InternalError`, `ServiceUnavailable`.
pub(crate) async fn whole(call: &Call<'_>, record: &ObjectRecord) -> Result<bytes::Bytes, Error> {
    bytes(call, record, 0, record.size).await?.whole().await
}

/// DeleteObject (HTTP API 9.5).
///
/// # Errors
/// `NoSuchVersion`, and those of the store; there need not be an object.
pub(crate) async fn delete(call: &Call<'_>, version: Option<&str>) -> Result<(), Error> {
    check_version(call, version)?;
    call.objects().delete(&call.object_grant()?).await
}

/// The object of the request, as GetObjectMeta tells of it (HTTP API 9.4).
///
/// # Errors
/// `NoSuchKey`, or `NoSuchVersion` for any version but the only one there is.
pub(crate) async fn find(call: &Call<'_>, version: Option<&str>) -> Result<ObjectRecord, Error> {
    check_version(call, version)?;
    Ok(call.objects().find(&call.object_grant()?).await?.value.clone())
}

/// The object of the request, or the one its link leads to, shown as a link (HTTP API 9.2, 9.10). Whoever follows a link
/// needs the right to read both.
///
/// # Errors
/// As [`find`]; `SymlinkTargetNotExist`, `InvalidTargetType`, and the refusals of access control 8 for the target.
pub(crate) async fn find_content(call: &Call<'_>, version: Option<&str>) -> Result<ObjectRecord, Error> {
    let record = find(call, version).await?;
    let Body::Link(target) = &record.body else { return Ok(record) };
    let absent = || Error::new(ErrorCode::SymlinkTargetNotExist).with("Key", target.as_str());
    let key = ObjectKey::parse(target.as_bytes())?;
    let bucket = call.bucket()?;
    let target = call.may(OperationKind::GetObject, bucket, &key).await?;
    let found = call.objects().read(&target).await?.ok_or_else(absent)?.value.clone();
    match found.object_type {
        ObjectType::Symlink => Err(Error::new(ErrorCode::InvalidTargetType)),
        _ => Ok(ObjectRecord { object_type: ObjectType::Symlink, ..found }),
    }
}

/// Refuses any version but the only one there is.
///
/// # Errors
/// `NoSuchVersion`.
pub(super) fn check_version(call: &Call<'_>, version: Option<&str>) -> Result<(), Error> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(other) => Err(Error::new(ErrorCode::NoSuchVersion)
            .with("Key", call.key()?.as_str())
            .with("VersionId", other.chars().take(64).collect::<String>())),
    }
}
