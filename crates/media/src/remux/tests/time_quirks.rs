//! Time stamps as encoders really send them (quirks Q19, Q20, Q28 to Q35).

use super::source::*;
use super::*;

/// Shifts the time stamps of the tags with `ms >= from`.
fn shifted(tags: Vec<Tag>, from: u32, by: i64) -> Vec<Tag> {
    let shift = |tag: Tag| {
        let moved = i64::from(tag.timestamp_ms) + if tag.timestamp_ms >= from { by } else { 0 };
        // Modulo 2^32, as encoders count.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Tag { timestamp_ms: moved as u32, ..tag }
    };
    tags.into_iter().map(shift).collect()
}

#[test]
fn q19_q20_wraps_are_invisible() {
    for (name, start, modulus) in [
        ("24 bits", (1 << 24) - 5_000, 1_u64 << 24),
        ("31 bits", (1 << 31) - 5_000, 1 << 31),
        ("32 bits", u32::MAX - 5_000, 1 << 32),
    ] {
        let mut tags = Source { start_ms: start, ..Source::default() }.tags();
        for tag in &mut tags {
            tag.timestamp_ms = u32::try_from(u64::from(tag.timestamp_ms) % modulus).expect("reduced");
        }
        let take = take(config(2_000), &tags);
        assert_eq!(take.durations(), [2_000; 5], "{name}");
        assert_eq!((take.stats.discontinuities, take.stats.audio_resyncs), (0, 0), "{name}");
        assert_eq!(take.sounds(), sounds_of(&tags), "{name}");
    }
}

#[test]
fn q28_jumps_mark_the_next_segment_and_move_no_clock() {
    for by in [-5_000_i64, 100_000, -1_100, 10_001] {
        let source = Source { start_ms: 20_000, gop: 25, ..Source::default() };
        let tags = shifted(source.tags(), 24_500, by);
        let take = take(config(2_000), &tags);
        assert_eq!(take.slices(), slices_of(&tags), "{by}");
        assert_eq!(take.sounds(), sounds_of(&tags), "{by}");
        let marked: Vec<i64> = take
            .segments
            .iter()
            .filter(|segment| segment.opening.discontinuity)
            .map(|segment| segment.opening.media_time_ms)
            .collect();
        assert_eq!(marked.len(), 1, "{by}: {marked:?}");
        assert!((4_960..=5_040).contains(&marked[0]), "{by}: {marked:?}");
        let total: u64 = take.durations().iter().sum();
        assert!((9_960..=10_040).contains(&total), "{by}: {total}");
        assert_eq!(take.stats.jumps, 2, "{by}");
    }
}

#[test]
fn q28_a_jump_at_a_key_frame_is_one_discontinuity() {
    for by in [-20_000_i64, 100_000] {
        let tags = shifted(Source { start_ms: 20_000, ..Source::default() }.tags(), 24_000, by);
        let take = take(config(2_000), &tags);
        assert_eq!(take.discontinuities(), [false, false, true, false, false], "{by}");
        assert_eq!(take.sounds(), sounds_of(&tags), "{by}");
    }
}

#[test]
fn q28_video_jumps_alone() {
    let source = Source { start_ms: 60_000, gop: 25, ..Source::default() };
    let tags: Vec<Tag> = source
        .tags()
        .into_iter()
        .map(|tag| match tag.kind {
            TagKind::Video if tag.timestamp_ms >= 64_500 => Tag { timestamp_ms: tag.timestamp_ms - 64_500, ..tag },
            _ => tag,
        })
        .collect();
    let take = take(config(2_000), &tags);
    assert_eq!(take.durations().iter().sum::<u64>(), 10_000);
    assert_eq!(take.stats.discontinuities, 1);
    assert_eq!(take.sounds(), sounds_of(&tags));
}

