//! What pushes use, through restarts, returns and clocks that step: the minutes and the media of what they stored, once.

use ::usage::{GroupBy, Meter, Query};
use proptest::prelude::*;

use super::encoder::Stretch;
use super::*;
use crate::live::payload::Payload;
use crate::live::window::Window;

#[derive(Clone, Debug)]
struct Take {
    length_ms: u32,
    gop: u32,
    is_crash: bool,
    /// How far the clock goes until the next take; the reconnect window is 60 s.
    pause_ms: i64,
}

fn take() -> impl Strategy<Value = Take> {
    (
        prop_oneof![4 => 1_u32..9_000, 1 => 55_000_u32..65_000],
        1_u32..40,
        any::<bool>(),
        prop_oneof![3 => 0_i64..50_000, 2 => 61_000_i64..4_000_000, 1 => -4_000_000_i64..0],
    )
        .prop_map(|(length_ms, gop, is_crash, pause_ms)| Take { length_ms, gop, is_crash, pause_ms })
}

/// What the model adds up.
#[derive(Default)]
struct Model {
    seen: usize,
    stream_ms: u64,
    stream_minutes: u64,
    minutes: u64,
    payload: u64,
}

impl Model {
    /// A take is over: what it stored is new in the index.
    async fn take(&mut self, stage: &Stage, is_return: bool) {
        let all = stage.meta.segments(&stage.id.0, &stage.id.1, 0, u64::MAX, usize::MAX).await.unwrap();
        let new = &all[self.seen..];
        if !new.is_empty() && !is_return {
            (self.stream_ms, self.stream_minutes) = (0, 0);
        }
        for entry in new {
            self.stream_ms += u64::from(entry.duration_ms);
            let begun = self.stream_ms.div_ceil(60_000).max(1);
            self.minutes += begun - self.stream_minutes;
            self.stream_minutes = begun;
            let key = stage.key(&format!("{}.ts", entry.number_ms));
            let object = stage.meta.object(&stage.id.0, &key).await.unwrap().unwrap().value;
            let Body::Blobs(extents) = &object.body else { panic!("a segment is a blob") };
            let reader = stage.blobs.open(extents[0].blob).await.unwrap();
            let bytes = reader.read_at(0, usize::try_from(object.size).unwrap()).await.unwrap();
            assert_eq!(bytes.len() as u64, object.size);
            self.payload += Payload::of(&bytes);
        }
        self.seen = all.len();
    }
}

async fn is_return(stage: &Stage) -> bool {
    let Some(bytes) = stage.meta.channel_window(&stage.id.0, &stage.id.1).await.unwrap() else { return false };
    stage.live.clock.now_ms() - Window::parse(&bytes).unwrap().stored_ms <= 60_000
}

async fn play(takes: Vec<Take>) {
    let mut stage = Stage::new(LiveConfig { reconnect_window_s: 60, ..LiveConfig::default() }).await;
    stage.configure(2, 3).await;
    let mut model = Model::default();
    for take in takes {
        let is_return = is_return(&stage).await;
        let mut push = stage.begin().await;
        let stretch = Stretch { length_ms: take.length_ms, gop: take.gop, ..Stretch::default() };
        stage.push(&mut push, &stretch, true).await;
        if take.is_crash {
            stage.crash(push).await;
        } else {
            stage.finish(push).await;
        }
        model.take(&stage, is_return).await;
        stage.clock.advance_ms(take.pause_ms);
    }
    let group_by = GroupBy { bucket: true, channel: true, user: true };
    let query = Query { to_s: u64::from(u32::MAX), group_by, ..Query::default() };
    let rows = stage.meta.usage(&query, u64::MAX).await.unwrap().unwrap();
    let (mut minutes, mut payload) = (0, 0);
    for row in rows {
        let counted = row.counters.get(Meter::StreamingMinutes);
        if counted + row.counters.get(Meter::IngestBytes) > 0 {
            assert_eq!((row.subject.channel.as_str(), &row.subject.user), ("test-channel", &owner().0));
        }
        minutes += counted;
        payload += row.counters.get(Meter::IngestBytes);
    }
    assert_eq!((minutes, payload), (model.minutes, model.payload));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn pushes_use_the_minutes_and_the_media_that_they_stored(takes in prop::collection::vec(take(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(takes));
    }
}
