//! What may be named, and how: buckets, objects, channels, playlists, access keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode};

/// Implements what all checked names share: access to the text, printing, and reading back what was written down.
macro_rules! text_name {
    ($name:ident, $parse:expr) => {
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                let parse: fn(&str) -> Result<Self, Error> = $parse;
                parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A bucket name: 3 to 63 bytes of `a-z 0-9 -`, alphanumeric at both ends (HTTP API 1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

text_name!(BucketName, BucketName::parse);

impl BucketName {
    /// Accepts a legal bucket name.
    ///
    /// # Errors
    /// `InvalidBucketName` with the element `BucketName`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if Self::is_legal(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::new(ErrorCode::InvalidBucketName).with("BucketName", text))
        }
    }

    /// Whether `text` could name a bucket.
    pub fn is_legal(text: &str) -> bool {
        let bytes = text.as_bytes();
        let is_alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        (3..=63).contains(&bytes.len())
            && bytes.iter().all(|b| is_alphanumeric(b) || *b == b'-')
            && bytes.first().is_some_and(is_alphanumeric)
            && bytes.last().is_some_and(is_alphanumeric)
    }
}

/// An object key: 1 to 1023 bytes of UTF-8 that do not begin with `/` or `\` (HTTP API 1.1). Opaque otherwise: `a//b`,
/// `..` and control characters are legal and distinct.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

text_name!(ObjectKey, |text| ObjectKey::parse(text.as_bytes()));

impl ObjectKey {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 1023;

    /// Accepts a legal key, given as the percent-decoded bytes of a path.
    ///
    /// # Errors
    /// `InvalidObjectName` with the documented message for the rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |message: &'static str| {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(Self::MAX_BYTES)]).into_owned();
            Error::new(ErrorCode::InvalidObjectName).message(message).with("ObjectName", shown)
        };
        if bytes.is_empty() {
            return Err(refuse("The Object name can not be empty."));
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(refuse("The Length of Object name must be less than 1024."));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.starts_with(['/', '\\']) => Ok(Self(text.to_owned())),
            _ => Err(refuse("The specified object is not valid.")),
        }
    }
}

/// A LiveChannel name: UTF-8 without `/` and control characters, not beginning with `\` (LiveChannel 0.4), and short
/// enough that every playlist of the channel has a legal key. How long names may be is configured and asked where they
/// come in ([`ChannelName::parse_within`]); what exists outlives a change of that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(String);

text_name!(ChannelName, |text| ChannelName::parse(text.as_bytes()));

impl ChannelName {
    /// The longest channel name there can be, in bytes: with the longest playlist name it makes the longest key.
    pub const MAX_BYTES: usize = ObjectKey::MAX_BYTES - 1 - PlaylistName::MAX_BYTES;

    /// The longest that is accepted unless something else is configured (LiveChannel 0.4 rule 2).
    pub const DEFAULT_MAX_BYTES: usize = 63;

