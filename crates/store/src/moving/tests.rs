//! Moves between stores in memory and in files, whole, cut off and begun again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use model::{ContentHeaders, ETag, StorageClass};

use super::*;
use crate::blob::{BlobIds, BlobReader, BlobWriter, FileBlobs, MemoryBlobs, OnDrop, ScanCursor, ScanPage};
use crate::check::list_blobs;
use crate::clock::Randomness;
use crate::fixture::{Fixture, channel, fixture, inline, key as object_key, object, owner};
use crate::kv::MemoryKv;
use crate::meta::{AccountChange, Body, KeyRecord, PartRecord, PutGuard, UploadRecord};
use crate::vault::Vault;

struct Target {
    meta: Meta,
    blobs: MemoryBlobs,
}

fn target(f: &Fixture) -> Target {
    let clock = f.clock.clock();
    Target {
        meta: Meta::new(Arc::new(MemoryKv::new(clock.clone())), clock.clone())
            .with_vault(Vault::new(&[7; 32]).unwrap()),
        blobs: MemoryBlobs::new(BlobIds::new(clock.clone(), Randomness::seeded(2)), clock),
    }
}

fn from(text: &str) -> Mark {
    Mark { from: text.to_owned(), begun_ms: 1 }
}

/// A bucket with something of every kind.
async fn filled() -> Fixture {
    let f = fixture().await;
    let put = async |name: &str, record| {
        f.meta.put_object(&f.bucket, &object_key(name), &record, PutGuard::Any).await.unwrap();
    };
    put("small", inline("hello")).await;
    put("big", object(Body::Blobs(vec![f.extent(70_000).await]))).await;
    let shared = f.extent(10).await;
    put("one", object(Body::Blobs(vec![shared]))).await;
    put("two", object(Body::Blobs(vec![shared]))).await;
    f.meta.kv().commit(Commit::new().write(Write::Add(key::sharing(shared.blob), vec![1]))).await.unwrap();
    let mut many = Vec::new();
    for n in 0..40 {
        many.push(f.extent(n + 1).await);
    }
    put("many", object(Body::Blobs(many))).await;
    let upload = UploadRecord {
        initiated_ms: 1,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders::default(),
        user_meta: Vec::new(),
        tags: Vec::new(),
        initiator: None,
    };
    f.meta.initiate_upload(&f.bucket, &object_key("begun"), "0A", &upload).await.unwrap();
    let extents = vec![f.extent(5).await];
    let part = PartRecord { size: 5, etag: ETag::from_bits(1), crc64: 1, md5: None, modified_ms: 1, extents };
    f.meta.put_part(&f.bucket, &object_key("begun"), "0A", 1, &part).await.unwrap();
    let secret = KeyRecord {
        id: "AK".to_owned(),
        secret: "hush".to_owned(),
        uid: owner(),
        enabled: true,
        created_ms: 1,
        description: String::new(),
    };
    f.change_account(AccountChange::PutKey(&secret)).await;
    f
}

/// The whole of a move, as the command does it; what the target has then that it should not have.
async fn moved(f: &Fixture, meta: &Meta, blobs: &dyn TakeBlobs, progress: &Progress) -> Result<Vec<Finding>> {
    let now_ms = f.clock.clock().now_ms();
    let plan = plan(&f.meta, &f.blobs, now_ms).await?;
    begin(meta, blobs, &from("here")).await?;
    assert_eq!(copy_blobs(&plan, &f.blobs, blobs, progress).await?, []);
    copy_rows(&f.meta, meta, progress).await?;
    assert_eq!(count_differing_rows(&f.meta, meta, &Progress::default()).await?, 0);
    let report = examine(&plan, meta, blobs, now_ms).await?;
    assert_eq!(compare_blobs(&plan, &f.blobs, blobs, &Progress::default()).await?, []);
    finish(meta).await?;
    Ok(report.findings)
}

#[tokio::test]
async fn everything_that_has_a_name_is_moved() {
    let f = filled().await;
    let orphan = f.extent(3).await;
    let t = target(&f);
    let progress = Progress::default();
    assert_eq!(moved(&f, &t.meta, &t.blobs, &progress).await.unwrap(), []);
    for name in ["small", "big", "one", "two", "many"] {
        let there = t.meta.object(&f.bucket, &object_key(name)).await.unwrap();
        let here = f.meta.object(&f.bucket, &object_key(name)).await.unwrap();
        assert_eq!(there.map(|stored| stored.value), here.map(|stored| stored.value), "{name}");
    }
    let key = model::name::AccessKeyId::parse("AK").unwrap();
    assert_eq!(t.meta.key(&key).await.unwrap().map(|key| key.secret).as_deref(), Some("hush"));
    assert!(t.blobs.open(orphan.blob).await.map(drop).unwrap_err().is_not_found());
    assert_eq!(mark(&t.meta).await.unwrap(), None);
    assert_eq!(progress.amounts().blobs, 43, "one, shared by two, forty of many, and a part");
    // The target goes on where the source ended.
    t.meta.delete_object(&f.bucket, &object_key("many")).await.unwrap();
    assert_eq!(crate::check::check(&t.meta, &t.blobs, 0, 0).await.unwrap().findings, []);
}

