//! The one thread that changes the file.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cache::RowCache;
use super::changes::execute;
use super::checkpoint::{Checkpoints, Copies};
use super::pending::Pending;
use super::{failed, rows};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Claim, Commit, FencingToken, Lease, Outcome, Version, Write, expiry};

/// The most jobs that share one transaction: more would make the first of them wait for no gain.
pub const MAX_BATCH: usize = 256;

pub(super) struct Request {
    pub(super) job: Job,
    /// Bounds the queue; given back when the job is done.
    pub(super) _permit: OwnedSemaphorePermit,
}

pub(super) enum Job {
    Commit(Commit, oneshot::Sender<Result<Outcome>>),
    Acquire { name: String, holder: String, ttl: Duration, claim: Claim, reply: oneshot::Sender<Result<Lease>> },
    Renew { lease: Lease, ttl: Duration, reply: oneshot::Sender<Result<Lease>> },
    Release { lease: Lease, reply: oneshot::Sender<Result<()>> },
}

impl Job {
    /// Rows that it writes, about.
    fn rows(&self) -> usize {
        match self {
            // Counters are written once for all commits of a transaction.
            Job::Commit(commit, _) => 1 + commit.writes.iter().filter(|write| !matches!(write, Write::Add(..))).count(),
            Job::Acquire { .. } | Job::Renew { .. } | Job::Release { .. } => 1,
        }
    }
}

/// What a job came to, said only once its transaction is on disk.
enum Done {
    Outcome(Outcome),
    Lease(Result<Lease>),
    Nothing,
}

/// How far a failed batch got.
enum Failure {
    /// Nothing of it was kept.
    RolledBack(Error),
    /// It may or may not have been kept.
    Unknown(Error),
}

/// Serves requests until every sender is gone.
pub(super) fn run(
    connection: Connection,
    mut checkpoints: Checkpoints,
    copies: &Copies,
    cache: Option<&RowCache>,
    queue: &Receiver<Request>,
    clock: &Clock,
) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let rows = batch.iter().map(|request| request.job.rows()).sum();
        let last = serve(&connection, batch, copies, cache, clock);
        checkpoints.count(rows, last);
        checkpoints.help(&connection);
    }
    drop(checkpoints);
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the metadata file was not closed cleanly");
    }
}

/// Serves a batch; the last version that it committed, if that is known.
fn serve(
    connection: &Connection,
    batch: Vec<Request>,
    copies: &Copies,
    cache: Option<&RowCache>,
    clock: &Clock,
) -> Option<u64> {
    let transact = |jobs: &[&Job]| {
        transact(connection, jobs, clock, || copies.trim()).inspect_err(|failure| {
            if let Failure::Unknown(_) = failure {
                copies.fray();
            }
        })
    };
    let writes = batch.iter().flat_map(|request| match &request.job {
        Job::Commit(commit, _) => commit.writes.as_slice(),
        Job::Acquire { .. } | Job::Renew { .. } | Job::Release { .. } => &[],
    });
    let _changing = cache.map(|cache| cache.change(writes));
    let jobs: Vec<&Job> = batch.iter().map(|request| &request.job).collect();
    match transact(&jobs) {
        Ok((done, last)) => {
            for (request, done) in batch.into_iter().zip(done) {
                answer(request.job, Ok(done));
            }
            Some(last)
        }
        // One job that cannot be done must not take down those that happened to wait beside it.
        Err(Failure::RolledBack(_)) if batch.len() > 1 => {
            let mut last = None;
            for request in batch {
                let done = transact(&[&request.job]);
                last = done.as_ref().map(|(_, version)| *version).ok().or(last);
                let done = done.map(|(mut done, _)| done.pop().unwrap_or(Done::Nothing));
                answer(request.job, done.map_err(Failure::into_error));
            }
            last
        }
        Err(failure) => {
            let error = failure.into_error();
            for request in batch {
                answer(request.job, Err(error.clone()));
            }
            None
        }
    }
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Failure::RolledBack(error) | Failure::Unknown(error) => error,
        }
    }
}

