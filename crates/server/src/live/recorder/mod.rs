//! What of a push waits for the store: the bytes of the open segment go to its blob, and a segment that ends is made
//! durable, named and listed in one commit that also notes which blob is open next. Where the store or the map is another
//! place that does not answer, what has ended waits on this machine's disk, noted, and is listed in its order later.
//!
//! It works through what the push hands it, in order, while the push goes on reading. So a disk that takes its time holds
//! up neither the encoder nor the lease of the channel.

mod listing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use media::doctor::Advice;
use media::hls::MediaPlaylist;
use media::remux::{SegmentClosing, SegmentOpening};
use model::Container;
use store::lease::PublisherLease;
use store::live::Place;
use store::meta::OpenSegment;
use tokio::time::Instant;

use super::Live;
use super::admission::Admission;
use super::channels::{OnAir, StopReason};
use super::closed::{Closed, Head};
use super::corrections::{Dating, correct};
use super::growing::{Failed, Growing};
use super::losses::Losses;
use super::recovery;
use super::window::Window;

/// How often an open segment is made to survive a power cut (D8: at most the last second is missing).
const SYNC: Duration = Duration::from_millis(700);
/// Pause between attempts to store a segment.
const RETRY: Duration = Duration::from_millis(100);

/// How long the next segment waits for one that is stored or listed elsewhere; after that it waits on the disk.
const HOLD: Duration = Duration::from_secs(1);
/// Segments of one push that wait on the disk; with more the push is held up. They are all named in one row.
const MAX_CLOSED: usize = 128;

/// What a push wants done, in order.
pub(super) enum Work {
    /// A segment begins, at this time of the server, unix ms.
    Open(SegmentOpening, i64),
    /// More of its bytes.
    Data(Bytes),
    /// It ends, because of what arrived at this moment.
    Close(SegmentClosing, Instant),
    /// What is due by the clock; from time to time with what is to be shown of the encoder.
    Tick(Option<Vec<Advice>>),
}

impl Work {
    /// Bytes that wait in memory until it is done.
    pub(super) fn len(&self) -> usize {
        match self {
            Work::Data(bytes) => bytes.len(),
            Work::Open(..) | Work::Close(..) | Work::Tick(_) => 0,
        }
    }
}

/// The store's side of a running push.
pub(super) struct Recorder {
    live: Arc<Live>,
    admission: Arc<Admission>,
    on_air: Arc<OnAir>,
    /// As it was given: what a commit shows of it does not change when it is renewed.
    lease: PublisherLease,
    session: u32,
    container: Container,
    window: Window,
    published: Option<MediaPlaylist>,
    open: Option<Open>,
    /// What ended and is not listed yet, in order; where store and map are this machine, never for longer than a call.
    closed: VecDeque<Closed>,
    /// How long the first of these is waited for; `None` until it is stored or given up.
    hold: Option<Duration>,
    /// Since when segments wait.
    waits_since: Option<Instant>,
    /// Wall-clock and media time of the frame from which dates are counted (D10, quirk Q34).
    anchor: Option<(i64, i64)>,
    /// The clock by which segments are dated.
    dating: Dating,
    /// From this number on segments are of this push.
    first_number_ms: u64,
    /// Media was lost behind the last segment, so the next does not continue it.
    has_gap: bool,
    losses: Losses,
    /// The blob of the open segment is not noted, so that a crash would lose it.
    is_unnoted: bool,
    synced: Instant,
    segments: u64,
    /// What they last together, milliseconds.
    recorded_ms: u64,
    /// The push lost its channel, so nothing more of it can be stored.
    is_lost: bool,
    /// The open segment cannot be continued, so it is to end as soon as it can.
    wants_cut: bool,
}

/// The segment that grows.
struct Open {
    head: Head,
    bytes: Growing,
}

/// A push that has begun to be stored.
pub(super) struct Begun {
    pub(super) lease: PublisherLease,
    pub(super) session: u32,
    pub(super) window: Window,
    pub(super) container: Container,
    /// What an earlier push left to be listed, in its order.
    pub(super) waiting: VecDeque<Closed>,
}

impl Recorder {
    /// The store's side of a push that begins.
    pub(super) fn new(live: Arc<Live>, admission: Arc<Admission>, on_air: Arc<OnAir>, begun: Begun) -> Self {
        let Begun { lease, session, window, container, waiting } = begun;
        let dating = Dating::begin(&live);
        // A map that is another place may have listed a segment though nobody heard of it: given up as lost, it would be
        // taken off the list again.
        let may_wait = live.may_wait();
        let hold = may_wait.then_some(HOLD);
        let first_number_ms = if waiting.is_empty() { 0 } else { window.last_number_ms.saturating_add(1) };
        Self {
            live,
            admission,
            on_air,
            lease,
            session,
            container,
            published: window.list.playlist(),
            window,
            open: None,
            hold,
            waits_since: None,
            anchor: None,
            dating,
            first_number_ms,
            // What comes does not continue what an earlier push sent.
            has_gap: !waiting.is_empty(),
            closed: waiting,
            losses: Losses::default(),
            is_unnoted: false,
            synced: Instant::now(),
            segments: 0,
            recorded_ms: 0,
            is_lost: false,
            wants_cut: false,
        }
    }

