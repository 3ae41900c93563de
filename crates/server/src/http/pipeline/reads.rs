//! How often a request asks the store: a row that is read twice is a race between what was decided and what is answered,
//! and a cost.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use model::name::{BucketName, ObjectKey};
use model::{BucketAcl, Error, OwnerId};
use oss::request::{Addressing, HostFallback, RawRequest};
use store::blob::{BlobIds, BlobStore, MemoryBlobs, OnDrop};
use store::clock::{Clock as StoreClock, Randomness};
use store::kv::{Claim, Commit, Entry, Kv, Lease, MemoryKv, Outcome, Range, Snapshot, Versioned};
use store::meta::{Body, BucketRecord, Extent, Meta, ObjectRole, PutGuard};

use super::{Door, Envelope, RequestFacts, run};
use crate::config::Config;
use crate::edge::Edge;
use crate::objects::{BodySource, playlist_record};

/// Notes the table of every row that is read.
struct Counting {
    kv: MemoryKv,
    reads: Arc<Mutex<String>>,
}

impl Counting {
    fn note(&self, key: &[u8]) {
        note(&self.reads, key);
    }
}

fn note(reads: &Mutex<String>, key: &[u8]) {
    reads.lock().unwrap().push(char::from(key.first().copied().unwrap_or(b'?')));
}

#[async_trait]
impl Kv for Counting {
    async fn get(&self, key: &[u8]) -> store::Result<Option<Versioned>> {
        self.note(key);
        self.kv.get(key).await
    }

    async fn range(&self, range: &Range) -> store::Result<Vec<Entry>> {
        self.note(&range.from);
        self.kv.range(range).await
    }

    async fn snapshot(&self) -> store::Result<Box<dyn Snapshot>> {
        Ok(Box::new(CountingSnapshot { snapshot: self.kv.snapshot().await?, reads: self.reads.clone() }))
    }

    async fn commit(&self, commit: Commit) -> store::Result<Outcome> {
        self.kv.commit(commit).await
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> store::Result<Lease> {
        self.kv.acquire(name, holder, ttl, claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> store::Result<Lease> {
        self.kv.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> store::Result<()> {
        self.kv.release(lease).await
    }

    async fn lease(&self, name: &str) -> store::Result<Option<Lease>> {
        self.kv.lease(name).await
    }
}

struct CountingSnapshot {
    snapshot: Box<dyn Snapshot>,
    reads: Arc<Mutex<String>>,
}

#[async_trait]
impl Snapshot for CountingSnapshot {
    async fn get(&self, key: &[u8]) -> store::Result<Option<Versioned>> {
        note(&self.reads, key);
        self.snapshot.get(key).await
    }

    async fn range(&self, range: &Range) -> store::Result<Vec<Entry>> {
        note(&self.reads, &range.from);
        self.snapshot.range(range).await
    }
}

/// No body.
struct Nothing;

impl BodySource for Nothing {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<Bytes>, Error>> + Send + '_>> {
        Box::pin(async { Ok(None) })
    }

    fn announced_length(&self) -> Option<u64> {
        None
    }

    fn is_present(&self) -> bool {
        false
    }
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

async fn server(policy: Option<&str>) -> (Arc<Edge>, Arc<Mutex<String>>) {
    let clock = StoreClock::system();
    let reads = Arc::new(Mutex::new(String::new()));
    let kv = Counting { kv: MemoryKv::new(clock.clone()), reads: reads.clone() };
    let meta = Meta::new(Arc::new(kv), clock.clone());
    let blobs = Arc::new(MemoryBlobs::new(BlobIds::new(clock.clone(), Randomness::seeded(1)), clock));
    let mut record = BucketRecord::new(&bucket(), OwnerId("1000000000000001".to_owned()), 1);
    record.acl = BucketAcl::PublicRead;
    record.policy_json = policy.map(str::to_owned);
    meta.create_bucket(&bucket(), &record, 10).await.unwrap();
    let small = playlist_record(b"small".to_vec(), ObjectRole::Ordinary, 1);
    meta.put_object(&bucket(), &key("small"), &small, PutGuard::Any).await.unwrap();
    let mut writer = blobs.create(OnDrop::Delete).await.unwrap();
    writer.append(Bytes::from(vec![b'l'; 100_000])).await.unwrap();
    let blob = writer.finish().await.unwrap();
    let body = Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len: blob.len }]);
    let large = store::meta::ObjectRecord { size: blob.len, body, ..small };
    meta.put_object(&bucket(), &key("large"), &large, PutGuard::Any).await.unwrap();
    let addressing = Addressing {
        base_domains: Vec::new(),
        cnames: Vec::new(),
        host_fallback: HostFallback::Path,
        force_virtual_hosted: false,
    };
    let edge = Edge::in_memory(meta, blobs, addressing, Config::default()).unwrap();
    (Arc::new(edge), reads)
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text.as_bytes()).unwrap()
}

async fn get(edge: &Arc<Edge>, path: &str) -> u16 {
    let raw = RawRequest {
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: "127.0.0.1:9000".to_owned(),
        ..RawRequest::default()
    };
    let mut envelope = Envelope {
        request_id: "0".repeat(24),
        started: Instant::now(),
        now_ms: edge.clock.now_ms(),
        answered_ms: 0,
        host: raw.host.clone(),
        is_head: false,
        cors: None,
        vary_origin: false,
        has_pages: false,
        keeps_no_refusal: false,
    };
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let outcome = run(edge, &raw, &mut Nothing, peer, Door::Public, &mut envelope, &mut RequestFacts::default()).await;
    outcome.map_or_else(|error| error.code.status(), |answer| answer.status)
}

/// `B` is the row of the bucket, `O` that of the object, `D` that of its body.
async fn check(policy: Option<&str>, path: &str, expected: &str) {
    let (edge, reads) = server(policy).await;
    reads.lock().unwrap().clear();
    assert_eq!(get(&edge, path).await, 200, "{path}");
    assert_eq!(reads.lock().unwrap().as_str(), expected, "{path} {policy:?}");
}

#[tokio::test]
async fn an_anonymous_get_reads_each_row_once() {
    check(None, "/bucket/small", "BOD").await;
    check(None, "/bucket/large", "BO").await;
}

#[tokio::test]
async fn a_policy_that_looks_at_the_object_reads_it_no_second_time() {
    let policy = r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["oss:GetObject"], "Principal": ["*"],
        "Resource": ["acs:oss:*:*:bucket/*"]}]}"#;
    check(Some(policy), "/bucket/small", "BOD").await;
    check(Some(policy), "/bucket/large", "BO").await;
}