#[test]
fn q29_equal_and_slightly_falling_times_rise_by_a_tick() {
    let times = [0, 40, 40, 35, 80, 120];
    let mut tags = vec![avc_header(0, &[SPS], &[PPS])];
    tags.extend(
        times.iter().zip(0..).map(|(ms, number)| picture(*ms, 0, number == 0, &[&slice(number == 0, number, 20)])),
    );
    let take = take(config(2_000), &tags);
    let dts: Vec<i64> = take.segments[0].probe.video.iter().filter_map(|unit| unit.dts).collect();
    assert_eq!(dts.iter().map(|ticks| ticks - dts[0]).collect::<Vec<_>>(), [0, 3600, 3601, 3602, 7200, 10_800]);
    assert_eq!(take.stats.repaired_dts, 2);
}

#[test]
fn q29_skew_is_reported() {
    let mut tags = Source::default().tags();
    tags.sort_by_key(|tag| {
        let late = if tag.kind == TagKind::Video && tag.payload[1] == 1 { 2_000 } else { 0 };
        tag.timestamp_ms + late
    });
    let take = take(config(2_000), &tags);
    assert!((1_900..2_100).contains(&take.stats.widest_skew_ms), "{}", take.stats.widest_skew_ms);
    assert_eq!(take.sounds(), sounds_of(&tags));
}

#[test]
fn q30_negative_composition_times_are_signed() {
    // I0 P3 B1 B2 with decoding times that leave no room for reordering.
    let order = [(0_u32, 0_i32), (40, 80), (80, -40), (120, -40), (160, 80), (200, -40), (240, -40), (280, 0)];
    let mut tags = vec![avc_header(0, &[SPS], &[PPS])];
    tags.extend(
        order
            .iter()
            .zip(0..)
            .map(|(&(ms, cts), number)| picture(ms, cts, number == 0, &[&slice(number == 0, number, 20)])),
    );
    let take = take(config(2_000), &tags);
    let units = &take.segments[0].probe.video;
    let zero = units[0].pts.expect("times");
    let shown: Vec<i64> = units.iter().filter_map(|unit| unit.pts).map(|pts| pts - zero).collect();
    let expected: Vec<i64> = order.iter().map(|(ms, cts)| (i64::from(*ms) + i64::from(*cts)) * 90).collect();
    // The picture at which the shift is found may move by a tick.
    assert!(
        shown.iter().zip(&expected).all(|(shown, expected)| (shown - expected).abs() <= 1),
        "{shown:?} {expected:?}"
    );
    assert_eq!(take.stats.dts_shifts, 1);
}

/// A slice of [`OTHER_SPS`], whose slices say in which order pictures are shown: 4 bits of frame number, 6 of order count.
fn ordered_slice(key_frame: bool, count: u32, is_reference: bool) -> Vec<u8> {
    // First macroblock 0, slice type 7 or 5, PPS 0, frame number 0, for a key frame also its id 0, then the count.
    let head = if key_frame { "1 0001000 1 0000 1" } else { "1 00110 1 0000" };
    let bits: String = format!("{head} {count:06b} 1").replace(' ', "");
    let header = if key_frame { 0x65 } else { 0x01 | (u8::from(is_reference) << 5) };
    let body = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |value, (index, bit)| value | ((bit - b'0') << (7 - index))));
    std::iter::once(header).chain(body).chain([0x5A; 20]).collect()
}

#[test]
fn q31_impossible_presentation_times_are_repaired() {
    // Groups of I0 P3 B1 B2 P6 B4 B5 P9 B7 B8, as some phones send them: each picture shown when it is decoded.
    let counts = [0_u32, 6, 2, 4, 12, 8, 10, 18, 14, 16];
    let mut tags = vec![avc_header(0, &[OTHER_SPS], &[PPS])];
    for number in 0..40_u32 {
        let count = counts[number as usize % 10];
        let nal = ordered_slice(count == 0, count, count.is_multiple_of(6));
        tags.push(picture(number * 40, 0, count == 0, &[&nal]));
    }
    let take = take(config(10_000), &tags);
    let units = &take.segments[0].probe.video;
    let zero = units[0].pts.expect("times");
    let shown: Vec<i64> = units.iter().filter_map(|unit| unit.pts).map(|pts| (pts - zero) / 90).collect();
    // Behind the first proof, at the third picture, each is shown in the order and at the distance of its count.
    for (number, shown) in shown.iter().enumerate().skip(2) {
        let expected = i64::try_from(number / 10 * 400).expect("short") + i64::from(counts[number % 10]) * 20;
        assert!((shown - expected).abs() <= 1, "picture {number}: {shown}, expected {expected}");
    }
    assert!(take.stats.repaired_pts > 30, "{}", take.stats.repaired_pts);
}

