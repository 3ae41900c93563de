//! The map in a file: the suite, crashes, company, and what may not be opened.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use crate::ErrorKind;
use crate::clock::ManualClock;
use crate::conformance;
use crate::kv::{Precondition, Version, Write};

fn open(path: &Path) -> SqliteKv {
    SqliteKv::open(path, &SqliteOptions::default(), Clock::system()).unwrap()
}

fn put(key: &str, value: &str) -> Commit {
    Commit::new().write(Write::Put(key.as_bytes().to_vec(), Bytes::copy_from_slice(value.as_bytes())))
}

async fn text(kv: &dyn Kv, key: &str) -> Option<String> {
    let row = kv.get(key.as_bytes()).await.unwrap();
    row.map(|row| String::from_utf8(row.value.to_vec()).unwrap())
}

#[tokio::test]
async fn conforms() {
    for (durability, is_alone) in [(Durability::Full, true), (Durability::Relaxed, false), (Durability::Relaxed, true)]
    {
        let clock = ManualClock::new(1_000_000);
        let root = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        let options = SqliteOptions { durability, readers: 2, is_alone, ..SqliteOptions::default() };
        let make = || async {
            let path = root.path().join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)));
            Box::new(SqliteKv::open(&path, &options, clock.clock()).unwrap()) as Box<dyn Kv>
        };
        conformance::kv::check(make, &clock).await;
    }
}

/// Many readers at once, on the fewest connections: everybody waits for a turn, and nobody for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_share_few_connections() {
    let root = tempfile::tempdir().unwrap();
    let options = SqliteOptions { max_readers: 2, ..SqliteOptions::default() };
    let kv = SqliteKv::open(&root.path().join("meta.db"), &options, Clock::system()).unwrap();
    kv.commit(put("a", "1")).await.unwrap();
    let readers: Vec<_> = (0..64)
        .map(|number| {
            let kv = kv.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let snapshot = kv.snapshot().await.unwrap();
                    assert_eq!(text(&kv, "a").await.as_deref(), Some("1"));
                    tokio::task::yield_now().await;
                    assert!(snapshot.get(b"a").await.unwrap().is_some());
                    drop(snapshot);
                    if number % 8 == 0 {
                        assert_eq!(kv.faults().await, Ok(vec![]));
                    }
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(kv.0.readers.pool().open <= 2);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let kv = open(&path);
    kv.commit(put("a", "1")).await.unwrap();
    let lease = kv.acquire("l", "me", Duration::from_secs(60), Claim::IfFree).await.unwrap();
    let Outcome::Done(version) = kv.commit(put("b", "2")).await.unwrap() else { unreachable!() };
    drop(kv);
    let kv = open(&path);
    assert_eq!(text(&kv, "a").await.as_deref(), Some("1"));
    assert_eq!(kv.get(b"b").await.unwrap().unwrap().version, version);
    assert_eq!(kv.lease("l").await.unwrap(), Some(lease.clone()));
    let Outcome::Done(next) = kv.commit(put("b", "3")).await.unwrap() else { unreachable!() };
    assert!(next > version && next.commit().unwrap() > lease.token.0, "numbers go on where they were");
    assert_eq!(kv.faults().await, Ok(vec![]));
}

/// A killed process leaves the file and its log as they are at that moment. Their copies, taken after the first
/// commits were acknowledged, must hold them whole.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let kv = open(&path);
    for n in 0..500 {
        let both = put(&format!("a{n}"), "x").write(Write::Put(format!("b{n}").into_bytes(), Bytes::new()));
        kv.commit(both).await.unwrap();
    }
    let copy = root.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(root.path().join("meta.db-wal"), root.path().join("copy.db-wal")).unwrap();
    let after = open(&copy);
    assert_eq!(after.range(&Range::prefix(b"a")).await.unwrap().len(), 500);
    assert_eq!(after.range(&Range::prefix(b"b")).await.unwrap().len(), 500);
    assert_eq!(after.faults().await, Ok(vec![]));
}

