//! From bytes to messages: the receiving half of a chunk stream.
//!
//! A message that lies in one chunk is a slice of the buffer it was read into. Any other is gathered in a buffer that
//! grows with the bytes received, never with the length declared (D4).

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};

use super::time::{Clocks, Decision, Pace};
use super::{ChunkError, EXTENDED, INITIAL_CHUNK_SIZE, MAX_CHUNK_SIZE};
use crate::bits::Reader;
use crate::rtmp::limits::Limits;
use crate::rtmp::message::{Message, MessageKind};
use crate::rtmp::stats::{Quirk, QuirkCounts};
use crate::tag::is_key_frame;

/// Ids below this fit into the first byte of a chunk, and every common encoder stays below it.
const SMALL_IDS: u32 = 64;

/// How far beyond its received bytes a message buffer may reach, when that many bytes wait in the input.
const LOOKAHEAD: usize = 256 << 10;

/// How many times a peer must show its habit about extended timestamps before it is taken for granted (quirk Q17).
const VERDICT: u8 = 3;

/// The receiving half of a chunk stream.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_size: u32,
    small: Vec<ChunkStream>,
    large: BTreeMap<u32, ChunkStream>,
    open: Option<OpenChunk>,
    partial_messages: usize,
    partial_bytes: usize,
    clocks: Clocks,
    habit: ExtensionHabit,
    /// Nothing is published: the peer is a stranger yet, or again.
    is_early: bool,
    /// What is missing of a key frame that has begun to come.
    key_frame_rest: usize,
}

/// A chunk whose payload is being consumed.
#[derive(Clone, Copy, Debug)]
struct OpenChunk {
    chunk_stream: u32,
    remaining: u32,
}

#[derive(Debug, Default)]
struct ChunkStream {
    header: Option<Header>,
    partial: Option<Partial>,
}

/// What later headers of the same chunk stream refer to.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: MessageKind,
    length: u32,
    stream_id: u32,
    timestamp: u32,
    pace: Pace,
    /// The extended timestamp or delta as it was sent.
    extended: Option<u32>,
}

/// A message that has begun and not ended.
#[derive(Debug)]
struct Partial {
    received: u32,
    /// Whether `body` gets what is received.
    kept: bool,
    body: Vec<u8>,
}

/// Whether the peer repeats the extended timestamp on type 3 chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExtensionHabit {
    Unknown { present: u8, absent: u8 },
    Present,
    Absent,
}

/// What was found where a type 3 chunk may have an extended timestamp.
#[derive(Clone, Copy, Debug)]
struct Extension {
    value: Option<u32>,
    /// Whether it was read by looking, so that it tells about the habit.
    evidence: bool,
    quirk: Option<Quirk>,
}

/// What the bytes of a chunk header say.
#[derive(Clone, Copy, Debug)]
struct ChunkHead {
    chunk_stream: u32,
    length: usize,
    extension: Option<Extension>,
    /// The message that it begins; `None` when it continues one.
    begins: Option<Beginning>,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    header: Header,
    decision: Decision,
    /// Whether this header itself had an extended time.
    extended: bool,
    quirk: Option<Quirk>,
}

/// What to do with a message of a given type and length.
enum Treatment {
    Keep,
    Skip,
    Refuse { limit: usize },
}

