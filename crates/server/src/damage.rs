//! Bytes that are not what was written: found while somebody reads them or by the scrub that reads everything now and then,
//! named in the log, counted, and marked where they belong to a segment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use store::ErrorKind;
use store::blob::{BlobDamage, BlobId, BlobStore};
use store::meta::Meta;
use store::scrub::{Pace, scrub};

use crate::metrics::{DAMAGED_OBJECTS, DAMAGED_READS, SCRUBBED_BYTES};
use crate::peers::{Duty, Peers};
use crate::shutdown::Shutdown;

/// Between the first damage of several and the search for their names, which reads every object.
const GATHERING: Duration = Duration::from_secs(1);
/// The most blobs that are searched for at once.
const MAX_GATHERED: usize = 1024;
/// Between two scrubs.
const REST: Duration = Duration::from_secs(86_400);
/// How often a server that leaves the scrub to another looks whether that is still there.
const WHOSE_DUTY: Duration = Duration::from_secs(60);

/// Counts a read that failed because of damage.
pub(crate) fn count(error: &store::Error) {
    if error.kind == ErrorKind::Corrupt {
        metrics::counter!(DAMAGED_READS).increment(1);
    }
}

/// Says of every damaged blob whose bytes it has, until the server stops.
pub(crate) async fn watch(meta: Meta, blobs: Arc<dyn BlobStore>, mut shutdown: Shutdown) {
    loop {
        let mut found = HashMap::new();
        tokio::select! {
            () = shutdown.wait() => return,
            damage = blobs.next_damage() => found.insert(damage.blob, damage),
        };
        let until = tokio::time::Instant::now() + GATHERING;
        while found.len() < MAX_GATHERED
            && let Ok(damage) = tokio::time::timeout_at(until, blobs.next_damage()).await
        {
            found.insert(damage.blob, damage);
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = report(&meta, &found) => {}
        }
    }
}

async fn report(meta: &Meta, found: &HashMap<BlobId, BlobDamage>) {
    let blobs: HashSet<BlobId> = found.keys().copied().collect();
    let named = match meta.objects_in(&blobs).await {
        Ok(named) => named,
        Err(error) => {
            tracing::error!(%error, "the objects with damaged bytes cannot be looked for");
            Vec::new()
        }
    };
    for object in &named {
        let Some(damage) = found.get(&object.blob) else { continue };
        metrics::counter!(DAMAGED_OBJECTS).increment(1);
        let is_segment = match meta.mark_segment_damaged(&object.bucket, &object.key).await {
            Ok(is_segment) => is_segment,
            Err(error) => {
                tracing::warn!(%error, "a damaged segment cannot be marked");
                false
            }
        };
        tracing::error!(
            bucket = %object.bucket, key = ?object.key.as_str(), is_segment, %damage,
            "a stored object is damaged; reading these bytes of it is refused"
        );
    }
    let with_name: HashSet<BlobId> = named.iter().map(|object| object.blob).collect();
    for damage in found.values().filter(|damage| !with_name.contains(&damage.blob)) {
        metrics::counter!(DAMAGED_OBJECTS).increment(1);
        tracing::error!(%damage, "stored bytes are damaged that belong to no object, but perhaps to an upload");
    }
}

/// Looks at the metadata once, then reads everything again and again, so many MiB a second, until the server stops.
pub(crate) async fn scrub_forever(
    meta: Meta,
    blobs: Arc<dyn BlobStore>,
    peers: Arc<Peers>,
    mib_per_s: u32,
    mut shutdown: Shutdown,
) {
    tokio::select! {
        () = shutdown.wait() => return,
        () = look_at_metadata(&meta) => {}
    }
    if mib_per_s == 0 {
        return;
    }
    let pace = Pace { bytes_per_s: u64::from(mib_per_s) << 20 };
    loop {
        while !peers.has_duty(Duty::Scrub).await {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(WHOSE_DUTY) => {}
            }
        }
        tokio::select! {
            () = shutdown.wait() => return,
            seen = scrub(&meta, blobs.as_ref(), pace) => match seen {
                Ok(seen) => {
                    metrics::counter!(SCRUBBED_BYTES).increment(seen.bytes);
                    for body in &seen.damaged_bodies {
                        metrics::counter!(DAMAGED_OBJECTS).increment(1);
                        tracing::error!(body, "a small object is damaged; reading it is refused");
                    }
                    for blob in &seen.unreadable {
                        tracing::error!(blob, "stored bytes cannot be read");
                    }
                    tracing::info!(
                        bytes = seen.bytes, blobs = seen.blobs, without_checksums = seen.unsummed,
                        damaged = seen.damaged_blobs, "everything stored was read"
                    );
                }
                Err(error) => tracing::warn!(%error, "what is stored cannot be read through now"),
            },
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(REST) => {}
        }
    }
}

async fn look_at_metadata(meta: &Meta) {
    if let Some(loss) = meta.loss() {
        tracing::error!(
            loss,
            "the metadata file has lost commits; `millpond check` says what that means for the objects"
        );
    }
    match meta.faults().await {
        Ok(faults) => {
            for fault in faults {
                metrics::counter!(DAMAGED_READS).increment(1);
                tracing::error!(fault, "the metadata file is damaged; stop the server and run `millpond check`");
            }
        }
        Err(error) => tracing::error!(%error, "the metadata file cannot be looked through"),
    }
}
