//! What a chunk stream carries once it is put together: RTMP messages, and the media tags among them.

use bytes::Bytes;
use thiserror::Error;

use crate::flv_file;
pub use crate::tag::{Tag, TagKind};

/// The type of a message (RTMP 1.0, sections 5.4 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Type 1: the size of the chunks that follow.
    SetChunkSize,
    /// Type 2: a message that was begun will not be ended.
    Abort,
    /// Type 3: how many bytes the peer has received.
    Acknowledgement,
    /// Type 4: pings, stream begin and the like.
    UserControl,
    /// Type 5: how often the peer wants an acknowledgement.
    WindowAcknowledgementSize,
    /// Type 6: how much the peer wants in flight.
    SetPeerBandwidth,
    /// Type 8.
    Audio,
    /// Type 9.
    Video,
    /// Type 15: data encoded as AMF3, or AMF0 after a zero byte.
    Amf3Data,
    /// Type 17: a command encoded as AMF3, or AMF0 after a zero byte.
    Amf3Command,
    /// Type 18: data such as `onMetaData`.
    Amf0Data,
    /// Type 20: a command such as `connect`.
    Amf0Command,
    /// Type 22: several audio, video and data messages in one.
    Aggregate,
    /// Any type without a meaning here.
    Other(u8),
}

impl MessageKind {
    /// The kind of a message type id.
    pub fn from_id(id: u8) -> Self {
        match id {
            1 => Self::SetChunkSize,
            2 => Self::Abort,
            3 => Self::Acknowledgement,
            4 => Self::UserControl,
            5 => Self::WindowAcknowledgementSize,
            6 => Self::SetPeerBandwidth,
            8 => Self::Audio,
            9 => Self::Video,
            15 => Self::Amf3Data,
            17 => Self::Amf3Command,
            18 => Self::Amf0Data,
            20 => Self::Amf0Command,
            22 => Self::Aggregate,
            other => Self::Other(other),
        }
    }

    /// Whether it holds sound or pictures.
    pub fn is_media(self) -> bool {
        matches!(self, Self::Audio | Self::Video | Self::Aggregate)
    }

    /// The message type id.
    pub fn id(self) -> u8 {
        match self {
            Self::SetChunkSize => 1,
            Self::Abort => 2,
            Self::Acknowledgement => 3,
            Self::UserControl => 4,
            Self::WindowAcknowledgementSize => 5,
            Self::SetPeerBandwidth => 6,
            Self::Audio => 8,
            Self::Video => 9,
            Self::Amf3Data => 15,
            Self::Amf3Command => 17,
            Self::Amf0Data => 18,
            Self::Amf0Command => 20,
            Self::Aggregate => 22,
            Self::Other(id) => id,
        }
    }
}

/// One message, put together from its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// Its time in milliseconds modulo 2^32.
    pub timestamp_ms: u32,
    /// The message stream; 0 is the connection itself.
    pub stream_id: u32,
    /// The length that its header declared. It differs from that of `payload` only for a message that was skipped
    /// instead of kept; then `payload` is empty.
    pub length: u32,
    /// The body.
    pub payload: Bytes,
}

/// An aggregate message ends inside a tag, or holds another aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("aggregate message damaged with {remaining} bytes left")]
pub struct DamagedAggregate {
    /// How many bytes could not be read.
    pub remaining: usize,
}

/// The messages inside an aggregate (type 22), one at a time and without copying.
///
/// The tags inside count from an origin of their own; each is moved so that the first one has the time of the
/// aggregate (quirk Q26).
#[derive(Clone, Debug)]
pub struct Aggregate {
    payload: Bytes,
    timestamp_ms: u32,
    stream_id: u32,
    origin: Option<u32>,
}

impl Aggregate {
    /// Begins at the first tag of an aggregate message.
    pub fn new(message: Message) -> Self {
        Self {
            payload: message.payload,
            timestamp_ms: message.timestamp_ms,
            stream_id: message.stream_id,
            origin: None,
        }
    }

    /// The next message, or `None` at the end. After an error the rest is given up.
    pub fn next_message(&mut self) -> Option<Result<Message, DamagedAggregate>> {
        if self.payload.is_empty() {
            return None;
        }
        let remaining = self.payload.len();
        let message = self.split_tag();
        if message.is_none() {
            self.payload.clear();
        }
        Some(message.ok_or(DamagedAggregate { remaining }))
    }

    fn split_tag(&mut self) -> Option<Message> {
        let tag = flv_file::split_tag(&mut self.payload)?;
        let kind = MessageKind::from_id(tag.kind);
        if kind == MessageKind::Aggregate {
            return None;
        }
        let origin = *self.origin.get_or_insert(tag.timestamp_ms);
        let timestamp_ms = self.timestamp_ms.wrapping_add(tag.timestamp_ms.wrapping_sub(origin));
        // It was sent in 24 bits.
        let length = tag.body.len() as u32;
        Some(Message { kind, timestamp_ms, stream_id: self.stream_id, length, payload: tag.body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::WriteBytes;

    fn flv_tag(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
        let mut tag = vec![kind];
        tag.write_u24(body.len() as u32);
        tag.write_u24(timestamp);
        tag.write_u8((timestamp >> 24) as u8);
        tag.write_u24(0);
        tag.write_bytes(body);
        tag.write_u32(11 + body.len() as u32);
        tag
    }

    fn check(bytes: Vec<u8>, expected: &[(MessageKind, u32, &[u8])], damaged: bool) {
        let mut aggregate = Aggregate::new(Message {
            kind: MessageKind::Aggregate,
            timestamp_ms: 5000,
            stream_id: 1,
            length: bytes.len() as u32,
            payload: bytes.into(),
        });
        let mut found = Vec::new();
        let mut damage = false;
        while let Some(next) = aggregate.next_message() {
            match next {
                Ok(message) => found.push((message.kind, message.timestamp_ms, message.payload.to_vec())),
                Err(_) => damage = true,
            }
        }
        let expected: Vec<_> = expected.iter().map(|&(kind, time, body)| (kind, time, body.to_vec())).collect();
        assert_eq!((found, damage), (expected, damaged));
    }

    #[test]
    fn q26_aggregate_times_are_rebased_on_the_first_tag() {
        let bytes =
            [flv_tag(9, 0x0100_0000, b"v"), flv_tag(8, 0x0100_0017, b"a"), flv_tag(8, 0x00ff_ffff, b"")].concat();
        check(
            bytes,
            &[(MessageKind::Video, 5000, b"v"), (MessageKind::Audio, 5023, b"a"), (MessageKind::Audio, 4999, b"")],
            false,
        );
    }

    #[test]
    fn q26_last_back_pointer_may_be_missing() {
        let mut bytes = flv_tag(9, 7, b"video");
        bytes.truncate(bytes.len() - 4);
        check(bytes, &[(MessageKind::Video, 5000, b"video")], false);
    }

    #[test]
    fn q26_damaged_aggregate_keeps_what_was_whole() {
        let mut bytes = [flv_tag(9, 7, b"video"), flv_tag(8, 9, b"audio")].concat();
        bytes.truncate(bytes.len() - 5);
        check(bytes, &[(MessageKind::Video, 5000, b"video")], true);
        check(flv_tag(22, 0, b"nested"), &[], true);
    }

    #[test]
    fn kinds_and_ids_agree() {
        for id in 0..=255 {
            assert_eq!(MessageKind::from_id(id).id(), id);
        }
    }
}
