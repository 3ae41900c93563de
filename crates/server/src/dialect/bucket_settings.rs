//! The configurations of a bucket on the wire: each is put, got and deleted whole (HTTP API 8.11 to 8.13, 8.15 to 8.18,
//! 15).

use model::Error;
use oss::request::parse_tag_keys;
use oss::xml::bucket::{parse_logging, parse_versioning, render_logging, render_versioning, unconfigured};
use oss::xml::cors::{parse_cors, render_cors};
use oss::xml::lifecycle::{parse_lifecycle, render_lifecycle};
use oss::xml::referer::{parse_referer, render_referer};
use oss::xml::tagging::{parse_bucket_tagging, render_tagging};
use oss::xml::website::{parse_website, render_website};

use super::Answer;
use super::Asked;
use crate::objects::BodySource;
use crate::ops::bucket_settings::{self, Setting};
use crate::ops::{Call, bucket};

/// PUT of a configuration whose document was read.
async fn put(call: &Call<'_>, setting: Setting) -> Result<Answer, Error> {
    bucket_settings::set(call, &setting).await?;
    Ok(Answer::empty(200))
}

/// DELETE of any configuration: 204, whether there was one or not.
pub(super) async fn delete(call: &Call<'_>, setting: Setting) -> Result<Answer, Error> {
    bucket_settings::set(call, &setting).await?;
    Ok(Answer::empty(204))
}

/// PutBucketCors (HTTP API 8.11).
pub(super) async fn put_cors(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    put(call, Setting::Cors(Some(parse_cors(&asked.xml(body).await?)?))).await
}

/// GetBucketCors (HTTP API 8.11).
pub(super) fn cors(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_cors(bucket_settings::cors(call)?)))
}

/// PutBucketReferer (HTTP API 8.12).
pub(super) async fn put_referer(
    asked: &Asked<'_>,
    call: &Call<'_>,
    body: &mut dyn BodySource,
) -> Result<Answer, Error> {
    put(call, Setting::Referer(Some(parse_referer(&asked.xml(body).await?)?))).await
}

/// GetBucketReferer (HTTP API 8.12): a bucket without one shows the default.
pub(super) fn referer(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_referer(&bucket::get(call)?.referer.clone().unwrap_or_default())))
}

/// PutBucketLifecycle (HTTP API 8.13).
pub(super) async fn put_lifecycle(
    asked: &Asked<'_>,
    call: &Call<'_>,
    body: &mut dyn BodySource,
) -> Result<Answer, Error> {
    let may_overlap =
        asked.raw.header_text("x-oss-allow-same-action-overlap").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let rules = parse_lifecycle(&asked.xml(body).await?, may_overlap, &mut crate::ids::upload_id)?;
    put(call, Setting::Lifecycle(Some(rules))).await
}

/// GetBucketLifecycle (HTTP API 8.13).
pub(super) fn lifecycle(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_lifecycle(bucket_settings::lifecycle(call)?)))
}

/// PutBucketLogging (HTTP API 8.15).
pub(super) async fn put_logging(
    asked: &Asked<'_>,
    call: &Call<'_>,
    body: &mut dyn BodySource,
) -> Result<Answer, Error> {
    put(call, Setting::Logging(parse_logging(&asked.xml(body).await?)?)).await
}

/// GetBucketLogging (HTTP API 8.15).
pub(super) fn logging(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_logging(bucket::get(call)?.logging.as_ref())))
}

/// PutBucketWebsite (HTTP API 8.16).
pub(super) async fn put_website(
    asked: &Asked<'_>,
    call: &Call<'_>,
    body: &mut dyn BodySource,
) -> Result<Answer, Error> {
    put(call, Setting::Website(Some(parse_website(&asked.xml(body).await?)?))).await
}

/// GetBucketWebsite (HTTP API 8.16).
pub(super) fn website(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_website(bucket_settings::website(call)?)))
}

/// PutBucketTags (HTTP API 8.17).
pub(super) async fn put_tags(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    put(call, Setting::Tags(parse_bucket_tagging(&asked.xml(body).await?)?)).await
}

/// GetBucketTags (HTTP API 8.17).
pub(super) fn tags(call: &Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::xml(render_tagging(&bucket::get(call)?.tags)))
}

/// DeleteBucketTags (HTTP API 8.17): the named ones, or all.
pub(super) async fn delete_tags(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let named = parse_tag_keys(asked.query());
    delete(call, if named.is_empty() { Setting::Tags(Vec::new()) } else { Setting::TagsWithout(named) }).await
}

/// PutBucketVersioning (HTTP API 8.18): only what changes nothing.
pub(super) async fn put_versioning(asked: &Asked<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    parse_versioning(&asked.xml(body).await?)?;
    Ok(Answer::empty(200))
}

/// GetBucketVersioning (HTTP API 8.18): no bucket was ever versioned.
pub(super) fn versioning(call: &Call<'_>) -> Result<Answer, Error> {
    bucket::get(call)?;
    Ok(Answer::xml(render_versioning()))
}

/// GET of a configuration that is not built (HTTP API 15).
pub(super) fn unbuilt(asked: &Asked<'_>) -> Result<Answer, Error> {
    let bucket = asked.route.bucket.as_ref().map(|bucket| bucket.as_str());
    Ok(Answer::xml(unconfigured(asked.route.sub_resource.unwrap_or_default(), bucket)?))
}