#[tokio::test]
async fn files_take_blobs_with_their_checksums() {
    let f = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let clock = f.clock.clock();
    let files = FileBlobs::open(folder.path(), BlobIds::new(clock, Randomness::seeded(3))).unwrap();
    let t = target(&f);
    assert_eq!(moved(&f, &t.meta, &files, &Progress::default()).await.unwrap(), []);
    let mut report = crate::check::check(&t.meta, &files, f.clock.clock().now_ms(), 0).await.unwrap();
    crate::check::verify(&files, &mut report).await;
    assert_eq!((report.findings.as_slice(), report.verified, report.unsummed), (&[][..], 43, 0));
}

/// Blobs that stop being taken after so many.
struct Failing(MemoryBlobs, AtomicUsize);

#[async_trait]
impl BlobStore for Failing {
    async fn create(&self, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        self.0.create(on_drop).await
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        self.0.open(id).await
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        self.0.recover(id, on_drop).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.0.delete(id).await
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        self.0.scan(cursor).await
    }
}

#[async_trait]
impl TakeBlobs for Failing {
    async fn take(&self, id: BlobId, from: &dyn BlobReader) -> Result<()> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| Error::unavailable(Subject::Blob, "the store is away"))?;
        self.0.take(id, from).await
    }
}

#[tokio::test]
async fn a_move_that_was_cut_off_goes_on() {
    let f = filled().await;
    let t = target(&f);
    let failing = Failing(t.blobs.clone(), AtomicUsize::new(20));
    let error = moved(&f, &t.meta, &failing, &Progress::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(mark(&t.meta).await.unwrap(), Some(from("here")));
    // One that is not whole is begun anew.
    let known = list_blobs(&t.blobs).await.unwrap();
    let torn = plan(&f.meta, &f.blobs, 0).await.unwrap().blobs.into_iter().find(|(id, _)| !known.contains_key(id));
    t.blobs.take(torn.unwrap().0, &Short).await.unwrap();

    // The source was used in between: objects came, went, and were overwritten.
    f.meta.delete_object(&f.bucket, &object_key("one")).await.unwrap();
    f.meta.put_object(&f.bucket, &object_key("small"), &inline("other"), PutGuard::Any).await.unwrap();
    let more = object(Body::Blobs(vec![f.extent(9).await]));
    f.meta.put_object(&f.bucket, &object_key("new"), &more, PutGuard::Any).await.unwrap();

    let progress = Progress::default();
    assert_eq!(moved(&f, &t.meta, &t.blobs, &progress).await.unwrap(), []);
    let amounts = progress.amounts();
    assert_eq!((amounts.present, amounts.blobs), (20, 24));
    let small = t.meta.object(&f.bucket, &object_key("small")).await.unwrap().unwrap();
    assert_eq!(small.value.body, Body::Inline(Bytes::from_static(b"other")));
    assert_eq!(t.meta.object(&f.bucket, &object_key("one")).await.unwrap(), None);
}

/// Less than there should be.
struct Short;

#[async_trait]
impl BlobReader for Short {
    fn len(&self) -> u64 {
        0
    }

    async fn read_at(&self, _offset: u64, _len: usize) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn try_read_at(&self, _offset: u64, _len: usize) -> Option<Bytes> {
        None
    }
}

#[tokio::test]
async fn rows_are_made_equal_whatever_was_there() {
    let f = filled().await;
    let t = target(&f);
    let put = async |key: &[u8], value: &'static [u8]| {
        let write = Write::Put(key.to_vec(), Bytes::from_static(value));
        t.meta.kv().commit(Commit::new().write(write)).await.unwrap();
    };
    // The rows of an object and of its body, right each, and not written by one commit.
    for table in [Table::Body, Table::Object] {
        let key = table.pair(f.bucket.as_str(), "small");
        let value = f.meta.kv().get(&key).await.unwrap().unwrap().value;
        t.meta.kv().commit(Commit::new().write(Write::Put(key, value))).await.unwrap();
    }
    put(b"Dbucket\0gone", b"x").await;
    put(b"\0first", b"x").await;
    put(b"zlast", b"x").await;
    // Processes of the target are none of the source's business, and the other way round.
    put(b"Ihere", b"x").await;
    f.meta.kv().commit(Commit::new().write(Write::Put(b"Jthere".to_vec(), Bytes::from_static(b"x")))).await.unwrap();
    for n in 0..3000_u32 {
        put(format!("Xmore{n:05}").as_bytes(), b"x").await;
        f.meta
            .kv()
            .commit(Commit::new().write(Write::Put(format!("Y{n:05}").into_bytes(), Bytes::from_static(b"y"))))
            .await
            .unwrap();
    }
    assert!(count_differing_rows(&f.meta, &t.meta, &Progress::default()).await.unwrap() > 6000);
    let rows = copy_rows(&f.meta, &t.meta, &Progress::default()).await.unwrap();
    assert_eq!(rows.deleted, 3003);
    assert_eq!(count_differing_rows(&f.meta, &t.meta, &Progress::default()).await.unwrap(), 0);
    assert!(t.meta.object(&f.bucket, &object_key("small")).await.unwrap().is_some());
    assert!(t.meta.kv().get(b"Ihere").await.unwrap().is_some());
    assert_eq!(t.meta.kv().get(b"Jthere").await.unwrap(), None);
    let again = copy_rows(&f.meta, &t.meta, &Progress::default()).await.unwrap();
    assert_eq!((again.put, again.deleted, again.seen), (0, 0, rows.seen));
}

