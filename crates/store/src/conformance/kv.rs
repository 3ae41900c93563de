//! What every [`Kv`] does: first by example, then by agreeing with the one in memory on random commits.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a failed expectation of a suite is a panic")]

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::Choices;
use crate::clock::ManualClock;
use crate::error::ErrorKind;
use crate::kv::{
    Claim, Commit, Entry, Groups, Kv, MemoryKv, Outcome, Precondition, Range, Version, Write, add_counters, counters,
};

/// Runs the suite. `make` opens an empty map whose leases expire by `clock`.
pub async fn check<F, Fut>(make: F, clock: &ManualClock)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Box<dyn Kv>>,
{
    reads_what_was_written(make().await.as_ref()).await;
    many_are_read_at_once(make().await.as_ref()).await;
    ranges_are_ordered(make().await.as_ref()).await;
    groups_are_skipped(make().await.as_ref()).await;
    preconditions_guard_commits(make().await.as_ref()).await;
    versions_rise(make().await.as_ref()).await;
    snapshots_do_not_move(make().await.as_ref()).await;
    counters_add_up(make().await.as_ref()).await;
    leases_exclude(make().await.as_ref(), clock).await;
    leases_guard_commits(make().await.as_ref(), clock).await;
    one_of_many_wins(make().await.as_ref()).await;
    for seed in 0..8 {
        agrees_with_memory(make().await.as_ref(), clock, seed).await;
    }
}

async fn put(kv: &dyn Kv, key: &[u8], value: &[u8]) -> Version {
    let commit = Commit::new().write(Write::Put(key.to_vec(), Bytes::copy_from_slice(value)));
    match kv.commit(commit).await.unwrap() {
        Outcome::Done(version) => version,
        Outcome::Refused(index) => unreachable!("refused by {index} of no preconditions"),
    }
}

async fn refused(kv: &dyn Kv, preconditions: Vec<Precondition>) -> Option<usize> {
    match kv.commit(Commit { preconditions, writes: vec![Write::Put(b"~".to_vec(), Bytes::new())] }).await.unwrap() {
        Outcome::Done(_) => None,
        Outcome::Refused(index) => {
            assert_eq!(kv.get(b"~").await.unwrap(), None, "a refused commit wrote");
            Some(index)
        }
    }
}

fn keys(rows: &[Entry]) -> Vec<&[u8]> {
    rows.iter().map(|row| row.key.as_ref()).collect()
}

async fn reads_what_was_written(kv: &dyn Kv) {
    assert_eq!(kv.get(b"a").await.unwrap(), None);
    let big = vec![7; 200_000];
    for (key, value) in [(&b"a"[..], &b"1"[..]), (b"", b"empty key"), (b"\0\xff", b""), (b"big", &big)] {
        let version = put(kv, key, value).await;
        let row = kv.get(key).await.unwrap().unwrap();
        assert_eq!((row.value.as_ref(), row.version), (value, version));
    }
    let both = Commit::new()
        .write(Write::Put(b"a".to_vec(), Bytes::from_static(b"2")))
        .write(Write::Delete(b"a".to_vec()))
        .write(Write::Delete(b"never there".to_vec()));
    assert!(matches!(kv.commit(both).await.unwrap(), Outcome::Done(_)));
    assert_eq!(kv.get(b"a").await.unwrap(), None, "changes apply in order");
}

async fn many_are_read_at_once(kv: &dyn Kv) {
    put(kv, b"a", b"1").await;
    let long = vec![b'x'; 5000];
    put(kv, b"b", &long).await;
    assert_eq!(kv.get_many(&[]).await.unwrap(), []);
    let keys = [b"b".to_vec(), b"absent".to_vec(), b"a".to_vec(), b"b".to_vec()];
    let found = kv.get_many(&keys).await.unwrap();
    let mut expected = Vec::new();
    for key in &keys {
        expected.push(kv.get(key).await.unwrap());
    }
    assert_eq!(found, expected);
}

