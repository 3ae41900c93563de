//! Looks after what a push has left to somebody who wanted to take it up: as long as nobody does, it is repaired here. One
//! task for each channel, however many come and are refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Live;
use super::channels::{ChannelId, OnAir};
use super::recovery::{acquire, repair_in_time};
use super::shown::remote;

/// How long somebody who wanted to take up what waits may take to begin.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(15);

/// The channels that are looked after, and when the push began that left what waits, unix ms.
#[derive(Debug, Default)]
pub(super) struct Caretaker(Mutex<HashMap<ChannelId, i64>>);

impl Caretaker {
    /// How many channels are looked after.
    #[cfg(test)]
    pub(super) fn channels(&self) -> usize {
        self.0.lock().len()
    }
}

/// Looks after what the push has left that began at this moment, until it is listed, or somebody has taken it up.
pub(super) fn look_after(live: &Arc<Live>, id: ChannelId, started_ms: i64) {
    // The task that is there already goes on with this push.
    if live.caretaker.0.lock().insert(id.clone(), started_ms).is_none() {
        let care = Care { live: live.clone(), id, is_over: false };
        crate::panics::spawn("left segments", care.take());
    }
}

/// One channel that is looked after.
struct Care {
    live: Arc<Live>,
    id: ChannelId,
    is_over: bool,
}

impl Care {
    async fn take(mut self) {
        let (live, id) = (self.live.clone(), self.id.clone());
        loop {
            tokio::select! {
                () = tokio::time::sleep(TAKE_UP_PATIENCE) => {}
                () = live.channels.closed() => return,
            }
            let left_ms = live.caretaker.0.lock().get(&id).copied().unwrap_or_default();
            let start = match live.meta.publication(&id.0, &id.1).await {
                Ok(Some(record)) if record.start.started_ms == left_ms => record.start,
                // It was taken up, or listed.
                Ok(_) if self.ends(left_ms) => return,
                Ok(_) | Err(_) => continue,
            };
            let on_air = OnAir::new(remote(&start.remote_addr), left_ms);
            // Whoever is on air takes it up, or does not come to it.
            let Some(claim) = live.channels.claim_if_free(&id, on_air) else { continue };
            claim.on_air.succession.begin_end();
            let nobody = std::pin::pin!(std::future::pending());
            match acquire(&live, &id, nobody).await {
                Ok(lease) => {
                    if !repair_in_time(&live, lease, claim).await && self.ends(left_ms) {
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
    fn ends(&mut self, left_ms: i64) -> bool {
        let mut channels = self.live.caretaker.0.lock();
        if channels.get(&self.id) == Some(&left_ms) {
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
