use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::blob::OnDrop;
use crate::clock::{Clock, Randomness};
use crate::fixture::{key, object, owner};
use crate::kv::{SqliteKv, SqliteOptions};
use crate::meta::{Body, BucketRecord, Extent, Meta, PutGuard};

/// A store on disk with one bucket.
struct Source {
    folder: tempfile::TempDir,
    blobs: FileBlobs,
    meta: Meta,
    bucket: model::name::BucketName,
}

fn ids(seed: u64) -> BlobIds {
    BlobIds::new(Clock::system(), Randomness::seeded(seed))
}

impl Source {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::open(&folder.path().join("blobs"), ids(1)).unwrap();
        let kv =
            SqliteKv::open(&folder.path().join("meta.sqlite"), &SqliteOptions::default(), Clock::system()).unwrap();
        let meta = Meta::new(Arc::new(kv), Clock::system()).with_garbage_grace_ms(0);
        let bucket = model::name::BucketName::parse("bucket").unwrap();
        meta.create_bucket(&bucket, &BucketRecord::new(&bucket, owner(), 1_000_000), 100).await.unwrap();
        Self { folder, blobs, meta, bucket }
    }

    async fn put(&self, name: &str, bytes: &'static [u8]) {
        let mut writer = self.blobs.create(OnDrop::Delete).await.unwrap();
        writer.append(Bytes::from_static(bytes)).await.unwrap();
        let blob = writer.finish().await.unwrap();
        let body = Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len: blob.len }]);
        self.meta.put_object(&self.bucket, &key(name), &object(body), PutGuard::Any).await.unwrap();
    }

    async fn back_up(&self, repository: &Repository, name: &str) -> Filled {
        let draft = repository.begin(name).unwrap();
        let pace = Pace { may_link: true, bytes_per_s: None };
        let filled = draft.fill(&self.folder.path().join("meta.sqlite"), &self.blobs, pace).await.unwrap();
        draft.keep().unwrap();
        filled
    }

    async fn collect(&self) -> crate::meta::Collected {
        self.meta.collect_garbage(&self.blobs, i64::MAX, 100).await.unwrap()
    }
}

async fn faults(generation: &Generation) -> Vec<crate::check::Finding> {
    let meta = generation.meta().unwrap();
    let mut report = crate::check::check(&meta, &generation.blobs(), 0, 0).await.unwrap();
    crate::check::verify(&generation.blobs(), &mut report).await;
    report.findings.retain(|finding| !matches!(finding, crate::check::Finding::OrphanBlob(..)));
    report.findings
}

#[tokio::test]
async fn garbage_waits_for_whoever_holds_it() {
    let source = Source::new().await;
    source.put("a", b"one").await;
    let (hold, other) = (source.blobs.hold_garbage().unwrap(), source.blobs.hold_garbage().unwrap());
    source.meta.delete_object(&source.bucket, &key("a")).await.unwrap();
    assert!(source.collect().await.is_held);
    drop(hold);
    assert!(source.collect().await.is_held);
    drop(other);
    assert_eq!(source.collect().await.blobs, 1);
}

#[tokio::test]
async fn generations_share_what_did_not_change_and_the_last_takes_its_blobs_along() {
    let source = Source::new().await;
    let root = tempfile::tempdir().unwrap();
    let repository = Repository::make(root.path(), ids(2)).unwrap();
    source.put("a", b"one").await;
    source.put("b", b"two").await;
    assert_eq!(source.back_up(&repository, "1").await.new.len(), 2);
    source.put("b", b"three").await;
    source.put("c", b"four").await;
    source.collect().await;
    let filled = source.back_up(&repository, "2").await;
    assert_eq!((filled.new.len(), filled.present, filled.missing), (2, 1, 0));
    for name in ["1", "2"] {
        assert_eq!(faults(&repository.generation(name).unwrap()).await, []);
    }
    assert_eq!(repository.prune(1).await.unwrap(), (vec!["1".to_owned()], 1));
    assert_eq!(faults(&repository.generation("2").unwrap()).await, []);
    assert_eq!(repository.prune(1).await.unwrap(), (vec![], 0));
    assert!(repository.generation("1").is_err());
}

#[tokio::test]
async fn a_backup_that_was_cut_off_leaves_the_others_whole() {
    let source = Source::new().await;
    let root = tempfile::tempdir().unwrap();
    let repository = Repository::make(root.path(), ids(2)).unwrap();
    source.put("a", b"one").await;
    source.back_up(&repository, "1").await;
    source.put("b", b"two").await;
    let draft = repository.begin("2").unwrap();
    draft.fill(&source.folder.path().join("meta.sqlite"), &source.blobs, Pace::default()).await.unwrap();
    drop((draft, repository));
    let repository = Repository::make(root.path(), ids(2)).unwrap();
    assert_eq!(repository.generations().unwrap(), ["1"]);
    assert_eq!(faults(&repository.generation("1").unwrap()).await, []);
    assert_eq!(repository.prune(9).await.unwrap().1, 1, "what the cut one brought goes");
}

#[tokio::test]
async fn a_folder_with_something_else_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    assert!(Repository::make(root.path(), ids(2)).is_err());
    assert!(Repository::open(root.path(), ids(2)).is_err());
    let empty = tempfile::tempdir().unwrap();
    // What a first run leaves that was cut off before the marker had its name.
    fs::write(empty.path().join("lock"), "").unwrap();
    fs::write(empty.path().join("millpond-backup.new"), "mill").unwrap();
    fs::create_dir(empty.path().join("generations")).unwrap();
    let _held = Repository::make(empty.path(), ids(2)).unwrap();
    assert!(Repository::open(empty.path(), ids(2)).is_err(), "somebody is at it");
}