/// A power cut may also tear the end of the log: then the last commits are gone, each of them whole.
#[tokio::test]
async fn a_torn_log_loses_whole_commits_from_its_end() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let kv = open(&path);
    for n in 0..40 {
        let value = "x".repeat(500);
        let both = put(&format!("a{n:02}"), &value).write(Write::Put(format!("b{n:02}").into_bytes(), Bytes::new()));
        kv.commit(both).await.unwrap();
    }
    let log = std::fs::read(root.path().join("meta.db-wal")).unwrap();
    let mut seen = Vec::new();
    for part in 0..=8 {
        let copy = root.path().join(format!("copy{part}.db"));
        std::fs::copy(&path, &copy).unwrap();
        let torn = &log[..log.len() * part / 8];
        std::fs::write(root.path().join(format!("copy{part}.db-wal")), torn).unwrap();
        // The tables themselves may be among what is lost.
        let after = SqliteKv::open(&copy, &SqliteOptions::default(), Clock::system()).unwrap();
        let names = |rows: Vec<Entry>| rows.iter().map(|row| row.key[1..].to_vec()).collect::<Vec<_>>();
        let a = names(after.range(&Range::prefix(b"a")).await.unwrap());
        let b = names(after.range(&Range::prefix(b"b")).await.unwrap());
        assert_eq!(a, b, "half a commit");
        let expected: Vec<Vec<u8>> = (0..a.len()).map(|n| format!("{n:02}").into_bytes()).collect();
        assert_eq!(a, expected, "a commit is missing before a later one");
        assert_eq!(after.faults().await, Ok(vec![]));
        seen.push(a.len());
    }
    assert!(seen.is_sorted() && seen.last() == Some(&40), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_transactions_and_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let kv = open(&root.path().join("meta.db"));
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let kv = kv.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    let commit = put(&format!("{task}/{n}"), "x").write(Write::Add(b"sum".to_vec(), vec![1]));
                    kv.commit(commit).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let sum = kv.get(b"sum").await.unwrap().unwrap();
    assert_eq!(crate::kv::counters(&sum.value).collect::<Vec<_>>(), [1600]);
    assert_eq!(sum.version, crate::kv::Version::of_commit(1600));
    assert_eq!(kv.range(&Range::prefix(b"")).await.unwrap().len(), 1601);
}

/// Transactions in a write-ahead log since it began anew: a frame that ends one says how many pages the file has then.
fn transactions(log: &[u8]) -> usize {
    let page = log.get(8..12).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    let frames = log.get(32..).unwrap_or_default().chunks_exact(24 + usize::try_from(page).unwrap());
    frames.filter(|frame| frame[8..16] == log[16..24] && frame[4..8] != [0; 4]).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_wait_are_one_transaction() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let kv = open(&path);
    let log = root.path().join("meta.db-wal");
    kv.commit(put("first", "")).await.unwrap();
    let before = transactions(&std::fs::read(&log).unwrap());
    // While another process writes, the first commit waits for it, and the others for the first.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let kv = kv.clone();
            tokio::spawn(async move { kv.commit(put(&task.to_string(), &"x".repeat(4096))).await.unwrap() })
        })
        .collect();
    while kv.0.waiting.available_permits() > super::MAX_WAITING - 32 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let made = transactions(&std::fs::read(&log).unwrap()) - before;
    assert!((1..=2).contains(&made), "32 commits took {made} transactions");
}