#[tokio::test]
async fn what_a_newer_program_wrote_is_moved_as_it_is() {
    let f = filled().await;
    let unnamed = f.extent(8).await;
    let newer = Bytes::from_static(b"\x7fwhatever it means");
    let key = Table::Object.pair(f.bucket.as_str(), "newer");
    f.meta.kv().commit(Commit::new().write(Write::Put(key.clone(), newer.clone()))).await.unwrap();
    let t = target(&f);
    assert_eq!(moved(&f, &t.meta, &t.blobs, &Progress::default()).await.unwrap(), []);
    assert_eq!(t.meta.kv().get(&key).await.unwrap().unwrap().value, newer);
    assert!(t.blobs.open(unnamed.blob).await.is_ok(), "the row may name it");
}

#[tokio::test]
async fn damage_is_told_and_no_new_damage_hides_behind_it() {
    let f = filled().await;
    let lost = f.extent(4).await;
    let record = object(Body::Blobs(vec![lost]));
    f.meta.put_object(&f.bucket, &object_key("lost"), &record, PutGuard::Any).await.unwrap();
    f.blobs.delete(lost.blob).await.unwrap();
    let t = target(&f);
    let plan = plan(&f.meta, &f.blobs, 0).await.unwrap();
    assert_eq!(plan.findings, [Finding::MissingBlob("Obucket\\x00lost".to_owned(), lost.blob)]);
    assert_eq!(moved(&f, &t.meta, &t.blobs, &Progress::default()).await.unwrap(), [], "it was so before");
    let (another, _) = plan.blobs[0];
    t.blobs.delete(another).await.unwrap();
    let report = examine(&plan, &t.meta, &t.blobs, 0).await.unwrap();
    assert!(matches!(report.findings.as_slice(), [Finding::MissingBlob(_, blob)] if *blob == another));
    let differing = compare_blobs(&plan, &f.blobs, &t.blobs, &Progress::default()).await.unwrap();
    assert_eq!(differing.len(), 1);
}

#[tokio::test]
async fn what_is_in_use_is_refused() {
    let f = filled().await;
    // A target with rows, with blobs, or of another move.
    assert_eq!(begin(&f.meta, &target(&f).blobs, &from("here")).await.unwrap_err().kind, ErrorKind::Conflict);
    let t = target(&f);
    assert_eq!(begin(&t.meta, &f.blobs, &from("here")).await.unwrap_err().kind, ErrorKind::Conflict);
    assert!(!begin(&t.meta, &t.blobs, &from("here")).await.unwrap());
    assert!(begin(&t.meta, &t.blobs, &from("here")).await.unwrap());
    let other = begin(&t.meta, &t.blobs, &from("there")).await.unwrap_err();
    assert!(other.detail.contains("from here"), "{other}");
    // A source that is such a target, or has a push.
    assert_eq!(plan(&t.meta, &t.blobs, 0).await.map(drop).unwrap_err().kind, ErrorKind::Conflict);
    let row = key::of_channel(Table::Publication, &f.bucket, &channel("camera"));
    f.meta.kv().commit(Commit::new().write(Write::Put(row, Bytes::from_static(b"x")))).await.unwrap();
    let live = plan(&f.meta, &f.blobs, 0).await.map(drop).unwrap_err();
    assert_eq!(live.kind, ErrorKind::Held);
    assert!(live.detail.contains("bucket/camera"), "{live}");
}
