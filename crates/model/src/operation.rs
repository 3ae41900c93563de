//! The operations of the API, what each is called in policies, and who may ask for it (HTTP API 0, LiveChannel 0.3,
//! access control 2).

use std::fmt;

use crate::name::{BucketName, ObjectKey};

use crate::row::{
    Body, COPY, COPY_PART, Hotlink, KIB, KeysIn, LogSize, Metering, On, PLAIN, Row, UPLOAD, UPLOAD_IN_PARTS,
};

/// The class of an operation, which decides what can open it (access control 2, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Everybody, without any check.
    Public,
    /// Class C: the owner, or whom a policy allows. No ACL opens it.
    Control,
    /// Class D: also whoever the ACL lets read.
    Read,
    /// Class D: also whoever the ACL lets write.
    Write,
    /// Class D, but no ACL opens it: only the owner, or whom a policy allows.
    OwnerOnly,
}

macro_rules! operations {
    ($($(#[$meta:meta])* $name:ident $action:literal $permission:ident { $($column:ident: $value:expr),* $(,)? };)*) => {
        /// What a request asks for: one variant per operation of the API, also those that are not built yet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum OperationKind { $($(#[$meta])* $name,)* }

        impl OperationKind {
            /// Every operation there is.
            pub const ALL: &'static [OperationKind] = &[$(OperationKind::$name,)*];

            /// The name of the operation, for logs, metrics and access records.
            pub fn name(self) -> &'static str {
                match self { $(OperationKind::$name => stringify!($name),)* }
            }

            /// The action that policies name, for example `oss:PutObject`.
            pub fn action(self) -> &'static str {
                match self { $(OperationKind::$name => concat!("oss:", $action),)* }
            }

            /// Who may ask for it.
            pub fn permission(self) -> Permission {
                match self { $(OperationKind::$name => Permission::$permission,)* }
            }

            /// What belongs to it beside its method and its resource.
            pub const fn row(self) -> &'static Row {
                match self { $(OperationKind::$name => const { &Row { $($column: $value),* } },)* }
            }
        }
    };
}

