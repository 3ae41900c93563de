//! The map with a stopwatch: how long commits take until they are durable, and how many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use store::Result;
use store::kv::{Claim, Commit, Entry, Kv, Lease, Outcome, Range, Snapshot, Versioned};

use super::{METADATA_COMMIT_SECONDS, METADATA_COMMITS_WAITING};

/// Commits that wait for the writer or the disk, of all maps of the process.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// A map whose commits are measured.
pub(crate) struct TimedKv(Arc<dyn Kv>);

impl TimedKv {
    /// Measures this one.
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        Self(kv)
    }
}

/// Counts one that waits, however the waiting ends.
struct Waits;

impl Waits {
    fn begin() -> Self {
        show(WAITING.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        Self
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        show(WAITING.fetch_sub(1, Ordering::Relaxed).saturating_sub(1));
    }
}

fn show(waiting: u64) {
    metrics::gauge!(METADATA_COMMITS_WAITING).set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
}

#[async_trait]
impl Kv for TimedKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.0.get(key).await
    }

    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        self.0.get_many(keys).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        self.0.range(range).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.0.snapshot().await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        let _waits = Waits::begin();
        let begun = Instant::now();
        let outcome = self.0.commit(commit).await;
        metrics::histogram!(METADATA_COMMIT_SECONDS).record(begun.elapsed());
        outcome
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        self.0.acquire(name, holder, ttl, claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.0.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.0.release(lease).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        self.0.lease(name).await
    }

    fn loss(&self) -> Option<String> {
        self.0.loss()
    }

    async fn forget_loss(&self) -> Result<()> {
        self.0.forget_loss().await
    }

    async fn faults(&self) -> Result<Vec<String>> {
        self.0.faults().await
    }
}
