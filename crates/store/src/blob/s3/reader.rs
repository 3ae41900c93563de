//! A long blob that is read from the store, one range after the other, the next of them while this one is used.
//!
//! Only so many readers keep pieces in memory as [`Ahead`] lets; one that stands still gives its place to one that reads. The
//! others get what they ask for, and nothing of it is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::blob::finished::FinishedBlobs;
use crate::blob::{BlobId, BlobReader, available};
use crate::error::{Error, Result, Subject};

/// The least that is asked for at once by who keeps pieces: two of them at most.
const PIECE: u64 = 4 << 20;
/// Readers that keep pieces.
const PLACES: usize = 16;
/// Who has not read for so long gives its place to one that reads.
const IDLE: Duration = Duration::from_secs(2);

/// The readers that keep pieces in memory and read ahead.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Vec<Weak<Mutex<Read>>>>);

impl Ahead {
    /// Gives a reader a place, if there is one.
    fn admit(&self, reader: &Arc<Mutex<Read>>) -> bool {
        let mut places = lock(&self.0);
        places.retain(|place| place.upgrade().is_some());
        if places.len() >= PLACES {
            let idle = places.iter().position(|place| place.upgrade().is_some_and(|read| lock(&read).gives_up()));
            let Some(idle) = idle else { return false };
            places.swap_remove(idle);
        }
        places.push(Arc::downgrade(reader));
        lock(reader).has_place = true;
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A blob in the store.
pub(super) struct RemoteReader {
    store: Arc<dyn FinishedBlobs>,
    id: BlobId,
    len: u64,
    read: Arc<Mutex<Read>>,
    ahead: Arc<Ahead>,
}

/// What a reader has.
struct Read {
    /// What came last, and where it begins.
    last: (u64, Bytes),
    /// What is asked for, and where it begins.
    next: Option<(u64, JoinHandle<Result<Bytes>>)>,
    /// Whether it may keep anything.
    has_place: bool,
    /// When it last read.
    used: Instant,
}

impl Read {
    /// Lets go of everything, if it has not been used for long; whether it did.
    fn gives_up(&mut self) -> bool {
        let is_idle = self.used.elapsed() >= IDLE;
        if is_idle {
            self.last = (0, Bytes::new());
            self.ask_no_more();
            self.has_place = false;
        }
        is_idle
    }

    fn ask_no_more(&mut self) {
        if let Some((_, unwanted)) = self.next.take() {
            unwanted.abort();
        }
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.ask_no_more();
    }
}

impl RemoteReader {
    /// A reader of a blob of which the `first` bytes are here already.
    pub(super) fn new(store: Arc<dyn FinishedBlobs>, ahead: Arc<Ahead>, id: BlobId, len: u64, first: Bytes) -> Self {
        let read = Read { last: (0, Bytes::new()), next: None, has_place: false, used: Instant::now() };
        let reader = Self { store, id, len, read: Arc::new(Mutex::new(read)), ahead };
        if !first.is_empty() && reader.ahead.admit(&reader.read) {
            reader.state().last = (0, first);
        }
        reader
    }

    fn state(&self) -> MutexGuard<'_, Read> {
        lock(&self.read)
    }

    /// Whether it may keep what it reads now.
    fn may_keep(&self) -> bool {
        let has_place = {
            let mut state = self.state();
            state.used = Instant::now();
            state.has_place
        };
        has_place || self.ahead.admit(&self.read)
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
        if from >= self.len || !state.has_place || state.next.as_ref().is_some_and(|(at, _)| *at == from) {
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
            if !self.may_keep() {
                let part = self.store.read(self.id, at..end).await?;
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
            {
                let mut state = self.state();
                (state.last, state.used) = ((at, piece), Instant::now());
            }
            if is_on {
                self.ask_ahead();
            }
        }
        {
            // Another reader may have been given the place while the store took its time.
            let mut state = self.state();
            if !state.has_place {
                state.last = (0, Bytes::new());
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

#[cfg(test)]
mod tests {
    use super::super::objects::ObjectBlobs;
    use super::*;
    use crate::blob::BlobIds;
    use crate::clock::{Clock, Randomness};

    /// A thousand who stand still hold no more than the places, and whoever reads gets a place from one of them.
    #[tokio::test(start_paused = true)]
    async fn readers_that_stand_still_hold_little_and_give_way() {
        let remote = Arc::new(object_store::memory::InMemory::new());
        let store = Arc::new(ObjectBlobs::new(remote.clone(), "p"));
        let id = BlobIds::new(Clock::system(), Randomness::seeded(1)).mint();
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let path = store.path(id);
        object_store::ObjectStoreExt::put(remote.as_ref(), &path, bytes.clone().into()).await.unwrap();
        let ahead = Arc::new(Ahead::default());
        let reader = || RemoteReader::new(store.clone(), ahead.clone(), id, bytes.len() as u64, Bytes::new());
        let readers: Vec<_> = (0..1000).map(|_| reader()).collect();
        for reader in &readers {
            assert_eq!(reader.read_at(0, 1000).await.unwrap(), bytes[..1000]);
        }
        let held = || readers.iter().map(|reader| reader.state().last.1.len()).sum::<usize>();
        assert_eq!(held(), PLACES * PIECE as usize);
        let last = readers.last().unwrap();
        assert!(!last.state().has_place);
        std::thread::sleep(IDLE);
        let mut at = 1000;
        while at < bytes.len() {
            let piece = last.read_at(at as u64, 300_000).await.unwrap();
            assert_eq!(piece, bytes[at..(at + 300_000).min(bytes.len())]);
            at += piece.len();
        }
        assert!(last.state().has_place);
        assert!(held() <= PLACES * PIECE as usize);
        // Those that gave way go on where they were.
        for reader in readers.iter().take(30) {
            assert_eq!(reader.read_at(1000, 5_000_000).await.unwrap(), bytes[1000..5_001_000]);
        }
    }
}
