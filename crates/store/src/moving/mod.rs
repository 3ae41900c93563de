//! Moves an installation from one pair of stores to another (`docs/design/many-servers.md`, "Moving").
//!
//! The caller sees to it that nobody writes to either side. The target is empty at first and has a [mark](Mark) until the
//! move is over, with which no server starts on it. What is already there is not copied again, so a move that was cut off is
//! begun again from the start and goes on.

mod blobs;
mod progress;
mod rows;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::blob::{BlobId, BlobInfo, BlobState, BlobStore, TakeBlobs};
use crate::check::{Finding, Report, survey};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Commit, Outcome, Precondition, Range, Write};
use crate::meta::Meta;
use crate::meta::key::{self, MOVING, Table};
use crate::record::{Record, decode, encode};

pub use blobs::{Differing, compare_blobs, copy_blobs};
pub use progress::{Amounts, Progress};
pub use rows::{Rows, copy_rows, count_differing_rows};

/// The first bytes of keys of rows that a move leaves behind and that are written while it runs: in them the processes that
/// share a map speak of themselves.
pub const OF_PROCESSES: &[u8] = &key::NOT_MOVED;

/// What a map says of itself while a move into it is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where everything comes from, in words of whoever moves.
    pub from: String,
    /// When the move was begun, Unix milliseconds.
    pub begun_ms: i64,
}

impl Record for Mark {
    const SUBJECT: Subject = Subject::Record;
}

/// The mark of a map into which a move is not over.
///
/// # Errors
/// `Unavailable`, `Corrupt`, `Newer`.
pub async fn mark(meta: &Meta) -> Result<Option<Mark>> {
    meta.kv().get(MOVING).await?.map(|row| decode(&row.value)).transpose()
}

/// Marks an empty target, or finds the mark of an earlier beginning from the same source; whether it was one.
///
/// # Errors
/// `Conflict` when the target holds something else; `Unavailable`.
pub async fn begin(meta: &Meta, blobs: &dyn BlobStore, wanted: &Mark) -> Result<bool> {
    match mark(meta).await? {
        Some(found) if found.from == wanted.from => return Ok(true),
        Some(found) => {
            let detail = format!("a move from {} into the target was not finished; go on with that one", found.from);
            return Err(Error::conflict(Subject::Engine, detail));
        }
        None => {}
    }
    if !is_empty(blobs).await? {
        return Err(Error::conflict(Subject::Blob, "the target holds blobs, of which no map says whose they are"));
    }
    let commit = Commit::new()
        .require(Precondition::PrefixEmpty(Vec::new()))
        .write(Write::Put(MOVING.to_vec(), encode(wanted)?));
    match meta.kv().commit(commit).await? {
        Outcome::Done(_) => Ok(false),
        Outcome::Refused(_) => Err(Error::conflict(
            Subject::Engine,
            "the map of the target holds something: a server has run there, or it is an installation already",
        )),
    }
}

/// Removes the mark: servers may start on the target.
///
/// # Errors
/// `Unavailable`.
pub async fn finish(meta: &Meta) -> Result<()> {
    meta.kv().commit(Commit::new().write(Write::Delete(MOVING.to_vec()))).await.map(drop)
}

async fn is_empty(blobs: &dyn BlobStore) -> Result<bool> {
    let mut cursor = None;
    loop {
        let page = blobs.scan(cursor).await?;
        if !page.blobs.is_empty() {
            return Ok(false);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(true);
        }
    }
}

/// What is to be moved.
#[derive(Debug, Default)]
pub struct Plan {
    /// Finished blobs and their lengths, in the order of their ids.
    pub blobs: Vec<(BlobId, u64)>,
    /// All their bytes.
    pub bytes: u64,
    /// Rows of the map.
    pub rows: u64,
    /// What is wrong with the source already. It is moved as it is.
    pub findings: Vec<Finding>,
}

/// Looks at a source of which nothing changes any more.
///
/// # Errors
/// `Held` when a push was not ended; `Conflict` when it is the target of a move that is not over; `Unavailable`.
pub async fn plan(meta: &Meta, blobs: &dyn BlobStore, now_ms: i64) -> Result<Plan> {
    if let Some(mark) = mark(meta).await? {
        let detail = format!("a move from {} into the source was not finished", mark.from);
        return Err(Error::conflict(Subject::Engine, detail));
    }
    let pushes = pushes(meta).await?;
    if let Some(first) = pushes.first() {
        let detail = format!("{} pushes were not ended, the first of them on {first}", pushes.len());
        return Err(Error::new(ErrorKind::Held, Subject::Publication, detail));
    }
    let (mut report, found) = survey(meta, blobs, now_ms, 0).await?;
    report.findings.retain(|finding| !matches!(finding, Finding::OrphanBlob(..)));
    let mut wanted = wanted(&report, &found);
    wanted.sort_unstable_by_key(|blob| blob.0);
    Ok(Plan {
        bytes: wanted.iter().map(|blob| blob.1).sum(),
        blobs: wanted,
        rows: rows::count(meta.kv()).await?,
        findings: report.findings,
    })
}

/// What is named. A row that cannot be read may name any blob, so then it is all but the garbage.
fn wanted(report: &Report, found: &HashMap<BlobId, BlobInfo>) -> Vec<(BlobId, u64)> {
    let is_all = report.findings.iter().any(|finding| matches!(finding, Finding::Unreadable(_)));
    let is_wanted = |info: &BlobInfo| {
        report.names(info.id) || is_all && info.state == BlobState::Finished && !report.is_garbage(info.id)
    };
    found.values().filter(|info| is_wanted(info)).map(|info| (info.id, info.len)).collect()
}

/// The channels whose pushes have a row, in words.
///
/// # Errors
/// `Unavailable`.
pub async fn pushes(meta: &Meta) -> Result<Vec<String>> {
    let rows = meta.kv().range(&Range::prefix(Table::Publication.all())).await?;
    let name = |row| match key::channel_of(row) {
        Ok((bucket, channel)) => format!("{bucket}/{channel}"),
        Err(error) => error.detail,
    };
    Ok(rows.iter().map(name).collect())
}

/// Looks at the target as [`check`](crate::check::check) does: what is wrong with it that was not wrong with the source.
/// Blobs that nothing names any more, because the source was used between two beginnings of the move, are deleted.
///
/// # Errors
/// `Unavailable`.
pub async fn examine(plan: &Plan, meta: &Meta, blobs: &dyn TakeBlobs, now_ms: i64) -> Result<Report> {
    let (mut report, _) = survey(meta, blobs, now_ms, 0).await?;
    let is_readable = !report.findings.iter().any(|finding| matches!(finding, Finding::Unreadable(_)));
    for finding in &report.findings {
        if let (Finding::OrphanBlob(blob, _), true) = (finding, is_readable) {
            blobs.delete(*blob).await?;
        }
    }
    report.findings.retain(|finding| !matches!(finding, Finding::OrphanBlob(..)) && !plan.findings.contains(finding));
    Ok(report)
}

#[cfg(test)]
mod tests;
