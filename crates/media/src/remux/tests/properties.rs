//! Whatever arrives: no panic, valid streams, playlists without violations, and no time lost.

use super::source::*;
use super::*;
use proptest::prelude::*;

/// One stretch of a session.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    length_ms: u32,
    frame_ms: u32,
    gop: u32,
    jump_ms: i64,
    audio: Option<bool>,
    video: bool,
    other_parameters: bool,
    repeat_headers: bool,
    video_late_ms: u32,
}

pub(super) fn stretch() -> impl Strategy<Value = Stretch> {
    (
        (1_u32..9_000, prop_oneof![Just(20_u32), Just(33), Just(40), Just(200), Just(1_000)], 1_u32..200),
        prop_oneof![4 => Just(0_i64), 1 => -2_000_i64..12_000, 1 => any::<i32>().prop_map(i64::from)],
        prop_oneof![3 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)],
        prop::bool::weighted(0.85),
        any::<(bool, bool)>(),
        prop_oneof![3 => Just(0_u32), 1 => 0_u32..3_000],
    )
        .prop_map(
            |((length_ms, frame_ms, gop), jump_ms, audio, video, (other_parameters, repeat_headers), video_late_ms)| {
                Stretch {
                    length_ms,
                    frame_ms,
                    gop,
                    jump_ms,
                    audio,
                    video,
                    other_parameters,
                    repeat_headers,
                    video_late_ms,
                }
            },
        )
}

pub(super) fn session(stretches: &[Stretch], start: u32) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = i64::from(start);
    for (stretch, number) in stretches.iter().zip(0_u32..) {
        at += stretch.jump_ms;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let start_ms = at as u32;
        let source = Source {
            start_ms,
            length_ms: stretch.length_ms,
            frame_ms: stretch.frame_ms,
            gop: stretch.gop,
            sample_rate: stretch.audio.map(|high| if high { 48_000 } else { 44_100 }),
            picture_bytes: 40,
        };
        if stretch.repeat_headers || number == 0 {
            let sps = if stretch.other_parameters { OTHER_SPS } else { SPS };
            tags.push(avc_header(start_ms, &[sps], &[PPS]));
            tags.extend(source.headers().into_iter().filter(|tag| tag.kind == TagKind::Audio));
        }
        let mut media = source.media();
        media.sort_by_key(|tag| {
            let late = if tag.kind == TagKind::Video { stretch.video_late_ms } else { 0 };
            tag.timestamp_ms.wrapping_sub(start_ms) + late
        });
        tags.extend(media.into_iter().filter(|tag| stretch.video || tag.kind == TagKind::Audio));
        at += i64::from(stretch.length_ms);
    }
    tags
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The helper behind `take` asserts TS validity, playlist rules and that segments follow without a gap.
    #[test]
    fn random_sessions_keep_every_rule(
        stretches in prop::collection::vec(stretch(), 1..8),
        start in prop_oneof![Just(0_u32), Just(u32::MAX - 3_000), Just((1 << 24) - 3_000), any::<u32>()],
        frag in 1_u64..12,
        strict in any::<bool>(),
        flush_every in 0_usize..60,
    ) {
        let tags = session(&stretches, start);
        let segmenting = if strict { Segmenting::Strict } else { Segmenting::Oss };
        let config = RemuxConfig { segmenting, flush_bytes: 10_000, ..config(frag * 1000) };
        let take = take_flushed(config, &tags, flush_every);
        prop_assert_eq!(take.slices().len() as u64, take.stats.pictures);
        prop_assert_eq!(take.sounds().len() as u64, take.stats.audio_frames);
        let pictures = tags.iter().filter(|tag| tag.kind == TagKind::Video && tag.payload[1] == 1).count() as u64;
        prop_assert_eq!(take.stats.pictures + take.stats.before_first_key, pictures);
        prop_assert_eq!(take.stats.segments, take.segments.len() as u64);
        let longest = take.durations().into_iter().max().unwrap_or(0);
        prop_assert!(!strict || longest < frag * 1000 + 500, "{longest}");
        let ends = |segment: &Segment| segment.opening.media_time_ms + segment.closing.duration_ms as i64;
        let gaps = take.segments.windows(2).filter(|pair| ends(&pair[0]) != pair[1].opening.media_time_ms).count();
        prop_assert!(strict || gaps == 0, "only strict cuts leave a gap");
    }

    #[test]
    fn damaged_sessions_never_panic(
        stretches in prop::collection::vec(stretch(), 1..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..200),
        flush_every in 0_usize..20,
    ) {
        let mut tags = session(&stretches, 0);
        for (tag, byte, value) in damage {
            let tag = tag.get_mut(&mut tags);
            let mut payload = tag.payload.to_vec();
            if !payload.is_empty() {
                *byte.get_mut(&mut payload) = value;
            }
            tag.payload = Bytes::from(payload);
        }
        let mut remuxer = Remuxer::new(config(1_000));
        for (index, tag) in tags.iter().enumerate() {
            remuxer.push(tag);
            if flush_every > 0 && index % flush_every == 0 {
                remuxer.flush();
            }
        }
        remuxer.finish();
        while let Some(output) = remuxer.next_output() {
            if let Output::Data(data) = output {
                prop_assert_eq!(data.len() % 188, 0);
            }
        }
    }

    #[test]
    fn arbitrary_tags_never_panic(
        tags in prop::collection::vec((any::<bool>(), any::<u32>(), prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|tail| [&[0x17, 1, 0, 0, 0][..], &tail].concat()),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|tail| [&[0x17, 0, 0, 0, 0, 1][..], &tail].concat()),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|tail| [&[0xAF, 1][..], &tail].concat()),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|tail| [&[0xAF, 0][..], &tail].concat()),
            Just(avc_header(0, &[SPS], &[PPS]).payload.to_vec()),
            Just(picture(0, 0, true, &[&slice(true, 0, 30)]).payload.to_vec()),
            Just(aac_header(0, ASC_44100).payload.to_vec()),
            Just(aac_frame(0, &sound(0)).payload.to_vec()),
        ]), 0..60),
    ) {
        let tags: Vec<Tag> = tags
            .into_iter()
            .map(|(is_video, ms, payload)| if is_video { video(ms, payload) } else { audio(ms, payload) })
            .collect();
        let mut remuxer = Remuxer::new(config(1_000));
        for tag in &tags {
            remuxer.push(tag);
        }
        remuxer.finish();
        while remuxer.next_output().is_some() {}
    }

    #[test]
    fn arbitrary_bytes_are_recovered_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        for packet in bytes.chunks_mut(188) {
            packet[0] = 0x47;
        }
        let found = recover(&bytes);
        prop_assert!(found.valid_len <= bytes.len());
    }
}
