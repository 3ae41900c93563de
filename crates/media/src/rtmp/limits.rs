//! How much one peer may make us hold.

/// The bounds of one connection. `Default` gives the values named at each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest audio, video or aggregate message in bytes: 32 MiB (D4). The length field of a chunk header has 24
    /// bits, so no single message can exceed 16 MiB - 1; a lower value refuses more.
    pub max_message: usize,
    /// The longest command, data or control message in bytes: 64 KiB. A longer command ends the session, a longer data
    /// message is skipped and counted, since metadata is never needed (quirk Q7).
    pub max_command: usize,
    /// The longest audio message in bytes: 64 KiB (LiveChannel 4.1). A longer one is skipped and counted.
    pub max_audio: usize,
    /// The sum of the bytes of all messages that have begun but not ended: 40 MiB.
    pub max_partial_bytes: usize,
    /// How many chunk streams may be in the middle of a message at once: 64 (quirk Q21: ids are not limited).
    pub max_partial_messages: usize,
    /// What a connection may hold while nothing is published: 32 KiB, the longest command and the sum of all messages that
    /// have begun. The longest `connect` and `publish` fit. Longer media and metadata, which mean nothing then, are
    /// skipped and counted; longer commands end the session.
    pub max_early_bytes: usize,
    /// How many chunk streams with ids from 64 on a connection may use while nothing is published: 64. Each is remembered,
    /// and encoders need none of them for their commands.
    pub max_early_chunk_streams: usize,
    /// How deep AMF objects and arrays may nest: 16.
    pub max_amf_depth: usize,
    /// How many AMF values one message may hold, counting each at any depth: 4096.
    pub max_amf_values: usize,
    /// The longest `app`, `tcUrl` and publish name in bytes: 4096 (LiveChannel 3.7, trap 6).
    pub max_name: usize,
    /// The acknowledgement window that we announce, and that we assume until the peer announces one: 2.5 MB (quirk Q10).
    pub window: u32,
    /// The size in bytes of the chunks that we send: 60,000 (LiveChannel 3.10 asks for 4096 or more). ffmpeg takes it over
    /// for its own chunks, and a message that fits one chunk is handed on without being copied.
    pub send_chunk_size: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 32 << 20,
            max_command: 64 << 10,
            max_audio: 64 << 10,
            max_partial_bytes: 40 << 20,
            max_partial_messages: 64,
            max_early_bytes: 32 << 10,
            max_early_chunk_streams: 64,
            max_amf_depth: 16,
            max_amf_values: 4096,
            max_name: 4096,
            window: 2_500_000,
            send_chunk_size: 60_000,
        }
    }
}
