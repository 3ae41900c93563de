//! Host, path, query and method to operation (HTTP API 0 "Operation selection", 1.2, 1.3, 1.5; LiveChannel 0.3).

use super::addressing::{Addressing, HostMeaning, Style, bare_host};
use super::sub_resource::{self, ResourceKind};
use super::{Query, RawRequest, row};
use model::OperationKind;
use model::Resource;
use model::name::{BucketName, ObjectKey};
use model::percent::percent_decode;
use model::{Error, ErrorCode, Result};

/// What a request asks for, before anybody has checked who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The operation.
    pub kind: OperationKind,
    /// What it is about. For `live` and `vod` this is bucket and channel, or the bucket alone while the name is illegal:
    /// channel names are judged after authorisation (LiveChannel 0.5).
    pub resource: Resource,
    /// How the bucket was named.
    pub style: Style,
    /// The parameters.
    pub query: Query,
    /// The bucket, absent for the service.
    pub bucket: Option<BucketName>,
    /// The path below the bucket, decoded once: the key as signatures see it. Empty for a bucket and the service.
    pub path_below_bucket: Vec<u8>,
    /// The path was `/bucket` without a final slash, which OpenDAL signs as it stands (OSS auth 3.2).
    pub bucket_without_slash: bool,
    /// For `live` and `vod`: the decoded path below the bucket, not judged yet.
    pub channel_path: Option<Vec<u8>>,
    /// The query name that selected the operation.
    pub sub_resource: Option<&'static str>,
}

/// Finds the operation that a request asks for.
///
/// # Errors
/// `InvalidBucketName`, `InvalidObjectName`, `MethodNotAllowed`, `NonStandardHostForbidden`,
/// `SecondLevelDomainForbidden`.
pub fn route(raw: &RawRequest, addressing: &Addressing) -> Result<Route> {
    let host = bare_host(&raw.host);
    let location = match addressing.meaning(&host)? {
        HostMeaning::Custom(bucket) => Location::below(bucket.clone(), &raw.path, Style::CustomDomain),
        HostMeaning::Bucket { name, .. } => Location::below(BucketName::parse(name)?, &raw.path, Style::VirtualHosted),
        HostMeaning::Service if is_root(&raw.path) => Location::service(Style::VirtualHosted),
        HostMeaning::Service => Location::in_path(&raw.path)?,
        HostMeaning::Path { base_domain } => {
            if base_domain && addressing.force_virtual_hosted && !is_root(&raw.path) {
                return Err(Error::new(ErrorCode::SecondLevelDomainForbidden));
            }
            Location::in_path(&raw.path)?
        }
    };
    select(raw, location)
}

/// The path-style reading of a request whose host names a bucket below an official domain and whose path begins with
/// that bucket again: ali-oss sends this with an IP endpoint and `sldEnable`. To be tried once when the signature does
/// not fit the usual reading (HTTP API 1.5).
pub fn route_as_path_style(raw: &RawRequest, addressing: &Addressing) -> Option<Route> {
    let host = bare_host(&raw.host);
    let Ok(HostMeaning::Bucket { name, built_in: true }) = addressing.meaning(&host) else { return None };
    let location = Location::in_path(&raw.path).ok()?;
    if location.bucket.as_ref().map(BucketName::as_str) != Some(name) {
        return None;
    }
    select(raw, location).ok()
}

fn is_root(path: &str) -> bool {
    matches!(path, "" | "/" | "*")
}

/// Where a request points, before the query is looked at.
struct Location {
    style: Style,
    bucket: Option<BucketName>,
    below: Vec<u8>,
    without_slash: bool,
}

impl Location {
    fn service(style: Style) -> Self {
        Self { style, bucket: None, below: Vec::new(), without_slash: false }
    }

    fn below(bucket: BucketName, path: &str, style: Style) -> Self {
        let below = if is_root(path) { Vec::new() } else { percent_decode(path.strip_prefix('/').unwrap_or(path)) };
        Self { style, bucket: Some(bucket), below, without_slash: false }
    }

