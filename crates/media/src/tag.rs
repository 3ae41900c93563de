//! What media is made of on its way in: the messages of a publish and the tags of a file are the same thing.

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

impl Tag {
    /// Whether it says of itself that it is a key frame, or begins one; headers and ends of sequences, which are marked
    /// like key frames, are none.
    pub fn begins_key_frame(&self) -> bool {
        let holds_frame = match *self.payload {
            // Enhanced RTMP: coded frames, with or without composition time.
            [head, ..] if head & 0x80 != 0 => matches!(head & 0x0f, 1 | 3),
            [_, packet, ..] => packet == 1,
            _ => false,
        };
        self.kind == TagKind::Video && holds_frame && is_key_frame(self.payload.first())
    }
}

/// Whether a video message is a key frame by its first byte (FLV and enhanced RTMP keep the kind of a frame in the same
/// bits).
pub(crate) fn is_key_frame(first: Option<&u8>) -> bool {
    first.is_some_and(|first| (first & 0x7f) >> 4 == 1)
}
