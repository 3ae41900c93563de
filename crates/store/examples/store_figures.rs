//! What the stores can do on this machine: `cargo run --release -p millpond-store --example store_figures [folder]`.
//!
//! The folder should lie on the disk that matters; without one, a temporary folder is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ContentHeaders, ETag, LiveChannelConfig, ObjectAcl, ObjectType, OwnerId, StorageClass};
use store::blob::{BlobIds, BlobStore, FileBlobs, OnDrop};
use store::clock::{Clock, Randomness};
use store::kv::{Claim, Commit, Kv, SqliteKv, SqliteOptions, Write};
use store::meta::{
    Body, BucketRecord, ChannelRecord, Extent, ListQuery, Meta, ObjectRecord, ObjectRole, PutGuard, SegmentCommit,
    SegmentEntry, StartRecord,
};

type Anything = Box<dyn std::error::Error + Send + Sync>;

fn record(body: Body, size: u64) -> ObjectRecord {
    ObjectRecord {
        size,
        etag: ETag::from_bits(1),
        crc64: 0,
        md5: Some([1; 16]),
        modified_ms: 1,
        object_type: ObjectType::Normal,
        role: ObjectRole::Ordinary,
        acl: ObjectAcl::Default,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders { content_type: Some(b"video/MP2T".to_vec()), ..ContentHeaders::default() },
        user_meta: Vec::new(),
        tags: Vec::new(),
        body,
    }
}

/// Runs `work` `times` times in each of `tasks` tasks, and prints how many of them were done in a second.
async fn rate<F, Fut>(what: &str, tasks: usize, times: usize, work: F) -> Result<(), Anything>
where
    F: Fn(usize, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), Anything>> + Send,
{
    let start = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let work = work.clone();
            tokio::spawn(async move {
                for n in 0..times {
                    work(task, n).await?;
                }
                Ok::<(), Anything>(())
            })
        })
        .collect();
    for task in running {
        task.await??;
    }
    let took = start.elapsed();
    let count = f64::from(u32::try_from(tasks * times)?);
    println!("{what:<52} {:>10.0}/s", count / took.as_secs_f64());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let kv = SqliteKv::open(&folder.path().join("meta.db"), &SqliteOptions::default(), Clock::system())?;
    let ids = BlobIds::new(Clock::system(), Randomness::seeded(1));
    let blobs = FileBlobs::open(&folder.path().join("blobs"), ids)?;
    let meta = Meta::new(Arc::new(kv.clone()), Clock::system());
    let bucket = BucketName::parse("bucket").map_err(|e| e.to_string())?;
    meta.create_bucket(&bucket, &BucketRecord::new(&bucket, OwnerId("1".to_owned()), 1), 9).await?;

    for tasks in [1, 32] {
        let kv = kv.clone();
        rate(&format!("durable commits of one key, {tasks} writers"), tasks, 20_000 / tasks, move |task, n| {
            let kv = kv.clone();
            async move {
                let key = format!("~{task}/{n}").into_bytes();
                kv.commit(Commit::new().write(Write::Put(key, Bytes::from_static(&[0; 200])))).await?;
                Ok(())
            }
        })
        .await?;
    }
    objects(&meta, &blobs, &bucket).await?;
    listing(&meta, &bucket).await?;
    segments(&meta, &bucket).await
}

