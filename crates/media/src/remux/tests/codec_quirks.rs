//! Codec data as encoders really send it (quirks Q25, Q36 to Q46).

use super::source::*;
use super::*;
use NalKind::{AccessUnitDelimiter as Aud, IdrSlice as Idr, Pps, Sei, Slice, Sps};

/// Video only: a header, then the tags given.
fn video_take(tags: &[Tag]) -> Take {
    take(config(2_000), &[&[avc_header(0, &[SPS], &[PPS])], tags].concat())
}

/// `(ms, key)` as plain pictures.
fn pictures(frames: &[(u32, bool)]) -> Vec<Tag> {
    frames.iter().map(|&(ms, key)| picture(ms, 0, key, &[&slice(key, ms, 100)])).collect()
}

#[test]
fn q25_empty_and_tiny_messages_are_counted() {
    let mut tags = Source::default().tags();
    for (index, payload) in [vec![], vec![0x17], vec![0x17, 1], vec![0x17, 1, 0, 0, 0]].into_iter().enumerate() {
        tags.insert(20 + index, video(100, payload));
    }
    for (index, payload) in [vec![], vec![0xAF], vec![0xAF, 1]].into_iter().enumerate() {
        tags.insert(40 + index, audio(100, payload));
    }
    let take = take(config(2_000), &tags);
    assert_eq!(take.durations(), [2_000; 5]);
    assert_eq!(take.stats.malformed, 7);
}

#[test]
fn q36_repeated_sequence_header_means_nothing() {
    let source = Source::default();
    let mut tags = Vec::new();
    for tag in source.media() {
        if tag.payload[0] == 0x17 {
            tags.extend(source.headers());
        }
        tags.push(tag);
    }
    let take = take(config(2_000), &tags);
    assert_eq!((take.stats.discontinuities, take.stats.repeated_headers), (0, 8));
    assert_eq!(take.durations(), [2_000; 5]);
}

#[test]
fn q37_changed_parameters_cut_at_the_next_key_frame() {
    let mut tags = pictures(&[(0, true), (40, false), (80, false)]);
    tags.push(avc_header(100, &[OTHER_SPS], &[PPS]));
    tags.extend(pictures(&[(120, false), (160, true), (200, false)]));
    let take = video_take(&tags);
    assert_eq!(take.durations(), [160, 80]);
    assert_eq!(take.reasons(), [CutReason::Discontinuity, CutReason::End]);
    assert_eq!(take.discontinuities(), [false, true]);
    let written: Vec<_> = take.segments[1].probe.video[0].nals().iter().map(|nal| nal.bytes().to_vec()).collect();
    assert_eq!(written[1..3], [OTHER_SPS.to_vec(), PPS.to_vec()]);
    assert_eq!(take.facts.video.map(|video| (video.width, video.height)), Some((640, 360)));
}

#[test]
fn q37_changed_audio_configuration_cuts_at_the_next_key_frame() {
    let source = Source { length_ms: 4_000, gop: 25, ..Source::default() };
    let other = Source { start_ms: 4_000, sample_rate: Some(48_000), ..source.clone() };
    let tags = [source.tags(), other.tags()].concat();
    let take = take(config(2_000), &tags);
    assert_eq!(take.sounds(), sounds_of(&tags));
    assert_eq!(take.discontinuities().iter().filter(|marked| **marked).count(), 1);
    assert_eq!(take.durations().iter().sum::<u64>(), 8_000);
    assert_eq!(take.facts.audio.map(|audio| audio.sample_rate), Some(48_000));
}

#[test]
fn q38_several_sets_are_all_written() {
    // PPS 1 for SPS 0.
    let second: &[u8] = &[0x68, 0x5B, 0x83, 0xCB, 0x20];
    let tags = [vec![avc_header(0, &[SPS], &[PPS, second])], pictures(&[(0, true), (40, false)])].concat();
    let take = take(config(2_000), &tags);
    assert_eq!(take.kinds(0), [vec![Aud, Sps, Pps, Pps, Idr], vec![Aud, Slice]]);
}

