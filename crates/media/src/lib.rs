//! Bytes in, segments out: RTMP, FLV, H.264, AAC, MPEG-TS and HLS without IO, clocks, randomness or tasks.

pub mod aac;
pub mod access_unit;
pub mod bitreader;
pub mod bits;
pub mod codec;
pub mod doctor;
pub mod flv;
pub mod flv_file;
pub mod h264;
pub mod hls;
mod length;
pub mod mpegts;
pub mod package;
pub mod recover;
pub mod remux;
pub mod rtmp;
pub mod saved;
pub mod segmenter;
pub mod tag;
pub mod take;
pub mod time;
