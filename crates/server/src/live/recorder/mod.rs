//! What of a push waits for the store: the bytes of the open segment go to its blob, and a segment that ends is made
//! durable, named and listed in one commit that also notes which blob is open next. Where the store or the map is another
//! place that does not answer, what has ended waits on this machine's disk, noted, and is listed in its order later.
//!
//! It works through what the push hands it, in order, while the push goes on reading. So a disk that takes its time holds
//! up neither the encoder nor the lease of the channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use media::doctor::Advice;
use media::hls::MediaPlaylist;
use media::remux::{SegmentClosing, SegmentOpening};
use media::segmenter::CutReason;
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
use super::finished::Finished;
use super::growing::{Failed, Growing};
use super::losses::{Cause, Losses};
use super::recovery;
use super::window::Window;
use crate::metering::{tally, user_of};
use crate::objects::ChannelGrant;

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
}

impl Recorder {
    /// The store's side of a push that begins.
    pub(super) fn new(live: Arc<Live>, admission: Arc<Admission>, on_air: Arc<OnAir>, begun: Begun) -> Self {
        let Begun { lease, session, window, container } = begun;
        let dating = Dating::begin(&live);
        // A map that is another place may have listed a segment though nobody heard of it: given up as lost, it would be
        // taken off the list again.
        let may_wait = live.blobs.finishes_elsewhere() || live.peers.is_shared();
        let hold = may_wait.then_some(HOLD);
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
            closed: VecDeque::new(),
            hold,
            waits_since: None,
            anchor: None,
            dating,
            has_gap: false,
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

    /// Segments stored, and how long they last together, milliseconds.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.segments, self.recorded_ms)
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
        for head in
            self.open.iter_mut().map(|open| &mut open.head).chain(self.closed.iter_mut().map(|closed| &mut closed.head))
        {
            head.opened_ms = head.opened_ms.saturating_add(by_ms);
            until_ms = until_ms.min(head.number_ms.saturating_sub(1));
            self.is_unnoted = true;
        }
        correct(&self.live, &self.admission.id, self.session, until_ms, by_ms);
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
        self.closed.push_back(Closed::new(head, bytes, close, key_arrived, self.hold.is_some()));
        self.store_closed().await;
        while self.closed.len() > MAX_CLOSED {
            tokio::time::sleep(RETRY).await;
            self.store_closed().await;
        }
    }

    /// Stores and lists what has ended, in order, up to what the store takes its time for. Where store and map are
    /// this machine that is tried for up to one FragDuration, and given up then (LiveChannel 4.6).
    async fn store_closed(&mut self) {
        let timeout = Duration::from_secs(u64::from(self.admission.channel.config.frag_duration));
        while let Some(mut closed) = self.closed.pop_front() {
            let (id, losses) = (&self.admission.id, &mut self.losses);
            let is_completed = closed.complete(timeout, self.hold, |failed| losses.failed(id, &failed)).await;
            if !is_completed || !self.list(&mut closed, timeout).await {
                self.closed.push_front(closed);
                break;
            }
            if self.is_lost {
                return;
            }
        }
        self.tell_waiting();
        if self.is_unnoted && !self.closed.is_empty() {
            let open = self.open.take();
            self.note_open(open).await;
        }
    }

    /// Says that segments begin to wait, or that none waits any more.
    fn tell_waiting(&mut self) {
        let (bucket, channel) = (&self.admission.id.0, &self.admission.id.1);
        match (self.closed.len(), self.waits_since) {
            (0, Some(since)) => {
                let seconds = since.elapsed().as_secs_f64();
                tracing::info!(%bucket, %channel, seconds, "the segments that waited for the store are listed");
                self.waits_since = None;
            }
            (1.., None) => {
                tracing::warn!(
                    %bucket, %channel,
                    "the store does not take segments in time: they wait on this machine's disk, and the playlist stands still"
                );
                self.waits_since = Some(Instant::now());
                self.is_unnoted = true;
            }
            _ => {}
        }
    }

