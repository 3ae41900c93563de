//! Mends what a check found, where nothing has to be guessed: what is counted is counted again, names that lead nowhere are
//! taken away, and segments that cannot be read whole are marked. Bytes are never deleted here, and what cannot be read stays
//! for whoever has a backup.

use std::collections::HashSet;
use std::fmt;

use super::finding::Report;
use super::walk::show;
use crate::blob::BlobId;
use crate::error::{Error, Result};
use crate::kv::{Commit, Entry, Outcome, Precondition, Version, Write, add_counters};
use crate::meta::Meta;
use crate::meta::key::{self, Table};

/// One thing that can be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mending {
    /// The row as it was seen, with a blob that is not there, or too short.
    NameOfNothing(Vec<u8>, Version),
    /// A blob whose bytes are damaged.
    Damaged(BlobId),
    /// A blob has so many names beyond its first.
    NameCount(BlobId, u64),
    /// Counters are these.
    Counters(Vec<u8>, Vec<i64>),
    /// Somebody hears now of commits that were lost.
    Loss,
    /// A row of the index of segments.
    SegmentWithoutObject(Vec<u8>, Version),
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repaired {
    /// An object or a part of an upload whose bytes are lost has no name any more.
    NameRemoved(String),
    /// A segment is left out of playlists from now on.
    SegmentMarked(String),
    /// An object has damaged bytes and stays as it is: what can be read of it can be read.
    DamagedObjectKept(String),
    /// Something was counted again.
    Counted(String),
    /// Lost commits will not be reported again.
    LossAcknowledged,
    /// An entry of the index of segments that had no object is gone.
    IndexEntryRemoved(String),
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repaired::NameRemoved(name) => write!(f, "{name}: its bytes are lost, so the name was removed"),
            Repaired::SegmentMarked(name) => {
                write!(f, "{name}: marked as damaged, so playlists on demand leave it out")
            }
            Repaired::DamagedObjectKept(name) => {
                write!(f, "{name}: damaged; kept, because parts of it can be read; put it again from your own copy")
            }
            Repaired::LossAcknowledged => {
                write!(f, "what the metadata file has lost cannot be brought back; it will not be reported again")
            }
            Repaired::Counted(name) => write!(f, "{name}: counted again"),
            Repaired::IndexEntryRemoved(name) => write!(f, "{name}: removed from the index of segments"),
        }
    }
}

/// Mends what a check of this map found and nobody changed since; what was done, in order. Nobody else may be at the map.
///
/// # Errors
/// `Unavailable`; what was mended until then stays so.
pub async fn repair(meta: &Meta, report: &Report) -> Result<Vec<Repaired>> {
    let mut done = Vec::new();
    let mut damaged = HashSet::new();
    let mut has_removed = false;
    for mending in &report.mendings {
        match mending {
            Mending::NameOfNothing(row, version) => {
                if remove_name(meta, row, *version).await? {
                    has_removed = true;
                    done.push(Repaired::NameRemoved(show(row)));
                }
            }
            Mending::Damaged(blob) => {
                damaged.insert(*blob);
            }
            Mending::SegmentWithoutObject(row, version) => {
                let commit = Commit::new()
                    .require(Precondition::VersionIs(row.clone(), *version))
                    .write(Write::Delete(row.clone()));
                if let Outcome::Done(_) = meta.kv().commit(commit).await? {
                    done.push(Repaired::IndexEntryRemoved(show(row)));
                }
            }
            Mending::Loss => {
                meta.kv().forget_loss().await?;
                done.push(Repaired::LossAcknowledged);
            }
            Mending::NameCount(..) | Mending::Counters(..) => {}
        }
    }
    if !damaged.is_empty() {
        for object in meta.objects_in(&damaged).await? {
            done.push(match meta.mark_segment_damaged(&object.bucket, &object.key).await? {
                true => Repaired::SegmentMarked(object.to_string()),
                false => Repaired::DamagedObjectKept(object.to_string()),
            });
        }
    }
    // Removing names counts too, and from what was counted wrongly: another check finds what is left.
    if !has_removed {
        count_again(meta, report, &mut done).await?;
    }
    done.sort();
    done.dedup();
    Ok(done)
}

async fn count_again(meta: &Meta, report: &Report, done: &mut Vec<Repaired>) -> Result<()> {
    for mending in &report.mendings {
        let (row, counters, name) = match mending {
            Mending::Counters(row, counters) => (row.clone(), counters.clone(), show(row)),
            Mending::NameCount(blob, further) => {
                let further = i64::try_from(*further).unwrap_or(i64::MAX);
                (key::sharing(*blob), vec![further], format!("names of blob {blob}"))
            }
            _ => continue,
        };
        let write = match mending {
            Mending::NameCount(_, 0) => Write::Delete(row),
            _ => Write::Put(row, add_counters(b"", &counters).into()),
        };
        meta.kv().commit(Commit::new().write(write)).await?;
        done.push(Repaired::Counted(name));
    }
    Ok(())
}

/// Takes the name of an object or of a part away that was last written by this commit; whether it was there. What a push
/// left is repaired by the server when it starts.
async fn remove_name(meta: &Meta, row: &[u8], version: Version) -> Result<bool> {
    let entry = Entry { key: row.to_vec().into(), value: Default::default(), version };
    let is_of = |table: Table| row.first() == table.all().first();
    if !is_of(Table::Object) && !is_of(Table::Body) && !is_of(Table::Part) {
        return Ok(false);
    }
    if meta.kv().get(row).await?.is_none_or(|now| now.version != version) {
        return Ok(false);
    }
    let (bucket, rest) = key::two(&entry)?;
    let bucket = key::bucket_name(bucket, &entry)?;
    if is_of(Table::Part) {
        let id = rest.len().checked_sub(3).and_then(|end| rest.get(..end)).unwrap_or_default();
        let id = std::str::from_utf8(id).map_err(|_| key::strange(&entry))?;
        return match meta.remove_part(&bucket, id, key::part_number(&entry)?).await {
            Err(error) if error.is_not_found() => Ok(false),
            removed => removed.map(|()| true),
        };
    }
    let key = key::object_key(rest, &entry)?;
    match meta.delete_object(&bucket, &key).await {
        Err(Error { kind: crate::ErrorKind::NotFound, .. }) => Ok(false),
        deleted => deleted,
    }
}
