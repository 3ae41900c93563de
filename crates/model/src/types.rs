//! The nouns of the API, free of how they are written on the wire or on disk.

use std::fmt;
use std::net::IpAddr;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::name::PlaylistName;

/// The most bytes of a body that comes with one request: 5 GiB (HTTP API 6.3).
pub const MAX_BODY_BYTES: u64 = 5 << 30;

mod container;
mod lifecycle;

pub use container::Container;
pub use lifecycle::{
    LifecycleAction, LifecycleFilter, LifecycleNot, LifecycleRule, LifecycleTransition, LifecycleTrigger,
};

/// Declares an enum whose variants have one fixed spelling on the wire, in both directions.
macro_rules! spelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// The spelling on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// Reads the exact spelling; anything else is `None`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

spelled! {
    /// Who may do what with a bucket's objects (access control 5.2).
    BucketAcl {
        /// Only the owner and whom a policy allows.
        Private = "private",
        /// Everybody reads.
        PublicRead = "public-read",
        /// Everybody reads and writes.
        PublicReadWrite = "public-read-write",
    }
}

spelled! {
    /// Who may do what with one object (access control 5.2).
    ObjectAcl {
        /// As the bucket says.
        Default = "default",
        /// Only the owner and whom a policy allows.
        Private = "private",
        /// Everybody reads.
        PublicRead = "public-read",
        /// Everybody reads and writes.
        PublicReadWrite = "public-read-write",
    }
}

spelled! {
    /// A label on objects; all classes are readable at once here (HTTP API 15).
    StorageClass {
        /// The usual one.
        Standard = "Standard",
        /// Infrequent access.
        InfrequentAccess = "IA",
        /// Archive.
        Archive = "Archive",
        /// Cold archive.
        ColdArchive = "ColdArchive",
        /// Deep cold archive.
        DeepColdArchive = "DeepColdArchive",
    }
}

spelled! {
    /// How many zones a bucket's data is said to live in.
    DataRedundancy {
        /// One zone.
        Lrs = "LRS",
        /// Several zones.
        Zrs = "ZRS",
    }
}

spelled! {
    /// How an object came to be (`x-oss-object-type`).
    ObjectType {
        /// One upload, one copy, or a live segment.
        Normal = "Normal",
        /// Completed from parts.
        Multipart = "Multipart",
        /// Grown by AppendObject.
        Appendable = "Appendable",
        /// A link to another key of the bucket.
        Symlink = "Symlink",
    }
}

spelled! {
    /// The configured status of a LiveChannel.
    ChannelStatus {
        /// Pushes are accepted.
        Enabled = "enabled",
        /// Pushes are refused.
        Disabled = "disabled",
    }
}

/// An entity tag without its quotes: 32 upper-case hex digits, or `<32 hex>-<parts>` (HTTP API 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ETag(String);

impl ETag {
    /// The tag of an object whose content has this MD5.
    pub fn from_md5(md5: [u8; 16]) -> Self {
        Self(hex_upper(&md5))
    }

    /// A tag for content that is not identified by its MD5, from 128 bits that change with the content.
    pub fn from_bits(bits: u128) -> Self {
        Self(hex_upper(&bits.to_be_bytes()))
    }

    /// The tag of an object made of parts: the MD5 of their tags written one after the other, and their number (HTTP API
    /// 5.2). Java's tests assert this formula.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a ETag>) -> Self {
        let mut md5 = Md5::new();
        let mut count = 0usize;
        for part in parts {
            md5.update(part.0.as_bytes());
            count += 1;
        }
        Self(format!("{}-{count}", hex_upper(&md5.finalize())))
    }

    /// A tag as written by this server.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag in double quotes, as headers and documents carry it.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// Whether a tag sent by a client (quoted or bare, any case, or `*`) names this one.
    pub fn matches(&self, sent: &str) -> bool {
        let sent = sent.trim();
        sent == "*" || sent.trim_matches('"').eq_ignore_ascii_case(&self.0)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Upper-case hex digits of `bytes`.
pub fn hex_upper(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        hex.push(digit(byte >> 4));
        hex.push(digit(*byte));
    }
    hex
}

/// The numeric id of an account or user, as text (16 digits for the account; HTTP API 5.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnerId(pub String);

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The configuration of a LiveChannel (LiveChannel 1.1.1), defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveChannelConfig {
    /// At most 128 bytes.
    pub description: String,
    /// Whether pushes are accepted.
    pub status: ChannelStatus,
    /// Shortest length of a segment, seconds, 1 to 100.
    pub frag_duration: u32,
    /// Segments listed in the live playlist, 1 to 100.
    pub frag_count: u32,
    /// Object name of the live playlist below the channel.
    pub playlist_name: PlaylistName,
    /// Pictures taken while live.
    pub snapshot: Option<SnapshotConfig>,
}

impl Default for LiveChannelConfig {
    fn default() -> Self {
        Self {
            description: String::new(),
            status: ChannelStatus::Enabled,
            frag_duration: 5,
            frag_count: 3,
            playlist_name: PlaylistName::default(),
            snapshot: None,
        }
    }
}

