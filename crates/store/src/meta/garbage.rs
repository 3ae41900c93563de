//! Blobs that lost their name. They are noted in the commit that takes the name away, and deleted when nobody can
//! still be about to open them.

use serde::{Deserialize, Serialize};

use super::{Meta, key};
use crate::blob::{BlobId, BlobStore};
use crate::error::{Result, Subject};
use crate::kv::{Commit, Range, Write};
use crate::record::{Record, decode};

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
}

impl Meta {
    /// Deletes the blobs whose grace has passed at `now_ms`, of `limit` commits at most. A crash in between repeats
    /// the deletion, which does no harm.
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
        let rows = self.kv().range(&range).await?;
        let mut collected = Collected { blobs: 0, has_more: rows.len() == limit };
        let mut commit = Commit::new();
        for row in &rows {
            for blob in decode::<GarbageRecord>(&row.value)?.blobs {
                blobs.delete(blob).await?;
                collected.blobs += 1;
            }
            commit = commit.write(Write::Delete(row.key.to_vec()));
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
    use crate::meta::fixture::{fixture, key, object};
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
}
