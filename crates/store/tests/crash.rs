//! Stop after the nth write, look at what is left, repair it, and find nothing amiss.
//!
//! One story goes through everything that changes the metadata or the blobs. It is told again and again, each time cut
//! off one write later; whatever the moment, a cut may leave blobs without a name, and nothing else.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

mod engine;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ContentHeaders, ETag, LiveChannelConfig, ObjectAcl, ObjectType, OwnerId, StorageClass};
use store::blob::{
    Blob, BlobId, BlobIds, BlobReader, BlobStore, BlobWriter, MemoryBlobs, OnDrop, ScanCursor, ScanPage,
};
use store::check::{Finding, check, sweep};
use store::clock::{ManualClock, Randomness};
use store::kv::{Claim, Commit, Entry, Kv, Lease, Outcome, Range, Snapshot, Versioned};
use store::live::{Kept, WindowRecord};
use store::meta::{
    Body, BucketRecord, ChannelRecord, Earlier, Extent, Meta, ObjectRecord, ObjectRole, OpenSegment, PartRecord,
    PutGuard, SegmentCommit, SegmentEntry, Source, StartRecord, UploadRecord,
};
use store::{Error, ErrorKind, Result, Subject};

/// Writes that may still happen before the power goes.
#[derive(Clone)]
struct Budget(Arc<AtomicI64>);

impl Budget {
    fn spend(&self) -> Result<()> {
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(()),
            _ => Err(Error::new(ErrorKind::Unavailable, Subject::Engine, "the power is gone")),
        }
    }
}

struct CutKv(Arc<dyn Kv>, Budget);

#[async_trait]
impl Kv for CutKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.0.get(key).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        self.0.range(range).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.0.snapshot().await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        self.1.spend()?;
        self.0.commit(commit).await
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        self.1.spend()?;
        self.0.acquire(name, holder, ttl, claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.0.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.1.spend()?;
        self.0.release(lease).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        self.0.lease(name).await
    }
}

struct CutBlobs(MemoryBlobs, Budget);

