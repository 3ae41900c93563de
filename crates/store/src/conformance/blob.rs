//! What every [`BlobStore`] does: first by example, then by agreeing with plain vectors on random operations.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a failed expectation of a suite is a panic")]

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Choices;
use crate::blob::{BlobId, BlobReader, BlobState, BlobStore, BlobWriter, OnDrop};
use crate::error::ErrorKind;

/// Runs the suite on an empty store.
pub async fn check(store: &dyn BlobStore) {
    a_blob_is_what_was_appended(store).await;
    a_growing_blob_can_be_read(store).await;
    readers_outlive_deletion(store).await;
    what_is_dropped_is_deleted_or_kept(store).await;
    what_was_left_can_be_taken_up(store).await;
    assert_eq!(states(store).await, BTreeMap::new(), "the suite cleans up after itself");
    for seed in 0..4 {
        agrees_with_vectors(store, seed).await;
    }
}

async fn states(store: &dyn BlobStore) -> BTreeMap<BlobId, (u64, BlobState)> {
    let mut found = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = store.scan(cursor).await.unwrap();
        found.extend(page.blobs.into_iter().map(|info| (info.id, (info.len, info.state))));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

async fn all(reader: &dyn BlobReader) -> Bytes {
    reader.read_at(0, usize::MAX).await.unwrap()
}

async fn is_absent(store: &dyn BlobStore, id: BlobId) -> bool {
    matches!(store.open(id).await.map(|_| ()), Err(error) if error.kind == ErrorKind::NotFound)
}

async fn started(store: &dyn BlobStore, on_drop: OnDrop, bytes: &'static [u8]) -> Box<dyn BlobWriter> {
    let mut writer = store.create(on_drop).await.unwrap();
    writer.append(Bytes::from_static(bytes)).await.unwrap();
    writer.flush().await.unwrap();
    writer
}

async fn a_blob_is_what_was_appended(store: &dyn BlobStore) {
    let mut writer = store.create(OnDrop::Delete).await.unwrap();
    assert!(writer.is_empty());
    let big: Vec<u8> = (0..1_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut sum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Xz);
    for piece in [&b""[..], b"one", &big] {
        writer.append(Bytes::copy_from_slice(piece)).await.unwrap();
        sum.update(piece);
        assert_eq!(writer.crc64(), Some(sum.finalize()));
    }
    writer.sync().await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(writer.len(), 1_000_003);
    let id = writer.id();
    let blob = writer.finish().await.unwrap();
    assert_eq!((blob.id, blob.len), (id, 1_000_003));

    let reader = store.open(id).await.unwrap();
    assert_eq!((reader.len(), reader.is_empty()), (1_000_003, false));
    let whole = [b"one".as_slice(), &big].concat();
    assert_eq!(all(reader.as_ref()).await, whole);
    for (offset, len, expected) in [
        (0u64, 3usize, &whole[..3]),
        (1, 2, &whole[1..3]),
        (999_000, 2000, &whole[999_000..]),
        (1_000_003, 1, &[]),
        (u64::MAX, usize::MAX, &[]),
        (5, 0, &[]),
        (0, 300_000, &whole[..300_000]),
    ] {
        assert_eq!(reader.read_at(offset, len).await.unwrap(), expected, "{offset}+{len}");
        if let Some(bytes) = reader.try_read_at(offset, len) {
            assert_eq!(bytes, expected, "{offset}+{len}, without waiting");
        }
    }
    assert_eq!(states(store).await.get(&id), Some(&(1_000_003, BlobState::Finished)));
    store.delete(id).await.unwrap();
    store.delete(id).await.unwrap();
    assert!(is_absent(store, id).await);
    assert_eq!(states(store).await.get(&id), None);

    let empty = store.create(OnDrop::Delete).await.unwrap().finish().await.unwrap();
    assert_eq!(all(store.open(empty.id).await.unwrap().as_ref()).await, "");
    store.delete(empty.id).await.unwrap();
}

async fn a_growing_blob_can_be_read(store: &dyn BlobStore) {
    let mut writer = started(store, OnDrop::Delete, b"begun").await;
    let id = writer.id();
    let early = store.open(id).await.unwrap();
    assert_eq!(all(early.as_ref()).await, "begun");
    writer.append(Bytes::from_static(b" and done")).await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(all(early.as_ref()).await, "begun", "a reader keeps the length it was opened with");
    assert_eq!(all(store.open(id).await.unwrap().as_ref()).await, "begun and done");
    assert_eq!(states(store).await.get(&id), Some(&(14, BlobState::Growing)));
    assert_eq!(store.recover(id, OnDrop::Keep).await.map(|_| ()).unwrap_err().kind, ErrorKind::Conflict);
    writer.truncate(100).await.unwrap();
    assert_eq!(writer.len(), 14);
    writer.truncate(5).await.unwrap();
    writer.append(Bytes::from_static(b"!")).await.unwrap();
    // Not all stores can say so, but none says anything else.
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, b"begun!");
    assert!(writer.crc64().is_none_or(|found| found == sum));
    writer.finish().await.unwrap();
    assert_eq!(all(store.open(id).await.unwrap().as_ref()).await, "begun!");
    assert_eq!(all(early.as_ref()).await, "begun", "a reader goes on after the blob is finished");
    store.delete(id).await.unwrap();
}

