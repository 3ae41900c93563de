//! What the suite does not look at, against a real PostgreSQL: `MILLPOND_TEST_POSTGRES=postgres://USER@HOST:PORT/DATABASE` names one; without it there is
//! nothing to test here. Every map gets a schema of its own, which is dropped at the end.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::kv::{Precondition, Write};

static NEXT: AtomicU32 = AtomicU32::new(0);

fn address() -> Option<PostgresAddress> {
    let text = std::env::var("MILLPOND_TEST_POSTGRES").ok()?;
    let mut address = PostgresAddress::parse(&text).unwrap();
    address.schema = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Some(address)
}

fn options() -> PostgresOptions {
    let mut options = PostgresOptions::new(Randomness::new(|buffer| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let unique = now.wrapping_mul(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) | 1).to_be_bytes();
        buffer.iter_mut().zip(unique.iter().rev().cycle()).for_each(|(to, from)| *to = *from);
    }));
    options.connections = 16;
    options
}

async fn made(address: &PostgresAddress, options: &PostgresOptions) -> PostgresKv {
    assert_eq!(prepare(address, options).await.unwrap(), Prepared::Made);
    PostgresKv::open(address, options).await.unwrap()
}

async fn drop_schema(address: &PostgresAddress, options: &PostgresOptions) {
    let client = Pool::new(address, options).unwrap().connect_bare().await.unwrap();
    client.batch_execute(&format!("DROP SCHEMA {} CASCADE", address.schema)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_one_order() {
    let Some(address) = address() else { return };
    let options = options();
    let (one, two) = (made(&address, &options).await, PostgresKv::open(&address, &options).await.unwrap());
    let add = || Commit::new().write(Write::Add(b"count".to_vec(), vec![1]));
    let tasks: Vec<_> = (0..400)
        .map(|n| {
            let kv = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { kv.commit(add()).await.unwrap() })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Outcome::Done(version) => versions.push(version),
            Outcome::Refused(index) => panic!("refused by {index} of no preconditions"),
        }
    }
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 400, "a version was given out twice");
    for kv in [&one, &two] {
        let row = kv.get(b"count").await.unwrap().unwrap();
        assert_eq!(row.value, super::super::add_counters(b"", &[400]), "what was acknowledged is seen by all");
    }
    // One of many that compare and swap on different servers wins.
    let prize = |n: u8| {
        Commit::new()
            .require(Precondition::Absent(b"prize".to_vec()))
            .write(Write::Put(b"prize".to_vec(), Bytes::from(vec![n])))
    };
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let kv = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { kv.commit(prize(n)).await.unwrap() })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += u32::from(matches!(task.await.unwrap(), Outcome::Done(_)));
    }
    assert_eq!(winners, 1);
    drop_schema(&address, &options).await;
}

/// Connections that break under load are a delay: every commit happens once, and everybody hears how it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_lose_and_repeat_nothing() {
    let Some(address) = address() else { return };
    let options = options();
    let kv = made(&address, &options).await;
    let writer = {
        let kv = kv.clone();
        tokio::spawn(async move {
            let mut done = 0_i64;
            for _ in 0..300 {
                let commits = (0..8).map(|_| kv.commit(Commit::new().write(Write::Add(b"n".to_vec(), vec![1]))));
                for commit in commits {
                    assert!(matches!(commit.await.unwrap(), Outcome::Done(_)));
                    done += 1;
                }
            }
            done
        })
    };
    let killer = Pool::new(&address, &options).unwrap().connect_bare().await.unwrap();
    let mut kills = 0;
    while !writer.is_finished() {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'millpond' \
                   AND pid <> pg_backend_pid() AND query LIKE $1";
        let row = killer.query_one(sql, &[&format!("%{}.%", address.schema)]).await.unwrap();
        kills += row.get::<_, i64>(0);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let done = writer.await.unwrap();
    let row = kv.get(b"n").await.unwrap().unwrap();
    assert_eq!(row.value, super::super::add_counters(b"", &[done]), "after {kills} broken connections");
    assert!(kills > 2, "{kills} connections were broken");
    drop_schema(&address, &options).await;
}

