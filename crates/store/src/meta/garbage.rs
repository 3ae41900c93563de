//! Blobs that lost their name. They are noted in the commit that takes the name away, and deleted when nobody can
//! still be about to open them.

use serde::{Deserialize, Serialize};

use super::{Meta, key};
use crate::blob::{BlobId, BlobStore};
use crate::error::{Result, Subject};
use crate::kv::{Commit, Range, Write};
use crate::record::{Record, decode, encode};

/// How long a blob that is still being read is left alone at least, so that nobody looks at it all the time.
const MIN_RESPITE_MS: i64 = 1000;

/// Blobs that lost their name by one commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GarbageRecord {
    pub(crate) blobs: Vec<BlobId>,
}

impl Record for GarbageRecord {
    const SUBJECT: Subject = Subject::Blob;
}

/// What a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Blobs deleted.
    pub blobs: usize,
    /// Whether more are due.
    pub has_more: bool,
    /// Whether nothing was deleted because somebody copies the store, a backup for example.
    pub is_held: bool,
}

impl Meta {
    /// Deletes the blobs whose grace has passed at `now_ms`, of `limit` commits at most; those that are pinned get
    /// another grace. Nothing is deleted while somebody copies the store. A crash in between repeats the deletion, which does no
    /// harm.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`; what was deleted until then stays deleted.
    pub async fn collect_garbage(&self, blobs: &dyn BlobStore, now_ms: i64, limit: usize) -> Result<Collected> {
        let range = Range {
            from: key::garbage(0, None),
            to: Some(key::garbage(now_ms.saturating_add(1), None)),
            limit,
            reverse: false,
        };
        let Some(_collecting) = blobs.collecting()? else {
            return Ok(Collected { is_held: true, ..Collected::default() });
        };
        let rows = self.kv().range(&range).await?;
        let mut collected = Collected { blobs: 0, has_more: rows.len() == limit, is_held: false };
        let mut commit = Commit::new();
        let mut pinned = Vec::new();
        for row in &rows {
            for blob in decode::<GarbageRecord>(&row.value)?.blobs {
                if self.pins.is_pinned(blob) {
                    pinned.push(blob);
                    continue;
                }
                blobs.delete(blob).await?;
                collected.blobs += 1;
            }
            commit = commit.write(Write::Delete(row.key.to_vec()));
        }
        if let Some(first) = pinned.first() {
            let due_ms = now_ms.saturating_add(self.garbage_grace_ms.max(MIN_RESPITE_MS));
            commit =
                commit.write(Write::Put(key::garbage(due_ms, Some(*first)), encode(&GarbageRecord { blobs: pinned })?));
        }
        if !rows.is_empty() {
            self.kv().commit(commit).await?;
        }
        Ok(collected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{fixture, key, object};
    use crate::meta::{Body, PutGuard};

    #[tokio::test]
    async fn a_blob_waits_out_its_grace() {
        let f = fixture().await;
        let meta = f.meta.clone().with_garbage_grace_ms(500);
        let extent = f.extent(5).await;
        meta.put_object(&f.bucket, &key("a"), &object(Body::Blobs(vec![extent])), PutGuard::Any).await.unwrap();
        meta.delete_object(&f.bucket, &key("a")).await.unwrap();
        let collect = async |now_ms| meta.collect_garbage(&f.blobs, now_ms, 10).await.unwrap().blobs;
        assert_eq!(collect(1_000_499).await, 0);
        assert_eq!(f.blobs.open(extent.blob).await.unwrap().len(), 5);
        assert_eq!(collect(1_000_500).await, 1);
        assert!(f.blobs.open(extent.blob).await.is_err());
        assert_eq!(collect(i64::MAX).await, 0);
    }

    #[tokio::test]
    async fn a_blob_that_is_still_to_be_read_outlives_its_grace() {
        let f = fixture().await;
        let meta = f.meta.clone().with_garbage_grace_ms(0);
        let (read, unread) = (f.extent(5).await, f.extent(6).await);
        meta.put_object(&f.bucket, &key("a"), &object(Body::Blobs(vec![read, unread])), PutGuard::Any).await.unwrap();
        let pin = meta.pin([read.blob]);
        meta.delete_object(&f.bucket, &key("a")).await.unwrap();
        let collect = async |now_ms| meta.collect_garbage(&f.blobs, now_ms, 10).await.unwrap();
        assert_eq!(collect(1_000_000).await, Collected { blobs: 1, ..Collected::default() });
        assert!(f.blobs.open(unread.blob).await.is_err());
        assert_eq!(f.blobs.open(read.blob).await.unwrap().len(), 5);
        assert_eq!(collect(1_000_000 + MIN_RESPITE_MS).await.blobs, 0);
        drop(pin);
        assert_eq!(collect(1_000_000 + 2 * MIN_RESPITE_MS).await.blobs, 1);
        assert_eq!(f.check_clean().await, 0);
    }
}