#[async_trait]
impl BlobStore for CutBlobs {
    async fn create(&self, _on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        self.1.spend()?;
        // Nobody cleans up after a power cut.
        Ok(Box::new(CutWriter(self.0.create(OnDrop::Keep).await?, self.1.clone())))
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>> {
        self.0.open(id).await
    }

    async fn recover(&self, id: BlobId, on_drop: OnDrop) -> Result<Box<dyn BlobWriter>> {
        self.0.recover(id, on_drop).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.1.spend()?;
        self.0.delete(id).await
    }

    async fn scan(&self, cursor: Option<ScanCursor>) -> Result<ScanPage> {
        self.0.scan(cursor).await
    }
}

struct CutWriter(Box<dyn BlobWriter>, Budget);

#[async_trait]
impl BlobWriter for CutWriter {
    fn id(&self) -> BlobId {
        self.0.id()
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn crc64(&self) -> Option<u64> {
        self.0.crc64()
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.1.spend()?;
        self.0.append(bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.0.flush().await
    }

    async fn sync(&mut self) -> Result<()> {
        self.0.sync().await
    }

    async fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.truncate(len).await
    }

    async fn finish(self: Box<Self>) -> Result<Blob> {
        self.1.spend()?;
        self.0.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.1.spend()?;
        self.0.abort().await
    }
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

fn channel() -> ChannelName {
    ChannelName::parse(b"ch").unwrap()
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text.as_bytes()).unwrap()
}

fn object(body: Body) -> ObjectRecord {
    let size = match &body {
        Body::Inline(bytes) => bytes.len() as u64,
        Body::Blobs(extents) => extents.iter().map(|extent| extent.len).sum(),
        Body::Link(_) => 0,
    };
    ObjectRecord {
        size,
        etag: ETag::from_bits(u128::from(size)),
        crc64: 0,
        md5: None,
        modified_ms: 1,
        object_type: ObjectType::Normal,
        role: ObjectRole::Ordinary,
        acl: ObjectAcl::Default,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders::default(),
        user_meta: Vec::new(),
        tags: Vec::new(),
        body,
    }
}

async fn extent(blobs: &dyn BlobStore, len: usize) -> Result<Extent> {
    let mut writer = blobs.create(OnDrop::Delete).await?;
    writer.append(Bytes::from(vec![1; len])).await?;
    let blob = writer.finish().await?;
    Ok(Extent { blob: blob.id, offset: 0, len: blob.len })
}

async fn tell(meta: &Meta, blobs: &dyn BlobStore, clock: &ManualClock) -> Result<()> {
    let bucket = bucket();
    meta.create_bucket(&bucket, &BucketRecord::new(&bucket, OwnerId("1".to_owned()), 1), 9).await?;
    objects(meta, blobs).await?;
    copies(meta, blobs).await?;
    upload(meta, blobs).await?;
    push(meta, blobs).await?;
    clock.advance_ms(1_000_000);
    meta.collect_garbage(blobs, clock.clock().now_ms(), 2).await?;
    meta.delete_channel(&bucket, &channel()).await?;
    meta.delete_objects(&bucket, &["ch/1000.ts", "ch/2000.ts", "a", "big", "ch/playlist.m3u8"].map(key)).await?;
    clock.advance_ms(1_000_000);
    meta.collect_garbage(blobs, clock.clock().now_ms(), 100).await?;
    meta.delete_object(&bucket, &key("many")).await?;
    meta.delete_bucket(&bucket).await
}

async fn objects(meta: &Meta, blobs: &dyn BlobStore) -> Result<()> {
    let bucket = bucket();
    let bodies = [
        Body::Inline(Bytes::from_static(b"small")),
        Body::Blobs(vec![extent(blobs, 100).await?]),
        Body::Blobs(vec![extent(blobs, 200).await?]),
        Body::Link("many".to_owned()),
    ];
    for body in bodies {
        meta.put_object(&bucket, &key("a"), &object(body), PutGuard::Any).await?;
    }
    let mut extents = Vec::new();
    for len in 1..8 {
        extents.push(extent(blobs, len).await?);
        let grown = object(Body::Blobs(extents.clone()));
        meta.put_object(&bucket, &key("many"), &grown, PutGuard::Any).await?;
    }
    meta.update_object(&bucket, &key("many"), |object| object.acl = ObjectAcl::Private).await.map(|_| ())
}

/// Blobs with several names: in objects, parts and what they become; the first name goes before the others.
async fn copies(meta: &Meta, blobs: &dyn BlobStore) -> Result<()> {
    let bucket = bucket();
    let original = object(Body::Blobs(vec![extent(blobs, 50).await?, extent(blobs, 60).await?]));
    let version = meta.put_object(&bucket, &key("original"), &original, PutGuard::Any).await?;
    let from = key("original");
    let source = Source { bucket: &bucket, key: &from, version };
    for name in ["copy", "copy", "second copy"] {
        meta.put_object_from(&bucket, &key(name), &original, PutGuard::Any, &source).await?;
    }
    meta.initiate_upload(&bucket, &key("joined"), "THREE", &upload_record()).await?;
    for number in [1, 2, 3] {
        let Body::Blobs(extents) = &original.body else { return Ok(()) };
        let part = part(extents.clone());
        meta.put_part_from(&bucket, &key("joined"), "THREE", number, &part, &source).await?;
    }
    meta.delete_object(&bucket, &from).await?;
    let seen = meta.upload(&bucket, &key("joined"), "THREE").await?.unwrap().version;
    let parts = meta.list_parts(&bucket, "THREE", 0, 2).await?.items;
    let chosen = object(Body::Blobs(parts.into_iter().flat_map(|(_, part)| part.extents).collect()));
    meta.complete_upload(&bucket, &key("joined"), "THREE", seen, &chosen, PutGuard::Any).await?;
    meta.put_object(&bucket, &key("copy"), &object(Body::Inline(Bytes::new())), PutGuard::Any).await?;
    meta.delete_objects(&bucket, &["joined", "copy"].map(key)).await?;
    meta.delete_object(&bucket, &key("second copy")).await.map(|_| ())
}

fn upload_record() -> UploadRecord {
    UploadRecord {
        initiated_ms: 1,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders::default(),
        user_meta: Vec::new(),
        tags: Vec::new(),
        initiator: None,
    }
}

fn part(extents: Vec<Extent>) -> PartRecord {
    PartRecord {
        size: extents.iter().map(|extent| extent.len).sum(),
        etag: ETag::from_bits(0),
        crc64: 0,
        md5: None,
        modified_ms: 1,
        extents,
    }
}

async fn upload(meta: &Meta, blobs: &dyn BlobStore) -> Result<()> {
    let bucket = bucket();
    let record = upload_record();
    for id in ["ONE", "TWO"] {
        meta.initiate_upload(&bucket, &key("big"), id, &record).await?;
        for number in [1, 2, 2, 3] {
            let part = part(vec![extent(blobs, usize::from(number)).await?]);
            meta.put_part(&bucket, &key("big"), id, number, &part).await?;
        }
    }
    let seen = meta.upload(&bucket, &key("big"), "ONE").await?.unwrap().version;
    let parts = meta.list_parts(&bucket, "ONE", 0, 2).await?.items;
    let chosen = object(Body::Blobs(parts.into_iter().flat_map(|(_, part)| part.extents).collect()));
    meta.complete_upload(&bucket, &key("big"), "ONE", seen, &chosen, PutGuard::Any).await?;
    meta.abort_upload(&bucket, &key("big"), "TWO").await
}

async fn push(meta: &Meta, blobs: &dyn BlobStore) -> Result<()> {
    let (bucket, channel) = (bucket(), channel());
    let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
    meta.put_channel(&bucket, &channel, &record, 9).await?;
    let lease = meta.acquire_publisher(&bucket, &channel, "first life", Duration::from_secs(60), Claim::IfFree).await?;
    let start = StartRecord {
        started_ms: 1,
        remote_addr: "192.0.2.1:1".to_owned(),
        playlist: "playlist.m3u8".to_owned(),
        details: Bytes::new(),
    };
    let session = meta.begin_publication(&lease, &start).await?;
    for number_ms in [1000, 2000] {
        let mut writer = blobs.create(OnDrop::Keep).await?;
        let open = OpenSegment { number_ms, blob: writer.id(), details: Bytes::new() };
        meta.note_segments(&lease, &[], Some(&open)).await?;
        writer.append(Bytes::from_static(b"half ")).await?;
        writer.append(Bytes::from_static(b"whole")).await?;
        let blob = writer.finish().await?;
        meta.commit_segment(&lease, &segment(number_ms, session, blob)).await?;
    }
    meta.end_publication(&lease, None, bytes::Bytes::new()).await?;
    meta.release_publisher(&lease).await
}

fn segment(number_ms: u64, session: u32, blob: Blob) -> SegmentCommit {
    SegmentCommit {
        key: key(&format!("ch/{number_ms}.ts")),
        object: object(Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len: blob.len }])),
        entry: SegmentEntry {
            number_ms,
            opened_ms: number_ms,
            duration_ms: 1000,
            session,
            size: blob.len,
            is_discontinuous: false,
            is_independent: false,
            is_damaged: false,
            container: model::Container::MpegTs,
        },
        playlist: Some((key("ch/playlist.m3u8"), object(Body::Inline(Bytes::from(number_ms.to_string()))))),
        window: WindowRecord::default().to_bytes().unwrap(),
        waiting: Vec::new(),
        next: None,
        end_ms: 3000,
    }
}

