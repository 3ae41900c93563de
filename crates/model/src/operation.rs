//! The operations of the API, what each is called in policies, and who may ask for it (HTTP API 0, LiveChannel 0.3,
//! access control 2).

use std::fmt;

use crate::name::{BucketName, ObjectKey};

use crate::row::{COPY, COPY_PART, PLAIN, Row, UPLOAD, UPLOAD_IN_PARTS};

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
            pub fn row(self) -> &'static Row {
                match self { $(OperationKind::$name => const { &Row { $($column: $value),* } },)* }
            }
        }
    };
}

operations! {
    /// GET service (HTTP API 7.1).
    ListBuckets "ListBuckets" Control {
        query: &["prefix", "marker", "max-keys", "tag-key", "tag-value", "tagging"],
        headers: PLAIN,
    };
    /// GET service `?regions` (7.2).
    DescribeRegions "DescribeRegions" Control { query: &["regions"], headers: PLAIN };

    /// PUT bucket (8.1).
    PutBucket "PutBucket" Control { query: &[], headers: &["x-oss-acl", "x-oss-bucket-tagging", "x-oss-hns-status"] };
    /// HEAD bucket (8.2).
    HeadBucket "GetBucketInfo" Control { query: &[], headers: PLAIN };
    /// DELETE bucket (8.3).
    DeleteBucket "DeleteBucket" Control { query: &[], headers: PLAIN };
    /// GET bucket `?bucketInfo` (8.4).
    GetBucketInfo "GetBucketInfo" Control { query: &["bucketInfo"], headers: PLAIN };
    /// GET bucket `?location` (8.5).
    GetBucketLocation "GetBucketLocation" Control { query: &["location"], headers: PLAIN };
    /// GET bucket `?stat` (8.6).
    GetBucketStat "GetBucketStat" Control { query: &["stat"], headers: PLAIN };
    /// GET bucket (8.7).
    ListObjects "ListObjects" Control {
        query: &["prefix", "marker", "delimiter", "max-keys", "encoding-type"],
        headers: PLAIN,
    };
    /// GET bucket `?list-type` (8.8).
    ListObjectsV2 "ListObjects" Control {
        query: &[
            "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "start-after", "continuation-token",
            "fetch-owner",
        ],
        headers: PLAIN,
    };
    /// GET bucket `?versions` (8.9).
    ListObjectVersions "ListObjectVersions" Control {
        query: &["versions", "prefix", "key-marker", "version-id-marker", "delimiter", "max-keys", "encoding-type"],
        headers: PLAIN,
    };
    /// PUT bucket `?acl` (8.10).
    PutBucketAcl "PutBucketAcl" Control { query: &["acl"], headers: &["x-oss-acl"] };
    /// GET bucket `?acl` (8.10).
    GetBucketAcl "GetBucketAcl" Control { query: &["acl"], headers: PLAIN };
    /// PUT bucket `?cors` (8.11).
    PutBucketCors "PutBucketCors" Control { query: &["cors"], headers: PLAIN };
    /// GET bucket `?cors` (8.11).
    GetBucketCors "GetBucketCors" Control { query: &["cors"], headers: PLAIN };
    /// DELETE bucket `?cors` (8.11).
    DeleteBucketCors "DeleteBucketCors" Control { query: &["cors"], headers: PLAIN };
    /// PUT bucket `?referer` (8.12).
    PutBucketReferer "PutBucketReferer" Control { query: &["referer"], headers: PLAIN };
    /// GET bucket `?referer` (8.12).
    GetBucketReferer "GetBucketReferer" Control { query: &["referer"], headers: PLAIN };
    /// DELETE bucket `?referer`, the same as putting the default (8.12).
    DeleteBucketReferer "PutBucketReferer" Control { query: &["referer"], headers: PLAIN };
    /// PUT bucket `?lifecycle` (8.13).
    PutBucketLifecycle "PutBucketLifecycle" Control { query: &["lifecycle"], headers: PLAIN };
    /// GET bucket `?lifecycle` (8.13).
    GetBucketLifecycle "GetBucketLifecycle" Control { query: &["lifecycle"], headers: PLAIN };
    /// DELETE bucket `?lifecycle` (8.13).
    DeleteBucketLifecycle "DeleteBucketLifecycle" Control { query: &["lifecycle"], headers: PLAIN };
    /// PUT bucket `?policy` (8.14).
    PutBucketPolicy "PutBucketPolicy" Control { query: &["policy"], headers: PLAIN };
    /// GET bucket `?policy` (8.14).
    GetBucketPolicy "GetBucketPolicy" Control { query: &["policy"], headers: PLAIN };
    /// DELETE bucket `?policy` (8.14).
    DeleteBucketPolicy "DeleteBucketPolicy" Control { query: &["policy"], headers: PLAIN };
    /// GET bucket `?policyStatus` (8.14).
    GetBucketPolicyStatus "GetBucketPolicyStatus" Control { query: &["policyStatus"], headers: PLAIN };
    /// PUT bucket `?logging` (8.15).
    PutBucketLogging "PutBucketLogging" Control { query: &["logging"], headers: PLAIN };
    /// GET bucket `?logging` (8.15).
    GetBucketLogging "GetBucketLogging" Control { query: &["logging"], headers: PLAIN };
    /// DELETE bucket `?logging` (8.15).
    DeleteBucketLogging "DeleteBucketLogging" Control { query: &["logging"], headers: PLAIN };
    /// PUT bucket `?website` (8.16).
    PutBucketWebsite "PutBucketWebsite" Control { query: &["website"], headers: PLAIN };
    /// GET bucket `?website` (8.16).
    GetBucketWebsite "GetBucketWebsite" Control { query: &["website"], headers: PLAIN };
    /// DELETE bucket `?website` (8.16).
    DeleteBucketWebsite "DeleteBucketWebsite" Control { query: &["website"], headers: PLAIN };
    /// PUT bucket `?tagging` (8.17).
    PutBucketTags "PutBucketTagging" Control { query: &["tagging"], headers: PLAIN };
    /// GET bucket `?tagging` (8.17).
    GetBucketTags "GetBucketTagging" Control { query: &["tagging"], headers: PLAIN };
    /// DELETE bucket `?tagging` (8.17).
    DeleteBucketTags "DeleteBucketTagging" Control { query: &["tagging"], headers: PLAIN };
    /// PUT bucket `?versioning` (8.18).
    PutBucketVersioning "PutBucketVersioning" Control { query: &["versioning"], headers: PLAIN };
    /// GET bucket `?versioning` (8.18).
    GetBucketVersioning "GetBucketVersioning" Control { query: &["versioning"], headers: PLAIN };

    /// PUT key (9.1).
    PutObject "PutObject" Write { query: &[], headers: UPLOAD };
    /// GET key (9.2).
    GetObject "GetObject" Read { query: &["versionId"], headers: PLAIN };
    /// HEAD key (9.3).
    HeadObject "GetObject" Read { query: &["versionId"], headers: PLAIN };
    /// HEAD or GET key `?objectMeta` (9.4).
    GetObjectMeta "GetObject" Read { query: &["objectMeta", "versionId"], headers: PLAIN };
    /// DELETE key (9.5).
    DeleteObject "DeleteObject" Write { query: &["versionId"], headers: PLAIN };
    /// POST bucket `?delete` (9.6). Each key is authorised by itself; this kind only names the request.
    DeleteMultipleObjects "DeleteObject" Write { query: &["delete", "encoding-type"], headers: PLAIN };
    /// PUT key with `x-oss-copy-source` (9.7).
    CopyObject "PutObject" Write { query: &[], headers: COPY };
    /// POST key `?append` (9.8).
    AppendObject "PutObject" Write { query: &["append", "position"], headers: UPLOAD };
    /// PUT key `?acl` (9.9).
    PutObjectAcl "PutObjectAcl" OwnerOnly { query: &["acl", "versionId"], headers: &["x-oss-object-acl"] };
    /// GET key `?acl` (9.9).
    GetObjectAcl "GetObjectAcl" OwnerOnly { query: &["acl", "versionId"], headers: PLAIN };
    /// PUT key `?symlink` (9.10).
    PutSymlink "PutObject" Write {
        query: &["symlink"],
        headers: &[
            "x-oss-forbid-overwrite", "x-oss-object-acl", "x-oss-server-side-encryption", "x-oss-storage-class",
            "x-oss-symlink-target", "x-oss-tagging",
        ],
    };
    /// GET key `?symlink` (9.10).
    GetSymlink "GetObject" Read { query: &["symlink", "versionId"], headers: PLAIN };
    /// PUT key `?tagging` (9.11).
    PutObjectTagging "PutObjectTagging" OwnerOnly { query: &["tagging", "versionId"], headers: PLAIN };
    /// GET key `?tagging` (9.11).
    GetObjectTagging "GetObjectTagging" OwnerOnly { query: &["tagging", "versionId"], headers: PLAIN };
    /// DELETE key `?tagging` (9.11).
    DeleteObjectTagging "DeleteObjectTagging" OwnerOnly { query: &["tagging", "versionId"], headers: PLAIN };

    /// POST key `?uploads` (10.1).
    InitiateMultipartUpload "PutObject" Write {
        query: &["uploads", "encoding-type", "sequential"],
        headers: UPLOAD_IN_PARTS,
    };
    /// PUT key `?partNumber&uploadId` (10.2).
    UploadPart "PutObject" Write { query: &["partNumber", "uploadId"], headers: UPLOAD };
    /// The same with `x-oss-copy-source` (10.3).
    UploadPartCopy "PutObject" Write { query: &["partNumber", "uploadId"], headers: COPY_PART };
    /// POST key `?uploadId` (10.4).
    CompleteMultipartUpload "PutObject" Write { query: &["uploadId", "encoding-type"], headers: UPLOAD_IN_PARTS };
    /// DELETE key `?uploadId` (10.5).
    AbortMultipartUpload "AbortMultipartUpload" Write { query: &["uploadId"], headers: UPLOAD_IN_PARTS };
    /// GET key `?uploadId` (10.6).
    ListParts "ListParts" Write {
        query: &["uploadId", "max-parts", "part-number-marker", "encoding-type"],
        headers: PLAIN,
    };
    /// GET bucket `?uploads` (10.7).
    ListMultipartUploads "ListMultipartUploads" Control {
        query: &["uploads", "delimiter", "prefix", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"],
        headers: PLAIN,
    };

    /// POST bucket with a form (11). The key is in the form.
    PostObject "PutObject" Write { query: &[], headers: &["x-oss-object-acl"] };
    /// OPTIONS (12).
    Preflight "Preflight" Public { query: &[], headers: PLAIN };
    /// GET or HEAD key `?x-oss-process=hls/sign` (14, OSS auth 9).
    GetSignedPlaylist "GetObject" Read { query: &["x-oss-process", "versionId"], headers: PLAIN };
    /// GET or HEAD key with any other `x-oss-process` (14).
    ProcessObject "GetObject" Read { query: &["x-oss-process", "versionId"], headers: PLAIN };
    /// POST key `?restore` (15).
    RestoreObject "RestoreObject" OwnerOnly { query: &["restore", "versionId"], headers: PLAIN };

    /// PUT channel `?live` (LiveChannel 1.1).
    PutLiveChannel "PutLiveChannel" Control { query: &["live"], headers: PLAIN };
    /// PUT channel `?live&status` (LiveChannel 1.2).
    PutLiveChannelStatus "PutLiveChannelStatus" Control { query: &["live", "status"], headers: PLAIN };
    /// GET channel `?live` (LiveChannel 1.3).
    GetLiveChannelInfo "GetLiveChannel" Control { query: &["live", "comp"], headers: PLAIN };
    /// GET channel `?live&comp=stat` (LiveChannel 1.4).
    GetLiveChannelStat "GetLiveChannelStat" Control { query: &["live", "comp"], headers: PLAIN };
    /// GET channel `?live&comp=history` (LiveChannel 1.5).
    GetLiveChannelHistory "GetLiveChannelHistory" Control { query: &["live", "comp"], headers: PLAIN };
    /// GET bucket `?live` (LiveChannel 1.6).
    ListLiveChannel "ListLiveChannel" Control { query: &["live", "prefix", "marker", "max-keys"], headers: PLAIN };
    /// DELETE channel `?live` (LiveChannel 1.7).
    DeleteLiveChannel "DeleteLiveChannel" Control { query: &["live"], headers: PLAIN };
    /// POST channel/playlist `?vod` (LiveChannel 1.8).
    PostVodPlaylist "PostVodPlaylist" Control { query: &["vod", "startTime", "endTime"], headers: PLAIN };
    /// GET channel `?vod` (LiveChannel 1.9).
    GetVodPlaylist "GetVodPlaylist" Control { query: &["vod", "startTime", "endTime"], headers: PLAIN };
    /// An RTMP publish (LiveChannel 3.9); no HTTP request asks for it.
    PublishRtmpStream "PublishRtmpStream" Control { query: &[], headers: PLAIN };

    /// GET of a sub-resource that is not built (HTTP API 15); the route says which.
    GetSubResource "GetSubResource" Control { query: &[], headers: PLAIN };
    /// PUT or POST of a sub-resource that is not built.
    PutSubResource "PutSubResource" Control { query: &[], headers: PLAIN };
    /// DELETE of a sub-resource that is not built.
    DeleteSubResource "DeleteSubResource" Control {
        query: &[
            "comp", "inventoryId", "qosRequester", "resourcePool", "resourcePoolInfo", "styleName", "wormId",
            "x-oss-access-point-name", "x-oss-redundancy-transition-taskid",
        ],
        headers: PLAIN,
    };
}

impl OperationKind {
    /// The action when the request names a version: the usual one with `Version` inserted (access control 2).
    /// `None` where versions mean nothing.
    pub fn versioned_action(self) -> Option<&'static str> {
        Some(match self.action() {
            "oss:GetObject" => "oss:GetObjectVersion",
            "oss:DeleteObject" => "oss:DeleteObjectVersion",
            "oss:GetObjectAcl" => "oss:GetObjectVersionAcl",
            "oss:PutObjectAcl" => "oss:PutObjectVersionAcl",
            "oss:GetObjectTagging" => "oss:GetObjectVersionTagging",
            "oss:PutObjectTagging" => "oss:PutObjectVersionTagging",
            "oss:DeleteObjectTagging" => "oss:DeleteObjectVersionTagging",
            _ => return None,
        })
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    use std::collections::HashSet;

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
}
