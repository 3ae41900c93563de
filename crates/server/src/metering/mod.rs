//! What is counted of requests and pushes: for the metrics, which begin anew with the process (LiveChannel 7.3), and as
//! usage, which is kept (`docs/usage.md`).
//!
//! Usage has two ways. What commits is counted by the commit itself: whoever changes something says what it counts with a
//! [`Tally`], and [`tally`] makes one. Requests and the bytes of their answers are gathered here and
//! written every few seconds.

mod gathered;
mod ingest;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use model::access::Caller;
use model::name::BucketName;
use store::meta::{Meta, Tally, TooMuchUsage};
use tokio::sync::Mutex;
use usage::{Counters, Query, Row, Subject};

use crate::clock::Clock;
use crate::peers::{Duty, Peers};
use crate::shutdown::Shutdown;
use gathered::{Cell, Gathered};
pub(crate) use ingest::{IngestMeter, count_snapshot};
pub(crate) use requests::{MeteredRequest, Sent};

/// How often what was gathered is written; a crash loses at most that.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often hours that are no longer kept are deleted, in intervals.
const EXPIRE_EVERY: u32 = 720;
/// The most rows of an answer.
const MAX_ROWS: u64 = 50_000;

/// What was used.
pub(crate) struct Usage {
    meta: Meta,
    clock: Clock,
    peers: Arc<Peers>,
    gathered: Gathered,
    /// What was taken out is written by one at a time, so that who asks sees all of it.
    writing: Mutex<()>,
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The answer would be too long.
    TooMuch(TooMuchUsage),
    /// The store does not answer.
    Store(store::Error),
}

impl Usage {
    /// What is used in this store.
    pub(crate) fn new(meta: Meta, clock: Clock, peers: Arc<Peers>) -> Self {
        Self { meta, clock, peers, gathered: Gathered::default(), writing: Mutex::default() }
    }

    /// Where something is counted for a subject.
    fn cell(&self, subject: Subject) -> Arc<Cell> {
        self.gathered.cell(subject)
    }

    /// Writes what was gathered. What cannot be written now is written later.
    ///
    /// # Errors
    /// That of the store.
    pub(crate) async fn write(&self) -> Result<(), store::Error> {
        let _writing = self.writing.lock().await;
        let taken = self.gathered.take();
        if taken.is_empty() {
            return Ok(());
        }
        let written = self.meta.add_usage(&taken).await;
        if written.is_err() {
            self.gathered.put_back(taken);
        }
        written
    }

    /// Answers a question, with what was used until now.
    ///
    /// # Errors
    /// When the answer is too long, or the store does not answer.
    pub(crate) async fn ask(&self, query: &Query) -> Result<Vec<Row>, Unanswered> {
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "usage cannot be written now");
        }
        match self.meta.usage(query, MAX_ROWS).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(too_much)) => Err(Unanswered::TooMuch(too_much)),
            Err(error) => Err(Unanswered::Store(error)),
        }
    }

    /// The time of the server, Unix seconds.
    pub(crate) fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now_s()).unwrap_or(0)
    }

    /// Writes what is gathered as long as the server runs.
    pub(crate) async fn keep(self: Arc<Self>, mut shutdown: Shutdown) {
        let mut round = 0_u32;
        loop {
            if round.is_multiple_of(EXPIRE_EVERY)
                && self.peers.has_duty(Duty::Forgetting).await
                && let Err(error) = self.meta.expire_usage(self.now_s()).await
            {
                tracing::warn!(%error, "old hours of usage cannot be deleted now");
            }
            round = round.wrapping_add(1);
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "usage cannot be written now; it is kept in memory");
            }
        }
    }
}

/// The name under which a caller's usage is kept; empty for nobody in particular.
pub(crate) fn user_of(caller: &Caller) -> String {
    caller.uid().map_or_else(String::new, ToString::to_string)
}

/// What a change counts, for the store to add in the same commit.
pub(crate) fn tally(bucket: &BucketName, channel: &str, user: String, counts: Counters) -> Tally {
    Tally { subject: Subject { bucket: bucket.to_string(), channel: channel.to_owned(), user }, counts }
}
