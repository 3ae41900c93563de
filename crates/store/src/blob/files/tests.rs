//! Files as blobs.

use std::fs;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::*;
use crate::blob::BlobState;
use crate::blob::direct::BLOCK;
use crate::blob::direct::RUN;
use crate::clock::{Clock, Randomness};
use crate::conformance;

fn open(root: &Path, seed: u64) -> FileBlobs {
    FileBlobs::open(root, BlobIds::new(Clock::system(), Randomness::seeded(seed))).unwrap()
}

#[tokio::test]
async fn conforms() {
    let root = tempfile::tempdir().unwrap();
    conformance::blob::check(&open(root.path(), 1)).await;
}

#[tokio::test]
async fn a_torn_blob_is_found_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path(), 1);
    let mut writer = first.create(OnDrop::Keep).await.unwrap();
    writer.append(Bytes::from_static(b"half a seg")).await.unwrap();
    writer.flush().await.unwrap();
    let id = writer.id();

    // The first life still holds its file, as a killed process would until the kernel takes it.
    let second = open(root.path(), 2);
    let page = second.scan(None).await.unwrap();
    assert_eq!(page.blobs.iter().map(|b| (b.id, b.len, b.state)).collect::<Vec<_>>(), [(id, 10, BlobState::Torn)]);
    let mut again = second.recover(id, OnDrop::Keep).await.unwrap();
    assert_eq!(again.len(), 10);
    again.truncate(6).await.unwrap();
    again.append(Bytes::from_static(b" segment")).await.unwrap();
    again.finish().await.unwrap();
    drop(writer);
    let reader = open(root.path(), 3).open(id).await.unwrap();
    assert_eq!(reader.read_at(0, 100).await.unwrap(), "half a segment");
}

#[tokio::test]
async fn what_the_page_cache_has_can_be_shared() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1);
    let mut writer = store.create(OnDrop::Delete).await.unwrap();
    let bytes = [vec![1; reader::PROBE_STEP], vec![2; reader::PROBE_STEP]].concat();
    writer.append(Bytes::from(bytes.clone())).await.unwrap();
    let id = writer.finish().await.unwrap().id;
    let reader = store.open(id).await.unwrap();
    // Read once, it is in the page cache whichever way it was written.
    reader.read_at(0, usize::MAX).await.unwrap();
    if !store.0.may_peek.load(Ordering::Relaxed) {
        return;
    }
    let range = reader.try_share_at(3, usize::MAX).unwrap();
    assert_eq!((range.offset, range.len), (3, bytes.len() - 3));
    let mut shared = vec![0; range.len];
    range.file.read_exact_at(&mut shared, range.offset).unwrap();
    assert_eq!(shared, bytes[3..]);
    assert!(reader.try_share_at(bytes.len() as u64, 1).is_none());
    assert!(reader.try_share_at(0, 0).is_none());
}

#[test]
fn directories_take_turns() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1);
    let ids: Vec<_> = (0..3 * TURN).map(|_| store.0.mint()).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    let mut shards: Vec<_> = ids.iter().map(|id| shard_of(*id)).collect();
    shards.dedup();
    assert_eq!(shards.len(), 3);
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1);
    let mut writer = store.create(OnDrop::Keep).await.unwrap();
    writer.append(Bytes::from_static(b"x")).await.unwrap();
    let id = writer.finish().await.unwrap().id;
    let directory = store.0.directories.directory(shard_of(id));
    fs::write(directory.join("notes.txt"), "mine").unwrap();
    fs::write(directory.join(format!("{}.tmp", "0".repeat(32))), "mine").unwrap();
    assert_eq!(store.scan(None).await.unwrap().blobs.len(), 1);
}

