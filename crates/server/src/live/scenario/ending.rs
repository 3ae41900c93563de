//! Lists that end some time after their push (D12), also when the server does not live to see it.

use std::time::Duration;

use super::super::upkeep::{PendingEnd, end_list, pending_ends};
use super::encoder::Stretch;
use super::*;

const AFTER_S: u64 = 60;

async fn stage() -> Stage {
    // The task that the end of a push leaves behind waits by the machine's clock, and so for longer than any test lasts.
    let stage = Stage::new(LiveConfig { end_list_after_s: Some(AFTER_S), ..LiveConfig::default() }).await;
    stage.configure(2, 5).await;
    stage
}

async fn take(stage: &mut Stage) {
    let mut push = stage.begin().await;
    stage.push(&mut push, &Stretch::default(), true).await;
    stage.finish(push).await;
}

/// What a server that starts now would do about the only channel: wait so many seconds, or nothing.
async fn left_s(stage: &Stage) -> Option<f64> {
    let pending = pending_ends(&stage.live, AFTER_S).await.unwrap();
    assert!(pending.iter().all(|one| one.id == stage.id) && pending.len() <= 1, "{pending:?}");
    pending.first().map(|one| one.after.as_secs_f64())
}

/// Does now what is due.
async fn end_what_is_due(stage: &mut Stage) {
    for PendingEnd { id, stored_ms, after } in pending_ends(&stage.live, AFTER_S).await.unwrap() {
        assert!(after.is_zero());
        end_list(stage.live.clone(), id, stored_ms, after).await;
    }
    stage.look().await;
}

fn has_ended(stage: &Stage) -> bool {
    stage.published.as_ref().is_some_and(|list| list.end_list)
}

#[tokio::test]
async fn a_list_ends_at_its_time_whatever_was_restarted() {
    let mut stage = stage().await;
    assert_eq!(left_s(&stage).await, None, "nothing was published");
    take(&mut stage).await;
    assert_eq!(left_s(&stage).await, Some(60.0));
    stage.clock.advance_ms(20_000);
    assert_eq!(left_s(&stage).await, Some(40.0));
    stage.clock.advance_ms(100_000);
    assert_eq!(left_s(&stage).await, Some(0.0));
    end_what_is_due(&mut stage).await;
    assert!(has_ended(&stage));
    assert_eq!(left_s(&stage).await, None, "it ends once");
    // Configured anew, a channel has no history; its list still ended.
    stage.configure(2, 5).await;
    assert_eq!(left_s(&stage).await, None);
    take(&mut stage).await;
    assert!(!has_ended(&stage));
    stage.configure(2, 5).await;
    stage.clock.advance_ms(30_000);
    assert_eq!(left_s(&stage).await, Some(30.0), "counted from the last segment");
}

#[tokio::test]
async fn a_push_that_is_back_keeps_the_list_from_ending() {
    let mut stage = stage().await;
    take(&mut stage).await;
    stage.clock.advance_ms(50_000);
    let push = stage.begin().await;
    stage.clock.advance_ms(20_000);
    assert_eq!(left_s(&stage).await, None, "somebody publishes");
    // A task of before the push came finds it and leaves.
    let window = stage.meta.channel_window(&stage.id.0, &stage.id.1).await.unwrap().unwrap();
    let stored_ms = super::super::window::Window::parse(&window).unwrap().stored_ms;
    end_list(stage.live.clone(), stage.id.clone(), stored_ms, Duration::ZERO).await;
    stage.look().await;
    assert!(!has_ended(&stage));
    // It brought no segment; the list ends counted from its end.
    stage.finish(push).await;
    assert_eq!(left_s(&stage).await, Some(60.0));
}

#[tokio::test]
async fn after_a_crash_the_end_is_counted_from_the_torn_segment() {
    let mut stage = stage().await;
    let mut push = stage.begin().await;
    let stretch = Stretch { length_ms: 4_800, ..Stretch::default() };
    stage.push(&mut push, &stretch, true).await;
    // The last segment was opened with the picture at 4 s, and has 0.8 s of media.
    stage.clock.advance_ms(10_200);
    stage.crash(push).await;
    assert_eq!(stage.listed, 3);
    assert_eq!(left_s(&stage).await, Some(49.8));
    stage.clock.advance_ms(49_800);
    end_what_is_due(&mut stage).await;
    assert!(has_ended(&stage));
}