async fn readers_outlive_deletion(store: &dyn BlobStore) {
    let id = started(store, OnDrop::Delete, b"still here").await.finish().await.unwrap().id;
    let reader = store.open(id).await.unwrap();
    store.delete(id).await.unwrap();
    assert_eq!(all(reader.as_ref()).await, "still here");
}

async fn what_is_dropped_is_deleted_or_kept(store: &dyn BlobStore) {
    let writer = started(store, OnDrop::Delete, b"unwanted").await;
    let dropped = writer.id();
    drop(writer);
    assert!(is_absent(store, dropped).await);

    let writer = started(store, OnDrop::Keep, b"unwanted").await;
    let aborted = writer.id();
    writer.abort().await.unwrap();
    assert!(is_absent(store, aborted).await);

    let writer = started(store, OnDrop::Keep, b"kept").await;
    let kept = writer.id();
    drop(writer);
    assert_eq!(states(store).await.get(&kept), Some(&(4, BlobState::Torn)));
    assert_eq!(all(store.open(kept).await.unwrap().as_ref()).await, "kept");
    store.delete(kept).await.unwrap();
    assert!(is_absent(store, kept).await);
}

async fn what_was_left_can_be_taken_up(store: &dyn BlobStore) {
    let torn = started(store, OnDrop::Keep, b"torn").await;
    let id = torn.id();
    drop(torn);
    let mut writer = store.recover(id, OnDrop::Keep).await.unwrap();
    assert_eq!((writer.id(), writer.len()), (id, 4));
    writer.append(Bytes::from_static(b" no more")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(states(store).await.get(&id), Some(&(12, BlobState::Finished)));

    // Finished, and then the process died before it was named.
    let mut writer = store.recover(id, OnDrop::Keep).await.unwrap();
    writer.truncate(4).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(all(store.open(id).await.unwrap().as_ref()).await, "torn");
    store.delete(id).await.unwrap();
    assert_eq!(store.recover(id, OnDrop::Keep).await.map(|_| ()).unwrap_err().kind, ErrorKind::NotFound);
}

async fn agrees_with_vectors(store: &dyn BlobStore, seed: u64) {
    let mut choices = Choices::new(seed);
    let mut finished: Vec<(BlobId, Vec<u8>)> = Vec::new();
    let mut growing: Vec<(Box<dyn BlobWriter>, Vec<u8>)> = Vec::new();
    for step in 0..200 {
        match choices.below(8) {
            0 => growing.push((store.create(OnDrop::Keep).await.unwrap(), Vec::new())),
            1 if !growing.is_empty() => {
                let (writer, bytes) = growing.swap_remove(choices.size(growing.len()));
                finished.push((writer.finish().await.unwrap().id, bytes));
            }
            2 if !growing.is_empty() => {
                let (mut writer, bytes) = growing.swap_remove(choices.size(growing.len()));
                let id = writer.id();
                writer.flush().await.unwrap();
                drop(writer);
                growing.push((store.recover(id, OnDrop::Keep).await.unwrap(), bytes));
            }
            3 if !finished.is_empty() => {
                let (id, _) = finished.swap_remove(choices.size(finished.len()));
                store.delete(id).await.unwrap();
            }
            4 if !finished.is_empty() => {
                let at = choices.size(finished.len());
                if let Some((id, bytes)) = finished.get(at) {
                    let (offset, len) = (choices.size(bytes.len() + 9), choices.size(3000));
                    let expected: Vec<u8> = bytes.iter().skip(offset).take(len).copied().collect();
                    let reader = store.open(*id).await.unwrap();
                    assert_eq!(reader.read_at(offset as u64, len).await.unwrap(), expected, "{seed}, {step}");
                }
            }
            _ if !growing.is_empty() => {
                let at = choices.size(growing.len());
                let piece = vec![choices.below(256).to_le_bytes()[0]; choices.size(2000)];
                let truncated = choices.size(6000);
                if let Some((writer, bytes)) = growing.get_mut(at) {
                    if choices.below(4) == 0 {
                        writer.truncate(truncated as u64).await.unwrap();
                        bytes.truncate(truncated);
                    }
                    bytes.extend_from_slice(&piece);
                    writer.append(Bytes::from(piece)).await.unwrap();
                }
            }
            _ => {}
        }
    }
    for (writer, _) in &mut growing {
        writer.flush().await.unwrap();
    }
    let expected: BTreeMap<BlobId, (u64, BlobState)> = finished
        .iter()
        .map(|(id, bytes)| (*id, (bytes.len() as u64, BlobState::Finished)))
        .chain(growing.iter().map(|(writer, bytes)| (writer.id(), (bytes.len() as u64, BlobState::Growing))))
        .collect();
    assert_eq!(states(store).await, expected, "seed {seed}");
    for (id, _) in finished {
        store.delete(id).await.unwrap();
    }
    for (writer, _) in growing {
        writer.abort().await.unwrap();
    }
}
