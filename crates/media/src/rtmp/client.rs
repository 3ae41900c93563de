//! The client's end of one RTMP connection: a publisher.

use bytes::{Bytes, BytesMut};

use super::amf0::{self, Value};
use super::chunk::{MessageTooLong, Outgoing};
use super::command::Command;
use super::connection::Connection;
use super::handshake::{ClientHandshake, HandshakeRandom};
use super::limits::Limits;
use super::message::{Message, MessageKind};
use super::session::{SessionError, SessionErrorKind};
use super::stats::SessionStats;
use super::url::RtmpUrl;

const AUDIO_CHUNKS: u8 = 4;
const DATA_CHUNKS: u8 = 5;
const VIDEO_CHUNKS: u8 = 6;

/// Transactions, one per question, so that answers can come in any order.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE_STREAM: f64 = 7.0;

/// What a publisher says about itself and its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The application, such as `live`.
    pub app: String,
    /// The URL of the application.
    pub tc_url: String,
    /// The publish name with its query.
    pub name: String,
    /// How the publisher names itself.
    pub flash_ver: String,
    /// The size of the chunks that it sends, 1 to 16 777 215.
    pub chunk_size: u32,
}

impl ClientConfig {
    /// A publisher to that URL.
    pub fn new(url: &RtmpUrl) -> Self {
        Self {
            app: url.app.clone(),
            tc_url: url.tc_url.clone(),
            name: url.name.clone(),
            flash_ver: concat!("FMLE/3.0 (compatible; Millpond/", env!("CARGO_PKG_VERSION"), ")").to_owned(),
            chunk_size: 60_000,
        }
    }
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The publish is accepted: media may follow.
    Publishing,
    /// The connection or the publish is refused, or a running publish was ended by the server.
    Refused {
        /// The `code` of the status.
        code: String,
        /// Its `description`.
        description: String,
    },
    /// The server has confirmed the end of the publish.
    Ended,
}

/// A publishing connection, from its first byte. The first bytes to send are there at once.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    connection: Connection,
    handshake: Option<ClientHandshake>,
    stream_id: u32,
    is_failed: bool,
}

impl ClientSession {
    /// Begins the handshake.
    pub fn new(config: ClientConfig, random: &HandshakeRandom) -> Self {
        let mut connection = Connection::new(Limits::default());
        let handshake = Some(ClientHandshake::begin(random, &mut connection.output));
        Self { config, connection, handshake, stream_id: 0, is_failed: false }
    }

