//! The invariants as a program: finds blobs without a name, names that lead nowhere, and rows that disagree.
//!
//! It may run beside a server: everything is read from one snapshot, blobs are listed before names, and what is younger
//! than a grace is left alone. It holds one id for every blob in memory, about 64 bytes each.

mod finding;
mod repair;
mod walk;

use std::collections::HashMap;

use crate::blob::{BlobDamage, BlobId, BlobInfo, BlobState, BlobStore};
use crate::error::Result;
use crate::meta::Meta;
use repair::Mending;
use walk::{Check, Names};

pub use finding::{Finding, Report};
pub use repair::{Repaired, repair};

/// Bytes of a blob that are verified at once.
const WINDOW: u64 = 4 << 20;

/// Reads everything and reports what must not be. Blobs changed less than `grace_ms` before `now_ms` may still be
/// waiting for their name.
///
/// # Errors
/// `Unavailable`; rows that cannot be read are findings.
pub async fn check(meta: &Meta, blobs: &dyn BlobStore, now_ms: i64, grace_ms: i64) -> Result<Report> {
    Ok(survey(meta, blobs, now_ms, grace_ms).await?.0)
}

/// The same, and the blobs that were found.
pub(crate) async fn survey(
    meta: &Meta,
    blobs: &dyn BlobStore,
    now_ms: i64,
    grace_ms: i64,
) -> Result<(Report, HashMap<BlobId, BlobInfo>)> {
    let found = list_blobs(blobs).await?;
    let snapshot = meta.kv().snapshot().await?;
    let mut check = Check { snapshot: snapshot.as_ref(), report: Report::default(), names: Names::default() };
    check.report.blobs = found.len() as u64;
    check.report.findings.extend(meta.kv().faults().await?.into_iter().map(Finding::Engine));
    if !check.report.findings.is_empty() {
        // What a damaged map says of its rows is worth nothing.
        return Ok((check.report, found));
    }
    if let Some(loss) = meta.kv().loss() {
        check.report.findings.push(Finding::LostCommits(loss));
        check.report.mendings.push(Mending::Loss);
    }
    check.buckets().await?;
    check.secrets(meta).await?;
    let mut dangling = Vec::new();
    for (blob, named) in &check.names.blobs {
        check.report.named.insert(*blob, (named.by.clone(), named.names));
        let len = match found.get(blob) {
            Some(info) => Some(info.len),
            // It may have been written after the blobs were listed.
            None => match blobs.open(*blob).await {
                Ok(reader) => Some(reader.len()),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            },
        };
        match len {
            Some(len) if len >= named.end => {}
            Some(_) => dangling.push((Finding::ShortBlob(named.by.clone(), *blob), named.row.clone())),
            None => dangling.push((Finding::MissingBlob(named.by.clone(), *blob), named.row.clone())),
        }
    }
    for (finding, (row, version)) in dangling {
        // A name that changed since the snapshot may have let the blob go in between.
        if meta.kv().get(&row).await?.is_some_and(|now| now.version == version) {
            check.report.findings.push(finding);
            check.report.mendings.push(Mending::NameOfNothing(row, version));
        }
    }
    check.name_counts();
    for info in found.values() {
        let is_old = info.modified_ms.max(info.id.created_ms()) < now_ms.saturating_sub(grace_ms);
        let is_named = check.names.blobs.contains_key(&info.id) || check.names.garbage.contains(&info.id);
        if is_old && !is_named && info.state != BlobState::Growing {
            check.report.findings.push(Finding::OrphanBlob(info.id, info.len));
        }
    }
    check.report.open = check.names.open;
    check.report.garbage = check.names.garbage;
    Ok((check.report, found))
}

/// The blobs that the rows of a map name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamedBlobs {
    /// Those that never change, in order.
    pub finished: Vec<BlobId>,
    /// Those that pushes write to, in order.
    pub open: Vec<BlobId>,
}

