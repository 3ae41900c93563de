//! What has ended is listed, in its order: made durable, named and listed in one commit, or counted as lost.

use std::time::Duration;

use media::remux::SegmentClosing;
use media::segmenter::CutReason;
use store::live::Place;
use tokio::time::Instant;

use super::{RETRY, Recorder};
use crate::live::closed::{Closed, Head};
use crate::live::finished::Finished;
use crate::live::growing::{Failed, Growing};
use crate::live::inherited;
use crate::live::left::Left;
use crate::live::losses::Cause;
use crate::metering::{tally, user_of};
use crate::objects::ChannelGrant;

impl Recorder {
    /// Stores and lists what has ended, in order, up to what the store takes its time for. Where store and map are
    /// this machine that is tried for up to one FragDuration, and given up then (LiveChannel 4.6).
    pub(super) async fn store_closed(&mut self) {
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
        self.is_unnoted |= self.closed.iter().any(Closed::has_moved);
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
                if self.is_own(&closed.head) {
                    self.segments += 1;
                    self.recorded_ms = self.recorded_ms.saturating_add(duration_ms.saturating_sub(lost_ms));
                }
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

    /// Ends a segment behind others that wait. It may wait for long, and many may, so it is flushed and nothing of it stays open or
    /// in memory.
    pub(super) async fn shelve(&mut self, head: Head, mut bytes: Growing, close: SegmentClosing, key_arrived: Instant) {
        let synced = bytes.sync().await;
        self.note_failure(synced);
        if bytes.is_cut_short() {
            return self.close_short(head, bytes, close).await;
        }
        let closed = match Box::new(bytes).shelve() {
            Ok(shelved) => inherited::shelved(&self.live, head, close, key_arrived, self.container, shelved),
            Err(bytes) => Closed::new(head, *bytes, close, key_arrived, self.hold.is_some()),
        };
        self.closed.push_back(closed);
    }

    /// Ends a segment of which a part is lost, behind others that wait: what is lost is counted now and not when the store is
    /// back, and the part that is there waits with the others.
    async fn close_short(&mut self, head: Head, bytes: Growing, close: SegmentClosing) {
        let (blob, cause) = bytes.let_go();
        let left = match blob {
            Some(blob) => {
                let note = head.note(blob, &self.admission, self.container, Place::Later);
                Left::read(&self.live, &note, &mut None).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, channel = %self.admission.id.1, "what is left of a segment cannot be read");
                    None
                })
            }
            None => None,
        };
        let kept_ms = left.as_ref().map_or(0, |left| left.duration_ms);
        let lost_ms = close.duration_ms.saturating_sub(kept_ms);
        self.losses.lost(&self.admission.id, cause, lost_ms, left.is_none());
        match &mut self.open {
            Some(next) => next.head.discontinuity = true,
            None => self.has_gap = true,
        }
        self.is_unnoted = true;
        if let Some(left) = left {
            self.closed.push_back(inherited::waiting(&self.live, head.number_ms, left));
        }
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
        self.closed.iter_mut().for_each(Closed::is_noted);
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
}

/// Why a segment is not stored.
enum Unstored {
    /// The push has no channel any more, so nothing it brings can be.
    Channel(store::Error),
    /// This segment is lost.
    Segment(Cause),
}