/// Bits, spaces between them, as the bytes that they fill.
fn packed(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').collect();
    let byte = |bits: &[u8]| bits.iter().zip(0..).fold(0, |value, (bit, index)| value | ((bit - b'0') << (7 - index)));
    bits.chunks(8).map(byte).collect()
}

/// Baseline, id 0, 4 bits of frame number, then the order count as given, one reference, 352x288, frames only.
fn sps_with_order(order: &str) -> Vec<u8> {
    let head = "01100111 01000010 11000000 00001101 1 1";
    packed(&format!("{head} {order} 010 0 000010110 000010010 1 1 0 0 1"))
}

/// A slice with a frame number and what follows it.
fn numbered_slice(key_frame: bool, is_reference: bool, frame_number: u32, rest: &str) -> Vec<u8> {
    let head = if key_frame { "01100101 1 0001000 1" } else { "00000001 1 00110 1" };
    let mut nal = packed(&format!("{head} {frame_number:04b} {} {rest} 1", if key_frame { "1" } else { "" }));
    if is_reference {
        nal[0] |= 0x20;
    }
    nal.extend([0x5A; 20]);
    nal
}

/// What is shown when of pictures every 40 ms, which all claim to be shown when they are decoded, in ms from the first.
fn shown_of(sps: &[u8], pictures: &[(bool, Vec<u8>)]) -> (Vec<i64>, u64) {
    let mut tags = vec![avc_header(0, &[sps], &[PPS])];
    tags.extend((0..).zip(pictures).map(|(number, (key_frame, nal))| picture(number * 40, 0, *key_frame, &[nal])));
    let take = take(config(10_000), &tags);
    let units = &take.segments[0].probe.video;
    let zero = units[0].pts.expect("times");
    (units.iter().filter_map(|unit| unit.pts).map(|pts| (pts - zero) / 90).collect(), take.stats.repaired_pts)
}

#[test]
fn q31_order_counts_of_type_1_follow_from_frame_numbers() {
    // Groups of I0 P2 b1 P4 b3 …: reference pictures are 4 apart in count, a b-picture comes 2 before the one decoded
    // before it. The frame number has four bits and wraps within each group of 41 pictures.
    let exact = sps_with_order("010 1 00101 1 010 0001000");
    // The same, with steps of 2 and the rest said by each slice.
    let by_slices = sps_with_order("010 0 1 1 010 00100");
    for (name, sps, is_exact) in [("exact", exact, true), ("by slices", by_slices, false)] {
        let mut pictures = Vec::new();
        let mut expected = Vec::new();
        for group in 0..2_i64 {
            for place in 0..41_u32 {
                let is_reference = place == 0 || place % 2 == 1;
                let references = place.div_ceil(2);
                let number = if is_reference { references } else { references + 1 } % 16;
                let count = if is_reference { 4 * i64::from(references) } else { 4 * i64::from(references) - 2 };
                let said = match (is_exact, count - 2 * i64::from(references)) {
                    (true, _) => String::new(),
                    // Exp-Golomb, signed: of a positive number 2n - 1 is written.
                    (false, 0) => "1".to_owned(),
                    (false, difference) => {
                        let code = format!("{:b}", 2 * difference);
                        format!("{}{code}", "0".repeat(code.len() - 1))
                    }
                };
                pictures.push((place == 0, numbered_slice(place == 0, is_reference, number, &said)));
                expected.push((group * 41 + count / 2) * 40);
            }
        }
        let (shown, repaired) = shown_of(&sps, &pictures);
        for (number, (shown, expected)) in shown.iter().zip(&expected).enumerate().skip(4) {
            assert!((shown - expected).abs() <= 1, "{name}, picture {number}: {shown}, expected {expected}");
        }
        assert!(repaired > 60, "{name}: {repaired}");
    }
}

