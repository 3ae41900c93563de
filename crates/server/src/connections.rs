//! Who is connected, and who goes first when there is no room. Every connection is counted here and says what it does.
//! When the places are taken, the one that has been useless for longest is closed for the next: it has sent nothing or
//! no whole request, is between two requests, or does not read its answer. An admitted push is never closed.

mod in_use;
mod slot;
mod stream;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::in_use::InUse;
pub(crate) use self::slot::{InRequest, Slot};
use self::slot::{Phase, Standing};
pub(crate) use self::stream::Watched;
use crate::auth_failures::network;
use crate::descriptors::{Seldom, Shares};

/// The time that a connection always has to become useful before an arriving one takes its place.
const MIN_AGE_MS: u64 = 500;
/// The same for one that is closed only because its address has too many of its kind: a burst after an outage is none.
const GRACE_MS: u64 = 1000;
/// How long is waited for a connection to close before it is looked again who might.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An address, or an IPv6 network: whoever has one address of it has all.
type Network = IpAddr;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Places.
    pub(crate) max: usize,
    /// Connections without a place, until it is known what they want.
    pub(crate) arrivals: usize,
    /// Connections from one address that have not yet had a complete request or an admitted publish; 0 is no cap.
    pub(crate) unproven_per_address: usize,
}

impl Caps {
    /// The caps of the listeners for everybody.
    pub(crate) fn new(shares: &Shares, unproven_per_address: Option<usize>) -> Self {
        let unproven_per_address = unproven_per_address.unwrap_or((shares.connections / 4).clamp(4, 256));
        Self { max: shares.connections, arrivals: shares.arrivals, unproven_per_address }
    }

    /// Those of the admin listener.
    pub(crate) fn admin(shares: &Shares) -> Self {
        Self { max: shares.admin, arrivals: 1, unproven_per_address: 0 }
    }
}

/// The connections of some listeners.
#[derive(Debug)]
pub(crate) struct Connections {
    caps: Caps,
    begun: Instant,
    inner: Mutex<Inner>,
    left: Notify,
    /// How many have no place, so that the others need no lock to see that they have one.
    extra: AtomicUsize,
    closed: Seldom,
    refused: Seldom,
}

#[derive(Debug, Default)]
struct Inner {
    slots: HashMap<u64, Member>,
    next_id: u64,
    /// Members with a place.
    placed: usize,
    /// Unproven members by address, where there is a cap.
    unproven: HashMap<Network, usize>,
}

#[derive(Debug)]
struct Member {
    slot: Arc<Slot>,
    has_place: bool,
}

/// There is no room, and nobody who could make some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Connections by what they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Without a complete request or an admitted publish so far.
    pub(crate) new: usize,
    /// Between two requests, or after a publish.
    pub(crate) idle: usize,
    /// In a request or its answer.
    pub(crate) in_request: usize,
    /// Publishing.
    pub(crate) publishing: usize,
}

/// Whom a connection may have closed for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victims {
    /// Who was useless for so many milliseconds.
    Useless(u64),
    /// Anybody useless that has a place, and nobody else.
    Placed,
    /// The same, and if there is none, who has been reading an answer for longest.
    PlacedAndReaders,
    /// Who reads or should.
    Readers,
}

