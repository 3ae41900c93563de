//! What the operations do, one file a family. They take and give our own types; sockets and HTTP are elsewhere.

mod answer;
mod append;
mod batch_delete;
mod bucket;
mod bucket_settings;
mod caching;
mod callback;
mod channel_sessions;
mod copy;
mod expiration;
mod further;
mod grant;
mod hashing;
mod limits;
mod listing;
mod live_channel;
mod log_object;
mod multipart;
mod object;
mod object_settings;
mod policy;
mod post_object;
mod signed_playlist;
mod symlink;
mod upload;
mod vod_playlist;
mod website;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::OperationKind;
use model::access::Grant;
use model::{Error, ErrorCode};
use oss::request::{BodyDigests, Query, RawRequest, Route, not_implemented, restore_not_supported};
use oss::sign::Credentials;
use sha2::{Digest, Sha256};
use store::meta::BucketRecord;

pub(crate) use answer::{Answer, BodySource, Content, StoredContent};
pub(crate) use channel_sessions::{channel_sessions, sessions_of};
pub(crate) use grant::{Authenticated, access_of, grant, no_such_bucket, tag_pairs};
pub(crate) use limits::RateLimits;
pub(crate) use log_object::{LogObject, NotWritten};
pub(crate) use signed_playlist::SignedPlaylists;
pub(crate) use vod_playlist::playlist_record;
#[cfg(test)]
pub(crate) use vod_playlist::vod_text;

use crate::descriptors::Seldom;
use crate::identity::Identity;
use crate::memory::Held;
use crate::state::State;

/// A bucket as it was when the request arrived.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: model::name::BucketName,
    /// Its record.
    pub(crate) record: BucketRecord,
}

impl Bucket {
    /// A bucket with its record.
    pub(crate) fn new(name: model::name::BucketName, record: BucketRecord) -> Self {
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
    /// The key that signed.
    pub(crate) identity: Option<Arc<Identity>>,
    /// The bucket concerned, when it exists.
    pub(crate) bucket: Option<Bucket>,
    /// The tags in the body, which PutObjectTagging reads before it is granted.
    tagging: Option<Result<Vec<model::Tag>, Error>>,
}

impl Granted {
    /// The secret of the key that signed the request.
    fn secret(&self) -> Result<&oss::sign::SecretKey, Error> {
        self.identity.as_deref().map(Identity::secret).ok_or_else(|| Error::new(ErrorCode::AccessDenied))
    }