/// One who reads while others write never sees a row go back, and sees its own commits at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_rows_are_never_old() {
    let root = tempfile::tempdir().unwrap();
    let options = SqliteOptions { is_alone: true, ..SqliteOptions::default() };
    let kv = SqliteKv::open(&root.path().join("meta.db"), &options, Clock::system()).unwrap();
    let number = |row: Option<Versioned>| row.map_or(0, |row| crate::kv::counters(&row.value).next().unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let kv = kv.clone();
            tokio::spawn(async move {
                let key = format!("row{}", task % 2).into_bytes();
                let mut last = 0;
                for _ in 0..100 {
                    let before = number(kv.get(&key).await.unwrap());
                    assert!(before >= last, "{before} after {last}");
                    kv.commit(Commit::new().write(Write::Add(key.clone(), vec![1]))).await.unwrap();
                    last = number(kv.get(&key).await.unwrap());
                    assert!(last > before, "{last} after a commit to {before}");
                    let ranged = kv.range(&Range::prefix(key.clone())).await.unwrap();
                    assert!(crate::kv::counters(&ranged[0].value).next().unwrap() >= last);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(number(kv.get(b"row0").await.unwrap()), 400);
    kv.commit(Commit::new().write(Write::DeletePrefix(b"ro".to_vec()))).await.unwrap();
    assert_eq!(kv.get(b"row0").await.unwrap(), None);
}

/// Whoever reads a value while it is replaced gets the one that its version belongs to, whichever table it is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_values_are_replaced_whole() {
    let root = tempfile::tempdir().unwrap();
    let kv = open(&root.path().join("meta.db"));
    let written = tokio::spawn({
        let kv = kv.clone();
        async move {
            for n in 1..=300_usize {
                let value = vec![u8::try_from(n % 251).unwrap(); [10, layout::LONG_VALUE, 20_000][n % 3]];
                let write = Write::Put(b"key".to_vec(), Bytes::from(value));
                assert_eq!(
                    kv.commit(Commit::new().write(write)).await.unwrap(),
                    Outcome::Done(Version::of_commit(n as u64))
                );
            }
        }
    });
    let mut last = 0;
    while last < 300 {
        let ranged =
            kv.range(&Range::prefix(b"key")).await.unwrap().pop().map(|row| (row.value, row.version.commit().unwrap()));
        let got = kv.get(b"key").await.unwrap().map(|row| (row.value, row.version.commit().unwrap()));
        for (value, version) in [ranged, got].into_iter().flatten() {
            assert!(version >= last);
            let n = usize::try_from(version).unwrap();
            let expected = vec![u8::try_from(n % 251).unwrap(); [10, layout::LONG_VALUE, 20_000][n % 3]];
            assert!(value == expected, "{} bytes of {} at version {n}", value.len(), value[0]);
            last = version;
        }
    }
    written.await.unwrap();
    assert_eq!(kv.faults().await, Ok(vec![]));
    kv.commit(Commit::new().write(Write::Delete(b"key".to_vec()))).await.unwrap();
    assert_eq!(kv.faults().await, Ok(vec![]));
}

/// A file of the first version has long values in the tree itself. They are read, replaced and removed like others.
#[tokio::test]
async fn a_file_of_version_1_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(&format!(
        "PRAGMA page_size = 8192;
         PRAGMA journal_mode = WAL;
         CREATE TABLE kv (k BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE lease (name TEXT PRIMARY KEY NOT NULL, holder TEXT NOT NULL, token INTEGER NOT NULL,
                             expires_ms INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE sequence (id INTEGER PRIMARY KEY CHECK (id = 0), last INTEGER NOT NULL);
         INSERT INTO sequence VALUES (0, 7);
         INSERT INTO kv VALUES (x'61', zeroblob(5000), 5), (x'62', x'31', 6), (x'63', zeroblob(900), 7);
         PRAGMA application_id = {};
         PRAGMA user_version = 1;",
        layout::APPLICATION_ID
    ))
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let kv = open(&path);
        let rows = kv.range(&Range::prefix(b"")).await.unwrap();
        let seen: Vec<_> =
            rows.iter().map(|row| (row.key.as_ref(), row.value.len(), row.version.commit().unwrap())).collect();
        assert_eq!(seen, [(&b"a"[..], 5000, 5), (b"b", 1, 6), (b"c", 900, 7)]);
    }
    let kv = open(&path);
    let commit = put("a", &"x".repeat(6000)).write(Write::Delete(b"c".to_vec()));
    assert_eq!(kv.commit(commit).await.unwrap(), Outcome::Done(Version::of_commit(8)));
    assert_eq!(text(&kv, "a").await, Some("x".repeat(6000)));
    assert_eq!(text(&kv, "c").await, None);
    assert_eq!(kv.faults().await, Ok(vec![]));
    kv.commit(Commit::new().write(Write::DeletePrefix(Vec::new()))).await.unwrap();
    assert_eq!(kv.faults().await, Ok(vec![]));
    assert_eq!(kv.range(&Range::prefix(b"")).await.unwrap(), []);
}

#[tokio::test]
async fn unpaired_values_are_faults() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let kv = open(&path);
    kv.commit(put("a", &"x".repeat(6000))).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("UPDATE large SET id = id + 1").unwrap();
    let found = kv.faults().await.unwrap();
    assert_eq!(found, ["1 long values are missing", "1 long values have no key"]);
    assert_eq!(kv.get(b"a").await.unwrap_err().kind, ErrorKind::Corrupt, "not as if there were no such key");
    assert_eq!(kv.range(&Range::prefix(b"")).await.unwrap_err().kind, ErrorKind::Corrupt);
}

/// Several processes may have the file open: each sees the commits and leases of the others.
#[tokio::test]
async fn two_owners_exclude_each_other() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("meta.db");
    let (one, two) = (open(&path), open(&path));
    one.commit(put("a", "1")).await.unwrap();
    assert_eq!(text(&two, "a").await.as_deref(), Some("1"));
    let absent = put("a", "2").require(Precondition::Absent(b"a".to_vec()));
    assert_eq!(two.commit(absent).await.unwrap(), Outcome::Refused(0));
    let lease = one.acquire("l", "one", Duration::from_secs(60), Claim::IfFree).await.unwrap();
    let held = two.acquire("l", "two", Duration::from_secs(60), Claim::IfFree).await.unwrap_err();
    assert_eq!(held.kind, ErrorKind::Held);
    two.acquire("l", "two", Duration::from_secs(60), Claim::TakeOver(lease.token)).await.unwrap();
    let fenced = put("a", "3").require(Precondition::LeaseHeld("l".to_owned(), lease.token));
    assert_eq!(one.commit(fenced).await.unwrap(), Outcome::Refused(0));
}

