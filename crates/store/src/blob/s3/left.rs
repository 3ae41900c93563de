//! What an earlier life left in the spool, and nobody has taken up yet.
//!
//! A machine that comes back after a power cut has less of an open segment than it had sent to the store. Meanwhile another
//! server may have closed that segment, and listed it, longer than the file here. So what was left is looked for in the store
//! before it is read, and goes when it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::{Shared, lock};
use crate::blob::{BlobId, BlobInfo, BlobState, BlobStore as _};
use crate::error::Result;

/// How long the pushes of the life before may take to be taken up before what they left is looked at.
const UNTIL_LOOKED_AT: Duration = Duration::from_secs(900);

/// How often that is done again.
const AGAIN: Duration = Duration::from_secs(3600);

/// Blobs of the spool that this life has not made.
pub(super) struct Left {
    blobs: Mutex<HashMap<BlobId, Arc<LeftBlob>>>,
}

struct LeftBlob {
    was_finished: bool,
    /// Held by whoever decides about it, for as long as the store takes to say whether it has it.
    deciding: tokio::sync::Mutex<()>,
}

impl Left {
    pub(super) fn new(found: &[BlobInfo]) -> Self {
        let left = |blob: &BlobInfo| {
            let was_finished = blob.state == BlobState::Finished;
            (blob.id, Arc::new(LeftBlob { was_finished, deciding: tokio::sync::Mutex::default() }))
        };
        Self { blobs: Mutex::new(found.iter().map(left).collect()) }
    }

    fn find(&self, id: BlobId) -> Option<Arc<LeftBlob>> {
        lock(&self.blobs).get(&id).cloned()
    }

    /// Somebody takes it up.
    pub(super) async fn take_up(&self, id: BlobId) {
        if let Some(blob) = self.find(id) {
            let _turn = blob.deciding.lock().await;
            lock(&self.blobs).remove(&id);
        }
    }
}

impl Shared {
    /// Forgets what an earlier life left of a blob here, if it is stored.
    ///
    /// # Errors
    /// When the store does not say whether it is, and what is here may be less.
    pub(super) async fn settle(&self, id: BlobId) -> Result<()> {
        let Some(blob) = self.left.find(id) else { return Ok(()) };
        let _turn = blob.deciding.lock().await;
        if self.left.find(id).is_none() {
            return Ok(());
        }
        match self.stored.len(id).await {
            Ok(_) => {
                tracing::debug!(%id, "what an earlier life left of a stored blob is deleted");
                self.spool.delete(id).await?;
                self.note_gone(id);
                lock(&self.left.blobs).remove(&id);
                Ok(())
            }
            Err(error) if error.is_not_found() || blob.was_finished => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Settles now and then what nobody has taken up or read, as long as there is any.
    pub(super) async fn settle_left(shared: Weak<Self>) {
        let mut pause = UNTIL_LOOKED_AT;
        loop {
            tokio::time::sleep(pause).await;
            pause = AGAIN;
            let Some(shared) = shared.upgrade() else { return };
            let blobs: Vec<BlobId> = lock(&shared.left.blobs).keys().copied().collect();
            if blobs.is_empty() {
                return;
            }
            for id in blobs {
                if let Err(error) = shared.settle(id).await {
                    tracing::debug!(%id, %error, "whether what an earlier life left is stored cannot be found out now");
                    break;
                }
            }
        }
    }
}
