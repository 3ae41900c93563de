//! The chunk stream: messages cut into interleaved chunks (RTMP 1.0, section 5.3).

mod reader;
mod time;
mod writer;

use thiserror::Error;

pub use reader::ChunkReader;
pub use writer::{ChunkWriter, MessageTooLong, Outgoing};

/// The chunk size of both directions until a peer announces another.
pub const INITIAL_CHUNK_SIZE: u32 = 128;

/// The largest chunk size; no message is longer (RTMP 1.0, section 5.4.1).
pub const MAX_CHUNK_SIZE: u32 = 0xff_ffff;

/// What a three-byte time field holds when four more bytes follow.
const EXTENDED: u32 = 0xff_ffff;

/// What a chunk stream cannot recover from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A chunk stream begins with a header that refers to an earlier one (quirk Q15).
    #[error("chunk stream {chunk_stream} begins with a type {format} header")]
    NoEarlierHeader {
        /// The chunk stream.
        chunk_stream: u32,
        /// 2 or 3.
        format: u8,
    },
    /// A message declares more than its bound.
    #[error("message of type {kind} declares {length} bytes, more than {limit}")]
    MessageTooLong {
        /// The message type id.
        kind: u8,
        /// The declared length.
        length: u32,
        /// The bound.
        limit: usize,
    },
    /// Too many messages have begun and not ended.
    #[error("more than {limit} messages in flight")]
    TooManyPartialMessages {
        /// The bound.
        limit: usize,
    },
    /// The messages that have begun and not ended hold too many bytes.
    #[error("more than {limit} bytes in unfinished messages")]
    TooManyPartialBytes {
        /// The bound.
        limit: usize,
    },
    /// Too many chunk streams are used before anything is published.
    #[error("more than {limit} chunk streams before a publish")]
    TooManyChunkStreams {
        /// The bound.
        limit: usize,
    },
    /// The peer wants a chunk size of 0 or a negative one (quirk Q23).
    #[error("chunk size {0:#x}")]
    ChunkSize(u32),
}

#[cfg(test)]
mod tests;