/// A caller that no longer waits is no reason to stop: its commit stands.
fn answer(job: Job, done: Result<Done>) {
    let mismatch = || Error::unavailable(Subject::Engine, "the writer answered another question");
    match job {
        Job::Commit(_, reply) => {
            let outcome = done.and_then(|done| match done {
                Done::Outcome(outcome) => Ok(outcome),
                _ => Err(mismatch()),
            });
            let _ = reply.send(outcome);
        }
        Job::Acquire { reply, .. } | Job::Renew { reply, .. } => {
            let lease = done.and_then(|done| match done {
                Done::Lease(lease) => lease,
                _ => Err(mismatch()),
            });
            let _ = reply.send(lease);
        }
        Job::Release { reply, .. } => {
            let _ = reply.send(done.map(|_| ()));
        }
    }
}

/// Makes jobs one transaction, with `prepare` at its beginning: what each came to, and the last version there is.
fn transact(
    connection: &Connection,
    jobs: &[&Job],
    clock: &Clock,
    prepare: impl FnOnce() -> Result<()>,
) -> Result<(Vec<Done>, u64), Failure> {
    let rolled_back = |error| {
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        Failure::RolledBack(error)
    };
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| Failure::RolledBack(failed(e)))?;
    let done = prepare().and_then(|()| apply(connection, jobs, clock.now_ms())).map_err(rolled_back)?;
    if let Err(error) = connection.execute_batch("COMMIT") {
        let error = failed(error);
        rolled_back(error.clone());
        return Err(Failure::Unknown(error));
    }
    Ok(done)
}

fn apply(connection: &Connection, jobs: &[&Job], now_ms: i64) -> Result<(Vec<Done>, u64)> {
    let first = rows::last_version(connection)?;
    let mut sequence = Sequence(first);
    let mut pending = Pending::new(connection);
    let mut done = Vec::with_capacity(jobs.len());
    for job in jobs {
        done.push(match job {
            Job::Commit(commit, _) => Done::Outcome(apply_commit(&mut pending, commit, &mut sequence, now_ms)?),
            Job::Acquire { name, holder, ttl, claim, .. } => {
                let lease = Lease {
                    name: name.clone(),
                    holder: holder.clone(),
                    token: FencingToken(0),
                    expires_ms: expiry(now_ms, *ttl),
                };
                Done::Lease(acquire(connection, lease, *claim, &mut sequence, now_ms)?)
            }
            Job::Renew { lease, ttl, .. } => Done::Lease(renew(connection, lease, expiry(now_ms, *ttl))?),
            Job::Release { lease, .. } => {
                execute(
                    connection,
                    "DELETE FROM lease WHERE name = ?1 AND token = ?2",
                    params![lease.name, lease.token.0.cast_signed()],
                )?;
                Done::Nothing
            }
        });
    }
    pending.finish()?;
    if sequence.0 != first {
        execute(connection, "UPDATE sequence SET last = ?1", params![sequence.0.cast_signed()])?;
    }
    Ok((done, sequence.0))
}

/// The last version or token given out.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn apply_commit(pending: &mut Pending<'_>, commit: &Commit, sequence: &mut Sequence, now_ms: i64) -> Result<Outcome> {
    for (index, precondition) in commit.preconditions.iter().enumerate() {
        if !pending.holds(precondition, now_ms)? {
            return Ok(Outcome::Refused(index));
        }
    }
    let version = Version::of_commit(sequence.next());
    for write in &commit.writes {
        pending.write(write, version)?;
    }
    Ok(Outcome::Done(version))
}

