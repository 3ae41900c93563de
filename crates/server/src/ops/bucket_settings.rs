//! The configurations of a bucket: each is put, got and deleted whole (HTTP API 8.11 to 8.18, 15).

use model::OperationKind;
use model::Tag;
use model::name::ObjectKey;
use model::{Error, ErrorCode};
use oss::access_log::log_object_name;
use oss::request::{parse_regions, parse_tag_keys};
use oss::xml::bucket::{
    invalid_log_target, parse_logging, parse_versioning, render_logging, render_versioning, unconfigured,
};
use oss::xml::cors::{parse_cors, render_cors};
use oss::xml::lifecycle::{parse_lifecycle, render_lifecycle};
use oss::xml::referer::{parse_referer, render_referer};
use oss::xml::service::render_regions;
use oss::xml::tagging::{parse_bucket_tagging, render_tagging};
use oss::xml::website::{parse_website, render_website};
use store::meta::BucketRecord;

use super::{Answer, BodySource, Call, bucket, internal, read_xml};

async fn update(call: &Call<'_>, change: impl FnMut(&mut BucketRecord) + Send) -> Result<(), Error> {
    match call.state.meta.update_bucket(&call.bucket()?.name, change).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Err(super::no_such_bucket(call.route())),
        Err(error) => Err(internal(error)),
    }
}

/// DELETE of any configuration: 204, whether there was one or not.
async fn remove(call: &Call<'_>, change: impl FnMut(&mut BucketRecord) + Send) -> Result<Answer, Error> {
    update(call, change).await?;
    Ok(Answer::empty(204))
}

fn configured<T>(
    call: &Call<'_>,
    setting: Option<&T>,
    absent: ErrorCode,
    render: impl Fn(&T) -> String,
) -> Result<Answer, Error> {
    match setting {
        Some(setting) => Ok(Answer::xml(render(setting))),
        None => Err(Error::new(absent).with("BucketName", bucket::name(call)?.as_str())),
    }
}

/// PutBucketCors (HTTP API 8.11).
pub(crate) async fn put_cors(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let cors = parse_cors(&read_xml(call, body).await?)?;
    update(call, |record| record.cors = Some(cors.clone())).await?;
    Ok(Answer::empty(200))
}

/// GetBucketCors (HTTP API 8.11).
pub(crate) fn cors(call: &Call<'_>) -> Result<Answer, Error> {
    configured(call, call.bucket()?.record.cors.as_ref(), ErrorCode::NoSuchCORSConfiguration, render_cors)
}

/// DeleteBucketCors (HTTP API 8.11).
pub(crate) async fn delete_cors(call: &Call<'_>) -> Result<Answer, Error> {
    remove(call, |record| record.cors = None).await
}

/// PutBucketReferer (HTTP API 8.12).
pub(crate) async fn put_referer(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let referer = parse_referer(&read_xml(call, body).await?)?;
    update(call, |record| record.referer = Some(referer.clone())).await?;
    Ok(Answer::empty(200))
}

/// GetBucketReferer (HTTP API 8.12): a bucket without one shows the default.
pub(crate) fn referer(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_referer(&call.bucket()?.record.referer.clone().unwrap_or_default())))
}

/// DELETE of the Referer configuration, the same as putting the default (HTTP API 8.12).
pub(crate) async fn delete_referer(call: &Call<'_>) -> Result<Answer, Error> {
    remove(call, |record| record.referer = None).await
}

/// PutBucketLifecycle (HTTP API 8.13).
pub(crate) async fn put_lifecycle(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let may_overlap =
        call.raw.header_text("x-oss-allow-same-action-overlap").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let text = read_xml(call, body).await?;
    let rules = parse_lifecycle(&text, may_overlap, &mut crate::ids::upload_id)?;
    update(call, |record| record.lifecycle = Some(rules.clone())).await?;
    Ok(Answer::empty(200))
}

/// GetBucketLifecycle (HTTP API 8.13).
pub(crate) fn lifecycle(call: &Call<'_>) -> Result<Answer, Error> {
    let rules = call.bucket()?.record.lifecycle.as_ref();
    configured(call, rules, ErrorCode::NoSuchLifecycle, |rules| render_lifecycle(rules))
}

/// DeleteBucketLifecycle (HTTP API 8.13).
pub(crate) async fn delete_lifecycle(call: &Call<'_>) -> Result<Answer, Error> {
    remove(call, |record| record.lifecycle = None).await
}