#[test]
fn q39_parameter_sets_in_band_only() {
    let tags = [
        picture(0, 0, true, &[&slice(true, 0, 10)]),
        picture(40, 0, true, &[SPS, PPS, &slice(true, 1, 10)]),
        picture(80, 0, false, &[&slice(false, 2, 10)]),
        picture(120, 0, true, &[&slice(true, 3, 10)]),
    ];
    let take = take(config(2_000), &tags);
    assert_eq!(take.kinds(0), [vec![Aud, Sps, Pps, Idr], vec![Aud, Slice], vec![Aud, Sps, Pps, Idr]]);
    assert_eq!(take.stats.without_parameter_sets, 1);
}

#[test]
fn q39_in_band_sets_win_over_the_header() {
    let tags =
        [picture(0, 0, true, &[OTHER_SPS, PPS, &slice(true, 0, 10)]), picture(40, 0, true, &[&slice(true, 1, 10)])];
    let take = video_take(&tags);
    assert_eq!(take.segments.len(), 1, "the header's own set was never in the stream");
    for unit in &take.segments[0].probe.video {
        assert_eq!(unit.nals()[1].bytes(), OTHER_SPS);
    }
    assert_eq!(take.facts.video.map(|video| video.width), Some(640));
}

#[test]
fn q39_a_set_that_changes_between_key_frames_stays_in_place() {
    let changed: &[u8] = &[0x68, 0xCB, 0x83, 0xCB, 0x21];
    let tags = [
        picture(0, 0, true, &[&slice(true, 0, 10)]),
        picture(40, 0, false, &[changed, &slice(false, 1, 10)]),
        picture(80, 0, false, &[changed, &slice(false, 2, 10)]),
        picture(120, 0, true, &[&slice(true, 3, 10)]),
    ];
    let take = video_take(&tags);
    assert_eq!(take.kinds(0), [vec![Aud, Sps, Pps, Idr], vec![Aud, Pps, Slice], vec![Aud, Slice]]);
    assert_eq!(take.discontinuities(), [false, true]);
}

#[test]
fn q40_annex_b_and_bad_units() {
    let mut annex_b = vec![0x17, 1, 0, 0, 0];
    for unit in [&[0x09, 0xF0][..], SPS, PPS, &slice(true, 0, 50)] {
        annex_b.extend_from_slice(&[0, 0, 0, 1]);
        annex_b.extend_from_slice(unit);
    }
    let mut overlong = picture(40, 0, false, &[&slice(false, 1, 50)]).payload.to_vec();
    overlong.extend_from_slice(&[0, 0, 1, 0, 0x41]);
    let take = video_take(&[video(0, annex_b), video(40, overlong), video(80, vec![0x27, 1, 0, 0, 0, 9, 9])]);
    assert_eq!(take.kinds(0), [vec![Aud, Sps, Pps, Idr], vec![Aud, Slice]]);
    assert_eq!(take.slices(), [slice(true, 0, 50), slice(false, 1, 50)]);
    assert_eq!((take.stats.other_framing, take.stats.bad_nals), (1, 2));
}

#[test]
fn q40_every_length_size() {
    for size in [1_u8, 2, 3, 4] {
        let mut header = avc_header(0, &[SPS], &[PPS]).payload.to_vec();
        header[9] = 0xFC | (size - 1);
        let nal = slice(true, 0, 50);
        let mut frame = vec![0x17, 1, 0, 0, 0];
        frame.extend_from_slice(&50_u32.to_be_bytes()[4 - usize::from(size)..]);
        frame.extend_from_slice(&nal);
        let take = take(config(2_000), &[video(0, header), video(0, frame)]);
        assert_eq!(take.slices(), [nal], "size {size}");
    }
}

#[test]
fn q41_one_delimiter_no_filler_sets_before_sei() {
    let aud: &[u8] = &[0x09, 0x10];
    let sei: &[u8] = &[0x06, 0, 1, 0x80, 0x80];
    let filler: &[u8] = &[0x0C, 0xFF, 0xFF, 0x80];
    let take = video_take(&[
        picture(0, 0, true, &[aud, aud, sei, SPS, PPS, filler, &slice(true, 0, 20)]),
        picture(40, 0, true, &[SPS, aud, PPS, sei, &slice(true, 1, 20), &later_slice(true, 1), filler]),
        picture(80, 0, false, &[&slice(false, 2, 20), &later_slice(false, 2)]),
    ]);
    assert_eq!(
        take.kinds(0),
        [vec![Aud, Sps, Pps, Sei, Idr], vec![Aud, Sps, Pps, Sei, Idr, Idr], vec![Aud, Slice, Slice]]
    );
    assert_eq!(take.stats.fillers, 2);
}

