//! Which query names select an operation, on which resource and with which method (HTTP API 0 "Operation selection",
//! 15). Names that select an operation that is not built are here too, so that they never run as another one (D22).

use super::Query;
use model::{ErrorCode, OperationKind};

/// What a request points at, before the query is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourceKind {
    Service,
    Bucket,
    Object,
}

impl ResourceKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Bucket => "Bucket",
            Self::Object => "Object",
        }
    }
}

/// The methods that mean something, and what they mean.
pub(super) type Methods = &'static [(&'static str, OperationKind)];

/// A query name that selects an operation, and on which resources it does.
pub(super) struct SubResource {
    pub(super) name: &'static str,
    service: Methods,
    bucket: Methods,
    object: Methods,
    is_companion: bool,
    absence: Option<Absence>,
}

/// How it shows that a configuration is not there which is not built, and therefore never set (HTTP API 15). Deleting
/// it succeeds in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// A request for it is answered 501: not built.
    NotImplemented,
    /// Whoever asks for it gets this error.
    Missing(ErrorCode),
    /// Whoever asks for it gets a document with one element.
    Document {
        /// The name of its root.
        root: &'static str,
        /// The name of the element.
        element: &'static str,
        /// What is in the element.
        text: &'static str,
    },
}

impl SubResource {
    /// What the name means on a kind of resource; empty where it is a plain parameter.
    fn on(&self, resource: ResourceKind) -> Methods {
        match resource {
            ResourceKind::Service => self.service,
            ResourceKind::Bucket => self.bucket,
            ResourceKind::Object => self.object,
        }
    }

    /// A name that also stands beside another one that selects: `style&styleName`, `wormExtend&wormId`.
    const fn companion(mut self) -> Self {
        self.is_companion = true;
        self
    }

    const fn on_service(mut self, methods: Methods) -> Self {
        self.service = methods;
        self
    }

    const fn on_bucket(mut self, methods: Methods) -> Self {
        self.bucket = methods;
        self
    }

    const fn on_object(mut self, methods: Methods) -> Self {
        self.object = methods;
        self
    }

    const fn missing(mut self, code: ErrorCode) -> Self {
        self.absence = Some(Absence::Missing(code));
        self
    }

    const fn shown_as(mut self, root: &'static str, element: &'static str, text: &'static str) -> Self {
        self.absence = Some(Absence::Document { root, element, text });
        self
    }
}

const fn named(name: &'static str) -> SubResource {
    SubResource { name, service: &[], bucket: &[], object: &[], is_companion: false, absence: None }
}

/// A configuration of a bucket, or of the service, that is not built.
const fn unbuilt(name: &'static str) -> SubResource {
    named(name).on_service(UNBUILT).on_bucket(UNBUILT)
}

/// A configuration that is not built, and of which it is known how its absence shows.
const fn never_set(name: &'static str) -> SubResource {
    SubResource { absence: Some(Absence::NotImplemented), ..unbuilt(name) }
}

/// Something of an object that is not built.
const fn unbuilt_of_object(name: &'static str) -> SubResource {
    named(name).on_object(UNBUILT)
}

macro_rules! methods {
    ($($method:ident $kind:ident),*) => { &[$((stringify!($method), OperationKind::$kind)),*] };
}

const UNBUILT: Methods = methods![
    GET GetSubResource, HEAD GetSubResource, PUT PutSubResource, POST PutSubResource, DELETE DeleteSubResource
];

const SERVICE: Methods = methods![GET ListBuckets];
const BUCKET: Methods = methods![GET ListObjects, HEAD HeadBucket, PUT PutBucket, POST PostObject, DELETE DeleteBucket];
const OBJECT: Methods = methods![GET GetObject, HEAD HeadObject, PUT PutObject, DELETE DeleteObject];