#[tokio::test]
async fn large_pieces_are_written_in_order_between_small_ones() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1);
    for is_on in [store.0.runs.is_on(), false] {
        let mut writer = store.create(OnDrop::Delete).await.unwrap();
        let id = writer.id();
        let mut expected = Vec::new();
        for (n, len) in [5, RUN, 1, RUN + 7, 3 * RUN, 0, BLOCK, 100_000, RUN, 65_536, 12].into_iter().enumerate() {
            let piece: Vec<u8> = (0..len).map(|at| (at % 251 + n).to_le_bytes()[0]).collect();
            expected.extend_from_slice(&piece);
            writer.append(Bytes::from(piece)).await.unwrap();
            assert_eq!(writer.len(), expected.len() as u64);
            if n % 4 == 3 {
                writer.flush().await.unwrap();
                let reader = store.open(id).await.unwrap();
                assert_eq!(reader.read_at(0, usize::MAX).await.unwrap(), expected, "flushed, direct: {is_on}");
            }
            if n == 6 {
                let len = expected.len() - RUN / 2;
                writer.truncate(len as u64).await.unwrap();
                expected.truncate(len);
            }
        }
        writer.finish().await.unwrap();
        let reader = store.open(id).await.unwrap();
        assert_eq!(
            (reader.len(), reader.read_at(0, usize::MAX).await.unwrap()),
            (expected.len() as u64, expected.into())
        );
        store.0.runs.turn_off();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_beside_each_other_all_become_durable() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1);
    let tasks: Vec<_> = (0..64u8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut writer = store.create(OnDrop::Delete).await.unwrap();
                writer.append(Bytes::from(vec![n; 1000])).await.unwrap();
                (n, writer.finish().await.unwrap().id)
            })
        })
        .collect();
    for task in tasks {
        let (n, id) = task.await.unwrap();
        assert_eq!(store.open(id).await.unwrap().read_at(0, 2000).await.unwrap(), vec![n; 1000]);
    }
}

/// A runtime whose blocking work happens one after the other, and a store in it.
fn one_blocking_thread() -> (tokio::runtime::Runtime, tempfile::TempDir, FileBlobs) {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), 1);
    (runtime, root, store)
}

/// Holds the one blocking thread until the sender is dropped.
fn hold() -> std::sync::mpsc::Sender<()> {
    let (held, until) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || until.recv());
    held
}

/// Asks once and goes away. The blocking thread is held, so that nothing is over by then.
fn begin_and_leave<T>(call: impl Future<Output = T>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(call).poll(&mut context).is_pending());
}

/// Waits for what was begun before.
async fn blocking_work_is_over() {
    tokio::task::spawn_blocking(|| ()).await.unwrap();
}

fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            // The lock of backups.
            false if path.ends_with(super::hold::NAME) => {}
            false => found.push(path.file_name().unwrap().to_string_lossy().into_owned()),
        }
    }
    found
}

#[test]
fn who_goes_away_while_a_blob_is_made_leaves_nothing() {
    for on_drop in [OnDrop::Delete, OnDrop::Keep] {
        let (runtime, root, store) = one_blocking_thread();
        runtime.block_on(async {
            let held = hold();
            begin_and_leave(store.create(on_drop));
            drop(held);
            blocking_work_is_over().await;
            assert_eq!(files_below(root.path()), [""; 0], "{on_drop:?}");
            assert!(store.0.growing().is_empty());
        });
    }
}

#[test]
fn who_goes_away_while_a_blob_is_finished_or_taken_up_leaves_it_to_nobody_else_meanwhile() {
    let (runtime, root, store) = one_blocking_thread();
    runtime.block_on(async {
        let mut writer = store.create(OnDrop::Keep).await.unwrap();
        writer.append(Bytes::from_static(b"kept")).await.unwrap();
        let id = writer.id();
        let held = hold();
        begin_and_leave(writer.finish());
        assert!(store.recover(id, OnDrop::Keep).await.is_err(), "it is being finished");
        drop(held);
        blocking_work_is_over().await;
        assert_eq!(files_below(root.path()), [id.to_string()]);

        let held = hold();
        begin_and_leave(store.recover(id, OnDrop::Delete));
        assert!(store.recover(id, OnDrop::Keep).await.is_err(), "it is being taken up");
        drop(held);
        blocking_work_is_over().await;
        assert_eq!(store.recover(id, OnDrop::Keep).await.unwrap().len(), 4, "it is still there");

        let mut writer = store.create(OnDrop::Delete).await.unwrap();
        writer.append(Bytes::from_static(b"gone")).await.unwrap();
        let held = hold();
        begin_and_leave(writer.finish());
        drop(held);
        blocking_work_is_over().await;
        assert_eq!(files_below(root.path()), [format!("{id}.part")]);
    });
}

