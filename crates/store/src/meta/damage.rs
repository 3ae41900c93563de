//! Damaged blobs by their names: whose bytes they are, and the marks on segments that cannot be read whole any more.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use model::name::{BucketName, ObjectKey};

use super::key::{self, Table};
use super::segment::SegmentRow;
use super::{ATTEMPTS, BodyRow, Meta, StoredBody, StoredObject, gave_up};
use crate::blob::BlobId;
use crate::error::{ErrorKind, Result, Subject};
use crate::kv::{Commit, Entry, Outcome, Precondition, Range, Write};
use crate::record::{decode, encode};

/// Rows read at once.
const CHUNK: usize = 1024;
/// Bodies verified at once; each has 16 KiB at most.
const BODIES: usize = 64;

/// An object that names one of the blobs that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// The blob.
    pub blob: BlobId,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// A page of bodies that were verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodiesVerified {
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong with those that are damaged, with their names.
    pub damaged: Vec<String>,
    /// Where to go on; `None` after the last page.
    pub next: Option<Bytes>,
}

impl Meta {
    /// The objects whose bytes lie in these blobs, in order of name. Reads every object of every bucket: for the rare case
    /// that a blob is damaged. Rows that cannot be read are left out.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn objects_in(&self, blobs: &HashSet<BlobId>) -> Result<Vec<Named>> {
        let mut found = HashSet::new();
        for table in [Table::Object, Table::Body] {
            let mut range = Range::prefix(table.all()).limit(CHUNK);
            loop {
                let rows = self.kv().range(&range).await?;
                for row in &rows {
                    found.extend(named_blobs(table, row).into_iter().filter(|blob| blobs.contains(blob)).filter_map(
                        |blob| {
                            let (bucket, key) = key::two(row).ok()?;
                            let (bucket, key) = (key::bucket_name(bucket, row).ok()?, key::object_key(key, row).ok()?);
                            Some((bucket, key, blob))
                        },
                    ));
                }
                match rows.last() {
                    Some(last) if rows.len() == CHUNK => range.from = [last.key.as_ref(), &[0]].concat(),
                    _ => break,
                }
            }
        }
        let mut found: Vec<_> = found.into_iter().map(|(bucket, key, blob)| Named { bucket, key, blob }).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Marks an object as damaged in the index of segments, if it is a segment; whether it is one. Playlists of what was
    /// recorded leave it out from then on. Its object stays, and what can be read of it.
    ///
    /// # Errors
    /// `Unavailable`; `Conflict` when others change it all the time.
    pub async fn mark_segment_damaged(&self, bucket: &BucketName, object: &ObjectKey) -> Result<bool> {
        let Some((channel, number_ms)) = key::segment_named(object) else { return Ok(false) };
        let row = key::segment(bucket, &channel, number_ms);
        for _ in 0..ATTEMPTS {
            let Some(seen) = self.record::<SegmentRow>(&row).await? else { return Ok(false) };
            let mut segment = seen.value;
            if segment.set_damaged() {
                return Ok(true);
            }
            let value = encode(&segment)?;
            let commit = Commit::new()
                .require(Precondition::VersionIs(row.clone(), seen.version))
                .write(Write::Put(row.clone(), value));
            if let Outcome::Done(_) = self.kv().commit(commit).await? {
                return Ok(true);
            }
        }
        Err(gave_up(Subject::Object, object))
    }

    /// Reads a page of the bodies that lie beside their metadata, each of which has a checksum since 0.2.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn verify_bodies(&self, from: Option<Bytes>) -> Result<BodiesVerified> {
        let mut range = Range::prefix(Table::Body.all()).limit(BODIES);
        if let Some(from) = from {
            range.from = from.to_vec();
        }
        let rows = self.kv().range(&range).await?;
        let mut verified = BodiesVerified::default();
        for row in &rows {
            verified.bytes += row.value.len() as u64;
            match decode::<BodyRow>(&row.value) {
                Err(error) if error.kind == ErrorKind::Corrupt => {
                    verified.damaged.push(error.about(row.key.escape_ascii()).detail);
                }
                read => read.map(|_| ())?,
            }
        }
        if let Some(last) = rows.last().filter(|_| rows.len() == BODIES) {
            verified.next = Some([last.key.as_ref(), &[0]].concat().into());
        }
        Ok(verified)
    }
}

/// The blobs in a row of one of the tables that have objects' extents.
fn named_blobs(table: Table, row: &Entry) -> Vec<BlobId> {
    if table == Table::Body {
        return decode::<BodyRow>(&row.value).map(BodyRow::blobs).unwrap_or_default();
    }
    match decode::<StoredObject>(&row.value).map(|object| object.body) {
        Ok(StoredBody::Blobs(extents)) => extents.iter().map(|extent| extent.blob).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{fixture, inline, key as object_key, object};
    use crate::meta::{Body, Extent, PutGuard};

    #[tokio::test]
    async fn objects_are_found_by_their_blobs() {
        let f = fixture().await;
        let (one, two) = (f.extent(3).await, f.extent(4).await);
        let many: Vec<Extent> = vec![two; 5];
        for (name, body) in [("a", vec![one]), ("b", vec![two]), ("many", many), ("both", vec![one, two])] {
            let record = object(Body::Blobs(body));
            f.meta.put_object(&f.bucket, &object_key(name), &record, PutGuard::Any).await.unwrap();
        }
        f.meta.put_object(&f.bucket, &object_key("c"), &inline("x"), PutGuard::Any).await.unwrap();
        let found = f.meta.objects_in(&HashSet::from([two.blob])).await.unwrap();
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["bucket/b", "bucket/both", "bucket/many"]);
        assert_eq!(f.meta.mark_segment_damaged(&f.bucket, &object_key("a")).await, Ok(false));
    }

    #[tokio::test]
    async fn a_body_that_rots_is_never_read_wrong() {
        let f = fixture().await;
        for n in 0..BODIES + 1 {
            f.meta
                .put_object(&f.bucket, &object_key(&format!("{n:03}")), &inline("body"), PutGuard::Any)
                .await
                .unwrap();
        }
        let row = key::body(&f.bucket, &object_key("064"));
        let stored = f.meta.kv().get(&row).await.unwrap().unwrap();
        let object_row = key::object(&f.bucket, &object_key("064"));
        let object = f.meta.kv().get(&object_row).await.unwrap().unwrap().value;
        let mut rotten = stored.value.to_vec();
        *rotten.last_mut().unwrap() ^= 4;
        // Both by one commit, as they belong together.
        let commit = Commit::new().write(Write::Put(row, rotten.into())).write(Write::Put(object_row, object));
        f.meta.kv().commit(commit).await.unwrap();
        let error = f.meta.object(&f.bucket, &object_key("064")).await.unwrap_err();
        assert_eq!((error.kind, error.subject), (ErrorKind::Corrupt, Subject::Object));
        assert!(error.detail.starts_with("Dbucket\\x00064: its bytes"), "{error}");
        let first = f.meta.verify_bodies(None).await.unwrap();
        assert_eq!((first.damaged.len(), first.next.is_some()), (0, true));
        let second = f.meta.verify_bodies(first.next).await.unwrap();
        assert_eq!((second.damaged.len(), second.next), (1, None));
    }
}
