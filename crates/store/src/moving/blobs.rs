//! Blobs on their way from one store to another, under the ids that they have.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Plan, Progress};
use crate::blob::{BlobId, BlobState, BlobStore, TakeBlobs};
use crate::check::list_blobs;
use crate::error::{Error, ErrorKind, Result, Subject};

/// Blobs under way at once. Each has at most two pieces of 16 MiB in memory, so all of them 256 MiB.
const AT_ONCE: usize = 8;
/// A piece that is compared.
const PIECE: usize = 4 << 20;

/// A blob that is not the same on both sides, or that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing(pub BlobId, pub String);

/// Copies the blobs of a plan that the target has not, and counts what it does. Those that are damaged in the source are left
/// out and returned; what fails otherwise ends the copying.
///
/// # Errors
/// `Unavailable`.
pub async fn copy_blobs(
    plan: &Plan,
    source: &dyn BlobStore,
    target: &dyn TakeBlobs,
    progress: &Progress,
) -> Result<Vec<Differing>> {
    let there = list_blobs(target).await?;
    let mut missing = Vec::new();
    for (id, len) in &plan.blobs {
        match there.get(id) {
            Some(info) if info.state == BlobState::Finished && info.len == *len => progress.found(),
            Some(_) => {
                target.delete(*id).await?;
                missing.push((*id, *len));
            }
            None => missing.push((*id, *len)),
        }
    }
    drop::<HashMap<_, _>>(there);
    let copied = stream::iter(missing).map(|(id, len)| async move {
        match copy_blob(id, len, source, target).await {
            Ok(()) => {
                progress.copied(len);
                Ok(None)
            }
            Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::NotFound) => {
                Ok(Some(Differing(id, error.to_string())))
            }
            Err(error) => Err(error),
        }
    });
    copied.buffer_unordered(AT_ONCE).try_filter_map(|damaged| async move { Ok(damaged) }).try_collect().await
}

async fn copy_blob(id: BlobId, len: u64, source: &dyn BlobStore, target: &dyn TakeBlobs) -> Result<()> {
    let reader = source.open(id).await?;
    if reader.len() != len {
        return Err(Error::corrupt(Subject::Blob, format!("{id} has {} bytes and had {len}", reader.len())));
    }
    target.take(id, reader.as_ref()).await
}

/// Reads all blobs of a plan on both sides; those that are not the same.
///
/// # Errors
/// `Unavailable`.
pub async fn compare_blobs(
    plan: &Plan,
    source: &dyn BlobStore,
    target: &dyn BlobStore,
    progress: &Progress,
) -> Result<Vec<Differing>> {
    let compared = stream::iter(&plan.blobs).map(|(id, len)| async move {
        match compare_blob(*id, *len, source, target).await {
            Ok(()) => {
                progress.copied(*len);
                Ok(None)
            }
            Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
            Err(error) => Ok(Some(Differing(*id, error.to_string()))),
        }
    });
    compared.buffer_unordered(AT_ONCE).try_filter_map(|differing| async move { Ok(differing) }).try_collect().await
}

async fn compare_blob(id: BlobId, len: u64, source: &dyn BlobStore, target: &dyn BlobStore) -> Result<()> {
    let (ours, theirs) = (source.open(id).await?, target.open(id).await?);
    if ours.len() != len || theirs.len() != len {
        return Err(Error::corrupt(
            Subject::Blob,
            format!("{} bytes in one, {} in the other", ours.len(), theirs.len()),
        ));
    }
    let mut at = 0;
    while at < len {
        let (here, there) = (ours.read_at(at, PIECE).await?, theirs.read_at(at, PIECE).await?);
        let both = here.len().min(there.len());
        if both == 0 || here.get(..both) != there.get(..both) {
            return Err(Error::corrupt(Subject::Blob, format!("the bytes from {at} on are not the same")));
        }
        at = at.saturating_add(both as u64);
    }
    Ok(())
}