#[test]
fn q31_order_counts_of_type_2_need_no_repair() {
    let sps = sps_with_order("011");
    // Pictures are shown as they are decoded (H.264 8.2.1.3), so there is nothing that times could contradict.
    let pictures: Vec<_> =
        (0..30).map(|n| (n % 10 == 0, numbered_slice(n % 10 == 0, n % 3 == 0, n % 10, ""))).collect();
    let (shown, repaired) = shown_of(&sps, &pictures);
    assert_eq!(shown, (0..30).map(|n| n * 40).collect::<Vec<_>>());
    assert_eq!(repaired, 0);
}

#[test]
fn wild_composition_times_are_ignored() {
    let mut tags = vec![avc_header(0, &[SPS], &[PPS])];
    for (number, cts) in [(0, 0), (1, 8_000_000), (2, -8_000_000), (3, 80)] {
        tags.push(picture(number * 40, cts, number == 0, &[&slice(number == 0, number, 20)]));
    }
    let take = take(config(2_000), &tags);
    assert_eq!(take.stats.wild_composition, 2);
    let shown: Vec<i64> =
        take.segments[0].probe.video.iter().map(|unit| (unit.pts.unwrap() - unit.dts.unwrap()) / 90).collect();
    assert_eq!(shown, [0, 0, 0, 80]);
}

#[test]
fn q31_composition_times_of_slow_pictures_are_kept() {
    // A picture every 5 s, shown up to 20 s after it is decoded.
    let tags = flv_tags(include_bytes!("../../../testdata/0.2fps-b-frames.flv"));
    let take = take_flushed(config(10_000), &tags, 3);
    super::skew::assert_lossless("0.2 fps with B-frames", &take, &tags);
    assert_eq!(take.stats.wild_composition, 0);
    assert_eq!(take.durations(), [30_000; 4]);
}

#[test]
fn q31_garbage_is_garbage_at_any_rate() {
    for frame_ms in [20, 1_000, 5_000] {
        let mut tags = vec![avc_header(0, &[SPS], &[PPS])];
        for number in 0..20_u32 {
            let later = if number == 10 { 8_000_000 } else { 0 };
            tags.push(picture(number * frame_ms, later, number == 0, &[&slice(number == 0, number, 20)]));
        }
        assert_eq!(take(config(2_000), &tags).stats.wild_composition, 1, "{frame_ms}");
    }
}

#[test]
fn odd_start_sound_stamped_two_seconds_before_the_picture_beside_it() {
    let tags = flv_tags(include_bytes!("../../../testdata/sound-stamped-2s-early.flv"));
    for flush_every in [0, 5] {
        let take = take_flushed(config(2_000), &tags, flush_every);
        super::skew::assert_lossless("sound 2 s early", &take, &tags);
        assert!(take.durations().iter().rev().skip(1).all(|ms| *ms == 2_000), "{:?}", take.durations());
    }
}

#[test]
fn odd_start_decoding_times_pushed_past_the_sound() {
    // GStreamer's x264enc and flvmux, live: pictures that are not referred to claim to be shown when they are decoded.
    let tags = flv_tags(include_bytes!("../../../testdata/gstreamer-live-b-frames.flv"));
    let take = take(config(2_000), &tags);
    assert_eq!(take.slices(), slices_of(&tags));
    let mut shown: Vec<i64> =
        take.segments.iter().flat_map(|segment| &segment.probe.video).filter_map(|unit| unit.pts).collect();
    shown.sort_unstable();
    let steps: Vec<i64> = shown.windows(2).map(|pair| (pair[1] - pair[0]) / 90).collect();
    // Two pictures are shown late, each uneven on both sides: before anything shows that decoding times leave no room, and
    // where the source itself paused for 116 ms.
    // The file ends within a group.
    let uneven = steps[..steps.len() - 1].iter().filter(|step| (**step - 40).abs() > 1).count();
    assert!(uneven <= 4, "{steps:?}");
    assert!((1_800..2_050).contains(&take.durations()[0]), "{:?}", take.durations());
}

