//! Records that every request reads, kept as values: the bucket and a popular object.
//!
//! The row is read from the map as ever; only reading its bytes again is saved, which is a good part of what a small answer
//! costs. A value is used for the very bytes that it was read from and no others, so it cannot be an old one.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::Result;
use crate::record::{Record, decode};

/// Parts with a lock of their own.
const SHARDS: usize = 8;

/// Records in a part.
const SHARD_RECORDS: usize = 256;

/// Longer records are read each time: with these bounds, what is kept takes a few MiB.
const MAX_BYTES: usize = 2 << 10;

/// A record and the bytes that it was read from.
type Kept = (Bytes, Arc<dyn Any + Send + Sync>);

/// The kept records, by key.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

type Shard = HashMap<Vec<u8>, Kept>;

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Decoded {
    /// The record in these bytes, which are those of this key.
    ///
    /// # Errors
    /// As [`decode`].
    pub(super) fn read<R: Record + Send + Sync + 'static>(&self, key: &[u8], bytes: &Bytes) -> Result<Arc<R>> {
        let index = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % SHARDS;
        let Some(shard) = self.shards.get(index) else { return decode(bytes).map(Arc::new) };
        let kept = lock(shard).get(key).filter(|(from, _)| from == bytes).map(|(_, record)| record.clone());
        if let Some(record) = kept.and_then(|record| record.downcast().ok()) {
            return Ok(record);
        }
        let record = Arc::new(decode::<R>(bytes)?);
        if bytes.len() <= MAX_BYTES {
            let mut shard = lock(shard);
            if shard.len() >= SHARD_RECORDS && !shard.contains_key(key) {
                // What is popular is soon back.
                shard.clear();
            }
            shard.insert(key.to_owned(), (bytes.clone(), record.clone()));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Subject;
    use crate::record::encode;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Name(String);

    impl Record for Name {
        const SUBJECT: Subject = Subject::Record;
    }

    fn bytes(name: &str) -> Bytes {
        encode(&Name(name.to_owned())).unwrap()
    }

    #[test]
    fn a_record_is_that_of_its_bytes() {
        let decoded = Decoded::default();
        let first: Arc<Name> = decoded.read(b"k", &bytes("a")).unwrap();
        let again: Arc<Name> = decoded.read(b"k", &bytes("a")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(decoded.read::<Name>(b"k", &bytes("b")).unwrap().0, "b");
        assert_eq!(decoded.read::<Name>(b"k", &bytes("a")).unwrap().0, "a", "also when it comes back");
        let mut rotten = bytes("a").to_vec();
        *rotten.last_mut().unwrap() ^= 1;
        assert!(decoded.read::<Name>(b"k", &rotten.into()).is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let decoded = Decoded::default();
        for n in 0..10_000 {
            let name = format!("{n}");
            assert_eq!(decoded.read::<Name>(name.as_bytes(), &bytes(&name)).unwrap().0, name);
        }
        decoded.read::<Name>(b"long", &bytes(&"x".repeat(MAX_BYTES))).unwrap();
        let kept: usize = decoded.shards.iter().map(|shard| lock(shard).len()).sum();
        assert!(kept <= SHARDS * SHARD_RECORDS);
        assert!(decoded.shards.iter().all(|shard| !lock(shard).contains_key(&b"long"[..])));
    }
}
