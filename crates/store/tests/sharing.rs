//! Random puts, copies, appends, uploads and deletions against a plain map of bytes: whatever the order, every object
//! reads as the map says, every blob is counted as often as it is named, and nothing is left of what was deleted.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

mod engine;

use std::collections::BTreeMap;

use bytes::Bytes;
use model::name::{BucketName, ObjectKey};
use model::{ContentHeaders, ETag, ObjectAcl, ObjectType, OwnerId, StorageClass};
use proptest::prelude::*;
use store::blob::{BlobIds, BlobStore, MemoryBlobs, OnDrop};
use store::check::check;
use store::clock::{ManualClock, Randomness};
use store::meta::{
    Body, BucketRecord, Extent, Meta, ObjectRecord, ObjectRole, PartRecord, PutGuard, Source, Stored, UploadRecord,
};
use store::{ErrorKind, Subject};

/// One thing that is done; numbers choose among the names there are.
#[derive(Debug, Clone)]
enum Step {
    Put {
        to: u8,
        len: u8,
        is_inline: bool,
    },
    Copy {
        from: u8,
        to: u8,
    },
    /// Copies what was read before something else happened to the source.
    StaleCopy {
        from: u8,
        to: u8,
    },
    Append {
        to: u8,
        len: u8,
    },
    Delete {
        keys: Vec<u8>,
    },
    Part {
        upload: u8,
        number: u8,
        len: u8,
    },
    /// A part that is a run of bytes of an object.
    PartCopy {
        upload: u8,
        number: u8,
        from: u8,
        skip: u8,
        take: u8,
    },
    Complete {
        upload: u8,
        chosen: u8,
    },
    Abort {
        upload: u8,
    },
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0u8..4;
    prop_oneof![
        3 => (name.clone(), 0u8..40, any::<bool>()).prop_map(|(to, len, is_inline)| Step::Put { to, len, is_inline }),
        4 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::StaleCopy { from, to }),
        2 => (name.clone(), 1u8..9).prop_map(|(to, len)| Step::Append { to, len }),
        2 => proptest::collection::vec(name.clone(), 1..4).prop_map(|keys| Step::Delete { keys }),
        2 => (0u8..2, 1u8..4, 1u8..9).prop_map(|(upload, number, len)| Step::Part { upload, number, len }),
        3 => (0u8..2, 1u8..4, name, any::<u8>(), any::<u8>())
            .prop_map(|(upload, number, from, skip, take)| Step::PartCopy { upload, number, from, skip, take }),
        2 => (0u8..2, any::<u8>()).prop_map(|(upload, chosen)| Step::Complete { upload, chosen }),
        1 => (0u8..2).prop_map(|upload| Step::Abort { upload }),
        1 => Just(Step::Collect),
    ]
}

struct World {
    meta: Meta,
    blobs: MemoryBlobs,
    clock: ManualClock,
    bucket: BucketName,
    /// What the objects should be.
    objects: BTreeMap<u8, Vec<u8>>,
    /// What the parts of the uploads should be; an upload begins with its first part.
    uploads: BTreeMap<u8, BTreeMap<u8, Vec<u8>>>,
    /// Uploads begun so far: ids are never used twice.
    begun: [u32; 2],
    written: u8,
}

fn key(number: u8) -> ObjectKey {
    ObjectKey::parse(format!("object {number}").as_bytes()).unwrap()
}

