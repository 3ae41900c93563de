//! What one connection does at the moment, in one atomic word, so that saying it costs no lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Connections, Network};

/// After so long without a byte taken by the peer, an answer is not being read any more.
pub(super) const STALLED_MS: u64 = 10_000;

/// Bits of the word that hold its time.
const TIME_BITS: u32 = 40;
/// Bits of each count.
const COUNT_BITS: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Whatever it does, it may be closed when that is nothing useful.
    Open,
    /// An admitted push: never closed to make room.
    Publishing,
    /// It was asked to close.
    Evicted,
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) phase: Phase,
    /// It had a complete request or an admitted publish.
    pub(super) is_proven: bool,
    /// Requests that are being received or worked on.
    pub(super) working: u16,
    /// Answers that are being sent.
    pub(super) sending: u16,
    /// Since when it does what it does: idle, or the oldest thing it does. Milliseconds of the registry's clock.
    pub(super) since_ms: u64,
}

impl Word {
    fn pack(self) -> u64 {
        let phase: u64 = match self.phase {
            Phase::Open => 0,
            Phase::Publishing => 1,
            Phase::Evicted => 2,
        };
        let counts = (u64::from(self.working) << COUNT_BITS) | u64::from(self.sending);
        let flags = (phase << 1) | u64::from(self.is_proven);
        (((flags << (2 * COUNT_BITS)) | counts) << TIME_BITS) | (self.since_ms & ((1 << TIME_BITS) - 1))
    }

    fn unpack(bits: u64) -> Self {
        let count = |shift: u32| u16::try_from((bits >> shift) & ((1 << COUNT_BITS) - 1)).unwrap_or(0);
        let flags = bits >> (TIME_BITS + 2 * COUNT_BITS);
        Self {
            phase: match flags >> 1 {
                0 => Phase::Open,
                1 => Phase::Publishing,
                _ => Phase::Evicted,
            },
            is_proven: flags & 1 == 1,
            working: count(TIME_BITS + COUNT_BITS),
            sending: count(TIME_BITS),
            since_ms: bits & ((1 << TIME_BITS) - 1),
        }
    }
}

/// What a connection is worth when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody is served by it since then: it has sent nothing, or no whole request or handshake, or is between two
    /// requests, or does not read its answer.
    Useless(u64),
    /// It reads an answer since then.
    Reading(u64),
    /// A push, or a request that is worked on.
    Needed,
}

/// What a connection says of itself.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Arc<Connections>,
    pub(super) id: u64,
    /// The address whose cap it counts for, if any; that of a proxy's client is known a moment later.
    pub(super) network: OnceLock<Network>,
    word: AtomicU64,
    /// When the peer last took bytes of an answer.
    written_ms: AtomicU64,
    /// Bytes of an answer wait for the peer to take them.
    has_unsent: AtomicBool,
    evicted: Notify,
}

impl Slot {
    pub(super) fn new(registry: Arc<Connections>, id: u64, network: Option<Network>) -> Self {
        let since_ms = registry.now_ms();
        let word = Word { phase: Phase::Open, is_proven: false, working: 0, sending: 0, since_ms };
        let (word, written_ms) = (AtomicU64::new(word.pack()), AtomicU64::new(0));
        let has_unsent = AtomicBool::new(false);
        let network = network.map(OnceLock::from).unwrap_or_default();
        Self { registry, id, network, word, written_ms, has_unsent, evicted: Notify::new() }
    }

    /// Where it is counted.
    pub(crate) fn registry(&self) -> &Arc<Connections> {
        &self.registry
    }