async fn ranges_are_ordered(kv: &dyn Kv) {
    for key in [&b"b"[..], b"a", b"a\0", b"a\xff", b"c", b"\xff\xff"] {
        put(kv, key, b"x").await;
    }
    for (range, expected) in [
        (Range::prefix(b""), vec![&b"a"[..], b"a\0", b"a\xff", b"b", b"c", b"\xff\xff"]),
        (Range::prefix(b"a"), vec![b"a", b"a\0", b"a\xff"]),
        (Range::prefix(b"a").limit(2), vec![b"a", b"a\0"]),
        (Range::prefix(b"a").limit(2).reversed(), vec![b"a\xff", b"a\0"]),
        (Range::prefix(b"").limit(1).reversed(), vec![b"\xff\xff"]),
        (Range::prefix(b"\xff"), vec![b"\xff\xff"]),
        (Range::prefix(b"a").limit(0), vec![]),
        (Range { from: b"a\0".to_vec(), to: Some(b"b".to_vec()), limit: 9, reverse: false }, vec![b"a\0", b"a\xff"]),
        (Range { from: b"b".to_vec(), to: Some(b"a".to_vec()), limit: 9, reverse: false }, vec![]),
        (Range { from: b"b".to_vec(), to: None, limit: 9, reverse: true }, vec![b"\xff\xff", b"c", b"b"]),
    ] {
        let rows = kv.range(&range).await.unwrap();
        assert_eq!(keys(&rows), expected, "{range:?}");
    }
    let commit = Commit::new().write(Write::DeletePrefix(b"a".to_vec()));
    assert!(matches!(kv.commit(commit).await.unwrap(), Outcome::Done(_)));
    assert_eq!(keys(&kv.range(&Range::prefix(b"")).await.unwrap()), [&b"b"[..], b"c", b"\xff\xff"]);
    let commit = Commit::new().write(Write::DeletePrefix(b"\xff".to_vec()));
    assert!(matches!(kv.commit(commit).await.unwrap(), Outcome::Done(_)));
    assert_eq!(keys(&kv.range(&Range::prefix(b"")).await.unwrap()), [&b"b"[..], b"c"]);
}

async fn groups_are_skipped(kv: &dyn Kv) {
    // Groups longer than what is read at once, and runs of keys in no group that are, too.
    let mut commit = Commit::new();
    let long = (0..100).flat_map(|n| [format!("k/a/{n:03}"), format!("k/b/{n:03}"), format!("k/run-{n:03}")]);
    let short = ["j", "k/", "k/c", "k/c/1", "k/c0", "k/d\0\u{1}1/2", "k/d\0\u{1}1/3", "k/z", "l/1"];
    for key in long.chain(short.map(str::to_owned)) {
        commit = commit.write(Write::Put(key.into_bytes(), Bytes::from_static(b"x")));
    }
    assert!(matches!(kv.commit(commit).await.unwrap(), Outcome::Done(_)));
    let below = |after| Groups { after, delimiter: b"/".to_vec(), until: None };
    let first = Range::prefix(b"k/").limit(4);
    let found = kv.skipping_range(&first, &below(2)).await.unwrap();
    assert_eq!(keys(&found), [&b"k/"[..], b"k/a/000", b"k/b/000", b"k/c"]);
    for groups in [
        below(0),
        below(2),
        below(3),
        below(100),
        Groups { until: Some(b"\0\x01".to_vec()), ..below(2) },
        Groups { until: Some(Vec::new()), ..below(2) },
        Groups { delimiter: b"-0".to_vec(), ..below(2) },
        Groups { delimiter: Vec::new(), ..below(2) },
        Groups { delimiter: b"\xff".to_vec(), ..below(2) },
    ] {
        for (from, to) in
            [("k/", Some("k0")), ("", None), ("", Some("l")), ("k/a/050", Some("k/run-050")), ("l", Some("k"))]
        {
            for limit in [0, 1, 2, 5, 60, 99, 100, 103, 1000] {
                let range = Range { from: from.into(), to: to.map(Into::into), limit, reverse: false };
                assert_eq!(
                    kv.skipping_range(&range, &groups).await.unwrap(),
                    skipped(kv, &range, &groups).await,
                    "{range:?}, {groups:?}"
                );
            }
        }
    }
}

/// The rule, read literally.
async fn skipped(kv: &dyn Kv, range: &Range, groups: &Groups) -> Vec<Entry> {
    let mut rows = kv.range(&Range { limit: usize::MAX, ..range.clone() }).await.unwrap();
    let mut group: Option<Vec<u8>> = None;
    rows.retain(|row| {
        let is_skipped = group.as_ref().is_some_and(|group| row.key.starts_with(group));
        if !is_skipped {
            group = groups.of(&row.key).map(<[u8]>::to_vec);
        }
        !is_skipped
    });
    rows.truncate(range.limit);
    rows
}

