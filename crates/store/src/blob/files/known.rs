//! What this process knows of finished blobs: which may be passed on as they lie there, and which are damaged.
//!
//! A blob that was written in this life, or verified in it, is sent by the kernel from its cache, and nobody looks at its
//! bytes on the way. All others are compared with their checksums when they are read.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::blob::damage::merge;
use crate::blob::{BlobDamage, BlobId};

/// Parts with a lock of their own.
const SHARDS: usize = 16;
/// Sound blobs that are remembered in each: 65,536 in all, about 4 MiB. Forgetting one costs reading it once more.
const MAX_SOUND: usize = 4096;
/// Damaged blobs whose finding waits to be heard of.
const MAX_UNHEARD: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Known {
    shards: [Mutex<Shard>; SHARDS],
    unheard: Mutex<VecDeque<BlobId>>,
    found: Notify,
}

#[derive(Debug, Default)]
struct Shard {
    /// Their lengths.
    sound: HashMap<BlobId, u64>,
    damaged: HashMap<BlobId, Vec<Range<u64>>>,
}

impl Known {
    fn shard(&self, id: BlobId) -> Option<MutexGuard<'_, Shard>> {
        // Random bits that do not choose the directory.
        let [.., random, _, _] = id.to_bytes();
        self.shards.get(usize::from(random) % SHARDS).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unheard(&self) -> MutexGuard<'_, VecDeque<BlobId>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length of a blob that needs no further look.
    pub(super) fn sound(&self, id: BlobId) -> Option<u64> {
        self.shard(id)?.sound.get(&id).copied()
    }

    /// Where a blob is known to be damaged.
    pub(super) fn damage(&self, id: BlobId) -> Vec<Range<u64>> {
        self.shard(id).and_then(|shard| shard.damaged.get(&id).cloned()).unwrap_or_default()
    }

    pub(super) fn note_sound(&self, id: BlobId, len: u64) {
        let Some(mut shard) = self.shard(id) else { return };
        shard.damaged.remove(&id);
        if shard.sound.len() >= MAX_SOUND {
            // What is popular is soon back.
            shard.sound.clear();
        }
        shard.sound.insert(id, len);
    }

    pub(super) fn note_damage(&self, id: BlobId, ranges: &[Range<u64>]) {
        let Some(mut shard) = self.shard(id) else { return };
        shard.sound.remove(&id);
        let known = shard.damaged.entry(id).or_default();
        let before = known.clone();
        merge(known, ranges);
        let is_news = *known != before;
        drop(shard);
        let mut unheard = self.unheard();
        if is_news && unheard.len() < MAX_UNHEARD && !unheard.contains(&id) {
            unheard.push_back(id);
            self.found.notify_one();
        }
    }

    /// The blob is gone, or will be another.
    pub(super) fn forget(&self, id: BlobId) {
        if let Some(mut shard) = self.shard(id) {
            shard.sound.remove(&id);
            shard.damaged.remove(&id);
        }
    }

    /// Waits for damage that nobody has heard of yet.
    pub(super) async fn next_damage(&self) -> BlobDamage {
        loop {
            let next = self.unheard().pop_front();
            match next.map(|blob| BlobDamage { blob, ranges: self.damage(blob) }) {
                Some(damage) if !damage.ranges.is_empty() => return damage,
                Some(_) => {}
                None => self.found.notified().await,
            }
        }
    }
}