/// Which blobs a map names.
///
/// # Errors
/// `Unavailable`, `Corrupt` where the engine cannot go on; rows that cannot be read are left to [`check`].
pub async fn named_blobs(meta: &Meta) -> Result<NamedBlobs> {
    let snapshot = meta.kv().snapshot().await?;
    let mut check = Check { snapshot: snapshot.as_ref(), report: Report::default(), names: Names::default() };
    check.buckets().await?;
    let mut named = NamedBlobs::default();
    for blob in check.names.blobs.into_keys() {
        if check.names.open.contains(&blob) { named.open.push(blob) } else { named.finished.push(blob) }
    }
    named.finished.sort_unstable();
    named.open.sort_unstable();
    Ok(named)
}

/// Compares the bytes of all blobs that have a name with their checksums, and adds what it finds to the report of a check.
/// Reads everything that is stored. Blobs that cannot be read are findings.
pub async fn verify(blobs: &dyn BlobStore, report: &mut Report) {
    verify_these(blobs, report, |_| true).await;
}

/// The same for those of the blobs that are wanted.
pub async fn verify_these(blobs: &dyn BlobStore, report: &mut Report, is_wanted: impl Fn(BlobId) -> bool) {
    let mut named: Vec<BlobId> = report.named.keys().copied().filter(|blob| is_wanted(*blob)).collect();
    // Neighbours in time lie side by side.
    named.sort_unstable();
    for blob in named {
        match verify_blob(blobs, blob).await {
            Ok(None) => report.unsummed += 1,
            Ok(Some(ranges)) => {
                report.verified += 1;
                if !ranges.is_empty() {
                    let (name, names) = report.named.get(&blob).cloned().unwrap_or_default();
                    let damage = BlobDamage { blob, ranges };
                    report.findings.push(Finding::DamagedBlob(name, names.saturating_sub(1), damage));
                    report.mendings.push(Mending::Damaged(blob));
                }
            }
            // That it is not there was found before, or it was deleted since.
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let (name, _) = report.named.get(&blob).cloned().unwrap_or_default();
                report.findings.push(Finding::Unreadable(format!("{name}: {error}")));
            }
        }
    }
}

/// Where a blob is damaged; `None` when that cannot be known.
async fn verify_blob(blobs: &dyn BlobStore, blob: BlobId) -> Result<Option<Vec<std::ops::Range<u64>>>> {
    let mut damaged = Vec::new();
    let mut at = 0;
    loop {
        let verified = blobs.verify(blob, at..at.saturating_add(WINDOW)).await?;
        if !verified.has_sums {
            return Ok(None);
        }
        damaged.extend(verified.damaged);
        at = at.saturating_add(WINDOW);
        if at >= verified.len {
            return Ok(Some(damaged));
        }
    }
}

/// Deletes the blobs that nothing names and that did not change for `grace_ms`; how many it were. `grace_ms` must be
/// longer than the longest upload takes from its first byte to its name.
///
/// # Errors
/// `Unavailable`.
pub async fn sweep(meta: &Meta, blobs: &dyn BlobStore, now_ms: i64, grace_ms: i64) -> Result<usize> {
    let report = check(meta, blobs, now_ms, grace_ms).await?;
    // A row that cannot be read may name any blob.
    if report.findings.iter().any(|finding| matches!(finding, Finding::Unreadable(_))) {
        return Ok(0);
    }
    let mut swept = 0;
    for finding in report.findings {
        if let Finding::OrphanBlob(blob, _) = finding {
            blobs.delete(blob).await?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Every blob of a store.
pub(crate) async fn list_blobs(blobs: &dyn BlobStore) -> Result<HashMap<BlobId, BlobInfo>> {
    let mut found = HashMap::new();
    let mut cursor = None;
    loop {
        let page = blobs.scan(cursor).await?;
        found.extend(page.blobs.into_iter().map(|info| (info.id, info)));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests;
