//! The ordered map in PostgreSQL, for several servers.
//!
//! Commits that wait become one statement, which one function of the database does under one lock: see `writer.rs` and
//! `docs/design/many-servers.md`. Single rows that are waited for become one query (`reader.rs`); there is no cache, as
//! others change the rows too. What is lost by a connection that breaks is tried again until `timeout` is over.

mod address;
mod freeze;
mod groups;
mod layout;
mod password;
mod pool;
mod probe;
mod reader;
mod tls;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::{
    Claim, Commit, Entry, FencingToken, Groups, Kv, Lease, Outcome, Range, Snapshot, Versioned, after_prefix, skipping,
};
use crate::clock::{Clock, Randomness};
use crate::durability::Durability;
use crate::error::{Error, Result, Subject};
use groups::ReadGroups;
use pool::{Connection, Lent, Pool, Work};
use reader::Wanted;
use writer::Job;

pub use address::{PostgresAddress, SslMode};
pub use freeze::{make_read_only, make_writable, read_only_mark};
pub use layout::{LAYOUT, Prepared, prepare};
pub use password::Password;
pub use probe::probe;

/// How to open the map.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The password of the role, if it needs one.
    pub password: Option<Password>,
    /// What survives a power cut of the database's machine.
    pub durability: Durability,
    /// Connections open at once, at least four. Half of them may be held by snapshots.
    pub connections: usize,
    /// How long something is tried again while the database does not answer.
    pub timeout: Duration,
    /// By what leases expire; `None` is the clock of the database, the same for all servers.
    pub lease_clock: Option<Clock>,
    /// Random bits, by which this life is told from others.
    pub randomness: Randomness,
}

impl PostgresOptions {
    /// Usual options with this source of random bits.
    pub fn new(randomness: Randomness) -> Self {
        Self {
            password: None,
            durability: Durability::Full,
            connections: 16,
            timeout: Duration::from_secs(10),
            lease_clock: None,
            randomness,
        }
    }
}

/// An ordered map in PostgreSQL. Clones share it.
#[derive(Clone)]
pub struct PostgresKv {
    pool: Arc<Pool>,
    jobs: mpsc::Sender<Job>,
    wanted: mpsc::Sender<Wanted>,
    /// Snapshots that may be held, so that there are always connections for others.
    held: Arc<Semaphore>,
    lease_clock: Option<Clock>,
}

impl std::fmt::Debug for PostgresKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresKv")
    }
}

impl PostgresKv {
    /// Opens the map that [`prepare`] made. To be called within the runtime that will use it.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer; `NotFound` when there is no map; `Newer` when it is of a newer
    /// program.
    pub async fn open(address: &PostgresAddress, options: &PostgresOptions) -> Result<Self> {
        let pool = Arc::new(Pool::new(address, options)?);
        layout::check(&pool, &address.schema).await?;
        let mut life = [0; 16];
        options.randomness.fill(&mut life);
        Ok(Self {
            jobs: writer::start(&pool, life, options.lease_clock.as_ref()),
            wanted: reader::start(&pool),
            held: Arc::new(Semaphore::new(options.connections.max(4) / 2)),
            lease_clock: options.lease_clock.clone(),
            pool,
        })
    }

    async fn rows(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Versioned>>> {
        let (reply, answer) = oneshot::channel();
        self.wanted.send(Wanted { keys, reply }).await.map_err(|_| reader::gone())?;
        answer.await.map_err(|_| reader::gone())?
    }

    async fn write<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| reader::gone())?;
        answer.await.map_err(|_| reader::gone())?
    }
}

#[async_trait]
impl Kv for PostgresKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        Ok(self.rows(vec![key.to_owned()]).await?.pop().flatten())
    }

    async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.rows(keys.to_vec()).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.pool.run(ReadRange(range)).await
    }

    async fn skipping_range(&self, range: &Range, groups: &Groups) -> Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (Some(to), Some(delimiter_end)) = (&range.to, after_prefix(&groups.delimiter)) else {
            // Nobody asks for what has no end, and a delimiter of only 0xff is in no text.
            let snapshot = self.snapshot().await?;
            return skipping::by_seeks(snapshot.as_ref(), range, groups).await;
        };
        let (from, delimiter_end) = (range.from.as_slice(), delimiter_end.as_slice());
        self.pool.run(ReadGroups { from, to, limit: range.limit, groups, delimiter_end }).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let held = Arc::clone(&self.held).acquire_owned().await.map_err(|_| reader::gone())?;
        // What a transaction sees is settled by its first query, not by its beginning.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";
        self.pool.run(Ping).await?;
        let lent = self.pool.take().await?;
        match tokio::time::timeout(pool::ATTEMPT, lent.batch_execute(begin)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(Error::unavailable(Subject::Engine, "no answer in time")),
        }
        Ok(Box::new(PostgresSnapshot { pool: Arc::clone(&self.pool), lent: Some(lent), _held: held }))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        self.write(|reply| Job::Commit(commit, reply)).await
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(|reply| Job::Acquire { name, holder, ttl, claim, reply }).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let lease = lease.clone();
        self.write(|reply| Job::Renew { lease, ttl, reply }).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.write(|reply| Job::Release { lease, reply }).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        let now_ms = self.lease_clock.as_ref().map(Clock::now_ms);
        self.pool.run(ReadLease { name, now_ms }).await
    }
}