/// What a server does at its start: close the segments that were open.
async fn repair(meta: &Meta, blobs: &dyn BlobStore) -> usize {
    let mut repaired = 0;
    for dangling in
        meta.dangling_publications(Some(Earlier { instance: "first life", life: "first life" })).await.unwrap()
    {
        let claim = dangling.lease.map_or(Claim::IfFree, |lease| Claim::TakeOver(lease.token));
        let ttl = Duration::from_secs(60);
        let lease =
            meta.acquire_publisher(&dangling.bucket, &dangling.channel, "second life", ttl, claim).await.unwrap();
        if let Some(open) = dangling.record.open {
            let torn = blobs.recover(open.blob, OnDrop::Keep).await.unwrap();
            let blob = torn.finish().await.unwrap();
            meta.commit_segment(&lease, &segment(open.number_ms, dangling.record.session, blob)).await.unwrap();
            repaired += 1;
        }
        meta.end_publication(&lease, None, bytes::Bytes::new()).await.unwrap();
        meta.release_publisher(&lease).await.unwrap();
    }
    repaired
}

#[tokio::test]
async fn a_cut_at_any_write_leaves_at_most_orphans() {
    let mut repaired = 0;
    let mut orphans = 0;
    let mut is_whole = false;
    for cut in 0.. {
        let clock = ManualClock::new(1_000_000);
        let budget = Budget(Arc::new(AtomicI64::new(cut)));
        let kv = engine::map(&clock).await;
        let ids = BlobIds::new(clock.clock(), Randomness::seeded(cut.unsigned_abs()));
        let blobs = MemoryBlobs::new(ids, clock.clock());
        let cut_meta = Meta::new(Arc::new(CutKv(kv.clone(), budget.clone())), clock.clock());
        is_whole = tell(&cut_meta, &CutBlobs(blobs.clone(), budget), &clock).await.is_ok();

        // The second life, on what the first one left.
        let meta = Meta::new(kv, clock.clock());
        clock.advance_ms(10_000);
        let now_ms = clock.clock().now_ms();
        for finding in check(&meta, &blobs, now_ms, 0).await.unwrap().findings {
            assert!(matches!(finding, Finding::OrphanBlob(..)), "cut after {cut}: {finding}");
        }
        repaired += repair(&meta, &blobs).await;
        orphans += sweep(&meta, &blobs, now_ms, 0).await.unwrap();
        clock.advance_ms(1_000_000);
        while meta.collect_garbage(&blobs, clock.clock().now_ms(), 10).await.unwrap().has_more {}
        let report = check(&meta, &blobs, clock.clock().now_ms(), 0).await.unwrap();
        assert_eq!(report.findings, [], "cut after {cut}");
        if is_whole {
            assert_eq!(report.blobs, 0, "the whole story deletes what it made");
            break;
        }
        assert!(cut < 1000, "the story never ends");
    }
    assert!(is_whole && repaired > 3 && orphans > 10, "{repaired} repaired, {orphans} orphans");
}
