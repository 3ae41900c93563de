//! What both ends of a connection share: buffers, control messages and acknowledgements.

use bytes::{Bytes, BytesMut};

use super::chunk::{ChunkError, ChunkReader, ChunkWriter, MessageTooLong, Outgoing};
use super::command::Command;
use super::limits::Limits;
use super::message::{Message, MessageKind};
use super::stats::{Quirk, SessionStats};
use crate::bits::{Reader, WriteBytes};

/// Chunk streams that we send on, as most servers use them.
const CONTROL_CHUNKS: u8 = 2;
const COMMAND_CHUNKS: u8 = 3;
const STATUS_CHUNKS: u8 = 5;

/// User-control events (RTMP 1.0, section 7.1.7).
const STREAM_BEGIN: u16 = 0;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// One end of a connection after its handshake.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) limits: Limits,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    pub(super) stats: SessionStats,
    reader: ChunkReader,
    writer: ChunkWriter,
    /// How much of `input` has been counted as received.
    accounted: usize,
    /// How many bytes the peer lets pass between two acknowledgements.
    window: u32,
    acknowledged: u64,
}

impl Connection {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            input: BytesMut::new(),
            output: BytesMut::new(),
            stats: SessionStats::default(),
            reader: ChunkReader::new(&limits),
            writer: ChunkWriter::default(),
            accounted: 0,
            window: limits.window,
            acknowledged: 0,
            limits,
        }
    }

    /// Says whether the peer may make us hold only what leads to a publish.
    pub(super) fn set_early(&mut self, is_early: bool) {
        self.reader.set_early(is_early);
    }

    /// Counts the bytes that came into `input` since the last [`Self::settle`].
    pub(super) fn account(&mut self) {
        let new = self.input.len().saturating_sub(self.accounted);
        self.stats.bytes_received = self.stats.bytes_received.saturating_add(new as u64);
        self.accounted = self.input.len();
    }

    /// Notes how much of `input` is left.
    pub(super) fn settle(&mut self) {
        self.accounted = self.input.len();
    }

    /// See [`ChunkReader::key_frame_rest`].
    pub(super) fn key_frame_rest(&self) -> usize {
        self.reader.key_frame_rest()
    }

    /// The position in what was received of the first byte that is not consumed.
    pub(super) fn offset(&self) -> u64 {
        self.stats.bytes_received.saturating_sub(self.input.len() as u64)
    }

    /// Acknowledges when half a window has come in since the last time (quirk Q10). It is asked once per read, so a tiny
    /// window costs one message per read.
    pub(super) fn acknowledge(&mut self) {
        let received = self.stats.bytes_received;
        let half = u64::from(self.window / 2).max(1);
        if received.saturating_sub(self.acknowledged) >= half {
            self.acknowledged = received;
            self.stats.acknowledgements += 1;
            // The count wraps at 2^32 (RTMP 1.0, section 5.4.3).
            let [_, _, _, _, low @ ..] = received.to_be_bytes();
            self.send_control(MessageKind::Acknowledgement, &low);
        }
    }

    /// The next message that is not a control message.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some(message) = self.reader.next_message(&mut self.input, &mut self.stats.quirks)? else {
                return Ok(None);
            };
            self.stats.messages += 1;
            match message.kind {
                MessageKind::SetChunkSize
                | MessageKind::Abort
                | MessageKind::Acknowledgement
                | MessageKind::UserControl
                | MessageKind::WindowAcknowledgementSize
                | MessageKind::SetPeerBandwidth => self.control(&message)?,
                MessageKind::Other(id) => {
                    self.stats.last_unknown_message = Some(id);
                    self.stats.quirks.add(Quirk::UnknownMessage);
                }
                _ if message.payload.len() < message.length as usize => self.stats.quirks.add(Quirk::OversizeSkipped),
                _ if message.payload.is_empty() => self.stats.quirks.add(Quirk::EmptyMessage),
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Applies a control message. They are accepted at any moment (quirk Q8).
    fn control(&mut self, message: &Message) -> Result<(), ChunkError> {
        let mut body = Reader::new(&message.payload);
        if message.kind == MessageKind::UserControl {
            self.user_control(&mut body);
            return Ok(());
        }
        let Ok(value) = body.u32() else {
            self.stats.quirks.add(Quirk::ShortControl);
            return Ok(());
        };
        match message.kind {
            MessageKind::SetChunkSize => self.reader.set_chunk_size(value, &mut self.stats.quirks)?,
            MessageKind::Abort => {
                self.stats.quirks.add(Quirk::Abort);
                self.reader.abort(value);
            }
            MessageKind::WindowAcknowledgementSize if value == 0 => {
                self.stats.quirks.add(Quirk::WindowZero);
                self.window = self.limits.window;
            }
            MessageKind::WindowAcknowledgementSize => self.window = value,
            // What the peer has received, and the bandwidth it would like, change nothing here: TCP paces our few answers.
            _ => {}
        }
        Ok(())
    }

    fn user_control(&mut self, body: &mut Reader<'_>) {
        match (body.u16(), body.u32()) {
            (Ok(PING_REQUEST), Ok(time)) => self.send_user_control(PING_RESPONSE, time),
            (Ok(PING_RESPONSE), _) => self.stats.pongs += 1,
            (Ok(_), _) => self.stats.quirks.add(Quirk::UserControlIgnored),
            (Err(_), _) => self.stats.quirks.add(Quirk::ShortControl),
        }
    }

    pub(super) fn send_ping(&mut self, now_ms: u32) {
        self.stats.pings += 1;
        self.send_user_control(PING_REQUEST, now_ms);
    }

    pub(super) fn send_stream_begin(&mut self, stream_id: u32) {
        self.send_user_control(STREAM_BEGIN, stream_id);
    }

    fn send_user_control(&mut self, event: u16, value: u32) {
        let mut body = Vec::with_capacity(6);
        body.write_u16(event);
        body.write_u32(value);
        self.send_control(MessageKind::UserControl, &body);
    }

    /// Announces the window, the bandwidth, with limit type dynamic, and the chunk size (quirk Q9).
    pub(super) fn send_announcements(&mut self) {
        const DYNAMIC: u8 = 2;
        let window = self.limits.window;
        self.send_control(MessageKind::WindowAcknowledgementSize, &window.to_be_bytes());
        let mut bandwidth = window.to_be_bytes().to_vec();
        bandwidth.write_u8(DYNAMIC);
        self.send_control(MessageKind::SetPeerBandwidth, &bandwidth);
        self.send_chunk_size(self.limits.send_chunk_size);
    }

    /// Announces a chunk size and uses it from then on.
    pub(super) fn send_chunk_size(&mut self, size: u32) {
        self.send_control(MessageKind::SetChunkSize, &size.to_be_bytes());
        self.writer.set_chunk_size(size);
    }

    fn send_control(&mut self, kind: MessageKind, payload: &[u8]) {
        self.send_short(CONTROL_CHUNKS, kind, 0, payload);
    }

    /// Sends a command; those of stream 0 and of other streams go on chunk streams of their own.
    pub(super) fn send_command(&mut self, stream_id: u32, command: &Command) {
        let chunk_stream = if stream_id == 0 { COMMAND_CHUNKS } else { STATUS_CHUNKS };
        self.send_short(chunk_stream, MessageKind::Amf0Command, stream_id, &command.encode());
    }

    fn send_short(&mut self, chunk_stream: u8, kind: MessageKind, stream_id: u32, payload: &[u8]) {
        self.send(&Outgoing { chunk_stream, kind, timestamp_ms: 0, stream_id, payload })
            .expect("commands are built from texts that are bounded far below 16 MiB");
    }

    pub(super) fn send(&mut self, message: &Outgoing<'_>) -> Result<(), MessageTooLong> {
        self.writer.write(message, &mut self.output)
    }

    pub(super) fn pending_output(&self) -> usize {
        self.output.len()
    }

    pub(super) fn take_output(&mut self) -> Bytes {
        self.stats.bytes_sent = self.stats.bytes_sent.saturating_add(self.output.len() as u64);
        self.output.split().freeze()
    }
}
