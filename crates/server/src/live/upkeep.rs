//! What is done beside requests and pushes: deleting what nobody can read any more, ending lists (D12).

use std::sync::Arc;
use std::time::Duration;

use model::Error;
use store::kv::Claim;
use store::meta::ObjectRole;

use super::channels::ChannelId;
use super::window::Window;
use super::{Live, caretaker, recovery};
use crate::objects::{ChannelGrant, internal};
use crate::peers::Duty;
use crate::shutdown::Shutdown;

/// How often garbage is looked for at most, and at least.
const INTERVAL: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// What is left of the grace while room is scarce.
const SCARCE_GRACE_MS: i64 = 5_000;
/// Blobs deleted in one go; between two goes others get the disk.
const BATCH: usize = 256;

/// Deletes the blobs of replaced and deleted objects when nobody can be reading them any more.
pub(crate) async fn upkeep(live: Arc<Live>, mut shutdown: Shutdown) {
    let [shortest, longest] = INTERVAL;
    let interval = Duration::from_secs(live.settings.garbage_grace_s).clamp(shortest, longest);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(interval) => {}
        }
        if !live.peers.has_duty(Duty::Garbage).await {
            continue;
        }
        let before_ms = match live.peers.garbage_before_ms().await {
            Ok(before_ms) => before_ms,
            Err(error) => {
                tracing::debug!(%error, "who reads cannot be found out now");
                continue;
            }
        };
        loop {
            let mut now_ms = live.clock.now_ms();
            if crate::space::is_scarce() {
                // Room that was made is wanted now; who has just looked something up still gets a moment.
                let grace_ms = i64::try_from(live.settings.garbage_grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
                now_ms = now_ms.saturating_add(grace_ms.saturating_sub(SCARCE_GRACE_MS).max(0));
            }
            match live.meta.collect_garbage(live.blobs.as_ref(), now_ms.min(before_ms), BATCH).await {
                Ok(collected) if collected.has_more && !shutdown.is_on() => {}
                Ok(collected) => {
                    let is_held = f64::from(u8::from(collected.is_held));
                    metrics::gauge!(crate::metrics::GARBAGE_HELD).set(is_held);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "garbage cannot be collected now");
                    break;
                }
            }
        }
    }
}

/// How often lists are looked for that other servers did not live to end.
const END_LISTS_EVERY: Duration = Duration::from_secs(15);
/// Channels looked at in one go.
const PAGE: usize = 256;

/// A live playlist that is to get an ENDLIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingEnd {
    pub(super) id: ChannelId,
    /// Which state of the list is meant: when its newest segment was stored.
    pub(super) stored_ms: i64,
    /// How long there is to wait.
    pub(super) after: Duration,
}

/// Ends the lists whose pushes ended before this process began, each at its time.
pub(crate) async fn resume_end_lists(live: Arc<Live>) {
    let Some(after_s) = live.settings.live.end_list_after_s else { return };
    let pending = match pending_ends(&live, after_s).await {
        Ok(pending) => pending,
        Err(error) => {
            tracing::warn!(%error, "live playlists whose push ended cannot be looked for");
            return;
        }
    };
    for PendingEnd { id, stored_ms, after } in pending {
        if after.is_zero() {
            end_list(live.clone(), id, stored_ms, after).await;
        } else {
            crate::panics::spawn("end list", end_list(live.clone(), id, stored_ms, after));
        }
    }
}

/// Ends again and again the lists whose time has come and whose server did not live to end them.
pub(crate) async fn keep_end_lists(live: Arc<Live>, mut shutdown: Shutdown) {
    let Some(after_s) = live.settings.live.end_list_after_s else { return };
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(END_LISTS_EVERY) => {}
        }
        if !live.peers.has_duty(Duty::EndLists).await {
            continue;
        }
        let pending = async { Ok::<_, Error>((pending_ends(&live, after_s).await?, live.installation().await?)) };
        match pending.await {
            Ok((pending, on_air)) => {
                let is_due = |one: &PendingEnd| one.after.is_zero() && !on_air.contains_key(&one.id);
                for PendingEnd { id, stored_ms, after } in pending.into_iter().filter(is_due) {
                    end_list(live.clone(), id, stored_ms, after).await;
                }
            }
            Err(error) => tracing::warn!(%error, "live playlists whose push ended cannot be looked for"),
        }
    }
}

/// The lists of channels that nobody publishes to which have not ended. A push ended when its history says so; a channel
/// that was configured anew since has no history, but the time of its last segment.
pub(super) async fn pending_ends(live: &Arc<Live>, after_s: u64) -> Result<Vec<PendingEnd>, Error> {
    let after_ms = i64::try_from(after_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let mut pending = Vec::new();
    let mut last: Option<ChannelId> = None;
    loop {
        let seen = last.as_ref().map(|(bucket, channel)| (bucket, channel));
        let page = live.meta.channel_windows(seen, PAGE).await.map_err(internal)?;
        for (bucket, channel, bytes) in &page.items {
            let id = (bucket.clone(), channel.clone());
            // What cannot be read is reported when the channel is next published to.
            let Ok(window) = Window::parse(bytes) else { continue };
            if window.list.ended || window.list.segments.is_empty() || live.channels.find(&id).is_some() {
                continue;
            }
            let history = live.meta.history(bucket, channel).await.map_err(internal)?;
            let ended_ms = history.last().map_or(window.stored_ms, |push| push.end_ms);
            let left_ms = ended_ms.saturating_add(after_ms).saturating_sub(live.clock.now_ms());
            pending.push(PendingEnd {
                id,
                stored_ms: window.stored_ms,
                after: Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)),
            });
        }
        match page.items.into_iter().next_back() {
            Some((bucket, channel, _)) if page.is_truncated => last = Some((bucket, channel)),
            _ => return Ok(pending),
        }
    }
}

/// Puts an ENDLIST on a live playlist `after` its push has ended, unless another push came meanwhile (D12).
pub(super) async fn end_list(live: Arc<Live>, id: ChannelId, stored_ms: i64, after: Duration) {
    tokio::time::sleep(after).await;
    if live.channels.find(&id).is_some() {
        return;
    }
    let (bucket, channel) = (&id.0, &id.1);
    let lease = match caretaker::acquire(&live, &id, Claim::IfFree).await {
        Ok(lease) => lease,
        // Somebody publishes again, so the list has not ended.
        Err(_) => return,
    };
    let outcome = async {
        let mut window = recovery::window(&live, &id).await?;
        if window.stored_ms != stored_ms || window.list.ended {
            return Ok(());
        }
        window.list.end();
        let Some(playlist) = window.list.playlist() else { return Ok(()) };
        let key = model::name::ObjectKey::parse(format!("{channel}/{}", window.playlist).as_bytes())?;
        let text = playlist.render().into_bytes();
        let record = crate::objects::playlist_record(text, ObjectRole::LivePlaylist, live.clock.now_ms());
        let grant = ChannelGrant::holding(&lease);
        grant.commit_playlist(&live.meta, &key, &record, window.to_bytes()).await.map_err(internal)
    }
    .await;
    if let Err(error) = outcome {
        tracing::warn!(%error, %bucket, %channel, "the live playlist cannot be ended");
    }
    if live.meta.release_publisher(&lease).await.is_err() {
        caretaker::look_after(&live, id.clone(), None);
    }
}
