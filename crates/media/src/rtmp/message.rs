//! What a chunk stream carries once it is put together: RTMP messages, and the media tags among them.

use bytes::Bytes;

/// Which track a [`Tag`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// An RTMP audio message (type 8); its payload is the body of an FLV audio tag.
    Audio,
    /// An RTMP video message (type 9); its payload is the body of an FLV video tag.
    Video,
}

/// One audio or video message of a publish, in the form in which FLV would store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The track.
    pub kind: TagKind,
    /// The time that the encoder sent, in milliseconds modulo 2^32, after the repairs of the chunk layer (D6). It is
    /// not unwrapped, and it may step backwards.
    pub timestamp_ms: u32,
    /// The body of the FLV tag: one or two header bytes, then codec data. Never empty.
    pub payload: Bytes,
}
