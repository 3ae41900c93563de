//! An ordered map of bytes with snapshots, conditional commits and leases: all that an engine must provide.
//!
//! Nothing here assumes that one process owns the map. Every commit is atomic, and commits are serialisable: each
//! behaves as if it ran alone, preconditions included. An engine that has only optimistic transactions retries inside.

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod read_only;
mod skipping;
pub mod sqlite;
mod version;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

pub use memory::MemoryKv;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresAddress, PostgresKv, PostgresOptions};
pub use read_only::ReadOnlyKv;
pub use skipping::Groups;
pub use sqlite::{BeforeFlush, SqliteKv, SqliteOptions, copy_map};
pub use version::Version;

/// A value and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Bytes,
    /// The commit that wrote them.
    pub version: Version,
}

/// A row of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The bytes.
    pub value: Bytes,
    /// The commit that wrote them.
    pub version: Version,
}

/// A run of keys in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first key that may be in the range.
    pub from: Vec<u8>,
    /// The first key beyond the range; `None` is the end of the map.
    pub to: Option<Vec<u8>>,
    /// The most rows to return.
    pub limit: usize,
    /// Whether the rows come from the end, in falling order.
    pub reverse: bool,
}

impl Range {
    /// All keys that start with `prefix`, rising.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let from = prefix.into();
        let to = after_prefix(&from);
        Self { from, to, limit: usize::MAX, reverse: false }
    }

    /// At most `limit` rows.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// From the end.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.limit == 0 || self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// The first key after all that start with `prefix`; `None` when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// What must hold at the moment of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key is not there.
    Absent(Vec<u8>),
    /// The key is there.
    Exists(Vec<u8>),
    /// The key is there and was last written by this commit.
    VersionIs(Vec<u8>, Version),
    /// The first of the counters kept under the key is at least this; an absent one is 0.
    CounterAtLeast(Vec<u8>, i64),
    /// No key starts with this prefix.
    PrefixEmpty(Vec<u8>),
    /// The lease was last given out with this token. It need not be unexpired: expiry lets others take it, and taking
    /// it changes the token.
    LeaseHeld(String, FencingToken),
    /// Nobody holds the lease, or it has expired.
    LeaseFree(String),
}

/// One change of a commit. Changes apply in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the value of a key.
    Put(Vec<u8>, Bytes),
    /// Removes a key; an absent key is no error.
    Delete(Vec<u8>),
    /// Removes every key that starts with a prefix.
    DeletePrefix(Vec<u8>),
    /// Adds to the counters kept under a key (see [`counters`]). Additions commute: unlike a read and a put they never
    /// conflict.
    Add(Vec<u8>, Vec<i64>),
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// Checked in order, before any change.
    pub preconditions: Vec<Precondition>,
    /// Applied in order.
    pub writes: Vec<Write>,
}

impl Commit {
    /// A commit that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a precondition.
    #[must_use]
    pub fn require(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// Adds a change.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every change was made, durably unless the engine was opened to be lax; the keys written have this version.
    Done(Version),
    /// Nothing was changed: the precondition with this index, the first of those, does not hold.
    Refused(usize),
}

/// A number given out with a lease, larger than every number given out before by this map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

/// A right that one holder has for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is about.
    pub name: String,
    /// Who has it; free text.
    pub holder: String,
    /// Distinguishes this giving out from every other.
    pub token: FencingToken,
    /// When others may take it, Unix milliseconds by the engine's clock.
    pub expires_ms: i64,
}

/// How a lease may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Only if nobody holds it or it has expired.
    IfFree,
    /// Also from the one who holds it with this token. If it is held with another token by now, it is not taken.
    TakeOver(FencingToken),
}

/// An engine. Methods fail with `Unavailable` when it does not answer and `Corrupt` when it answers nonsense; other
/// kinds are named at the method.
#[async_trait]
pub trait Kv: Send + Sync {
    /// The value of a key as of the last commit.
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>>;