async fn objects(meta: &Meta, blobs: &FileBlobs, bucket: &BucketName) -> Result<(), Anything> {
    for tasks in [1, 32] {
        let (m, b) = (meta.clone(), bucket.clone());
        rate(&format!("puts of 4 KiB inline, {tasks} writers"), tasks, 12_800 / tasks, move |task, n| {
            let (m, b) = (m.clone(), b.clone());
            async move {
                let key = ObjectKey::parse(format!("small/{task}/{n}").as_bytes()).map_err(|e| e.to_string())?;
                let record = record(Body::Inline(Bytes::from_static(&[7; 4096])), 4096);
                m.put_object(&b, &key, &record, PutGuard::Any).await?;
                Ok(())
            }
        })
        .await?;
        let (m, b, s) = (meta.clone(), bucket.clone(), blobs.clone());
        rate(&format!("puts of 64 KiB as durable files, {tasks} writers"), tasks, 3200 / tasks, move |task, n| {
            let (m, b, s) = (m.clone(), b.clone(), s.clone());
            async move {
                let key = ObjectKey::parse(format!("file/{task}/{n}").as_bytes()).map_err(|e| e.to_string())?;
                let mut writer = s.create(OnDrop::Delete).await?;
                writer.append(Bytes::from(vec![7; 65_536])).await?;
                let blob = writer.finish().await?;
                let body = Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len: blob.len }]);
                m.put_object(&b, &key, &record(body, blob.len), PutGuard::Any).await?;
                Ok(())
            }
        })
        .await?;
    }
    let (m, b) = (meta.clone(), bucket.clone());
    rate("gets of 4 KiB inline, 2 readers", 2, 50_000, move |task, n| {
        let (m, b) = (m.clone(), b.clone());
        async move {
            let name = format!("small/{}/{}", task, n % 400);
            let key = ObjectKey::parse(name.as_bytes()).map_err(|e| e.to_string())?;
            m.object(&b, &key).await?.ok_or("it was put")?;
            Ok(())
        }
    })
    .await?;
    let (m, b, s) = (meta.clone(), bucket.clone(), blobs.clone());
    rate("gets of 64 KiB from files, 2 readers", 2, 10_000, move |task, n| {
        let (m, b, s) = (m.clone(), b.clone(), s.clone());
        async move {
            let name = format!("file/{}/{}", task, n % 100);
            let key = ObjectKey::parse(name.as_bytes()).map_err(|e| e.to_string())?;
            let object = m.object(&b, &key).await?.ok_or("it was put")?;
            let blob = object.value.body.blobs().next().ok_or("it is in a blob")?;
            s.open(blob).await?.read_at(0, 65_536).await?;
            Ok(())
        }
    })
    .await
}

async fn listing(meta: &Meta, bucket: &BucketName) -> Result<(), Anything> {
    let average = async |what: &str, query: ListQuery| {
        let start = Instant::now();
        for _ in 0..20 {
            meta.list_objects(bucket, &query).await?;
        }
        println!("{what:<52} {:>10.2?}", start.elapsed() / 20);
        Ok::<(), Anything>(())
    };
    average("a page of 1000 objects", ListQuery { limit: 1000, ..ListQuery::default() }).await?;
    let query = ListQuery { delimiter: "/".to_owned(), limit: 1000, ..ListQuery::default() };
    average("the two groups above 32,000 objects", query).await
}

async fn segments(meta: &Meta, bucket: &BucketName) -> Result<(), Anything> {
    const DAY: u64 = 43_200;
    let channel = ChannelName::parse(b"ch").map_err(|e| e.to_string())?;
    let config = ChannelRecord::new(LiveChannelConfig::default(), 1);
    meta.put_channel(bucket, &channel, &config, 9).await?;
    let lease = meta.acquire_publisher(bucket, &channel, "me", Duration::from_secs(600), Claim::IfFree).await?;
    let start = StartRecord {
        started_ms: 1,
        remote_addr: "192.0.2.1:1".to_owned(),
        playlist: "playlist.m3u8".to_owned(),
        details: Bytes::new(),
    };
    let session = meta.begin_publication(&lease, &start).await?;
    let started = Instant::now();
    for n in 0..DAY {
        let number_ms = 1_700_000_000_000 + n * 2000;
        let key = |name: String| ObjectKey::parse(name.as_bytes()).map_err(|e| e.to_string());
        let segment = SegmentCommit {
            key: key(format!("ch/{number_ms}.ts"))?,
            object: record(Body::Inline(Bytes::new()), 0),
            entry: SegmentEntry {
                number_ms,
                opened_ms: number_ms,
                duration_ms: 2000,
                session,
                size: 1_000_000,
                is_discontinuous: false,
                is_independent: false,
                is_damaged: false,
                container: model::Container::MpegTs,
            },
            playlist: Some((
                key("ch/playlist.m3u8".to_owned())?,
                record(Body::Inline(Bytes::from_static(&[7; 300])), 300),
            )),
            window: Bytes::from_static(&[7; 200]),
            waiting: Vec::new(),
            next: None,
            end_ms: 0,
        };
        meta.commit_segment(&lease, &segment).await?;
    }
    println!("{:<52} {:>10.2?}", "a segment with its playlist, one publisher", started.elapsed() / u32::try_from(DAY)?);
    for _ in 0..3 {
        let started = Instant::now();
        let found = meta.segments(bucket, &channel, 0, u64::MAX, 100_000).await?;
        println!("{:<52} {:>10.2?}", format!("the index of {} segments", found.len()), started.elapsed());
    }
    Ok(())
}
