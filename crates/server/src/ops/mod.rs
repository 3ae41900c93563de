//! What the operations do, one file a family. They take and give our own types; sockets and HTTP are elsewhere.

mod answer;
mod bucket;
mod grant;
mod limits;
mod listing;
mod live_channel;
mod object;
mod signed_playlist;
mod upload;
mod vod_playlist;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use oss::access::Grant;
use oss::request::{BodyDigests, OperationKind, Query, RawRequest, Route, not_implemented, restore_not_supported};
use oss::sign::Credentials;
use oss::{Error, ErrorCode};
use store::meta::BucketRecord;

pub(crate) use answer::{Answer, BodySource, Content, StoredContent};
pub(crate) use grant::{Authenticated, access_of, grant, no_such_bucket};
pub(crate) use limits::RateLimits;
pub(crate) use vod_playlist::playlist_record;

use crate::state::State;

/// A bucket as it was when the request arrived.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: oss::name::BucketName,
    /// Its record.
    pub(crate) record: BucketRecord,
}

impl Bucket {
    /// A bucket with its record.
    pub(crate) fn new(name: oss::name::BucketName, record: BucketRecord) -> Self {
        Self { name, record }
    }
}

/// A request that may be carried out.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a Arc<State>,
    pub(crate) raw: &'a RawRequest,
    pub(crate) granted: Granted,
    pub(crate) peer: SocketAddr,
    pub(crate) now_ms: i64,
    pub(crate) request_id: &'a str,
}

/// What authorisation leaves for the operation.
pub(crate) struct Granted {
    /// The proof that the caller may.
    pub(crate) grant: Grant,
    /// What is asked for.
    pub(crate) route: Route,
    /// How the caller proved who it is.
    pub(crate) credentials: Credentials,
    /// The bucket concerned, when it exists.
    pub(crate) bucket: Option<Bucket>,
}

impl Granted {
    /// The secret of the key that signed the request.
    fn secret(&self, state: &State) -> Result<oss::sign::SecretKey, Error> {
        match self.credentials.access_key_id() {
            Some(id) if *id == state.root.id => Ok(state.root.secret.clone()),
            _ => Err(Error::new(ErrorCode::AccessDenied)),
        }
    }
}

impl Call<'_> {
    fn route(&self) -> &Route {
        &self.granted.route
    }

    fn query(&self) -> &Query {
        &self.granted.route.query
    }

    /// The bucket; every operation on one has it, since a missing bucket is refused before.
    fn bucket(&self) -> Result<&Bucket, Error> {
        self.granted.bucket.as_ref().ok_or_else(|| no_such_bucket(self.route()))
    }

    fn key(&self) -> Result<&oss::name::ObjectKey, Error> {
        match self.granted.grant.resource() {
            oss::request::Resource::Object(_, key) => Ok(key),
            _ => Err(Error::new(ErrorCode::InvalidArgument)),
        }
    }
}