    /// Does what waits.
    pub(super) async fn work(&mut self, waiting: VecDeque<Work>) {
        let mut closing: Option<(SegmentClosing, Instant)> = None;
        for work in waiting {
            if self.is_lost {
                return;
            }
            match work {
                Work::Data(bytes) => self.append(bytes).await,
                // What opens next is named in the same commit as what closes, so that it can be found after a crash.
                Work::Close(close, key_arrived) => closing = Some((close, key_arrived)),
                Work::Open(opening, now_ms) => {
                    let next = self.open_segment(opening, now_ms).await;
                    match closing.take() {
                        Some((close, key_arrived)) => self.close_segment(close, key_arrived, next).await,
                        None => self.note_open(next).await,
                    }
                }
                Work::Tick(advice) => self.tick(advice).await,
            }
        }
        if let Some((close, key_arrived)) = closing {
            self.close_segment(close, key_arrived, None).await;
        } else if !self.closed.is_empty() {
            self.store_closed().await;
        }
    }

    /// What is due by the clock: the open segment's bytes go to disk.
    async fn tick(&mut self, advice: Option<Vec<Advice>>) {
        if let Some(advice) = advice {
            self.show(&advice);
        }
        self.flush().await;
        self.follow_clock();
        if self.synced.elapsed() >= SYNC
            && let Some(open) = &mut self.open
        {
            let begun = Instant::now();
            let synced = open.bytes.sync().await;
            metrics::histogram!(crate::metrics::SEGMENT_SYNC_SECONDS).record(begun.elapsed());
            self.note_failure(synced);
            self.synced = begun;
        }
        self.mend().await;
    }

    /// Lets those who look at what is on air know where the playlist is and what is wrong.
    fn show(&self, advice: &[Advice]) {
        let target_s = self.published.as_ref().map_or(0, |list| list.target_duration_s);
        let target_s = target_s.max(self.admission.channel.config.frag_duration);
        let warnings = super::warnings::of(advice, &self.on_air, &self.losses, self.closed.len());
        self.on_air.list(&self.window.playlist, target_s, self.published.is_some(), warnings);
    }

    /// Whether the open segment is to end at the next key frame; asked once.
    pub(super) fn take_wanted_cut(&mut self) -> bool {
        std::mem::take(&mut self.wants_cut)
    }

    /// Whether the push lost its channel.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Segments of this push that are stored, or left to whoever takes them up, and how long they last together,
    /// milliseconds.
    pub(super) fn totals(&self) -> (u64, u64) {
        let left = self.closed.iter().filter(|closed| self.is_own(&closed.head));
        left.fold((self.segments, self.recorded_ms), |(segments, recorded_ms), closed| {
            (segments + 1, recorded_ms.saturating_add(closed.close.duration_ms))
        })
    }

    /// Whether a segment is of this push, and not what an earlier one has left.
    fn is_own(&self, head: &Head) -> bool {
        head.number_ms >= self.first_number_ms
    }

    /// What could not be stored; nothing more will come.
    pub(super) fn settled_losses(&mut self) -> &Losses {
        self.losses.settle(&self.admission.id);
        &self.losses
    }

    /// When the newest segment was stored, unix ms.
    pub(super) fn stored_ms(&self) -> i64 {
        self.window.stored_ms
    }

    /// Corrects what was dated by a clock that was wrong: the open segment, and what is stored of this push.
    fn follow_clock(&mut self) {
        let Some(by_ms) = self.dating.correction_ms(&self.live) else { return };
        let mut until_ms = self.window.last_number_ms;
        let open = self.open.iter_mut().map(|open| &mut open.head);
        let all = open.chain(self.closed.iter_mut().map(|closed| &mut closed.head));
        // What an earlier push left was dated by the clock of its time.
        let first_number_ms = self.first_number_ms;
        for head in all.filter(|head| head.number_ms >= first_number_ms) {
            head.opened_ms = head.opened_ms.saturating_add(by_ms);
            until_ms = until_ms.min(head.number_ms.saturating_sub(1));
            self.is_unnoted = true;
        }
        correct(&self.live, &self.admission.id, self.session, self.first_number_ms..=until_ms, by_ms);
    }

    fn lose(&mut self, error: &store::Error) {
        tracing::warn!(%error, channel = %self.admission.id.1, "the push lost its channel");
        self.is_lost = true;
        self.open = None;
        self.closed.clear();
        self.on_air.stop(StopReason::TakenOver);
    }

