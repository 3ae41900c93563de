//! Rows of one map into another, as the bytes they are: both are walked side by side, and what differs is made equal.
//!
//! The row of an object and that of its body belong together when one commit wrote both, which is seen by their equal
//! versions. So where they do in the source, one commit writes both here.

use std::collections::VecDeque;

use super::Progress;
use crate::error::{Error, Result, Subject};
use crate::kv::{Commit, Entry, Kv, Outcome, Range, Versioned, Write};
use crate::meta::Meta;
use crate::meta::key::{MOVING, NOT_MOVED, Table};

/// Rows that are read at once.
const PAGE: usize = 1024;
/// The most rows in one commit.
const MAX_WRITES: usize = 256;
/// A commit is made when it has so many bytes.
const MAX_BYTES: usize = 1 << 20;

/// What a copy of rows came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows {
    /// Rows of the source.
    pub seen: u64,
    /// Rows that were written.
    pub put: u64,
    /// Rows that were deleted, because the source has them no more.
    pub deleted: u64,
}

/// Makes the rows of `target` those of `source`. Nobody else writes to either.
///
/// # Errors
/// `Unavailable`, `Corrupt` when an engine does not take a row.
pub async fn copy_rows(source: &Meta, target: &Meta, progress: &Progress) -> Result<Rows> {
    let (source, target) = (source.kv(), target.kv());
    let mut copy = Walk { source, target, progress, done: Rows::default(), changes: Changes::Made(Batch::default()) };
    copy.all().await?;
    Ok(copy.done)
}

/// How many rows differ. For maps that should be equal.
///
/// # Errors
/// `Unavailable`.
pub async fn count_differing_rows(source: &Meta, target: &Meta, progress: &Progress) -> Result<u64> {
    let (source, target) = (source.kv(), target.kv());
    let mut look = Walk { source, target, progress, done: Rows::default(), changes: Changes::Counted };
    look.all().await?;
    Ok(look.done.put.saturating_add(look.done.deleted))
}

