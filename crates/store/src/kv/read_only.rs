//! A map in which nothing changes, in front of one that could.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Claim, Commit, Entry, Groups, Kv, Lease, Outcome, Range, Snapshot, Versioned};
use crate::error::{Error, Result, Subject};

/// Reads what is there and refuses every commit. Leases are no rows, and are given as before.
pub struct ReadOnlyKv(Arc<dyn Kv>);

impl ReadOnlyKv {
    /// This map, as it is.
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self(kv)
    }
}

fn refused<T>() -> Result<T> {
    Err(Error::unavailable(Subject::ReadOnly, "this server was started read-only"))
}

#[async_trait]
impl Kv for ReadOnlyKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.0.get(key).await
    }

    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        self.0.get_many(keys).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        self.0.range(range).await
    }

    async fn skipping_range(&self, range: &Range, groups: &Groups) -> Result<Vec<Entry>> {
        self.0.skipping_range(range, groups).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.0.snapshot().await
    }

    async fn commit(&self, _: Commit) -> Result<Outcome> {
        refused()
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
        refused()
    }

    async fn faults(&self) -> Result<Vec<String>> {
        self.0.faults().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Clock;
    use crate::kv::{MemoryKv, Write};

    #[tokio::test]
    async fn it_reads_and_refuses() {
        let kv = Arc::new(MemoryKv::new(Clock::system()));
        let put = |key: &[u8]| Commit::new().write(Write::Put(key.to_vec(), Bytes::from_static(b"v")));
        kv.commit(put(b"a")).await.unwrap();
        let still = ReadOnlyKv::new(kv.clone());
        let error = still.commit(put(b"b")).await.unwrap_err();
        assert_eq!((error.kind, error.subject), (crate::ErrorKind::Unavailable, Subject::ReadOnly));
        assert_eq!(still.get(b"a").await.unwrap().unwrap().value, "v");
        assert_eq!(kv.get(b"b").await.unwrap(), None);
    }
}