/// The outer error is the engine's, the inner one the caller's.
fn acquire(
    connection: &Connection,
    mut lease: Lease,
    claim: Claim,
    sequence: &mut Sequence,
    now_ms: i64,
) -> Result<Result<Lease>> {
    if let Some(held) = rows::lease(connection, &lease.name)?
        && held.expires_ms > now_ms
        && claim != Claim::TakeOver(held.token)
    {
        return Ok(Err(Error::new(ErrorKind::Held, Subject::Lease, format!("{} by {}", lease.name, held.holder))));
    }
    lease.token = FencingToken(sequence.next());
    execute(
        connection,
        "INSERT OR REPLACE INTO lease (name, holder, token, expires_ms) VALUES (?1, ?2, ?3, ?4)",
        params![lease.name, lease.holder, lease.token.0.cast_signed(), lease.expires_ms],
    )?;
    Ok(Ok(lease))
}

fn renew(connection: &Connection, lease: &Lease, expires_ms: i64) -> Result<Result<Lease>> {
    if rows::lease(connection, &lease.name)?.is_none_or(|held| held.token != lease.token) {
        return Ok(Err(Error::conflict(Subject::Lease, format!("{} was taken over", lease.name))));
    }
    execute(connection, "UPDATE lease SET expires_ms = ?2 WHERE name = ?1", params![lease.name, expires_ms])?;
    Ok(Ok(Lease { expires_ms, ..lease.clone() }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::Durability;
    use super::*;
    use crate::kv::{Precondition, Range};

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::sample::select(vec![&b"a"[..], b"ab", b"b"]).prop_map(<[u8]>::to_vec)
    }

    fn write() -> impl Strategy<Value = Write> {
        prop_oneof![
            6 => (key(), -3..4_i64, 1..3_usize).prop_map(|(key, delta, len)| Write::Add(key, vec![delta; len])),
            1 => key().prop_map(|key| Write::Put(key, Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 9]))),
            1 => (key(), 7..10_u8).prop_map(|(key, byte)| Write::Put(key, Bytes::from(vec![byte; 1000]))),
            1 => key().prop_map(Write::Delete),
            1 => key().prop_map(Write::DeletePrefix),
        ]
    }

    fn precondition() -> impl Strategy<Value = Precondition> {
        prop_oneof![
            key().prop_map(Precondition::Absent),
            key().prop_map(Precondition::Exists),
            key().prop_map(Precondition::PrefixEmpty),
            (key(), 1..12_u64).prop_map(|(key, version)| Precondition::VersionIs(key, Version::of_commit(version))),
            (key(), 0..6_i64).prop_map(|(key, least)| Precondition::CounterAtLeast(key, least)),
        ]
    }

    fn commit() -> impl Strategy<Value = Commit> {
        (prop::collection::vec(precondition(), 0..2), prop::collection::vec(write(), 1..4))
            .prop_map(|(preconditions, writes)| Commit { preconditions, writes })
    }

    /// Makes the commits, so many to a transaction, and returns what each came to and what is there afterwards.
    fn make(commits: &[Commit], batch: usize) -> (Vec<Outcome>, Vec<crate::kv::Entry>) {
        let root = tempfile::tempdir().unwrap();
        let connection = super::super::layout::open(&root.path().join("db"), Durability::Relaxed, false).unwrap();
        let jobs: Vec<Job> = commits.iter().map(|commit| Job::Commit(commit.clone(), oneshot::channel().0)).collect();
        let mut outcomes = Vec::new();
        for jobs in jobs.chunks(batch) {
            let done = transact(&connection, &jobs.iter().collect::<Vec<_>>(), &Clock::system(), || Ok(()));
            let Ok((done, _)) = done else { panic!("the transaction failed") };
            outcomes.extend(done.into_iter().map(|done| match done {
                Done::Outcome(outcome) => outcome,
                _ => panic!("not a commit"),
            }));
        }
        (outcomes, rows::range(&connection, &Range::prefix(b"").limit(100)).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn sharing_a_transaction_changes_nothing(commits in prop::collection::vec(commit(), 1..12)) {
            let alone = make(&commits, 1);
            prop_assert_eq!(make(&commits, 3), alone.clone());
            prop_assert_eq!(make(&commits, 100), alone);
        }
    }
}