    fn in_path(path: &str) -> Result<Self> {
        if is_root(path) {
            return Ok(Self::service(Style::Path));
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, below) = match path.split_once('/') {
            Some((bucket, below)) => (bucket, Some(below)),
            None => (path, None),
        };
        Ok(Self {
            style: Style::Path,
            bucket: Some(BucketName::parse(bucket)?),
            below: percent_decode(below.unwrap_or_default()),
            without_slash: below.is_none(),
        })
    }

    fn kind(&self) -> ResourceKind {
        match (&self.bucket, self.below.is_empty()) {
            (None, _) => ResourceKind::Service,
            (Some(_), true) => ResourceKind::Bucket,
            (Some(_), false) => ResourceKind::Object,
        }
    }
}

fn select(raw: &RawRequest, location: Location) -> Result<Route> {
    let query = Query::parse(&raw.query);
    let (kind, sub_resource) = operation(raw, &location, &query)?;
    let channel_path = matches!(sub_resource, Some("live" | "vod")).then(|| location.below.clone());
    let resource = match (&location.bucket, &channel_path) {
        (None, _) => Resource::Service,
        (Some(bucket), Some(path)) => channel_resource(bucket, kind, path),
        (Some(bucket), None) if location.below.is_empty() => Resource::Bucket(bucket.clone()),
        (Some(bucket), None) => match ObjectKey::parse(&location.below) {
            Ok(key) => Resource::Object(bucket.clone(), key),
            // A preflight is about the bucket's rules, whatever the path.
            Err(_) if kind == OperationKind::Preflight => Resource::Bucket(bucket.clone()),
            Err(error) => return Err(error),
        },
    };
    Ok(Route {
        kind,
        resource,
        style: location.style,
        query,
        bucket: location.bucket,
        path_below_bucket: location.below,
        bucket_without_slash: location.without_slash,
        channel_path,
        sub_resource,
    })
}

fn operation(raw: &RawRequest, location: &Location, query: &Query) -> Result<(OperationKind, Option<&'static str>)> {
    let resource = location.kind();
    let method = raw.method.as_str();
    if method == "OPTIONS" {
        return Ok((OperationKind::Preflight, None));
    }
    if resource == ResourceKind::Object
        && let Some(process) = query.first("x-oss-process")
    {
        let is_sign = super::is_sign_process(process);
        let selected = Some("x-oss-process");
        match (method, super::PictureProcess::of(process)) {
            ("GET" | "HEAD", Some(super::PictureProcess::Snapshot)) => {
                return Ok((OperationKind::GetVideoSnapshot, selected));
            }
            ("GET" | "HEAD", Some(super::PictureProcess::Still)) => {
                return Ok((OperationKind::GetLiveStill, selected));
            }
            ("POST", Some(super::PictureProcess::Storyboard)) => {
                return Ok((OperationKind::PostStoryboard, selected));
            }
            _ => {}
        }
        match method {
            "GET" | "HEAD" if is_sign => return Ok((OperationKind::GetSignedPlaylist, Some("x-oss-process"))),
            "GET" | "HEAD" => return Ok((OperationKind::ProcessObject, Some("x-oss-process"))),
            // There is nothing to sign in what is stored or deleted (OSS auth 9.2).
            "PUT" | "POST" | "DELETE" if is_sign => {
                let message = "The x-oss-process hls/sign is for GET and HEAD.";
                return Err(Error::argument("x-oss-process", super::query::shown(process), message));
            }
            _ => {}
        }
    }
    let (selected, methods) = sub_resource::selected(query, resource);
    let Some((_, kind)) = methods.iter().find(|(name, _)| *name == method) else {
        row::check_one_selects(method, query)?;
        let allow: Vec<_> = methods.iter().map(|(name, _)| *name).collect();
        return Err(Error::new(ErrorCode::MethodNotAllowed)
            .with("Method", super::query::shown(method))
            .with("ResourceType", resource.as_str())
            .header("Allow", allow.join(", ")));
    };
    let is_copy = raw.header("x-oss-copy-source").is_some();
    let kind = match kind {
        OperationKind::PutObject if is_copy => OperationKind::CopyObject,
        OperationKind::UploadPart if is_copy => OperationKind::UploadPartCopy,
        OperationKind::ListObjects if query.has("list-type") => OperationKind::ListObjectsV2,
        OperationKind::PutLiveChannel if query.has("status") => OperationKind::PutLiveChannelStatus,
        // `comp` asks about one channel, so that without a name it is the name that is missing (LiveChannel 0.3).
        OperationKind::GetLiveChannelInfo | OperationKind::ListLiveChannel if query.has("comp") => {
            match query.first("comp") {
                Some("stat") => OperationKind::GetLiveChannelStat,
                Some("history") => OperationKind::GetLiveChannelHistory,
                _ => OperationKind::GetLiveChannelInfo,
            }
        }
        // The policy of callbacks is another document, which is not built (HTTP API 15).
        OperationKind::GetBucketPolicy if query.has("comp") => {
            return Ok((OperationKind::GetSubResource, Some("comp")));
        }
        other => *other,
    };
    Ok((kind, selected))
}