#[tokio::test]
async fn a_map_that_is_not_there_is_named() {
    let Some(address) = address() else { return };
    let options = options();
    let error = PostgresKv::open(&address, &options).await.unwrap_err();
    assert!(error.is_not_found() && error.detail.contains("store init"), "{error}");
    let kv = made(&address, &options).await;
    assert_eq!(prepare(&address, &options).await.unwrap(), Prepared::AlreadyThere);
    // A key that no index takes fails alone.
    let long = Commit::new().write(Write::Put(random_bytes(8000), Bytes::new()));
    let short = Commit::new().write(Write::Put(b"short".to_vec(), Bytes::new()));
    let (long, short) = tokio::join!(kv.commit(long), kv.commit(short));
    assert!(long.is_err());
    assert!(matches!(short.unwrap(), Outcome::Done(_)));
    drop_schema(&address, &options).await;
}

fn random_bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Randomness::seeded(7).fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_is_read_only_refuses_all_writers_but_keeps_them_alive() {
    let Some(address) = address() else { return };
    let options = options();
    let kv = made(&address, &options).await;
    let put = |key: &[u8]| Commit::new().write(Write::Put(key.to_vec(), Bytes::from_static(b"v")));
    kv.commit(put(b"a")).await.unwrap();
    let lease = kv.acquire("process/x", "x", Duration::from_secs(10), Claim::IfFree).await.unwrap();
    assert_eq!(read_only_mark(&address, &options).await.unwrap(), None);
    make_read_only(&address, &options, b"IJ").await.unwrap();
    let mark = read_only_mark(&address, &options).await.unwrap().unwrap();
    make_read_only(&address, &options, b"IJ").await.unwrap();
    assert_eq!(read_only_mark(&address, &options).await.unwrap(), Some(mark), "a second time changes nothing");

    let begun = tokio::time::Instant::now();
    // Beside each other, so that they come in one batch.
    let (refused, deleted, renewed, said) = tokio::join!(
        kv.commit(put(b"b")),
        kv.commit(Commit::new().write(Write::DeletePrefix(b"a".to_vec()))),
        kv.renew(&lease, Duration::from_secs(10)),
        kv.commit(put(b"Ix")),
    );
    for error in [refused.unwrap_err(), deleted.unwrap_err()] {
        assert!(error.detail.contains("read-only") && error.kind == crate::ErrorKind::Unavailable, "{error}");
    }
    renewed.unwrap();
    assert!(matches!(said.unwrap(), Outcome::Done(_)), "what a process says of itself");
    assert!(begun.elapsed() < Duration::from_secs(5), "it is not tried again");
    assert_eq!(kv.get(b"a").await.unwrap().unwrap().value, "v");
    assert_eq!(kv.get(b"b").await.unwrap(), None);

    make_writable(&address, &options).await.unwrap();
    kv.commit(put(b"b")).await.unwrap();
    make_read_only(&address, &options, b"IJ").await.unwrap();
    assert_ne!(read_only_mark(&address, &options).await.unwrap(), Some(mark), "that it was writable is seen");
    let seen = probe(&address, &options, &Clock::system()).await.unwrap();
    assert!(!seen.iter().any(|seen| seen.verdict == crate::probe::Verdict::Bad), "{seen:?}");
    drop_schema(&address, &options).await;
}

/// A machine that is lost says nothing, on connections that were open to it as on new ones: the other host is found all the
/// same, within the time that a statement has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_says_nothing_any_more_is_not_waited_for() {
    let Some(address) = address() else { return };
    let options = options();
    let (held, _) = tokio::sync::watch::channel(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lost = ("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
    let target = address.hosts[0].clone();
    let holding = held.subscribe();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (target, mut holding) = (target.clone(), holding.clone());
            tokio::spawn(async move {
                let (mut near, mut far) = (near, tokio::net::TcpStream::connect(target).await.unwrap());
                // From then on both sides keep their connection and hear nothing.
                let hold = async move {
                    drop(holding.wait_for(|held| *held).await);
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = hold => {}
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                }
            });
        }
    });
    let mut both = address.clone();
    both.hosts.insert(0, lost);
    let kv = made(&both, &options).await;
    // Several at once, so that several connections are open.
    let everything = Range::prefix(b"");
    futures_util::future::try_join_all((0..8).map(|_| kv.range(&everything))).await.unwrap();
    held.send(true).unwrap();
    kv.commit(Commit::new().write(Write::Put(b"a".to_vec(), Bytes::from_static(b"1")))).await.unwrap();
    assert!(kv.get(b"a").await.unwrap().is_some());
    let late = PostgresKv::open(&both, &options).await.unwrap();
    assert!(late.get(b"a").await.unwrap().is_some(), "who comes now finds the other host too");
    drop_schema(&address, &options).await;
}
