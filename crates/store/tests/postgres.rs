//! The map on PostgreSQL does what every map does: `MILLPOND_TEST_POSTGRES=postgres://USER@HOST:PORT/DATABASE` names a
//! database that may be filled with schemas; without it there is nothing to look at.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

mod engine;

use store::clock::ManualClock;
use store::kv::Kv;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    if !engine::is_real() {
        return;
    }
    let clock = ManualClock::new(1_000_000);
    let make = || async { Box::new(engine::postgres(&clock).await.unwrap()) as Box<dyn Kv> };
    store::conformance::kv::check(make, &clock).await;
}
