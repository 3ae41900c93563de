//! Buckets (HTTP API 7.1, 8.1 to 8.6, 8.10).

use model::BucketAcl;
use model::name::BucketName;
use model::{Error, ErrorCode};
use oss::request::{ListBucketsParameters, check_put_bucket_headers, endpoint_of, parse_bucket_acl};
use oss::xml::bucket::{BucketInfo, BucketStat, CreateBucketConfiguration, render_acl, render_location};
use oss::xml::service::{ListAllMyBucketsResult, ListedBucket, RegionNames};
use store::meta::BucketRecord;

use super::{Answer, BodySource, Call, internal, read_xml};
use crate::config::Config;

/// ListBuckets (HTTP API 7.1).
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, Error> {
    let asked = ListBucketsParameters::parse(call.query())?;
    let owner = call.granted.grant.caller().account().unwrap_or(&call.state.root.owner).clone();
    // A filter by tag thins pages out, so pages are read until one is full.
    let limit = asked.max_keys as usize;
    let mut found: Vec<BucketRecord> = Vec::new();
    let mut after = asked.marker.clone();
    let mut has_more = true;
    while has_more && found.len() <= limit {
        let page =
            call.state.meta.list_buckets(Some(&owner), &asked.prefix, &after, limit + 1).await.map_err(internal)?;
        has_more = page.is_truncated;
        if let Some(last) = page.items.last() {
            after.clone_from(&last.name);
        }
        found.extend(page.items.into_iter().filter(|bucket| has_tag(bucket, &asked)));
    }
    let is_truncated = found.len() > limit;
    found.truncate(limit);
    let buckets: Vec<_> = found
        .into_iter()
        .map(|bucket| ListedBucket {
            created_ms: bucket.created_ms,
            storage_class: bucket.storage_class,
            place: place(call, region_of(&bucket, &call.state.config)),
            name: bucket.name,
        })
        .collect();
    let result = ListAllMyBucketsResult {
        prefix: asked.prefix,
        marker: asked.marker,
        max_keys: asked.max_keys,
        next_marker: buckets.last().filter(|_| is_truncated).map(|bucket| bucket.name.clone()),
        owner,
        buckets,
    };
    Ok(Answer::xml(result.render()))
}

fn has_tag(bucket: &BucketRecord, asked: &ListBucketsParameters) -> bool {
    asked.tag.as_ref().is_none_or(|(key, value)| {
        bucket.tags.iter().any(|tag| tag.key == *key && value.as_ref().is_none_or(|value| tag.value == *value))
    })
}

/// PutBucket (HTTP API 8.1).
pub(crate) async fn put(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let name = name(call)?;
    check_put_bucket_headers(call.raw)?;
    let acl = parse_bucket_acl(call.raw)?;
    let text = read_xml(call, body).await?;
    let region = match &call.granted.bucket {
        Some(bucket) => region_of(&bucket.record, &call.state.config),
        None => &call.state.config.region,
    };
    let wish = CreateBucketConfiguration::parse(&text, region)?;
    let taken = || Error::new(ErrorCode::BucketAlreadyExists).with("BucketName", name.as_str());
    if let Some(bucket) = &call.granted.bucket {
        let record = &bucket.record;
        if call.granted.grant.caller().account() != Some(&record.owner) {
            return Err(taken());
        }
        let is_other_class = wish.storage_class.is_some_and(|class| class != record.storage_class);
        let is_other_redundancy = wish.redundancy.is_some_and(|redundancy| redundancy != record.redundancy);
        if is_other_class || is_other_redundancy {
            return Err(taken().message("Cannot modify existing bucket's storage class."));
        }
        if let Some(acl) = acl {
            set_acl(call, name, acl).await?;
        }
    } else {
        let mut record = new_record(call, name);
        record.acl = acl.unwrap_or(BucketAcl::Private);
        record.storage_class = wish.storage_class.unwrap_or(record.storage_class);
        record.redundancy = wish.redundancy.unwrap_or(record.redundancy);
        create(call, name, &record).await?;
    }
    Ok(Answer::empty(200).header("location", format!("/{name}")))
}

/// A bucket that is made now, in the region that the server is said to be in.
fn new_record(call: &Call<'_>, name: &BucketName) -> BucketRecord {
    let owner = call.granted.grant.caller().account().unwrap_or(&call.state.root.owner).clone();
    let mut record = BucketRecord::new(name, owner, call.now_ms);
    record.region = Some(call.state.config.region.clone());
    record
}

async fn create(call: &Call<'_>, name: &BucketName, record: &BucketRecord) -> Result<(), Error> {
    let max = call.state.config.max_buckets;
    call.state.meta.create_bucket(name, record, max).await.map_err(|error| match error.kind {
        store::ErrorKind::QuotaExceeded => Error::new(ErrorCode::TooManyBuckets),
        // Somebody else made it a moment ago.
        store::ErrorKind::AlreadyExists => Error::new(ErrorCode::BucketAlreadyExists).with("BucketName", name.as_str()),
        _ => internal(error),
    })
}