impl Connections {
    /// None so far.
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self {
            caps,
            begun: Instant::now(),
            inner: Mutex::default(),
            left: Notify::new(),
            extra: AtomicUsize::new(0),
            closed: Seldom::new(),
            refused: Seldom::new(),
        })
    }

    /// How many there may be.
    pub(crate) fn caps(&self) -> Caps {
        self.caps
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts a connection that was accepted, once there is room for it. `is_exempt` ones have no cap by address, as
    /// those of a proxy, which has one address for all its clients.
    pub(crate) async fn enter(self: &Arc<Self>, peer: IpAddr, is_exempt: bool) -> Admitted {
        let network = (!is_exempt && self.caps.unproven_per_address > 0).then(|| network(peer));
        loop {
            let wait = match self.try_enter(network, self.now_ms()) {
                Ok(admitted) => return admitted,
                Err(wait) => wait,
            };
            // Whichever comes first; both lead to another look.
            let _ = tokio::time::timeout(wait, self.left.notified()).await;
        }
    }

    /// A place, or how long to wait before trying again.
    fn try_enter(self: &Arc<Self>, network: Option<Network>, now_ms: u64) -> Result<Admitted, Duration> {
        let mut inner = self.inner.lock();
        if let Some(network) = network {
            self.thin_out(&inner, network, now_ms);
        }
        let has_place = inner.placed < self.caps.max;
        if !has_place {
            let is_closing = self.evict(&inner, None, Victims::Useless(MIN_AGE_MS), now_ms);
            let is_room = inner.slots.len() < self.caps.max.saturating_add(self.caps.arrivals);
            if !is_room {
                let wait = if is_closing { LOOK_AGAIN } else { LOOK_AGAIN / 4 };
                return Err(wait);
            }
        }
        let id = inner.next_id;
        inner.next_id = id.wrapping_add(1);
        let slot = Arc::new(Slot::new(Arc::clone(self), id, network));
        inner.slots.insert(id, Member { slot: Arc::clone(&slot), has_place });
        if has_place {
            inner.placed += 1;
        } else {
            self.extra.fetch_add(1, Ordering::AcqRel);
        }
        if let Some(network) = network {
            *inner.unproven.entry(network).or_default() += 1;
        }
        Ok(Admitted { slot })
    }

    /// Closes those connections of an address that came to nothing, so that one more does not exceed its cap.
    fn thin_out(&self, inner: &Inner, network: Network, now_ms: u64) {
        let count = inner.unproven.get(&network).copied().unwrap_or_default();
        if count < self.caps.unproven_per_address {
            return;
        }
        let mut excess = count + 1 - self.caps.unproven_per_address;
        let mut old: Vec<(u64, &Arc<Slot>)> = Vec::new();
        for Member { slot, .. } in inner.slots.values().filter(|member| member.slot.network.get() == Some(&network)) {
            let word = slot.word();
            match slot.standing(now_ms) {
                _ if word.is_proven => {}
                _ if word.phase == Phase::Evicted => excess = excess.saturating_sub(1),
                Standing::Useless(since_ms) if now_ms.saturating_sub(since_ms) >= GRACE_MS => {
                    old.push((since_ms, slot));
                }
                _ => {}
            }
        }
        old.sort_unstable_by_key(|(since_ms, slot)| (*since_ms, slot.id));
        for (since_ms, slot) in old.into_iter().take(excess) {
            if slot.evict(now_ms, Standing::Useless(since_ms)) {
                self.note_closed("address");
            }
        }
    }

    /// Closes one connection; whether there was one to close, or one is closing already.
    fn evict(&self, inner: &Inner, except: Option<u64>, victims: Victims, now_ms: u64) -> bool {
        let mut useless: Option<(u64, &Arc<Slot>)> = None;
        let mut reading: Option<(u64, &Arc<Slot>)> = None;
        let older = |best: &Option<(u64, &Arc<Slot>)>, at: u64| best.is_none_or(|(best_at, _)| at < best_at);
        let mut closing = 0;
        for member in inner.slots.values().filter(|member| Some(member.slot.id) != except) {
            let word = member.slot.word();
            if word.phase == Phase::Evicted {
                closing += usize::from(member.has_place);
                continue;
            }
            match member.slot.standing(now_ms) {
                Standing::Useless(since_ms) => {
                    let is_meant = match victims {
                        Victims::Useless(age_ms) => now_ms.saturating_sub(since_ms) >= age_ms,
                        Victims::Placed | Victims::PlacedAndReaders => member.has_place,
                        Victims::Readers => word.sending > 0,
                    };
                    if is_meant && older(&useless, since_ms) {
                        useless = Some((since_ms, &member.slot));
                    }
                }
                Standing::Reading(since_ms) => {
                    let is_meant = match victims {
                        Victims::Useless(_) | Victims::Placed => false,
                        Victims::PlacedAndReaders => member.has_place,
                        Victims::Readers => true,
                    };
                    if is_meant && older(&reading, since_ms) {
                        reading = Some((since_ms, &member.slot));
                    }
                }
                Standing::Needed => {}
            }
        }
        // Those that are closing make room in a moment; what they leave is enough unless others take it first.
        if victims != Victims::Readers && inner.placed.saturating_sub(closing) < self.caps.max {
            return true;
        }
        if let Some((since_ms, slot)) = useless
            && slot.evict(now_ms, Standing::Useless(since_ms))
        {
            let word = slot.word();
            self.note_closed(match word {
                _ if word.sending > 0 => "stalled",
                _ if word.is_proven => "idle",
                _ => "new",
            });
            return true;
        }
        if let Some((since_ms, slot)) = reading
            && slot.evict(now_ms, Standing::Reading(since_ms))
        {
            self.note_closed("reader");
            return true;
        }
        false
    }

    fn note_closed(&self, kind: &'static str) {
        metrics::counter!(crate::metrics::CONNECTIONS_CLOSED, "kind" => kind).increment(1);
        if let Some(count) = self.closed.count() {
            tracing::warn!(count, last = kind, max = self.caps.max, "connections were closed to make room for others");
        }
    }

    fn note_refused(&self, what: &'static str) {
        metrics::counter!(crate::metrics::CONNECTIONS_REFUSED, "what" => what).increment(1);
        if let Some(count) = self.refused.count() {
            tracing::warn!(
                count,
                last = what,
                max = self.caps.max,
                "requests or pushes were refused: every connection is in use"
            );
        }
    }

    /// Gives a connection without a place one, when there is one or somebody may be closed for it.
    fn place(&self, slot: &Slot, victims: Victims) -> Result<(), Full> {
        if self.extra.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        if inner.slots.get(&slot.id).is_none_or(|member| member.has_place) {
            return Ok(());
        }
        if inner.placed >= self.caps.max && !self.evict(&inner, Some(slot.id), victims, self.now_ms()) {
            return Err(Full);
        }
        if let Some(member) = inner.slots.get_mut(&slot.id) {
            member.has_place = true;
            inner.placed += 1;
            self.extra.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Counts a request whose head is complete.
    ///
    /// # Errors
    /// [`Full`] when every place is needed; the connection stays one that may be closed for others. `Ok(None)` when
    /// it was closed just now.
    pub(crate) fn begin_request(&self, slot: &Arc<Slot>) -> Result<Option<InRequest>, Full> {
        self.place(slot, Victims::Placed).inspect_err(|_| self.note_refused("request"))?;
        Ok(slot.begin_request())
    }

    /// Counts a push that was admitted. Pushes come before readers: what is not recorded now is lost, a reader asks
    /// again. From here on the connection is never closed to make room.
    ///
    /// # Errors
    /// [`Full`] when every place belongs to a push or an upload.
    pub(crate) async fn begin_push(&self, slot: &Arc<Slot>) -> Result<Publishing, Full> {
        if slot.begin_publishing().is_none() {
            // Whoever runs this connection drops it at this very moment.
            return std::future::pending().await;
        }
        let publishing = Publishing { slot: Arc::clone(slot) };
        match self.place(slot, Victims::PlacedAndReaders) {
            Ok(()) => Ok(publishing),
            Err(full) => {
                self.note_refused("push");
                Err(full)
            }
        }
    }

    /// Closes a connection that does not read its answer, or `also_reading` one that does: it holds files.
    pub(crate) fn close_reader(&self, also_reading: bool) -> bool {
        let inner = self.inner.lock();
        let now_ms = self.now_ms();
        if also_reading {
            return self.evict(&inner, None, Victims::Readers, now_ms);
        }
        let is_stalled = |slot: &Slot| match slot.standing(now_ms) {
            Standing::Useless(since_ms) if slot.word().sending > 0 => Some(since_ms),
            _ => None,
        };
        let stalled = inner.slots.values().filter_map(|member| Some((is_stalled(&member.slot)?, &member.slot)));
        let Some((since_ms, slot)) = stalled.min_by_key(|(since_ms, _)| *since_ms) else { return false };
        let is_closed = slot.evict(now_ms, Standing::Useless(since_ms));
        if is_closed {
            self.note_closed("stalled");
        }
        is_closed
    }

    /// Closes whoever was useless for longest, because the system gave no descriptor although there should be one.
    pub(crate) fn close_useless(&self) {
        let inner = self.inner.lock();
        let now_ms = self.now_ms();
        let age = |member: &Member| match member.slot.standing(now_ms) {
            Standing::Useless(since_ms) => Some(since_ms),
            _ => None,
        };
        let oldest = inner.slots.values().filter_map(|member| Some((age(member)?, &member.slot)));
        if let Some((since_ms, slot)) = oldest.min_by_key(|(since_ms, _)| *since_ms)
            && slot.evict(now_ms, Standing::Useless(since_ms))
        {
            self.note_closed("system");
        }
    }

    /// Connections by what they do now.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        for member in self.inner.lock().slots.values() {
            let word = member.slot.word();
            *match word.phase {
                Phase::Publishing => &mut census.publishing,
                _ if word.working > 0 || word.sending > 0 => &mut census.in_request,
                _ if word.is_proven => &mut census.idle,
                _ => &mut census.new,
            } += 1;
        }
        census
    }

    /// Counts a connection for the address that its proxy named, as if it had come from there.
    pub(crate) fn learn_address(&self, slot: &Slot, client: IpAddr) {
        if self.caps.unproven_per_address == 0 || slot.word().is_proven || slot.network.get().is_some() {
            return;
        }
        let network = network(client);
        let mut inner = self.inner.lock();
        self.thin_out(&inner, network, self.now_ms());
        if slot.network.set(network).is_ok() {
            *inner.unproven.entry(network).or_default() += 1;
        }
    }

    /// A connection had its first complete request or admitted publish.
    fn prove(&self, network: Option<Network>) {
        if let Some(network) = network {
            self.inner.lock().forget_unproven(network);
        }
    }

    fn leave(&self, slot: &Slot) {
        let mut inner = self.inner.lock();
        if let Some(member) = inner.slots.remove(&slot.id) {
            if member.has_place {
                inner.placed = inner.placed.saturating_sub(1);
            } else {
                self.extra.fetch_sub(1, Ordering::AcqRel);
            }
            if let Some(network) = slot.network.get().copied()
                && !slot.word().is_proven
            {
                inner.forget_unproven(network);
            }
        }
        drop(inner);
        self.left.notify_one();
    }
}

impl Inner {
    fn forget_unproven(&mut self, network: Network) {
        if let Some(count) = self.unproven.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.unproven.remove(&network);
            }
        }
    }
}

/// A connection that is counted until this is dropped, which is to be after its socket.
#[derive(Debug)]
pub(crate) struct Admitted {
    slot: Arc<Slot>,
}

impl Admitted {
    /// Where the connection says what it does.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Runs the connection to its end, or until it is to be closed to make room for others. What it has decided to say by then
    /// is handed to the socket first: answers of HTTP/2 come from other tasks, and an answer without a body is no request any
    /// more before its head is written.
    pub(crate) async fn run(&self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        tokio::select! {
            () = connection.as_mut() => return,
            () = self.slot.evicted() => {}
        }
        poll_fn(|context| Poll::Ready(connection.as_mut().poll(context).is_ready())).await;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.slot.registry().leave(&self.slot);
    }
}

/// A push that is counted as one until this is dropped.
#[derive(Debug)]
pub(crate) struct Publishing {
    slot: Arc<Slot>,
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.slot.end_publishing();
    }
}

#[cfg(test)]
mod tests;
