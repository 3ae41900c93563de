//! Whole takes through the remuxer: each segment is read by the strict probe, each frame compared with its source.

mod captures;
mod codec_quirks;
mod consumers;
mod corpus;
mod measured;
mod properties;
mod recovery;
mod rules;
mod skew;
mod source;
mod suspension;
mod time_quirks;

use super::*;
use crate::access_unit::{CodedPicture, TimedPicture, Tracks, Unit};
use crate::flv::AudioCodec;
use crate::h264::{NalKind, NalUnit};
use crate::hls::{LiveSegment, LiveWindow, MediaPlaylist, violations};
use crate::mpegts::probe::{Probe, SegmentProbe};
use crate::recover::recover;
use crate::rtmp::message::TagKind;

/// One segment of a take with what the probe found in it.
#[derive(Debug)]
struct Segment {
    opening: SegmentOpening,
    closing: SegmentClosing,
    bytes: Vec<u8>,
    probe: SegmentProbe,
}

/// Everything a take left behind.
#[derive(Debug)]
struct Take {
    segments: Vec<Segment>,
    stats: RemuxStats,
    facts: MediaFacts,
}

impl Take {
    /// Durations of the segments, in milliseconds.
    fn durations(&self) -> Vec<u64> {
        self.segments.iter().map(|segment| segment.closing.duration_ms).collect()
    }

    fn reasons(&self) -> Vec<CutReason> {
        self.segments.iter().map(|segment| segment.closing.reason).collect()
    }

    fn discontinuities(&self) -> Vec<bool> {
        self.segments.iter().map(|segment| segment.opening.discontinuity).collect()
    }

    /// The slices of all pictures, in order.
    fn slices(&self) -> Vec<Vec<u8>> {
        let units = self.segments.iter().flat_map(|segment| &segment.probe.video);
        units.flat_map(|unit| unit.nals()).filter(NalUnit::is_slice).map(|nal| nal.bytes().to_vec()).collect()
    }

    /// The kinds of the NAL units of each picture of a segment.
    fn kinds(&self, segment: usize) -> Vec<Vec<NalKind>> {
        let units = &self.segments[segment].probe.video;
        units.iter().map(|unit| unit.nals().iter().map(NalUnit::kind).collect()).collect()
    }

    /// The raw data blocks of all AAC frames, in order.
    fn sounds(&self) -> Vec<Vec<u8>> {
        let units = self.segments.iter().flat_map(|segment| &segment.probe.audio);
        units
            .flat_map(|unit| crate::aac::split_adts(&Bytes::copy_from_slice(&unit.data)).expect("ADTS frames"))
            .map(|(_, data)| data.to_vec())
            .collect()
    }
}

/// Pushes the tags, flushing after each `flush_every` of them (0 = never), and reads what comes out.
fn take_flushed(config: RemuxConfig, tags: &[Tag], flush_every: usize) -> Take {
    let mut remuxer = Remuxer::new(config);
    let mut outputs = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        remuxer.push(tag);
        if flush_every > 0 && (index + 1) % flush_every == 0 {
            remuxer.flush();
        }
        outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
    }
    remuxer.finish();
    outputs.extend(std::iter::from_fn(|| remuxer.next_output()));
    Take { segments: segments(outputs), stats: remuxer.stats().clone(), facts: remuxer.facts().clone() }
}

fn take(config: RemuxConfig, tags: &[Tag]) -> Take {
    take_flushed(config, tags, 0)
}

fn config(frag_duration_ms: u64) -> RemuxConfig {
    RemuxConfig { frag_duration_ms, ..RemuxConfig::default() }
}

/// Joins outputs to segments and asserts their grammar, their rules and the playlists that they make.
fn segments(outputs: Vec<Output>) -> Vec<Segment> {
    let mut probe = Probe::default();
    let mut segments: Vec<Segment> = Vec::new();
    let mut open: Option<(SegmentOpening, Vec<u8>)> = None;
    for output in outputs {
        match output {
            Output::Open(opening) => assert!(open.replace((opening, Vec::new())).is_none(), "opened twice"),
            Output::Data(data) => {
                assert!(!data.is_empty());
                open.as_mut().expect("data of an open segment").1.extend_from_slice(&data);
            }
            Output::Close(closing) => {
                let (opening, bytes) = open.take().expect("closed what is open");
                assert_eq!(closing.bytes, bytes.len() as u64);
                assert_eq!(closing.key_frame, opening.key_frame);
                let probe = probe.segment(&bytes);
                segments.push(Segment { opening, closing, bytes, probe });
            }
        }
    }
    assert!(open.is_none(), "left open");
    check_times(&segments);
    check_playlists(&segments, 2);
    check_whole(&segments);
    segments
}

/// Each segment begins where the one before ends, or later behind a strict cut and a discontinuity.
fn check_times(segments: &[Segment]) {
    let mut at = 0;
    for segment in segments {
        let begins = segment.opening.media_time_ms;
        assert!(begins == at || begins > at && segment.opening.discontinuity, "{at}: {:?}", segment.opening);
        at = begins;
        at += i64::try_from(segment.closing.duration_ms).expect("short");
    }
    if let Some(first) = segments.first() {
        assert!(first.opening.key_frame && !first.opening.discontinuity, "{:?}", first.opening);
    }
}

/// The live playlists that the segments make keep every rule. Returns the window at the end.
fn check_playlists(segments: &[Segment], frag_duration_s: u32) -> LiveWindow {
    let mut window = LiveWindow::default();
    window.begin_session(3, frag_duration_s, false);
    let mut previous: Option<MediaPlaylist> = None;
    for (segment, name) in segments.iter().zip(0..) {
        window.push(LiveSegment {
            uri: format!("{name}.ts"),
            duration_ms: segment.closing.duration_ms,
            discontinuity: segment.opening.discontinuity,
            program_date_time_ms: Some(1_893_456_000_000 + segment.opening.media_time_ms),
            independent: segment.closing.independent,
        });
        let next = window.playlist().expect("a segment was pushed");
        let found: Vec<_> =
            violations(previous.as_ref(), &next).into_iter().filter(|violation| !violation.is_note()).collect();
        assert!(found.is_empty(), "{found:?}");
        previous = Some(next);
    }
    window
}

/// A whole segment is recovered whole.
fn check_whole(segments: &[Segment]) {
    for segment in segments {
        let recovered = recover(&segment.bytes);
        let timed = segment.probe.video.iter().filter(|unit| unit.dts.is_some()).count();
        assert_eq!(recovered.frames, timed as u64);
        // Only packets with nothing but a clock may follow the last access unit.
        let rest = &segment.bytes[recovered.valid_len..];
        assert!(rest.chunks_exact(188).all(|packet| packet[3] & 0x30 == 0x20), "{} bytes", rest.len());
    }
}