fn record(body: Body, size: usize) -> ObjectRecord {
    ObjectRecord {
        size: size as u64,
        etag: ETag::from_bits(size as u128),
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

/// The runs that make up `len` bytes of a body after the first `skip`.
fn slice(extents: &[Extent], mut skip: u64, mut len: u64) -> Vec<Extent> {
    let mut taken = Vec::new();
    for extent in extents {
        let from = skip.min(extent.len);
        let count = (extent.len - from).min(len);
        if count > 0 {
            taken.push(Extent { blob: extent.blob, offset: extent.offset + from, len: count });
        }
        skip -= from;
        len -= count;
    }
    taken
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::new(1_000_000);
        let meta = Meta::new(engine::map(&clock).await, clock.clock());
        let blobs = MemoryBlobs::new(BlobIds::new(clock.clock(), Randomness::seeded(7)), clock.clock());
        let bucket = BucketName::parse("bucket").unwrap();
        meta.create_bucket(&bucket, &BucketRecord::new(&bucket, OwnerId("1".to_owned()), 1), 9).await.unwrap();
        let (objects, uploads) = (BTreeMap::new(), BTreeMap::new());
        Self { meta, blobs, clock, bucket, objects, uploads, begun: [0; 2], written: 0 }
    }

    /// Bytes that were not written before.
    fn bytes(&mut self, len: u8) -> Vec<u8> {
        self.written = self.written.wrapping_add(1);
        vec![self.written; usize::from(len)]
    }

    async fn extent(&self, bytes: &[u8]) -> Extent {
        let mut writer = self.blobs.create(OnDrop::Delete).await.unwrap();
        writer.append(Bytes::copy_from_slice(bytes)).await.unwrap();
        let blob = writer.finish().await.unwrap();
        Extent { blob: blob.id, offset: 0, len: blob.len }
    }

    async fn object(&self, number: u8) -> Option<Stored<ObjectRecord>> {
        self.meta.object(&self.bucket, &key(number)).await.unwrap()
    }

    async fn read(&self, body: &Body) -> Vec<u8> {
        let mut bytes = Vec::new();
        match body {
            Body::Inline(inline) => bytes.extend_from_slice(inline),
            Body::Blobs(extents) => {
                for extent in extents {
                    let reader = self.blobs.open(extent.blob).await.unwrap();
                    bytes.extend(reader.read_at(extent.offset, usize::try_from(extent.len).unwrap()).await.unwrap());
                }
            }
            Body::Link(_) => {}
        }
        bytes
    }

    fn id(&self, upload: u8) -> String {
        format!("{upload}-{}", self.begun[usize::from(upload)])
    }

    /// The key that an upload becomes.
    fn target(upload: u8) -> u8 {
        upload + 2
    }

    async fn put(&mut self, to: u8, record: ObjectRecord, bytes: Vec<u8>) {
        self.meta.put_object(&self.bucket, &key(to), &record, PutGuard::Any).await.unwrap();
        self.objects.insert(to, bytes);
    }

    async fn copy(&mut self, from: u8, to: u8, is_stale: bool) {
        let Some(found) = self.object(from).await else { return };
        if is_stale {
            let bytes = self.bytes(3);
            let new = record(Body::Blobs(vec![self.extent(&bytes).await]), bytes.len());
            self.put(from, new, bytes).await;
        }
        let from_key = key(from);
        let source = Source { bucket: &self.bucket, key: &from_key, version: found.version };
        let done = self.meta.put_object_from(&self.bucket, &key(to), &found.value, PutGuard::Any, &source).await;
        if is_stale {
            let refused = done.map_err(|error| (error.kind, error.subject));
            assert_eq!(refused, Err((ErrorKind::Conflict, Subject::Source)));
        } else {
            done.unwrap();
            let bytes = self.objects[&from].clone();
            self.objects.insert(to, bytes);
        }
    }

    async fn append(&mut self, to: u8, len: u8) {
        let more = self.bytes(len);
        let found = self.object(to).await;
        let old = match &found {
            Some(Stored { value: ObjectRecord { body: Body::Blobs(extents), .. }, .. }) => extents.clone(),
            Some(_) => return,
            None => Vec::new(),
        };
        // What is at the end and short is joined with what comes, as the server does it.
        let (kept, joined) = match old.split_last() {
            Some((last, kept)) if last.len <= more.len() as u64 => {
                let tail = self.read(&Body::Blobs(vec![*last])).await;
                (kept.to_vec(), [tail, more.clone()].concat())
            }
            _ => (old, more.clone()),
        };
        let extents = [kept, vec![self.extent(&joined).await]].concat();
        let bytes = [self.objects.get(&to).cloned().unwrap_or_default(), more].concat();
        let guard = found.map_or(PutGuard::Absent, |found| PutGuard::VersionIs(found.version));
        let grown = record(Body::Blobs(extents), bytes.len());
        self.meta.put_object(&self.bucket, &key(to), &grown, guard).await.unwrap();
        self.objects.insert(to, bytes);
    }

    async fn begin(&mut self, upload: u8) {
        if self.uploads.contains_key(&upload) {
            return;
        }
        self.begun[usize::from(upload)] += 1;
        let record = UploadRecord {
            initiated_ms: 1,
            storage_class: StorageClass::Standard,
            headers: ContentHeaders::default(),
            user_meta: Vec::new(),
            tags: Vec::new(),
            initiator: None,
        };
        let id = self.id(upload);
        self.meta.initiate_upload(&self.bucket, &key(Self::target(upload)), &id, &record).await.unwrap();
        self.uploads.insert(upload, BTreeMap::new());
    }

    async fn part(&mut self, upload: u8, number: u8, extents: Vec<Extent>, bytes: Vec<u8>, from: Option<Source<'_>>) {
        self.begin(upload).await;
        let part = PartRecord {
            size: bytes.len() as u64,
            etag: ETag::from_bits(0),
            crc64: 0,
            md5: None,
            modified_ms: 1,
            extents,
        };
        let (id, target, row) = (self.id(upload), key(Self::target(upload)), u16::from(number));
        match from {
            None => self.meta.put_part(&self.bucket, &target, &id, row, &part).await,
            Some(from) => self.meta.put_part_from(&self.bucket, &target, &id, row, &part, &from).await,
        }
        .unwrap();
        self.uploads.entry(upload).or_default().insert(number, bytes);
    }

    async fn part_copy(&mut self, upload: u8, number: u8, from: u8, skip: u8, take: u8) {
        let Some(found) = self.object(from).await else { return };
        let Body::Blobs(extents) = &found.value.body else { return };
        let bytes = self.objects[&from].clone();
        if bytes.is_empty() {
            return;
        }
        let skip = usize::from(skip) % bytes.len();
        let take = usize::from(take) % (bytes.len() - skip) + 1;
        let taken = slice(extents, skip as u64, take as u64);
        let (bucket, from_key) = (self.bucket.clone(), key(from));
        let source = Source { bucket: &bucket, key: &from_key, version: found.version };
        self.part(upload, number, taken, bytes[skip..skip + take].to_vec(), Some(source)).await;
    }

    async fn complete(&mut self, upload: u8, chosen: u8) {
        let Some(parts) = self.uploads.remove(&upload) else { return };
        let (id, target) = (self.id(upload), key(Self::target(upload)));
        let seen = self.meta.upload(&self.bucket, &target, &id).await.unwrap().unwrap().version;
        let is_chosen = |number: u8| chosen & (1 << number) != 0;
        let listed = self.meta.list_parts(&self.bucket, &id, 0, 100).await.unwrap().items;
        let extents: Vec<Extent> = listed
            .into_iter()
            .filter(|(number, _)| is_chosen(u8::try_from(*number).unwrap()))
            .flat_map(|(_, part)| part.extents)
            .collect();
        let bytes: Vec<u8> =
            parts.into_iter().filter(|(number, _)| is_chosen(*number)).flat_map(|(_, bytes)| bytes).collect();
        let joined = record(Body::Blobs(extents), bytes.len());
        self.meta.complete_upload(&self.bucket, &target, &id, seen, &joined, PutGuard::Any).await.unwrap();
        self.objects.insert(Self::target(upload), bytes);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Put { to, len, is_inline } => {
                let bytes = self.bytes(len);
                let body = match is_inline {
                    true => Body::Inline(bytes.clone().into()),
                    false => Body::Blobs(vec![self.extent(&bytes).await]),
                };
                self.put(to, record(body, bytes.len()), bytes).await;
            }
            Step::Copy { from, to } => self.copy(from, to, false).await,
            Step::StaleCopy { from, to } => self.copy(from, to, true).await,
            Step::Append { to, len } => self.append(to, len).await,
            Step::Delete { keys } => {
                let doomed: Vec<ObjectKey> = keys.iter().copied().map(key).collect();
                self.meta.delete_objects(&self.bucket, &doomed).await.unwrap();
                self.objects.retain(|number, _| !keys.contains(number));
            }
            Step::Part { upload, number, len } => {
                let bytes = self.bytes(len);
                let extent = self.extent(&bytes).await;
                self.part(upload, number, vec![extent], bytes, None).await;
            }
            Step::PartCopy { upload, number, from, skip, take } => {
                self.part_copy(upload, number, from, skip, take).await;
            }
            Step::Complete { upload, chosen } => self.complete(upload, chosen).await,
            Step::Abort { upload } => {
                if self.uploads.remove(&upload).is_some() {
                    let (id, target) = (self.id(upload), key(Self::target(upload)));
                    self.meta.abort_upload(&self.bucket, &target, &id).await.unwrap();
                }
            }
            Step::Collect => self.collect().await,
        }
    }

    async fn collect(&self) {
        self.clock.advance_ms(1_000_000);
        while self.meta.collect_garbage(&self.blobs, self.clock.clock().now_ms(), 3).await.unwrap().has_more {}
    }

    /// Everything reads as it should, and every name is counted.
    async fn look(&self) {
        for number in 0..4 {
            let found = match self.object(number).await {
                Some(found) => Some(self.read(&found.value.body).await),
                None => None,
            };
            assert_eq!(found.as_ref(), self.objects.get(&number), "object {number}");
        }
        let report = check(&self.meta, &self.blobs, self.clock.clock().now_ms(), 0).await.unwrap();
        assert_eq!(report.findings, []);
    }

    /// Nothing is left once everything is deleted.
    async fn end(mut self) {
        for upload in 0..2 {
            self.take(Step::Abort { upload }).await;
        }
        self.take(Step::Delete { keys: vec![0, 1, 2, 3] }).await;
        self.collect().await;
        let report = check(&self.meta, &self.blobs, self.clock.clock().now_ms(), 0).await.unwrap();
        assert_eq!((report.findings, report.objects, report.blobs), (vec![], 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if engine::is_real() { 25 } else { 400 }, ..ProptestConfig::default() })]

    #[test]
    fn copies_live_as_long_as_they_are_named(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
                world.look().await;
            }
            world.collect().await;
            world.look().await;
            world.end().await;
        });
    }
}

/// Many that copy from one object and delete their copies at the same time are in nobody's way.
#[tokio::test]
async fn copies_come_and_go_at_the_same_time() {
    let mut world = World::new().await;
    world.take(Step::Put { to: 0, len: 9, is_inline: false }).await;
    let found = world.object(0).await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|task| {
            let (meta, bucket, found) = (world.meta.clone(), world.bucket.clone(), found.clone());
            tokio::spawn(async move {
                let (from, to) = (key(0), ObjectKey::parse(format!("copy {task}").as_bytes()).unwrap());
                let source = Source { bucket: &bucket, key: &from, version: found.version };
                for _ in 0..3 {
                    meta.put_object_from(&bucket, &to, &found.value, PutGuard::Any, &source).await.unwrap();
                    tokio::task::yield_now().await;
                    assert!(meta.delete_object(&bucket, &to).await.unwrap());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    world.look().await;
    world.end().await;
}
