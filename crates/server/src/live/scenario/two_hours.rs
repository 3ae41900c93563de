//! Two hours of a stream with everything that happens to one: counters that wrap, jumps, a change of resolution, an
//! encoder that returns, a crash of the server.

use super::encoder::{OTHER_SPS, Stretch};
use super::*;

const MINUTE_MS: u32 = 60_000;

fn minutes(minutes: u32) -> Stretch {
    Stretch { length_ms: minutes * MINUTE_MS, ..Stretch::default() }
}

/// Groups of 2 s and FragDuration 2: 3600 segments.
#[tokio::test]
async fn two_hours_are_recorded_whole() {
    let mut stage = Stage::new(LiveConfig::default()).await;
    stage.configure(2, 5).await;

    // An encoder with a 24-bit clock, which wraps after ten minutes (quirk Q19).
    let narrow = Stretch { start_ms: (1 << 24) - 10 * MINUTE_MS, clock_bits: 24, ..minutes(20) };
    let mut push = stage.begin().await;
    stage.push(&mut push, &narrow, true).await;
    let window_after_minutes = stage.largest_window;
    // Another resolution: a discontinuity (quirk Q37).
    let changed = Stretch { start_ms: 10 * MINUTE_MS, clock_bits: 24, sps: OTHER_SPS, ..minutes(10) };
    stage.push(&mut push, &changed, true).await;
    // The clock jumps an hour ahead (quirk Q28).
    let ahead = Stretch { start_ms: 80 * MINUTE_MS, sps: OTHER_SPS, ..minutes(10) };
    stage.push(&mut push, &ahead, false).await;
    stage.finish(push).await;

    // The encoder returns within the reconnect window (D11), with a clock that passes 2^32 after five minutes (Q20).
    stage.clock.advance_ms(20_000);
    let wrapping = Stretch { start_ms: u32::MAX - 5 * MINUTE_MS + 1, ..minutes(20) };
    let mut push = stage.begin().await;
    stage.push(&mut push, &wrapping, true).await;
    // And back to the beginning (Q28).
    stage.push(&mut push, &Stretch { start_ms: 0, ..minutes(20) }, false).await;
    // The server dies between two segments' ends and comes back (D8).
    stage.push(&mut push, &Stretch { start_ms: 20 * MINUTE_MS, length_ms: 1_200, ..Stretch::default() }, false).await;
    stage.crash(push).await;
    stage.clock.advance_ms(5_000);
    let mut push = stage.begin().await;
    stage.push(&mut push, &minutes(40), true).await;
    stage.finish(push).await;

    // The crash cut a segment of 1.2 s off; all others are whole.
    let vod = stage.vod().await;
    assert_eq!(vod.segments.len(), 3601);
    assert_eq!(stage.listed, 3601);
    assert_eq!(stage.published.as_ref().map(|list| list.media_sequence), Some(3596));
    let odd: Vec<_> = vod.segments.iter().filter(|segment| segment.duration_ms != 2000).collect();
    assert_eq!(odd.iter().map(|segment| segment.duration_ms).collect::<Vec<_>>(), [1200]);
    let marked: Vec<usize> = (0..).zip(&vod.segments).filter(|(_, one)| one.discontinuity).map(|(at, _)| at).collect();
    assert_eq!(marked, [600, 900, 1200, 1800, 2401], "resolution, jump ahead, return, jump back, restart");
    let names: Vec<u64> = vod.segments.iter().map(|one| one.uri.trim_end_matches(".ts").parse().unwrap()).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(vod.end_list);
    assert_eq!((vod.media_sequence, vod.target_duration_s, stage.target_rises), (0, 2, 0));

    // What is kept of the past is the window: as large after two hours as after twenty minutes.
    assert!(stage.largest_window <= window_after_minutes + 64, "{} bytes", stage.largest_window);
    assert_eq!(stage.versions, 3601, "each segment published one playlist");
    stage.check_stores().await;
}
