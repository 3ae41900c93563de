//! From messages to bytes: the sending half of a chunk stream.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{EXTENDED, INITIAL_CHUNK_SIZE, MAX_CHUNK_SIZE};
use crate::bits::WriteBytes;
use crate::rtmp::message::MessageKind;

/// The sending half of a chunk stream.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: u32,
    earlier: BTreeMap<u8, Earlier>,
}

#[derive(Clone, Copy, Debug)]
struct Earlier {
    timestamp: u32,
    stream_id: u32,
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The chunk stream, 2 to 63.
    pub chunk_stream: u8,
    /// What it is.
    pub kind: MessageKind,
    /// Its time in milliseconds modulo 2^32.
    pub timestamp_ms: u32,
    /// The message stream.
    pub stream_id: u32,
    /// The body.
    pub payload: &'a [u8],
}

/// A message is longer than the 24 bits of its length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message of {length} bytes does not fit RTMP")]
pub struct MessageTooLong {
    /// Its length in bytes.
    pub length: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: INITIAL_CHUNK_SIZE, earlier: BTreeMap::new() }
    }
}

impl ChunkWriter {
    /// The size of the chunks that follow, within 1 and 16 777 215. The caller announces it to the peer first.
    pub fn set_chunk_size(&mut self, size: u32) {
        self.chunk_size = size.clamp(1, MAX_CHUNK_SIZE);
    }

    /// Appends the chunks of `message` to `output`: the first with a type 1 header where time moves forward, else with
    /// type 0; the rest with type 3, where the extended timestamp is repeated as RTMP 1.0, section 5.3.1.3, asks.
    pub fn write(&mut self, message: &Outgoing<'_>, output: &mut impl WriteBytes) -> Result<(), MessageTooLong> {
        let Outgoing { chunk_stream, kind, timestamp_ms, stream_id, payload } = *message;
        let chunk_stream = chunk_stream.clamp(2, 63);
        let too_long = MessageTooLong { length: payload.len() };
        let length = u32::try_from(payload.len()).ok().filter(|&length| length <= MAX_CHUNK_SIZE).ok_or(too_long)?;
        let delta = self
            .earlier
            .get(&chunk_stream)
            .filter(|earlier| earlier.stream_id == stream_id)
            .map(|earlier| timestamp_ms.wrapping_sub(earlier.timestamp))
            .filter(|&delta| delta < EXTENDED);
        self.earlier.insert(chunk_stream, Earlier { timestamp: timestamp_ms, stream_id });
        let time = delta.unwrap_or(timestamp_ms);
        let extended = (time >= EXTENDED).then_some(time);

        output.write_u8(if delta.is_some() { 0x40 } else { 0 } | chunk_stream);
        output.write_u24(time.min(EXTENDED));
        output.write_u24(length);
        output.write_u8(kind.id());
        if delta.is_none() {
            output.write_u32_le(stream_id);
        }
        let mut chunks = payload.chunks(self.chunk_size as usize);
        let mut chunk = chunks.next();
        loop {
            if let Some(value) = extended {
                output.write_u32(value);
            }
            output.write_bytes(chunk.unwrap_or_default());
            chunk = chunks.next();
            if chunk.is_none() {
                return Ok(());
            }
            output.write_u8(0xc0 | chunk_stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::rtmp::chunk::ChunkReader;
    use crate::rtmp::limits::Limits;
    use crate::rtmp::stats::QuirkCounts;

    fn written(chunk_size: u32, messages: &[(u32, &[u8])]) -> Vec<u8> {
        let mut writer = ChunkWriter::default();
        writer.set_chunk_size(chunk_size);
        let mut bytes = Vec::new();
        for &(timestamp_ms, payload) in messages {
            let message = Outgoing { chunk_stream: 6, kind: MessageKind::Video, timestamp_ms, stream_id: 1, payload };
            writer.write(&message, &mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn headers_are_byte_exact() {
        assert_eq!(
            written(3, &[(5, b"abcd"), (9, b"e"), (7, b"")]),
            b"\x06\x00\x00\x05\x00\x00\x04\x09\x01\x00\x00\x00abc\xc6d\
              \x46\x00\x00\x04\x00\x00\x01\x09e\
              \x06\x00\x00\x07\x00\x00\x00\x09\x01\x00\x00\x00"
        );
        assert_eq!(
            written(1, &[(0x0100_0000, b"ab")]),
            b"\x06\xff\xff\xff\x00\x00\x02\x09\x01\x00\x00\x00\x01\x00\x00\x00a\xc6\x01\x00\x00\x00b"
        );
    }

    #[test]
    fn a_message_beyond_24_bits_is_refused() {
        let payload = vec![0; 1 << 24];
        let message =
            Outgoing { chunk_stream: 6, kind: MessageKind::Video, timestamp_ms: 0, stream_id: 1, payload: &payload };
        let mut bytes = Vec::new();
        assert_eq!(ChunkWriter::default().write(&message, &mut bytes), Err(MessageTooLong { length: 1 << 24 }));
        assert!(bytes.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            chunk_size in 1u32..300,
            start in any::<u32>(),
            messages in prop::collection::vec((4u8..9, -50i32..5000, prop::collection::vec(any::<u8>(), 0..900)), 1..20),
        ) {
            let mut writer = ChunkWriter::default();
            writer.set_chunk_size(chunk_size);
            let mut reader = ChunkReader::new(&Limits::default());
            let mut quirks = QuirkCounts::default();
            reader.set_chunk_size(chunk_size, &mut quirks).unwrap();
            let mut bytes = BytesMut::new();
            let mut time = start;
            for (chunk_stream, step, payload) in &messages {
                time = time.wrapping_add_signed(*step);
                let kind = if chunk_stream % 2 == 0 { MessageKind::Video } else { MessageKind::Audio };
                let message =
                    Outgoing { chunk_stream: *chunk_stream, kind, timestamp_ms: time, stream_id: 1, payload };
                writer.write(&message, &mut bytes).unwrap();
                let read = reader.next_message(&mut bytes, &mut quirks).unwrap().unwrap();
                prop_assert_eq!((read.kind, read.timestamp_ms, &read.payload[..]), (kind, time, &payload[..]));
                prop_assert!(bytes.is_empty());
            }
        }
    }
}
