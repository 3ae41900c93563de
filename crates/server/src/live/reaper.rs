//! Pushes whose server died, found by those that live: where several servers share a map.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::kv::{Claim, FencingToken};
use store::meta::peer::is_life_of;
use tokio::time::Instant;

use super::channels::ChannelId;
use super::{Live, caretaker, recovery};
use crate::shutdown::Shutdown;

/// How often pushes without a publisher are looked for.
const INTERVAL: Duration = Duration::from_secs(8);

/// How long it may take to end a push.
const REPAIR: Duration = Duration::from_secs(60);

/// How often it is tried to repair a push of this very server that nobody looks after.
const AGAIN: Duration = Duration::from_secs(60);

/// How long it is known that a process died, milliseconds.
const FORGET_MS: i64 = 600_000;

/// How long a push is left to its own server of which complete segments wait on the disk there, because the store was away.
pub(super) const LEFT_TO_ITS_SERVER: Duration = Duration::from_secs(600);

/// The same where that server runs. It is not for ever, as nobody else can publish to the channel.
pub(super) const LEFT_TO_ONE_THAT_RUNS: Duration = Duration::from_secs(86_400);

/// The pushes that nobody publishes any more, by channel and how often it was published to, and since when they are seen.
pub(super) type Candidates = HashMap<(ChannelId, u32), Instant>;

/// Ends pushes that nobody publishes any more. One is left alone until it was seen twice, so that its own server, which
/// still has the bytes of its open segment, comes first if it comes back, and a returning encoder is not in the way. Where
/// more waits there, its server has longer.
pub(crate) async fn reap(live: Arc<Live>, mut shutdown: Shutdown) {
    let mut seen = Candidates::new();
    loop {
        // Not all servers at the same moment.
        let pause = INTERVAL + Duration::from_millis(u64::from(crate::ids::random::<1>()[0]) * 8);
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
        seen = look(&live, seen).await;
        if let Err(error) = clear(&live).await {
            tracing::debug!(%error, "what dead servers left cannot be cleared away now");
        }
    }
}

/// Clears away the rows of processes that died a while ago, and what dead ones still want.
async fn clear(live: &Live) -> store::Result<()> {
    for process in live.meta.processes().await? {
        let said_ms = process.record.said_ms;
        if !process.is_alive && live.clock.now_ms().saturating_sub(said_ms) > FORGET_MS {
            live.meta.forget_life(&process.life).await?;
        }
    }
    for wish in live.meta.wishes().await? {
        if live.meta.is_dead(&wish.record.by).await? {
            live.meta.unwish(&wish.bucket, &wish.channel, &wish.id).await?;
        }
    }
    Ok(())
}

pub(super) async fn look(live: &Arc<Live>, before: Candidates) -> Candidates {
    let dangling = match live.meta.dangling_publications(None).await {
        Ok(dangling) => dangling,
        Err(error) => {
            tracing::warn!(%error, "pushes without a publisher cannot be looked for");
            return before;
        }
    };
    let mut seen = Candidates::new();
    for push in dangling {
        let id = (push.bucket, push.channel);
        let is_own = is_life_of(&push.record.holder, live.peers.instance());
        let key = (id, push.record.session);
        let since = before.get(&key).copied();
        if is_own && !push.record.waiting.is_empty() {
            // What waits is on the disk of this server.
            let is_due = since.is_none_or(|since| since.elapsed() >= AGAIN);
            if is_due && live.channels.find(&key.0).is_none() {
                caretaker::look_after_at_once(live, key.0.clone(), Some(push.record.start.started_ms));
            }
            seen.insert(key, since.filter(|_| !is_due).unwrap_or_else(Instant::now));
            continue;
        }
        let left_alone = since.map(|since| since.elapsed());
        let is_due = match (push.record.waiting.is_empty(), left_alone) {
            (_, None) => false,
            (true, Some(_)) => true,
            (false, Some(left_alone)) if left_alone < LEFT_TO_ITS_SERVER => false,
            // One that runs lists it as soon as it can.
            (false, Some(left_alone)) => {
                left_alone >= LEFT_TO_ONE_THAT_RUNS
                    || matches!(live.meta.is_running(&push.record.holder).await, Ok(false))
            }
        };
        if is_due {
            end(live, &key.0, push.record.start.started_ms).await;
        } else {
            seen.insert(key, since.unwrap_or_else(Instant::now));
        }
    }
    seen
}

async fn end(live: &Arc<Live>, id: &ChannelId, started_ms: i64) {
    let lease = match caretaker::acquire(live, id, Claim::IfFree).await {
        Ok(lease) => lease,
        Err(error) => {
            tracing::debug!(%error, bucket = %id.0, channel = %id.1, "a push without a publisher has one by now");
            return;
        }
    };
    let FencingToken(token) = lease.token();
    // One that cannot be stored must not keep the others, and is tried again.
    let repaired = tokio::time::timeout(REPAIR, recovery::repair(live, &lease)).await;
    match &repaired {
        Ok(Ok(())) => tracing::info!(bucket = %id.0, channel = %id.1, token, "a push whose server died was ended"),
        Ok(Err(error)) => {
            tracing::warn!(%error, bucket = %id.0, channel = %id.1, "a push whose server died cannot be ended now")
        }
        Err(_) => {
            tracing::warn!(bucket = %id.0, channel = %id.1, "a push whose server died cannot be ended in a minute")
        }
    }
    let released = live.meta.release_publisher(&lease).await;
    if repaired.is_err() {
        caretaker::look_after_at_once(live, id.clone(), Some(started_ms));
    } else if released.is_err() {
        caretaker::look_after(live, id.clone(), None);
    }
}
