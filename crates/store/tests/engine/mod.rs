//! The map that a suite runs over: in memory, or, when `MILLPOND_TEST_POSTGRES` names a database, in a fresh schema of it.

use std::sync::Arc;

use store::clock::ManualClock;
use store::kv::{Kv, MemoryKv};

/// Whether maps are slow to make.
#[allow(dead_code, reason = "not every suite has a choice")]
pub(crate) fn is_real() -> bool {
    cfg!(feature = "postgres") && std::env::var_os("MILLPOND_TEST_POSTGRES").is_some()
}

/// An empty map whose leases expire by `clock`.
#[allow(dead_code, reason = "one suite makes its maps itself")]
pub(crate) async fn map(clock: &ManualClock) -> Arc<dyn Kv> {
    #[cfg(feature = "postgres")]
    if let Some(kv) = postgres(clock).await {
        return Arc::new(kv);
    }
    Arc::new(MemoryKv::new(clock.clock()))
}

/// An empty map in a fresh schema, if there is a database.
#[cfg(feature = "postgres")]
pub(crate) async fn postgres(clock: &ManualClock) -> Option<store::kv::PostgresKv> {
    let (address, options) = fresh_schema(clock).await?;
    Some(store::kv::PostgresKv::open(&address, &options).await.unwrap())
}

/// The address of an empty map, and how to open it.
#[cfg(feature = "postgres")]
pub(crate) async fn fresh_schema(
    clock: &ManualClock,
) -> Option<(store::kv::PostgresAddress, store::kv::PostgresOptions)> {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};

    use store::clock::Randomness;
    use store::kv::postgres::{PostgresAddress, PostgresOptions, prepare};

    static NEXT: AtomicU64 = AtomicU64::new(0);
    let text = std::env::var("MILLPOND_TEST_POSTGRES").ok()?;
    let mut address = PostgresAddress::parse(&text).unwrap();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    address.schema = format!("suite_{}_{now}_{number}", std::process::id());
    let mut options = PostgresOptions::new(Randomness::seeded(now ^ number << 40));
    // Half of them may be held by snapshots, of which the suite holds twenty.
    options.connections = 48;
    options.lease_clock = Some(clock.clock());
    prepare(&address, &options).await.unwrap();
    Some((address, options))
}
