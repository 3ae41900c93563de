//! Sound that comes long before or after the pictures of its time: every time stays as it was sent (decisions D26, D33).

use super::source::*;
use super::*;
use crate::mpegts::probe::difference;

/// Tags in the order in which they are sent, with sound `lead_ms` ahead of the pictures beside which it comes.
fn skewed(source: &Source, lead_ms: i64) -> Vec<Tag> {
    let mut timed: Vec<(i64, Tag)> = source
        .media()
        .into_iter()
        .map(|tag| (i64::from(tag.timestamp_ms) - if tag.kind == TagKind::Audio { lead_ms } else { 0 }, tag))
        .collect();
    timed.sort_by_key(|(at, _)| *at);
    // Who sends sound early began with it early; who sends it late still had some of before.
    [source.headers(), timed.into_iter().map(|(_, tag)| tag).collect()].concat()
}

/// Asserts that each picture and each frame of sound has the time with which it was sent.
pub(super) fn assert_lossless(name: &str, take: &Take, tags: &[Tag]) {
    assert_eq!(take.slices(), slices_of(tags), "{name}: pictures");
    assert_eq!(take.sounds(), sounds_of(tags), "{name}: sound");
    assert_eq!((take.stats.repaired_dts, take.stats.repaired_pts, take.stats.jumps), (0, 0, 0), "{name}");
    assert_eq!((take.stats.wild_composition, take.stats.audio_resyncs), (0, 0), "{name}");
    let media = |kind| tags.iter().filter(move |tag| tag.kind == kind && tag.payload[1] == 1);
    let units = || take.segments.iter().flat_map(|segment| &segment.probe.video).filter(|unit| unit.dts.is_some());
    let zero = units().next().and_then(|unit| unit.dts).expect("pictures");
    let first = i64::from(media(TagKind::Video).next().expect("pictures").timestamp_ms);
    for (unit, tag) in units().zip(media(TagKind::Video)) {
        let at = (i64::from(tag.timestamp_ms) - first) * 90;
        let later = i64::from(i32::from_be_bytes([0, tag.payload[2], tag.payload[3], tag.payload[4]]) << 8 >> 8) * 90;
        assert_eq!(unit.dts.map(|dts| difference(dts, zero)), Some(at), "{name}: {tag:?}");
        assert_eq!(unit.pts.map(|pts| difference(pts, zero)), Some(at + later), "{name}: {tag:?}");
    }
    let sounds: Vec<_> = take.segments.iter().flat_map(|segment| &segment.probe.audio).collect();
    let mut stamps = media(TagKind::Audio).map(|tag| i64::from(tag.timestamp_ms));
    for unit in &sounds {
        let frames = crate::aac::split_adts(&Bytes::copy_from_slice(&unit.data)).expect("ADTS").len();
        let at = stamps.next().expect("as many as were sent");
        stamps.by_ref().take(frames - 1).for_each(drop);
        let found = difference(unit.pts.expect("times"), zero);
        assert!((found - (at - first) * 90).abs() <= 180, "{name}: sound of {at} ms at {} ms", found / 90);
        assert!(unit.pts.expect("times") < 1 << 32, "{name}: no time wraps below zero");
    }
    let pcr_breaks: u32 = take.segments.iter().map(|segment| segment.probe.clock_breaks).sum();
    assert_eq!(pcr_breaks, 0, "{name}");
}

#[test]
fn d26_leads_of_sound_either_way_change_no_time() {
    for lead_ms in [2_000_i64, 5_000, 10_000, 30_000, -2_000, -5_000, -10_000, -30_000] {
        for flush_every in [0, 15] {
            // Sound that lags is stamped earlier than the picture it comes with, so the pictures begin later.
            let source = Source { length_ms: 70_000, picture_bytes: 60, ..Source::default() };
            let tags = skewed(&source, lead_ms);
            let take = take_flushed(config(2_000), &tags, flush_every);
            let name = format!("lead of {lead_ms} ms, flushed every {flush_every}");
            assert_lossless(&name, &take, &tags);
            let whole = take.durations();
            assert!(whole[..34].iter().all(|ms| *ms == 2_000), "{name}: {whole:?}");
            let skew = i64::try_from(take.stats.widest_skew_ms).expect("small");
            assert!((skew - lead_ms.abs()).abs() <= 100, "{name}: {skew}");
        }
    }
}

#[test]
fn d26_sound_that_begins_late_and_is_stamped_from_the_beginning_is_kept_whole() {
    for late_ms in [2_300_u32, 12_300, 30_000, 31_100] {
        for (gop, flush_every) in [(50, 0), (50, 11), (250, 7)] {
            let source = Source { length_ms: 70_000, picture_bytes: 60, gop, ..Source::default() };
            let tags = skewed(&source, -i64::from(late_ms));
            let take = take_flushed(config(2_000), &tags, flush_every);
            let name = format!("sound {late_ms} ms late, key frames every {gop}, flushed every {flush_every}");
            assert_lossless(&name, &take, &tags);
            // Sound that was promised and does not come leaves the tracks after 10 s, and returns (quirk Q46).
            let breaks = if late_ms < 10_000 { 0 } else { 2 };
            assert!(take.stats.discontinuities <= breaks, "{name}: {}", take.stats.discontinuities);
            if gop == 50 {
                assert!(take.durations()[..34].iter().all(|ms| *ms == 2_000), "{name}: {:?}", take.durations());
            }
        }
    }
}