#[test]
fn q32_sound_that_falls_back_is_a_discontinuity_and_goes_on() {
    let source = Source { length_ms: 12_000, gop: 25, ..Source::default() };
    let tags: Vec<Tag> = source
        .tags()
        .into_iter()
        .map(|tag| match tag.kind {
            TagKind::Audio if tag.timestamp_ms >= 5_500 => Tag { timestamp_ms: tag.timestamp_ms - 800, ..tag },
            _ => tag,
        })
        .collect();
    let take = take(config(2_000), &tags);
    assert_eq!(take.sounds(), sounds_of(&tags));
    let marked: Vec<i64> = take
        .segments
        .iter()
        .filter(|segment| segment.opening.discontinuity)
        .map(|segment| segment.opening.media_time_ms)
        .collect();
    assert_eq!(marked, [6_000]);
    let units: Vec<_> = take.segments.iter().flat_map(|segment| &segment.probe.audio).collect();
    let mut expected = units[0].pts;
    for unit in units {
        let (pts, frames) =
            (unit.pts.expect("times"), crate::aac::split_adts(&Bytes::copy_from_slice(&unit.data)).expect("ADTS"));
        assert!(expected.is_some_and(|expected| (pts - expected).abs() <= 2), "{pts} after {expected:?}");
        expected = Some(pts + i64::try_from(frames.len()).expect("few") * 1024 * 90_000 / 44_100);
    }
    assert_eq!((take.stats.audio_resyncs, take.stats.discontinuities), (1, 1));
}

#[test]
fn q32_audio_times_are_sample_exact() {
    let tags = Source { length_ms: 60_000, ..Source::default() }.tags();
    let take = take(config(2_000), &tags);
    let mut frames = 0_i64;
    let mut zero = None;
    for unit in take.segments.iter().flat_map(|segment| &segment.probe.audio) {
        let pts = unit.pts.expect("times");
        let zero = *zero.get_or_insert(pts);
        assert_eq!(pts - zero, frames * 1024 * 90_000 / 44_100);
        frames += i64::try_from(crate::aac::split_adts(&Bytes::copy_from_slice(&unit.data)).expect("ADTS").len())
            .expect("few");
    }
    assert_eq!(take.stats.audio_resyncs, 0);
}

#[test]
fn q33_audio_goes_on_without_video() {
    // A minute and a half of stalled video; flushes as a driver does them.
    let source = Source { length_ms: 200_000, frame_ms: 100, gop: 10, picture_bytes: 50, ..Source::default() };
    let tags: Vec<Tag> = source
        .tags()
        .into_iter()
        .filter(|tag| tag.kind == TagKind::Audio || !(10_000..150_000).contains(&tag.timestamp_ms))
        .collect();
    for flush_every in [0, 10] {
        let take = take_flushed(config(2_000), &tags, flush_every);
        assert_eq!(take.sounds(), sounds_of(&tags));
        assert_eq!(take.slices(), slices_of(&tags));
        assert_eq!(take.durations().iter().sum::<u64>(), 200_000);
        // The last segment with a picture also has what a flush hands out before they count as absent.
        let long = take.durations().iter().filter(|ms| **ms > 2_003).count();
        assert!(long <= 1 && take.durations().iter().all(|ms| *ms <= 2_603), "{:?}", take.durations());
        assert!((69..=71).contains(&take.stats.forced_cuts), "{}", take.stats.forced_cuts);
        // Where the pictures return, a segment begins.
        let returned =
            take.segments.iter().find(|segment| segment.opening.media_time_ms >= 149_000 && segment.opening.key_frame);
        assert_eq!(returned.map(|segment| segment.opening.media_time_ms), Some(150_000));
    }
}