#[test]
fn q41_one_picture_over_several_tags() {
    let sei: &[u8] = &[0x06, 0, 1, 0x80, 0x80];
    let tags = [
        picture(0, 0, true, &[SPS, PPS]),
        picture(0, 0, true, &[sei]),
        picture(0, 0, true, &[&slice(true, 0, 20)]),
        picture(0, 0, true, &[&later_slice(true, 0)]),
        picture(40, 0, false, &[&slice(false, 1, 20)]),
        picture(40, 0, false, &[&later_slice(false, 1)]),
    ];
    let take = video_take(&tags);
    assert_eq!(take.kinds(0), [vec![Aud, Sps, Pps, Sei, Idr, Idr], vec![Aud, Slice, Slice]]);
    assert_eq!(take.stats.merged_tags, 2);
}

#[test]
fn q41_a_part_after_a_flush_is_not_lost() {
    let tags = [
        avc_header(0, &[SPS], &[PPS]),
        aac_header(0, ASC_44100),
        picture(0, 0, true, &[&slice(true, 0, 20)]),
        picture(0, 0, true, &[&later_slice(true, 0)]),
        picture(40, 0, false, &[&slice(false, 1, 20)]),
    ];
    let mut remuxer = Remuxer::new(config(2_000));
    let mut bytes = Vec::new();
    for tag in &tags {
        remuxer.push(tag);
        for _ in 0..3 {
            remuxer.flush();
        }
    }
    remuxer.finish();
    while let Some(output) = remuxer.next_output() {
        if let Output::Data(data) = output {
            bytes.extend_from_slice(&data);
        }
    }
    let probe = Probe::default().segment(&bytes);
    let slices: Vec<_> = probe.video.iter().flat_map(|unit| unit.nals()).filter(NalUnit::is_slice).collect();
    assert_eq!(slices.len(), 3);
}

#[test]
fn q42_nal_types_decide_not_flags() {
    let take = video_take(&[
        picture(0, 0, true, &[&slice(false, 0, 20)]),
        picture(40, 0, false, &[&slice(true, 1, 20)]),
        video(60, vec![0x57, 0]),
        picture(80, 0, true, &[&slice(false, 2, 20)]),
    ]);
    assert_eq!(take.kinds(0), [vec![Aud, Sps, Pps, Idr], vec![Aud, Slice]]);
    assert_eq!((take.stats.wrong_key_flags, take.stats.before_first_key, take.stats.info_messages), (3, 1, 1));
}

#[test]
fn q42_recovery_points_start_segments_only_by_option() {
    let recovery: &[u8] = &[0x06, 0x06, 0x01, 0xC4, 0x80];
    let tags: Vec<Tag> = std::iter::once(avc_header(0, &[SPS], &[PPS]))
        .chain((0..10).map(|index| picture(index * 1000, 0, true, &[recovery, &slice(false, index, 20)])))
        .collect();
    assert!(take(config(2_000), &tags).segments.is_empty());
    let open_gop = RemuxConfig { recovery_points_start_segments: true, ..config(2_000) };
    assert_eq!(take(open_gop, &tags).durations(), [2_000; 5]);
}

const OPEN_GOP: &[u8] = include_bytes!("../../../testdata/open-gop.flv");
const INTRA_REFRESH: &[u8] = include_bytes!("../../../testdata/intra-refresh.flv");

