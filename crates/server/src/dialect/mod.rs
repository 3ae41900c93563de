//! The wire of OSS: each operation is parsed into a request of [`crate::ops`], carried out, and its outcome written down
//! as status, headers and document. Only here are raw requests, names of headers and XML seen together with operations.

mod asked;
mod batch_delete;
mod read;

pub(crate) use asked::Asked;

use model::{Error, ErrorCode, OperationKind};
use oss::request::{not_implemented, restore_not_supported, unknown_process};

use crate::ops::{self, Answer, BodySource, Call};

/// Carries out a granted request.
///
/// # Errors
/// What the request is refused for.
pub(crate) async fn run(call: Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let asked = Asked::of(&call);
    use OperationKind as Kind;
    match call.granted.grant.operation() {
        Kind::ListBuckets => ops::bucket::list(&call).await,
        Kind::PutBucket => ops::bucket::put(&call, body).await,
        Kind::HeadBucket => ops::bucket::head(&call),
        Kind::DeleteBucket => ops::bucket::delete(&call).await,
        Kind::GetBucketInfo => ops::bucket::info(&call),
        Kind::GetBucketLocation => ops::bucket::location(&call),
        Kind::PutBucketAcl => ops::bucket::put_acl(&call).await,
        Kind::GetBucketAcl => ops::bucket::acl(&call),
        Kind::GetBucketStat => ops::bucket::stat(&call).await,
        Kind::PutBucketPolicy => ops::policy::put(&call, body).await,
        Kind::GetBucketPolicy => ops::policy::get(&call),
        Kind::DeleteBucketPolicy => ops::policy::delete(&call).await,
        Kind::GetBucketPolicyStatus => ops::policy::status(&call),
        Kind::ListObjects => ops::listing::objects(&call).await,
        Kind::ListObjectsV2 => ops::listing::objects_v2(&call).await,

        Kind::PutObject => ops::object::put(&call, body).await,
        Kind::GetObject => ops::object::get(&call).await,
        Kind::HeadObject => ops::object::head(&call).await,
        Kind::GetObjectMeta => ops::object::meta(&call).await,
        Kind::DeleteObject => ops::object::delete(&call).await,
        Kind::GetSignedPlaylist => ops::signed_playlist::get(&call).await,
        Kind::ProcessObject => Err(unknown_process(asked.query())),
        Kind::RestoreObject => Err(restore_not_supported()),

        Kind::PutLiveChannel => ops::live_channel::put(&call, body).await,
        Kind::PutLiveChannelStatus => ops::live_channel::put_status(&call).await,
        Kind::GetLiveChannelInfo => ops::live_channel::info(&call).await,
        Kind::GetLiveChannelStat => ops::live_channel::stat(&call).await,
        Kind::GetLiveChannelHistory => ops::live_channel::history(&call).await,
        Kind::ListLiveChannel => ops::live_channel::list(&call).await,
        Kind::DeleteLiveChannel => ops::live_channel::delete(&call).await,
        Kind::PostVodPlaylist => ops::vod_playlist::post(&call).await,
        Kind::GetVodPlaylist => ops::vod_playlist::get(&call).await,

        Kind::DescribeRegions => ops::bucket_settings::regions(&call),
        Kind::ListObjectVersions => ops::listing::versions(&call).await,
        Kind::PutBucketCors => ops::bucket_settings::put_cors(&call, body).await,
        Kind::GetBucketCors => ops::bucket_settings::cors(&call),
        Kind::DeleteBucketCors => ops::bucket_settings::delete_cors(&call).await,
        Kind::PutBucketReferer => ops::bucket_settings::put_referer(&call, body).await,
        Kind::GetBucketReferer => ops::bucket_settings::referer(&call),
        Kind::DeleteBucketReferer => ops::bucket_settings::delete_referer(&call).await,
        Kind::PutBucketLifecycle => ops::bucket_settings::put_lifecycle(&call, body).await,
        Kind::GetBucketLifecycle => ops::bucket_settings::lifecycle(&call),
        Kind::DeleteBucketLifecycle => ops::bucket_settings::delete_lifecycle(&call).await,
        Kind::PutBucketLogging => ops::bucket_settings::put_logging(&call, body).await,
        Kind::GetBucketLogging => ops::bucket_settings::logging(&call),
        Kind::DeleteBucketLogging => ops::bucket_settings::delete_logging(&call).await,
        Kind::PutBucketWebsite => ops::bucket_settings::put_website(&call, body).await,
        Kind::GetBucketWebsite => ops::bucket_settings::website(&call),
        Kind::DeleteBucketWebsite => ops::bucket_settings::delete_website(&call).await,
        Kind::PutBucketTags => ops::bucket_settings::put_tags(&call, body).await,
        Kind::GetBucketTags => ops::bucket_settings::tags(&call),
        Kind::DeleteBucketTags => ops::bucket_settings::delete_tags(&call).await,
        Kind::PutBucketVersioning => ops::bucket_settings::put_versioning(&call, body).await,
        Kind::GetBucketVersioning => ops::bucket_settings::versioning(&call),

        Kind::DeleteMultipleObjects => batch_delete::delete(&asked, &call, body).await,
        Kind::CopyObject => ops::copy::copy(&call).await,
        Kind::AppendObject => ops::append::append(&call, body).await,
        Kind::PutObjectAcl => ops::object_settings::put_acl(&call).await,
        Kind::GetObjectAcl => ops::object_settings::acl(&call).await,
        Kind::PutSymlink => ops::symlink::put(&call).await,
        Kind::GetSymlink => ops::symlink::get(&call).await,
        Kind::PutObjectTagging => ops::object_settings::put_tags(&call).await,
        Kind::GetObjectTagging => ops::object_settings::tags(&call).await,
        Kind::DeleteObjectTagging => ops::object_settings::delete_tags(&call).await,
        Kind::InitiateMultipartUpload => ops::multipart::initiate(&call).await,
        Kind::UploadPart => ops::multipart::put_part(&call, body).await,
        Kind::UploadPartCopy => ops::multipart::copy_part(&call).await,
        Kind::CompleteMultipartUpload => ops::multipart::complete(&call, body).await,
        Kind::AbortMultipartUpload => ops::multipart::abort(&call).await,
        Kind::ListParts => ops::multipart::parts(&call).await,
        Kind::ListMultipartUploads => ops::multipart::uploads(&call).await,
        Kind::PostObject => ops::post_object::post(&call, body).await,
        Kind::GetSubResource => ops::bucket_settings::unbuilt(&call),
        // What could be there to delete was refused with the row of the operation.
        Kind::DeleteSubResource => Ok(Answer::empty(204)),

        // Known, and not built: `docs/compatibility.md` lists them.
        Kind::PutSubResource => Err(not_implemented(asked.route)),

        // These never come here: preflights are answered before, and publishes come over RTMP.
        Kind::Preflight | Kind::PublishRtmpStream => Err(Error::new(ErrorCode::MethodNotAllowed)),
    }
}
