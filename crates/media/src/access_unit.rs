//! What can be decoded at once: one picture, or one frame of audio, with the times at which.

use crate::aac::{AdtsHeader, AudioConfig};
use crate::h264::NalUnit;
use crate::time::{MediaDuration, Timestamp};
use bytes::Bytes;
use std::sync::Arc;

/// One of the two elementary streams that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// H.264.
    Video,
    /// AAC.
    Audio,
}

/// One coded picture: an access unit of H.264, normalised as the TS wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it is decoded. Rises strictly from picture to picture.
    pub dts: Timestamp,
    /// When it is shown; never before `dts`.
    pub pts: Timestamp,
    /// Whether a decoder may start here.
    pub key_frame: bool,
    /// The parameter sets in force, SPS first. The writer puts them in front of key frames and of segments.
    pub parameter_sets: Arc<[NalUnit]>,
    /// The units of the picture in order, without delimiters, filler and the parameter sets above.
    pub nals: Vec<NalUnit>,
}

/// One frame of AAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    /// When it is heard.
    pub pts: Timestamp,
    /// For how long.
    pub duration: MediaDuration,
    /// What a decoder must know.
    pub config: Arc<AudioConfig>,
    /// The ADTS header that fits it.
    pub header: [u8; AdtsHeader::LENGTH],
    /// The raw data block, without ADTS header.
    pub data: Bytes,
}

impl AudioFrame {
    /// A frame with its header; `None` when it is too long for ADTS.
    pub fn new(pts: Timestamp, config: &Arc<AudioConfig>, data: Bytes) -> Option<Self> {
        let header = config.adts_header(data.len())?;
        let ticks = i64::from(config.samples_per_frame) * 90_000 / i64::from(config.sample_rate.max(1));
        Some(Self { pts, duration: MediaDuration(ticks), config: Arc::clone(config), header, data })
    }

    /// Bytes in the TS: header, program config element where there is one, raw data block.
    pub fn len(&self) -> usize {
        self.header.len() + self.config.program_config.len() + self.data.len()
    }

    /// Never: a frame has at least its header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
