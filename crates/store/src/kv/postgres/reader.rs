//! Reading single rows: requests that wait are gathered into one query that begins after all of them arrived, so those
//! for the same row share it and none gets anything older than its own beginning.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::Row;

use super::pool::{Connection, Pool, Work};
use crate::error::{Error, Result, Subject};
use crate::kv::{Version, Versioned};

/// The most rows in one query.
const MAX_KEYS: usize = 512;
/// Requests that may wait before callers have to.
const MAX_WAITING: usize = 4096;
/// Queries under way at once.
const LANES: usize = 4;

/// Rows that somebody waits for, all as of one commit.
pub(super) struct Wanted {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) reply: oneshot::Sender<Result<Vec<Option<Versioned>>>>,
}

/// Starts the lanes, which end when nobody can ask any more.
pub(super) fn start(pool: &Arc<Pool>) -> mpsc::Sender<Wanted> {
    let (requests, queue) = mpsc::channel(MAX_WAITING);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..LANES {
        drop(tokio::spawn(run(Arc::clone(pool), Arc::clone(&queue))));
    }
    requests
}

async fn run(pool: Arc<Pool>, queue: Arc<Mutex<mpsc::Receiver<Wanted>>>) {
    while let Some(batch) = gather(&queue).await {
        serve(&pool, batch).await;
    }
}

async fn gather(queue: &Mutex<mpsc::Receiver<Wanted>>) -> Option<Vec<Wanted>> {
    let mut queue = queue.lock().await;
    let mut batch = vec![queue.recv().await?];
    let mut keys = batch.first().map_or(0, |wanted| wanted.keys.len());
    while keys < MAX_KEYS
        && let Ok(wanted) = queue.try_recv()
    {
        keys = keys.saturating_add(wanted.keys.len());
        batch.push(wanted);
    }
    Some(batch)
}

async fn serve(pool: &Pool, batch: Vec<Wanted>) {
    let found = {
        let keys: HashSet<&[u8]> = batch.iter().flat_map(|wanted| wanted.keys.iter().map(Vec::as_slice)).collect();
        let keys: Vec<&[u8]> = keys.into_iter().collect();
        pool.run(Rows { keys: &keys }).await
    };
    for Wanted { keys, reply } in batch {
        // Somebody who no longer waits is no reason to stop.
        let _ = reply.send(match &found {
            Ok(found) => Ok(keys.iter().map(|key| found.get(key.as_slice()).cloned()).collect()),
            Err(error) => Err(error.clone()),
        });
    }
}

/// Reads these rows, all as of one commit.
struct Rows<'a> {
    keys: &'a [&'a [u8]],
}

#[async_trait]
impl Work for Rows<'_> {
    type Done = HashMap<Vec<u8>, Versioned>;

    async fn on(&self, connection: &Connection) -> Result<Self::Done, tokio_postgres::Error> {
        let rows = connection.query(&connection.statements.get, &[&self.keys]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, versioned(row)?))).collect()
    }
}

/// The value and version of a row `(k, v, version)`.
pub(super) fn versioned(row: &Row) -> Result<Versioned, tokio_postgres::Error> {
    let version: i64 = row.try_get(2)?;
    Ok(Versioned {
        value: Bytes::copy_from_slice(row.try_get(1)?),
        version: Version::of_commit(version.cast_unsigned()),
    })
}

/// What [`Wanted::reply`] sends, when the lanes are gone.
pub(super) fn gone() -> Error {
    Error::unavailable(Subject::Engine, "the map is closed")
}