#[test]
fn who_goes_away_while_a_blob_is_cut_goes_on_at_its_new_end() {
    let (runtime, _root, store) = one_blocking_thread();
    runtime.block_on(async {
        let mut writer = store.create(OnDrop::Keep).await.unwrap();
        writer.append(Bytes::from_static(b"0123456789")).await.unwrap();
        let held = hold();
        begin_and_leave(writer.truncate(4));
        drop(held);
        writer.append(Bytes::from_static(b"!")).await.unwrap();
        let id = writer.finish().await.unwrap().id;
        assert_eq!(store.open(id).await.unwrap().read_at(0, 20).await.unwrap(), "0123!");
    });
}

/// Flips a bit of a blob's file.
fn flip(root: &Path, id: BlobId, at: u64) {
    let path = Directories::open(root).unwrap().finished(id);
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at).unwrap();
}

async fn blob_of(store: &FileBlobs, len: usize) -> (BlobId, Vec<u8>) {
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let mut writer = store.create(OnDrop::Delete).await.unwrap();
    writer.append(Bytes::from(bytes.clone())).await.unwrap();
    (writer.finish().await.unwrap().id, bytes)
}

#[tokio::test]
async fn a_damaged_blob_is_never_read_wrong_in_the_next_life() {
    const BLOCK: u64 = 64 << 10;
    for len in [100_000, 3_000_000] {
        let root = tempfile::tempdir().unwrap();
        let (id, bytes) = blob_of(&open(root.path(), 1), len).await;
        flip(root.path(), id, BLOCK + 7);
        let store = open(root.path(), 2);
        let reader = store.open(id).await.unwrap();
        assert_eq!(reader.len(), len as u64);
        assert!(reader.try_share_at(0, len).is_none(), "nobody would look at the bytes");
        // One that is short enough says so at once.
        assert_eq!(reader.is_damaged(0, len as u64), len < 1 << 20);
        let error = reader.read_at(BLOCK, 10).await.unwrap_err();
        assert_eq!((error.kind, error.subject), (crate::ErrorKind::Corrupt, Subject::Blob));
        assert!(error.detail.contains(&format!("{id} is damaged in bytes 65536 to ")), "{error}");
        assert!(reader.is_damaged(BLOCK - 1, 2) && !reader.is_damaged(BLOCK - 1, 1));
        assert!(reader.read_at(0, usize::MAX).await.is_err());
        assert_eq!(reader.read_at(5, 1000).await.unwrap(), bytes[5..1005], "what lies beside it can be read");
        let damage = store.next_damage().await;
        assert_eq!((damage.blob, damage.ranges[0].start), (id, BLOCK));
        let verified = store.verify(id, 0..u64::MAX).await.unwrap();
        assert_eq!((verified.has_sums, verified.damaged), (true, damage.ranges));
        assert_eq!(store.verify(id, 0..BLOCK).await.unwrap().damaged, []);

        // Mended from a copy, it is sound again.
        flip(root.path(), id, BLOCK + 7);
        assert_eq!(store.verify(id, 0..u64::MAX).await.unwrap().damaged, []);
        assert_eq!(store.open(id).await.unwrap().read_at(0, usize::MAX).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_sound_blob_is_shared_once_it_was_read() {
    let root = tempfile::tempdir().unwrap();
    let (id, bytes) = blob_of(&open(root.path(), 1), 3_000_000).await;
    let store = open(root.path(), 2);
    let reader = store.open(id).await.unwrap();
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        assert!(reader.try_share_at(read.len() as u64, 1).is_none());
        read.extend(reader.read_at(read.len() as u64, 256 << 10).await.unwrap());
    }
    assert!(read == bytes);
    let again = store.open(id).await.unwrap();
    assert!(!store.0.may_peek.load(Ordering::Relaxed) || again.try_share_at(0, bytes.len()).is_some());
}

#[tokio::test]
async fn blobs_without_checksums_stay_readable() {
    let root = tempfile::tempdir().unwrap();
    let (id, bytes) = blob_of(&open(root.path(), 1), 300_000).await;
    let path = Directories::open(root.path()).unwrap().finished(id);
    fs::File::options().write(true).open(path).unwrap().set_len(bytes.len() as u64).unwrap();
    let store = open(root.path(), 2);
    assert_eq!(store.scan(None).await.unwrap().blobs[0].len, bytes.len() as u64);
    assert_eq!(store.open(id).await.unwrap().read_at(0, usize::MAX).await.unwrap(), bytes);
    let verified = store.verify(id, 0..u64::MAX).await.unwrap();
    assert_eq!((verified.len, verified.has_sums, verified.damaged), (bytes.len() as u64, false, vec![]));
}
