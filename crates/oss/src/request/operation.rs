//! The operations of the API, what each is called in policies, and who may ask for it (HTTP API 0, LiveChannel 0.3,
//! access control 2).

use std::fmt;

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
    ($($(#[$meta:meta])* $name:ident $action:literal $permission:ident;)*) => {
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
        }
    };
}

operations! {
    /// GET service (HTTP API 7.1).
    ListBuckets "ListBuckets" Control;
    /// GET service `?regions` (7.2).
    DescribeRegions "DescribeRegions" Control;

    /// PUT bucket (8.1).
    PutBucket "PutBucket" Control;
    /// HEAD bucket (8.2).
    HeadBucket "GetBucketInfo" Control;
    /// DELETE bucket (8.3).
    DeleteBucket "DeleteBucket" Control;
    /// GET bucket `?bucketInfo` (8.4).
    GetBucketInfo "GetBucketInfo" Control;
    /// GET bucket `?location` (8.5).
    GetBucketLocation "GetBucketLocation" Control;
    /// GET bucket `?stat` (8.6).
    GetBucketStat "GetBucketStat" Control;
    /// GET bucket (8.7).
    ListObjects "ListObjects" Control;
    /// GET bucket `?list-type` (8.8).
    ListObjectsV2 "ListObjects" Control;
    /// GET bucket `?versions` (8.9).
    ListObjectVersions "ListObjectVersions" Control;
    /// PUT bucket `?acl` (8.10).
    PutBucketAcl "PutBucketAcl" Control;
    /// GET bucket `?acl` (8.10).
    GetBucketAcl "GetBucketAcl" Control;
    /// PUT bucket `?cors` (8.11).
    PutBucketCors "PutBucketCors" Control;
    /// GET bucket `?cors` (8.11).
    GetBucketCors "GetBucketCors" Control;
    /// DELETE bucket `?cors` (8.11).
    DeleteBucketCors "DeleteBucketCors" Control;
    /// PUT bucket `?referer` (8.12).
    PutBucketReferer "PutBucketReferer" Control;
    /// GET bucket `?referer` (8.12).
    GetBucketReferer "GetBucketReferer" Control;
    /// DELETE bucket `?referer`, the same as putting the default (8.12).
    DeleteBucketReferer "PutBucketReferer" Control;
    /// PUT bucket `?lifecycle` (8.13).
    PutBucketLifecycle "PutBucketLifecycle" Control;
    /// GET bucket `?lifecycle` (8.13).
    GetBucketLifecycle "GetBucketLifecycle" Control;
    /// DELETE bucket `?lifecycle` (8.13).
    DeleteBucketLifecycle "DeleteBucketLifecycle" Control;
    /// PUT bucket `?policy` (8.14).
    PutBucketPolicy "PutBucketPolicy" Control;
    /// GET bucket `?policy` (8.14).
    GetBucketPolicy "GetBucketPolicy" Control;
    /// DELETE bucket `?policy` (8.14).
    DeleteBucketPolicy "DeleteBucketPolicy" Control;
    /// GET bucket `?policyStatus` (8.14).
    GetBucketPolicyStatus "GetBucketPolicyStatus" Control;
    /// PUT bucket `?logging` (8.15).
    PutBucketLogging "PutBucketLogging" Control;
    /// GET bucket `?logging` (8.15).
    GetBucketLogging "GetBucketLogging" Control;
    /// DELETE bucket `?logging` (8.15).
    DeleteBucketLogging "DeleteBucketLogging" Control;
    /// PUT bucket `?website` (8.16).
    PutBucketWebsite "PutBucketWebsite" Control;
    /// GET bucket `?website` (8.16).
    GetBucketWebsite "GetBucketWebsite" Control;
    /// DELETE bucket `?website` (8.16).
    DeleteBucketWebsite "DeleteBucketWebsite" Control;
    /// PUT bucket `?tagging` (8.17).
    PutBucketTags "PutBucketTagging" Control;
    /// GET bucket `?tagging` (8.17).
    GetBucketTags "GetBucketTagging" Control;
    /// DELETE bucket `?tagging` (8.17).
    DeleteBucketTags "DeleteBucketTagging" Control;
    /// PUT bucket `?versioning` (8.18).
    PutBucketVersioning "PutBucketVersioning" Control;
    /// GET bucket `?versioning` (8.18).
    GetBucketVersioning "GetBucketVersioning" Control;

    /// PUT key (9.1).
    PutObject "PutObject" Write;
    /// GET key (9.2).
    GetObject "GetObject" Read;
    /// HEAD key (9.3).
    HeadObject "GetObject" Read;
    /// HEAD or GET key `?objectMeta` (9.4).
    GetObjectMeta "GetObject" Read;
    /// DELETE key (9.5).
    DeleteObject "DeleteObject" Write;
    /// POST bucket `?delete` (9.6). Each key is authorised by itself; this kind only names the request.
    DeleteMultipleObjects "DeleteObject" Write;
    /// PUT key with `x-oss-copy-source` (9.7).
    CopyObject "PutObject" Write;
    /// POST key `?append` (9.8).
    AppendObject "PutObject" Write;
    /// PUT key `?acl` (9.9).
    PutObjectAcl "PutObjectAcl" OwnerOnly;
    /// GET key `?acl` (9.9).
    GetObjectAcl "GetObjectAcl" OwnerOnly;
    /// PUT key `?symlink` (9.10).
    PutSymlink "PutObject" Write;
    /// GET key `?symlink` (9.10).
    GetSymlink "GetObject" Read;
    /// PUT key `?tagging` (9.11).
    PutObjectTagging "PutObjectTagging" OwnerOnly;
    /// GET key `?tagging` (9.11).
    GetObjectTagging "GetObjectTagging" OwnerOnly;
    /// DELETE key `?tagging` (9.11).
    DeleteObjectTagging "DeleteObjectTagging" OwnerOnly;

    /// POST key `?uploads` (10.1).
    InitiateMultipartUpload "PutObject" Write;
    /// PUT key `?partNumber&uploadId` (10.2).
    UploadPart "PutObject" Write;
    /// The same with `x-oss-copy-source` (10.3).
    UploadPartCopy "PutObject" Write;
    /// POST key `?uploadId` (10.4).
    CompleteMultipartUpload "PutObject" Write;
    /// DELETE key `?uploadId` (10.5).
    AbortMultipartUpload "AbortMultipartUpload" Write;
    /// GET key `?uploadId` (10.6).
    ListParts "ListParts" Write;
    /// GET bucket `?uploads` (10.7).
    ListMultipartUploads "ListMultipartUploads" Control;

    /// POST bucket with a form (11). The key is in the form.
    PostObject "PutObject" Write;
    /// OPTIONS (12).
    Preflight "Preflight" Public;
    /// GET or HEAD key `?x-oss-process=hls/sign` (14, OSS auth 9).
    GetSignedPlaylist "GetObject" Read;
    /// GET or HEAD key with any other `x-oss-process` (14).
    ProcessObject "GetObject" Read;
    /// POST key `?restore` (15).
    RestoreObject "RestoreObject" OwnerOnly;

    /// PUT channel `?live` (LiveChannel 1.1).
    PutLiveChannel "PutLiveChannel" Control;
    /// PUT channel `?live&status` (LiveChannel 1.2).
    PutLiveChannelStatus "PutLiveChannelStatus" Control;
    /// GET channel `?live` (LiveChannel 1.3).
    GetLiveChannelInfo "GetLiveChannel" Control;
    /// GET channel `?live&comp=stat` (LiveChannel 1.4).
    GetLiveChannelStat "GetLiveChannelStat" Control;
    /// GET channel `?live&comp=history` (LiveChannel 1.5).
    GetLiveChannelHistory "GetLiveChannelHistory" Control;
    /// GET bucket `?live` (LiveChannel 1.6).
    ListLiveChannel "ListLiveChannel" Control;
    /// DELETE channel `?live` (LiveChannel 1.7).
    DeleteLiveChannel "DeleteLiveChannel" Control;
    /// POST channel/playlist `?vod` (LiveChannel 1.8).
    PostVodPlaylist "PostVodPlaylist" Control;
    /// GET channel `?vod` (LiveChannel 1.9).
    GetVodPlaylist "GetVodPlaylist" Control;
    /// An RTMP publish (LiveChannel 3.9); no HTTP request asks for it.
    PublishRtmpStream "PublishRtmpStream" Control;

    /// GET of a sub-resource that is not built (HTTP API 15); the route says which.
    GetSubResource "GetSubResource" Control;
    /// PUT or POST of a sub-resource that is not built.
    PutSubResource "PutSubResource" Control;
    /// DELETE of a sub-resource that is not built.
    DeleteSubResource "DeleteSubResource" Control;
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
