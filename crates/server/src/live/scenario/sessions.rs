//! Any sequence of sessions: restarts, returns early and late, jumps, changed parameters, long groups, short takes.

use proptest::prelude::*;

use super::encoder::{OTHER_SPS, SPS, Stretch};
use super::*;
use crate::config::Segmenting;

#[derive(Clone, Debug)]
struct Take {
    stretches: Vec<Part>,
    is_crash: bool,
    /// Time until the next take; the reconnect window is 60 s.
    pause_ms: u32,
}

/// A stretch of a take; what begins it is what changed.
#[derive(Clone, Debug)]
struct Part {
    stretch: Stretch,
    jump_ms: i64,
    with_headers: bool,
}

fn part() -> impl Strategy<Value = Part> {
    (
        prop_oneof![2 => 1_u32..400, 6 => 400_u32..20_000, 1 => 60_000_u32..150_000],
        prop_oneof![Just(40_u32), Just(80), Just(200), Just(1_000)],
        prop_oneof![6 => 1_u32..60, 1 => Just(u32::MAX)],
        prop_oneof![4 => Just(0_i64), 1 => -5_000_i64..30_000, 1 => any::<i32>().prop_map(i64::from)],
        (any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.9), any::<bool>()),
    )
        .prop_map(
            |(length_ms, frame_ms, gop, jump_ms, (other, has_audio, begins_with_key_frame, with_headers))| {
                let sps = if other { OTHER_SPS } else { SPS };
                let stretch =
                    Stretch { length_ms, frame_ms, gop, sps, has_audio, begins_with_key_frame, ..Stretch::default() };
                Part { stretch, jump_ms, with_headers }
            },
        )
}

fn take() -> impl Strategy<Value = Take> {
    (prop::collection::vec(part(), 1..4), any::<bool>(), prop_oneof![3 => 0_u32..50_000, 1 => 61_000_u32..200_000])
        .prop_map(|(stretches, is_crash, pause_ms)| Take { stretches, is_crash, pause_ms })
}

async fn play(takes: Vec<Take>, live: LiveConfig, frag_duration: u32, frag_count: u32, start_ms: u32) {
    let is_strict = live.segmenting == Segmenting::Strict;
    let mut stage = Stage::new(live).await;
    stage.configure(frag_duration, frag_count).await;
    for take in takes {
        let mut push = stage.begin().await;
        let mut at = i64::from(start_ms);
        for (part, number) in take.stretches.into_iter().zip(0..) {
            at += part.jump_ms;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let stretch = Stretch { start_ms: at as u32, ..part.stretch };
            stage.push(&mut push, &stretch, part.with_headers || number == 0).await;
            at += i64::from(stretch.length_ms);
        }
        if take.is_crash {
            stage.crash(push).await;
        } else {
            stage.finish(push).await;
        }
        stage.clock.advance_ms(i64::from(take.pause_ms));
    }
    if is_strict {
        assert_eq!(stage.target_rises, 0, "strict never changes the target (D9)");
    }
    if stage.listed > 0 {
        let vod = stage.vod().await;
        assert_eq!(violations(None, &vod), []);
        assert_eq!(vod.segments.len() as u64, stage.listed, "everything that was ever listed, and nothing else");
    }
    stage.check_stores().await;
}

/// How long the last picture of a torn segment would have lasted is a guess.
#[tokio::test]
async fn d9_a_torn_segment_does_not_raise_a_strict_target() {
    let stretch = |length_ms, frame_ms| Stretch { length_ms, frame_ms, gop: 2, has_audio: false, ..Stretch::default() };
    let part = |stretch| Part { stretch, jump_ms: 0, with_headers: false };
    let take = |parts, is_crash| Take { stretches: parts, is_crash, pause_ms: 0 };
    let takes = vec![
        take(vec![part(stretch(80, 40))], false),
        take(vec![part(stretch(80, 40)), part(stretch(2_000, 1_000))], true),
    ];
    let live = LiveConfig { segmenting: Segmenting::Strict, reconnect_window_s: 60, ..LiveConfig::default() };
    play(takes, live, 1, 2, 0).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_published_playlist_keeps_the_rules_and_follows_its_predecessor(
        takes in prop::collection::vec(take(), 1..6),
        frag_duration in 1_u32..8,
        frag_count in 1_u32..6,
        is_strict in any::<bool>(),
        returns in any::<bool>(),
        start_ms in prop_oneof![Just(0_u32), Just(u32::MAX - 3_000), Just((1 << 24) - 3_000), any::<u32>()],
    ) {
        let live = LiveConfig {
            segmenting: if is_strict { Segmenting::Strict } else { Segmenting::Oss },
            reconnect_window_s: if returns { 60 } else { 0 },
            ..LiveConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(takes, live, frag_duration, frag_count, start_ms));
    }
}