#[test]
fn q42_open_gop_and_intra_refresh_of_x264() {
    for (name, file) in [("open GOP", OPEN_GOP), ("intra refresh", INTRA_REFRESH)] {
        let tags = flv_tags(file);
        let plain = take(config(2_000), &tags);
        assert_eq!((plain.durations(), plain.stats.recovery_points), (vec![12_000], 5), "{name}");
        let by_option = RemuxConfig { recovery_points_start_segments: true, ..config(2_000) };
        let open = take(by_option, &tags);
        assert_eq!((open.durations(), open.stats.recovery_points), (vec![2_000; 6], 5), "{name}");
        assert_eq!(open.slices(), slices_of(&tags), "{name}");
        for (segment, number) in open.segments.iter().zip(0..) {
            let first = &segment.probe.video[0];
            assert!(segment.closing.key_frame && first.random_access, "{name}");
            assert_eq!(segment.closing.independent, number == 0, "{name}");
            assert_eq!(open.kinds(number)[0][..3], [Aud, Sps, Pps], "{name}");
            assert!(number == 0 || first.nals().iter().any(NalUnit::has_recovery_point), "{name}");
        }
        assert_eq!(open.reasons()[..5], [CutReason::KeyFrame; 5], "{name}");
    }
}

#[test]
fn q42_strict_prefers_recovery_points_to_a_cut_in_the_middle() {
    for (frag, expected) in [(2_000, vec![2_000; 6]), (3_000, vec![2_000; 6]), (4_000, vec![4_000; 3])] {
        for (name, file) in [("open GOP", OPEN_GOP), ("intra refresh", INTRA_REFRESH)] {
            let strict = RemuxConfig { segmenting: Segmenting::Strict, ..config(frag) };
            let take = take(strict, &flv_tags(file));
            // The first distance is known at the second recovery point.
            assert_eq!(take.durations()[1..], expected[1..], "{name}, {frag}");
            let starts = |segment: &Segment| segment.probe.video[0].nals().iter().any(NalUnit::has_recovery_point);
            assert!(take.segments[1..].iter().all(starts), "{name}, {frag}");
            assert!(!take.segments[1].closing.key_frame, "it is no key frame for that");
        }
    }
}

#[test]
fn q42_i_pictures_with_the_key_flag_start_segments_by_option() {
    // An encoder with open GOPs that writes no recovery points: I slices (type 7), or P slices (type 5) with the flag.
    for (head, starts) in [([0x41, 0x88, 0x84], true), ([0x41, 0x9A, 0x44], false)] {
        let mut tags = vec![avc_header(0, &[SPS], &[PPS]), picture(0, 0, true, &[&slice(true, 0, 20)])];
        for number in 1..200_u32 {
            let is_entry = number % 50 == 0;
            let mut nal = slice(false, number, 20);
            if is_entry {
                nal.splice(..3, head);
            }
            tags.push(picture(number * 40, 0, is_entry, &[&nal]));
        }
        let open = RemuxConfig { recovery_points_start_segments: true, ..config(2_000) };
        let durations = if starts { vec![2_000; 4] } else { vec![8_000] };
        assert_eq!(take(open, &tags).durations(), durations);
        assert_eq!(take(config(2_000), &tags).durations(), [8_000]);
    }
}

#[test]
fn q43_adts_in_flv_needs_no_header() {
    let config_ = crate::aac::AudioConfig::parse(ASC_44100).expect("valid");
    let source = Source { sample_rate: None, ..Source::default() };
    let mut tags = source.tags();
    let mut sounds = Vec::new();
    for number in 0..100_u32 {
        let data = sound(number);
        let adts = [&config_.adts_header(data.len()).expect("short")[..], &data].concat();
        tags.push(aac_frame(number * 1024 * 10 / 441, &adts));
        sounds.push(data);
    }
    tags.sort_by_key(|tag| tag.timestamp_ms);
    let take = take(config(2_000), &tags);
    assert_eq!(take.sounds(), sounds);
    assert_eq!(take.stats.adts_in_flv, 100);
}