    /// The buffer that the driver reads the socket into: it reserves, appends, and never removes.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        &mut self.connection.input
    }

    /// Appends bytes to the read buffer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.connection.input.extend_from_slice(bytes);
    }

    /// The next event; `Ok(None)` when more bytes are needed. After an error nothing more comes.
    pub fn next_event(&mut self) -> Result<Option<ClientEvent>, SessionError> {
        self.connection.account();
        let result = self.advance().map_err(|kind| {
            self.is_failed = true;
            SessionError { kind, offset: self.connection.offset(), nearby: Bytes::new() }
        });
        if self.is_failed {
            self.connection.input.clear();
        }
        if matches!(result, Ok(None)) && self.handshake.is_none() && !self.is_failed {
            self.connection.acknowledge();
        }
        self.connection.settle();
        result
    }

    /// Sends the body of an FLV video tag. Media before [`ClientEvent::Publishing`] is the caller's mistake; a server drops
    /// it.
    pub fn send_video(&mut self, timestamp_ms: u32, payload: impl AsRef<[u8]>) -> Result<(), MessageTooLong> {
        self.send(VIDEO_CHUNKS, MessageKind::Video, timestamp_ms, payload.as_ref())
    }

    /// Sends the body of an FLV audio tag.
    pub fn send_audio(&mut self, timestamp_ms: u32, payload: impl AsRef<[u8]>) -> Result<(), MessageTooLong> {
        self.send(AUDIO_CHUNKS, MessageKind::Audio, timestamp_ms, payload.as_ref())
    }

    /// Sends `onMetaData` with the given members.
    pub fn send_metadata(&mut self, members: &[(&str, Value)]) -> Result<(), MessageTooLong> {
        let members = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut body = Vec::new();
        for value in [Value::string("@setDataFrame"), Value::string("onMetaData"), Value::EcmaArray(members)] {
            amf0::encode(&value, &mut body);
        }
        self.send(DATA_CHUNKS, MessageKind::Amf0Data, 0, &body)
    }

    /// Ends the publish. The server answers with [`ClientEvent::Ended`].
    pub fn unpublish(&mut self) {
        let name = Value::string(self.config.name.as_str());
        self.connection.send_command(0, &Command::new("FCUnpublish", FC_UNPUBLISH, [Value::Null, name]));
        let stream = Value::Number(f64::from(self.stream_id));
        self.connection.send_command(0, &Command::new("deleteStream", DELETE_STREAM, [Value::Null, stream]));
    }

    /// The bytes to send; empty when there are none.
    pub fn take_output(&mut self) -> Bytes {
        self.connection.take_output()
    }

    /// What the session did so far, from the client's side.
    pub fn stats(&self) -> &SessionStats {
        &self.connection.stats
    }

    fn send(
        &mut self,
        chunk_stream: u8,
        kind: MessageKind,
        timestamp_ms: u32,
        payload: &[u8],
    ) -> Result<(), MessageTooLong> {
        let stream_id = self.stream_id;
        self.connection.send(&Outgoing { chunk_stream, kind, timestamp_ms, stream_id, payload })
    }

    fn advance(&mut self) -> Result<Option<ClientEvent>, SessionErrorKind> {
        if self.is_failed {
            return Ok(None);
        }
        if let Some(handshake) = &mut self.handshake {
            if !handshake.advance(&mut self.connection.input, &mut self.connection.output)? {
                return Ok(None);
            }
            self.handshake = None;
            self.connection.send_chunk_size(self.config.chunk_size);
            self.send_connect();
        }
        while let Some(message) = self.connection.next_message()? {
            if let Some(event) = self.handle(&message) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn send_connect(&mut self) {
        let object = Value::object([
            ("app", Value::string(self.config.app.as_str())),
            ("type", Value::string("nonprivate")),
            ("flashVer", Value::string(self.config.flash_ver.as_str())),
            ("tcUrl", Value::string(self.config.tc_url.as_str())),
        ]);
        self.connection.send_command(0, &Command::new("connect", CONNECT, [object]));
    }

    fn handle(&mut self, message: &Message) -> Option<ClientEvent> {
        let is_amf3 = match message.kind {
            MessageKind::Amf0Command => false,
            MessageKind::Amf3Command => true,
            _ => return None,
        };
        let (command, _) = Command::parse(&message.payload, is_amf3, &self.connection.limits)?;
        match (command.name.as_str(), command.transaction) {
            ("_result", CONNECT) => {
                let name = || Value::string(self.config.name.as_str());
                for (word, transaction) in [("releaseStream", RELEASE_STREAM), ("FCPublish", FC_PUBLISH)] {
                    self.connection.send_command(0, &Command::new(word, transaction, [Value::Null, name()]));
                }
                self.connection.send_command(0, &Command::new("createStream", CREATE_STREAM, [Value::Null]));
                None
            }
            ("_result", CREATE_STREAM) => {
                // The cast saturates, and turns NaN into 0.
                self.stream_id = command.number(0).unwrap_or_default() as u32;
                let name = Value::string(self.config.name.as_str());
                let publish = Command::new("publish", PUBLISH, [Value::Null, name, Value::string("live")]);
                self.connection.send_command(self.stream_id, &publish);
                None
            }
            ("_error", CONNECT | CREATE_STREAM) => Some(refused(&command)),
            ("onStatus", _) => match command.info("code") {
                Some("NetStream.Publish.Start") => Some(ClientEvent::Publishing),
                Some("NetStream.Unpublish.Success") => Some(ClientEvent::Ended),
                _ if command.info("level") == Some("error") => Some(refused(&command)),
                _ => None,
            },
            _ => None,
        }
    }
}

fn refused(command: &Command) -> ClientEvent {
    let text = |name| command.info(name).unwrap_or_default().to_owned();
    ClientEvent::Refused { code: text("code"), description: text("description") }
}

#[cfg(test)]
mod tests;
