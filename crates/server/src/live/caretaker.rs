//! Looks after what a push has left to somebody who wanted to take it up: as long as nobody does, it is repaired here. One
//! task for each channel, however many come and are refused.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::ErrorKind;
use store::kv::Claim as LeaseClaim;
use store::lease::PublisherLease;
use store::meta::peer::is_life_of;

use super::Live;
use super::channels::{ChannelId, OnAir};
use super::inherited::leave_to_its_server;
use super::recovery::{Repaired, repair_in_time};
use super::shown::remote;

/// How long somebody who wanted to take up what waits may take to begin.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(15);

/// How long a publish that was refused takes to give its channel back.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// The channels that are looked after, and when the push began that left what waits, unix ms; `None` where the map did not
/// say what there is, so that it has to be looked.
#[derive(Debug, Default)]
pub(super) struct Caretaker(Mutex<HashMap<ChannelId, Option<i64>>>);

impl Caretaker {
    /// Whether a channel is looked after.
    pub(super) fn has(&self, id: &ChannelId) -> bool {
        self.0.lock().contains_key(id)
    }

    /// Whether none is.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// How many are.
    #[cfg(test)]
    pub(super) fn channels(&self) -> usize {
        self.0.lock().len()
    }
}

/// Takes the right to publish on a channel. Where the map did not say whether this server has it now, it is found out, and
/// given back.
///
/// # Errors
/// Those of [`store::meta::Meta::acquire_publisher`].
pub(super) async fn acquire(live: &Arc<Live>, id: &ChannelId, claim: LeaseClaim) -> store::Result<PublisherLease> {
    let (holder, ttl) = (live.peers.holder(), live.peers.lease_ttl());
    let taken = live.meta.acquire_publisher(&id.0, &id.1, holder, ttl, claim).await;
    // The lease of a server alone runs out by itself.
    if live.peers.is_shared() && taken.as_ref().is_err_and(|error| error.kind == ErrorKind::Unavailable) {
        look_after(live, id.clone(), None);
    }
    taken
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
    match live.caretaker.0.lock().entry(id) {
        // The task that is there already goes on with this push.
        Entry::Occupied(mut known) => {
            if started_ms.is_some() {
                known.insert(started_ms);
            }
        }
        Entry::Vacant(unknown) => {
            let care = Care { live: live.clone(), id: unknown.key().clone(), is_over: false };
            unknown.insert(started_ms);
            crate::panics::spawn("left segments", care.take(pause));
        }
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
        // Whoever asked for this may still be giving the channel back.
        let mut next_pause = GIVING_BACK;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = live.channels.closed() => return,
            }
            pause = std::mem::replace(&mut next_pause, TAKE_UP_PATIENCE);
            let (Ok(record), Ok(held)) =
                (live.meta.publication(&id.0, &id.1).await, live.meta.publisher(&id.0, &id.1).await)
            else {
                continue;
            };
            let is_ours = |holder: &str| is_life_of(holder, live.peers.instance());
            // That of another server only where it was named: what is left of one that died, and takes long to store.
            let named = self.left(None);
            let record = record.filter(|record| is_ours(&record.holder) || named == Some(record.start.started_ms));
            let is_foreign = record.as_ref().is_some_and(|record| !is_ours(&record.holder));
            if is_foreign && leave_to_its_server(&live, &id).await.is_err() {
                continue;
            }
            let start = record.map(|record| record.start);
            let left = self.left(start.as_ref().map(|start| start.started_ms));
            let is_there = start.as_ref().is_some_and(|start| Some(start.started_ms) == left);
            if held.as_ref().is_some_and(|held| !is_ours(&held.holder)) {
                // Another server has the channel. It is not asked for it: nobody here wants to publish.
                if !is_there && self.ends(left) {
                    return;
                }
                continue;
            }
            // What was taken up, or listed, needs nobody; a lease of this server may be left behind.
            if !is_there && (held.is_none() || start.is_some()) {
                if self.ends(left) {
                    return;
                }
                continue;
            }
            let on_air = match &start {
                Some(start) => OnAir::new(remote(&start.remote_addr), start.started_ms),
                None => OnAir::new(remote(""), live.clock.now_ms()),
            };
            // Whoever is on air takes it up, or does not come to it.
            let Some(claim) = live.channels.claim_if_free(&id, on_air) else { continue };
            claim.on_air.succession.begin_end();
            let how = held.map_or(LeaseClaim::IfFree, |held| LeaseClaim::TakeOver(held.token));
            let (holder, ttl) = (live.peers.holder(), live.peers.lease_ttl());
            let outcome = match live.meta.acquire_publisher(&id.0, &id.1, holder, ttl, how).await {
                Ok(lease) if is_there => repair_in_time(&live, lease, claim).await,
                Ok(lease) => match live.meta.release_publisher(&lease).await {
                    Ok(()) => Repaired::Ended,
                    Err(_) => Repaired::Left,
                },
                Err(error) => {
                    tracing::debug!(%error, bucket = %id.0, channel = %id.1, "what waits cannot be looked after now");
                    Repaired::Left
                }
            };
            if outcome == Repaired::Ended && self.ends(left) {
                return;
            }
        }
    }

    /// When the push began that left what waits; that of the push which is `there`, where nobody knew.
    fn left(&self, there: Option<i64>) -> Option<i64> {
        let mut channels = self.live.caretaker.0.lock();
        let left = channels.entry(self.id.clone()).or_default();
        if left.is_none() {
            *left = there;
        }
        *left
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
