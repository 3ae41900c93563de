//! Real encoders: RTMP bytes of a whole push to segments, in one plain function.

use super::source::{slices_of, sounds_of};
use super::*;
use crate::rtmp::{Event, HandshakeRandom, Limits, ServerSession};
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
