//! What is measured of an encoder, and what the doctor says to it.

use super::source::*;
use super::*;
use crate::doctor::advice;

fn says(config: RemuxConfig, tags: &[Tag]) -> Vec<String> {
    let mut remuxer = Remuxer::new(config);
    tags.iter().for_each(|tag| remuxer.push(tag));
    advice(&remuxer.measured()).iter().map(ToString::to_string).collect()
}

#[test]
fn the_doctor_has_nothing_to_say_to_a_stream_in_order() {
    assert_eq!(says(config(2_000), &Source::default().tags()), [""; 0]);
    assert_eq!(says(config(2_000), &super::captures::capture(0)), [""; 0]);
}

#[test]
fn the_doctor_measures_key_frames() {
    let source = Source { gop: 208, length_ms: 60_000, picture_bytes: 50, ..Source::default() };
    assert_eq!(says(config(2_000), &source.tags()), ["key frames every 8.3 s: set the interval to 2 s"]);
    let endless = Source { gop: 1_000_000, length_ms: 20_000, picture_bytes: 50, ..Source::default() };
    assert_eq!(says(config(5_000), &endless.tags()), ["key frames every 20.0 s: set the interval to 2 s"]);
}

#[test]
fn the_doctor_measures_the_lead_of_sound() {
    let mut tags = Source { length_ms: 30_000, picture_bytes: 50, ..Source::default() }.tags();
    tags.sort_by_key(|tag| {
        let late = if tag.kind == TagKind::Video && tag.payload[1] == 1 { 4_100 } else { 0 };
        tag.timestamp_ms + late
    });
    // At the end the pictures that are late come without sound beside them.
    assert_eq!(says(config(2_000), &tags[..tags.len() * 4 / 5]), ["sound 4.1 s ahead"]);
}

#[test]
fn the_doctor_measures_recovery_points() {
    let tags = flv_tags(include_bytes!("../../../testdata/open-gop.flv"));
    let said = says(config(2_000), &tags);
    assert!(
        said.len() == 1 && said[0].starts_with("key frames every 12.0 s, recovery points every 2.0 s:"),
        "{said:?}"
    );
    let open = RemuxConfig { recovery_points_start_segments: true, ..config(2_000) };
    assert_eq!(says(open, &tags), [""; 0]);
}

#[test]
fn the_doctor_names_codecs() {
    assert_eq!(says(config(2_000), &[video(0, b"\x91hvc1\0\0\0\0".to_vec())]), ["HEVC: choose H.264"]);
    let mp3 =
        [Source { sample_rate: None, ..Source::default() }.tags(), vec![audio(0, vec![0x2E, 0xFF, 0xFB])]].concat();
    assert_eq!(says(config(2_000), &mp3), ["MP3: choose AAC"]);
}

#[test]
fn the_doctor_measures_drift_when_it_has_a_clock() {
    // Media of 0.3 % more than the time in which it comes.
    let source = Source { length_ms: 300_000, frame_ms: 200, gop: 10, picture_bytes: 50, ..Source::default() };
    let mut remuxer = Remuxer::new(config(2_000));
    for tag in source.tags() {
        remuxer.push(&tag);
        let media = i64::from(tag.timestamp_ms);
        remuxer.note_time(1_700_000_000_000 + media - media * 3 / 1_000);
    }
    let said: Vec<String> = advice(&remuxer.measured()).iter().map(ToString::to_string).collect();
    assert_eq!(said, ["clock drifts 0.3 %: it runs fast"]);
}