async fn preconditions_guard_commits(kv: &dyn Kv) {
    let old = put(kv, b"there", b"1").await;
    let new = put(kv, b"there", b"2").await;
    put(kv, b"dir/a", b"x").await;
    kv.commit(Commit::new().write(Write::Add(b"count".to_vec(), vec![3, 9]))).await.unwrap();
    let there = || b"there".to_vec();
    let gone = || b"gone".to_vec();
    for (preconditions, expected) in [
        (vec![Precondition::Absent(there())], Some(0)),
        (vec![Precondition::Exists(gone())], Some(0)),
        (vec![Precondition::VersionIs(there(), old)], Some(0)),
        (vec![Precondition::VersionIs(gone(), new)], Some(0)),
        (vec![Precondition::CounterAtLeast(b"count".to_vec(), 4)], Some(0)),
        (vec![Precondition::CounterAtLeast(gone(), 1)], Some(0)),
        (vec![Precondition::PrefixEmpty(b"dir/".to_vec())], Some(0)),
        (vec![Precondition::Exists(there()), Precondition::Exists(gone()), Precondition::Absent(there())], Some(1)),
        (vec![Precondition::LeaseHeld("nobody".to_owned(), crate::kv::FencingToken(1))], Some(0)),
    ] {
        let shown = format!("{preconditions:?}");
        assert_eq!(refused(kv, preconditions).await, expected, "{shown}");
    }
    let all = vec![
        Precondition::Absent(gone()),
        Precondition::Exists(there()),
        Precondition::VersionIs(there(), new),
        Precondition::CounterAtLeast(b"count".to_vec(), 3),
        Precondition::CounterAtLeast(gone(), 0),
        Precondition::PrefixEmpty(b"dir0".to_vec()),
        Precondition::LeaseFree("nobody".to_owned()),
    ];
    assert_eq!(refused(kv, all).await, None);
}

async fn versions_rise(kv: &dyn Kv) {
    let first = put(kv, b"a", b"x").await;
    let second = put(kv, b"a", b"x").await;
    assert!(second > first, "writing the same value is a write");
    kv.commit(Commit::new().write(Write::Delete(b"a".to_vec()))).await.unwrap();
    let third = put(kv, b"a", b"x").await;
    assert!(third > second, "versions are never used twice");
    let commit =
        Commit::new().write(Write::Put(b"b".to_vec(), Bytes::new())).write(Write::Put(b"c".to_vec(), Bytes::new()));
    let outcome = kv.commit(commit).await.unwrap();
    let rows = kv.range(&Range::prefix(b"")).await.unwrap();
    let versions: Vec<_> = rows.iter().map(|row| Outcome::Done(row.version)).collect();
    assert_eq!(versions, [Outcome::Done(third), outcome, outcome], "keys of one commit share its version");
}

async fn snapshots_do_not_move(kv: &dyn Kv) {
    put(kv, b"a", b"1").await;
    let snapshot = kv.snapshot().await.unwrap();
    put(kv, b"a", b"2").await;
    put(kv, b"b", b"2").await;
    assert_eq!(snapshot.get(b"a").await.unwrap().unwrap().value, "1");
    assert_eq!(snapshot.get(b"b").await.unwrap(), None);
    assert_eq!(keys(&snapshot.range(&Range::prefix(b"")).await.unwrap()), [b"a"]);
    assert_eq!(kv.get(b"a").await.unwrap().unwrap().value, "2");
    assert_eq!(kv.snapshot().await.unwrap().range(&Range::prefix(b"")).await.unwrap().len(), 2);
    drop(snapshot);
    let many: Vec<_> = (0..20u8).map(|n| Write::Put(vec![b's', n], Bytes::new())).collect();
    kv.commit(Commit { preconditions: vec![], writes: many }).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(kv.snapshot().await.unwrap());
    }
    for snapshot in &held {
        assert_eq!(snapshot.range(&Range::prefix(b"s")).await.unwrap().len(), 20);
    }
}

async fn counters_add_up(kv: &dyn Kv) {
    for deltas in [vec![1, 2], vec![-3], vec![0, 0, 5]] {
        kv.commit(Commit::new().write(Write::Add(b"n".to_vec(), deltas))).await.unwrap();
    }
    let value = kv.get(b"n").await.unwrap().unwrap().value;
    assert_eq!(counters(&value).collect::<Vec<_>>(), [-2, 2, 5]);
    assert_eq!(value, add_counters(b"", &[-2, 2, 5]));
}

