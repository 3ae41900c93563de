//! The operations of the API, what each is called in policies, and who may ask for it (HTTP API 0, LiveChannel 0.3,
//! access control 2).

use std::fmt;

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
    ($(
        $(#[$meta:meta])*
        $name:ident $action:literal $permission:ident $on:ident {
            query: $query:expr, headers: $headers:expr $(, $column:ident: $value:expr)* $(,)?
        };
    )*) => {
        /// What a request asks for: one variant per operation of the API, also those that are not built yet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum OperationKind { $($(#[$meta])* $name,)* }

        impl OperationKind {
            /// Every operation there is.
            pub const ALL: &'static [OperationKind] = &[$(OperationKind::$name,)*];

            /// The name of the operation, for logs, metrics and the access log (HTTP API 8.15).
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
                match self {
                    $(OperationKind::$name => const {
                        &Row { $($column: $value,)* ..Row::new(On::$on, $query, $headers) }
                    },)*
                }
            }
        }
    };
}

// Name, action, class and resource; then the query and the headers that it reads, and what is unusual about it.
operations! {
    /// GET service (HTTP API 7.1).
    ListBuckets "ListBuckets" Control Service {
        query: &["prefix", "marker", "max-keys", "tag-key", "tag-value", "tagging"], headers: PLAIN,
        is_listing: true,
    };
    /// GET service `?regions` (7.2).
    DescribeRegions "DescribeRegions" Control Service { query: &["regions"], headers: PLAIN };

    /// PUT bucket (8.1).
    PutBucket "PutBucket" Control Bucket {
        query: &[], headers: &["x-oss-acl", "x-oss-bucket-tagging", "x-oss-hns-status"],
        body: Body::Document(512 * KIB),
    };
    /// HEAD bucket (8.2).
    HeadBucket "GetBucketInfo" Control Bucket { query: &[], headers: PLAIN };
    /// DELETE bucket (8.3).
    DeleteBucket "DeleteBucket" Control Bucket { query: &[], headers: PLAIN };
    /// GET bucket `?bucketInfo` (8.4).
    GetBucketInfo "GetBucketInfo" Control Bucket { query: &["bucketInfo"], headers: PLAIN };
    /// GET bucket `?location` (8.5).
    GetBucketLocation "GetBucketLocation" Control Bucket { query: &["location"], headers: PLAIN };
    /// GET bucket `?stat` (8.6).
    GetBucketStat "GetBucketStat" Control Bucket { query: &["stat"], headers: PLAIN };
    /// GET bucket (8.7).
    ListObjects "ListObjects" Control Bucket {
        query: &["prefix", "marker", "delimiter", "max-keys", "encoding-type"], headers: PLAIN,
        is_listing: true,
    };
    /// GET bucket `?list-type` (8.8).
    ListObjectsV2 "ListObjects" Control Bucket {
        query: &[
            "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "start-after", "continuation-token",
            "fetch-owner",
        ],
        headers: PLAIN,
        is_listing: true,
    };
    /// GET bucket `?versions` (8.9).
    ListObjectVersions "ListObjectVersions" Control Bucket {
        query: &[
            "versions", "prefix", "key-marker", "version-id-marker", "delimiter", "max-keys", "encoding-type",
        ],
        headers: PLAIN,
        is_listing: true,
    };
    /// PUT bucket `?acl` (8.10).
    PutBucketAcl "PutBucketAcl" Control Bucket { query: &["acl"], headers: &["x-oss-acl"] };
    /// GET bucket `?acl` (8.10).
    GetBucketAcl "GetBucketAcl" Control Bucket { query: &["acl"], headers: PLAIN };
    /// PUT bucket `?cors` (8.11).
    PutBucketCors "PutBucketCors" Control Bucket { query: &["cors"], headers: PLAIN, body: Body::Document(16 * KIB) };
    /// GET bucket `?cors` (8.11).
    GetBucketCors "GetBucketCors" Control Bucket { query: &["cors"], headers: PLAIN };
    /// DELETE bucket `?cors` (8.11).
    DeleteBucketCors "DeleteBucketCors" Control Bucket { query: &["cors"], headers: PLAIN };
    /// PUT bucket `?referer` (8.12).
    PutBucketReferer "PutBucketReferer" Control Bucket {
        query: &["referer"], headers: PLAIN,
        body: Body::Document(64 * KIB),
    };
    /// GET bucket `?referer` (8.12).
    GetBucketReferer "GetBucketReferer" Control Bucket { query: &["referer"], headers: PLAIN };
    /// DELETE bucket `?referer`, the same as putting the default (8.12).
    DeleteBucketReferer "PutBucketReferer" Control Bucket { query: &["referer"], headers: PLAIN };
    /// PUT bucket `?lifecycle` (8.13).
    PutBucketLifecycle "PutBucketLifecycle" Control Bucket {
        query: &["lifecycle"], headers: PLAIN,
        body: Body::Document(512 * KIB),
    };
    /// GET bucket `?lifecycle` (8.13).
    GetBucketLifecycle "GetBucketLifecycle" Control Bucket { query: &["lifecycle"], headers: PLAIN };
    /// DELETE bucket `?lifecycle` (8.13).
    DeleteBucketLifecycle "DeleteBucketLifecycle" Control Bucket { query: &["lifecycle"], headers: PLAIN };
    /// PUT bucket `?policy` (8.14).
    PutBucketPolicy "PutBucketPolicy" Control Bucket {
        query: &["policy"], headers: PLAIN,
        body: Body::Document(16 * KIB),
    };
    /// GET bucket `?policy` (8.14).
    GetBucketPolicy "GetBucketPolicy" Control Bucket { query: &["policy"], headers: PLAIN };
    /// DELETE bucket `?policy` (8.14).
    DeleteBucketPolicy "DeleteBucketPolicy" Control Bucket { query: &["policy"], headers: PLAIN };
    /// GET bucket `?policyStatus` (8.14).
    GetBucketPolicyStatus "GetBucketPolicyStatus" Control Bucket { query: &["policyStatus"], headers: PLAIN };
    /// PUT bucket `?logging` (8.15).
    PutBucketLogging "PutBucketLogging" Control Bucket {
        query: &["logging"], headers: PLAIN,
        body: Body::Document(512 * KIB),
    };
    /// GET bucket `?logging` (8.15).
    GetBucketLogging "GetBucketLogging" Control Bucket { query: &["logging"], headers: PLAIN };
    /// DELETE bucket `?logging` (8.15).
    DeleteBucketLogging "DeleteBucketLogging" Control Bucket { query: &["logging"], headers: PLAIN };
    /// PUT bucket `?website` (8.16).
    PutBucketWebsite "PutBucketWebsite" Control Bucket {
        query: &["website"], headers: PLAIN,
        body: Body::Document(512 * KIB),
    };
    /// GET bucket `?website` (8.16).
    GetBucketWebsite "GetBucketWebsite" Control Bucket { query: &["website"], headers: PLAIN };
    /// DELETE bucket `?website` (8.16).
    DeleteBucketWebsite "DeleteBucketWebsite" Control Bucket { query: &["website"], headers: PLAIN };
    /// PUT bucket `?tagging` (8.17).
    PutBucketTags "PutBucketTagging" Control Bucket {
        query: &["tagging"], headers: PLAIN,
        body: Body::Document(512 * KIB),
    };
    /// GET bucket `?tagging` (8.17).
    GetBucketTags "GetBucketTagging" Control Bucket { query: &["tagging"], headers: PLAIN };
    /// DELETE bucket `?tagging` (8.17).
    DeleteBucketTags "DeleteBucketTagging" Control Bucket { query: &["tagging"], headers: PLAIN };
    /// PUT bucket `?versioning` (8.18).
    PutBucketVersioning "PutBucketVersioning" Control Bucket {
        query: &["versioning"], headers: PLAIN,
        body: Body::Document(512 * KIB),
    };
    /// GET bucket `?versioning` (8.18).
    GetBucketVersioning "GetBucketVersioning" Control Bucket { query: &["versioning"], headers: PLAIN };

    /// PUT key (9.1).
    PutObject "PutObject" Write Object {
        query: &[], headers: UPLOAD,
        body: Body::Content, log_size: LogSize::Received,
    };
    /// GET key (9.2).
    GetObject "GetObject" Read Object {
        query: &["versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked, metering: Metering::Playback, log_size: LogSize::Sent,
    };
    /// HEAD key (9.3).
    HeadObject "GetObject" Read Object {
        query: &["versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked, log_size: LogSize::Sent,
    };
    /// HEAD or GET key `?objectMeta` (9.4).
    GetObjectMeta "GetObject" Read Object {
        query: &["objectMeta", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked, log_size: LogSize::Sent,
    };
    /// DELETE key (9.5).
    DeleteObject "DeleteObject" Write Object { query: &["versionId"], headers: PLAIN };
    /// POST bucket `?delete` (9.6). Each key is authorised by itself; this kind only names the request.
    DeleteMultipleObjects "DeleteObject" Write Bucket {
        query: &["delete", "encoding-type"], headers: PLAIN,
        body: Body::Document(2048 * KIB), keys: KeysIn::Body,
    };
    /// PUT key with `x-oss-copy-source` (9.7).
    CopyObject "PutObject" Write Object { query: &[], headers: COPY };
    /// POST key `?append` (9.8).
    AppendObject "PutObject" Write Object { query: &["append", "position"], headers: UPLOAD, body: Body::Content };
    /// PUT key `?acl` (9.9).
    PutObjectAcl "PutObjectAcl" OwnerOnly Object { query: &["acl", "versionId"], headers: &["x-oss-object-acl"] };
    /// GET key `?acl` (9.9).
    GetObjectAcl "GetObjectAcl" OwnerOnly Object {
        query: &["acl", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// PUT key `?symlink` (9.10).
    PutSymlink "PutObject" Write Object {
        query: &[
            "symlink",
        ],
        headers: &[ "x-oss-forbid-overwrite", "x-oss-object-acl", "x-oss-server-side-encryption", "x-oss-storage-class", "x-oss-symlink-target", "x-oss-tagging", ],
    };
    /// GET key `?symlink` (9.10).
    GetSymlink "GetObject" Read Object { query: &["symlink", "versionId"], headers: PLAIN, hotlink: Hotlink::Checked };
    /// PUT key `?tagging` (9.11).
    PutObjectTagging "PutObjectTagging" OwnerOnly Object {
        query: &["tagging", "versionId"], headers: PLAIN,
        body: Body::Document(512 * KIB),
    };
    /// GET key `?tagging` (9.11).
    GetObjectTagging "GetObjectTagging" OwnerOnly Object {
        query: &["tagging", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// DELETE key `?tagging` (9.11).
    DeleteObjectTagging "DeleteObjectTagging" OwnerOnly Object { query: &["tagging", "versionId"], headers: PLAIN };

    /// POST key `?uploads` (10.1).
    InitiateMultipartUpload "PutObject" Write Object {
        query: &["uploads", "encoding-type", "sequential"], headers: UPLOAD_IN_PARTS,
    };
    /// PUT key `?partNumber&uploadId` (10.2).
    UploadPart "PutObject" Write Object {
        query: &["partNumber", "uploadId"], headers: UPLOAD,
        body: Body::Content, log_size: LogSize::Received,
    };
    /// The same with `x-oss-copy-source` (10.3).
    UploadPartCopy "PutObject" Write Object { query: &["partNumber", "uploadId"], headers: COPY_PART };
    /// POST key `?uploadId` (10.4).
    CompleteMultipartUpload "PutObject" Write Object {
        query: &["uploadId", "encoding-type"], headers: UPLOAD_IN_PARTS,
        body: Body::Document(2048 * KIB),
    };
    /// DELETE key `?uploadId` (10.5).
    AbortMultipartUpload "AbortMultipartUpload" Write Object { query: &["uploadId"], headers: UPLOAD_IN_PARTS };
    /// GET key `?uploadId` (10.6).
    ListParts "ListParts" Write Object {
        query: &["uploadId", "max-parts", "part-number-marker", "encoding-type"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// GET bucket `?uploads` (10.7).
    ListMultipartUploads "ListMultipartUploads" Control Bucket {
        query: &[
            "uploads", "delimiter", "prefix", "key-marker", "upload-id-marker", "max-uploads", "encoding-type",
        ],
        headers: PLAIN,
        is_listing: true,
    };

    /// POST bucket with a form (11). The key is in the form.
    PostObject "PutObject" Write Bucket {
        query: &[], headers: &["x-oss-object-acl"],
        body: Body::Form, keys: KeysIn::Body,
    };
    /// OPTIONS (12).
    Preflight "Preflight" Public Any { query: &[], headers: PLAIN };
    /// GET or HEAD key `?x-oss-process=hls/sign` (14, OSS auth 9).
    GetSignedPlaylist "GetObject" Read Object {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked, metering: Metering::Playback,
    };
    /// GET or HEAD key with any other `x-oss-process` (14).
    ProcessObject "GetObject" Read Object {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// GET or HEAD key `?x-oss-process=video/snapshot`: a picture of a recording (14).
    GetVideoSnapshot "GetObject" Read Object {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// GET or HEAD playlist `?x-oss-process=live/still`: the newest picture of a channel; not an operation of OSS.
    GetLiveStill "GetObject" Read Object {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// POST playlist `?x-oss-process=video/storyboard`: sheets of small pictures beside it; not an operation of OSS. What
    /// it writes needs PutObject as well.
    PostStoryboard "GetObject" Read Object {
        query: &["x-oss-process", "versionId"], headers: PLAIN,
        hotlink: Hotlink::Checked,
    };
    /// POST key `?restore` (15).
    RestoreObject "RestoreObject" OwnerOnly Object { query: &["restore", "versionId"], headers: PLAIN };

    /// PUT channel `?live` (LiveChannel 1.1).
    PutLiveChannel "PutLiveChannel" Control Channel {
        query: &["live"], headers: PLAIN,
        body: Body::Document(64 * KIB), metering: Metering::ChannelCreation,
    };
    /// PUT channel `?live&status` (LiveChannel 1.2).
    PutLiveChannelStatus "PutLiveChannelStatus" Control Channel {
        query: &["live", "status"], headers: PLAIN,
        metering: Metering::ChannelStatus,
    };
    /// GET channel `?live` (LiveChannel 1.3).
    GetLiveChannelInfo "GetLiveChannel" Control Channel {
        query: &["live", "comp"], headers: PLAIN,
        metering: Metering::Channel,
    };
    /// GET channel `?live&comp=stat` (LiveChannel 1.4).
    GetLiveChannelStat "GetLiveChannelStat" Control Channel {
        query: &["live", "comp"], headers: PLAIN,
        metering: Metering::Channel,
    };
    /// GET channel `?live&comp=history` (LiveChannel 1.5).
    GetLiveChannelHistory "GetLiveChannelHistory" Control Channel {
        query: &["live", "comp"], headers: PLAIN,
        metering: Metering::Channel,
    };
    /// GET bucket `?live` (LiveChannel 1.6).
    ListLiveChannel "ListLiveChannel" Control Bucket {
        query: &["live", "prefix", "marker", "max-keys"], headers: PLAIN,
        is_listing: true, metering: Metering::Channel,
    };
    /// DELETE channel `?live` (LiveChannel 1.7).
    DeleteLiveChannel "DeleteLiveChannel" Control Channel { query: &["live"], headers: PLAIN };
    /// POST channel/playlist `?vod` (LiveChannel 1.8).
    PostVodPlaylist "PostVodPlaylist" Control Channel {
        query: &["vod", "startTime", "endTime"], headers: PLAIN,
        metering: Metering::VodPlaylist,
    };
    /// GET channel `?vod` (LiveChannel 1.9).
    GetVodPlaylist "GetVodPlaylist" Control Channel {
        query: &["vod", "startTime", "endTime"], headers: PLAIN,
        metering: Metering::VodPlaylist,
    };
    /// An RTMP publish (LiveChannel 3.9); no HTTP request asks for it.
    PublishRtmpStream "PublishRtmpStream" Control Channel { query: &[], headers: PLAIN };

    /// GET of a sub-resource that is not built (HTTP API 15); the route says which.
    GetSubResource "GetSubResource" Control Any { query: &[], headers: PLAIN };
    /// PUT or POST of a sub-resource that is not built.
    PutSubResource "PutSubResource" Control Any { query: &[], headers: PLAIN };
    /// DELETE of a sub-resource that is not built.
    DeleteSubResource "DeleteSubResource" Control Any {
        query: &[
            "comp", "inventoryId", "qosRequester", "resourcePool", "resourcePoolInfo", "styleName", "wormId", "x-oss-
            access-point-name", "x-oss-redundancy-transition-taskid",
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
