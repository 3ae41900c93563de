//! One RTMP connection as a state machine that sees bytes, never a socket.
//!
//! [`session::ServerSession`] is what a listener drives, [`client::ClientSession`] publishes to one. Both are fed bytes,
//! asked for events, and leave the bytes to send in a buffer.

pub mod amf0;
mod amf3;
pub mod chunk;
pub mod client;
pub mod command;
mod connection;
pub mod handshake;
pub mod limits;
pub mod message;
pub mod metadata;
pub mod session;
pub mod stats;
pub mod target;
pub mod url;

pub use client::{ClientConfig, ClientEvent, ClientSession};
pub use command::{ConnectRequest, PublishRequest, Refusal, RefusalCode};
pub use handshake::{HandshakeKind, HandshakeRandom};
pub use limits::Limits;
pub use message::{Tag, TagKind};
pub use metadata::Metadata;
pub use session::{Event, ServerSession, SessionError};
pub use stats::{Quirk, QuirkCounts, SessionStats};
pub use target::{PublishTarget, TargetError};
pub use url::RtmpUrl;
