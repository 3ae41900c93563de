//! Real encoders: RTMP bytes of a whole push to segments, in one plain function.

use super::source::{Source, slices_of, sounds_of};
use super::*;
use crate::rtmp::{Event, HandshakeRandom, Limits, ServerSession};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const CAPTURES: [(&str, &[u8]); 4] = [
    ("ffmpeg-5.1", include_bytes!("../../../testdata/ffmpeg-5.1.c2s")),
    ("obs-29.0", include_bytes!("../../../testdata/obs-29.0.c2s")),
    ("gstreamer-1.22-rtmp2sink", include_bytes!("../../../testdata/gstreamer-1.22-rtmp2sink.c2s")),
    ("librtmp-2.4-rtmpsink", include_bytes!("../../../testdata/librtmp-2.4-rtmpsink.c2s")),
];

/// The tags of a captured push.
fn tags_of(name: &str, bytes: &[u8]) -> Vec<Tag> {
    let mut session = ServerSession::new(Limits::default(), HandshakeRandom::new([7; 3072]));
    session.feed(bytes);
    let mut tags = Vec::new();
    while let Some(event) = session.next_event().unwrap_or_else(|error| panic!("{name}: {error}")) {
        match event {
            Event::Publish(_) => session.accept(),
            Event::Media(tag) => tags.push(tag),
            _ => {}
        }
    }
    tags
}

/// The tags of one of the captures.
pub(super) fn capture(index: usize) -> Vec<Tag> {
    let (name, bytes) = CAPTURES[index];
    tags_of(name, bytes)
}

fn describe(name: &str, take: &Take) -> String {
    let mut text = format!("{name}\n");
    let video = take.facts.video.expect("video");
    let audio = take.facts.audio.expect("audio");
    let rate = video.frame_rate.unwrap_or_default();
    let (codec, sound) = (video.codec.name(), audio.codec.name());
    writeln!(text, "  {codec} {}x{} {rate:.3} fps, {sound} {} Hz", video.width, video.height, audio.sample_rate)
        .expect("strings take everything");
    for segment in &take.segments {
        let (opening, closing) = (segment.opening, segment.closing);
        writeln!(
            text,
            "  {:6} ms + {:4} ms {:?}: {} pictures, {} PES of audio, {} bytes, {} clocks",
            opening.media_time_ms,
            closing.duration_ms,
            closing.reason,
            segment.probe.video.len(),
            segment.probe.audio.len(),
            closing.bytes,
            segment.probe.pcr.len(),
        )
        .expect("strings take everything");
        for unit in segment.probe.video.iter().take(3) {
            let kinds: Vec<NalKind> = unit.nals().iter().map(NalUnit::kind).collect();
            let (pts, dts) = (unit.pts.unwrap_or_default(), unit.dts.unwrap_or_default());
            writeln!(text, "    DTS {dts} PTS {pts} {} bytes {kinds:?}", unit.data.len()).expect("strings");
        }
        for unit in segment.probe.audio.iter().take(2) {
            writeln!(text, "    PTS {} audio {} bytes", unit.pts.unwrap_or_default(), unit.data.len())
                .expect("strings");
        }
    }
    text
}

#[test]
fn captures_become_segments() {
    let mut text = String::new();
    for (name, bytes) in CAPTURES {
        let tags = tags_of(name, bytes);
        let take = take(config(2_000), &tags);
        assert_eq!(take.slices(), slices_of(&tags), "{name}");
        assert_eq!(take.sounds(), sounds_of(&tags), "{name}");
        assert_eq!(take.stats.discontinuities, 0, "{name}");
        assert_eq!(take.stats.audio_resyncs, 0, "{name}");
        text.push_str(&describe(name, &take));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segments.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &text).expect("the source tree is writable");
    }
    assert_eq!(text, include_str!("../../../testdata/segments.txt"), "UPDATE_EXPECT=1 rewrites {path}");
}

/// One line per segment: what its bytes are.
fn digests(name: &str, take: &Take) -> String {
    let mut text = String::new();
    for (segment, number) in take.segments.iter().zip(0..) {
        let sum: String = Sha256::digest(&segment.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{name} {number} {} {sum}", segment.bytes.len()).expect("strings take everything");
    }
    text
}

/// The bytes of every segment of the captures and of plain made-up streams, as they were when they were first pinned.
#[test]
fn segments_are_byte_identical() {
    let mut text = String::new();
    for (name, bytes) in CAPTURES {
        let tags = tags_of(name, bytes);
        for (flush, way) in [(0, "whole"), (7, "flushed")] {
            text += &digests(&format!("{name} {way}"), &take_flushed(config(2_000), &tags, flush));
        }
        let strict = RemuxConfig { segmenting: Segmenting::Strict, ..config(1_000) };
        text += &digests(&format!("{name} strict"), &take_flushed(strict, &tags, 5));
    }
    let plain = Source::default();
    let sources = [
        ("plain", plain.clone()),
        ("48kHz", Source { sample_rate: Some(48_000), frame_ms: 20, gop: 100, ..plain.clone() }),
        ("mute", Source { sample_rate: None, ..plain.clone() }),
        ("long", Source { length_ms: 70_000, gop: 10_000, frame_ms: 100, ..plain.clone() }),
        ("large", Source { length_ms: 3_000, picture_bytes: 9_000, gop: 25, ..plain }),
    ];
    for (name, source) in sources {
        text += &digests(name, &take_flushed(config(2_000), &source.tags(), 6));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segment-digests.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &text).expect("the source tree is writable");
    }
    assert_eq!(text, include_str!("../../../testdata/segment-digests.txt"), "UPDATE_EXPECT=1 rewrites {path}");
}
