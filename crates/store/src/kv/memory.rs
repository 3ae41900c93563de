//! The ordered map in memory: the definition of what every other engine must do.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Claim, Commit, Entry, FencingToken, Kv, Lease, Outcome, Precondition, Range, Snapshot, Version, Versioned, Write,
    add_counters, counters, expiry,
};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, Subject};

/// An ordered map that is gone with its last handle.
#[derive(Debug, Clone)]
pub struct MemoryKv {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    /// Shared with snapshots: a commit copies the map when one of them is still alive.
    rows: Arc<Rows>,
    leases: BTreeMap<String, Lease>,
    /// The last version or token given out.
    sequence: u64,
}

#[derive(Debug, Default, Clone)]
struct Rows(BTreeMap<Bytes, Versioned>);

impl MemoryKv {
    /// An empty map whose leases expire by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A commit cannot panic half-way: its preconditions are checked first and its writes are infallible.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn get(&self, key: &[u8]) -> Option<Versioned> {
        self.0.get(key).cloned()
    }

    fn range(&self, range: &Range) -> Vec<Entry> {
        if range.is_empty() {
            return Vec::new();
        }
        let to = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.0.range::<[u8], _>((Bound::Included(range.from.as_slice()), to));
        let entry = |(key, row): (&Bytes, &Versioned)| Entry {
            key: key.clone(),
            value: row.value.clone(),
            version: row.version,
        };
        if range.reverse {
            rows.rev().take(range.limit).map(entry).collect()
        } else {
            rows.take(range.limit).map(entry).collect()
        }
    }

    fn apply(&mut self, write: Write, version: Version) {
        match write {
            Write::Put(key, value) => {
                self.0.insert(key.into(), Versioned { value, version });
            }
            Write::Delete(key) => {
                self.0.remove(key.as_slice());
            }
            Write::DeletePrefix(prefix) => {
                let doomed: Vec<Bytes> =
                    self.range(&Range::prefix(prefix)).into_iter().map(|entry| entry.key).collect();
                for key in doomed {
                    self.0.remove(&key);
                }
            }
            Write::Add(key, deltas) => {
                let old = self.get(&key).map(|row| row.value).unwrap_or_default();
                let value = Bytes::from(add_counters(&old, &deltas));
                self.0.insert(key.into(), Versioned { value, version });
            }
        }
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn live_lease(&self, name: &str, now_ms: i64) -> Option<&Lease> {
        self.leases.get(name).filter(|lease| lease.expires_ms > now_ms)
    }

    fn holds(&self, precondition: &Precondition, now_ms: i64) -> bool {
        match precondition {
            Precondition::Absent(key) => !self.rows.0.contains_key(key.as_slice()),
            Precondition::Exists(key) => self.rows.0.contains_key(key.as_slice()),
            Precondition::VersionIs(key, version) => {
                self.rows.0.get(key.as_slice()).is_some_and(|row| row.version == *version)
            }
            Precondition::CounterAtLeast(key, least) => {
                let row = self.rows.0.get(key.as_slice());
                row.and_then(|row| counters(&row.value).next()).unwrap_or(0) >= *least
            }
            Precondition::PrefixEmpty(prefix) => self.rows.range(&Range::prefix(prefix.as_slice()).limit(1)).is_empty(),
            Precondition::LeaseHeld(name, token) => self.leases.get(name).is_some_and(|lease| lease.token == *token),
            Precondition::LeaseFree(name) => self.live_lease(name, now_ms).is_none(),
        }
    }
}

#[async_trait]
impl Kv for MemoryKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        Ok(self.state().rows.get(key))
    }

    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.rows.get(key)).collect())
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        Ok(self.state().rows.range(range))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(MemorySnapshot(Arc::clone(&self.state().rows))))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        let mut state = self.state();
        let now_ms = self.clock.now_ms();
        if let Some(index) = commit.preconditions.iter().position(|p| !state.holds(p, now_ms)) {
            return Ok(Outcome::Refused(index));
        }
        let version = Version::of_commit(state.next());
        let rows = Arc::make_mut(&mut state.rows);
        for write in commit.writes {
            rows.apply(write, version);
        }
        Ok(Outcome::Done(version))
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        let mut state = self.state();
        let now_ms = self.clock.now_ms();
        if let Some(held) = state.live_lease(name, now_ms)
            && claim != Claim::TakeOver(held.token)
        {
            return Err(Error::new(ErrorKind::Held, Subject::Lease, format!("{name} by {}", held.holder)));
        }
        let lease = Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            token: FencingToken(state.next()),
            expires_ms: expiry(now_ms, ttl),
        };
        state.leases.insert(name.to_owned(), lease.clone());
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let mut state = self.state();
        let expires_ms = expiry(self.clock.now_ms(), ttl);
        match state.leases.get_mut(&lease.name) {
            Some(held) if held.token == lease.token => {
                held.expires_ms = expires_ms;
                Ok(held.clone())
            }
            _ => Err(Error::conflict(Subject::Lease, format!("{} was taken over", lease.name))),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let mut state = self.state();
        if state.leases.get(&lease.name).is_some_and(|held| held.token == lease.token) {
            state.leases.remove(&lease.name);
        }
        Ok(())
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        Ok(self.state().live_lease(name, self.clock.now_ms()).cloned())
    }
}

struct MemorySnapshot(Arc<Rows>);

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        Ok(self.0.get(key))
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        Ok(self.0.range(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::conformance;

    #[tokio::test]
    async fn conforms() {
        let clock = ManualClock::new(1_000_000);
        conformance::kv::check(|| async { Box::new(MemoryKv::new(clock.clock())) as Box<dyn Kv> }, &clock).await;
    }
}
