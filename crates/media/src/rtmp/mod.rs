//! One RTMP connection as a state machine that sees bytes, never a socket.

pub mod message;