operations! {
    /// GET service (HTTP API 7.1).
    ListBuckets "ListBuckets" Control {
        query: &["prefix", "marker", "max-keys", "tag-key", "tag-value", "tagging"], headers: PLAIN,
        on: On::Service, body: Body::Ignored, keys: KeysIn::Path, is_listing: true, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "ListBuckets", log_size: LogSize::Unknown,
    };
    /// GET service `?regions` (7.2).
    DescribeRegions "DescribeRegions" Control {
        query: &["regions"], headers: PLAIN,
        on: On::Service, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DescribeRegions", log_size: LogSize::Unknown,
    };

    /// PUT bucket (8.1).
    PutBucket "PutBucket" Control {
        query: &[], headers: &["x-oss-acl", "x-oss-bucket-tagging", "x-oss-hns-status"],
        on: On::Bucket, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucket", log_size: LogSize::Unknown,
    };
    /// HEAD bucket (8.2).
    HeadBucket "GetBucketInfo" Control {
        query: &[], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "HeadBucket", log_size: LogSize::Unknown,
    };
    /// DELETE bucket (8.3).
    DeleteBucket "DeleteBucket" Control {
        query: &[], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucket", log_size: LogSize::Unknown,
    };
    /// GET bucket `?bucketInfo` (8.4).
    GetBucketInfo "GetBucketInfo" Control {
        query: &["bucketInfo"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketInfo", log_size: LogSize::Unknown,
    };
    /// GET bucket `?location` (8.5).
    GetBucketLocation "GetBucketLocation" Control {
        query: &["location"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketLocation", log_size: LogSize::Unknown,
    };
    /// GET bucket `?stat` (8.6).
    GetBucketStat "GetBucketStat" Control {
        query: &["stat"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketStat", log_size: LogSize::Unknown,
    };
    /// GET bucket (8.7).
    ListObjects "ListObjects" Control {
        query: &["prefix", "marker", "delimiter", "max-keys", "encoding-type"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: true, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "ListObjects", log_size: LogSize::Unknown,
    };
    /// GET bucket `?list-type` (8.8).
    ListObjectsV2 "ListObjects" Control {
        query: &[
            "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "start-after", "continuation-token",
            "fetch-owner",
        ],
        headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: true, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "ListObjectsV2", log_size: LogSize::Unknown,
    };
    /// GET bucket `?versions` (8.9).
    ListObjectVersions "ListObjectVersions" Control {
        query: &["versions", "prefix", "key-marker", "version-id-marker", "delimiter", "max-keys", "encoding-type"],
        headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: true, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "ListObjectVersions", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?acl` (8.10).
    PutBucketAcl "PutBucketAcl" Control {
        query: &["acl"], headers: &["x-oss-acl"],
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketAcl", log_size: LogSize::Unknown,
    };
    /// GET bucket `?acl` (8.10).
    GetBucketAcl "GetBucketAcl" Control {
        query: &["acl"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketAcl", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?cors` (8.11).
    PutBucketCors "PutBucketCors" Control {
        query: &["cors"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(16 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketCors", log_size: LogSize::Unknown,
    };
    /// GET bucket `?cors` (8.11).
    GetBucketCors "GetBucketCors" Control {
        query: &["cors"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketCors", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?cors` (8.11).
    DeleteBucketCors "DeleteBucketCors" Control {
        query: &["cors"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketCors", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?referer` (8.12).
    PutBucketReferer "PutBucketReferer" Control {
        query: &["referer"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(64 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketReferer", log_size: LogSize::Unknown,
    };
    /// GET bucket `?referer` (8.12).
    GetBucketReferer "GetBucketReferer" Control {
        query: &["referer"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketReferer", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?referer`, the same as putting the default (8.12).
    DeleteBucketReferer "PutBucketReferer" Control {
        query: &["referer"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketReferer", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?lifecycle` (8.13).
    PutBucketLifecycle "PutBucketLifecycle" Control {
        query: &["lifecycle"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketLifecycle", log_size: LogSize::Unknown,
    };
    /// GET bucket `?lifecycle` (8.13).
    GetBucketLifecycle "GetBucketLifecycle" Control {
        query: &["lifecycle"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketLifecycle", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?lifecycle` (8.13).
    DeleteBucketLifecycle "DeleteBucketLifecycle" Control {
        query: &["lifecycle"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketLifecycle", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?policy` (8.14).
    PutBucketPolicy "PutBucketPolicy" Control {
        query: &["policy"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(16 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketPolicy", log_size: LogSize::Unknown,
    };
    /// GET bucket `?policy` (8.14).
    GetBucketPolicy "GetBucketPolicy" Control {
        query: &["policy"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketPolicy", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?policy` (8.14).
    DeleteBucketPolicy "DeleteBucketPolicy" Control {
        query: &["policy"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketPolicy", log_size: LogSize::Unknown,
    };
    /// GET bucket `?policyStatus` (8.14).
    GetBucketPolicyStatus "GetBucketPolicyStatus" Control {
        query: &["policyStatus"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketPolicyStatus", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?logging` (8.15).
    PutBucketLogging "PutBucketLogging" Control {
        query: &["logging"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketLogging", log_size: LogSize::Unknown,
    };
    /// GET bucket `?logging` (8.15).
    GetBucketLogging "GetBucketLogging" Control {
        query: &["logging"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketLogging", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?logging` (8.15).
    DeleteBucketLogging "DeleteBucketLogging" Control {
        query: &["logging"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketLogging", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?website` (8.16).
    PutBucketWebsite "PutBucketWebsite" Control {
        query: &["website"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketWebsite", log_size: LogSize::Unknown,
    };
    /// GET bucket `?website` (8.16).
    GetBucketWebsite "GetBucketWebsite" Control {
        query: &["website"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketWebsite", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?website` (8.16).
    DeleteBucketWebsite "DeleteBucketWebsite" Control {
        query: &["website"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketWebsite", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?tagging` (8.17).
    PutBucketTags "PutBucketTagging" Control {
        query: &["tagging"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketTags", log_size: LogSize::Unknown,
    };
    /// GET bucket `?tagging` (8.17).
    GetBucketTags "GetBucketTagging" Control {
        query: &["tagging"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketTags", log_size: LogSize::Unknown,
    };
    /// DELETE bucket `?tagging` (8.17).
    DeleteBucketTags "DeleteBucketTagging" Control {
        query: &["tagging"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteBucketTags", log_size: LogSize::Unknown,
    };
    /// PUT bucket `?versioning` (8.18).
    PutBucketVersioning "PutBucketVersioning" Control {
        query: &["versioning"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutBucketVersioning", log_size: LogSize::Unknown,
    };
    /// GET bucket `?versioning` (8.18).
    GetBucketVersioning "GetBucketVersioning" Control {
        query: &["versioning"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetBucketVersioning", log_size: LogSize::Unknown,
    };

    /// PUT key (9.1).
    PutObject "PutObject" Write {
        query: &[], headers: UPLOAD,
        on: On::Object, body: Body::Content, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutObject", log_size: LogSize::Received,
    };
    /// GET key (9.2).
    GetObject "GetObject" Read {
        query: &["versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Playback, log_name: "GetObject", log_size: LogSize::Sent,
    };
    /// HEAD key (9.3).
    HeadObject "GetObject" Read {
        query: &["versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::PlaybackHead, log_name: "HeadObject", log_size: LogSize::Sent,
    };
    /// HEAD or GET key `?objectMeta` (9.4).
    GetObjectMeta "GetObject" Read {
        query: &["objectMeta", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "GetObjectMeta", log_size: LogSize::Sent,
    };
    /// DELETE key (9.5).
    DeleteObject "DeleteObject" Write {
        query: &["versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:DeleteObjectVersion"),
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteObject", log_size: LogSize::Unknown,
    };
    /// POST bucket `?delete` (9.6). Each key is authorised by itself; this kind only names the request.
    DeleteMultipleObjects "DeleteObject" Write {
        query: &["delete", "encoding-type"], headers: PLAIN,
        on: On::Bucket, body: Body::Document(2048 * KIB), keys: KeysIn::Body, is_listing: false, versioned: Some("oss:DeleteObjectVersion"),
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteMultipleObjects", log_size: LogSize::Unknown,
    };
    /// PUT key with `x-oss-copy-source` (9.7).
    CopyObject "PutObject" Write {
        query: &[], headers: COPY,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "CopyObject", log_size: LogSize::Unknown,
    };
    /// POST key `?append` (9.8).
    AppendObject "PutObject" Write {
        query: &["append", "position"], headers: UPLOAD,
        on: On::Object, body: Body::Content, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "AppendObject", log_size: LogSize::Unknown,
    };
    /// PUT key `?acl` (9.9).
    PutObjectAcl "PutObjectAcl" OwnerOnly {
        query: &["acl", "versionId"], headers: &["x-oss-object-acl"],
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:PutObjectVersionAcl"),
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutObjectAcl", log_size: LogSize::Unknown,
    };
    /// GET key `?acl` (9.9).
    GetObjectAcl "GetObjectAcl" OwnerOnly {
        query: &["acl", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersionAcl"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "GetObjectAcl", log_size: LogSize::Unknown,
    };
    /// PUT key `?symlink` (9.10).
    PutSymlink "PutObject" Write {
        query: &["symlink"],
        headers: &[
            "x-oss-forbid-overwrite", "x-oss-object-acl", "x-oss-server-side-encryption", "x-oss-storage-class",
            "x-oss-symlink-target", "x-oss-tagging",
        ],
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutSymlink", log_size: LogSize::Unknown,
    };
    /// GET key `?symlink` (9.10).
    GetSymlink "GetObject" Read {
        query: &["symlink", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "GetSymlink", log_size: LogSize::Unknown,
    };
    /// PUT key `?tagging` (9.11).
    PutObjectTagging "PutObjectTagging" OwnerOnly {
        query: &["tagging", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Document(512 * KIB), keys: KeysIn::Path, is_listing: false, versioned: Some("oss:PutObjectVersionTagging"),
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutObjectTagging", log_size: LogSize::Unknown,
    };
    /// GET key `?tagging` (9.11).
    GetObjectTagging "GetObjectTagging" OwnerOnly {
        query: &["tagging", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersionTagging"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "GetObjectTagging", log_size: LogSize::Unknown,
    };
    /// DELETE key `?tagging` (9.11).
    DeleteObjectTagging "DeleteObjectTagging" OwnerOnly {
        query: &["tagging", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:DeleteObjectVersionTagging"),
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteObjectTagging", log_size: LogSize::Unknown,
    };

    /// POST key `?uploads` (10.1).
    InitiateMultipartUpload "PutObject" Write {
        query: &["uploads", "encoding-type", "sequential"], headers: UPLOAD_IN_PARTS,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "InitiateMultipartUpload", log_size: LogSize::Unknown,
    };
    /// PUT key `?partNumber&uploadId` (10.2).
    UploadPart "PutObject" Write {
        query: &["partNumber", "uploadId"], headers: UPLOAD,
        on: On::Object, body: Body::Content, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "UploadPart", log_size: LogSize::Received,
    };
    /// The same with `x-oss-copy-source` (10.3).
    UploadPartCopy "PutObject" Write {
        query: &["partNumber", "uploadId"], headers: COPY_PART,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "UploadPartCopy", log_size: LogSize::Unknown,
    };
    /// POST key `?uploadId` (10.4).
    CompleteMultipartUpload "PutObject" Write {
        query: &["uploadId", "encoding-type"], headers: UPLOAD_IN_PARTS,
        on: On::Object, body: Body::Document(2048 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "CompleteMultipartUpload", log_size: LogSize::Unknown,
    };
    /// DELETE key `?uploadId` (10.5).
    AbortMultipartUpload "AbortMultipartUpload" Write {
        query: &["uploadId"], headers: UPLOAD_IN_PARTS,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "AbortMultipartUpload", log_size: LogSize::Unknown,
    };
    /// GET key `?uploadId` (10.6).
    ListParts "ListParts" Write {
        query: &["uploadId", "max-parts", "part-number-marker", "encoding-type"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "ListParts", log_size: LogSize::Unknown,
    };
    /// GET bucket `?uploads` (10.7).
    ListMultipartUploads "ListMultipartUploads" Control {
        query: &["uploads", "delimiter", "prefix", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"],
        headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: true, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "ListMultipartUploads", log_size: LogSize::Unknown,
    };

    /// POST bucket with a form (11). The key is in the form.
    PostObject "PutObject" Write {
        query: &[], headers: &["x-oss-object-acl"],
        on: On::Bucket, body: Body::Form(UPLOAD), keys: KeysIn::Body, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PostObject", log_size: LogSize::Unknown,
    };
    /// OPTIONS (12).
    Preflight "Preflight" Public {
        query: &[], headers: PLAIN,
        on: On::Any, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "Preflight", log_size: LogSize::Unknown,
    };
    /// GET or HEAD key `?x-oss-process=hls/sign` (14, OSS auth 9).
    GetSignedPlaylist "GetObject" Read {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Playback, log_name: "GetSignedPlaylist", log_size: LogSize::Unknown,
    };
    /// GET or HEAD key with any other `x-oss-process` (14).
    ProcessObject "GetObject" Read {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "ProcessObject", log_size: LogSize::Unknown,
    };
    /// GET or HEAD key `?x-oss-process=video/snapshot`: a picture of a recording (14).
    GetVideoSnapshot "GetObject" Read {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "GetVideoSnapshot", log_size: LogSize::Unknown,
    };
    /// GET or HEAD playlist `?x-oss-process=live/still`: the newest picture of a channel; not an operation of OSS.
    GetLiveStill "GetObject" Read {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "GetLiveStill", log_size: LogSize::Unknown,
    };
    /// POST playlist `?x-oss-process=video/storyboard`: sheets of small pictures beside it; not an operation of OSS. What
    /// it writes needs PutObject as well.
    PostStoryboard "GetObject" Read {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: Some("oss:GetObjectVersion"),
        hotlink: Hotlink::Checked, metering: Metering::Nothing, log_name: "PostStoryboard", log_size: LogSize::Unknown,
    };
    /// POST key `?restore` (15).
    RestoreObject "RestoreObject" OwnerOnly {
        query: &["restore", "versionId"], headers: PLAIN,
        on: On::Object, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "RestoreObject", log_size: LogSize::Unknown,
    };

    /// PUT channel `?live` (LiveChannel 1.1).
    PutLiveChannel "PutLiveChannel" Control {
        query: &["live"], headers: PLAIN,
        on: On::Channel, body: Body::Document(64 * KIB), keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::ChannelCreation, log_name: "PutLiveChannel", log_size: LogSize::Unknown,
    };
    /// PUT channel `?live&status` (LiveChannel 1.2).
    PutLiveChannelStatus "PutLiveChannelStatus" Control {
        query: &["live", "status"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::ChannelStatus, log_name: "PutLiveChannelStatus", log_size: LogSize::Unknown,
    };
    /// GET channel `?live` (LiveChannel 1.3).
    GetLiveChannelInfo "GetLiveChannel" Control {
        query: &["live", "comp"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Channel, log_name: "GetLiveChannelInfo", log_size: LogSize::Unknown,
    };
    /// GET channel `?live&comp=stat` (LiveChannel 1.4).
    GetLiveChannelStat "GetLiveChannelStat" Control {
        query: &["live", "comp"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Channel, log_name: "GetLiveChannelStat", log_size: LogSize::Unknown,
    };
    /// GET channel `?live&comp=history` (LiveChannel 1.5).
    GetLiveChannelHistory "GetLiveChannelHistory" Control {
        query: &["live", "comp"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Channel, log_name: "GetLiveChannelHistory", log_size: LogSize::Unknown,
    };
    /// GET bucket `?live` (LiveChannel 1.6).
    ListLiveChannel "ListLiveChannel" Control {
        query: &["live", "prefix", "marker", "max-keys"], headers: PLAIN,
        on: On::Bucket, body: Body::Ignored, keys: KeysIn::Path, is_listing: true, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Channel, log_name: "ListLiveChannel", log_size: LogSize::Unknown,
    };
    /// DELETE channel `?live` (LiveChannel 1.7).
    DeleteLiveChannel "DeleteLiveChannel" Control {
        query: &["live"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::ChannelDeletion, log_name: "DeleteLiveChannel", log_size: LogSize::Unknown,
    };
    /// POST channel/playlist `?vod` (LiveChannel 1.8).
    PostVodPlaylist "PostVodPlaylist" Control {
        query: &["vod", "startTime", "endTime"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::VodPlaylist, log_name: "PostVodPlaylist", log_size: LogSize::Unknown,
    };
    /// GET channel `?vod` (LiveChannel 1.9).
    GetVodPlaylist "GetVodPlaylist" Control {
        query: &["vod", "startTime", "endTime"], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::VodPlaylistShown, log_name: "GetVodPlaylist", log_size: LogSize::Unknown,
    };
    /// An RTMP publish (LiveChannel 3.9); no HTTP request asks for it.
    PublishRtmpStream "PublishRtmpStream" Control {
        query: &[], headers: PLAIN,
        on: On::Channel, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PublishRtmpStream", log_size: LogSize::Unknown,
    };

    /// GET of a sub-resource that is not built (HTTP API 15); the route says which.
    GetSubResource "GetSubResource" Control {
        query: &[], headers: PLAIN,
        on: On::Any, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "GetSubResource", log_size: LogSize::Unknown,
    };
    /// PUT or POST of a sub-resource that is not built.
    PutSubResource "PutSubResource" Control {
        query: &[], headers: PLAIN,
        on: On::Any, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "PutSubResource", log_size: LogSize::Unknown,
    };
    /// DELETE of a sub-resource that is not built.
    DeleteSubResource "DeleteSubResource" Control {
        query: &[
            "comp", "inventoryId", "qosRequester", "resourcePool", "resourcePoolInfo", "styleName", "wormId",
            "x-oss-access-point-name", "x-oss-redundancy-transition-taskid",
        ],
        headers: PLAIN,
        on: On::Any, body: Body::Ignored, keys: KeysIn::Path, is_listing: false, versioned: None,
        hotlink: Hotlink::Free, metering: Metering::Nothing, log_name: "DeleteSubResource", log_size: LogSize::Unknown,
    };
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl OperationKind {
    /// Whether it changes nothing: what `AliyunOSSReadOnlyAccess` allows, and what needs no right at all.
    pub fn only_looks(self) -> bool {
        let verb = self.action().trim_start_matches("oss:");
        self.permission() == Permission::Public || verb.starts_with("Get") || verb.starts_with("List")
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The service itself.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, or a channel: the key is the decoded path below the bucket.
    Object(BucketName, ObjectKey),
}

impl Resource {
    /// The bucket, if there is one.
    pub fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket(bucket) | Self::Object(bucket, _) => Some(bucket),
        }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object(_, key) => Some(key),
            Self::Service | Self::Bucket(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn names_are_distinct_and_actions_are_those_of_the_table() {
        let names: HashSet<_> = OperationKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), OperationKind::ALL.len());
        for (kind, action, permission) in [
            (OperationKind::HeadBucket, "oss:GetBucketInfo", Permission::Control),
            (OperationKind::GetBucketTags, "oss:GetBucketTagging", Permission::Control),
            (OperationKind::GetLiveChannelInfo, "oss:GetLiveChannel", Permission::Control),
            (OperationKind::HeadObject, "oss:GetObject", Permission::Read),
            (OperationKind::AbortMultipartUpload, "oss:AbortMultipartUpload", Permission::Write),
            (OperationKind::GetObjectAcl, "oss:GetObjectAcl", Permission::OwnerOnly),
            (OperationKind::Preflight, "oss:Preflight", Permission::Public),
        ] {
            assert_eq!((kind.action(), kind.permission()), (action, permission), "{kind}");
        }
    }

    /// Policies name actions, so operations that share one share the one for versions.
    #[test]
    fn an_action_has_one_form_for_versions() {
        let mut forms = HashMap::new();
        for kind in OperationKind::ALL {
            let form = kind.row().versioned;
            assert_eq!(*forms.entry(kind.action()).or_insert(form), form, "{kind}");
            let usual = form.map(|form| form.replacen("Version", "", 1));
            assert!(usual.is_none_or(|usual| usual == kind.action()), "{kind}");
        }
        assert_eq!(forms.values().flatten().count(), 7);
    }
}