    /// Makes the blob of the segment that begins.
    async fn open_segment(&mut self, opening: SegmentOpening, now_ms: i64) -> Option<Open> {
        self.follow_clock();
        let number_ms = self.window.next_number_ms(now_ms);
        self.window.last_number_ms = number_ms;
        if self.anchor.is_none() || opening.discontinuity {
            self.anchor = Some((now_ms, opening.media_time_ms));
        }
        let date_ms =
            self.anchor.map_or(now_ms, |(wall_ms, media_ms)| wall_ms.saturating_add(opening.media_time_ms - media_ms));
        let discontinuity = opening.discontinuity || std::mem::take(&mut self.has_gap);
        let (bytes, begun) = Growing::begin(&self.live, self.container, self.segments == 0).await;
        self.note_failure(begun);
        let listed = self.window.list.frag_count;
        let head = Head { number_ms, opened_ms: now_ms, date_ms, discontinuity, listed };
        Some(Open { head, bytes })
    }

    /// Writes down which segment is open, and which wait.
    async fn note_open(&mut self, next: Option<Open>) {
        self.open = next;
        let (waiting, open) = self.notes(recovery::place(self.window.list.session));
        let noted = self.live.meta.note_segments(&self.lease, &waiting, open.as_ref()).await;
        self.is_unnoted = noted.is_err();
        if noted.is_ok() {
            self.closed.iter_mut().for_each(Closed::is_noted);
        }
        if let Err(error) = noted {
            match error.kind {
                store::ErrorKind::Conflict | store::ErrorKind::NotFound => self.lose(&error),
                _ => tracing::error!(%error, "the open segment cannot be written down; a crash would lose it"),
            }
        }
    }

    /// What a crash finds of what is not listed yet, of which the first stands in this place of its push.
    fn notes(&mut self, first: Place) -> (Vec<OpenSegment>, Option<OpenSegment>) {
        let mut place = first;
        let mut waiting = Vec::new();
        for closed in &self.closed {
            if let Some(note) = closed.note(&self.admission, self.container, place) {
                waiting.push(note);
                place = Place::Later;
            }
        }
        let open = self.open.as_mut().and_then(|open| {
            let blob = open.bytes.blob_to_note()?;
            Some(open.head.note(blob, &self.admission, self.container, place))
        });
        (waiting, open)
    }

    async fn append(&mut self, bytes: Bytes) {
        let Some(open) = &mut self.open else { return };
        let appended = open.bytes.append(bytes).await;
        self.note_failure(appended);
    }

    /// Hands the open segment's bytes to the system, so that they survive a crash of this process.
    async fn flush(&mut self) {
        let Some(open) = &mut self.open else { return };
        let flushed = open.bytes.flush().await;
        self.note_failure(flushed);
    }

    fn note_failure(&mut self, outcome: Result<(), Failed>) {
        if let Err(failed) = outcome {
            self.losses.failed(&self.admission.id, &failed);
        }
    }

    /// Writes the open segment again if it broke, so that nothing is lost; what cannot be kept is at least to be short.
    async fn mend(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.bytes.mend().await {
            // What waits may be lost for the same reason, which shows when it is its turn.
            if self.closed.is_empty() {
                self.losses.settle(&self.admission.id);
            }
            self.is_unnoted = true;
        } else if open.bytes.is_hopeless() {
            self.wants_cut = true;
        }
        if self.is_unnoted && !self.is_lost {
            let open = self.open.take();
            self.note_open(open).await;
        }
    }

    /// Ends the open segment.
    async fn close_segment(&mut self, close: SegmentClosing, key_arrived: Instant, next: Option<Open>) {
        let Some(open) = std::mem::replace(&mut self.open, next) else { return };
        let Open { head, bytes } = open;
        // What opened behind those that wait is not noted yet, nor is what waits now.
        self.is_unnoted |= !self.closed.is_empty();
        if self.closed.is_empty() {
            self.closed.push_back(Closed::new(head, bytes, close, key_arrived, self.hold.is_some()));
        } else {
            self.shelve(head, bytes, close, key_arrived).await;
        }
        self.store_closed().await;
        // One that ends and is wanted is to be free to leave what waits.
        let succession = &self.on_air.clone().succession;
        while self.closed.len() > MAX_CLOSED && !(succession.is_ending() && succession.has_heir()) {
            tokio::time::sleep(RETRY).await;
            self.store_closed().await;
        }
    }

    /// Leaves what waits to whoever takes it up, after which this recorder is to be dropped; whether all of it is noted
    /// and on the disk.
    pub(super) async fn leave(&mut self) -> bool {
        if self.open.is_some() || self.is_lost {
            return false;
        }
        for closed in &mut self.closed {
            if !closed.leave().await {
                return false;
            }
        }
        if self.is_unnoted || self.closed.iter().any(Closed::has_moved) {
            self.note_open(None).await;
        }
        !self.is_unnoted && !self.is_lost
    }

    /// Whether something has ended that is not listed yet.
    pub(super) fn waits(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Whether the bytes of what waits first have just become complete.
    pub(super) fn poll_completed(&mut self, context: &mut Context<'_>) -> bool {
        self.closed.front_mut().is_some_and(|closed| closed.poll_completed(context))
    }

    /// Media that is in no segment so far, in ms.
    #[cfg(test)]
    pub(super) fn lost_ms(&self) -> u64 {
        self.losses.ms
    }
}
