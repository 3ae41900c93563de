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
    again.finish(true).await.unwrap();
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
    let id = writer.finish(true).await.unwrap().id;
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
    let id = writer.finish(true).await.unwrap().id;
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
        writer.finish(true).await.unwrap();
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
                (n, writer.finish(true).await.unwrap().id)
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
        begin_and_leave(writer.finish(true));
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
        begin_and_leave(writer.finish(true));
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
        let id = writer.finish(true).await.unwrap().id;
        assert_eq!(store.open(id).await.unwrap().read_at(0, 20).await.unwrap(), "0123!");
    });
}
