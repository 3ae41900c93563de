//! What pages of lists cost in buckets of a thousand and of a million keys, side by side:
//! `cargo run --release -p millpond-store --example listing_figures [folder]`.
//!
//! The folder should lie on the disk that matters; without one, a temporary folder is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::name::BucketName;
use store::clock::Clock;
use store::kv::{Kv, SqliteKv, SqliteOptions};
use store::meta::{ListQuery, Meta};

#[path = "../tests/support/mod.rs"]
mod support;

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// How often each page is asked for.
const TIMES: u32 = 50;

fn bucket(name: &str) -> Result<BucketName, Anything> {
    BucketName::parse(name).map_err(|error| error.to_string().into())
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let kv: Arc<dyn Kv> =
        Arc::new(SqliteKv::open(&folder.path().join("meta.db"), &SqliteOptions::default(), Clock::system())?);
    let started = Instant::now();
    for (size, count) in [("small", 1_000), ("large", 1_000_000)] {
        support::fill(&kv, &bucket(&format!("{size}-flat"))?, support::flat(count)).await?;
        support::fill(&kv, &bucket(&format!("{size}-folders"))?, support::in_folders(count)).await?;
    }
    eprintln!("2,002,000 keys stored in {:.1?}", started.elapsed());
    let meta = Meta::new(kv, Clock::system());
    println!("| Page | 1,000 keys | 1,000,000 keys |\n|---|---|---|");
    for (what, shape, prefix, delimiter, after, limit) in [
        ("the first 100 keys", "flat", "", "", "", 100),
        ("the first 1,000 keys", "flat", "", "", "", 1000),
        ("100 keys after a marker", "flat", "", "", "live/000000800.ts", 100),
        ("a prefix that one key has", "flat", "live/000000999", "", "", 100),
        ("one group of all keys", "flat", "", "/", "", 100),
        ("the groups of the first page", "folders", "", "/", "", 100),
        ("a folder of 500 keys", "folders", "channel-00000/", "/", "", 1000),
    ] {
        let query =
            ListQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after: after.to_owned(), limit };
        let mut cells = Vec::new();
        for size in ["small", "large"] {
            let name = bucket(&format!("{size}-{shape}"))?;
            let page = meta.list_objects(&name, &query).await?;
            let begun = Instant::now();
            for _ in 0..TIMES {
                meta.list_objects(&name, &query).await?;
            }
            let each: Duration = begun.elapsed() / TIMES;
            cells.push(format!("{each:.0?} for {}", page.entries.len() + page.prefixes.len()));
        }
        println!("| {what} | {} |", cells.join(" | "));
    }
    Ok(())
}