#[test]
fn q33_segments_go_on_ten_seconds_after_the_last_picture() {
    // What has to be there when sound is 20.5 s old and the pictures stopped at 10 s; and with pictures 4 s apart nothing.
    for (frame_ms, stops, least) in [(40, 10_000, 9), (4_000, 12_000, 3)] {
        let source = Source { length_ms: 40_000, frame_ms, gop: 2_000 / frame_ms.min(2_000), ..Source::default() };
        let tags: Vec<Tag> = source
            .tags()
            .into_iter()
            .filter(|tag| tag.kind == TagKind::Audio || tag.timestamp_ms < stops)
            .filter(|tag| tag.timestamp_ms < 20_500)
            .collect();
        let mut remuxer = Remuxer::new(config(2_000));
        for (tag, number) in tags.iter().zip(0..) {
            remuxer.push(tag);
            if number % 10 == 0 {
                remuxer.flush();
            }
        }
        let closed = std::iter::from_fn(|| remuxer.next_output()).filter(|output| matches!(output, Output::Close(_)));
        let closed = closed.count();
        assert!((least..=least + 1).contains(&closed) || frame_ms == 4_000 && closed < 4, "{frame_ms}: {closed}");
    }
}

#[test]
fn q33_nothing_is_cut_before_the_first_picture() {
    let tags: Vec<Tag> = Source { length_ms: 60_000, ..Source::default() }
        .tags()
        .into_iter()
        .filter(|tag| tag.kind == TagKind::Audio || tag.payload[1] == 0 || tag.timestamp_ms >= 50_000)
        .collect();
    let take = take_flushed(config(2_000), &tags, 7);
    assert_eq!(take.durations(), [2_000; 5]);
    assert_eq!(take.slices(), slices_of(&tags));
}

#[test]
fn q33_a_muted_track_is_no_jump() {
    let tags: Vec<Tag> = Source { length_ms: 30_000, ..Source::default() }
        .tags()
        .into_iter()
        .filter(|tag| tag.kind == TagKind::Video || !(5_000..12_000).contains(&tag.timestamp_ms))
        .collect();
    let take = take(config(2_000), &tags);
    assert_eq!(take.stats.discontinuities, 0);
    assert_eq!(take.stats.audio_resyncs, 1);
    assert_eq!(take.sounds(), sounds_of(&tags));
}

#[test]
fn q34_a_burst_is_cut_by_media_time() {
    // Everything at once, without a flush in between.
    let tags = Source { length_ms: 60_000, ..Source::default() }.tags();
    assert_eq!(take_flushed(config(2_000), &tags, tags.len()).durations(), [2_000; 30]);
}

#[test]
fn q35_infinite_gop() {
    let source = Source { length_ms: 7_000, gop: 100_000, ..Source::default() };
    assert_eq!(take(config(2_000), &source.tags()).durations(), [7_000]);
    let strict = RemuxConfig { segmenting: Segmenting::Strict, ..config(2_000) };
    assert_eq!(take(strict, &source.tags()).durations(), [2_480, 2_480, 2_040]);
}

#[test]
fn rounded_milliseconds_do_not_drift() {
    // 29.97 fps in whole milliseconds.
    let mut tags = vec![avc_header(0, &[SPS], &[PPS])];
    for number in 0..3_000_u32 {
        let ms = number * 1001 / 30;
        tags.push(picture(ms, 0, number % 60 == 0, &[&slice(number % 60 == 0, number, 20)]));
    }
    let take = take(config(2_000), &tags);
    assert_eq!(take.segments.len(), 50);
    let last = u64::from(2_999_u32 * 1001 / 30);
    let total: u64 = take.durations().iter().sum();
    assert!((last + 33..=last + 34).contains(&total), "{total}");
}