impl ChunkReader {
    /// Begins with chunks of 128 bytes.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            chunk_size: INITIAL_CHUNK_SIZE,
            small: (0..SMALL_IDS).map(|_| ChunkStream::default()).collect(),
            large: BTreeMap::new(),
            open: None,
            partial_messages: 0,
            partial_bytes: 0,
            clocks: Clocks::default(),
            habit: ExtensionHabit::Unknown { present: 0, absent: 0 },
            is_early: false,
            key_frame_rest: 0,
        }
    }

    /// Says whether the peer may make us hold only what leads to a publish ([`Limits::max_early_bytes`]). Media that has
    /// begun when a publish ends is given up.
    pub fn set_early(&mut self, is_early: bool) {
        self.is_early = is_early;
        if is_early && self.partial_messages > 0 {
            self.give_up(|kind| kind.is_media());
            if self.partial_bytes > self.limits.max_early_bytes {
                self.give_up(|_| true);
            }
        }
    }

    /// Frees what has come of messages of some kinds. Their rest is skipped.
    fn give_up(&mut self, is_given_up: impl Fn(MessageKind) -> bool) {
        let mut freed = 0;
        for stream in self.small.iter_mut().chain(self.large.values_mut()) {
            if let (Some(header), Some(partial)) = (&stream.header, &mut stream.partial)
                && is_given_up(header.kind)
            {
                partial.kept = false;
                freed += std::mem::take(&mut partial.body).len();
            }
        }
        self.partial_bytes = self.partial_bytes.saturating_sub(freed);
    }

    /// The size of the chunks that follow, beginning with the next one (quirk Q23). 0 and negative sizes are refused, sizes
    /// beyond the longest message count as that.
    pub fn set_chunk_size(&mut self, size: u32, quirks: &mut QuirkCounts) -> Result<(), ChunkError> {
        if size == 0 || size > i32::MAX.cast_unsigned() {
            return Err(ChunkError::ChunkSize(size));
        }
        if size > MAX_CHUNK_SIZE {
            quirks.add(Quirk::ChunkSizeClamped);
        }
        if self.partial_messages > 0 {
            quirks.add(Quirk::ChunkSizeMidMessage);
        }
        self.chunk_size = size.min(MAX_CHUNK_SIZE);
        Ok(())
    }

    /// Forgets the message that has begun on a chunk stream (RTMP 1.0, section 5.4.2).
    pub fn abort(&mut self, chunk_stream: u32) {
        let partial = match self.small.get_mut(chunk_stream as usize) {
            Some(stream) => stream.partial.take(),
            None => self.large.get_mut(&chunk_stream).and_then(|stream| stream.partial.take()),
        };
        self.release(partial);
    }

    /// How many bytes the messages hold that have begun and not ended.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// About how many bytes are missing of a key frame that has begun to come; 0 when none has. It says how much there is
    /// to wait for, and nothing depends on its being exact.
    pub fn key_frame_rest(&self) -> usize {
        self.key_frame_rest
    }

    /// Takes the next message from the front of `input`; `None` when it needs more bytes. Oddities are counted.
    ///
    /// A control message takes effect only when the caller applies it, and it must do so before it asks again.
    pub fn next_message(
        &mut self,
        input: &mut BytesMut,
        quirks: &mut QuirkCounts,
    ) -> Result<Option<Message>, ChunkError> {
        self.key_frame_rest = 0;
        loop {
            if let Some(open) = self.open {
                if input.is_empty() {
                    self.key_frame_rest = self.rest_of_key_frame(open);
                    return Ok(None);
                }
                if let Some(message) = self.consume(open, input)? {
                    return Ok(Some(message));
                }
                continue;
            }
            let Some(head) = self.head(input)? else { return Ok(None) };
            let Some(beginning) = head.begins else {
                self.resume(head, input, quirks);
                continue;
            };
            self.check_early(head.chunk_stream)?;
            let length = beginning.header.length;
            let kept = match self.treatment(beginning.header.kind, length) {
                Treatment::Keep => true,
                Treatment::Skip => false,
                Treatment::Refuse { limit } => {
                    return Err(ChunkError::MessageTooLong { kind: beginning.header.kind.id(), length, limit });
                }
            };
            let whole = length <= self.chunk_size && (kept || length == 0);
            let missing = (length as usize).saturating_sub(input.len() - head.length);
            if whole && missing > 0 {
                if beginning.header.kind == MessageKind::Video && is_key_frame(input.get(head.length)) {
                    self.key_frame_rest = missing;
                }
                return Ok(None);
            }
            self.begin(&head, &beginning, quirks);
            input.advance(head.length);
            if whole {
                let payload = input.split_to(length as usize).freeze();
                return Ok(Some(beginning.header.message(payload)));
            }
            if self.partial_messages >= self.limits.max_partial_messages {
                return Err(ChunkError::TooManyPartialMessages { limit: self.limits.max_partial_messages });
            }
            self.partial_messages += 1;
            self.stream(head.chunk_stream).partial = Some(Partial { received: 0, kept, body: Vec::new() });
            self.open = Some(OpenChunk { chunk_stream: head.chunk_stream, remaining: length.min(self.chunk_size) });
        }
    }

    /// What is missing of the message of a chunk, where that is a key frame.
    fn rest_of_key_frame(&self, open: OpenChunk) -> usize {
        let stream = match self.small.get(open.chunk_stream as usize) {
            Some(stream) => Some(stream),
            None => self.large.get(&open.chunk_stream),
        };
        match stream.map(|stream| (stream.header, stream.partial.as_ref())) {
            Some((Some(header), Some(partial)))
                if header.kind == MessageKind::Video && is_key_frame(partial.body.first()) =>
            {
                header.length.saturating_sub(partial.received) as usize
            }
            _ => 0,
        }
    }

    /// Refuses one more chunk stream of a stranger who uses too many.
    fn check_early(&self, chunk_stream: u32) -> Result<(), ChunkError> {
        let limit = self.limits.max_early_chunk_streams;
        let is_one_more = || chunk_stream >= SMALL_IDS && !self.large.contains_key(&chunk_stream);
        if self.is_early && self.large.len() >= limit && is_one_more() {
            return Err(ChunkError::TooManyChunkStreams { limit });
        }
        Ok(())
    }

    /// Reads the chunk header at the front of `input` without consuming it; `None` when it is incomplete.
    fn head(&self, input: &[u8]) -> Result<Option<ChunkHead>, ChunkError> {
        let mut reader = Reader::new(input);
        let Ok(first) = reader.u8() else { return Ok(None) };
        let format = first >> 6;
        let chunk_stream = match first & 0x3f {
            0 => match reader.u8() {
                Ok(id) => 64 + u32::from(id),
                Err(_) => return Ok(None),
            },
            1 => match reader.array() {
                Ok([low, high]) => 64 + u32::from(low) + (u32::from(high) << 8),
                Err(_) => return Ok(None),
            },
            id => u32::from(id),
        };
        let stream = match self.small.get(chunk_stream as usize) {
            Some(stream) => Some(stream),
            None => self.large.get(&chunk_stream),
        };
        let earlier = stream.and_then(|stream| stream.header.as_ref());
        let is_partial = stream.is_some_and(|stream| stream.partial.is_some());
        match (format, earlier) {
            (2 | 3, None) => Err(ChunkError::NoEarlierHeader { chunk_stream, format }),
            (3, Some(earlier)) => Ok(self.short_head(&mut reader, chunk_stream, earlier, is_partial)),
            (_, earlier) => Ok(self.full_head(&mut reader, chunk_stream, format, earlier)),
        }
    }

    /// The rest of a type 3 header.
    fn short_head(
        &self,
        reader: &mut Reader<'_>,
        chunk_stream: u32,
        earlier: &Header,
        is_partial: bool,
    ) -> Option<ChunkHead> {
        let mut extension = None;
        if let Some(sent) = earlier.extended {
            let found = if is_partial {
                self.extension_inside(reader, sent, earlier.timestamp)?
            } else {
                self.extension_between(reader, sent, earlier.kind)?
            };
            if found.value.is_some() {
                reader.skip(4).ok()?;
            }
            extension = Some(found);
        }
        let length = reader.offset();
        if is_partial {
            return Some(ChunkHead { chunk_stream, length, extension, begins: None });
        }
        // An extended timestamp that differs from the earlier one and is near the clock is the time itself.
        let own_time = extension
            .and_then(|found| found.value)
            .filter(|&value| Some(value) != earlier.extended && self.clocks.is_near(earlier.kind, value));
        let decision = match own_time {
            Some(time) => self.clocks.absolute(earlier.kind, time, true),
            None => self.clocks.repeated(earlier.kind, earlier.timestamp, earlier.pace),
        };
        let header = Header {
            timestamp: decision.timestamp,
            pace: decision.pace,
            extended: own_time.or(earlier.extended),
            ..*earlier
        };
        let beginning = Beginning { header, decision, extended: false, quirk: None };
        Some(ChunkHead { chunk_stream, length, extension, begins: Some(beginning) })
    }

    /// Looks for the extended timestamp on a chunk that continues a message (quirk Q17): `sent` or `timestamp`, or else
    /// the bytes are payload.
    fn extension_inside(&self, reader: &Reader<'_>, sent: u32, timestamp: u32) -> Option<Extension> {
        let rest = reader.rest();
        let available = rest.get(..rest.len().min(4)).unwrap_or_default();
        let matches = [sent, timestamp].iter().any(|value| value.to_be_bytes().starts_with(available));
        let value = || reader.clone().u32().ok();
        match self.habit {
            ExtensionHabit::Absent => Some(Extension::absent(false)),
            ExtensionHabit::Unknown { .. } if !matches => Some(Extension::absent(true)),
            ExtensionHabit::Unknown { .. } => Some(Extension { value: Some(value()?), evidence: true, quirk: None }),
            ExtensionHabit::Present => {
                let quirk = (!matches).then_some(Quirk::ExtendedTimestampDiffers);
                Some(Extension { value: Some(value()?), evidence: false, quirk })
            }
        }
    }

    /// Looks for the extended timestamp on a type 3 chunk that begins a message: the one `sent` before, or a time near
    /// the clock, or else the bytes are payload.
    fn extension_between(&self, reader: &Reader<'_>, sent: u32, kind: MessageKind) -> Option<Extension> {
        if self.habit == ExtensionHabit::Absent {
            return Some(Extension::absent(false));
        }
        let value = reader.clone().u32().ok()?;
        let matches = value == sent || self.clocks.is_near(kind, value);
        match self.habit {
            ExtensionHabit::Present => {
                let quirk = (!matches).then_some(Quirk::ExtendedTimestampDiffers);
                Some(Extension { value: Some(value), evidence: false, quirk })
            }
            _ if matches => Some(Extension { value: Some(value), evidence: true, quirk: None }),
            _ => Some(Extension::absent(true)),
        }
    }

    /// The rest of a header of type 0, 1 or 2.
    fn full_head(
        &self,
        reader: &mut Reader<'_>,
        chunk_stream: u32,
        format: u8,
        earlier: Option<&Header>,
    ) -> Option<ChunkHead> {
        let time = reader.u24().ok()?;
        let (length, kind) = match (format, earlier) {
            (2, Some(earlier)) => (earlier.length, earlier.kind),
            _ => (reader.u24().ok()?, MessageKind::from_id(reader.u8().ok()?)),
        };
        let stream_id = match format {
            0 => reader.u32_le().ok()?,
            _ => earlier.map_or(0, |earlier| earlier.stream_id),
        };
        let mut extended = None;
        if time == EXTENDED {
            let value = reader.clone().u32().ok()?;
            let is_plain = format == 0 && self.clocks.is_unextended(kind, value);
            if !is_plain {
                reader.skip(4).ok()?;
                extended = Some(value);
            }
        }
        let value = extended.unwrap_or(time);
        let (decision, quirk) = match (format, earlier) {
            (0, _) => (self.clocks.absolute(kind, value, extended.is_some()), None),
            (_, Some(earlier)) => (self.clocks.delta(kind, earlier.timestamp, value, extended.is_some()), None),
            (_, None) => (self.clocks.delta(kind, 0, value, extended.is_some()), Some(Quirk::FreshType1)),
        };
        let header = Header { kind, length, stream_id, timestamp: decision.timestamp, pace: decision.pace, extended };
        let beginning = Beginning { header, decision, extended: extended.is_some(), quirk };
        Some(ChunkHead { chunk_stream, length: reader.offset(), extension: None, begins: Some(beginning) })
    }

    /// Opens the next chunk of a message that has begun.
    fn resume(&mut self, head: ChunkHead, input: &mut BytesMut, quirks: &mut QuirkCounts) {
        self.note_extension(&head, quirks);
        input.advance(head.length);
        let chunk_size = self.chunk_size;
        let stream = self.stream(head.chunk_stream);
        if let (Some(header), Some(partial)) = (&stream.header, &stream.partial) {
            let remaining = header.length.saturating_sub(partial.received).min(chunk_size);
            self.open = Some(OpenChunk { chunk_stream: head.chunk_stream, remaining });
        }
    }

    /// Notes the header of a message that begins. A message that had begun on the same chunk stream is dropped (quirk Q22).
    fn begin(&mut self, head: &ChunkHead, beginning: &Beginning, quirks: &mut QuirkCounts) {
        self.note_extension(head, quirks);
        for quirk in [beginning.quirk, beginning.decision.quirk].into_iter().flatten() {
            quirks.add(quirk);
        }
        self.clocks.note(beginning.header.kind, &beginning.decision, beginning.extended);
        let stream = self.stream(head.chunk_stream);
        stream.header = Some(beginning.header);
        let partial = stream.partial.take();
        if partial.is_some() {
            quirks.add(Quirk::MessageRestarted);
        }
        self.release(partial);
    }

    fn note_extension(&mut self, head: &ChunkHead, quirks: &mut QuirkCounts) {
        let Some(extension) = head.extension else { return };
        if let Some(quirk) = extension.quirk {
            quirks.add(quirk);
        }
        let ExtensionHabit::Unknown { present, absent } = &mut self.habit else { return };
        if !extension.evidence {
            return;
        }
        match extension.value {
            Some(_) => *present = present.saturating_add(1),
            None => *absent = absent.saturating_add(1),
        }
        self.habit = match (*present, *absent) {
            (VERDICT.., 0) => ExtensionHabit::Present,
            (0, VERDICT..) => ExtensionHabit::Absent,
            _ => return,
        };
    }

    /// Takes what there is of the open chunk, and the message if that was its last byte.
    fn consume(&mut self, open: OpenChunk, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        let count = input.len().min(open.remaining as usize);
        let taken = u32::try_from(count).unwrap_or(open.remaining);
        let held = self.partial_bytes + count;
        let limit = if self.is_early { self.limits.max_early_bytes } else { self.limits.max_partial_bytes };
        let lookahead = input.len().min(LOOKAHEAD);
        let stream = self.stream(open.chunk_stream);
        let (Some(header), Some(partial)) = (&stream.header, &mut stream.partial) else {
            // An open chunk always belongs to a partial message: both are set and cleared together.
            self.open = None;
            return Ok(None);
        };
        let header = *header;
        if partial.kept {
            if held > limit {
                return Err(ChunkError::TooManyPartialBytes { limit });
            }
            let body = &mut partial.body;
            if body.capacity() - body.len() < count {
                let wanted = (body.len() * 2).max(body.len() + lookahead).min(header.length as usize);
                body.reserve_exact(wanted.max(body.len() + count) - body.len());
            }
            body.extend_from_slice(input.get(..count).unwrap_or_default());
        }
        partial.received += taken;
        let is_kept = partial.kept;
        let is_whole = partial.received >= header.length;
        let partial = if is_whole { stream.partial.take() } else { None };
        if is_kept {
            self.partial_bytes = held;
        }
        input.advance(count);
        let remaining = open.remaining - taken;
        self.open = (remaining > 0).then_some(OpenChunk { remaining, ..open });
        Ok(self.release(partial).map(|body| header.message(body.into())))
    }

    /// Takes a message out of the account of unfinished ones.
    fn release(&mut self, partial: Option<Partial>) -> Option<Vec<u8>> {
        let partial = partial?;
        self.partial_messages = self.partial_messages.saturating_sub(1);
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.body.len());
        Some(partial.body)
    }

    fn stream(&mut self, chunk_stream: u32) -> &mut ChunkStream {
        match self.small.get_mut(chunk_stream as usize) {
            Some(stream) => stream,
            None => self.large.entry(chunk_stream).or_default(),
        }
    }

    fn treatment(&self, kind: MessageKind, length: u32) -> Treatment {
        let length = length as usize;
        let limits = &self.limits;
        let is_data = matches!(kind, MessageKind::Amf0Data | MessageKind::Amf3Data);
        let max_command =
            if self.is_early { limits.max_command.min(limits.max_early_bytes) } else { limits.max_command };
        match kind {
            MessageKind::Other(_) => Treatment::Skip,
            MessageKind::Audio | MessageKind::Video | MessageKind::Aggregate if length > limits.max_message => {
                Treatment::Refuse { limit: limits.max_message }
            }
            MessageKind::Audio if length > limits.max_audio => Treatment::Skip,
            _ if self.is_early && kind.is_media() && length > limits.max_early_bytes => Treatment::Skip,
            MessageKind::Audio | MessageKind::Video | MessageKind::Aggregate => Treatment::Keep,
            _ if length <= max_command => Treatment::Keep,
            _ if is_data => Treatment::Skip,
            _ => Treatment::Refuse { limit: max_command },
        }
    }
}

impl Header {
    fn message(&self, payload: Bytes) -> Message {
        Message {
            kind: self.kind,
            timestamp_ms: self.timestamp,
            stream_id: self.stream_id,
            length: self.length,
            payload,
        }
    }
}

impl Extension {
    fn absent(evidence: bool) -> Self {
        Self { value: None, evidence, quirk: Some(Quirk::ExtendedTimestampAbsent) }
    }
}
