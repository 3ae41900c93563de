//! A clock that was wrong and has been set: when the segments of a push were begun is corrected (D32).

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Live;
use super::channels::ChannelId;

/// What a push knows of the clock that it dates its segments by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dating {
    corrections_ms: i64,
}

impl Dating {
    /// The clock as it is now.
    pub(super) fn begin(live: &Live) -> Self {
        Self { corrections_ms: live.clock.corrections_ms() }
    }

    /// By how much the clock has been set since the last call, in ms, if it has.
    pub(super) fn correction_ms(&mut self, live: &Live) -> Option<i64> {
        let now = live.clock.corrections_ms();
        let by_ms = now - std::mem::replace(&mut self.corrections_ms, now);
        (by_ms != 0).then_some(by_ms)
    }
}

/// Corrects the segments that a push has stored with these numbers, in the background: a push does not wait for
/// that, and what comes meanwhile is dated right.
pub(super) fn correct(live: &Arc<Live>, id: &ChannelId, session: u32, numbers: RangeInclusive<u64>, by_ms: i64) {
    let (live, id) = (live.clone(), id.clone());
    crate::panics::spawn("dates of segments", async move {
        let (bucket, channel) = (&id.0, &id.1);
        match live.meta.correct_segments(bucket, channel, session, numbers, by_ms).await {
            Ok(count) => tracing::info!(
                %bucket, %channel, count, by_ms,
                "the clock was wrong: when the segments of this push were begun is corrected"
            ),
            Err(error) => tracing::error!(%error, %bucket, %channel, "the dates of segments cannot be corrected"),
        }
    });
}