#[tokio::test]
async fn a_snapshot_outlives_the_map() {
    let root = tempfile::tempdir().unwrap();
    let kv = open(&root.path().join("meta.db"));
    kv.commit(put("a", "1")).await.unwrap();
    let snapshot = kv.snapshot().await.unwrap();
    kv.commit(put("a", "2")).await.unwrap();
    drop(kv);
    assert_eq!(snapshot.get(b"a").await.unwrap().unwrap().value, "1");
}

#[tokio::test]
async fn long_ranges_are_read_too() {
    let root = tempfile::tempdir().unwrap();
    let kv = open(&root.path().join("meta.db"));
    let writes = (0..5000u32).map(|n| Write::Put(n.to_be_bytes().to_vec(), Bytes::new())).collect();
    kv.commit(Commit { preconditions: vec![], writes }).await.unwrap();
    assert_eq!(kv.range(&Range::prefix(b"")).await.unwrap().len(), 5000);
    let snapshot = kv.snapshot().await.unwrap();
    assert_eq!(snapshot.range(&Range::prefix(b"").reversed().limit(4000)).await.unwrap().len(), 4000);
}

#[test]
fn a_map_that_must_be_there_is_not_made() {
    let root = tempfile::tempdir().unwrap();
    let options = SqliteOptions { must_exist: true, ..SqliteOptions::default() };
    let refused = |name: &str| SqliteKv::open(&root.path().join(name), &options, Clock::system()).err().map(|e| e.kind);
    assert_eq!(refused("missing.db"), Some(ErrorKind::NotFound));
    assert!(!root.path().join("missing.db").exists());
    std::fs::write(root.path().join("empty.db"), "").unwrap();
    assert_eq!(refused("empty.db"), Some(ErrorKind::NotFound));
    let bare = Connection::open(root.path().join("bare.db")).unwrap();
    bare.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(bare);
    assert_eq!(refused("bare.db"), Some(ErrorKind::NotFound));
    drop(open(&root.path().join("there.db")));
    assert_eq!(refused("there.db"), None);
}

#[test]
fn files_of_others_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let check = |name: &str, expected: ErrorKind| {
        let refused = SqliteKv::open(&root.path().join(name), &SqliteOptions::default(), Clock::system());
        assert_eq!(refused.map(|_| ()).unwrap_err().kind, expected, "{name}");
    };
    std::fs::write(root.path().join("text.db"), "not a database at all, but long enough to be one".repeat(30)).unwrap();
    check("text.db", ErrorKind::Corrupt);
    check("no/such/folder.db", ErrorKind::Unavailable);
    let other = Connection::open(root.path().join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 7").unwrap();
    drop(other);
    check("other.db", ErrorKind::Corrupt);
    drop(open(&root.path().join("newer.db")));
    let newer = Connection::open(root.path().join("newer.db")).unwrap();
    newer.pragma_update(None, "user_version", layout::SCHEMA_VERSION + 1).unwrap();
    drop(newer);
    check("newer.db", ErrorKind::Corrupt);
}
