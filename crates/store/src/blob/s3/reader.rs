//! A long blob that is read from the store, one range after the other, the next of them while this one is used.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::blob::finished::FinishedBlobs;
use crate::blob::{BlobId, BlobReader, available};
use crate::error::{Error, Result, Subject};

/// The least that is asked for at once. Of each reader two such pieces are in memory at most.
const PIECE: u64 = 4 << 20;

/// A blob in the store.
pub(super) struct RemoteReader {
    store: Arc<dyn FinishedBlobs>,
    id: BlobId,
    len: u64,
    read: Mutex<Read>,
}

/// What a reader has.
struct Read {
    /// What came last, and where it begins.
    last: (u64, Bytes),
    /// What is asked for, and where it begins.
    next: Option<(u64, JoinHandle<Result<Bytes>>)>,
}

impl RemoteReader {
    /// A reader of a blob of which the `first` bytes are here already.
    pub(super) fn new(store: Arc<dyn FinishedBlobs>, id: BlobId, len: u64, first: Bytes) -> Self {
        Self { store, id, len, read: Mutex::new(Read { last: (0, first), next: None }) }
    }

    fn state(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_hand(&self, offset: u64, len: usize) -> Option<Bytes> {
        let state = self.state();
        let start = usize::try_from(offset.checked_sub(state.last.0)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= state.last.1.len()).then(|| state.last.1.slice(start..end))
    }

    /// Asks for the piece behind the last one, for who reads on.
    fn ask_ahead(&self) {
        let mut state = self.state();
        let from = state.last.0.saturating_add(state.last.1.len() as u64);
        if from >= self.len || state.next.as_ref().is_some_and(|(at, _)| *at == from) {
            return;
        }
        let (store, id, to) = (Arc::clone(&self.store), self.id, from.saturating_add(PIECE).min(self.len));
        let asked = tokio::spawn(async move { store.read(id, from..to).await });
        if let Some((_, unwanted)) = state.next.replace((from, asked)) {
            unwanted.abort();
        }
    }

    /// The piece that was asked for ahead, if it begins there.
    fn take_ahead(&self, offset: u64) -> Option<JoinHandle<Result<Bytes>>> {
        let mut state = self.state();
        state.next.take_if(|(at, _)| *at == offset).map(|(_, asked)| asked)
    }
}

impl Drop for RemoteReader {
    fn drop(&mut self) {
        if let Some((_, unwanted)) = self.state().next.take() {
            unwanted.abort();
        }
    }
}

#[async_trait]
impl BlobReader for RemoteReader {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let len = available(self.len, offset, len);
        let mut parts = Vec::new();
        let mut at = offset;
        let end = offset.saturating_add(len as u64);
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            let (from, held) = {
                let state = self.state();
                (state.last.0, state.last.1.clone())
            };
            let within = at.checked_sub(from).and_then(|skip| usize::try_from(skip).ok());
            let found = within
                .filter(|skip| *skip < held.len())
                .map(|skip| held.slice(skip..held.len().min(skip.saturating_add(wanted))));
            if let Some(part) = found {
                at = at.saturating_add(part.len() as u64);
                parts.push(part);
                continue;
            }
            // Who goes on where the last piece ended reads on.
            let is_on = at == from.saturating_add(held.len() as u64);
            let piece = match self.take_ahead(at) {
                Some(asked) => asked.await.map_err(|error| Error::unavailable(Subject::Blob, error))??,
                None => {
                    let to = at.saturating_add((wanted as u64).max(PIECE)).min(self.len);
                    self.store.read(self.id, at..to).await?
                }
            };
            self.state().last = (at, piece);
            if is_on {
                self.ask_ahead();
            }
        }
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => parts.concat().into(),
        })
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        match available(self.len, offset, len) {
            0 => Some(Bytes::new()),
            len => self.at_hand(offset, len),
        }
    }
}
