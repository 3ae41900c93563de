//! The map in a file: the suite, crashes, and what may not be opened.

use super::*;
use crate::clock::ManualClock;
use crate::conformance;

#[tokio::test]
async fn conforms() {
    let clock = ManualClock::new(1_000_000);
    let root = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let make = || async {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = root.path().join(format!("{n}.db"));
        Box::new(SqliteKv::open(&path, &SqliteOptions::default(), clock.clock()).unwrap()) as Box<dyn Kv>
    };
    conformance::kv::check(make, &clock).await;
}