/// PutBucketLogging (HTTP API 8.15), for whoever may also write to the target. `crate::access_log` delivers what it
/// asks for.
pub(crate) async fn put_logging(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let logging = parse_logging(&read_xml(call, body).await?)?;
    if let Some(logging) = &logging {
        let refuse = || invalid_log_target(&logging.target_bucket);
        let target = model::name::BucketName::parse(&logging.target_bucket).map_err(|_| refuse())?;
        let target = call.other_bucket(&target).await.map_err(|error| match error.code {
            ErrorCode::NoSuchBucket => refuse(),
            _ => error,
        })?;
        if target.record.owner != call.bucket()?.record.owner {
            return Err(refuse());
        }
        // The server writes there in the caller's name: nobody may fill a bucket by way of its log that he may not
        // fill himself. A name like those that the logs will have.
        let name = log_object_name(&logging.target_prefix, bucket::name(call)?, call.now_ms, call.request_id);
        let key = ObjectKey::parse(name.as_bytes()).map_err(|_| refuse())?;
        call.may(OperationKind::PutObject, &target, &key).await?;
    }
    update(call, |record| record.logging.clone_from(&logging)).await?;
    Ok(Answer::empty(200))
}

/// GetBucketLogging (HTTP API 8.15).
pub(crate) fn logging(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_logging(call.bucket()?.record.logging.as_ref())))
}

/// DeleteBucketLogging (HTTP API 8.15).
pub(crate) async fn delete_logging(call: &Call<'_>) -> Result<Answer, Error> {
    remove(call, |record| record.logging = None).await
}

/// PutBucketWebsite (HTTP API 8.16).
pub(crate) async fn put_website(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let website = parse_website(&read_xml(call, body).await?)?;
    update(call, |record| record.website = Some(website.clone())).await?;
    Ok(Answer::empty(200))
}

/// GetBucketWebsite (HTTP API 8.16).
pub(crate) fn website(call: &Call<'_>) -> Result<Answer, Error> {
    let website = call.bucket()?.record.website.as_ref();
    configured(call, website, ErrorCode::NoSuchWebsiteConfiguration, render_website)
}

/// DeleteBucketWebsite (HTTP API 8.16).
pub(crate) async fn delete_website(call: &Call<'_>) -> Result<Answer, Error> {
    remove(call, |record| record.website = None).await
}

/// PutBucketTags (HTTP API 8.17).
pub(crate) async fn put_tags(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let tags = parse_bucket_tagging(&read_xml(call, body).await?)?;
    update(call, |record| record.tags.clone_from(&tags)).await?;
    Ok(Answer::empty(200))
}

/// GetBucketTags (HTTP API 8.17).
pub(crate) fn tags(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_tagging(&call.bucket()?.record.tags)))
}

/// DeleteBucketTags (HTTP API 8.17): the named ones, or all.
pub(crate) async fn delete_tags(call: &Call<'_>) -> Result<Answer, Error> {
    let named = parse_tag_keys(call.query());
    let goes = |tag: &Tag| named.is_empty() || named.contains(&tag.key);
    remove(call, |record| record.tags.retain(|tag| !goes(tag))).await
}

/// PutBucketVersioning (HTTP API 8.18): only what changes nothing.
pub(crate) async fn put_versioning(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    parse_versioning(&read_xml(call, body).await?)?;
    Ok(Answer::empty(200))
}

/// GetBucketVersioning (HTTP API 8.18).
pub(crate) fn versioning(call: &Call<'_>) -> Result<Answer, Error> {
    call.bucket()?;
    Ok(Answer::xml(render_versioning()))
}

/// DescribeRegions (HTTP API 7.2).
pub(crate) fn regions(call: &Call<'_>) -> Result<Answer, Error> {
    parse_regions(call.query(), &call.state.config.region)?;
    Ok(Answer::xml(render_regions(&bucket::place(call, &call.state.config.region))))
}

/// GET of a configuration that is not built (HTTP API 15).
pub(crate) fn unbuilt(call: &Call<'_>) -> Result<Answer, Error> {
    let bucket = call.route().bucket.as_ref().map(|bucket| bucket.as_str());
    Ok(Answer::xml(unconfigured(call.route().sub_resource.unwrap_or_default(), bucket)?))
}