/// Carries out a granted request.
pub(crate) async fn run(call: Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    use OperationKind as Kind;
    match call.granted.grant.operation() {
        Kind::ListBuckets => bucket::list(&call).await,
        Kind::PutBucket => bucket::put(&call, body).await,
        Kind::HeadBucket => bucket::head(&call),
        Kind::DeleteBucket => bucket::delete(&call).await,
        Kind::GetBucketInfo => bucket::info(&call),
        Kind::GetBucketLocation => bucket::location(&call),
        Kind::PutBucketAcl => bucket::put_acl(&call).await,
        Kind::GetBucketAcl => bucket::acl(&call),
        Kind::GetBucketStat => bucket::stat(&call).await,
        Kind::ListObjects => listing::objects(&call).await,
        Kind::ListObjectsV2 => listing::objects_v2(&call).await,

        Kind::PutObject => object::put(&call, body).await,
        Kind::GetObject => object::get(&call).await,
        Kind::HeadObject => object::head(&call).await,
        Kind::GetObjectMeta => object::meta(&call).await,
        Kind::DeleteObject => object::delete(&call).await,
        Kind::GetSignedPlaylist => signed_playlist::get(&call).await,
        Kind::ProcessObject => Err(oss::request::unknown_process(call.query())),
        Kind::RestoreObject => Err(restore_not_supported()),

        Kind::PutLiveChannel => live_channel::put(&call, body).await,
        Kind::PutLiveChannelStatus => live_channel::put_status(&call).await,
        Kind::GetLiveChannelInfo => live_channel::info(&call).await,
        Kind::GetLiveChannelStat => live_channel::stat(&call).await,
        Kind::GetLiveChannelHistory => live_channel::history(&call).await,
        Kind::ListLiveChannel => live_channel::list(&call).await,
        Kind::DeleteLiveChannel => live_channel::delete(&call).await,
        Kind::PostVodPlaylist => vod_playlist::post(&call).await,
        Kind::GetVodPlaylist => vod_playlist::get(&call).await,

        // Known, and not built: `docs/compatibility.md` lists them.
        Kind::DescribeRegions
        | Kind::ListObjectVersions
        | Kind::PutBucketCors
        | Kind::GetBucketCors
        | Kind::DeleteBucketCors
        | Kind::PutBucketReferer
        | Kind::GetBucketReferer
        | Kind::DeleteBucketReferer
        | Kind::PutBucketLifecycle
        | Kind::GetBucketLifecycle
        | Kind::DeleteBucketLifecycle
        | Kind::PutBucketPolicy
        | Kind::GetBucketPolicy
        | Kind::DeleteBucketPolicy
        | Kind::GetBucketPolicyStatus
        | Kind::PutBucketLogging
        | Kind::GetBucketLogging
        | Kind::DeleteBucketLogging
        | Kind::PutBucketWebsite
        | Kind::GetBucketWebsite
        | Kind::DeleteBucketWebsite
        | Kind::PutBucketTags
        | Kind::GetBucketTags
        | Kind::DeleteBucketTags
        | Kind::PutBucketVersioning
        | Kind::GetBucketVersioning
        | Kind::DeleteMultipleObjects
        | Kind::CopyObject
        | Kind::AppendObject
        | Kind::PutObjectAcl
        | Kind::GetObjectAcl
        | Kind::PutSymlink
        | Kind::GetSymlink
        | Kind::PutObjectTagging
        | Kind::GetObjectTagging
        | Kind::DeleteObjectTagging
        | Kind::InitiateMultipartUpload
        | Kind::UploadPart
        | Kind::UploadPartCopy
        | Kind::CompleteMultipartUpload
        | Kind::AbortMultipartUpload
        | Kind::ListParts
        | Kind::ListMultipartUploads
        | Kind::PostObject
        | Kind::GetSubResource
        | Kind::PutSubResource
        | Kind::DeleteSubResource => Err(not_implemented(call.route())),

        // These never come here: preflights are answered before, and publishes come over RTMP.
        Kind::Preflight | Kind::PublishRtmpStream => Err(Error::new(ErrorCode::MethodNotAllowed)),
    }
}

/// Turns a fault of the store into what a client may know of it.
pub(crate) fn internal(error: store::Error) -> Error {
    match error.kind {
        store::ErrorKind::Unavailable => {
            tracing::error!(%error, "the store is unavailable");
            Error::new(ErrorCode::ServiceUnavailable).message("The store does not answer. Please try again.")
        }
        _ => {
            tracing::error!(%error, "the store failed");
            Error::new(ErrorCode::InternalError)
        }
    }
}

/// Reads an XML body and checks its Content-MD5.
async fn read_xml(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Bytes, Error> {
    let limit = oss::xml::body_limit(call.granted.grant.operation()).unwrap_or(oss::xml::MAX_DOCUMENT_BYTES);
    let digests = BodyDigests::parse(call.raw)?;
    let whole = answer::read_whole(body, limit, Error::new(ErrorCode::MalformedXML)).await?;
    if digests.md5.is_some() {
        digests.check(crate::live::checksums(&whole).md5, None)?;
    }
    Ok(whole)
}