#[test]
fn q44_other_codecs_are_dropped_and_named() {
    let mp3: Vec<Tag> = (0..40).map(|index| audio(index * 26, vec![0x2E, 0xFF, 0xFB])).collect();
    let tags = [Source { sample_rate: None, length_ms: 1_000, ..Source::default() }.tags(), mp3].concat();
    let recorded = take(config(2_000), &tags);
    assert_eq!(recorded.durations(), [1_000]);
    assert_eq!(recorded.facts.audio, Some(AudioFacts { codec: AudioCodec::Mp3, sample_rate: 44_100 }));
    assert_eq!(recorded.stats.foreign_audio, 40);
    for (payload, name) in
        [(vec![0x1C, 1, 0, 0, 0, 5], "H265"), (vec![0x12, 5], "H263"), (b"\x91av01\x05".to_vec(), "AV1")]
    {
        let foreign = take(config(2_000), &[video(0, payload)]);
        assert!(foreign.segments.is_empty());
        assert_eq!((foreign.facts.video.map(|video| video.codec.name()), foreign.stats.foreign_video), (Some(name), 1));
    }
}

#[test]
fn q45_enhanced_avc1_is_recorded_as_track_0() {
    let header = avc_header(0, &[SPS], &[PPS]).payload;
    let nal = slice(true, 0, 20);
    let body = [&20_u32.to_be_bytes()[..], &nal].concat();
    let mut tags = vec![video(0, [b"\x90avc1", &header[5..]].concat())];
    tags.push(video(0, [b"\x91avc1\0\0\0", &body[..]].concat()));
    // Track 1 beside it.
    tags.push(video(0, [b"\x96\x03avc1\x01", &body[..]].concat()));
    let take = take(config(2_000), &tags);
    assert_eq!(take.slices(), [nal]);
    assert_eq!(take.stats.skipped_tracks, 1);
}

#[test]
fn q46_late_audio_starts_a_segment_with_a_new_pmt() {
    let source = Source { length_ms: 12_000, gop: 25, ..Source::default() };
    let tags: Vec<Tag> =
        source.tags().into_iter().filter(|tag| tag.kind == TagKind::Video || tag.timestamp_ms >= 4_500).collect();
    // The configuration comes with the first audio frame only.
    let mut tags: Vec<Tag> = tags.into_iter().filter(|tag| tag.kind == TagKind::Video || tag.payload[1] == 1).collect();
    let at = tags.iter().position(|tag| tag.kind == TagKind::Audio).expect("audio");
    tags.insert(at, aac_header(4_500, ASC_44100));
    let take = take(config(2_000), &tags);
    let announced: Vec<bool> = take.segments.iter().map(|segment| segment.probe.announces_audio).collect();
    let late = announced.iter().position(|audio| *audio).expect("audio at last");
    assert_eq!(take.segments[late].opening.media_time_ms, 5_000);
    assert_eq!(take.segments[late].closing.duration_ms, 2_000);
    assert_eq!(take.reasons()[late - 1], CutReason::Discontinuity);
    assert_eq!(take.discontinuities().iter().filter(|marked| **marked).count(), 1);
    assert_eq!(take.durations().iter().sum::<u64>(), 12_000);
}

#[test]
fn q46_audio_a_little_after_the_first_key_frame_is_announced_at_once() {
    let mut tags = Source::default().media();
    tags.insert(0, avc_header(0, &[SPS], &[PPS]));
    tags.retain(|tag| tag.kind == TagKind::Video || tag.timestamp_ms >= 300);
    let at = tags.iter().position(|tag| tag.kind == TagKind::Audio).expect("audio");
    tags.insert(at, aac_header(300, ASC_44100));
    let take = take(config(2_000), &tags);
    assert!(take.segments[0].probe.announces_audio);
    assert_eq!(take.stats.discontinuities, 0);
    assert_eq!(take.sounds(), sounds_of(&tags));
}

#[test]
fn q46_vanished_audio_leaves_the_pmt_and_may_return() {
    let source = Source { length_ms: 40_000, gop: 25, ..Source::default() };
    let tags: Vec<Tag> = source
        .tags()
        .into_iter()
        .filter(|tag| tag.kind == TagKind::Video || !(5_000..30_000).contains(&tag.timestamp_ms))
        .collect();
    let take = take(config(2_000), &tags);
    let changes: Vec<(i64, bool)> = take
        .segments
        .iter()
        .filter(|segment| segment.opening.discontinuity)
        .map(|segment| (segment.opening.media_time_ms, segment.probe.announces_audio))
        .collect();
    assert_eq!(changes, [(16_000, false), (30_000, true)]);
    assert_eq!(take.durations().iter().sum::<u64>(), 40_000);
}