    /// Accepts a name that a channel can have.
    ///
    /// # Errors
    /// `InvalidArgument` with the EC of the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse_within(bytes, Self::MAX_BYTES)
    }

    /// Accepts a name of at most `max_bytes`.
    ///
    /// # Errors
    /// `InvalidArgument` with the EC of the first rule that is broken.
    pub fn parse_within(bytes: &[u8], max_bytes: usize) -> Result<Self, Error> {
        let max_bytes = max_bytes.min(Self::MAX_BYTES);
        let refuse = |ec: &'static str, message: &'static str| {
            Error::new(ErrorCode::InvalidArgument).message(message).ec(ec).with("ArgumentName", "liveChannelName").with(
                "ArgumentValue",
                String::from_utf8_lossy(&bytes[..bytes.len().min(ObjectKey::MAX_BYTES)]).into_owned(),
            )
        };
        if bytes.is_empty() {
            return Err(refuse("0017-00000257", "The live channel name must not be empty."));
        }
        if bytes.len() > max_bytes {
            let message = format!("The length of the live channel name must be less than {}.", max_bytes + 1);
            return Err(refuse("0017-00000258", "").message(message));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(refuse("0017-00000259", "The live channel name must be UTF-8 encoded."));
        };
        // Control characters cannot be written in XML 1.0, so a listing could not show such a channel.
        if text.chars().any(|c| c < ' ' || c == '\u{7f}') {
            return Err(refuse("0017-00000259", "The live channel name must be UTF-8 encoded."));
        }
        if text.contains('/') {
            return Err(refuse("0017-00000260", "The live channel name must not contain '/'."));
        }
        if text.starts_with('\\') {
            return Err(refuse("0017-00000259", "The live channel name must not start with '\\'."));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a live playlist: 6 to 128 bytes, no `/`, ending in `.m3u8` (LiveChannel 1.1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlaylistName(String);

text_name!(PlaylistName, PlaylistName::parse);

impl PlaylistName {
    /// The longest playlist name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The name a channel gets when none is configured.
    pub const DEFAULT: &'static str = "playlist.m3u8";

    /// Accepts a legal playlist name.
    ///
    /// # Errors
    /// `InvalidArgument` with EC 0044-00000016, 17 or 18, in that order.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |ec: &'static str, message: &'static str| {
            let mut end = text.len().min(256);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Err(Error::new(ErrorCode::InvalidArgument)
                .message(message)
                .ec(ec)
                .with("ArgumentName", "PlaylistName")
                .with("ArgumentValue", &text[..end]))
        };
        // Control characters cannot be written in XML 1.0, so the channel's configuration could not be shown.
        if text.contains('/') || text.chars().any(|c| c < ' ' || c == '\u{7f}') {
            return refuse("0044-00000016", "PlaylistName must not contain '/'.");
        }
        if !(6..=Self::MAX_BYTES).contains(&text.len()) {
            return refuse("0044-00000017", "PlaylistName must be 6 to 128 bytes long.");
        }
        if !text.ends_with(".m3u8") {
            return refuse("0044-00000018", "PlaylistName must end with \".m3u8\".");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Default for PlaylistName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

/// The id of an access key: 1 to 128 characters `0-9 a-z A-Z . _ = -` (OSS auth 1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId(String);

text_name!(AccessKeyId, AccessKeyId::parse);

impl AccessKeyId {
    /// Accepts a legal access key id.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` with the text for unacceptable characters.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_legal = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'=' | b'-'));
        if is_legal {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(128).collect();
        Err(Error::new(ErrorCode::InvalidAccessKeyId)
            .message(
                "The OSS Access Key Id contains non-acceptable characters, which accepts only alphanumeric \
                 characters[0-9a-zA-Z] and several special characters[. _=]",
            )
            .with("OSSAccessKeyId", shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rule() {
        for (text, legal) in [
            ("abc", true),
            ("a-c", true),
            ("0bc", true),
            ("ab", false),
            ("-bc", false),
            ("ab-", false),
            ("a.b", false),
            ("Abc", false),
            ("favicon.ico", false),
            (&"a".repeat(63), true),
            (&"a".repeat(64), false),
        ] {
            assert_eq!(BucketName::parse(text).is_ok(), legal, "{text}");
        }
    }

    #[test]
    fn keys_are_opaque() {
        for (bytes, legal) in [
            (&b"a//b"[..], true),
            (b"..", true),
            (b"a\0b", true),
            (b"", false),
            (b"/a", false),
            (b"\\a", false),
            (b"\xff", false),
        ] {
            assert_eq!(ObjectKey::parse(bytes).is_ok(), legal, "{bytes:?}");
        }
        assert!(ObjectKey::parse("字".repeat(341).as_bytes()).is_ok());
        assert!(ObjectKey::parse(&[b'a'; 1024]).is_err());
    }

    #[test]
    fn channel_names_name_the_broken_rule() {
        for (bytes, ec) in [
            (&b""[..], Some("0017-00000257")),
            (&[b'a'; 64], Some("0017-00000258")),
            (&[0xff; 64], Some("0017-00000258")),
            (&[b'a'; 63], None),
            (b"a\xff", Some("0017-00000259")),
            (b"a\x01", Some("0017-00000259")),
            (b"a/b", Some("0017-00000260")),
            ("测试通过".as_bytes(), None),
            (b"live channel 2", None),
        ] {
            let parsed = ChannelName::parse_within(bytes, ChannelName::DEFAULT_MAX_BYTES);
            assert_eq!(parsed.err().and_then(|e| e.ec), ec, "{bytes:?}");
        }
    }

    #[test]
    fn the_bound_of_channel_names_is_chosen_and_leaves_room_for_playlists() {
        for (len, max_bytes, message) in [
            (1, 1, None),
            (2, 1, Some("The length of the live channel name must be less than 2.")),
            (64, 63, Some("The length of the live channel name must be less than 64.")),
            (64, 64, None),
            (894, 894, None),
            (895, 894, Some("The length of the live channel name must be less than 895.")),
            (895, usize::MAX, Some("The length of the live channel name must be less than 895.")),
        ] {
            let error = ChannelName::parse_within("a".repeat(len).as_bytes(), max_bytes).err();
            assert_eq!(error.map(|error| error.message).as_deref(), message, "{len} within {max_bytes}");
        }
        let longest = ChannelName::parse("a".repeat(ChannelName::MAX_BYTES).as_bytes()).unwrap();
        let playlist = PlaylistName::parse(&format!("{}.m3u8", "p".repeat(123))).unwrap();
        assert!(ObjectKey::parse(format!("{longest}/{playlist}").as_bytes()).is_ok());
        assert_eq!(serde_json::from_str::<ChannelName>(&serde_json::to_string(&longest).unwrap()).unwrap(), longest);
    }

    #[test]
    fn what_is_written_down_is_checked_when_read() {
        let key = ObjectKey::parse("a//b".as_bytes()).unwrap();
        assert_eq!(serde_json::from_str::<ObjectKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
        assert!(serde_json::from_str::<BucketName>("\"A\"").is_err());
    }

    #[test]
    fn playlist_names_name_the_broken_rule() {
        for (text, ec) in [
            ("playlist.m3u8", None),
            ("a.b.m3u8", None),
            ("a/b.m3u8", Some("0044-00000016")),
            (".m3u8", Some("0044-00000017")),
            ("playlist.M3U8", Some("0044-00000018")),
        ] {
            assert_eq!(PlaylistName::parse(text).err().and_then(|e| e.ec), ec, "{text}");
        }
    }
}