/// Finds a connection that works.
struct Ping;

#[async_trait]
impl Work for Ping {
    type Done = ();

    async fn on(&self, connection: &Connection) -> Result<(), tokio_postgres::Error> {
        connection.simple_query("SELECT 1").await.map(drop)
    }
}

struct ReadRange<'a>(&'a Range);

#[async_trait]
impl Work for ReadRange<'_> {
    type Done = Vec<Entry>;

    async fn on(&self, connection: &Connection) -> Result<Vec<Entry>, tokio_postgres::Error> {
        read_range(connection, self.0).await
    }
}

struct ReadLease<'a> {
    name: &'a str,
    now_ms: Option<i64>,
}

#[async_trait]
impl Work for ReadLease<'_> {
    type Done = Option<Lease>;

    async fn on(&self, connection: &Connection) -> Result<Option<Lease>, tokio_postgres::Error> {
        let key = self.name.as_bytes();
        let row = connection.query_opt(&connection.statements.lease, &[&key, &self.now_ms]).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Lease {
            name: self.name.to_owned(),
            holder: String::from_utf8_lossy(row.try_get(0)?).into_owned(),
            token: FencingToken(row.try_get::<_, i64>(1)?.cast_unsigned()),
            expires_ms: row.try_get(2)?,
        }))
    }
}

async fn read_range(connection: &Connection, range: &Range) -> Result<Vec<Entry>, tokio_postgres::Error> {
    let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
    let [open, closed] = &connection.statements.ranges;
    let [rising, falling] = if range.to.is_some() { closed } else { open };
    let statement = if range.reverse { falling } else { rising };
    let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&range.from, &limit];
    if let Some(to) = &range.to {
        parameters.push(to);
    }
    let mut rows = std::pin::pin!(connection.query_raw(statement, parameters).await?);
    let mut entries = Vec::new();
    while let Some(row) = rows.try_next().await? {
        entries.push(entry(&row)?);
    }
    Ok(entries)
}

fn entry(row: &Row) -> Result<Entry, tokio_postgres::Error> {
    let Versioned { value, version } = reader::versioned(row)?;
    Ok(Entry { key: Bytes::copy_from_slice(row.try_get(0)?), value, version })
}

/// A transaction that only reads. Its connection is nobody else's meanwhile.
struct PostgresSnapshot {
    pool: Arc<Pool>,
    /// `None` only while dropping.
    lent: Option<Lent>,
    _held: OwnedSemaphorePermit,
}

impl PostgresSnapshot {
    fn connection(&self) -> Result<&Connection> {
        self.lent.as_deref().ok_or_else(|| Error::unavailable(Subject::Engine, "the snapshot has ended"))
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        let connection = self.connection()?;
        let keys = [key];
        let row = connection.query_opt(&connection.statements.get, &[&keys.as_slice()]).await;
        row.and_then(|row| row.map(|row| reader::versioned(&row)).transpose()).map_err(|error| failed(&error))
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        read_range(self.connection()?, range).await.map_err(|error| failed(&error))
    }
}

impl Drop for PostgresSnapshot {
    /// Ends the transaction and keeps its connection, if there is a runtime to do that in.
    fn drop(&mut self) {
        let (Some(lent), Ok(runtime)) = (self.lent.take(), tokio::runtime::Handle::try_current()) else { return };
        let pool = Arc::clone(&self.pool);
        drop(runtime.spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(pool::ATTEMPT, lent.batch_execute("ROLLBACK")).await {
                pool.put_back(lent);
            }
        }));
    }
}

/// An error of the database in our words. Its text has no parameters, and so no values.
fn failed(error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(db) => {
            let detail = format!("PostgreSQL {}: {}", db.code().code(), db.message());
            match db.code().code().get(..2) {
                // What was asked for cannot be done, whatever the state of the engine: data and limits of the program.
                Some("22" | "54") => Error::corrupt(Subject::Engine, detail),
                Some("MP") if db.code().code() == freeze::READ_ONLY => Error::unavailable(Subject::ReadOnly, detail),
                _ => Error::unavailable(Subject::Engine, detail),
            }
        }
        None => {
            let mut detail = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                detail.push_str(": ");
                detail.push_str(&cause.to_string());
                source = cause.source();
            }
            Error::unavailable(Subject::Engine, detail)
        }
    }
}

/// Whether the same may succeed in a moment: on another connection, at another server, or because somebody else is done.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // No answer of a database: the connection broke or could not be made.
        return true;
    };
    const PASSING: [&SqlState; 6] = [
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::QUERY_CANCELED,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        &SqlState::OUT_OF_MEMORY,
    ];
    // Connections, retries and operators' interventions are whole classes.
    PASSING.contains(&code) || matches!(code.code().get(..2), Some("08" | "40" | "57"))
}