    /// Lists a segment whose bytes are complete, or counts what is lost of it; whether that is done, so that the next one
    /// may follow.
    async fn list(&mut self, closed: &mut Closed, timeout: Duration) -> bool {
        let duration_ms = closed.close.duration_ms;
        match self.store_segment(closed, timeout).await {
            Ok(Some(lost_ms)) => {
                self.segments += 1;
                self.recorded_ms = self.recorded_ms.saturating_add(duration_ms.saturating_sub(lost_ms));
                metrics::counter!(crate::metrics::SEGMENTS).increment(1);
                if closed.close.reason == CutReason::KeyFrame {
                    metrics::histogram!(crate::metrics::SEGMENT_PUBLISH_SECONDS).record(closed.key_arrived.elapsed());
                }
                match lost_ms {
                    0 if self.closed.is_empty() => self.losses.settle(&self.admission.id),
                    0 => {}
                    _ => self.mark_gap(),
                }
            }
            Ok(None) => return false,
            Err(Unstored::Channel(error)) => self.lose(&error),
            Err(Unstored::Segment(cause)) => {
                self.losses.lost(&self.admission.id, cause, duration_ms, true);
                self.mark_gap();
                let next = self.open.take();
                self.note_open(next).await;
            }
        }
        true
    }

    /// What comes next does not continue what is stored, also when a crash comes first.
    fn mark_gap(&mut self) {
        let waiting = self.closed.front_mut().map(|closed| &mut closed.head);
        match waiting.or(self.open.as_mut().map(|open| &mut open.head)) {
            Some(next) => {
                next.discontinuity = true;
                self.is_unnoted = true;
            }
            None => self.has_gap = true,
        }
    }

    /// Stores and lists a segment, and returns how much of it is missing, in milliseconds; `None` when the map does not
    /// answer and the segment may wait for it.
    async fn store_segment(&mut self, closed: &mut Closed, timeout: Duration) -> Result<Option<u64>, Unstored> {
        let deadline = Instant::now() + timeout;
        let (grown, rewritten) = closed.take().map_err(Unstored::Segment)?;
        let close = closed.close;
        let duration_ms = grown.part_ms.map_or(close.duration_ms, |part_ms| part_ms.min(close.duration_ms));
        let lost_ms = close.duration_ms - duration_ms;
        let finished = Finished {
            number_ms: closed.head.number_ms,
            opened_ms: closed.head.opened_ms,
            date_ms: closed.head.date_ms,
            duration_ms,
            discontinuity: closed.head.discontinuity,
            independent: close.independent,
            container: self.container,
            blob: grown.blob,
            sums: grown.sums.clone(),
        };
        if lost_ms > 0 {
            self.mark_gap();
        }
        let (waiting, next) = self.notes(Place::Later);
        let is_noted = waiting.len() == self.closed.len() && next.is_some() == self.open.is_some();
        let stored_ms = self.live.clock.now_ms();
        let mut window = self.window.clone();
        // Where only a part could be kept, its media is what it holds of the whole in proportion.
        let payload = match (grown.part_ms, close.duration_ms) {
            (Some(_), whole_ms) if whole_ms > 0 => close.media_bytes / whole_ms * duration_ms,
            _ => close.media_bytes,
        };
        let counts = window.count_segment(duration_ms, payload);
        let user = user_of(self.admission.grant.caller());
        let counting = self.live.meta.counting(tally(&self.admission.id.0, self.admission.id.1.as_str(), user, counts));
        let dated = self.live.settings.live.program_date_time;
        let (mut commit, playlist) = finished
            .commit(&self.admission.id, self.session, &mut window, self.published.as_ref(), dated, next, stored_ms)
            .map_err(Unstored::Channel)?;
        commit.waiting = waiting;
        let grant = ChannelGrant::admitted(&self.admission.grant, &self.lease);
        while let Err(error) = grant.commit_segment(&counting, &commit).await {
            if matches!(error.kind, store::ErrorKind::Conflict | store::ErrorKind::NotFound) {
                return Err(Unstored::Channel(error));
            }
            let is_away = error.kind == store::ErrorKind::Unavailable;
            let may_pass = is_away && Instant::now() < deadline;
            self.losses.failed(&self.admission.id, &Failed { cause: Cause::Commit, error });
            if is_away && self.hold.is_some() {
                closed.give_back(Ok((grown, rewritten)));
                return Ok(None);
            }
            if !may_pass {
                return Err(Unstored::Segment(Cause::Commit));
            }
            tokio::time::sleep(RETRY).await;
        }
        self.losses.rewrote(rewritten);
        if let Some(cause) = grown.cause.filter(|_| lost_ms > 0) {
            self.losses.lost(&self.admission.id, cause, lost_ms, false);
        }
        self.is_unnoted = !is_noted;
        // What opened meanwhile has taken the next number already.
        window.last_number_ms = window.last_number_ms.max(self.window.last_number_ms);
        self.window = window;
        self.published = playlist;
        Ok(Some(lost_ms))
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

/// Why a segment is not stored.
enum Unstored {
    /// The push has no channel any more, so nothing it brings can be.
    Channel(store::Error),
    /// This segment is lost.
    Segment(Cause),
}
