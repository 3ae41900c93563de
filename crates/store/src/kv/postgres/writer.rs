//! Writing: jobs that wait are gathered into batches, each one statement.
//!
//! A job is a row of steps in the arrays that `apply_1` takes: its preconditions, then a step that gives it a version,
//! then its writes; or one step about a lease. Two lanes send batches, so that one is gathered while the other's is being
//! flushed. A batch that got no answer is sent again with its lane and turn, by which the function knows it (see
//! `layout.sql`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::freeze;
use super::pool::{Connection, Pool, Work};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Claim, Commit, FencingToken, Lease, Outcome, Precondition, Version, Write, after_prefix};

/// The most jobs in one batch.
const MAX_BATCH: usize = 256;
/// A batch is sent when it has so many bytes.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Jobs that may wait before callers have to.
pub(super) const MAX_WAITING: usize = 4096;
/// Batches under way at once.
const LANES: u8 = 2;

/// What is to be written, and who waits for it.
pub(super) enum Job {
    Commit(Commit, oneshot::Sender<Result<Outcome>>),
    Acquire { name: String, holder: String, ttl: Duration, claim: Claim, reply: oneshot::Sender<Result<Lease>> },
    Renew { lease: Lease, ttl: Duration, reply: oneshot::Sender<Result<Lease>> },
    Release { lease: Lease, reply: oneshot::Sender<Result<()>> },
}

/// Starts the lanes, which end when nobody can send jobs any more.
pub(super) fn start(pool: &Arc<Pool>, life: [u8; 16], clock: Option<&Clock>) -> mpsc::Sender<Job> {
    let (jobs, queue) = mpsc::channel(MAX_WAITING);
    let queue = Arc::new(Mutex::new(queue));
    for number in 0..LANES {
        let mut id = life.to_vec();
        id.push(number);
        let lane = Lane { pool: Arc::clone(pool), id, turn: 0, clock: clock.cloned() };
        drop(tokio::spawn(lane.run(Arc::clone(&queue))));
    }
    jobs
}

struct Lane {
    pool: Arc<Pool>,
    /// What the lane is called in the database.
    id: Vec<u8>,
    turn: i64,
    clock: Option<Clock>,
}

impl Lane {
    async fn run(mut self, queue: Arc<Mutex<mpsc::Receiver<Job>>>) {
        loop {
            let Some(batch) = gather(&queue).await else { return };
            self.serve(batch).await;
        }
    }

    async fn serve(&mut self, batch: Vec<Job>) {
        match self.send(&batch).await {
            Ok(results) => batch.into_iter().zip(results).for_each(|(job, result)| answer(job, Ok(result))),
            // One job that cannot be done must not take down those that happened to wait beside it.
            // On a map that is read-only those are leases, by which servers live.
            Err(error) if batch.len() > 1 && (error.kind == ErrorKind::Corrupt || freeze::is_read_only(&error)) => {
                for job in batch {
                    let alone = self.send(std::slice::from_ref(&job)).await;
                    let result = alone.and_then(|results| results.into_iter().next().ok_or_else(mismatch));
                    answer(job, result);
                }
            }
            Err(error) => batch.into_iter().for_each(|job| answer(job, Err(error.clone()))),
        }
    }

    /// Has a batch done once, however often it has to be sent.
    async fn send(&mut self, batch: &[Job]) -> Result<Vec<Done>> {
        self.turn += 1;
        let now_ms = self.clock.as_ref().map(Clock::now_ms);
        self.pool.run(Apply { lane: &self.id, turn: self.turn, now_ms, steps: Steps::of(batch) }).await?
    }
}

fn mismatch() -> Error {
    Error::unavailable(Subject::Engine, "the database answered another question")
}

async fn gather(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Vec<Job>> {
    let mut queue = queue.lock().await;
    let mut batch = vec![queue.recv().await?];
    let mut bytes = batch.first().map_or(0, size);
    while batch.len() < MAX_BATCH
        && bytes < MAX_BATCH_BYTES
        && let Ok(job) = queue.try_recv()
    {
        bytes = bytes.saturating_add(size(&job));
        batch.push(job);
    }
    Some(batch)
}

fn size(job: &Job) -> usize {
    match job {
        Job::Commit(commit, _) => {
            let writes = commit.writes.iter().map(|write| match write {
                Write::Put(key, value) => key.len() + value.len(),
                Write::Delete(key) | Write::DeletePrefix(key) | Write::Add(key, _) => key.len(),
            });
            writes.sum()
        }
        Job::Acquire { .. } | Job::Renew { .. } | Job::Release { .. } => 0,
    }
}

/// What a job came to.
struct Done {
    /// -1, or the index of the precondition that does not hold.
    status: i32,
    /// The version or token.
    number: i64,
    expires_ms: i64,
    holder: Vec<u8>,
}

/// A batch, which the function knows again by its lane and turn.
struct Apply<'a> {
    lane: &'a [u8],
    turn: i64,
    now_ms: Option<i64>,
    steps: Steps<'a>,
}

