//! Cutting, interleaving and flushing of well-formed takes (LiveChannel 4.2, 4.3, decisions D8, D9, D14).

use super::source::{Source, slices_of, sounds_of};
use super::*;

#[test]
fn every_frame_arrives_and_segments_follow_the_gop() {
    for flush_every in [0, 1, 7] {
        let tags = Source::default().tags();
        let take = take_flushed(config(2_000), &tags, flush_every);
        assert_eq!(take.durations(), [2_000; 5]);
        assert_eq!(take.slices(), slices_of(&tags));
        assert_eq!(take.sounds(), sounds_of(&tags));
        assert_eq!((take.stats.pictures, take.stats.key_frames), (250, 5));
        assert_eq!(take.stats.discontinuities, 0);
    }
}

#[test]
fn facts_are_those_of_the_headers() {
    let take = take(config(2_000), &Source::default().tags());
    let video = take.facts.video.expect("video");
    assert_eq!((video.codec.name(), video.width, video.height), ("H264", 352, 288));
    assert_eq!(video.frame_rate, Some(30.0), "by the VUI");
    assert_eq!(take.facts.audio, Some(AudioFacts { codec: AudioCodec::Aac, sample_rate: 44_100 }));
}

#[test]
fn facts_measure_the_rate_without_a_vui() {
    let sps: &[u8] = &[0x67, 0x42, 0xC0, 0x0D, 0xD9, 0x01, 0x60, 0x96, 0x40];
    for (frame_ms, expected) in [(40, 25.0), (20, 50.0), (100, 10.0)] {
        let source = Source { frame_ms, ..Source::default() };
        let tags = [vec![source::avc_header(0, &[sps], &[source::PPS])], source.media()].concat();
        assert_eq!(take(config(2_000), &tags).facts.video.and_then(|video| video.frame_rate), Some(expected));
    }
}

