//! A map that remembers every version of one playlist, however quickly one follows the other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use model::name::{BucketName, ObjectKey};
use parking_lot::Mutex;
use store::Result;
use store::clock::Clock;
use store::kv::{Claim, Commit, Entry, Kv, Lease, MemoryKv, Outcome, Range, Snapshot, Versioned};
use store::meta::{Body, Meta};

use super::troubled::Trouble;

pub(super) struct Recorder {
    kv: Arc<MemoryKv>,
    trouble: Trouble,
    meta: Meta,
    watched: OnceLock<(BucketName, ObjectKey)>,
    last: Mutex<String>,
    versions: Mutex<Vec<String>>,
}

impl Recorder {
    pub(super) fn new(kv: Arc<MemoryKv>, clock: Clock, trouble: Trouble) -> Self {
        let meta = Meta::new(kv.clone(), clock);
        Self { kv, trouble, meta, watched: OnceLock::new(), last: Mutex::default(), versions: Mutex::default() }
    }

    /// The object to watch.
    pub(super) fn watch(&self, bucket: &BucketName, key: ObjectKey) {
        self.watched.set((bucket.clone(), key)).unwrap();
    }

    /// The versions since the last call, oldest first.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.versions.lock())
    }

    async fn record(&self) -> Result<()> {
        let Some((bucket, key)) = self.watched.get() else { return Ok(()) };
        let Some(stored) = self.meta.object(bucket, key).await? else {
            assert!(self.last.lock().is_empty(), "the playlist vanished");
            return Ok(());
        };
        let Body::Inline(text) = &stored.value.body else { panic!("a playlist is small") };
        let text = std::str::from_utf8(text).unwrap();
        let mut last = self.last.lock();
        if *last != text {
            text.clone_into(&mut last);
            self.versions.lock().push(text.to_owned());
        }
        Ok(())
    }
}

#[async_trait]
impl Kv for Recorder {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.kv.get(key).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        self.kv.range(range).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.kv.snapshot().await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        self.trouble.reach_the_disk().await?;
        self.trouble.be_answered().await;
        self.trouble.reach_the_map().await?;
        let outcome = self.kv.commit(commit).await?;
        self.record().await?;
        self.trouble.hear_the_answer().await?;
        Ok(outcome)
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        if !name.starts_with("process/") {
            self.trouble.be_answered().await;
        }
        let lease = self.kv.acquire(name, holder, ttl, claim).await?;
        if !name.starts_with("process/") {
            self.trouble.hear_the_answer().await?;
        }
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.trouble.reach_the_disk().await?;
        self.kv.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.kv.release(lease).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        self.kv.lease(name).await
    }
}