/// The rows of a map that a move takes along.
pub(super) async fn count(kv: &dyn Kv) -> Result<u64> {
    let mut rows = Pages::new(kv, Range::prefix(Vec::new()));
    let mut count: u64 = 0;
    while rows.next().await?.is_some() {
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// A range of a map, page by page, without what no move is about.
struct Pages<'a> {
    kv: &'a dyn Kv,
    /// `None` when there are no more pages.
    rest: Option<Range>,
    page: VecDeque<Entry>,
}

impl<'a> Pages<'a> {
    fn new(kv: &'a dyn Kv, range: Range) -> Self {
        Self { kv, rest: Some(range.limit(PAGE)), page: VecDeque::new() }
    }

    async fn fill(&mut self) -> Result<()> {
        while self.page.is_empty()
            && let Some(mut range) = self.rest.take()
        {
            let rows = self.kv.range(&range).await?;
            if let Some(last) = rows.last().filter(|_| rows.len() == PAGE) {
                range.from = [last.key.as_ref(), &[0]].concat();
                self.rest = Some(range);
            }
            self.page.extend(rows.into_iter().filter(|row| is_moved(&row.key)));
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Entry>> {
        self.fill().await?;
        Ok(self.page.pop_front())
    }

    /// The next row, unless its key lies behind `key`.
    async fn next_up_to(&mut self, key: Option<&[u8]>) -> Result<Option<Entry>> {
        self.fill().await?;
        let is_next = self.page.front().is_some_and(|row| key.is_none_or(|key| row.key.as_ref() <= key));
        Ok(if is_next { self.page.pop_front() } else { None })
    }
}

fn is_moved(key: &[u8]) -> bool {
    key != MOVING && key.first().is_none_or(|table| !NOT_MOVED.contains(table))
}

/// What is done about rows that differ.
enum Changes {
    Counted,
    Made(Batch),
}

#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    bytes: usize,
}

struct Walk<'a> {
    source: &'a dyn Kv,
    target: &'a dyn Kv,
    progress: &'a Progress,
    done: Rows,
    changes: Changes,
}

/// The row of a body in the source and in the target.
type BodyPair = (Entry, Option<Versioned>);

impl Walk<'_> {
    async fn all(&mut self) -> Result<()> {
        // Bodies come with their objects, whose rows must not have been read before that.
        let (bodies, behind) = (Table::Body.all(), crate::kv::after_prefix(&Table::Body.all()).unwrap_or_default());
        let whole = Range::prefix(Vec::new());
        self.rows(Range { to: Some(bodies.clone()), ..whole.clone() }).await?;
        self.bodies(Range::prefix(bodies)).await?;
        self.rows(Range { from: behind, ..whole }).await?;
        self.flush().await
    }

    async fn rows(&mut self, range: Range) -> Result<()> {
        let (mut ours, mut theirs) = (Pages::new(self.source, range.clone()), Pages::new(self.target, range));
        loop {
            let row = ours.next().await?;
            let there = self.step(&mut theirs, row.as_ref()).await?;
            let Some(row) = row else { return self.flush().await };
            if there.is_none_or(|there| there.value != row.value) {
                self.put(&[row]).await?;
            }
        }
    }

    async fn bodies(&mut self, range: Range) -> Result<()> {
        let (mut ours, mut theirs) = (Pages::new(self.source, range.clone()), Pages::new(self.target, range));
        let (mut pairs, mut bytes) = (Vec::new(), 0_usize);
        loop {
            let row = ours.next().await?;
            let there = self.step(&mut theirs, row.as_ref()).await?;
            let Some(row) = row else { break };
            bytes = bytes.saturating_add(row.value.len());
            pairs.push((row, there));
            if pairs.len() >= MAX_WRITES || bytes >= MAX_BYTES {
                self.body_pairs(std::mem::take(&mut pairs)).await?;
                bytes = 0;
            }
        }
        self.body_pairs(pairs).await?;
        self.flush().await
    }

    /// Goes on to the row that `row` should be in the target, deleting what lies before it.
    async fn step(&mut self, theirs: &mut Pages<'_>, row: Option<&Entry>) -> Result<Option<Versioned>> {
        if row.is_some() {
            self.done.seen = self.done.seen.saturating_add(1);
            self.progress.looked_at(1);
        }
        let key = row.map(|row| row.key.as_ref());
        while let Some(found) = theirs.next_up_to(key).await? {
            if key == Some(found.key.as_ref()) {
                return Ok(Some(Versioned { value: found.value, version: found.version }));
            }
            self.delete(found.key.to_vec()).await?;
        }
        Ok(None)
    }

    async fn body_pairs(&mut self, pairs: Vec<BodyPair>) -> Result<()> {
        let object = |row: &Entry| [&Table::Object.all(), row.key.get(1..).unwrap_or_default()].concat();
        let objects: Vec<Vec<u8>> = pairs.iter().map(|(row, _)| object(row)).collect();
        let (ours, theirs) = (self.source.get_many(&objects).await?, self.target.get_many(&objects).await?);
        for (((row, there), key), (ours, theirs)) in pairs.into_iter().zip(objects).zip(ours.into_iter().zip(theirs)) {
            let is_bound = ours.as_ref().is_some_and(|ours| ours.version == row.version);
            let is_bound_there = match (&there, &theirs) {
                (Some(there), Some(theirs)) => there.version == theirs.version,
                _ => false,
            };
            let is_same = there.is_some_and(|there| there.value == row.value) && is_bound == is_bound_there;
            match ours.filter(|_| is_bound) {
                Some(ours) if !is_same || theirs.is_none_or(|theirs| theirs.value != ours.value) => {
                    let object = Entry { key: key.into(), value: ours.value, version: ours.version };
                    self.put(&[row, object]).await?;
                }
                None if !is_same => self.put(&[row]).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts rows, all by one commit.
    async fn put(&mut self, rows: &[Entry]) -> Result<()> {
        self.done.put = self.done.put.saturating_add(rows.len() as u64);
        let Changes::Made(batch) = &mut self.changes else { return Ok(()) };
        for row in rows {
            batch.bytes = batch.bytes.saturating_add(row.key.len()).saturating_add(row.value.len());
            batch.writes.push(Write::Put(row.key.to_vec(), row.value.clone()));
        }
        self.flush_if_full().await
    }

    async fn delete(&mut self, key: Vec<u8>) -> Result<()> {
        self.done.deleted = self.done.deleted.saturating_add(1);
        let Changes::Made(batch) = &mut self.changes else { return Ok(()) };
        batch.writes.push(Write::Delete(key));
        self.flush_if_full().await
    }

    async fn flush_if_full(&mut self) -> Result<()> {
        match &self.changes {
            Changes::Made(batch) if batch.writes.len() >= MAX_WRITES || batch.bytes >= MAX_BYTES => self.flush().await,
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let Changes::Made(batch) = &mut self.changes else { return Ok(()) };
        let Batch { writes, .. } = std::mem::take(batch);
        if writes.is_empty() {
            return Ok(());
        }
        match self.target.commit(Commit { preconditions: Vec::new(), writes }).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_) => Err(Error::conflict(Subject::Engine, "rows without a condition were refused")),
        }
    }
}