/// Bucket and channel as policies name them (access control 2). The playlist of PostVodPlaylist is not part of it.
fn channel_resource(bucket: &BucketName, kind: OperationKind, path: &[u8]) -> Resource {
    let channel = match kind {
        OperationKind::PostVodPlaylist => path.rsplitn(2, |byte| *byte == b'/').last().unwrap_or(path),
        _ => path,
    };
    match ObjectKey::parse(channel) {
        Ok(key) => Resource::Object(bucket.clone(), key),
        Err(_) => Resource::Bucket(bucket.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(method: &str, host: &str, target: &str) -> RawRequest {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        RawRequest {
            method: method.into(),
            host: host.into(),
            path: path.into(),
            query: query.into(),
            ..RawRequest::default()
        }
    }

    fn addressing() -> Addressing {
        Addressing {
            base_domains: vec!["oss.example.com".into()],
            cnames: vec![("live.example.net".into(), BucketName::parse("examplebucket").unwrap())],
            ..Addressing::default()
        }
    }

    fn find(method: &str, host: &str, target: &str) -> Result<Route> {
        route(&request(method, host, target), &addressing())
    }

    fn check(method: &str, target: &str, kind: OperationKind, resource: &str) {
        let route = find(method, "127.0.0.1:9000", target).unwrap();
        let shown = match &route.resource {
            Resource::Service => "".to_owned(),
            Resource::Bucket(bucket) => bucket.to_string(),
            Resource::Object(bucket, key) => format!("{bucket}/{key}"),
        };
        assert_eq!((route.kind, shown.as_str()), (kind, resource), "{method} {target}");
    }

    #[test]
    fn every_row_of_the_index_is_found() {
        use OperationKind::*;
        check("GET", "/", ListBuckets, "");
        check("GET", "/?regions", DescribeRegions, "");
        check("PUT", "/bkt", PutBucket, "bkt");
        check("HEAD", "/bkt/", HeadBucket, "bkt");
        check("DELETE", "/bkt/", DeleteBucket, "bkt");
        check("GET", "/bkt/?bucketInfo", GetBucketInfo, "bkt");
        check("GET", "/bkt/?location=", GetBucketLocation, "bkt");
        check("GET", "/bkt?stat", GetBucketStat, "bkt");
        check("GET", "/bkt?prefix=a", ListObjects, "bkt");
        check("GET", "/bkt?list-type=2", ListObjectsV2, "bkt");
        check("GET", "/bkt?versions", ListObjectVersions, "bkt");
        check("PUT", "/bkt?acl", PutBucketAcl, "bkt");
        check("DELETE", "/bkt?cors", DeleteBucketCors, "bkt");
        check("DELETE", "/bkt?referer", DeleteBucketReferer, "bkt");
        check("PUT", "/bkt?lifecycle", PutBucketLifecycle, "bkt");
        check("GET", "/bkt?policy", GetBucketPolicy, "bkt");
        check("GET", "/bkt?policyStatus", GetBucketPolicyStatus, "bkt");
        check("PUT", "/bkt?logging", PutBucketLogging, "bkt");
        check("GET", "/bkt?website", GetBucketWebsite, "bkt");
        check("GET", "/bkt?tagging", GetBucketTags, "bkt");
        check("PUT", "/bkt?versioning", PutBucketVersioning, "bkt");
        check("POST", "/bkt?delete", DeleteMultipleObjects, "bkt");
        check("POST", "/bkt", PostObject, "bkt");
        check("GET", "/bkt?uploads", ListMultipartUploads, "bkt");
        check("PUT", "/bkt/k", PutObject, "bkt/k");
        check("GET", "/bkt/k", GetObject, "bkt/k");
        check("HEAD", "/bkt/k", HeadObject, "bkt/k");
        check("HEAD", "/bkt/k?objectMeta", GetObjectMeta, "bkt/k");
        check("DELETE", "/bkt/k", DeleteObject, "bkt/k");
        check("POST", "/bkt/k?append&position=0", AppendObject, "bkt/k");
        check("GET", "/bkt/k?acl", GetObjectAcl, "bkt/k");
        check("PUT", "/bkt/k?symlink", PutSymlink, "bkt/k");
        check("DELETE", "/bkt/k?tagging", DeleteObjectTagging, "bkt/k");
        check("POST", "/bkt/k?uploads", InitiateMultipartUpload, "bkt/k");
        check("PUT", "/bkt/k?partNumber=1&uploadId=U", UploadPart, "bkt/k");
        check("POST", "/bkt/k?uploadId=U", CompleteMultipartUpload, "bkt/k");
        check("DELETE", "/bkt/k?uploadId=U", AbortMultipartUpload, "bkt/k");
        check("GET", "/bkt/k?uploadId=U", ListParts, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=hls%2Fsign", GetSignedPlaylist, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=hls/sign,a_b", GetSignedPlaylist, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=hls%252Fsign", ProcessObject, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=image/resize", ProcessObject, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=video/snapshot,t_1", GetVideoSnapshot, "bkt/k");
        check("HEAD", "/bkt/k?x-oss-process=video%2Fsnapshot", GetVideoSnapshot, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=video/snapshot,t_1|sys/saveas", ProcessObject, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=video/snapshots", ProcessObject, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=live/still,w_80", GetLiveStill, "bkt/k");
        check("GET", "/bkt/k?x-oss-process=video/storyboard", ProcessObject, "bkt/k");
        check("POST", "/bkt/k?x-oss-process=video/storyboard", PostStoryboard, "bkt/k");
        check("POST", "/bkt/k?x-oss-process=video/snapshot", PutSubResource, "bkt/k");
        check("POST", "/bkt/k?x-oss-process", PutSubResource, "bkt/k");
        check("POST", "/bkt/k?restore", RestoreObject, "bkt/k");
        check("GET", "/bkt?encryption", GetSubResource, "bkt");
        check("PUT", "/bkt?worm", PutSubResource, "bkt");
        check("HEAD", "/bkt?worm", GetSubResource, "bkt");
        check("PUT", "/bkt/k?legalHold", PutSubResource, "bkt/k");
        check("GET", "/bkt/k?retention", GetSubResource, "bkt/k");
        check("DELETE", "/bkt/k?retention", DeleteSubResource, "bkt/k");
        check("PUT", "/bkt/k?x-oss-process=image/resize", PutSubResource, "bkt/k");
        check("DELETE", "/bkt?overwriteConfig", DeleteSubResource, "bkt");
        check("GET", "/bkt?policy&comp=callback", GetSubResource, "bkt");
        check("DELETE", "/bkt?replication", DeleteSubResource, "bkt");
        check("OPTIONS", "/", Preflight, "");
        check("OPTIONS", "/bkt//k?acl", Preflight, "bkt");
        check("PUT", "/bkt/ch?live", PutLiveChannel, "bkt/ch");
        check("PUT", "/bkt/ch?live=&status=enabled", PutLiveChannelStatus, "bkt/ch");
        check("GET", "/bkt/ch?live=x", GetLiveChannelInfo, "bkt/ch");
        check("GET", "/bkt/ch?comp=stat&live", GetLiveChannelStat, "bkt/ch");
        check("GET", "/bkt/ch?live&comp=history", GetLiveChannelHistory, "bkt/ch");
        check("GET", "/bkt/?live&prefix=a", ListLiveChannel, "bkt");
        check("DELETE", "/bkt/ch?live", DeleteLiveChannel, "bkt/ch");
        check("POST", "/bkt/lc%2Ftest.m3u8?vod&startTime=1&endTime=2", PostVodPlaylist, "bkt/lc");
        check("GET", "/bkt/ch?vod", GetVodPlaylist, "bkt/ch");
    }

    #[test]
    fn names_count_only_where_they_mean_something() {
        use OperationKind::*;
        check("GET", "/bkt/k?location=x", GetObject, "bkt/k");
        check("GET", "/bkt/k?ACL", GetObject, "bkt/k");
        check("GET", "/?acl", ListBuckets, "");
        check("GET", "/bkt/k?tagging&acl", GetObjectAcl, "bkt/k");
        check("PUT", "/bkt/k?partNumber=1", PutObject, "bkt/k");
        check("GET", "/bkt/?live&comp=stat", GetLiveChannelStat, "bkt");
        check("PUT", "/bkt/?live", PutLiveChannel, "bkt");
    }

    #[test]
    fn copies_are_told_by_their_header() {
        for (target, kind) in
            [("/bkt/k", OperationKind::CopyObject), ("/bkt/k?partNumber=1&uploadId=U", OperationKind::UploadPartCopy)]
        {
            let mut raw = request("PUT", "localhost", target);
            raw.headers.push(("x-oss-copy-source".into(), b"/a/b".to_vec()));
            assert_eq!(route(&raw, &addressing()).unwrap().kind, kind);
        }
    }

    #[test]
    fn styles_name_the_same_key() {
        for (host, target, style) in [
            ("examplebucket.oss.example.com:80", "/live%2Fch1/1.ts", Style::VirtualHosted),
            ("live.example.net", "/live/ch1%2F1.ts", Style::CustomDomain),
            ("127.0.0.1", "/examplebucket/live%2Fch1%2F1.ts", Style::Path),
            ("oss-server:9000", "/examplebucket/live/ch1/1.ts", Style::Path),
            ("examplebucket.oss-cn-hangzhou.aliyuncs.com", "/live/ch1/1.ts", Style::VirtualHosted),
        ] {
            let route = find("GET", host, target).unwrap();
            assert_eq!(route.path_below_bucket, b"live/ch1/1.ts", "{host}{target}");
            assert_eq!(route.bucket.as_ref().map(BucketName::as_str), Some("examplebucket"));
            assert_eq!(route.style, style);
        }
    }

    #[test]
    fn refusals_say_why() {
        let strict = Addressing { force_virtual_hosted: true, ..addressing() };
        assert_eq!(
            route(&request("GET", "localhost", "/bkt"), &strict).unwrap_err().code,
            ErrorCode::SecondLevelDomainForbidden
        );
        assert!(route(&request("GET", "127.0.0.1", "/bkt"), &strict).is_ok());
        for (method, host, target, code) in [
            ("GET", "localhost", "/favicon.ico", ErrorCode::InvalidBucketName),
            ("GET", "Bad_name.oss.example.com", "/", ErrorCode::InvalidBucketName),
            ("GET", "bkt.localhost", "//a", ErrorCode::InvalidObjectName),
            ("GET", "bkt.localhost", "/%ff", ErrorCode::InvalidObjectName),
            ("PATCH", "localhost", "/bkt/k", ErrorCode::MethodNotAllowed),
            ("POST", "localhost", "/bkt/ch?live", ErrorCode::MethodNotAllowed),
            ("POST", "localhost", "/bkt/k", ErrorCode::MethodNotAllowed),
            ("PUT", "localhost", "/bkt/k?x-oss-process=hls/sign", ErrorCode::InvalidArgument),
            ("POST", "localhost", "/bkt/k?x-oss-process=hls/sign,a_b", ErrorCode::InvalidArgument),
            ("DELETE", "localhost", "/bkt/k?x-oss-process=hls/sign", ErrorCode::InvalidArgument),
            ("DELETE", "localhost", "/bkt/k?acl", ErrorCode::MethodNotAllowed),
            ("DELETE", "localhost", "/bkt/k?acl&tagging", ErrorCode::InvalidArgument),
        ] {
            assert_eq!(find(method, host, target).unwrap_err().code, code, "{method} {target}");
        }
        let error = find("DELETE", "localhost", "/").unwrap_err();
        assert_eq!(error.headers, [("Allow", "GET".to_owned())]);
        assert_eq!(error.elements, [("Method", "DELETE".to_owned()), ("ResourceType", "Service".to_owned())]);
    }

    #[test]
    fn illegal_channel_names_wait_for_authorisation() {
        let route = find("GET", "localhost", "/bkt/%ff%2Fx?live").unwrap();
        assert_eq!(route.channel_path.as_deref(), Some(&b"\xff/x"[..]));
        assert!(matches!(route.resource, Resource::Bucket(_)));
    }

    #[test]
    fn ali_oss_with_sld_has_a_second_reading() {
        let raw = request("GET", "bkt.oss-cn-hangzhou.aliyuncs.com", "/bkt/a.ts");
        assert_eq!(route(&raw, &addressing()).unwrap().path_below_bucket, b"bkt/a.ts");
        let second = route_as_path_style(&raw, &addressing()).unwrap();
        assert_eq!((second.style, second.path_below_bucket.as_slice()), (Style::Path, &b"a.ts"[..]));
        assert!(route_as_path_style(&request("GET", "bkt.oss.example.com", "/bkt/a"), &addressing()).is_none());
        assert!(route_as_path_style(&request("GET", "bkt.oss.aliyuncs.com", "/other/a"), &addressing()).is_none());
    }

    #[test]
    fn a_missing_final_slash_is_remembered() {
        assert!(find("GET", "localhost", "/bkt").unwrap().bucket_without_slash);
        assert!(!find("GET", "localhost", "/bkt/").unwrap().bucket_without_slash);
        assert!(!find("GET", "bkt.localhost", "/").unwrap().bucket_without_slash);
    }

    proptest! {
        #[test]
        fn any_request_has_a_route_or_an_error(
            method in "GET|PUT|POST|HEAD|DELETE|OPTIONS|[A-Z]{0,5}",
            host in "\\PC{0,20}|bkt\\.localhost|127\\.0\\.0\\.1",
            path in "\\PC{0,30}|/bkt/\\PC{0,10}",
            query in "\\PC{0,30}|(live|vod|acl|comp=stat|uploadId)&?\\PC{0,10}",
        ) {
            let raw = RawRequest { method, host, path, query, ..RawRequest::default() };
            let _ = route_as_path_style(&raw, &addressing());
            if let Ok(route) = route(&raw, &addressing()) {
                prop_assert_eq!(route.bucket.is_none(), matches!(route.resource, Resource::Service));
            }
        }
    }
}
