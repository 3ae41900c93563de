//! Units to bytes: what a container format has to do, and nothing of where segments are cut.

mod ts;

pub use ts::Ts;

use crate::access_unit::{Tracks, Unit};
use crate::time::Timestamp;

/// A format of segments, as files and headers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What names of segments end with, without the dot.
    pub extension: &'static str,
    /// Their media type.
    pub content_type: &'static str,
}

/// The beginning of a segment, as a packager sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Its tracks. Units of no other track come before the next beginning.
    pub tracks: Tracks,
    /// When its first unit is decoded or heard.
    pub at: Timestamp,
    /// Time of the earliest sound since the tracks are as they are, as far as it was known; it may lie before `at`.
    pub earliest: Option<Timestamp>,
    /// For a segment that begins without a picture: the moment before which no picture will be decoded.
    pub horizon: Option<Timestamp>,
}

/// Writes the units of a take in one format. What it appends at any call is whole: the segment could end there, or go on.
pub trait Packager: std::fmt::Debug {
    /// The format.
    fn container(&self) -> Container;

    /// Begins a segment.
    fn begin(&mut self, out: &mut Vec<u8>, beginning: &Beginning);

    /// Writes a unit of the open segment: a picture, a part of one, or a frame of audio. Some of it may be held back
    /// until [`flush`](Self::flush) or [`end`](Self::end).
    fn unit(&mut self, out: &mut Vec<u8>, unit: &Unit);

    /// Writes what is held back.
    fn flush(&mut self, out: &mut Vec<u8>);

    /// Ends the segment. `horizon` is the moment up to which its media reaches, where the take goes on behind it.
    fn end(&mut self, out: &mut Vec<u8>, horizon: Option<Timestamp>);

    /// Bytes of media written to the segment so far: pictures and sound as they were sent, without what the format puts around
    /// them.
    fn media_bytes(&self) -> u64;
}
