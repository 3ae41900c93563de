//! What a session leaves for its report (D7, D21): who spoke, how much, and which oddities were met.

use super::handshake::HandshakeKind;

/// Defines [`Quirk`] with its names in one table, so that no variant can lack a name.
macro_rules! quirks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something that a peer did beside the letter of RTMP, or that we had to drop. The name of each begins with its row
        /// of the quirk list where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Quirk {
            $($(#[$doc])* $variant,)*
        }

        impl Quirk {
            /// All quirks, in the order of their declaration.
            pub const ALL: &'static [Quirk] = &[$(Quirk::$variant,)*];

            /// The name used in reports and metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Quirk::$variant => $name,)*
                }
            }
        }
    };
}

quirks! {
    /// C0 names a version other than 3.
    HandshakeVersion = "q01_handshake_version",
    /// A command or data message came with type 17 or 15.
    Amf3Message = "q03_amf3_message",
    /// A command has no answer of its own here.
    UnknownCommand = "q04_unknown_command",
    /// A command or data message ended inside a value, or held a value that AMF does not know.
    DamagedAmf = "q07_damaged_amf",
    /// A data message without a name: empty, or the few bytes that some encoders send as a no-op.
    NoOpData = "q07_no_op_data",
    /// The peer announced an acknowledgement window of 0.
    WindowZero = "q10_window_zero",
    /// A user-control event that needs no reaction.
    UserControlIgnored = "q11_user_control_ignored",
    /// A message of a type without a meaning here.
    UnknownMessage = "q11_unknown_message",
    /// A control message shorter than its fields.
    ShortControl = "q11_short_control",
    /// A chunk stream began with a type 1 header.
    FreshType1 = "q15_fresh_type_1",
    /// A type 3 header began a message after type 0, and the type 0 time was read as delta.
    Type3AfterType0Advances = "q16_type_3_after_type_0_advances",
    /// A type 3 header began a message after type 0, and the time was read as repeated.
    Type3AfterType0Repeats = "q16_type_3_after_type_0_repeats",
    /// A type 3 chunk lacked the extended timestamp of its message.
    ExtendedTimestampAbsent = "q17_extended_timestamp_absent",
    /// A type 3 chunk had an extended timestamp that differs from that of its message.
    ExtendedTimestampDiffers = "q17_extended_timestamp_differs",
    /// An extended delta was read as an absolute time.
    ExtendedDeltaAbsolute = "q18_extended_delta_absolute",
    /// A time without extension fell by about 2^24 ms and was unwrapped.
    Wrapped24Bit = "q19_wrapped_24_bit",
    /// A message was begun anew before it had ended.
    MessageRestarted = "q22_message_restarted",
    /// The chunk size changed while a message was in flight.
    ChunkSizeMidMessage = "q23_chunk_size_mid_message",
    /// The peer named a chunk size beyond 16 777 215, which counts as 16 777 215.
    ChunkSizeClamped = "q23_chunk_size_clamped",
    /// An audio, video, data or command message without a payload.
    EmptyMessage = "q25_empty_message",
    /// The peer took back a message that it had begun.
    Abort = "q26_abort",
    /// A message that packs several tags.
    Aggregate = "q26_aggregate",
    /// An aggregate that ends inside a tag.
    DamagedAggregate = "q26_damaged_aggregate",
    /// An end of publish that came when nothing had ever been published.
    UnpublishWithoutPublish = "q47_unpublish_without_publish",
    /// A message skipped because it exceeds its bound.
    OversizeSkipped = "oversize_skipped",
    /// Audio or video outside a publish.
    MediaOutsidePublish = "media_outside_publish",
    /// Audio or video on another message stream than the published one; it is taken all the same.
    MediaOnOtherStream = "media_on_other_stream",
    /// A second publish of the name that is already live, ignored (D2).
    PublishRepeated = "publish_repeated",
    /// A second publish of another name, refused (D2).
    PublishWhileLive = "publish_while_live",
    /// A command that only makes sense after `connect`.
    CommandBeforeConnect = "command_before_connect",
}

/// How often each [`Quirk`] was met.
#[derive(Clone, PartialEq, Eq)]
pub struct QuirkCounts([u64; Quirk::ALL.len()]);

impl Default for QuirkCounts {
    fn default() -> Self {
        Self([0; Quirk::ALL.len()])
    }
}

impl std::fmt::Debug for QuirkCounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_map().entries(self.iter().map(|(quirk, count)| (quirk.name(), count))).finish()
    }
}

impl QuirkCounts {
    /// How often `quirk` was met.
    pub fn count(&self, quirk: Quirk) -> u64 {
        self.0.get(quirk as usize).copied().unwrap_or(0)
    }

    /// The quirks met at least once, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Quirk, u64)> + '_ {
        Quirk::ALL.iter().map(|&quirk| (quirk, self.count(quirk))).filter(|&(_, count)| count > 0)
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, quirk: Quirk) {
        if let Some(count) = self.0.get_mut(quirk as usize) {
            *count = count.saturating_add(1);
        }
    }
}

/// What one session did so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionStats {
    /// The handshake, once it is done.
    pub handshake: Option<HandshakeKind>,
    /// `flashVer` of `connect`.
    pub flash_version: Option<String>,
    /// `encoder` of the last metadata that had one.
    pub encoder: Option<String>,
    /// Bytes that came from the peer, handshake included.
    pub bytes_received: u64,
    /// Bytes handed out for sending.
    pub bytes_sent: u64,
    /// Messages of any type that were complete.
    pub messages: u64,
    /// Commands understood as such.
    pub commands: u64,
    /// Audio messages handed up.
    pub audio_messages: u64,
    /// Bytes of their payloads.
    pub audio_bytes: u64,
    /// Video messages handed up.
    pub video_messages: u64,
    /// Bytes of their payloads.
    pub video_bytes: u64,
    /// Data messages handed up as metadata.
    pub metadata_messages: u64,
    /// Publishes accepted.
    pub publishes: u64,
    /// Publishes refused, by us or by the caller, with the code and description of the last.
    pub refusals: u64,
    /// The last refusal as the peer saw it.
    pub last_refusal: Option<String>,
    /// Acknowledgements sent.
    pub acknowledgements: u64,
    /// Pings sent.
    pub pings: u64,
    /// Pings answered by the peer.
    pub pongs: u64,
    /// The type of the last message without a meaning here.
    pub last_unknown_message: Option<u8>,
    /// The name of the last command without an answer of its own.
    pub last_unknown_command: Option<String>,
    /// The oddities met.
    pub quirks: QuirkCounts,
}

impl SessionStats {
    /// How the peer names itself: the encoder of its metadata, else `flashVer`.
    pub fn encoder_name(&self) -> Option<&str> {
        self.encoder.as_deref().or(self.flash_version.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_by_name() {
        let mut counts = QuirkCounts::default();
        counts.add(Quirk::Abort);
        counts.add(Quirk::Abort);
        counts.add(Quirk::CommandBeforeConnect);
        let listed: Vec<_> = counts.iter().map(|(quirk, count)| (quirk.name(), count)).collect();
        assert_eq!(listed, [("q26_abort", 2), ("command_before_connect", 1)]);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Quirk::ALL.iter().map(|quirk| quirk.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Quirk::ALL.len());
    }
}
