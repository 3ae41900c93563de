//! What a page of a list costs follows the page, not the bucket (HTTP API 8.7): the rows that are read are counted in
//! buckets of ten thousand and of a million keys, and are the same.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::name::BucketName;
use store::clock::Clock;
use store::error::Result;
use store::kv::{Claim, Commit, Entry, Kv, Lease, MemoryKv, Outcome, Range, Snapshot, Versioned};
use store::meta::{ListQuery, ListedObject, Listing, Meta};

/// A map that counts what is read of another one.
struct Counting {
    inner: Arc<dyn Kv>,
    rows: Arc<AtomicUsize>,
}

struct CountingSnapshot {
    inner: Box<dyn Snapshot>,
    rows: Arc<AtomicUsize>,
}

#[async_trait]
impl Kv for Counting {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        let rows = self.inner.range(range).await?;
        self.rows.fetch_add(rows.len(), Ordering::Relaxed);
        Ok(rows)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(CountingSnapshot { inner: self.inner.snapshot().await?, rows: self.rows.clone() }))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        self.inner.commit(commit).await
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        self.inner.acquire(name, holder, ttl, claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.inner.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.inner.release(lease).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        self.inner.lease(name).await
    }
}

#[async_trait]
impl Snapshot for CountingSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        let rows = self.inner.range(range).await?;
        self.rows.fetch_add(rows.len(), Ordering::Relaxed);
        Ok(rows)
    }
}

/// Buckets of one map, and the rows that lists read of it.
struct Fixture {
    meta: Meta,
    rows: Arc<AtomicUsize>,
}

fn bucket(name: &str) -> BucketName {
    BucketName::parse(name).unwrap()
}

async fn fixture() -> Fixture {
    let inner: Arc<dyn Kv> = Arc::new(MemoryKv::new(Clock::system()));
    for (size, count) in [("small", 10_000), ("large", 1_000_000)] {
        support::fill(&inner, &bucket(&format!("{size}-flat")), support::flat(count)).await.unwrap();
        support::fill(&inner, &bucket(&format!("{size}-folders")), support::in_folders(count)).await.unwrap();
    }
    let rows = Arc::new(AtomicUsize::new(0));
    Fixture { meta: Meta::new(Arc::new(Counting { inner, rows: rows.clone() }), Clock::system()), rows }
}

impl Fixture {
    async fn page(&self, name: &str, query: &ListQuery) -> (Listing<ListedObject>, usize) {
        self.rows.store(0, Ordering::Relaxed);
        let page = self.meta.list_objects(&bucket(name), query).await.unwrap();
        (page, self.rows.load(Ordering::Relaxed))
    }
}

fn query(prefix: &str, delimiter: &str, after: &str, limit: usize) -> ListQuery {
    ListQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after: after.to_owned(), limit }
}

#[tokio::test]
async fn a_page_reads_as_much_of_a_million_keys_as_of_ten_thousand() {
    let f = fixture().await;
    // What is asked, how many entries and groups come, and the most rows that may be read for them.
    for (shape, query, entries, groups, most_rows) in [
        ("flat", query("", "", "", 100), 100, 0, 101),
        ("flat", query("", "", "", 1000), 1000, 0, 1001),
        ("flat", query("", "", "live/000009000.ts", 100), 100, 0, 101),
        ("flat", query("live/00000", "", "", 1000), 1000, 0, 1001),
        ("flat", query("live/000009999", "", "", 1000), 1, 0, 1),
        ("flat", query("nothing", "", "", 1000), 0, 0, 0),
        // One group holds everything.
        ("flat", query("", "/", "", 1000), 0, 1, 32),
        ("flat", query("live/", "/", "live/000005000.ts", 500), 500, 0, 1100),
        ("flat", query("", "", "zzz", 1000), 0, 0, 0),
        // A group costs a seek of 32 rows, however many keys it has.
        ("folders", query("", "/", "", 10), 5, 5, 6 * 64),
        ("folders", query("", "/", "channel-00003/", 8), 4, 4, 5 * 64),
        ("folders", query("", "/", "channel-00003/0400.ts", 8), 4, 4, 5 * 64),
        ("folders", query("channel-00004/", "/", "", 1000), 499, 1, 1100),
        ("folders", query("channel-00004/sub folder/", "/", "", 1000), 500, 0, 1100),
        ("folders", query("channel-0000", "ts", "", 100), 1, 99, 32 * 101),
        ("folders", query("", "", "channel-00007/0001.ts", 1000), 1000, 0, 1001),
    ] {
        let (small, small_rows) = f.page(&format!("small-{shape}"), &query).await;
        let (large, large_rows) = f.page(&format!("large-{shape}"), &query).await;
        let asked = format!("{shape} {query:?}");
        assert_eq!((small.entries.len(), small.prefixes.len()), (entries, groups), "{asked}");
        assert_eq!((&large.entries, &large.prefixes), (&small.entries, &small.prefixes), "{asked}");
        assert!(small_rows <= most_rows, "{asked}: {small_rows} rows");
        assert!(large_rows <= most_rows, "{asked}: {large_rows} rows of a million");
    }
    // All folders of the large bucket, page by page: 1,000 groups and 1,000 objects over a million keys.
    let (mut after, mut found, mut rows) = (String::new(), 0, 0);
    loop {
        let (page, read) = f.page("large-folders", &query("", "/", &after, 1000)).await;
        found += page.entries.len() + page.prefixes.len();
        rows += read;
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(found, 2_000);
    assert!(rows <= 2_000 * 64, "{rows} rows for 2,000 entries over a million keys");
}