const MINUTE: Duration = Duration::from_secs(60);

async fn leases_exclude(kv: &dyn Kv, clock: &ManualClock) {
    let first = kv.acquire("a", "one", MINUTE, Claim::IfFree).await.unwrap();
    assert_eq!(kv.lease("a").await.unwrap(), Some(first.clone()));
    let refused = kv.acquire("a", "two", MINUTE, Claim::IfFree).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Held);
    kv.acquire("b", "two", MINUTE, Claim::IfFree).await.unwrap();

    clock.advance_ms(40_000);
    let renewed = kv.renew(&first, MINUTE).await.unwrap();
    assert_eq!(renewed.token, first.token);
    assert!(renewed.expires_ms > first.expires_ms);
    clock.advance_ms(40_000);
    assert!(kv.acquire("a", "two", MINUTE, Claim::IfFree).await.is_err(), "renewing did not lengthen it");
    clock.advance_ms(20_000);
    assert_eq!(kv.lease("a").await.unwrap(), None, "it ends at its expiry, not after");
    let revived = kv.renew(&first, MINUTE).await.unwrap();
    assert_eq!(revived.token, first.token, "nobody took it");

    let wrong = Claim::TakeOver(crate::kv::FencingToken(u64::from(u32::MAX)));
    assert_eq!(kv.acquire("a", "two", MINUTE, wrong).await.unwrap_err().kind, ErrorKind::Held);
    let second = kv.acquire("a", "two", MINUTE, Claim::TakeOver(first.token)).await.unwrap();
    assert!(second.token > first.token);
    assert_eq!(kv.renew(&first, MINUTE).await.unwrap_err().kind, ErrorKind::Conflict);
    kv.release(&first).await.unwrap();
    assert_eq!(kv.lease("a").await.unwrap(), Some(second.clone()), "only the holder can give it back");
    kv.release(&second).await.unwrap();
    assert_eq!(kv.lease("a").await.unwrap(), None);
    let third = kv.acquire("a", "three", MINUTE, Claim::IfFree).await.unwrap();
    assert!(third.token > second.token, "tokens are never used twice");
}

async fn leases_guard_commits(kv: &dyn Kv, clock: &ManualClock) {
    let held = |token| vec![Precondition::LeaseHeld("a".to_owned(), token)];
    let free = || vec![Precondition::LeaseFree("a".to_owned())];
    let first = kv.acquire("a", "one", MINUTE, Claim::IfFree).await.unwrap();
    assert_eq!(refused(kv, held(first.token)).await, None);
    kv.commit(Commit::new().write(Write::Delete(b"~".to_vec()))).await.unwrap();
    assert_eq!(refused(kv, free()).await, Some(0));
    clock.advance_ms(60_000);
    assert_eq!(refused(kv, free()).await, None);
    assert_eq!(refused(kv, held(first.token)).await, None, "an expired lease that nobody took still fences");
    kv.commit(Commit::new().write(Write::Delete(b"~".to_vec()))).await.unwrap();
    let second = kv.acquire("a", "two", MINUTE, Claim::IfFree).await.unwrap();
    assert_eq!(refused(kv, held(first.token)).await, Some(0));
    assert_eq!(refused(kv, held(second.token)).await, None);
    kv.release(&second).await.unwrap();
    kv.commit(Commit::new().write(Write::Delete(b"~".to_vec()))).await.unwrap();
    assert_eq!(refused(kv, held(second.token)).await, Some(0));
}

/// Of commits made at the same moment that all want a key to be absent, one succeeds.
async fn one_of_many_wins(kv: &dyn Kv) {
    let claim = |n: u8| {
        let commit = Commit::new()
            .require(Precondition::Absent(b"prize".to_vec()))
            .write(Write::Put(b"prize".to_vec(), Bytes::from(vec![n])))
            .write(Write::Add(b"winners".to_vec(), vec![1]));
        async move { kv.commit(commit).await.unwrap() }
    };
    let (a, b, c, d) = tokio::join!(claim(1), claim(2), claim(3), claim(4));
    let done = [a, b, c, d].iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count();
    assert_eq!(done, 1);
    assert_eq!(kv.get(b"winners").await.unwrap().unwrap().value, add_counters(b"", &[1]));
}