#[test]
fn d26_sound_stamped_early_or_late_against_the_picture_beside_it() {
    for shift_ms in [-30_000_i64, -2_023, -800, 1_500, 5_000, 30_000] {
        let source = Source { length_ms: 20_000, picture_bytes: 60, start_ms: 40_000, ..Source::default() };
        let tags: Vec<Tag> = source
            .tags()
            .into_iter()
            .map(|tag| match tag.kind {
                TagKind::Audio => {
                    let moved = u32::try_from(i64::from(tag.timestamp_ms) + shift_ms).expect("positive");
                    Tag { timestamp_ms: moved, ..tag }
                }
                TagKind::Video => tag,
            })
            .collect();
        for flush_every in [0, 11] {
            let take = take_flushed(config(2_000), &tags, flush_every);
            let name = format!("sound stamped {shift_ms} ms later, flushed every {flush_every}");
            assert_lossless(&name, &take, &tags);
            assert_eq!(take.durations()[..9], [2_000; 9], "{name}");
        }
    }
}

#[test]
fn d26_slow_pictures_whose_sound_comes_40_s_early() {
    // What ffmpeg sends at 0.2 fps, where the encoder of the pictures looks 8 of them ahead.
    let source = Source { length_ms: 200_000, frame_ms: 5_000, gop: 2, picture_bytes: 60, ..Source::default() };
    let tags = skewed(&source, 40_000);
    for flush_every in [0, 30] {
        let take = take_flushed(config(10_000), &tags, flush_every);
        assert_lossless("0.2 fps", &take, &tags);
        assert_eq!(take.durations(), [10_000; 20]);
    }
}

#[test]
fn d26_a_picture_a_second_with_8_b_frames() {
    // I0 P9 B1 .. B8 P18 B10 ..: shown up to nine pictures after they are decoded, and sent as late as that.
    let source = Source { length_ms: 120_000, ..Source::default() };
    let sounds = source.media().into_iter().filter(|tag| tag.kind == TagKind::Audio);
    let mut timed: Vec<(i64, Tag)> = sounds.map(|tag| (i64::from(tag.timestamp_ms), tag)).collect();
    for number in 0..120_u32 {
        let (group, place) = (number / 9, number % 9);
        // Decoding times lie one picture before those of display, so that composition times are never negative.
        let shown = match (number, place) {
            (0, _) => 0,
            (_, 1) => group * 9 + 9,
            (_, 0) => group * 9 - 1,
            _ => group * 9 + place - 1,
        };
        let later = i32::try_from(shown).expect("small") - i32::try_from(number).expect("small") + 1;
        let key = number == 0;
        let nal = slice(key, number, 40);
        // The encoder holds 40 pictures.
        timed.push((i64::from(number) * 1_000 + 40_000, picture(number * 1_000, later * 1_000, key, &[&nal])));
    }
    timed.sort_by_key(|(at, _)| *at);
    let tags = [source.headers(), timed.into_iter().map(|(_, tag)| tag).collect()].concat();
    let take = take_flushed(config(2_000), &tags, 20);
    assert_lossless("8 B-frames", &take, &tags);
}

#[test]
fn d33_sound_that_waits_is_bounded_in_memory_and_not_dropped() {
    // Sound of 256 kbit/s, five minutes of it before the second picture.
    let mut tags = vec![avc_header(0, &[SPS], &[PPS]), aac_header(0, ASC_44100)];
    tags.push(picture(0, 0, true, &[&slice(true, 0, 50)]));
    let sounds: Vec<Tag> = (0..12_920_u32)
        .map(|number| aac_frame(number * 10_240 / 441, &[sound(number), vec![0x5A; 700]].concat()))
        .collect();
    let mut remuxer = Remuxer::new(RemuxConfig { frag_duration_ms: 1_000_000, ..config(2_000) });
    tags.iter().for_each(|tag| remuxer.push(tag));
    let mut largest = 0;
    for (tag, number) in sounds.iter().zip(0..) {
        remuxer.push(tag);
        if number % 50 == 0 {
            largest = largest.max(remuxer.suspend().bytes().len());
        }
    }
    assert!((1 << 20..3 << 20).contains(&largest), "{largest} bytes wait");
    remuxer.finish();
    assert_eq!(remuxer.stats().audio_frames, 12_920);
}

#[test]
fn d26_a_picture_that_comes_after_all_keeps_its_time() {
    // Sound alone for a minute, then the pictures of that minute, far behind: the clock begins anew, no time is changed.
    let source = Source { length_ms: 80_000, picture_bytes: 60, ..Source::default() };
    let mut timed: Vec<(u32, Tag)> = source
        .media()
        .into_iter()
        .map(|tag| {
            let is_late = tag.kind == TagKind::Video && (5_000..60_000).contains(&tag.timestamp_ms);
            (if is_late { 60_000 } else { tag.timestamp_ms }, tag)
        })
        .collect();
    timed.sort_by_key(|(at, _)| *at);
    let tags = [source.headers(), timed.into_iter().map(|(_, tag)| tag).collect()].concat();
    let take = take_flushed(config(2_000), &tags, 20);
    assert_eq!(take.slices(), slices_of(&tags));
    assert_eq!(take.sounds(), sounds_of(&tags));
    assert_eq!((take.stats.repaired_dts, take.stats.jumps), (0, 0));
    let breaks: u32 = take.segments.iter().map(|segment| segment.probe.clock_breaks).sum();
    assert_eq!(breaks, 1);
}