/// In the order in which they win when a GET or HEAD has several (HTTP API 0 rule 3).
const SUB_RESOURCES: &[SubResource] = &[
    named("live")
        .on_bucket(methods![GET ListLiveChannel, PUT PutLiveChannel, DELETE DeleteLiveChannel])
        .on_object(methods![GET GetLiveChannelInfo, PUT PutLiveChannel, DELETE DeleteLiveChannel]),
    named("vod")
        .on_bucket(methods![GET GetVodPlaylist, POST PostVodPlaylist])
        .on_object(methods![GET GetVodPlaylist, POST PostVodPlaylist]),
    named("acl")
        .on_bucket(methods![GET GetBucketAcl, PUT PutBucketAcl])
        .on_object(methods![GET GetObjectAcl, PUT PutObjectAcl]),
    named("uploads").on_bucket(methods![GET ListMultipartUploads]).on_object(methods![POST InitiateMultipartUpload]),
    named("uploadId").on_object(methods![
        GET ListParts, PUT UploadPart, POST CompleteMultipartUpload, DELETE AbortMultipartUpload
    ]),
    named("append").on_object(methods![POST AppendObject]),
    named("delete").on_bucket(methods![POST DeleteMultipleObjects]),
    named("objectMeta").on_object(methods![GET GetObjectMeta, HEAD GetObjectMeta]),
    named("symlink").on_object(methods![GET GetSymlink, PUT PutSymlink]),
    named("tagging")
        .on_bucket(methods![GET GetBucketTags, PUT PutBucketTags, DELETE DeleteBucketTags])
        .on_object(methods![GET GetObjectTagging, PUT PutObjectTagging, DELETE DeleteObjectTagging]),
    named("cors").on_bucket(methods![GET GetBucketCors, PUT PutBucketCors, DELETE DeleteBucketCors]),
    named("referer").on_bucket(methods![GET GetBucketReferer, PUT PutBucketReferer, DELETE DeleteBucketReferer]),
    named("lifecycle")
        .on_bucket(methods![GET GetBucketLifecycle, PUT PutBucketLifecycle, DELETE DeleteBucketLifecycle]),
    named("policy").on_bucket(methods![GET GetBucketPolicy, PUT PutBucketPolicy, DELETE DeleteBucketPolicy]),
    named("policyStatus").on_bucket(methods![GET GetBucketPolicyStatus]),
    named("logging").on_bucket(methods![GET GetBucketLogging, PUT PutBucketLogging, DELETE DeleteBucketLogging]),
    named("website").on_bucket(methods![GET GetBucketWebsite, PUT PutBucketWebsite, DELETE DeleteBucketWebsite]),
    named("location").on_bucket(methods![GET GetBucketLocation]),
    named("bucketInfo").on_bucket(methods![GET GetBucketInfo]),
    named("stat").on_bucket(methods![GET GetBucketStat]),
    named("versioning").on_bucket(methods![GET GetBucketVersioning, PUT PutBucketVersioning]),
    named("versions").on_bucket(methods![GET ListObjectVersions]),
    named("regions").on_service(methods![GET DescribeRegions]),
    // Not built (HTTP API 15).
    named("restore").on_object(methods![POST RestoreObject]),
    unbuilt_of_object("select"),
    unbuilt_of_object("seal"),
    unbuilt_of_object("x-oss-process"),
    unbuilt_of_object("x-oss-async-process"),
    never_set("encryption").missing(ErrorCode::NoSuchServerSideEncryptionRule),
    never_set("requestPayment").shown_as("RequestPaymentConfiguration", "Payer", "BucketOwner"),
    never_set("worm").missing(ErrorCode::NoSuchWORMConfiguration),
    never_set("wormId").companion(),
    never_set("wormExtend"),
    never_set("inventory").missing(ErrorCode::NoSuchInventory),
    never_set("inventoryId").companion(),
    never_set("replication").missing(ErrorCode::NoSuchReplicationConfiguration),
    never_set("replicationLocation"),
    never_set("replicationProgress"),
    never_set("rtc"),
    never_set("transferAcceleration").missing(ErrorCode::NoSuchTransferAccelerationConfiguration),
    never_set("accessmonitor"),
    never_set("resourceGroup").shown_as("BucketResourceGroupConfiguration", "ResourceGroupId", ""),
    never_set("style"),
    never_set("styleName").companion(),
    never_set("httpsConfig"),
    never_set("archiveDirectRead"),
    never_set("bucketArchiveDirectRead"),
    never_set("redundancyTransition"),
    never_set("metaQuery"),
    never_set("accessPoint"),
    never_set("accessPointPolicy"),
    never_set("accessPointForObjectProcess"),
    never_set("publicAccessBlock").shown_as("PublicAccessBlockConfiguration", "BlockPublicAccess", "false").companion(),
    never_set("asyncFetch"),
    never_set("qos"),
    never_set("qosInfo"),
    never_set("requesterQosInfo"),
    never_set("resourcePool"),
    never_set("resourcePoolInfo").companion(),
    never_set("cname"),
    never_set("userDefinedLogFieldsConfig"),
    never_set("processConfiguration"),
    never_set("responseHeader"),
    // Not built, and not in HTTP API 15: what else the SDKs know (D22).
    unbuilt_of_object("legalHold"),
    unbuilt_of_object("retention"),
    unbuilt_of_object("cleanRestoredObject"),
    unbuilt_of_object("x-oss-delete"),
    unbuilt_of_object("x-oss-dir"),
    unbuilt_of_object("x-oss-rename"),
    unbuilt("accessPointConfigForObjectProcess"),
    unbuilt("accessPointPolicyForObjectProcess"),
    unbuilt("agenticBucket"),
    unbuilt("bucketSpace"),
    unbuilt("cloudboxes"),
    unbuilt("dataPipeline"),
    unbuilt("deleteVectorIndex"),
    unbuilt("deleteVectors"),
    unbuilt("getVectorIndex"),
    unbuilt("getVectors"),
    unbuilt("listVectorIndexes"),
    unbuilt("listVectors"),
    unbuilt("metadataConfiguration"),
    unbuilt("metadataInventoryTable"),
    unbuilt("metadataJournalTable"),
    unbuilt("objectWorm"),
    unbuilt("overwriteConfig"),
    unbuilt("putVectorIndex"),
    unbuilt("putVectorIndexFusion"),
    unbuilt("putVectors"),
    unbuilt("queryVectors"),
    unbuilt("queryVectorsFusion"),
    unbuilt("quota"),
    unbuilt("regionList"),
    unbuilt("resourcePoolBuckets").companion(),
    unbuilt("udf"),
    unbuilt("udfApplication"),
    unbuilt("udfApplicationLog"),
    unbuilt("udfImage"),
    unbuilt("udfImageDesc"),
    unbuilt("x-oss-write-get-object-response"),
];

