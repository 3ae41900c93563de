//! The server's end of one RTMP connection.
//!
//! The driver feeds bytes, asks for events until there are none, and then sends the output. What the session cannot decide
//! comes out as [`Event::Publish`] and goes back as [`ServerSession::accept`] or [`ServerSession::reject`].
//!
//! ```
//! use media::rtmp::{Event, HandshakeRandom, Limits, ServerSession, SessionError};
//!
//! fn drive(session: &mut ServerSession, received: &[u8]) -> Result<Vec<u8>, SessionError> {
//!     session.feed(received);
//!     while let Some(event) = session.next_event()? {
//!         match event {
//!             Event::Publish(request) if request.target().is_ok() => session.accept(),
//!             Event::Media(tag) => println!("{} bytes at {} ms", tag.payload.len(), tag.timestamp_ms),
//!             _ => {}
//!         }
//!     }
//!     Ok(session.take_output().to_vec())
//! }
//!
//! let random = [4; 3072]; // From a source of randomness.
//! let mut session = ServerSession::new(Limits::default(), HandshakeRandom::new(random));
//! assert_eq!(drive(&mut session, &[3]).unwrap(), []);
//! ```

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::amf0;
use super::chunk::ChunkError;
use super::command::{self, Command, ConnectRequest, PublishRequest, Refusal, RefusalCode};
use super::connection::Connection;
use super::handshake::{HandshakeError, HandshakeRandom, ServerHandshake};
use super::limits::Limits;
use super::message::{Aggregate, Message, MessageKind, Tag, TagKind};
use super::metadata::Metadata;
use super::stats::{Quirk, SessionStats};

