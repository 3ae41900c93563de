//! The map on PostgreSQL does what every map does, and lists with few round trips: `MILLPOND_TEST_POSTGRES=postgres://USER@HOST:PORT/DATABASE`
//! names a database that may be filled with schemas; without it there is nothing to look at.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

mod engine;
#[allow(dead_code, reason = "other suites want other keys")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use model::name::BucketName;
use store::clock::{Clock, ManualClock};
use store::kv::{Kv, PostgresAddress, PostgresKv};
use store::meta::{ListQuery, Meta};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    if !engine::is_real() {
        return;
    }
    let clock = ManualClock::new(1_000_000);
    let make = || async { Box::new(engine::postgres(&clock).await.unwrap()) as Box<dyn Kv> };
    store::conformance::kv::check(make, &clock).await;
}

/// A way to a database on which round trips are counted: something is sent after an answer came, or for the first time.
async fn counted(address: &PostgresAddress) -> (PostgresAddress, Arc<AtomicU32>) {
    let (listener, trips) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(AtomicU32::new(0)));
    let mut through = address.clone();
    through.hosts = vec![("127.0.0.1".to_owned(), listener.local_addr().unwrap().port())];
    let (host, counter) = (address.hosts.first().cloned().unwrap(), Arc::clone(&trips));
    drop(tokio::spawn(async move {
        loop {
            let (ours, _) = listener.accept().await.unwrap();
            let theirs = TcpStream::connect(&host).await.unwrap();
            let ((from_us, to_us), (from_them, to_them)) = (ours.into_split(), theirs.into_split());
            let (answered, trips) = (Arc::new(AtomicBool::new(true)), Arc::clone(&counter));
            let asked = Arc::clone(&answered);
            drop(tokio::spawn(pass(from_us, to_them, move || {
                if asked.swap(false, Ordering::SeqCst) {
                    trips.fetch_add(1, Ordering::SeqCst);
                }
            })));
            drop(tokio::spawn(pass(from_them, to_us, move || answered.store(true, Ordering::SeqCst))));
        }
    }));
    (through, trips)
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    seen: impl Fn() + Send + 'static,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        seen();
        if to.write_all(buffer.get(..count).unwrap()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_thousand_groups_is_one_round_trip() {
    if !engine::is_real() {
        return;
    }
    let (address, options) = engine::fresh_schema(&ManualClock::new(1)).await.unwrap();
    let bucket = BucketName::parse("bucket").unwrap();
    let direct: Arc<dyn Kv> = Arc::new(PostgresKv::open(&address, &options).await.unwrap());
    // More keys in a group than any engine reads at once while it looks for the next one.
    let keys = (0..1_100).flat_map(|folder| (0..40).map(move |n| format!("folder-{folder:04}/{n:04}.ts")));
    let plain = (0..1_100).map(|n| format!("plain-{n:04}"));
    support::fill(&direct, &bucket, keys.chain(plain)).await.unwrap();

    let (through, trips) = counted(&address).await;
    let meta = Meta::new(Arc::new(PostgresKv::open(&through, &options).await.unwrap()), Clock::system());
    for (prefix, delimiter, after, objects, groups) in [
        ("", "/", "", 0, 1_000),
        ("", "/", "folder-0599/", 500, 500),
        ("plain-", "/", "", 1_000, 0),
        ("", "", "", 1_000, 0),
        ("folder-0003/", "/", "", 40, 0),
        ("", "-", "", 0, 2),
    ] {
        let query = ListQuery {
            prefix: prefix.to_owned(),
            delimiter: delimiter.to_owned(),
            after: after.to_owned(),
            limit: 1_000,
        };
        // The first time a connection is made.
        for is_counted in [false, true] {
            let before = trips.load(Ordering::SeqCst);
            let page = meta.list_objects(&bucket, &query).await.unwrap();
            assert_eq!((page.entries.len(), page.prefixes.len()), (objects, groups), "{query:?}");
            if is_counted {
                assert_eq!(trips.load(Ordering::SeqCst) - before, 1, "{query:?}");
            }
        }
    }
}