    pub(super) fn word(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Acquire))
    }

    /// Changes the state, unless it is over: whoever was asked to close starts nothing any more.
    fn change(&self, change: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let changed = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
            let word = Word::unpack(bits);
            if word.phase == Phase::Evicted { None } else { change(word).map(Word::pack) }
        });
        changed.ok().map(Word::unpack)
    }

    /// What the connection is worth now.
    pub(super) fn standing(&self, now_ms: u64) -> Standing {
        self.standing_of(self.word(), now_ms)
    }

    fn standing_of(&self, word: Word, now_ms: u64) -> Standing {
        // Also the head of an answer without a body may have to wait for the peer.
        let is_sending = word.sending > 0 || (word.is_proven && self.has_unsent.load(Ordering::Relaxed));
        let written_ms = if word.is_proven { self.written_ms.load(Ordering::Relaxed) } else { 0 };
        let last_ms = word.since_ms.max(written_ms);
        match word {
            Word { phase: Phase::Publishing | Phase::Evicted, .. } => Standing::Needed,
            Word { working: 1.., .. } => Standing::Needed,
            _ if is_sending && now_ms.saturating_sub(last_ms) < STALLED_MS => Standing::Reading(word.since_ms),
            _ => Standing::Useless(last_ms),
        }
    }

    /// Waits until the peer has taken nothing of what waits for it for so long: it has paused, or it has vanished.
    pub(crate) async fn stalled(&self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let look_every = (limit / 8).clamp(Duration::from_millis(250), Duration::from_secs(30));
        let mut since_ms = None;
        loop {
            tokio::time::sleep(look_every).await;
            if !self.has_unsent.load(Ordering::Relaxed) {
                since_ms = None;
                continue;
            }
            let now_ms = self.registry.now_ms();
            let moved_ms = (*since_ms.get_or_insert(now_ms)).max(self.written_ms.load(Ordering::Relaxed));
            if now_ms.saturating_sub(moved_ms) >= limit_ms {
                return;
            }
        }
    }

    /// Tells the connection to close if it is still worth as little; whether it was.
    pub(super) fn evict(&self, now_ms: u64, standing: Standing) -> bool {
        let evict =
            |word| (self.standing_of(word, now_ms) == standing).then_some(Word { phase: Phase::Evicted, ..word });
        let is_evicted = standing != Standing::Needed && self.change(evict).is_some();
        if is_evicted {
            self.evicted.notify_one();
        }
        is_evicted
    }

    /// Waits until the connection is to be closed to make room for others. Whoever runs it drops it then.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// The peer took bytes of an answer.
    pub(super) fn note_written(&self) {
        self.written_ms.store(self.registry.now_ms(), Ordering::Relaxed);
    }

    /// Whether bytes wait for the peer to take them.
    pub(super) fn note_unsent(&self, has_unsent: bool) {
        if self.has_unsent.load(Ordering::Relaxed) != has_unsent {
            self.has_unsent.store(has_unsent, Ordering::Relaxed);
        }
    }

    /// A whole head of a request has arrived. `None` when the connection is being closed.
    pub(super) fn begin_request(self: &Arc<Self>) -> Option<InRequest> {
        let now_ms = self.registry.now_ms();
        let before = self.change(|word| {
            let is_idle = word.working == 0 && word.sending == 0;
            let since_ms = if is_idle { now_ms } else { word.since_ms };
            let working = word.working.saturating_add(1).min((1 << COUNT_BITS) - 1);
            Some(Word { is_proven: true, working, since_ms, ..word })
        })?;
        self.note_proven(before);
        Some(InRequest { slot: Arc::clone(self), is_sending: false })
    }

    /// A publish was admitted. `None` when the connection is being closed.
    pub(super) fn begin_publishing(&self) -> Option<()> {
        let since_ms = self.registry.now_ms();
        let publish = |word| Some(Word { phase: Phase::Publishing, is_proven: true, since_ms, ..word });
        self.note_proven(self.change(publish)?);
        Some(())
    }

    pub(super) fn end_publishing(&self) {
        let since_ms = self.registry.now_ms();
        self.change(|word| Some(Word { phase: Phase::Open, since_ms, ..word }));
    }

    fn note_proven(&self, before: Word) {
        if !before.is_proven {
            self.registry.prove(self.network.get().copied());
        }
    }
}

/// A request of a connection, from its head until the last byte of its answer was written out.
#[derive(Debug)]
pub(crate) struct InRequest {
    slot: Arc<Slot>,
    is_sending: bool,
}

impl InRequest {
    /// The answer begins: from here on the connection is one that reads.
    pub(crate) fn send(mut self) -> Self {
        let now_ms = self.slot.registry.now_ms();
        self.slot.change(|word| {
            let since_ms = if word.sending == 0 { now_ms } else { word.since_ms };
            let (working, sending) = (word.working.saturating_sub(1), word.sending.saturating_add(1));
            Some(Word { working, sending, since_ms, ..word })
        });
        self.is_sending = true;
        self
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        let now_ms = self.slot.registry.now_ms();
        self.slot.change(|word| {
            let word = if self.is_sending {
                Word { sending: word.sending.saturating_sub(1), ..word }
            } else {
                Word { working: word.working.saturating_sub(1), ..word }
            };
            let is_idle = word.working == 0 && word.sending == 0;
            Some(Word { since_ms: if is_idle { now_ms } else { word.since_ms }, ..word })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_holds_everything() {
        for phase in [Phase::Open, Phase::Publishing, Phase::Evicted] {
            for (is_proven, working, sending, since_ms) in
                [(false, 0, 0, 0), (true, 1, 2, 3), (true, 1023, 0, (1 << 40) - 1), (false, 0, 1023, 1 << 39)]
            {
                let word = Word { phase, is_proven, working, sending, since_ms };
                assert_eq!(Word::unpack(word.pack()), word);
            }
        }
    }
}