/// What happened on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The client has connected. It is answered already; this is for information.
    Connect(ConnectRequest),
    /// The client wants to publish. Nothing more is read before [`ServerSession::accept`] or [`ServerSession::reject`].
    Publish(PublishRequest),
    /// Audio or video of the accepted publish.
    Media(Tag),
    /// Metadata of the accepted publish.
    Metadata(Metadata),
    /// The accepted publish has ended. It comes at most once per publish, and not when the connection just breaks off or the
    /// caller itself revokes the publish.
    Unpublish,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionErrorKind {
    /// The handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// Why a connection cannot go on, and where in the stream of bytes it was found (quirk Q27).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}, at byte {offset}")]
pub struct SessionError {
    /// What is wrong.
    #[source]
    pub kind: SessionErrorKind,
    /// How many bytes were consumed before the one that could not be read.
    pub offset: u64,
    /// Up to 64 bytes from there on.
    pub nearby: Bytes,
}

/// How many bytes an error shows.
const NEARBY: usize = 64;

/// One connection, from its first byte.
#[derive(Debug)]
pub struct ServerSession {
    connection: Connection,
    handshake: Option<ServerHandshake>,
    connect: Option<ConnectRequest>,
    publish: Publish,
    /// What is left of an aggregate message.
    aggregate: Option<Aggregate>,
    /// The id that the next `createStream` gets.
    next_stream: u32,
    is_closing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Publish {
    Idle,
    Pending { stream_id: u32, name: String },
    Live { stream_id: u32, name: String },
}

impl ServerSession {
    /// Begins with the first byte of a handshake.
    pub fn new(limits: Limits, random: HandshakeRandom) -> Self {
        let mut connection = Connection::new(limits);
        connection.set_early(true);
        Self {
            connection,
            handshake: Some(ServerHandshake::new(random)),
            connect: None,
            publish: Publish::Idle,
            aggregate: None,
            // GStreamer refuses 0.
            next_stream: 1,
            is_closing: false,
        }
    }

    /// The buffer that the driver reads the socket into: it reserves, appends, and never removes. A message that lies in
    /// one chunk is handed up as a slice of it.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        &mut self.connection.input
    }

    /// About how many bytes are missing of a key frame that has begun to come; 0 when none has.
    pub fn key_frame_rest(&self) -> usize {
        self.connection.key_frame_rest()
    }

    /// Appends bytes to the read buffer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.connection.input.extend_from_slice(bytes);
    }

    /// The next event. `Ok(None)` means that more bytes are needed or, after [`Event::Publish`], an answer.
    ///
    /// After an error the session is closing. While it is closing, all input is drained and ignored.
    pub fn next_event(&mut self) -> Result<Option<Event>, SessionError> {
        self.connection.account();
        let result = self.advance();
        let result = match result {
            Ok(event) => {
                if event.is_none() && self.handshake.is_none() && !self.is_closing {
                    self.connection.acknowledge();
                }
                Ok(event)
            }
            Err(kind) => {
                let input = &self.connection.input;
                let nearby = Bytes::copy_from_slice(input.get(..input.len().min(NEARBY)).unwrap_or_default());
                let error = SessionError { kind, offset: self.connection.offset(), nearby };
                self.close();
                Err(error)
            }
        };
        if self.is_closing {
            self.connection.input.clear();
        }
        self.connection.settle();
        result
    }

    /// Accepts the pending publish: the client gets `NetStream.Publish.Start`. From here on it may send long messages; those
    /// that it sent before it knew wait in the read buffer. Without a pending publish nothing happens.
    pub fn accept(&mut self) {
        let Publish::Pending { stream_id, name } = std::mem::replace(&mut self.publish, Publish::Idle) else { return };
        self.connection.stats.publishes += 1;
        self.connection.send_stream_begin(stream_id);
        let start =
            command::on_status("status", "NetStream.Publish.Start", "Publishing has started.", channel_of(&name));
        self.connection.send_command(stream_id, &start);
        self.publish = Publish::Live { stream_id, name };
        self.connection.set_early(false);
    }

    /// Refuses the pending publish: the client gets an error status on its stream, and the session is closing. The driver
    /// flushes the output, closes its sending half, drains for a moment and closes (LiveChannel 3.9). Without a pending
    /// publish nothing happens.
    pub fn reject(&mut self, refusal: &Refusal) {
        if let Publish::Pending { stream_id, .. } = self.publish {
            self.refuse(stream_id, refusal);
            self.close();
        }
    }

    /// Ends the accepted publish from our side, with the same form and consequences as [`Self::reject`]. No
    /// [`Event::Unpublish`] follows.
    pub fn revoke(&mut self, refusal: &Refusal) {
        if let Publish::Live { stream_id, .. } = self.publish {
            self.refuse(stream_id, refusal);
            self.close();
        }
    }

    /// Asks a publisher to connect anew, if it said that it knows how (Enhanced RTMP v2, `ReconnectRequest`); whether it did.
    pub fn request_reconnect(&mut self, description: &str) -> bool {
        let is_asked = self.is_publishing() && self.connect.as_ref().is_some_and(|connect| connect.can_reconnect);
        if is_asked {
            let status = command::on_status("status", "NetConnection.Connect.ReconnectRequest", description, "");
            self.connection.send_command(0, &status);
        }
        is_asked
    }

    /// Asks the peer for a sign of life (D1). The answer shows in [`SessionStats::pongs`]. Nothing is sent before the
    /// handshake is done.
    pub fn ping(&mut self, now_ms: u32) {
        if self.handshake.is_none() && !self.is_closing {
            self.connection.send_ping(now_ms);
        }
    }

    /// The bytes to send; empty when there are none. A driver that takes them after each `Ok(None)` bounds them by a small
    /// multiple of what it read.
    pub fn take_output(&mut self) -> Bytes {
        self.connection.take_output()
    }

    /// How many bytes [`Self::take_output`] would give.
    pub fn pending_output(&self) -> usize {
        self.connection.pending_output()
    }

    /// Whether the session is over: nothing but the rest of the output is left.
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Whether a publish is accepted and has not ended.
    pub fn is_publishing(&self) -> bool {
        matches!(self.publish, Publish::Live { .. })
    }

    /// What the session did so far.
    pub fn stats(&self) -> &SessionStats {
        &self.connection.stats
    }

    fn close(&mut self) {
        self.is_closing = true;
        self.become_idle();
    }

    fn become_idle(&mut self) {
        self.publish = Publish::Idle;
        self.aggregate = None;
        self.connection.set_early(true);
    }

    fn refuse(&mut self, stream_id: u32, refusal: &Refusal) {
        self.note_refusal(refusal.code.code(), &refusal.description);
        let status = command::on_status("error", refusal.code.code(), &refusal.description, &refusal.details);
        self.connection.send_command(stream_id, &status);
    }

    fn note_refusal(&mut self, code: &str, description: &str) {
        let stats = &mut self.connection.stats;
        stats.refusals += 1;
        stats.last_refusal = Some(format!("{code}: {description}"));
    }

    fn advance(&mut self) -> Result<Option<Event>, SessionErrorKind> {
        loop {
            if self.is_closing {
                return Ok(None);
            }
            if let Some(handshake) = &mut self.handshake {
                let done = handshake.advance(&mut self.connection.input, &mut self.connection.output)?;
                let Some(kind) = done else { return Ok(None) };
                if handshake.has_odd_version() {
                    self.connection.stats.quirks.add(Quirk::HandshakeVersion);
                }
                self.connection.stats.handshake = Some(kind);
                self.handshake = None;
            }
            if matches!(self.publish, Publish::Pending { .. }) {
                return Ok(None);
            }
            let message = match self.next_of_aggregate() {
                Some(message) => message,
                None => match self.connection.next_message()? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if let Some(event) = self.handle(message) {
                return Ok(Some(event));
            }
        }
    }

    /// The next message of the aggregate that came last.
    fn next_of_aggregate(&mut self) -> Option<Message> {
        loop {
            let Some(next) = self.aggregate.as_mut()?.next_message() else {
                self.aggregate = None;
                return None;
            };
            match next {
                Ok(message) if message.payload.is_empty() => self.connection.stats.quirks.add(Quirk::EmptyMessage),
                Ok(message) => return Some(message),
                Err(_) => self.connection.stats.quirks.add(Quirk::DamagedAggregate),
            }
        }
    }

    fn handle(&mut self, message: Message) -> Option<Event> {
        match message.kind {
            MessageKind::Audio => self.media(TagKind::Audio, message),
            MessageKind::Video => self.media(TagKind::Video, message),
            MessageKind::Amf0Data | MessageKind::Amf3Data => self.data(&message),
            MessageKind::Amf0Command | MessageKind::Amf3Command => self.command(&message),
            MessageKind::Aggregate => {
                self.connection.stats.quirks.add(Quirk::Aggregate);
                self.aggregate = Some(Aggregate::new(message));
                None
            }
            // Control messages end in the connection; inside an aggregate they mean nothing.
            other => {
                self.connection.stats.last_unknown_message = Some(other.id());
                self.connection.stats.quirks.add(Quirk::UnknownMessage);
                None
            }
        }
    }

    fn media(&mut self, kind: TagKind, message: Message) -> Option<Event> {
        let stats = &mut self.connection.stats;
        let Publish::Live { stream_id, .. } = self.publish else {
            stats.quirks.add(Quirk::MediaOutsidePublish);
            return None;
        };
        if stream_id != message.stream_id {
            stats.quirks.add(Quirk::MediaOnOtherStream);
        }
        let (messages, bytes) = match kind {
            TagKind::Audio => (&mut stats.audio_messages, &mut stats.audio_bytes),
            TagKind::Video => (&mut stats.video_messages, &mut stats.video_bytes),
        };
        *messages += 1;
        *bytes = bytes.saturating_add(message.payload.len() as u64);
        Some(Event::Media(Tag { kind, timestamp_ms: message.timestamp_ms, payload: message.payload }))
    }

    fn data(&mut self, message: &Message) -> Option<Event> {
        let limits = &self.connection.limits;
        let stats = &mut self.connection.stats;
        let decoded = match message.kind {
            MessageKind::Amf3Data => {
                stats.quirks.add(Quirk::Amf3Message);
                amf0::decode_amf3_message(&message.payload, limits)
            }
            _ => amf0::decode(&message.payload, limits),
        };
        if !matches!(decoded.values.first(), Some(amf0::Value::String(_))) {
            stats.quirks.add(Quirk::NoOpData);
            return None;
        }
        if decoded.damage.is_some() {
            stats.quirks.add(Quirk::DamagedAmf);
        }
        let metadata = Metadata::parse(&decoded.values)?;
        if !matches!(self.publish, Publish::Live { .. }) {
            stats.quirks.add(Quirk::MediaOutsidePublish);
            return None;
        }
        stats.metadata_messages += 1;
        if metadata.encoder.is_some() {
            stats.encoder.clone_from(&metadata.encoder);
        }
        Some(Event::Metadata(metadata))
    }

    fn command(&mut self, message: &Message) -> Option<Event> {
        let is_amf3 = message.kind == MessageKind::Amf3Command;
        let parsed = Command::parse(&message.payload, is_amf3, &self.connection.limits);
        let stats = &mut self.connection.stats;
        if is_amf3 {
            stats.quirks.add(Quirk::Amf3Message);
        }
        let Some((command, is_damaged)) = parsed else {
            stats.quirks.add(Quirk::DamagedAmf);
            return None;
        };
        if is_damaged {
            stats.quirks.add(Quirk::DamagedAmf);
        }
        stats.commands += 1;
        match command.name.as_str() {
            "connect" => self.connect(&command),
            "createStream" => {
                self.create_stream(command.transaction);
                None
            }
            "publish" => self.publish(message.stream_id, &command),
            "FCPublish" => {
                self.answer_empty(command.transaction);
                let name = command.text(0).unwrap_or_default();
                let call =
                    command::fc_answer("onFCPublish", command.transaction, "NetStream.Publish.Start", channel_of(name));
                self.connection.send_command(0, &call);
                None
            }
            "FCUnpublish" => {
                self.answer_empty(command.transaction);
                let name = command.text(0).unwrap_or_default();
                let call = command::fc_answer(
                    "onFCUnpublish",
                    command.transaction,
                    "NetStream.Unpublish.Success",
                    channel_of(name),
                );
                self.connection.send_command(0, &call);
                self.unpublish(None, true)
            }
            "closeStream" => self.unpublish(Some(message.stream_id), true),
            "deleteStream" => self.unpublish(command.number(0).map(stream_number), false),
            "play" | "play2" => self.refuse_play(message.stream_id),
            "releaseStream" | "getStreamLength" | "_checkbw" => {
                self.answer_empty(command.transaction);
                None
            }
            // Answers and notices are not answered.
            "_result" | "_error" | "onStatus" | "onBWDone" => None,
            name => {
                self.connection.stats.quirks.add(Quirk::UnknownCommand);
                let name = name.get(..name.floor_char_boundary(64)).unwrap_or_default();
                self.connection.stats.last_unknown_command = Some(name.to_owned());
                self.answer_empty(command.transaction);
                None
            }
        }
    }

    /// Answers with a null result when an answer is expected. Never with an error, which makes encoders give up.
    fn answer_empty(&mut self, transaction: f64) {
        if transaction != 0.0 {
            self.connection.send_command(0, &command::empty_result(transaction));
        }
    }

    fn connect(&mut self, command: &Command) -> Option<Event> {
        let request = ConnectRequest::new(command);
        if let Some(objection) = request.objection(&self.connection.limits) {
            self.note_refusal("NetConnection.Connect.Rejected", objection);
            self.connection.send_command(0, &command::connect_rejected(command.transaction, objection));
            let was_live = self.is_publishing();
            self.close();
            return was_live.then_some(Event::Unpublish);
        }
        self.connection.send_announcements();
        self.connection.send_command(0, &command::connected(command.transaction));
        if self.is_publishing() {
            // The publish keeps the application under which it was admitted.
            return None;
        }
        self.connection.stats.flash_version.clone_from(&request.flash_version);
        self.connect = Some(request.clone());
        Some(Event::Connect(request))
    }

    fn create_stream(&mut self, transaction: f64) {
        let id = self.next_stream;
        self.next_stream = self.next_stream.saturating_add(1);
        let values = [amf0::Value::Null, amf0::Value::Number(f64::from(id))];
        self.connection.send_command(0, &Command::new("_result", transaction, values));
    }

    fn publish(&mut self, stream_id: u32, command: &Command) -> Option<Event> {
        // In Flash, publish(false) ends a publish.
        if matches!(command.values.get(1), Some(amf0::Value::Boolean(false))) {
            return self.unpublish(Some(stream_id), true);
        }
        let name = command.text(0).unwrap_or_default();
        let Some(connect) = &self.connect else {
            self.connection.stats.quirks.add(Quirk::CommandBeforeConnect);
            self.refuse(stream_id, &bad_name("InvalidArgument: connect comes before publish."));
            return None;
        };
        if let Publish::Live { name: live, .. } = &self.publish {
            if live == name {
                self.connection.stats.quirks.add(Quirk::PublishRepeated);
            } else {
                self.connection.stats.quirks.add(Quirk::PublishWhileLive);
                self.refuse(stream_id, &bad_name("ChannelStillLive: This connection publishes another channel."));
            }
            return None;
        }
        if name.len() > self.connection.limits.max_name {
            self.refuse(stream_id, &bad_name("InvalidArgument: The publish name is too long."));
            self.close();
            return None;
        }
        let request = PublishRequest {
            app: connect.app.clone(),
            tc_url: connect.tc_url.clone(),
            name: name.to_owned(),
            publish_type: command.text(1).map(str::to_owned),
            stream_id,
            transaction: command.transaction,
            flash_version: connect.flash_version.clone(),
        };
        self.publish = Publish::Pending { stream_id, name: name.to_owned() };
        Some(Event::Publish(request))
    }

    /// Ends the live publish, once (quirk Q47). `stream` is the stream that the command names: when it is another one that
    /// exists, the publish goes on; when it does not exist, the encoder means its only one.
    fn unpublish(&mut self, stream: Option<u32>, is_confirmed: bool) -> Option<Event> {
        let Publish::Live { stream_id, name } = &self.publish else {
            // FCUnpublish and deleteStream in a row are the rule; an end without any beginning is not.
            if self.connection.stats.publishes == 0 {
                self.connection.stats.quirks.add(Quirk::UnpublishWithoutPublish);
            }
            return None;
        };
        let stream_id = *stream_id;
        if stream.is_some_and(|named| named != stream_id && (1..self.next_stream).contains(&named)) {
            return None;
        }
        if is_confirmed {
            let status =
                command::on_status("status", "NetStream.Unpublish.Success", "Publishing has ended.", channel_of(name));
            self.connection.send_command(stream_id, &status);
        }
        self.become_idle();
        Some(Event::Unpublish)
    }

    fn refuse_play(&mut self, stream_id: u32) -> Option<Event> {
        let (code, description) = ("NetStream.Play.Failed", "RTMP playback is not supported.");
        self.note_refusal(code, description);
        self.connection.send_command(stream_id, &command::on_status("error", code, description, ""));
        // An encoder that also wants to see something, as some do on a second stream, goes on recording.
        if matches!(self.publish, Publish::Idle) {
            self.close();
        }
        None
    }
}

fn bad_name(description: &str) -> Refusal {
    Refusal { code: RefusalCode::BadName, description: description.to_owned(), details: String::new() }
}

/// The part of a publish name that may be shown: not its query, which holds the signature.
fn channel_of(name: &str) -> &str {
    name.split('?').next().unwrap_or_default()
}

/// A message stream id out of an AMF number; 0, which is never created, for what is none.
fn stream_number(number: f64) -> u32 {
    // The cast saturates, and turns NaN into 0.
    number as u32
}

#[cfg(test)]
mod replays;
#[cfg(test)]
mod tests;