#[async_trait]
impl Work for Apply<'_> {
    type Done = Result<Vec<Done>>;

    async fn on(&self, connection: &Connection) -> Result<Self::Done, tokio_postgres::Error> {
        let Self { lane, turn, now_ms, steps } = self;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
            [lane, turn, now_ms, &steps.job, &steps.op, &steps.key, &steps.value, &steps.number, &steps.further];
        let row = connection.query_one(&connection.statements.apply, &parameters).await?;
        let status: Vec<i32> = row.try_get(0)?;
        let number: Vec<i64> = row.try_get(1)?;
        let expires: Vec<i64> = row.try_get(2)?;
        let holder: Vec<Vec<u8>> = row.try_get(3)?;
        let done: Vec<Done> = status
            .into_iter()
            .zip(number)
            .zip(expires)
            .zip(holder)
            .map(|(((status, number), expires_ms), holder)| Done { status, number, expires_ms, holder })
            .collect();
        Ok(if done.len() == steps.jobs { Ok(done) } else { Err(mismatch()) })
    }
}

/// A caller that no longer waits is no reason to stop: its commit stands.
fn answer(job: Job, done: Result<Done>) {
    match job {
        Job::Commit(_, reply) => {
            let outcome = done.map(|done| match usize::try_from(done.status) {
                Ok(index) => Outcome::Refused(index),
                Err(_) => Outcome::Done(Version::of_commit(done.number.cast_unsigned())),
            });
            let _ = reply.send(outcome);
        }
        Job::Acquire { name, holder, reply, .. } => {
            let lease = done.and_then(|done| match done.status {
                -1 => {
                    let token = FencingToken(done.number.cast_unsigned());
                    Ok(Lease { name, holder, token, expires_ms: done.expires_ms })
                }
                _ => {
                    let by = String::from_utf8_lossy(&done.holder).into_owned();
                    Err(Error::new(ErrorKind::Held, Subject::Lease, format!("{name} by {by}")))
                }
            });
            let _ = reply.send(lease);
        }
        Job::Renew { lease, reply, .. } => {
            let renewed = done.and_then(|done| match done.status {
                -1 => Ok(Lease { expires_ms: done.expires_ms, ..lease }),
                _ => Err(Error::conflict(Subject::Lease, format!("{} was taken over", lease.name))),
            });
            let _ = reply.send(renewed);
        }
        Job::Release { reply, .. } => {
            let _ = reply.send(done.map(|_| ()));
        }
    }
}

/// The arrays that `apply_1` takes; each step has a place in all of them.
#[derive(Default)]
struct Steps<'a> {
    jobs: usize,
    job: Vec<i32>,
    op: Vec<i32>,
    key: Vec<&'a [u8]>,
    value: Vec<Option<Value<'a>>>,
    number: Vec<Option<i64>>,
    further: Vec<Option<i64>>,
    /// Keys of counters that the batch does nothing with but adding.
    only_added: HashSet<&'a [u8]>,
}

/// Bytes that are lent or made.
#[derive(Debug)]
enum Value<'a> {
    Lent(&'a [u8]),
    Made(Vec<u8>),
}