#[test]
fn livechannel_4_2_forced_cut() {
    let source = Source { length_ms: 130_000, frame_ms: 100, gop: 10_000, picture_bytes: 50, ..Source::default() };
    let tags = source.tags();
    let take = take(config(5_000), &tags);
    assert_eq!(take.durations(), [60_000, 60_000, 10_000]);
    assert_eq!(take.reasons(), [CutReason::Forced, CutReason::Forced, CutReason::End]);
    assert_eq!(take.segments.iter().map(|s| s.closing.key_frame).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(take.stats.forced_cuts, 2);
    assert_eq!(take.slices(), slices_of(&tags));
    // Each segment is playable alone: the probe saw parameter sets at its start.
    assert_eq!(take.kinds(1)[0][..3], [NalKind::AccessUnitDelimiter, NalKind::Sps, NalKind::Pps]);
}

#[test]
fn d9_strict_never_exceeds_its_target() {
    let strict = RemuxConfig { segmenting: Segmenting::Strict, ..config(2_000) };
    let source = Source { length_ms: 30_000, gop: 250, ..Source::default() };
    let take = take(strict, &source.tags());
    assert!(take.durations().iter().all(|ms| *ms < 2_500), "{:?}", take.durations());
    assert_eq!(take.durations().iter().sum::<u64>(), 30_000);
    assert!(take.stats.strict_cuts > 0);
    assert_eq!(check_playlists(&take.segments, 2).target_rises, 0);
    assert_eq!(check_playlists(&take.segments, 2).target_duration_s, 3);
}

#[test]
fn d8_flush_leaves_at_most_half_a_second_behind() {
    for sample_rate in [None, Some(44_100)] {
        let source = Source { sample_rate, ..Source::default() };
        let mut remuxer = Remuxer::new(config(2_000));
        let mut bytes = Vec::new();
        let mut newest = 0;
        let mut flushed = 0;
        for tag in source.tags() {
            remuxer.push(&tag);
            newest = newest.max(tag.timestamp_ms);
            if newest >= flushed + 200 {
                flushed = newest;
                remuxer.flush();
                while let Some(output) = remuxer.next_output() {
                    match output {
                        Output::Open(_) => bytes.clear(),
                        Output::Data(data) => bytes.extend_from_slice(&data),
                        Output::Close(_) => {}
                    }
                }
                let start = u64::from(newest) / 2_000 * 2_000;
                let recovered = recover(&bytes);
                if newest > 600 && u64::from(newest) > start {
                    let end = start + recovered.duration_ms;
                    assert!(end + 300 >= u64::from(newest), "{end} of {newest}");
                }
            }
        }
    }
}

#[test]
fn flush_without_new_media_hides_nothing() {
    // Audio that runs ahead of stalled video, and video that waits for stalled audio, come out after a few flushes.
    let tags = Source::default().tags();
    let only = |kind, from: u32| tags.iter().filter(move |tag| tag.kind == kind && tag.timestamp_ms >= from).cloned();
    for (kind, name) in [(TagKind::Audio, "audio"), (TagKind::Video, "video")] {
        let mut remuxer = Remuxer::new(config(5_000));
        for tag in tags.iter().filter(|tag| tag.timestamp_ms < 1_000) {
            remuxer.push(tag);
        }
        let later: Vec<Tag> = only(kind, 1_000).take(20).collect();
        for tag in &later {
            remuxer.push(tag);
        }
        for _ in 0..3 {
            remuxer.flush();
        }
        let before = (remuxer.stats().pictures, remuxer.stats().audio_frames);
        remuxer.finish();
        assert_eq!((remuxer.stats().pictures, remuxer.stats().audio_frames), before, "{name}");
    }
}

#[test]
fn audio_lies_beside_the_video_of_its_time() {
    // Audio arrives 1.5 s before the pictures, or the other way round by 0.6 s.
    for (video_late, limit) in [(1_500_i64, 500), (-600, 500)] {
        let tags = Source::default().tags();
        let mut timed: Vec<(i64, Tag)> = tags
            .into_iter()
            .map(|tag| {
                let late = if tag.kind == TagKind::Video { video_late } else { 0 };
                let header = tag.payload[1] == 0;
                (if header { -10_000 } else { i64::from(tag.timestamp_ms) + late }, tag)
            })
            .collect();
        timed.sort_by_key(|(at, _)| *at);
        let tags: Vec<Tag> = timed.into_iter().map(|(_, tag)| tag).collect();
        let take = take(config(2_000), &tags);
        assert_eq!(take.slices().len(), 250);
        assert_eq!(take.sounds(), sounds_of(&tags));
        for segment in &take.segments {
            widest_distance(&segment.bytes, limit);
        }
    }
}

/// Asserts that audio and video next to each other in a segment are at most `limit_ms` apart.
fn widest_distance(bytes: &[u8], limit_ms: i64) {
    let mut last = [None::<i64>; 2];
    for packet in bytes.chunks_exact(188).filter(|packet| packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0) {
        let pid = u16::from(packet[1] & 0x1F) << 8 | u16::from(packet[2]);
        let slot = match pid {
            0x100 => 0,
            0x101 => 1,
            _ => continue,
        };
        let skip = if packet[3] & 0x20 != 0 { usize::from(packet[4]) + 1 } else { 0 };
        let field = packet[4 + skip + 9..4 + skip + 14].iter().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
        let pts = (field >> 33 & 7) << 30 | (field >> 17 & 0x7FFF) << 15 | field >> 1 & 0x7FFF;
        last[slot] = Some(pts);
        if let [Some(video), Some(audio)] = last {
            assert!((video - audio).abs() <= limit_ms * 90, "{} ms apart", (video - audio) / 90);
        }
    }
}

#[test]
fn nothing_is_written_without_video() {
    let tags: Vec<Tag> = Source::default().tags().into_iter().filter(|tag| tag.kind == TagKind::Audio).collect();
    let take = take_flushed(config(2_000), &tags, 5);
    assert!(take.segments.is_empty());
    assert_eq!(take.facts.audio.map(|audio| audio.sample_rate), Some(44_100));
    assert!(take.stats.audio_before_picture > 0, "what waits is bounded");
}

#[test]
fn video_alone_works() {
    let tags = Source { sample_rate: None, ..Source::default() }.tags();
    let take = take(config(2_000), &tags);
    assert_eq!(take.durations(), [2_000; 5]);
    assert!(take.segments.iter().all(|segment| !segment.probe.announces_audio));
}

#[test]
fn audio_just_before_the_first_key_frame_is_kept() {
    let source = Source { start_ms: 1_000, ..Source::default() };
    let early = [
        source::aac_frame(500, &source::sound(900)),
        source::aac_frame(930, &source::sound(901)),
        source::aac_frame(953, &source::sound(902)),
    ];
    let tags = [source.headers(), early.to_vec(), source.media()].concat();
    let take = take(config(2_000), &tags);
    assert_eq!(take.sounds()[..2], [source::sound(901), source::sound(902)]);
    assert_eq!(take.stats.audio_before_picture, 1);
    assert_eq!(take.segments[0].opening.media_time_ms, 0);
}

#[test]
fn q50_a_short_take_is_kept() {
    let tags = Source { length_ms: 80, sample_rate: None, ..Source::default() }.tags();
    assert_eq!(take(config(2_000), &tags).durations(), [80]);
    let tags = Source { length_ms: 40, sample_rate: None, ..Source::default() }.tags();
    let take = take(config(2_000), &tags);
    assert_eq!(take.durations(), [33], "one picture lasts as long as the VUI says");
}

#[test]
fn q49_the_end_in_the_middle_closes_the_segment() {
    let tags = Source::default().tags();
    let cut = &tags[..tags.len() * 7 / 10];
    let take = take(config(2_000), cut);
    assert_eq!(take.slices(), slices_of(cut));
    assert_eq!(take.sounds(), sounds_of(cut));
    assert_eq!(take.reasons().last(), Some(&CutReason::End));
}

#[test]
fn d9_strict_leaves_a_gap_where_a_picture_stands_still_for_too_long() {
    // A screen that nobody touches for five seconds, without sound.
    let mut tags = Source { sample_rate: None, length_ms: 4_000, gop: 25, ..Source::default() }.tags();
    let later = Source { start_ms: 9_000, sample_rate: None, length_ms: 4_000, gop: 25, ..Source::default() };
    tags.extend(later.media());
    let strict = take(RemuxConfig { segmenting: Segmenting::Strict, ..config(2_000) }, &tags);
    assert_eq!(strict.durations(), [2_000, 2_499, 2_000, 2_000]);
    assert_eq!(strict.discontinuities(), [false, false, true, false]);
    assert_eq!(strict.slices(), slices_of(&tags));
    let patient = take(config(2_000), &tags);
    assert_eq!(patient.durations(), [2_000, 7_000, 2_000, 2_000]);
    assert_eq!(patient.discontinuities(), [false; 4]);
}
