//! The wire of OSS: each operation is parsed into a request of [`crate::ops`], carried out, and its outcome written down
//! as status, headers and document. Only here are raw requests, names of headers and XML seen together with operations.

mod answer;
mod append;
mod asked;
mod authorize;
mod batch_delete;
mod bucket;
mod bucket_settings;
mod caching;
mod callback;
mod channel_sessions;
mod copy;
mod expiration;
mod listing;
mod live_channel;
mod multipart;
mod object;
mod object_settings;
mod picture;
mod playlist;
mod policy;
mod post_object;
mod read;
mod signed_playlist;
mod symlink;
mod vod_playlist;

pub(crate) use answer::{Answer, Content};
pub(crate) use asked::Asked;
pub(crate) use authorize::Judge;
pub(crate) use channel_sessions::channel_sessions;

use model::{Error, ErrorCode, OperationKind};
use oss::request::{not_implemented, restore_not_supported, unknown_process};

use crate::objects::BodySource;
use crate::ops::Call;
use crate::ops::bucket_settings::Setting;

/// Carries out a granted request.
///
/// # Errors
/// What the request is refused for.
pub(crate) async fn run(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let answer = carry_out(asked, call, body).await?;
    Ok(caching::contain(answer, asked, call))
}

/// Long ones have their own piece of memory: room for the longest would be moved about with every request for a playlist.
async fn carry_out(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    use OperationKind as Kind;
    match call.granted.grant.operation() {
        Kind::ListBuckets => bucket::list(asked, call).await,
        Kind::PutBucket => bucket::put(asked, call, body).await,
        Kind::HeadBucket => bucket::head(call),
        Kind::DeleteBucket => bucket::delete(call).await,
        Kind::GetBucketInfo => bucket::info(asked, call),
        Kind::GetBucketLocation => bucket::location(asked, call),
        Kind::PutBucketAcl => bucket::put_acl(asked, call).await,
        Kind::GetBucketAcl => bucket::acl(call),
        Kind::GetBucketStat => bucket::stat(asked, call).await,
        Kind::PutBucketPolicy => policy::put(asked, call, body).await,
        Kind::GetBucketPolicy => policy::get(call),
        Kind::DeleteBucketPolicy => policy::delete(call).await,
        Kind::GetBucketPolicyStatus => policy::status(call),
        Kind::ListObjects => listing::objects(asked, call).await,
        Kind::ListObjectsV2 => listing::objects_v2(asked, call).await,

        Kind::PutObject => Box::pin(object::put(asked, call, body)).await,
        Kind::GetObject => object::get(asked, call).await,
        Kind::HeadObject => object::head(asked, call).await,
        Kind::GetObjectMeta => object::meta(asked, call).await,
        Kind::DeleteObject => object::delete(asked, call).await,
        Kind::GetSignedPlaylist => signed_playlist::get(asked, call).await,
        Kind::GetVideoSnapshot => Box::pin(picture::snapshot(asked, call)).await,
        Kind::GetLiveStill => Box::pin(picture::still(asked, call)).await,
        Kind::PostStoryboard => Box::pin(picture::storyboard(asked, call)).await,
        Kind::ProcessObject => Err(unknown_process(asked.query())),
        Kind::RestoreObject => Err(restore_not_supported()),

        Kind::PutLiveChannel => live_channel::put(asked, call, body).await,
        Kind::PutLiveChannelStatus => live_channel::put_status(asked, call).await,
        Kind::GetLiveChannelInfo => live_channel::info(asked, call).await,
        Kind::GetLiveChannelStat => live_channel::stat(asked, call).await,
        Kind::GetLiveChannelHistory => live_channel::history(asked, call).await,
        Kind::ListLiveChannel => live_channel::list(asked, call).await,
        Kind::DeleteLiveChannel => live_channel::delete(asked, call).await,
        Kind::PostVodPlaylist => vod_playlist::post(asked, call).await,
        Kind::GetVodPlaylist => vod_playlist::get(asked, call).await,

        Kind::DescribeRegions => bucket::regions(asked, call),
        Kind::ListObjectVersions => listing::versions(asked, call).await,
        Kind::PutBucketCors => bucket_settings::put_cors(asked, call, body).await,
        Kind::GetBucketCors => bucket_settings::cors(call),
        Kind::DeleteBucketCors => bucket_settings::delete(call, Setting::Cors(None)).await,
        Kind::PutBucketReferer => bucket_settings::put_referer(asked, call, body).await,
        Kind::GetBucketReferer => bucket_settings::referer(call),
        Kind::DeleteBucketReferer => bucket_settings::delete(call, Setting::Referer(None)).await,
        Kind::PutBucketLifecycle => bucket_settings::put_lifecycle(asked, call, body).await,
        Kind::GetBucketLifecycle => bucket_settings::lifecycle(call),
        Kind::DeleteBucketLifecycle => bucket_settings::delete(call, Setting::Lifecycle(None)).await,
        Kind::PutBucketLogging => bucket_settings::put_logging(asked, call, body).await,
        Kind::GetBucketLogging => bucket_settings::logging(call),
        Kind::DeleteBucketLogging => bucket_settings::delete(call, Setting::Logging(None)).await,
        Kind::PutBucketWebsite => bucket_settings::put_website(asked, call, body).await,
        Kind::GetBucketWebsite => bucket_settings::website(call),
        Kind::DeleteBucketWebsite => bucket_settings::delete(call, Setting::Website(None)).await,
        Kind::PutBucketTags => bucket_settings::put_tags(asked, call, body).await,
        Kind::GetBucketTags => bucket_settings::tags(call),
        Kind::DeleteBucketTags => bucket_settings::delete_tags(asked, call).await,
        Kind::PutBucketVersioning => bucket_settings::put_versioning(asked, body).await,
        Kind::GetBucketVersioning => bucket_settings::versioning(call),

        Kind::DeleteMultipleObjects => batch_delete::delete(asked, call, body).await,
        Kind::CopyObject => Box::pin(copy::copy(asked, call)).await,
        Kind::AppendObject => Box::pin(append::append(asked, call, body)).await,
        Kind::PutObjectAcl => object_settings::put_acl(asked, call).await,
        Kind::GetObjectAcl => object_settings::acl(asked, call).await,
        Kind::PutSymlink => symlink::put(asked, call).await,
        Kind::GetSymlink => symlink::get(asked, call).await,
        Kind::PutObjectTagging => object_settings::put_tags(asked, call).await,
        Kind::GetObjectTagging => object_settings::tags(asked, call).await,
        Kind::DeleteObjectTagging => object_settings::delete_tags(asked, call).await,
        Kind::InitiateMultipartUpload => multipart::initiate(asked, call).await,
        Kind::UploadPart => multipart::put_part(asked, call, body).await,
        Kind::UploadPartCopy => Box::pin(multipart::copy_part(asked, call)).await,
        Kind::CompleteMultipartUpload => Box::pin(multipart::complete(asked, call, body)).await,
        Kind::AbortMultipartUpload => multipart::abort(asked, call).await,
        Kind::ListParts => multipart::parts(asked, call).await,
        Kind::ListMultipartUploads => multipart::uploads(asked, call).await,
        Kind::PostObject => Box::pin(post_object::post(asked, call, body)).await,
        Kind::GetSubResource => bucket_settings::unbuilt(asked),
        // What could be there to delete was refused with the row of the operation.
        Kind::DeleteSubResource => Ok(Answer::empty(204)),

        // Known, and not built: `docs/compatibility.md` lists them.
        Kind::PutSubResource => Err(not_implemented(asked.route)),

        // These never come here: preflights are answered before, and publishes come over RTMP.
        Kind::Preflight | Kind::PublishRtmpStream => Err(Error::new(ErrorCode::MethodNotAllowed)),
    }
}
