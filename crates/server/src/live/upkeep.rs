//! What is done beside requests and pushes: deleting what nobody can read any more, ending lists (D12).

use std::sync::Arc;
use std::time::Duration;

use store::kv::Claim;

use super::channels::ChannelId;
use super::recovery;
use crate::shutdown::Shutdown;
use crate::state::State;

/// How often garbage is looked for at most, and at least.
const INTERVAL: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Blobs deleted in one go; between two goes others get the disk.
const BATCH: usize = 256;

/// Deletes the blobs of replaced and deleted objects when nobody can be reading them any more.
pub(crate) async fn upkeep(state: Arc<State>, mut shutdown: Shutdown) {
    let [shortest, longest] = INTERVAL;
    let interval = Duration::from_secs(state.config.storage.garbage_grace_s).clamp(shortest, longest);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(interval) => {}
        }
        loop {
            let now_ms = state.clock.now_ms();
            match state.meta.collect_garbage(state.blobs.as_ref(), now_ms, BATCH).await {
                Ok(collected) if collected.has_more && !shutdown.is_on() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "garbage cannot be collected now");
                    break;
                }
            }
        }
    }
}

/// Puts an ENDLIST on a live playlist `after` its push has ended, unless another push came meanwhile (D12).
pub(super) async fn end_list(state: Arc<State>, id: ChannelId, stored_ms: i64, after: Duration) {
    tokio::time::sleep(after).await;
    if state.channels.find(&id).is_some() {
        return;
    }
    let (bucket, channel) = (&id.0, &id.1);
    let lease = match state.meta.acquire_publisher(bucket, channel, &state.holder, super::LEASE, Claim::IfFree).await {
        Ok(lease) => lease,
        // Somebody publishes again, so the list has not ended.
        Err(_) => return,
    };
    let outcome = async {
        let mut window = recovery::window(&state, &id).await?;
        if window.stored_ms != stored_ms || window.list.ended {
            return Ok(());
        }
        window.list.end();
        let Some(playlist) = window.list.playlist() else { return Ok(()) };
        let key = oss::name::ObjectKey::parse(format!("{channel}/{}", window.playlist).as_bytes())?;
        let record = crate::ops::playlist_record(playlist.render().into_bytes(), state.clock.now_ms());
        state.meta.commit_playlist(&lease, &key, &record, window.to_bytes()).await.map_err(crate::ops::internal)
    }
    .await;
    if let Err(error) = outcome {
        tracing::warn!(%error, %bucket, %channel, "the live playlist cannot be ended");
    }
    let _ = state.meta.release_publisher(&lease).await;
}