/// Where snapshots of a LiveChannel go (LiveChannel 6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotConfig {
    /// Role that writes the pictures; free text here.
    pub role_name: String,
    /// Bucket that receives them.
    pub dest_bucket: String,
    /// Topic that is notified; free text here.
    pub notify_topic: String,
    /// Seconds between pictures, 1 to 100.
    pub interval: u32,
}

/// One rule of a bucket's CORS configuration (HTTP API 8.11).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CorsRule {
    /// Origins, each with at most one `*`.
    pub allowed_origins: Vec<String>,
    /// Of `GET PUT DELETE POST HEAD`.
    pub allowed_methods: Vec<String>,
    /// Header names, each with at most one `*`.
    pub allowed_headers: Vec<String>,
    /// Header names without `*`.
    pub expose_headers: Vec<String>,
    /// How long a browser may keep the answer, seconds.
    pub max_age_seconds: Option<u32>,
}

/// A bucket's CORS configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CorsConfiguration {
    /// Tried in this order.
    pub rules: Vec<CorsRule>,
    /// Whether every answer of the bucket varies by origin.
    pub response_vary: bool,
}

/// A bucket's hotlink protection (HTTP API 8.12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefererConfiguration {
    /// Whether requests without a Referer pass.
    pub allow_empty_referer: bool,
    /// Whether the query of a Referer is cut before comparing.
    pub allow_truncate_query_string: bool,
    /// Whether the path is cut too.
    pub truncate_path: bool,
    /// The whitelist.
    pub referers: Vec<String>,
    /// The blacklist; `None` when the element was not sent.
    pub blacklist: Option<Vec<String>>,
}

impl Default for RefererConfiguration {
    fn default() -> Self {
        Self {
            allow_empty_referer: true,
            allow_truncate_query_string: true,
            truncate_path: false,
            referers: Vec::new(),
            blacklist: None,
        }
    }
}

/// A label of a bucket or an object (HTTP API 8.17, 9.11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// Unique among the tags of one thing.
    pub key: String,
    /// May be empty.
    pub value: String,
}

/// The HTTP headers that are kept with an object and sent back with it (HTTP API 9.1), as bytes because clients send
/// more than ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContentHeaders {
    /// `Content-Type`; `application/octet-stream` is answered when absent.
    pub content_type: Option<Vec<u8>>,
    /// `Cache-Control`.
    pub cache_control: Option<Vec<u8>>,
    /// `Content-Disposition`.
    pub content_disposition: Option<Vec<u8>>,
    /// `Content-Encoding`.
    pub content_encoding: Option<Vec<u8>>,
    /// `Content-Language`.
    pub content_language: Option<Vec<u8>>,
    /// `Expires`, not interpreted.
    pub expires: Option<Vec<u8>>,
}

/// Where the access log of a bucket goes (HTTP API 8.15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggingConfiguration {
    /// The bucket that receives the log.
    pub target_bucket: String,
    /// What the names of log objects begin with; may be empty.
    pub target_prefix: String,
}

/// A bucket that answers like a web site (HTTP API 8.16). At least one member is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WebsiteConfiguration {
    /// What a directory shows.
    pub index_document: Option<IndexDocument>,
    /// What a missing object shows.
    pub error_document: Option<ErrorDocument>,
}

/// What a directory of a web site shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDocument {
    /// The object name below the directory, without `/`.
    pub suffix: String,
    /// Whether directories below the root have index pages too.
    pub support_sub_dir: bool,
    /// What a missing object does with sub-directories: 0 redirect, 1 no such key, 2 index page.
    pub sub_dir_type: u8,
}

/// What a missing object of a web site shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The key of the page.
    pub key: String,
    /// The status it is sent with, 200 or 404.
    pub http_status: u16,
}

/// What is fixed about the machine a request came from, for policies and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_parts_is_that_of_the_example() {
        let parts = ["302D3A0C8E319EAA95B059B346DE1D1D", "82136B4240D6CE4EA7D03E51469A393B"].map(ETag::from_text);
        assert_eq!(ETag::of_parts(&parts).as_str(), "16F2D8490DA86AC7AA4B726C3553BAC8-2");
    }

    #[test]
    fn tags_match_however_they_are_sent() {
        let tag = ETag::from_md5([0xAB; 16]);
        for (sent, same) in [("*", true), (" \"abABabABabABabABabABabABabABabAB\" ", true), ("ab", false), ("", false)]
        {
            assert_eq!(tag.matches(sent), same, "{sent}");
        }
        assert_eq!(tag.quoted().len(), 34);
    }

    #[test]
    fn spellings_are_exact() {
        assert_eq!(StorageClass::parse("IA"), Some(StorageClass::InfrequentAccess));
        assert_eq!(BucketAcl::parse("Private"), None);
        assert_eq!(ObjectAcl::PublicRead.to_string(), "public-read");
    }
}
