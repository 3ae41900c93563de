//! What a server does all the time where others share its map: it says that it lives and what it shows, and looks what the
//! others want of its pushes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::ChannelStatus;
use store::meta::peer::{ChannelWish, Wish};
use tokio::time::MissedTickBehavior;

use super::Live;
use super::channels::{ChannelId, OnAir, StopReason};
use super::inherited::is_store_away;
use crate::peers::SAY_EVERY;
use crate::shutdown::Shutdown;

/// How often wishes of others are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the end of a push takes that nothing holds up.
const ENDS_SOON: Duration = Duration::from_secs(1);

/// Says and looks until the word that the process `ends`; once the server is told to stop, it says that too. Each does so by
/// itself: that this process lives does not wait for an answer about something else.
pub(crate) async fn presence(live: Arc<Live>, shutdown: Shutdown, ends: Shutdown) {
    let beside = [
        crate::panics::spawn("life", stay_alive(live.clone(), ends.clone())),
        crate::panics::spawn("duties", keep_duties(live.clone(), ends.clone())),
        crate::panics::spawn("wishes", look(live.clone(), ends.clone())),
    ];
    show(live, shutdown, ends).await;
    for task in beside {
        let _ = task.await;
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(SAY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn stay_alive(live: Arc<Live>, mut ends: Shutdown) {
    let mut ticks = ticks();
    loop {
        tokio::select! {
            () = ends.wait() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = live.peers.live().await {
            tracing::warn!(%error, "the other servers cannot be told that this one lives");
        }
    }
}

async fn keep_duties(live: Arc<Live>, mut ends: Shutdown) {
    let mut ticks = ticks();
    loop {
        tokio::select! {
            () = ends.wait() => return,
            _ = ticks.tick() => live.peers.keep_duties().await,
        }
    }
}

async fn show(live: Arc<Live>, mut shutdown: Shutdown, mut ends: Shutdown) {
    let mut ticks = ticks();
    let mut is_leaving = false;
    loop {
        tokio::select! {
            () = ends.wait() => return,
            () = shutdown.wait(), if !is_leaving => {
                is_leaving = true;
                live.peers.begin_to_leave();
            }
            _ = ticks.tick() => {}
        }
        if let Err(error) = live.peers.show(live.shown()).await {
            tracing::debug!(%error, "what is on air here cannot be shown to the other servers now");
        }
    }
}

async fn look(live: Arc<Live>, mut ends: Shutdown) {
    let mut seen = HashSet::new();
    loop {
        tokio::select! {
            () = ends.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if live.channels.is_empty() && live.caretaker.is_empty() {
            seen.clear();
            continue;
        }
        let wishes = match live.meta.wishes().await {
            Ok(wishes) => wishes,
            Err(error) => {
                tracing::debug!(%error, "what other servers want cannot be looked for now");
                continue;
            }
        };
        let before = std::mem::take(&mut seen);
        for wish in wishes {
            let id: ChannelId = (wish.bucket.clone(), wish.channel.clone());
            let is_new = !before.contains(&wish.id);
            seen.insert(wish.id.clone());
            if wish.record.by == live.peers.holder() || wish.record.is_refused || !is_new {
                continue;
            }
            if let Some(on_air) = live.channels.find(&id) {
                crate::panics::spawn("wish", hear(live.clone(), id, on_air, wish));
            } else if wish.record.wish == Wish::Publish && live.caretaker.has(&id) {
                // What waits keeps the channel, though nobody is at it at the moment.
                if let Err(error) = live.meta.refuse_wish(&wish).await {
                    tracing::debug!(%error, bucket = %id.0, channel = %id.1, "another server cannot be answered");
                }
            } else {
                // A push may be about to begin here; it is asked again.
                seen.remove(&wish.id);
            }
        }
    }
}

/// Decides on what another server wants of a push, as if it were wanted here.
async fn hear(live: Arc<Live>, id: ChannelId, on_air: Arc<OnAir>, wish: ChannelWish) {
    let outcome = match wish.record.wish {
        Wish::End => match live.meta.channel(&id.0, &id.1).await {
            Ok(Some(channel)) if channel.config.status == ChannelStatus::Enabled => Ok(()),
            // Deleted, or it cannot be found out: who wished has seen to it that it is disabled.
            _ => {
                on_air.stop(StopReason::Disabled);
                Ok(())
            }
        },
        Wish::Publish => {
            let takeover_after = Duration::from_secs(live.settings.live.takeover_after_s);
            let makes_way = tokio::select! {
                makes_way = live.channels.yields(&id, &on_air, takeover_after) => makes_way,
                () = cannot_end(&live, &on_air) => false,
            };
            match makes_way {
                true => Ok(()),
                false => live.meta.refuse_wish(&wish).await,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, bucket = %id.0, channel = %id.1, "another server cannot be answered");
    }
}

/// Waits until it shows that a push cannot end soon: its encoder has left, and its segments wait for a store that is away.
async fn cannot_end(live: &Live, on_air: &OnAir) {
    loop {
        // One whose segments do not wait ends sooner.
        tokio::time::sleep(ENDS_SOON).await;
        if on_air.succession.is_ending() && is_store_away(live).await {
            return;
        }
    }
}
