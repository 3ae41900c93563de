//! Buckets on the wire (HTTP API 7.1, 7.2, 8.1 to 8.6, 8.10).

use model::Error;
use oss::request::{ListBucketsParameters, check_put_bucket_headers, endpoint_of, parse_bucket_acl, parse_regions};
use oss::xml::bucket::{BucketInfo, BucketStat, CreateBucketConfiguration, render_acl, render_location};
use oss::xml::service::{ListAllMyBucketsResult, ListedBucket, RegionNames, render_regions};
use store::meta::BucketStatistics;

use super::Answer;
use super::Asked;
use crate::objects::BodySource;
use crate::ops::Call;
use crate::ops::bucket::{self, ListBuckets, NewBucket};

/// ListBuckets (HTTP API 7.1).
pub(super) async fn list(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let sent = ListBucketsParameters::parse(asked.query())?;
    let found = bucket::list(
        call,
        &ListBuckets {
            prefix: sent.prefix.clone(),
            after: sent.marker.clone(),
            limit: sent.max_keys as usize,
            tag: sent.tag,
        },
    )
    .await?;
    let buckets: Vec<_> = found
        .buckets
        .into_iter()
        .map(|bucket| ListedBucket {
            created_ms: bucket.record.created_ms,
            storage_class: bucket.record.storage_class,
            place: place(asked, &bucket.region),
            name: bucket.record.name,
        })
        .collect();
    let result = ListAllMyBucketsResult {
        prefix: sent.prefix,
        marker: sent.marker,
        max_keys: sent.max_keys,
        next_marker: buckets.last().filter(|_| found.is_truncated).map(|bucket| bucket.name.clone()),
        owner: found.owner,
        buckets,
    };
    Ok(Answer::xml(result.render()))
}

/// DescribeRegions (HTTP API 7.2).
pub(super) fn regions(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let region = bucket::region(call);
    parse_regions(asked.query(), region)?;
    Ok(Answer::xml(render_regions(&place(asked, region))))
}

/// PutBucket (HTTP API 8.1).
pub(super) async fn put(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    check_put_bucket_headers(asked.raw)?;
    let acl = parse_bucket_acl(asked.raw)?;
    let sent = CreateBucketConfiguration::parse(&asked.xml(body).await?, bucket::region(call))?;
    bucket::put(call, &NewBucket { acl, storage_class: sent.storage_class, redundancy: sent.redundancy }).await?;
    stored(asked)
}

/// PutBucketAcl (HTTP API 8.10).
pub(super) async fn put_acl(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    bucket::put_acl(call, parse_bucket_acl(asked.raw)?).await?;
    stored(asked)
}

fn stored(asked: &Asked<'_>) -> Result<Answer, Error> {
    Ok(Answer::empty(200).header("location", format!("/{}", asked.bucket()?)))
}

/// GetBucketAcl (HTTP API 8.10).
pub(super) fn acl(call: &Call<'_>) -> Result<Answer, Error> {
    let record = bucket::get(call)?;
    Ok(Answer::xml(render_acl(&record.owner, record.acl.as_str())))
}

/// HeadBucket (HTTP API 8.2).
pub(super) fn head(call: &Call<'_>) -> Result<Answer, Error> {
    bucket::get(call)?;
    Ok(Answer::empty(200).header("x-oss-bucket-region", bucket::region(call)))
}

/// DeleteBucket (HTTP API 8.3).
pub(super) async fn delete(call: &Call<'_>) -> Result<Answer, Error> {
    bucket::delete(call).await?;
    Ok(Answer::empty(204))
}

/// GetBucketInfo (HTTP API 8.4).
pub(super) fn info(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let record = bucket::get(call)?;
    let info = BucketInfo {
        name: record.name.clone(),
        created_ms: record.created_ms,
        owner: record.owner.clone(),
        acl: record.acl,
        storage_class: record.storage_class,
        redundancy: record.redundancy,
        logging: record.logging.clone(),
    };
    Ok(Answer::xml(info.render(&place(asked, bucket::region(call)))))
}

/// GetBucketLocation (HTTP API 8.5).
pub(super) fn location(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    bucket::get(call)?;
    Ok(Answer::xml(render_location(&place(asked, bucket::region(call)))))
}

/// GetBucketStat (HTTP API 8.6).
pub(super) async fn stat(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let statistics = bucket::statistics(call).await?;
    let mut stat = BucketStat {
        uploads: statistics.uploads,
        parts: statistics.parts,
        channels: statistics.channels,
        counted_s: asked.now_ms.div_euclid(1000),
        ..BucketStat::default()
    };
    for class in BucketStatistics::CLASSES {
        let counted = statistics.class(class);
        let shown = stat.class_mut(class);
        (shown.objects, shown.bytes) = (counted.objects, counted.bytes);
    }
    Ok(Answer::xml(stat.render()))
}

/// The region and endpoint that clients are shown (D20). Where no endpoint is configured it is the one that the client has reached,
/// as PublishUrls are: clients connect to what they are shown.
fn place(asked: &Asked<'_>, region: &str) -> RegionNames {
    let config = &asked.config;
    let mut names = RegionNames::official(region);
    let reached = endpoint_of(asked.raw, asked.route);
    if let Some(outside) = config.public_endpoint.as_deref().or(config.domains.first().map(String::as_str)).or(reached)
    {
        outside.clone_into(&mut names.extranet_endpoint);
        outside.clone_into(&mut names.intranet_endpoint);
    }
    if let Some(inside) = &config.internal_endpoint {
        names.intranet_endpoint.clone_from(inside);
    }
    names
}