/// What is said of a configuration that is never set; `None` where asking for it and deleting it are refused
/// (HTTP API 15).
pub fn absence(name: &str) -> Option<Absence> {
    SUB_RESOURCES.iter().find(|sub| sub.name == name)?.absence
}

/// The name that selects the operation, and what the methods then mean; `None` for the resource itself.
pub(super) fn selected(query: &Query, resource: ResourceKind) -> (Option<&'static str>, Methods) {
    let by_name = SUB_RESOURCES.iter().find(|sub| !sub.on(resource).is_empty() && query.has(sub.name));
    match (by_name, resource) {
        (Some(sub), _) => (Some(sub.name), sub.on(resource)),
        (None, ResourceKind::Service) => (None, SERVICE),
        (None, ResourceKind::Bucket) => (None, BUCKET),
        (None, ResourceKind::Object) => (None, OBJECT),
    }
}

/// The names in a query that select an operation on some resource, companions of others left out.
pub(super) fn selecting(query: &Query) -> Vec<&'static str> {
    let mut names: Vec<_> = SUB_RESOURCES.iter().filter(|sub| query.has(sub.name)).collect();
    if names.len() > 1 {
        names.retain(|sub| !sub.is_companion);
    }
    names.iter().map(|sub| sub.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once_and_means_something() {
        for (index, sub) in SUB_RESOURCES.iter().enumerate() {
            assert!(SUB_RESOURCES.iter().take(index).all(|earlier| earlier.name != sub.name), "{}", sub.name);
            assert!([sub.service, sub.bucket, sub.object].iter().any(|methods| !methods.is_empty()), "{}", sub.name);
        }
        for sub in SUB_RESOURCES.iter().filter(|sub| sub.absence.is_some()) {
            assert!(sub.bucket.contains(&("DELETE", OperationKind::DeleteSubResource)), "{}", sub.name);
        }
    }

    /// The suite that asks the real server about every name takes them from this list.
    #[test]
    fn every_name_is_in_the_list_that_is_walked() {
        let list = include_str!("../../../../conformance/sdk-names.txt");
        for sub in SUB_RESOURCES {
            assert!(list.lines().any(|line| line.strip_prefix("query ") == Some(sub.name)), "{}", sub.name);
        }
    }

    #[test]
    fn companions_do_not_select_twice() {
        for (raw, names) in [
            ("acl&tagging=x", &["acl", "tagging"][..]),
            ("style&styleName=a", &["style"]),
            ("styleName=a", &["styleName"]),
            ("wormExtend&wormId=1", &["wormExtend"]),
            ("accessPoint&x-oss-access-point-name=a&publicAccessBlock", &["accessPoint"]),
            ("partNumber=1&uploadId=U", &["uploadId"]),
            ("prefix=a&ACL", &[]),
        ] {
            assert_eq!(selecting(&Query::parse(raw)), names, "{raw}");
        }
    }
}
