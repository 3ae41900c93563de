//! What the tests of the nouns begin with.

use std::sync::Arc;

use bytes::Bytes;
use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ContentHeaders, ETag, ObjectAcl, ObjectType, OwnerId, StorageClass};

use crate::blob::{BlobIds, BlobStore, MemoryBlobs, OnDrop};
use crate::check::{Report, check};
use crate::clock::{ManualClock, Randomness};
use crate::kv::MemoryKv;
use crate::meta::{AccountChange, Body, BucketRecord, Extent, Meta, ObjectRecord, ObjectRole};
use crate::vault::Vault;

pub(crate) struct Fixture {
    pub(crate) meta: Meta,
    pub(crate) blobs: MemoryBlobs,
    pub(crate) clock: ManualClock,
    pub(crate) bucket: BucketName,
}

/// Stores in memory with one bucket, at one million milliseconds.
pub(crate) async fn fixture() -> Fixture {
    let clock = ManualClock::new(1_000_000);
    let meta =
        Meta::new(Arc::new(MemoryKv::new(clock.clock())), clock.clock()).with_vault(Vault::new(&[7; 32]).unwrap());
    let blobs = MemoryBlobs::new(BlobIds::new(clock.clock(), Randomness::seeded(1)), clock.clock());
    let bucket = BucketName::parse("bucket").unwrap();
    meta.create_bucket(&bucket, &BucketRecord::new(&bucket, owner(), 1_000_000), 100).await.unwrap();
    Fixture { meta, blobs, clock, bucket }
}

pub(crate) fn owner() -> OwnerId {
    OwnerId("1000000000000001".to_owned())
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text.as_bytes()).unwrap()
}

pub(crate) fn channel(text: &str) -> ChannelName {
    ChannelName::parse(text.as_bytes()).unwrap()
}

/// An object with this body.
pub(crate) fn object(body: Body) -> ObjectRecord {
    let size = match &body {
        Body::Inline(bytes) => bytes.len() as u64,
        Body::Blobs(extents) => extents.iter().map(|extent| extent.len).sum(),
        Body::Link(_) => 0,
    };
    ObjectRecord {
        size,
        etag: ETag::from_bits(u128::from(size)),
        crc64: u64::MAX,
        md5: Some([7; 16]),
        modified_ms: 1_700_000_000_000,
        object_type: ObjectType::Normal,
        role: ObjectRole::Ordinary,
        acl: ObjectAcl::Default,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders { content_type: Some(b"text/plain".to_vec()), ..ContentHeaders::default() },
        user_meta: vec![("a".to_owned(), vec![0xff, 0])],
        tags: Vec::new(),
        body,
    }
}

pub(crate) fn inline(text: &'static str) -> ObjectRecord {
    object(Body::Inline(Bytes::from_static(text.as_bytes())))
}

impl Fixture {
    /// Changes one user or key.
    pub(crate) async fn change_account(&self, change: AccountChange<'_>) {
        let seen = self.meta.accounts_seen().await.unwrap();
        self.meta.change_accounts(seen, &[change]).await.unwrap();
    }

    /// A finished blob of `len` bytes, all of it.
    pub(crate) async fn extent(&self, len: usize) -> Extent {
        let mut writer = self.blobs.create(OnDrop::Delete).await.unwrap();
        writer.append(Bytes::from(vec![b'x'; len])).await.unwrap();
        let blob = writer.finish().await.unwrap();
        Extent { blob: blob.id, offset: 0, len: blob.len }
    }

    /// Deletes what lost its name, and expects that nothing else is amiss; how many blobs are left.
    pub(crate) async fn check_clean(&self) -> u64 {
        self.clock.advance_ms(1_000_000);
        while self.meta.collect_garbage(&self.blobs, self.clock.clock().now_ms(), 10).await.unwrap().has_more {}
        let report: Report = check(&self.meta, &self.blobs, self.clock.clock().now_ms(), 1000).await.unwrap();
        assert_eq!(report.findings, []);
        report.blobs
    }
}
