//! The map with a stopwatch: how long commits take until they are durable, and how many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use metrics::{Gauge, Histogram};
use store::Result;
use store::kv::{Claim, Commit, Entry, Groups, Kv, Lease, Outcome, Range, Snapshot, Versioned};

use super::{METADATA_COMMIT_SECONDS, METADATA_COMMITS_WAITING};

/// Commits that wait for the writer or the disk, of all maps of the process.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// A map whose commits are measured.
pub(crate) struct TimedKv {
    kv: Arc<dyn Kv>,
    seconds: Histogram,
    waiting: Gauge,
}

impl TimedKv {
    /// Measures this one.
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        Self {
            kv,
            seconds: metrics::histogram!(METADATA_COMMIT_SECONDS),
            waiting: metrics::gauge!(METADATA_COMMITS_WAITING),
        }
    }
}

/// Counts one that waits, however the waiting ends.
struct Waits<'a>(&'a Gauge);

impl<'a> Waits<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        let waits = Self(gauge);
        waits.show(WAITING.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        waits
    }

    fn show(&self, waiting: u64) {
        self.0.set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.show(WAITING.fetch_sub(1, Ordering::Relaxed).saturating_sub(1));
    }
}

#[async_trait]
impl Kv for TimedKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.kv.get(key).await
    }

    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        self.kv.get_many(keys).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        self.kv.range(range).await
    }

    async fn skipping_range(&self, range: &Range, groups: &Groups) -> Result<Vec<Entry>> {
        self.kv.skipping_range(range, groups).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.kv.snapshot().await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        let _waits = Waits::begin(&self.waiting);
        let begun = Instant::now();
        let outcome = self.kv.commit(commit).await;
        self.seconds.record(begun.elapsed());
        outcome
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        self.kv.acquire(name, holder, ttl, claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.kv.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.kv.release(lease).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        self.kv.lease(name).await
    }

    fn loss(&self) -> Option<String> {
        self.kv.loss()
    }

    async fn forget_loss(&self) -> Result<()> {
        self.kv.forget_loss().await
    }

    async fn faults(&self) -> Result<Vec<String>> {
        self.kv.faults().await
    }
}
