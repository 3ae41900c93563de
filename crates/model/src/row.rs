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
    /// What a request for it is about.
    pub on: On,
    /// What its body is.
    pub body: Body,
    /// Where the keys stand that are judged.
    pub keys: KeysIn,
    /// Whether it lists: conditions of policies then look at prefix and delimiter (access control 4.4).
    pub is_listing: bool,
    /// The action when the request names a version: the usual one with `Version` in it (access control 2). `None` where
    /// versions mean nothing.
    pub versioned: Option<&'static str>,
    /// Whether hotlink protection looks at it (access control 6.1).
    pub hotlink: Hotlink,
    /// What it is counted as (LiveChannel 7.3).
    pub metering: Metering,
    /// What the access log calls it (HTTP API 8.15).
    pub log_name: &'static str,
    /// Where the access log takes the size of the object from.
    pub log_size: LogSize,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// The service itself.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
    /// A LiveChannel; its name stands where the key of an object does.
    Channel,
    /// Any of them.
    Any,
}

/// What the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Body {
    /// Nothing that anybody reads.
    Ignored,
    /// A document of at most so many bytes, read whole before it is understood.
    Document(usize),
    /// The content of an object or part, which flows.
    Content,
    /// A form, of which the file flows. Its fields say what headers say elsewhere; these of them are obeyed that say what
    /// is stored (HTTP API 11).
    Form(&'static [&'static str]),
}

impl Body {
    /// The most bytes of the document; 0 when there is none.
    pub const fn document_limit(self) -> usize {
        match self {
            Body::Document(limit) => limit,
            Body::Ignored | Body::Content | Body::Form(_) => 0,
        }
    }

    /// The fields of the form that say what is stored and are obeyed; none when it is no form.
    pub const fn form_fields(self) -> &'static [&'static str] {
        match self {
            Body::Form(obeyed) => obeyed,
            Body::Ignored | Body::Document(_) | Body::Content => PLAIN,
        }
    }
}

/// Where the keys stand that a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeysIn {
    /// In the path: one decision.
    Path,
    /// In the body: the request itself is let in to be read, and each key is decided by itself.
    Body,
}

/// Whether the `Referer` of anonymous and URL-signed reads matters (access control 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hotlink {
    /// It is compared with the bucket's list.
    Checked,
    /// It is not looked at.
    Free,
}

/// What a request is counted as: by the metrics of LiveChannel 7.3, and as usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metering {
    /// Nothing of its own: usage counts it as a read or a write, by its method.
    Nothing,
    /// A channel that is made.
    ChannelCreation,
    /// A change of a channel's status.
    ChannelStatus,
    /// A look at channels.
    Channel,
    /// A channel that is deleted: usage counts it as a look. It may name any channel, also one that is not there, so that
    /// none is noted.
    ChannelDeletion,
    /// A playlist over what was recorded that is stored, which is also a look at the channel.
    VodPlaylist,
    /// A playlist over what was recorded that is only shown: the metrics count both, usage a look.
    VodPlaylistShown,
    /// The read of an object; the metrics count playlists and segments.
    Playback,
    /// The read of an object without its content, which usage counts as a read and the metrics not at all.
    PlaybackHead,
}

/// Where the access log takes the size of the object from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogSize {
    /// It has none.
    Unknown,
    /// From the bytes that came with the request.
    Received,
    /// From the headers of the answer.
    Sent,
}

/// 1024 bytes.
pub(crate) const KIB: usize = 1024;

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