async fn agrees_with_memory(kv: &dyn Kv, clock: &ManualClock, seed: u64) {
    let model = MemoryKv::new(clock.clock());
    let mut choices = Choices::new(seed);
    for step in 0..150 {
        let commit = random_commit(&mut choices);
        let (ours, theirs) = translate(kv, &model, commit, &mut choices).await;
        let shown = format!("seed {seed}, step {step}: {theirs:?}");
        let (outcome, expected) = (kv.commit(ours).await.unwrap(), model.commit(theirs).await.unwrap());
        match (outcome, expected) {
            (Outcome::Done(_), Outcome::Done(_)) => {}
            (outcome, expected) => assert_eq!(outcome, expected, "{shown}"),
        }
        let from = random_key(&mut choices);
        let range = Range {
            to: (choices.below(3) > 0).then(|| random_key(&mut choices)),
            limit: choices.size(12),
            reverse: choices.below(2) == 0,
            from,
        };
        let (rows, expected) = (kv.range(&range).await.unwrap(), model.range(&range).await.unwrap());
        let plain = |rows: Vec<Entry>| rows.into_iter().map(|row| (row.key, row.value)).collect::<Vec<_>>();
        assert_eq!(plain(rows), plain(expected), "{shown}, {range:?}");
        let rising = Range { reverse: false, ..range };
        let mut groups = Groups { after: choices.size(3), delimiter: random_key(&mut choices), until: None };
        if choices.below(2) == 0 {
            groups.until = Some(random_key(&mut choices));
        }
        let found = kv.skipping_range(&rising, &groups).await.unwrap();
        assert_eq!(found, skipped(kv, &rising, &groups).await, "{shown}, {rising:?}, {groups:?}");
    }
}

/// The same commit for both: version preconditions name, in each, the version that this key has there.
async fn translate(kv: &dyn Kv, model: &MemoryKv, commit: Commit, choices: &mut Choices) -> (Commit, Commit) {
    let (mut ours, mut theirs) = (commit.clone(), commit);
    if choices.below(2) == 0 {
        let key = random_key(choices);
        let stale = choices.below(3) == 0;
        let version = |row: crate::kv::Versioned| match row.version.commit() {
            _ if !stale => row.version,
            Some(number) => Version::of_commit(number - 1),
            // None of an engine that does not count.
            None => Version::of_commit(0),
        };
        if let (Some(row), Some(expected)) = (kv.get(&key).await.unwrap(), model.get(&key).await.unwrap()) {
            ours.preconditions.push(Precondition::VersionIs(key.clone(), version(row)));
            theirs.preconditions.push(Precondition::VersionIs(key, version(expected)));
        }
    }
    (ours, theirs)
}

fn random_key(choices: &mut Choices) -> Vec<u8> {
    let alphabet = [0, b'a', b'b', 0xff];
    let len = choices.size(4);
    (0..len).filter_map(|_| alphabet.get(choices.size(alphabet.len())).copied()).collect()
}

/// Short ones most of the time; an engine may keep long ones elsewhere.
fn random_value(choices: &mut Choices) -> Bytes {
    let len = match choices.below(4) {
        0 => 600 + choices.size(100),
        1 => choices.size(9000),
        _ => choices.size(40),
    };
    Bytes::from(vec![u8::try_from(choices.size(256)).unwrap_or(0); len])
}

fn random_commit(choices: &mut Choices) -> Commit {
    let mut commit = Commit::new();
    for _ in 0..choices.below(2) {
        let key = random_key(choices);
        commit.preconditions.push(match choices.below(4) {
            0 => Precondition::Absent(key),
            1 => Precondition::Exists(key),
            2 => Precondition::CounterAtLeast([b"n", key.as_slice()].concat(), choices.below(5).cast_signed()),
            _ => Precondition::PrefixEmpty(key),
        });
    }
    for _ in 0..choices.below(4) {
        let key = random_key(choices);
        commit.writes.push(match choices.below(8) {
            0 | 1 => Write::Delete(key),
            2 if key.len() > 1 => Write::DeletePrefix(key),
            3 => Write::Add([b"n", key.as_slice()].concat(), vec![choices.below(9).cast_signed() - 4]),
            _ => Write::Put(key, random_value(choices)),
        });
    }
    commit
}