impl tokio_postgres::types::ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &tokio_postgres::types::Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Lent(bytes) => bytes.to_sql(ty, out),
            Self::Made(bytes) => bytes.as_slice().to_sql(ty, out),
        }
    }

    fn accepts(ty: &tokio_postgres::types::Type) -> bool {
        <&[u8] as tokio_postgres::types::ToSql>::accepts(ty)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> Steps<'a> {
    fn of(batch: &'a [Job]) -> Self {
        let mut steps = Self { only_added: only_added(batch), ..Self::default() };
        for job in batch {
            steps.jobs += 1;
            match job {
                Job::Commit(commit, _) => steps.commit(commit),
                Job::Acquire { name, holder, ttl, claim, .. } => {
                    let from = match claim {
                        Claim::IfFree => None,
                        Claim::TakeOver(token) => Some(token.0.cast_signed()),
                    };
                    let holder = Some(Value::Lent(holder.as_bytes()));
                    steps.push(21, name.as_bytes(), holder, Some(millis(*ttl)), from);
                }
                Job::Renew { lease, ttl, .. } => {
                    let token = lease.token.0.cast_signed();
                    steps.push(22, lease.name.as_bytes(), None, Some(millis(*ttl)), Some(token));
                }
                Job::Release { lease, .. } => {
                    steps.push(23, lease.name.as_bytes(), None, None, Some(lease.token.0.cast_signed()));
                }
            }
        }
        steps
    }

    fn push(&mut self, op: i32, key: &'a [u8], value: Option<Value<'a>>, number: Option<i64>, further: Option<i64>) {
        self.job.push(i32::try_from(self.jobs).unwrap_or(i32::MAX));
        self.op.push(op);
        self.key.push(key);
        self.value.push(value);
        self.number.push(number);
        self.further.push(further);
    }

    fn commit(&mut self, commit: &'a Commit) {
        for precondition in &commit.preconditions {
            match precondition {
                Precondition::Absent(key) => self.push(1, key, None, None, None),
                Precondition::Exists(key) => self.push(2, key, None, None, None),
                Precondition::VersionIs(key, version) => {
                    // One that is not of this engine is the version of no row.
                    let number = version.commit().unwrap_or(u64::MAX).cast_signed();
                    self.push(3, key, None, Some(number), None);
                }
                Precondition::CounterAtLeast(key, least) => self.push(4, key, None, Some(*least), None),
                Precondition::PrefixEmpty(prefix) => {
                    self.push(5, prefix, after_prefix(prefix).map(Value::Made), None, None);
                }
                Precondition::LeaseHeld(name, token) => {
                    self.push(6, name.as_bytes(), None, Some(token.0.cast_signed()), None);
                }
                Precondition::LeaseFree(name) => self.push(7, name.as_bytes(), None, None, None),
            }
        }
        self.push(10, b"", None, None, None);
        for write in &commit.writes {
            match write {
                Write::Put(key, value) => self.push(11, key, Some(Value::Lent(value)), None, None),
                Write::Delete(key) => self.push(12, key, None, None, None),
                Write::DeletePrefix(prefix) => {
                    self.push(13, prefix, after_prefix(prefix).map(Value::Made), None, None);
                }
                Write::Add(key, deltas) => {
                    let op = if self.only_added.contains(key.as_slice()) { 15 } else { 14 };
                    let words = deltas.iter().flat_map(|delta| delta.to_be_bytes()).collect();
                    self.push(op, key, Some(Value::Made(words)), None, None);
                }
            }
        }
    }
}

/// Counters that several commits of a batch add to and that no commit looks at or changes otherwise: their row can be
/// written once, at the end.
fn only_added(batch: &[Job]) -> HashSet<&[u8]> {
    let mut added: HashMap<&[u8], usize> = HashMap::new();
    let mut touched: HashSet<&[u8]> = HashSet::new();
    let mut prefixes: Vec<&[u8]> = Vec::new();
    for job in batch {
        let Job::Commit(commit, _) = job else { continue };
        for precondition in &commit.preconditions {
            match precondition {
                Precondition::Absent(key)
                | Precondition::Exists(key)
                | Precondition::VersionIs(key, _)
                | Precondition::CounterAtLeast(key, _) => drop(touched.insert(key)),
                Precondition::PrefixEmpty(prefix) => prefixes.push(prefix),
                Precondition::LeaseHeld(..) | Precondition::LeaseFree(_) => {}
            }
        }
        for write in &commit.writes {
            match write {
                Write::Put(key, _) | Write::Delete(key) => drop(touched.insert(key)),
                Write::DeletePrefix(prefix) => prefixes.push(prefix),
                Write::Add(key, _) => *added.entry(key).or_default() += 1,
            }
        }
    }
    added
        .into_iter()
        .filter(|(key, count)| {
            *count > 1 && !touched.contains(key) && !prefixes.iter().any(|prefix| key.starts_with(prefix))
        })
        .map(|(key, _)| key)
        .collect()
}

fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2)
}
