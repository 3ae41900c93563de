//! The columns of the row that every operation has (HTTP API 0.3, 0.4, D22).

/// What belongs to an operation. Every operation has a row, and every row has every column, or it does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The query names that it reads, the one that selects it included. Those that are harmless everywhere are not
    /// repeated here.
    pub query: &'static [&'static str],
    /// The `x-oss-*` headers that say what is stored or how, and that it obeys, judges itself, or may be sent because
    /// another request of the same upload obeys them. `x-oss-meta-*` and headers that change nothing are not repeated
    /// here.
    pub headers: &'static [&'static str],
}

/// No `x-oss-*` header says anything about what is stored.
pub const PLAIN: &[&str] = &[];

/// Of what makes an object, and of all requests of an upload in parts: SDKs send what was said of the object with each
/// of them, and one of them obeys it (HTTP API 10.1, 10.4).
pub const UPLOAD: &[&str] = &[
    "x-oss-forbid-overwrite",
    "x-oss-object-acl",
    "x-oss-server-side-encryption",
    "x-oss-storage-class",
    "x-oss-tagging",
];

/// Of CopyObject (HTTP API 9.7).
pub const COPY: &[&str] = &[
    "x-oss-copy-source",
    "x-oss-copy-source-if-match",
    "x-oss-copy-source-if-modified-since",
    "x-oss-copy-source-if-none-match",
    "x-oss-copy-source-if-unmodified-since",
    "x-oss-forbid-overwrite",
    "x-oss-metadata-directive",
    "x-oss-object-acl",
    "x-oss-server-side-encryption",
    "x-oss-storage-class",
    "x-oss-tagging",
    "x-oss-tagging-directive",
];

/// Of UploadPartCopy, beside what the upload was begun with (HTTP API 10.3).
pub const COPY_PART: &[&str] = &[
    "x-oss-copy-source",
    "x-oss-copy-source-if-match",
    "x-oss-copy-source-if-modified-since",
    "x-oss-copy-source-if-none-match",
    "x-oss-copy-source-if-unmodified-since",
    "x-oss-copy-source-range",
    "x-oss-forbid-overwrite",
    "x-oss-metadata-directive",
    "x-oss-object-acl",
    "x-oss-server-side-encryption",
    "x-oss-storage-class",
    "x-oss-tagging",
    "x-oss-tagging-directive",
];

/// Of InitiateMultipartUpload, CompleteMultipartUpload and AbortMultipartUpload: SDKs that copy in parts send the
/// directives of the copy with all of them.
pub const UPLOAD_IN_PARTS: &[&str] = &[
    "x-oss-complete-all",
    "x-oss-forbid-overwrite",
    "x-oss-metadata-directive",
    "x-oss-object-acl",
    "x-oss-server-side-encryption",
    "x-oss-storage-class",
    "x-oss-tagging",
    "x-oss-tagging-directive",
];
