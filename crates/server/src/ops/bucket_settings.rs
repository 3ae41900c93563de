//! The configurations of a bucket: each is put, got and deleted whole (HTTP API 8.11 to 8.13, 8.15 to 8.17).

use model::name::{BucketName, ObjectKey};
use model::{
    CorsConfiguration, Error, ErrorCode, LifecycleRule, LoggingConfiguration, OperationKind, RefererConfiguration, Tag,
    WebsiteConfiguration, log_object_name,
};
use store::meta::BucketRecord;

use super::Call;

/// A configuration as it is to be; `None` deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Which web pages may read the bucket (HTTP API 8.11).
    Cors(Option<CorsConfiguration>),
    /// Which web pages may show it (HTTP API 8.12).
    Referer(Option<RefererConfiguration>),
    /// What happens to old objects (HTTP API 8.13).
    Lifecycle(Option<Vec<LifecycleRule>>),
    /// Where its access log goes (HTTP API 8.15). `crate::access_log` delivers it.
    Logging(Option<LoggingConfiguration>),
    /// How it answers as a web site (HTTP API 8.16).
    Website(Option<WebsiteConfiguration>),
    /// All its tags (HTTP API 8.17).
    Tags(Vec<Tag>),
    /// The tags that it has, without those of these keys (HTTP API 8.17).
    TagsWithout(Vec<String>),
}

impl Setting {
    fn apply(&self, record: &mut BucketRecord) {
        match self {
            Setting::Cors(cors) => record.cors.clone_from(cors),
            Setting::Referer(referer) => record.referer.clone_from(referer),
            Setting::Lifecycle(rules) => record.lifecycle.clone_from(rules),
            Setting::Logging(logging) => record.logging.clone_from(logging),
            Setting::Website(website) => record.website.clone_from(website),
            Setting::Tags(tags) => record.tags.clone_from(tags),
            Setting::TagsWithout(keys) => record.tags.retain(|tag| !keys.contains(&tag.key)),
        }
    }
}

/// Puts or deletes a configuration, whether there was one or not.
///
/// # Errors
/// `NoSuchBucket`, and those of the store; for a log `InvalidTargetBucketForLogging`, and the refusals of access
/// control 8 for whoever may not write to the target.
pub(crate) async fn set(call: &Call<'_>, setting: &Setting) -> Result<(), Error> {
    if let Setting::Logging(Some(logging)) = setting {
        check_log_target(call, logging).await?;
    }
    call.objects().update_bucket(&call.granted.grant, |record| setting.apply(record)).await
}

async fn check_log_target(call: &Call<'_>, logging: &LoggingConfiguration) -> Result<(), Error> {
    let refuse =
        || Error::new(ErrorCode::InvalidTargetBucketForLogging).with("TargetBucket", logging.target_bucket.as_str());
    let target = BucketName::parse(&logging.target_bucket).map_err(|_| refuse())?;
    let target = call.other_bucket(&target).await.map_err(|error| match error.code {
        ErrorCode::NoSuchBucket => refuse(),
        _ => error,
    })?;
    let source = call.bucket()?;
    if target.record.owner != source.record.owner {
        return Err(refuse());
    }
    // The server writes there in the caller's name: nobody may fill a bucket by way of its log that he may not fill
    // himself. A name like those that the logs will have.
    let name = log_object_name(&logging.target_prefix, &source.name, call.now_ms, call.request_id);
    let key = ObjectKey::parse(name.as_bytes()).map_err(|_| refuse())?;
    call.may(OperationKind::PutObject, &target, &key).await.map(drop)
}

/// The CORS configuration (HTTP API 8.11).
///
/// # Errors
/// `NoSuchCORSConfiguration`.
pub(crate) fn cors<'a>(call: &'a Call<'_>) -> Result<&'a CorsConfiguration, Error> {
    configured(call, |record| record.cors.as_ref(), ErrorCode::NoSuchCORSConfiguration)
}

/// The lifecycle (HTTP API 8.13).
///
/// # Errors
/// `NoSuchLifecycle`.
pub(crate) fn lifecycle<'a>(call: &'a Call<'_>) -> Result<&'a [LifecycleRule], Error> {
    configured(call, |record| record.lifecycle.as_deref(), ErrorCode::NoSuchLifecycle)
}

/// The web site (HTTP API 8.16).
///
/// # Errors
/// `NoSuchWebsiteConfiguration`.
pub(crate) fn website<'a>(call: &'a Call<'_>) -> Result<&'a WebsiteConfiguration, Error> {
    configured(call, |record| record.website.as_ref(), ErrorCode::NoSuchWebsiteConfiguration)
}

/// A configuration whose absence is refused. The others are in the record that [`super::bucket::get`] gives.
pub(super) fn configured<'a, T: ?Sized>(
    call: &'a Call<'_>,
    setting: impl FnOnce(&'a BucketRecord) -> Option<&'a T>,
    absent: ErrorCode,
) -> Result<&'a T, Error> {
    let bucket = call.bucket()?;
    setting(&bucket.record).ok_or_else(|| Error::new(absent).with("BucketName", bucket.name.as_str()))
}
