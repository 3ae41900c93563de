//! Bytes in, segments out: RTMP, FLV, H.264, AAC, MPEG-TS and HLS without IO, clocks, randomness or tasks.

pub mod aac;
pub mod bitreader;
pub mod bits;
pub mod flv;
pub mod h264;
pub mod rtmp;
pub mod time;