    /// The values of several keys, in their order, all as of one commit.
    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        let snapshot = self.snapshot().await?;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(snapshot.get(key).await?);
        }
        Ok(found)
    }

    /// The rows of a range, all as of one commit.
    async fn range(&self, range: &Range) -> Result<Vec<Entry>>;

    /// The rows of a rising range that are in no group, and the first row of each group, all as of one commit. The limit counts
    /// these rows. An engine that is asked over a network does it in one round trip; for others a seek per group is cheap.
    async fn skipping_range(&self, range: &Range, groups: &Groups) -> Result<Vec<Entry>> {
        let snapshot = self.snapshot().await?;
        skipping::by_seeks(snapshot.as_ref(), range, groups).await
    }

    /// The map as it is now, unmoved by later commits. To be dropped soon: an engine keeps old rows for it.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>>;

    /// Checks the preconditions and makes the changes, as one.
    async fn commit(&self, commit: Commit) -> Result<Outcome>;

    /// Takes a lease for `ttl`.
    ///
    /// # Errors
    /// `Held` when `claim` does not allow to take it from its present holder.
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease>;

    /// Keeps a lease until `ttl` from now, with its token.
    ///
    /// # Errors
    /// `Conflict` when it was released or given to another. An expired lease that nobody took is renewed.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease>;

    /// Gives a lease back; nothing happens when it is no longer ours.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Who has a lease now; `None` when nobody has, or it has expired.
    async fn lease(&self, name: &str) -> Result<Option<Lease>>;

    /// Whether the engine lost commits that it had acknowledged as durable, in words, until [`Self::forget_loss`]. An engine
    /// that looks after itself has nothing to say.
    fn loss(&self) -> Option<String> {
        None
    }

    /// Forgets what was lost: somebody has heard of it.
    async fn forget_loss(&self) -> Result<()> {
        Ok(())
    }

    /// Reads everything the engine keeps and says what is wrong with it, in words; slow. An engine that looks after
    /// itself has nothing to say.
    async fn faults(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// The map as it was at one commit.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>>;

    /// The rows of a range.
    async fn range(&self, range: &Range) -> Result<Vec<Entry>>;
}

/// Reads the counters that [`Write::Add`] keeps: big-endian 64-bit integers in a row. Missing ones are 0, so a counter
/// can be added to the end of a list at any time.
pub fn counters(value: &[u8]) -> impl Iterator<Item = i64> + '_ {
    value.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        i64::from_be_bytes(word)
    })
}

/// The value of counters after an addition. Sums wrap, so that an addition and its inverse always cancel.
pub fn add_counters(value: &[u8], deltas: &[i64]) -> Vec<u8> {
    let mut sums: Vec<i64> = counters(value).collect();
    add(&mut sums, deltas);
    counters_value(&sums)
}

/// The same of counters that were read.
pub(crate) fn add(sums: &mut Vec<i64>, deltas: &[i64]) {
    sums.resize(sums.len().max(deltas.len()), 0);
    for (sum, delta) in sums.iter_mut().zip(deltas) {
        *sum = sum.wrapping_add(*delta);
    }
}

/// The value of these counters.
pub(crate) fn counters_value(sums: &[i64]) -> Vec<u8> {
    sums.iter().flat_map(|sum| sum.to_be_bytes()).collect()
}

/// When a lease taken or renewed now runs out.
pub(crate) fn expiry(now_ms: i64, ttl: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        for (prefix, end) in [
            (&b"a"[..], Some(&b"b"[..])),
            (b"a\xff", Some(b"b")),
            (b"\xff\xff", None),
            (b"", None),
            (b"a\0", Some(b"a\x01")),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn counters_grow_and_cancel() {
        let one = add_counters(b"", &[1, -2]);
        assert_eq!(counters(&one).collect::<Vec<_>>(), [1, -2]);
        let two = add_counters(&one, &[i64::MAX, 0, 7]);
        assert_eq!(counters(&two).collect::<Vec<_>>(), [i64::MIN, -2, 7]);
        let three = add_counters(&two, &[i64::MIN + 1]);
        assert_eq!(counters(&three).collect::<Vec<_>>(), [1, -2, 7]);
    }
}
