//! Looks after what a push has left to somebody who wanted to take it up: as long as nobody does, it is repaired here. One
//! task for each channel, however many come and are refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Live;
use super::channels::{ChannelId, OnAir};
use super::recovery::{Repaired, acquire, repair_in_time};
use super::shown::remote;

/// How long somebody who wanted to take up what waits may take to begin.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(15);

/// The channels that are looked after, and when the push began that left what waits, unix ms; `None` where the map did not
/// say what there is, so that it has to be looked.
#[derive(Debug, Default)]
pub(super) struct Caretaker(Mutex<HashMap<ChannelId, Option<i64>>>);

impl Caretaker {
    /// Whether a channel is looked after.
    pub(super) fn has(&self, id: &ChannelId) -> bool {
        self.0.lock().contains_key(id)
    }

    /// How many are.
    #[cfg(test)]
    pub(super) fn channels(&self) -> usize {
        self.0.lock().len()
    }
}

/// Looks after what the push has left that began at this moment, until it is listed, or somebody has taken it up: somebody
/// wants to, and has some time for it.
pub(super) fn look_after(live: &Arc<Live>, id: ChannelId, started_ms: Option<i64>) {
    begin(live, id, started_ms, TAKE_UP_PATIENCE);
}

/// The same where nobody has come yet.
pub(super) fn look_after_at_once(live: &Arc<Live>, id: ChannelId, started_ms: Option<i64>) {
    begin(live, id, started_ms, Duration::ZERO);
}

fn begin(live: &Arc<Live>, id: ChannelId, started_ms: Option<i64>, pause: Duration) {
    // The task that is there already goes on with this push.
    if live.caretaker.0.lock().insert(id.clone(), started_ms).is_none() {
        let care = Care { live: live.clone(), id, is_over: false };
        crate::panics::spawn("left segments", care.take(pause));
    }
}

/// One channel that is looked after.
struct Care {
    live: Arc<Live>,
    id: ChannelId,
    is_over: bool,
}

impl Care {
    async fn take(mut self, mut pause: Duration) {
        let (live, id) = (self.live.clone(), self.id.clone());
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = live.channels.closed() => return,
            }
            pause = TAKE_UP_PATIENCE;
            let left = live.caretaker.0.lock().get(&id).copied().flatten();
            let start = match live.meta.publication(&id.0, &id.1).await {
                Ok(record) => record.map(|record| record.start),
                Err(_) => continue,
            };
            // It was taken up, or listed.
            if left.is_some_and(|left_ms| start.as_ref().is_none_or(|start| start.started_ms != left_ms)) {
                if self.ends(left) {
                    return;
                }
                continue;
            }
            let began = start.map_or(OnAir::new(remote(""), live.clock.now_ms()), |start| {
                OnAir::new(remote(&start.remote_addr), start.started_ms)
            });
            // Whoever is on air takes it up, or does not come to it.
            let Some(claim) = live.channels.claim_if_free(&id, began) else { continue };
            claim.on_air.succession.begin_end();
            let nobody = std::pin::pin!(std::future::pending());
            match acquire(&live, &id, nobody).await {
                Ok(lease) => {
                    if repair_in_time(&live, lease, claim).await == Repaired::Ended && self.ends(left) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, bucket = %id.0, channel = %id.1, "what waits cannot be looked after now");
                }
            }
        }
    }

    /// Ends it, unless another push has left something meanwhile.
    fn ends(&mut self, left: Option<i64>) -> bool {
        let mut channels = self.live.caretaker.0.lock();
        if channels.get(&self.id) == Some(&left) {
            channels.remove(&self.id);
            self.is_over = true;
        }
        self.is_over
    }
}

impl Drop for Care {
    fn drop(&mut self) {
        if !self.is_over {
            self.live.caretaker.0.lock().remove(&self.id);
        }
    }
}