/// HeadBucket (HTTP API 8.2).
pub(crate) fn head(call: &Call<'_>) -> Result<Answer, Error> {
    let record = &call.bucket()?.record;
    Ok(Answer::empty(200).header("x-oss-bucket-region", region_of(record, &call.state.config)))
}

/// DeleteBucket (HTTP API 8.3).
pub(crate) async fn delete(call: &Call<'_>) -> Result<Answer, Error> {
    let name = name(call)?;
    call.state.meta.delete_bucket(name).await.map_err(|error| {
        if error.kind != store::ErrorKind::NotEmpty {
            return match error.kind {
                store::ErrorKind::NotFound => super::no_such_bucket(call.route()),
                _ => internal(error),
            };
        }
        Error::new(ErrorCode::BucketNotEmpty)
            .message(match error.subject {
                store::Subject::Upload => "The bucket has Multipart Uploads. Please delete them first.",
                store::Subject::Channel => "The bucket you tried to delete is not empty.",
                _ => "The bucket has objects. Please delete them first.",
            })
            .with("BucketName", name.as_str())
    })?;
    Ok(Answer::empty(204))
}

/// GetBucketInfo (HTTP API 8.4).
pub(crate) fn info(call: &Call<'_>) -> Result<Answer, Error> {
    let record = &call.bucket()?.record;
    let info = BucketInfo {
        name: record.name.clone(),
        created_ms: record.created_ms,
        owner: record.owner.clone(),
        acl: record.acl,
        storage_class: record.storage_class,
        redundancy: record.redundancy,
        logging: record.logging.clone(),
    };
    Ok(Answer::xml(info.render(&place(call, region_of(record, &call.state.config)))))
}

/// GetBucketLocation (HTTP API 8.5).
pub(crate) fn location(call: &Call<'_>) -> Result<Answer, Error> {
    let record = &call.bucket()?.record;
    Ok(Answer::xml(render_location(&place(call, region_of(record, &call.state.config)))))
}

/// GetBucketStat (HTTP API 8.6).
pub(crate) async fn stat(call: &Call<'_>) -> Result<Answer, Error> {
    let statistics = call.state.meta.bucket_statistics(name(call)?).await.map_err(internal)?;
    let mut stat = BucketStat {
        uploads: statistics.uploads,
        parts: statistics.parts,
        channels: statistics.channels,
        counted_s: call.now_ms.div_euclid(1000),
        ..BucketStat::default()
    };
    for class in store::meta::BucketStatistics::CLASSES {
        let counted = statistics.class(class);
        let shown = stat.class_mut(class);
        (shown.objects, shown.bytes) = (counted.objects, counted.bytes);
    }
    Ok(Answer::xml(stat.render()))
}

/// PutBucketAcl (HTTP API 8.10). With an ACL it makes a missing bucket, as the official service does.
pub(crate) async fn put_acl(call: &Call<'_>) -> Result<Answer, Error> {
    let name = name(call)?;
    let acl = parse_bucket_acl(call.raw)?;
    match (&call.granted.bucket, acl) {
        (Some(_), Some(acl)) => set_acl(call, name, acl).await?,
        (Some(_), None) => {}
        (None, None) => return Err(super::no_such_bucket(call.route())),
        (None, Some(acl)) => {
            let mut record = new_record(call, name);
            record.acl = acl;
            create(call, name, &record).await?;
        }
    }
    Ok(Answer::empty(200).header("location", format!("/{name}")))
}

/// GetBucketAcl (HTTP API 8.10).
pub(crate) fn acl(call: &Call<'_>) -> Result<Answer, Error> {
    let record = &call.bucket()?.record;
    Ok(Answer::xml(render_acl(&record.owner, record.acl.as_str())))
}

async fn set_acl(call: &Call<'_>, name: &BucketName, acl: BucketAcl) -> Result<(), Error> {
    call.state.meta.update_bucket(name, |record| record.acl = acl).await.map_err(internal)?;
    Ok(())
}

/// The bucket that the request names, whether it exists or not.
pub(super) fn name<'a>(call: &'a Call<'_>) -> Result<&'a BucketName, Error> {
    call.route().bucket.as_ref().ok_or_else(|| Error::new(ErrorCode::InvalidBucketName))
}

/// The region of a bucket: the one in which it was made, whatever is configured now. Buckets of times when that was
/// not written down are in the one that is configured.
pub(super) fn region_of<'a>(record: &'a BucketRecord, config: &'a Config) -> &'a str {
    record.region.as_deref().unwrap_or(&config.region)
}

/// What clients are told of a region (D20). Where no endpoint is configured it is the one that the client has reached,
/// as PublishUrls are: clients connect to what they are told.
pub(crate) fn place(call: &Call<'_>, region: &str) -> RegionNames {
    let config = &call.state.config;
    let mut names = RegionNames::official(region);
    let asked = endpoint_of(call.raw, call.route());
    if let Some(outside) = config.public_endpoint.as_deref().or(config.domains.first().map(String::as_str)).or(asked) {
        outside.clone_into(&mut names.extranet_endpoint);
        outside.clone_into(&mut names.intranet_endpoint);
    }
    if let Some(inside) = &config.internal_endpoint {
        names.intranet_endpoint.clone_from(inside);
    }
    names
}
