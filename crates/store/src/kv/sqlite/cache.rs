//! Rows that are read again and again, kept beside the file.
//!
//! A reader of SQLite forgets its pages whenever somebody committed, so a row costs several system calls at every read of a
//! busy map, most of all the rows that every request reads: its bucket, a popular object. What is kept here is never
//! older than what the file has: the writer takes the rows of a transaction out before it commits, and nobody puts one
//! back that was read before the transaction was over.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kv::{Versioned, Write};

/// Parts with a lock of their own.
const SHARDS: usize = 16;

/// Bytes of keys and values in a part; 8 MiB in all.
const SHARD_BYTES: usize = 512 << 10;

/// Longer rows are read from the file.
const MAX_ROW_BYTES: usize = 32 << 10;

/// The kept rows.
#[derive(Debug, Default)]
pub(super) struct RowCache {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    rows: HashMap<Vec<u8>, Versioned>,
    bytes: usize,
    /// Grows whenever a transaction that concerns this part begins or is over.
    changes: u64,
    /// Keys in the transaction under way.
    changing: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Key(Vec<u8>),
    Prefix(Vec<u8>),
}

impl Change {
    fn concerns(&self, key: &[u8]) -> bool {
        match self {
            Change::Key(changing) => changing == key,
            Change::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

impl Shard {
    fn forget(&mut self, change: &Change) {
        match change {
            Change::Key(key) => {
                if let Some(row) = self.rows.remove(key) {
                    self.bytes = self.bytes.saturating_sub(size(key, &row));
                }
            }
            Change::Prefix(_) => {
                self.rows.retain(|key, _| !change.concerns(key));
                self.bytes = self.rows.iter().map(|(key, row)| size(key, row)).sum();
            }
        }
    }
}

fn size(key: &[u8], row: &Versioned) -> usize {
    key.len() + row.value.len() + size_of::<(Vec<u8>, Versioned)>()
}

/// When somebody looked for a row that was not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missed(u64);

impl RowCache {
    fn shard(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn index(&self, key: &[u8]) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    /// A row, or what [`Self::keep`] needs to know when it was read from the file.
    pub(super) fn get(&self, key: &[u8]) -> Result<Versioned, Missed> {
        let Some(shard) = self.shard(self.index(key)) else { return Err(Missed(0)) };
        shard.rows.get(key).cloned().ok_or(Missed(shard.changes))
    }

    /// Keeps a row that was read after it was missed, unless it may be another by now.
    pub(super) fn keep(&self, key: &[u8], row: &Versioned, missed: Missed) {
        let size = size(key, row);
        let Some(mut shard) = self.shard(self.index(key)) else { return };
        let is_certain = shard.changes == missed.0 && !shard.changing.iter().any(|change| change.concerns(key));
        if !is_certain || size > MAX_ROW_BYTES {
            return;
        }
        if shard.bytes + size > SHARD_BYTES {
            // What is popular is soon back.
            shard.rows.clear();
            shard.bytes = 0;
        }
        if shard.rows.insert(key.to_owned(), row.clone()).is_none() {
            shard.bytes += size;
        }
    }

    /// Forgets the rows that a transaction is about to change, until what is returned is dropped.
    pub(super) fn change<'a>(&self, writes: impl Iterator<Item = &'a Write>) -> Changing<'_> {
        for write in writes {
            match write {
                Write::Put(key, _) | Write::Delete(key) | Write::Add(key, _) => {
                    self.begin(self.index(key), Change::Key(key.clone()));
                }
                Write::DeletePrefix(prefix) => {
                    (0..SHARDS).for_each(|index| self.begin(index, Change::Prefix(prefix.clone())));
                }
            }
        }
        Changing(self)
    }

    fn begin(&self, index: usize, change: Change) {
        if let Some(mut shard) = self.shard(index) {
            shard.changes += 1;
            shard.forget(&change);
            if !shard.changing.contains(&change) {
                shard.changing.push(change);
            }
        }
    }
}

/// A transaction under way. There is one at a time, because there is one writer.
pub(super) struct Changing<'a>(&'a RowCache);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        for index in 0..SHARDS {
            if let Some(mut shard) = self.0.shard(index)
                && !shard.changing.is_empty()
            {
                // Who missed a row meanwhile may have read it before the commit.
                shard.changes += 1;
                shard.changing.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::kv::Version;

    fn row(version: u64) -> Versioned {
        Versioned { value: Bytes::from(vec![0; 100]), version: Version::of_commit(version) }
    }

    fn found(cache: &RowCache, key: &[u8]) -> Option<u64> {
        cache.get(key).ok().map(|row| row.version.commit().unwrap())
    }

    #[test]
    fn nothing_older_than_the_last_transaction_is_kept() {
        let cache = RowCache::default();
        let before = cache.get(b"a").unwrap_err();
        cache.keep(b"a", &row(1), before);
        assert_eq!(found(&cache, b"a"), Some(1));

        for write in [Write::Put(b"a".to_vec(), Bytes::new()), Write::DeletePrefix(Vec::new())] {
            let missed_before = cache.get(b"b").unwrap_err();
            let changing = cache.change([&write].into_iter());
            assert_eq!(found(&cache, b"a"), None);
            let during = cache.get(b"a").unwrap_err();
            cache.keep(b"a", &row(2), during);
            assert_eq!(found(&cache, b"a"), None, "read before the commit, perhaps");
            drop(changing);
            cache.keep(b"a", &row(2), during);
            cache.keep(b"a", &row(2), before);
            assert_eq!(found(&cache, b"a"), None);
            if matches!(write, Write::DeletePrefix(_)) {
                cache.keep(b"b", &row(2), missed_before);
                assert_eq!(found(&cache, b"b"), None);
            }
            let after = cache.get(b"a").unwrap_err();
            cache.keep(b"a", &row(3), after);
            assert_eq!(found(&cache, b"a"), Some(3));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = RowCache::default();
        let large = Versioned { value: Bytes::from(vec![0; MAX_ROW_BYTES]), version: Version::of_commit(1) };
        cache.keep(b"large", &large, cache.get(b"large").unwrap_err());
        assert_eq!(found(&cache, b"large"), None);
        let row = Versioned { value: Bytes::from(vec![0; 10_000]), version: Version::of_commit(1) };
        for n in 0..4000_u32 {
            let key = n.to_be_bytes();
            cache.keep(&key, &row, cache.get(&key).unwrap_err());
            assert_eq!(found(&cache, &key), Some(1));
        }
        for index in 0..SHARDS {
            let shard = cache.shard(index).unwrap();
            let counted: usize = shard.rows.iter().map(|(key, row)| size(key, row)).sum();
            assert!(counted <= SHARD_BYTES && counted == shard.bytes);
        }
    }
}
