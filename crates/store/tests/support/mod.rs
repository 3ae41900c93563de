//! Buckets with very many keys, made fast: the rows of one object that was stored properly, under every other name.

use std::sync::Arc;

use model::name::{BucketName, ObjectKey};
use model::{ContentHeaders, ETag, ObjectAcl, ObjectType, OwnerId, StorageClass};
use store::clock::Clock;
use store::kv::{Commit, Entry, Kv, Outcome, Range, Write};
use store::meta::{Body, BucketRecord, Meta, ObjectRecord, ObjectRole, PutGuard};

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Rows that one commit writes.
const ROWS_PER_COMMIT: usize = 2_000;
/// The name of the object whose rows are multiplied; no other key of any bucket contains it.
const TEMPLATE: &str = "~template~";

/// Stores an object under each of `keys` in a new bucket. The counters of the bucket do not know of them, which no list
/// looks at.
pub(crate) async fn fill(
    kv: &Arc<dyn Kv>,
    bucket: &BucketName,
    keys: impl Iterator<Item = String>,
) -> Result<(), Anything> {
    let meta = Meta::new(kv.clone(), Clock::system());
    meta.create_bucket(bucket, &BucketRecord::new(bucket, OwnerId("1".to_owned()), 1), 100).await?;
    let template = ObjectKey::parse(TEMPLATE.as_bytes()).map_err(|error| error.to_string())?;
    meta.put_object(bucket, &template, &record(), PutGuard::Any).await?;
    let rows: Vec<Entry> = kv
        .range(&Range::prefix(Vec::new()))
        .await?
        .into_iter()
        .filter(|row| row.key.ends_with(TEMPLATE.as_bytes()) && contains(&row.key, bucket.as_str().as_bytes()))
        .collect();
    assert!(!rows.is_empty(), "an object has a row that ends in its key");
    let mut commit = Commit::new();
    for key in keys {
        for row in &rows {
            let base = row.key.len() - TEMPLATE.len();
            let name = [row.key.get(..base).unwrap_or_default(), key.as_bytes()].concat();
            commit = commit.write(Write::Put(name, row.value.clone()));
        }
        if commit.writes.len() >= ROWS_PER_COMMIT {
            done(kv.commit(std::mem::take(&mut commit)).await?)?;
        }
    }
    done(kv.commit(commit).await?)?;
    meta.delete_object(bucket, &template).await?;
    Ok(())
}

fn done(outcome: Outcome) -> Result<(), Anything> {
    match outcome {
        Outcome::Done(_) => Ok(()),
        Outcome::Refused(_) => Err("a commit without preconditions was refused".into()),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn record() -> ObjectRecord {
    ObjectRecord {
        size: 0,
        etag: ETag::from_bits(1),
        crc64: 0,
        md5: Some([1; 16]),
        modified_ms: 1_700_000_000_000,
        object_type: ObjectType::Normal,
        role: ObjectRole::Ordinary,
        acl: ObjectAcl::Default,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders { content_type: Some(b"video/MP2T".to_vec()), ..ContentHeaders::default() },
        user_meta: Vec::new(),
        tags: Vec::new(),
        // No bytes: an object with a body has a row for it in another table, which no list reads.
        body: Body::Blobs(Vec::new()),
    }
}

/// `count` keys in one run, such as the segments of one channel.
pub(crate) fn flat(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("live/{number:09}.ts"))
}

/// `count` keys in folders of a thousand, each of which has a folder and an object beside it.
pub(crate) fn in_folders(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| match (number / 1_000, number % 1_000) {
        (folder, 0) => format!("channel-{folder:05}.m3u8"),
        (folder, number @ 1..500) => format!("channel-{folder:05}/{number:04}.ts"),
        (folder, number) => format!("channel-{folder:05}/sub folder/{number:04}.ts"),
    })
}
