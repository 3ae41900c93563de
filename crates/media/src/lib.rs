//! Bytes in, segments out.

pub mod bits;
pub mod rtmp;
