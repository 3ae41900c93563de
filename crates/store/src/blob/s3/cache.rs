//! Which finished blobs lie on this machine, and which of them goes first when there is no more room.

use std::collections::{BTreeMap, HashMap};

use crate::blob::BlobId;

/// The blobs of a cache, by when they were last read.
#[derive(Debug)]
pub(super) struct Index {
    blobs: HashMap<BlobId, Entry>,
    by_use: BTreeMap<u64, BlobId>,
    uses: u64,
    bytes: u64,
    max_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    len: u64,
    used: u64,
}

impl Index {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { blobs: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0, max_bytes }
    }

    /// Whether a blob is there; it was used then.
    pub(super) fn has(&mut self, id: BlobId) -> bool {
        let Some(entry) = self.blobs.get_mut(&id) else { return false };
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, id);
        true
    }

    /// Adds a blob, and names those that have to go for it.
    pub(super) fn add(&mut self, id: BlobId, len: u64) -> Vec<BlobId> {
        self.remove(id);
        self.uses += 1;
        self.blobs.insert(id, Entry { len, used: self.uses });
        self.by_use.insert(self.uses, id);
        self.bytes = self.bytes.saturating_add(len);
        self.shrink_to(self.max_bytes)
    }

    /// Names those that have to go, so that so many bytes less are kept.
    pub(super) fn shrink_by(&mut self, bytes: u64) -> Vec<BlobId> {
        self.shrink_to(self.bytes.saturating_sub(bytes))
    }

    fn shrink_to(&mut self, bytes: u64) -> Vec<BlobId> {
        let mut gone = Vec::new();
        while self.bytes > bytes
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            let oldest = *oldest;
            self.remove(oldest);
            gone.push(oldest);
        }
        gone
    }

    pub(super) fn remove(&mut self, id: BlobId) {
        if let Some(entry) = self.blobs.remove(&id) {
            self.by_use.remove(&entry.used);
            self.bytes = self.bytes.saturating_sub(entry.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_for_longest_goes_first() {
        let id = |n: u8| BlobId::from_bytes([n; 16]);
        let mut index = Index::new(100);
        assert_eq!(index.add(id(1), 40), []);
        assert_eq!(index.add(id(2), 40), []);
        assert!(index.has(id(1)));
        assert_eq!(index.add(id(3), 40), [id(2)]);
        assert!(!index.has(id(2)));
        index.remove(id(1));
        assert_eq!(index.add(id(4), 60), []);
        assert_eq!(index.add(id(5), 200), [id(3), id(4), id(5)], "larger than all");
        assert_eq!((index.bytes, index.by_use.len(), index.blobs.len()), (0, 0, 0));
        assert_eq!([6, 7, 8].map(|n| index.add(id(n), 30)), [[], [], []]);
        assert_eq!(index.shrink_by(0), []);
        assert_eq!(index.shrink_by(40), [id(6), id(7)]);
        assert_eq!(index.shrink_by(40), [id(8)], "no more than there is");
    }
}
