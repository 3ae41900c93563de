//! Against a store in memory, and against a real one: `MILLPOND_TEST_S3=s3://BUCKET/PREFIX?endpoint=URL` names one, with
//! keys in the environment.

use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::clock::{Clock, Randomness};
use crate::conformance;

fn ids(seed: u64) -> BlobIds {
    BlobIds::new(Clock::system(), Randomness::seeded(seed))
}

fn options() -> S3Options {
    let quick = Duration::from_millis(1500);
    S3Options {
        cache_bytes: 1 << 30,
        timeout: quick,
        segment_timeout: quick,
        tails_every: Duration::ZERO,
        ..S3Options::default()
    }
}

async fn opened(remote: &Arc<dyn ObjectStore>, root: &FilePath, seed: u64, options: S3Options) -> S3Blobs {
    S3Blobs::with_store(Arc::clone(remote), "a/b", root, ids(seed), options).await.unwrap()
}

async fn stored(blobs: &S3Blobs, bytes: Vec<u8>) -> BlobId {
    let mut writer = blobs.create(OnDrop::Delete).await.unwrap();
    writer.append(Bytes::from(bytes)).await.unwrap();
    writer.finish().await.unwrap().id
}

async fn read(blobs: &S3Blobs, id: BlobId) -> Bytes {
    blobs.open(id).await.unwrap().read_at(0, usize::MAX).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite_in_memory() {
    let remote: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for cache_bytes in [1 << 30, 0] {
        let root = tempfile::tempdir().unwrap();
        conformance::blob::check(&opened(&remote, root.path(), 1, S3Options { cache_bytes, ..options() }).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite_on_a_real_store() {
    let Ok(text) = std::env::var("MILLPOND_TEST_S3") else { return };
    let mut address = S3Address::parse(&text).unwrap();
    address.prefix = format!("{}{}", address.prefix, std::process::id());
    let root = tempfile::tempdir().unwrap();
    let seed = u64::from(std::process::id());
    let blobs = S3Blobs::open(&address, root.path(), ids(seed), options()).await.unwrap();
    blobs.probe().await.unwrap();
    conformance::blob::check(&blobs).await;
    // In parts, and read by another server in ranges.
    let long: Vec<u8> = (0..40_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let id = stored(&blobs, long.clone()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = S3Blobs::open(&address, elsewhere.path(), ids(seed + 1), options()).await.unwrap();
    let reader = other.open(id).await.unwrap();
    assert_eq!(reader.len(), 40_000_000);
    for (offset, len) in [(0, 1000), (500, 5_000_000), (39_999_000, 5000), (17, 17)] {
        let expected = long.iter().skip(offset).take(len).copied().collect::<Vec<u8>>();
        assert!(reader.read_at(offset as u64, len).await.unwrap() == expected, "{offset}+{len}");
    }
    blobs.delete(id).await.unwrap();
    assert!(other.open(id).await.map(drop).unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_reads_what_was_stored_and_keeps_it() {
    let remote: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = opened(&remote, here.path(), 1, options()).await;
    let two = opened(&remote, there.path(), 2, S3Options { cache_bytes: 2500, ..options() }).await;
    let mut blobs = Vec::new();
    for n in 0..3_u8 {
        blobs.push(stored(&one, vec![n; 1000]).await);
    }
    for (id, n) in blobs.iter().zip(0..) {
        assert_eq!(read(&two, *id).await, vec![n; 1000]);
    }
    // The first had to go; the others are read without the store.
    for id in &blobs {
        remote.delete(&two.1.path(*id)).await.unwrap();
    }
    assert!(two.open(blobs[0]).await.map(drop).unwrap_err().is_not_found());
    assert_eq!(read(&two, blobs[2]).await, vec![2; 1000]);
    drop(two);
    let again = opened(&remote, there.path(), 3, options()).await;
    assert_eq!(read(&again, blobs[1]).await, vec![1; 1000], "the cache outlives the process");
}

/// A store that can be away.
#[derive(Debug)]
struct Away(InMemory, AtomicBool);

impl std::fmt::Display for Away {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Away")
    }
}

impl Away {
    fn ask(&self) -> object_store::Result<()> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(object_store::Error::Generic { store: "away", source: "it does not answer".into() }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl ObjectStore for Away {
    async fn put_opts(
        &self,
        path: &Path,
        payload: object_store::PutPayload,
        options: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        self.ask()?;
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: object_store::PutMultipartOptions,
    ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
        self.ask()?;
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(
        &self,
        path: &Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        self.ask()?;
        self.0.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: futures_util::stream::BoxStream<'static, object_store::Result<Path>>,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(
        &self,
        prefix: Option<&Path>,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<object_store::ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: object_store::CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_waits_in_the_spool_while_the_store_is_away() {
    let away = Arc::new(Away(InMemory::new(), AtomicBool::new(true)));
    let remote: Arc<dyn ObjectStore> = away.clone();
    let root = tempfile::tempdir().unwrap();
    let patient = S3Options { segment_timeout: Duration::from_secs(60), ..options() };
    let blobs = opened(&remote, root.path(), 1, patient).await;
    let mut writer = blobs.create(OnDrop::Keep).await.unwrap();
    writer.append(Bytes::from_static(b"segment")).await.unwrap();
    let id = writer.id();
    let finishing = tokio::spawn(writer.finish());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!finishing.is_finished());
    assert_eq!(read(&blobs, id).await, "segment", "it can be read meanwhile");
    assert_eq!(blobs.answers().await.unwrap_err().kind, crate::ErrorKind::Unavailable);
    assert_eq!(blobs.recover(id, OnDrop::Keep).await.map(drop).unwrap_err().kind, crate::ErrorKind::Conflict);
    away.1.store(false, Ordering::SeqCst);
    assert_eq!(finishing.await.unwrap().unwrap().len, 7);
    blobs.answers().await.unwrap();
    assert_eq!(away.0.head(&blobs.1.path(id)).await.unwrap().size, 7);

    // One that could not be stored in time is taken up by the next life; an upload's is deleted.
    away.1.store(true, Ordering::SeqCst);
    let impatient = opened(&remote, &root.path().join("other"), 2, options()).await;
    let mut left = Vec::new();
    for on_drop in [OnDrop::Keep, OnDrop::Delete] {
        let mut writer = impatient.create(on_drop).await.unwrap();
        writer.append(Bytes::from_static(b"left")).await.unwrap();
        left.push(writer.id());
        assert_eq!(writer.finish().await.unwrap_err().kind, crate::ErrorKind::Unavailable);
    }
    drop(impatient);
    away.1.store(false, Ordering::SeqCst);
    let next = opened(&remote, &root.path().join("other"), 3, options()).await;
    assert!(next.open(left[1]).await.map(drop).unwrap_err().is_not_found());
    let writer = next.recover(left[0], OnDrop::Keep).await.unwrap();
    assert_eq!(writer.len(), 4);
    writer.finish().await.unwrap();
    assert_eq!(away.0.head(&next.1.path(left[0])).await.unwrap().size, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_next_is_read_ahead_and_nothing_is_mixed_up() {
    let remote: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long: Vec<u8> = (0..18_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let id = stored(&opened(&remote, here.path(), 1, options()).await, long.clone()).await;
    let reader = opened(&remote, there.path(), 2, options()).await.open(id).await.unwrap();
    let mut at = 0;
    while at < long.len() {
        let piece = reader.read_at(at as u64, 300_000).await.unwrap();
        assert_eq!(piece, long[at..(at + 300_000).min(long.len())], "at {at}");
        at += piece.len();
    }
    for (at, len) in [(17_999_990, 100), (5, 10), (4_000_000, 9_000_000), (12_999_999, 3), (0, 18_000_000)] {
        let piece = reader.read_at(at as u64, len).await.unwrap();
        assert_eq!(piece, long[at..(at + len).min(long.len())], "{len} at {at}");
    }
    assert!(reader.read_at(18_000_000, 1).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_segment_of_a_lost_machine_is_put_together_from_its_tails() {
    let remote: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (lost, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let every = Duration::from_millis(30);
    let tails = S3Options { tails_every: every, ..options() };
    let one = opened(&remote, lost.path(), 1, tails.clone()).await;
    let two = opened(&remote, other.path(), 2, tails).await;
    let is_there = async |id: BlobId, len: u64| {
        for _ in 0..200 {
            if let Ok(writer) = two.recover(id, OnDrop::Delete).await {
                let found = writer.len();
                drop(writer);
                if found == len {
                    return true;
                }
            }
            tokio::time::sleep(every).await;
        }
        false
    };
    let bytes = |from: u32, to: u32| Bytes::from((from..to).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
    let mut open = one.create(OnDrop::Keep).await.unwrap();
    let mut upload = one.create(OnDrop::Delete).await.unwrap();
    upload.append(bytes(0, 10)).await.unwrap();
    upload.flush().await.unwrap();
    for (from, to) in [(0, 5000), (5000, 5001), (5001, 9000)] {
        open.append(bytes(from, to)).await.unwrap();
        open.flush().await.unwrap();
        assert!(is_there(open.id(), u64::from(to) * 4).await, "up to {to}");
    }
    // The machine is gone, with its disk and without a last word.
    let id = open.id();
    let upload_id = upload.id();
    std::mem::forget(open);
    std::mem::forget(upload);
    drop(one);
    drop(lost);
    let taken = two.recover(id, OnDrop::Keep).await.unwrap();
    assert_eq!(taken.len(), 36_000);
    assert_eq!(taken.finish().await.unwrap().len, 36_000);
    assert_eq!(read(&two, id).await, bytes(0, 9000));
    assert_eq!(two.recover(upload_id, OnDrop::Keep).await.map(|_| ()).unwrap_err().kind, crate::ErrorKind::NotFound);
    // Of what is stored nothing stays behind.
    let mut open = two.create(OnDrop::Keep).await.unwrap();
    open.append(bytes(0, 100)).await.unwrap();
    open.flush().await.unwrap();
    let count = async || remote.list(Some(&Path::from("a/b/tail"))).collect::<Vec<_>>().await.len();
    let before = count().await;
    for _ in 0..200 {
        if count().await > before {
            break;
        }
        tokio::time::sleep(every).await;
    }
    assert!(count().await > before);
    open.finish().await.unwrap();
    for _ in 0..200 {
        if count().await == before {
            return;
        }
        tokio::time::sleep(every).await;
    }
    panic!("{} tails of stored segments stay", count().await - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_power_cut_left_of_a_segment_is_not_read_where_another_server_stored_it() {
    let away = Arc::new(Away(InMemory::new(), AtomicBool::new(false)));
    let remote: Arc<dyn ObjectStore> = away.clone();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = opened(&remote, here.path(), 1, options()).await;
    let mut torn = one.create(OnDrop::Keep).await.unwrap();
    torn.append(Bytes::from_static(b"seg")).await.unwrap();
    torn.sync().await.unwrap();
    let mut waiting = one.create(OnDrop::Keep).await.unwrap();
    waiting.append(Bytes::from_static(b"only here")).await.unwrap();
    waiting.sync().await.unwrap();
    let (id, only_here) = (torn.id(), waiting.id());
    std::mem::forget(torn);
    std::mem::forget(waiting);
    drop(one);
    // Another server has closed it, from tails that had more.
    let two = opened(&remote, there.path(), 2, options()).await;
    away.0.put(&two.1.path(id), Bytes::from_static(b"segment").into()).await.unwrap();
    let again = opened(&remote, here.path(), 3, options()).await;
    assert!(again.lies_here(id));
    away.1.store(true, Ordering::SeqCst);
    assert_eq!(again.open(id).await.map(drop).unwrap_err().kind, crate::ErrorKind::Unavailable);
    away.1.store(false, Ordering::SeqCst);
    assert_eq!(read(&again, id).await, "segment");
    assert_eq!(again.recover(only_here, OnDrop::Keep).await.unwrap().len(), 9);
}