    /// How long the URL will still be good whose signature let the caller in, seconds; `None` without one.
    fn expires_in_s(&self, now_ms: i64) -> Option<u64> {
        let of_url_s = self.credentials.expires_at_s()?;
        let of_key_s = self.identity.as_deref().and_then(Identity::expires_at_s).unwrap_or(i64::MAX);
        Some(u64::try_from(of_url_s.min(of_key_s).saturating_sub(now_ms.div_euclid(1000))).unwrap_or(0))
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

    fn key(&self) -> Result<&model::name::ObjectKey, Error> {
        match self.granted.grant.resource() {
            model::Resource::Object(_, key) => Ok(key),
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
        Kind::PutBucketPolicy => policy::put(&call, body).await,
        Kind::GetBucketPolicy => policy::get(&call),
        Kind::DeleteBucketPolicy => policy::delete(&call).await,
        Kind::GetBucketPolicyStatus => policy::status(&call),
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

        Kind::DescribeRegions => bucket_settings::regions(&call),
        Kind::ListObjectVersions => listing::versions(&call).await,
        Kind::PutBucketCors => bucket_settings::put_cors(&call, body).await,
        Kind::GetBucketCors => bucket_settings::cors(&call),
        Kind::DeleteBucketCors => bucket_settings::delete_cors(&call).await,
        Kind::PutBucketReferer => bucket_settings::put_referer(&call, body).await,
        Kind::GetBucketReferer => bucket_settings::referer(&call),
        Kind::DeleteBucketReferer => bucket_settings::delete_referer(&call).await,
        Kind::PutBucketLifecycle => bucket_settings::put_lifecycle(&call, body).await,
        Kind::GetBucketLifecycle => bucket_settings::lifecycle(&call),
        Kind::DeleteBucketLifecycle => bucket_settings::delete_lifecycle(&call).await,
        Kind::PutBucketLogging => bucket_settings::put_logging(&call, body).await,
        Kind::GetBucketLogging => bucket_settings::logging(&call),
        Kind::DeleteBucketLogging => bucket_settings::delete_logging(&call).await,
        Kind::PutBucketWebsite => bucket_settings::put_website(&call, body).await,
        Kind::GetBucketWebsite => bucket_settings::website(&call),
        Kind::DeleteBucketWebsite => bucket_settings::delete_website(&call).await,
        Kind::PutBucketTags => bucket_settings::put_tags(&call, body).await,
        Kind::GetBucketTags => bucket_settings::tags(&call),
        Kind::DeleteBucketTags => bucket_settings::delete_tags(&call).await,
        Kind::PutBucketVersioning => bucket_settings::put_versioning(&call, body).await,
        Kind::GetBucketVersioning => bucket_settings::versioning(&call),

        Kind::DeleteMultipleObjects => batch_delete::delete(&call, body).await,
        Kind::CopyObject => copy::copy(&call).await,
        Kind::AppendObject => append::append(&call, body).await,
        Kind::PutObjectAcl => object_settings::put_acl(&call).await,
        Kind::GetObjectAcl => object_settings::acl(&call).await,
        Kind::PutSymlink => symlink::put(&call).await,
        Kind::GetSymlink => symlink::get(&call).await,
        Kind::PutObjectTagging => object_settings::put_tags(&call).await,
        Kind::GetObjectTagging => object_settings::tags(&call).await,
        Kind::DeleteObjectTagging => object_settings::delete_tags(&call).await,
        Kind::InitiateMultipartUpload => multipart::initiate(&call).await,
        Kind::UploadPart => multipart::put_part(&call, body).await,
        Kind::UploadPartCopy => multipart::copy_part(&call).await,
        Kind::CompleteMultipartUpload => multipart::complete(&call, body).await,
        Kind::AbortMultipartUpload => multipart::abort(&call).await,
        Kind::ListParts => multipart::parts(&call).await,
        Kind::ListMultipartUploads => multipart::uploads(&call).await,
        Kind::PostObject => post_object::post(&call, body).await,
        Kind::GetSubResource => bucket_settings::unbuilt(&call),
        // What could be there to delete was refused with the row of the operation.
        Kind::DeleteSubResource => Ok(Answer::empty(204)),

        // Known, and not built: `docs/compatibility.md` lists them.
        Kind::PutSubResource => Err(not_implemented(call.route())),

        // These never come here: preflights are answered before, and publishes come over RTMP.
        Kind::Preflight | Kind::PublishRtmpStream => Err(Error::new(ErrorCode::MethodNotAllowed)),
    }
}

/// Turns a fault of the store into what a client may know of it.
pub(crate) fn internal(error: store::Error) -> Error {
    crate::damage::count(&error);
    match error.kind {
        _ if error.is_out_of_descriptors() => out_of_descriptors(&error),
        store::ErrorKind::Unavailable => {
            tracing::error!(%error, "the store is unavailable");
            Error::new(ErrorCode::ServiceUnavailable)
                .message("The store does not answer. Please try again.")
                .header("retry-after", "1")
        }
        _ => {
            tracing::error!(%error, "the store failed");
            Error::new(ErrorCode::InternalError)
        }
    }
}

/// What a request is told that got no descriptor: its share is in use, and the others' is not touched for it.
fn out_of_descriptors(error: &store::Error) -> Error {
    static SELDOM: Seldom = Seldom::new();
    if let Some(count) = SELDOM.count() {
        tracing::warn!(%error, count, "requests found no descriptor");
    }
    Error::new(ErrorCode::ServiceUnavailable)
        .message("Too many files are open. Please try again in a moment.")
        .header("retry-after", "1")
}

/// Reads an XML body and checks its digests.
async fn read_xml(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Bytes, Error> {
    let limit = oss::xml::body_limit(call.granted.grant.operation()).unwrap_or(oss::xml::MAX_DOCUMENT_BYTES);
    let held = call.state.memory.receive.hold();
    read_checked(call.raw, &call.granted.credentials, body, limit, Error::new(ErrorCode::MalformedXML), held).await
}

/// Reads a body, which counts as `held`, and checks it against its Content-MD5 and the digest that V4 signed for it (OSS auth 5.2).
async fn read_checked(
    raw: &RawRequest,
    credentials: &Credentials,
    body: &mut dyn BodySource,
    limit: usize,
    too_large: Error,
    held: Held,
) -> Result<Bytes, Error> {
    let digests = BodyDigests::parse(raw)?;
    let whole = answer::read_whole(body, limit, too_large, held).await?;
    if digests.md5.is_some() {
        digests.check(crate::live::checksums(&whole).md5, None)?;
    }
    match credentials.payload_sha256() {
        Some(signed) if signed != <[u8; 32]>::from(Sha256::digest(&whole)) => Err(Error::new(ErrorCode::InvalidDigest)),
        _ => Ok(whole),
    }
}
