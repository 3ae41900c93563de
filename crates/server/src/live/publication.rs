//! One push: from tags to stored segments and a playlist that never lists what is not there.
//!
//! The bytes of the open segment go to its blob as they come, so that a crash loses little (D8). When a segment ends,
//! its blob is made durable, and one commit then names the object, enters it into the index, rewrites the playlist and
//! notes which blob is open next.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::doctor::advice;
use media::hls::{LiveSegment, MediaPlaylist};
use media::remux::{Output, RemuxConfig, Remuxer, SegmentClosing, SegmentOpening};
use media::rtmp::message::{Tag, TagKind};
use media::rtmp::metadata::Metadata;
use media::rtmp::stats::SessionStats;
use media::segmenter::CutReason;
use model::name::ObjectKey;
use model::{Container, ContentHeaders, ObjectAcl, ObjectType};
use model::{Error, ErrorCode};
use store::blob::Blob;
use store::lease::PublisherLease;
use store::live::{Kept, OpenDetails, Place};
use store::meta::{Body, Extent, ObjectRecord, ObjectRole, OpenSegment, SegmentCommit, SegmentEntry, StartRecord};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Live;
use super::admission::Admission;
use super::channels::{Channels, Claim, OnAir, StopReason, Unclaimed};
use super::corrections::{Dating, correct};
use super::facts::ShownFacts;
use super::growing::{Failed, Growing};
use super::losses::{Cause, Losses};
use super::payload::Payload;
use super::recovery;
use super::refusal::PublishRefusal;
use super::report::SessionReport;
use super::unrecordable::{Unrecordable, why_nothing};
use super::window::{Window, checked, frag_count};
use crate::config::{LiveConfig, Segmenting};
use crate::metering::{IngestMeter, tally, user_of};
use crate::objects::ChannelGrant;

/// How long a lease holds without being renewed; another server may take the channel after that.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(4);
/// How often an open segment is made to survive a power cut (D8: at most the last second is missing).
const SYNC: Duration = Duration::from_millis(750);
/// How segments end, as configured (D9).
pub(super) fn segmenting(live: &LiveConfig) -> media::segmenter::Segmenting {
    match live.segmenting {
        Segmenting::Oss => media::segmenter::Segmenting::Oss,
        Segmenting::Strict => media::segmenter::Segmenting::Strict,
    }
}

/// Pause between attempts to store a segment.
const RETRY: Duration = Duration::from_millis(100);

/// A running push.
pub(crate) struct Publication {
    live: Arc<Live>,
    admission: Admission,
    claim: Claim,
    lease: PublisherLease,
    session: u32,
    remuxer: Remuxer,
    window: Window,
    published: Option<MediaPlaylist>,
    open: Option<Open>,
    /// Wall-clock and media time of the frame from which dates are counted (D10, quirk Q34).
    anchor: Option<(i64, i64)>,
    /// The clock by which segments are dated.
    dating: Dating,
    /// Media was lost behind the last segment, so the next does not continue it.
    has_gap: bool,
    losses: Losses,
    /// The blob of the open segment is not noted, so that a crash would lose it.
    is_unnoted: bool,
    hints: Metadata,
    meter: IngestMeter,
    key_arrived: Instant,
    renewed: Instant,
    synced: Instant,
    segments: u64,
    /// What they last together, milliseconds.
    recorded_ms: u64,
    /// The push lost its channel or its store and only waits for its connection to end.
    is_lost: bool,
    /// What comes and cannot be recorded.
    unrecordable: Unrecordable,
}

/// The segment that grows.
struct Open {
    number_ms: u64,
    /// When it was opened, by the clock as it is known now (D32).
    opened_ms: i64,
    date_ms: i64,
    discontinuity: bool,
    /// Segments in the list.
    listed: u32,
    bytes: Growing,
    container: Container,
    /// The media in them.
    payload: Payload,
}

impl Publication {
    /// Begins an admitted push: takes the channel, repairs what an earlier push left, writes the beginning down. An
    /// earlier push whose connection has ended is waited for; `is_gone` ends when the new publisher has left meanwhile.
    ///
    /// # Errors
    /// `ChannelStillLive` when somebody else is on air, or the store's refusal.
    pub(crate) async fn start(
        live: Arc<Live>,
        mut admission: Admission,
        is_gone: impl Future<Output = ()>,
    ) -> Result<Self, PublishRefusal> {
        let now_ms = live.clock.now_ms();
        let target = admission.target();
        let refuse = |admission: &Admission, error: Error| {
            PublishRefusal::new(error, target.clone(), now_ms).of(Some(admission.id.clone()))
        };
        let takeover_after = Duration::from_secs(live.settings.live.takeover_after_s);
        let on_air = OnAir::new(admission.remote, now_ms);
        let claim =
            live.channels.claim(&admission.id, on_air, takeover_after, is_gone).await.map_err(|why| match why {
                Unclaimed::Taken(holder) => refuse(&admission, still_live(Some(holder.remote.to_string()))),
                Unclaimed::Stopping => PublishRefusal::shutdown(&target, now_ms),
            })?;
        // Whoever disables or deletes the channel from here on finds this push on air; what came before is seen now.
        admission.look_again(&live).await.map_err(|error| refuse(&admission, error))?;
        let lease = recovery::acquire(&live, &admission.id).await.map_err(|error| refuse(&admission, error))?;
        let begun = Self::begin(&live, &admission, &lease, now_ms).await;
        let (session, window) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let _ = live.meta.release_publisher(&lease).await;
                return Err(refuse(&admission, error));
            }
        };
        let config = &admission.channel.config;
        let settings = &live.settings.live;
        let mut remuxer = Remuxer::new(RemuxConfig {
            frag_duration_ms: u64::from(config.frag_duration) * 1000,
            segmenting: segmenting(settings),
            max_video_bytes: settings.max_message_bytes,
            recovery_points_start_segments: admission
                .channel
                .settings
                .recovery_points_start_segments
                .unwrap_or(settings.recovery_points_start_segments),
            ..RemuxConfig::default()
        });
        let meter = IngestMeter::new(&admission.id.0, now_ms);
        super::pictures::attach(&live, &admission.id, config, &claim.on_air, &meter, &mut remuxer);
        let now = Instant::now();
        let dating = Dating::begin(&live);
        let published = window.list.playlist();
        tracing::info!(
            bucket = %admission.id.0, channel = %admission.id.1, remote = %admission.remote, session,
            playlist = window.playlist, "push begins"
        );
        crate::metrics::channels::begins(admission.id.0.as_str(), admission.id.1.as_str());
        Ok(Self {
            live,
            admission,
            claim,
            lease,
            session,
            remuxer,
            window,
            published,
            open: None,
            anchor: None,
            dating,
            has_gap: false,
            losses: Losses::default(),
            is_unnoted: false,
            hints: Metadata::default(),
            meter,
            key_arrived: now,
            renewed: now,
            synced: now,
            segments: 0,
            recorded_ms: 0,
            is_lost: false,
            unrecordable: Unrecordable::default(),
        })
    }

    async fn begin(
        live: &Arc<Live>,
        admission: &Admission,
        lease: &PublisherLease,
        now_ms: i64,
    ) -> Result<(u32, Window), Error> {
        let start = StartRecord {
            started_ms: now_ms,
            remote_addr: admission.remote.to_string(),
            playlist: admission.playlist.to_string(),
            details: Bytes::new(),
        };
        let session = match live.meta.begin_publication(lease, &start).await {
            Err(error) if error.kind == store::ErrorKind::AlreadyExists => {
                recovery::repair(live, lease).await?;
                live.meta.begin_publication(lease, &start).await
            }
            begun => begun,
        }
        .map_err(|error| match error.kind {
            store::ErrorKind::NotFound => Error::new(ErrorCode::NoSuchLiveChannel),
            _ => crate::objects::internal(error),
        })?;
        let mut window = recovery::window(live, &admission.id).await?;
        let config = &admission.channel.config;
        let reconnect_ms =
            i64::try_from(live.settings.live.reconnect_window_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let is_return = reconnect_ms > 0
            && now_ms.saturating_sub(window.stored_ms) <= reconnect_ms
            && window.playlist == admission.playlist.as_str();
        let listed = frag_count(config.frag_count, live.settings.live.authoring);
        window.begin_session(listed, config.frag_duration, is_return);
        window.playlist = admission.playlist.to_string();
        Ok((session, window))
    }

    /// `bucket/channel`, for people.
    pub(crate) fn target(&self) -> String {
        self.admission.target()
    }

    /// Notes that bytes arrived.
    pub(crate) fn touch(&self) {
        self.claim.on_air.touch();
    }

    /// The word to stop.
    pub(crate) fn stop_word(&self) -> watch::Receiver<Option<StopReason>> {
        self.claim.on_air.stop_word()
    }

    /// Questions of those who want to publish next, each a number.
    pub(crate) fn questions(&self) -> watch::Receiver<u64> {
        self.claim.on_air.succession.questions()
    }

    /// The newest question whether the encoder is still there, if it is not answered yet.
    pub(crate) fn open_question(&self) -> Option<u64> {
        self.claim.on_air.succession.open_question()
    }

    /// Answers that it is.
    pub(crate) fn is_here(&self, question: u64) {
        self.claim.on_air.succession.answer(question);
    }

    /// Notes that the encoder has ended, though not all of its media has been read yet.
    pub(crate) fn has_hung_up(&self) {
        self.claim.on_air.succession.begin_end();
    }

    /// Takes hints from metadata; they are never needed (quirk Q7).
    pub(crate) fn hint(&mut self, metadata: &Metadata) {
        self.hints = metadata.clone();
        self.learn();
    }

    /// Takes one tag.
    pub(crate) async fn push(&mut self, tag: &Tag) {
        self.meter.count(tag.payload.len());
        match tag.kind {
            TagKind::Video => {
                if tag.begins_key_frame() {
                    self.key_arrived = Instant::now();
                    self.claim.on_air.touch_key();
                }
                self.claim.on_air.count(tag.payload.len(), 0);
            }
            TagKind::Audio => self.claim.on_air.count(0, tag.payload.len()),
        }
        self.remuxer.push(tag);
        self.handle_outputs().await;
        if self.claim.on_air.is_unknown() {
            self.learn();
        }
    }

    /// What is due by the clock: the open segment's bytes go to disk, the lease is renewed.
    pub(crate) async fn tick(&mut self) {
        let now_ms = self.live.clock.now_ms();
        self.remuxer.note_time(now_ms);
        self.look_for_unrecordable(now_ms);
        self.show();
        self.remuxer.flush();
        self.handle_outputs().await;
        self.flush().await;
        self.follow_clock();
        self.learn();
        self.meter.pass(self.live.clock.now_ms());
        if self.synced.elapsed() >= SYNC
            && let Some(open) = &mut self.open
        {
            let begun = Instant::now();
            let synced = open.bytes.sync().await;
            metrics::histogram!(crate::metrics::SEGMENT_SYNC_SECONDS).record(begun.elapsed());
            self.note_failure(synced);
            self.synced = Instant::now();
        }
        self.mend().await;
        if self.renewed.elapsed() >= RENEWAL {
            self.renewed = Instant::now();
            match self.live.meta.renew_publisher(&self.lease, LEASE).await {
                Ok(lease) => {
                    self.lease = lease;
                    self.live.heed_neighbours(&self.admission.id, &self.claim.on_air).await;
                }
                Err(error) if error.kind == store::ErrorKind::Conflict => self.lose(&error),
                Err(error) => tracing::warn!(%error, "the publisher's lease cannot be renewed"),
            }
        }
    }

    /// Ends the push: the last segment is listed, the history written, the channel given free.
    pub(crate) async fn finish(mut self, stats: &SessionStats) {
        self.claim.on_air.succession.begin_end();
        // What comes out at the end was not sent so.
        let facts = self.remuxer.measured();
        let advice = advice(&facts);
        if let Some(found) = self.unrecordable.at_end(&facts) {
            self.warn(&found);
        }
        self.remuxer.finish();
        self.handle_outputs().await;
        self.learn();
        let ended_ms = self.live.clock.now_ms();
        self.meter.pass(ended_ms);
        self.losses.settle(&self.admission.id);
        let snapshots = self.claim.on_air.snapshots();
        let report = self.report(stats, ended_ms).with_advice(&advice).with_snapshots(&self.admission.id, snapshots);
        if !self.is_lost {
            let kept = report.to_bytes();
            if let Err(error) = self.live.meta.end_publication(&self.lease, Some(ended_ms), kept).await {
                tracing::error!(%error, channel = %self.admission.id.1, "the end of a push cannot be written down");
            }
            if let Err(error) = self.live.meta.release_publisher(&self.lease).await {
                tracing::warn!(%error, "the publisher's lease cannot be released");
            }
        }
        report.publish(&self.admission.id, self.admission.remote, self.session);
        // Also after a push without segments: it kept the list of the push before it from ending.
        if let Some(after_s) = self.live.settings.live.end_list_after_s {
            let (live, id, stored_ms) = (self.live.clone(), self.admission.id.clone(), self.window.stored_ms);
            crate::panics::spawn(
                "end list",
                super::upkeep::end_list(live, id, stored_ms, Duration::from_secs(after_s)),
            );
        }
    }

    /// Lets those who look at what is on air know where the playlist is and what is wrong.
    fn show(&self) {
        let target_s = self.published.as_ref().map_or(0, |list| list.target_duration_s);
        let target_s = target_s.max(self.admission.channel.config.frag_duration);
        let on_air = &self.claim.on_air;
        let warnings = super::warnings::of(&advice(&self.remuxer.measured()), on_air, &self.losses);
        on_air.list(&self.window.playlist, target_s, self.published.is_some(), warnings);
    }

    /// Corrects what was dated by a clock that was wrong: the open segment, and what is stored of this push.
    fn follow_clock(&mut self) {
        let Some(by_ms) = self.dating.correction_ms(&self.live) else { return };
        let until_ms = match &mut self.open {
            Some(open) => {
                open.opened_ms = open.opened_ms.saturating_add(by_ms);
                self.is_unnoted = true;
                open.number_ms.saturating_sub(1)
            }
            None => self.window.last_number_ms,
        };
        correct(&self.live, &self.admission.id, self.session, until_ms, by_ms);
    }

    /// Says once in the log that media comes which cannot be recorded, and what to do (D21).
    fn warn(&self, found: &str) {
        tracing::warn!(
            bucket = %self.admission.id.0, channel = %self.admission.id.1, remote = %self.admission.remote,
            "what this encoder sends is not recorded: {found}"
        );
    }

    /// Looks whether what comes can be recorded, and ends a push of which nothing can, where its channel does not want
    /// to wait.
    fn look_for_unrecordable(&mut self, now_ms: i64) {
        let facts = self.remuxer.measured();
        if let Some(found) = self.unrecordable.look(&facts, now_ms) {
            self.warn(&found);
        }
        let own = self.admission.channel.settings.refuse_unrecordable_after_s;
        let after_s = own.unwrap_or(self.live.settings.live.refuse_unrecordable_after_s);
        let is_empty = self.segments == 0 && self.open.is_none();
        if is_empty && self.unrecordable.is_refused(&facts, after_s, now_ms) {
            self.claim.on_air.stop(StopReason::Unrecordable);
        }
    }

    /// The refusal of a push of which nothing is recorded. It is kept beside the channel.
    pub(crate) fn unrecordable(&self, channels: &Channels, now_ms: i64) -> PublishRefusal {
        let why = why_nothing(&self.remuxer.measured()).map(|one| one.to_string()).unwrap_or_default();
        let refusal = PublishRefusal::unrecordable(&self.target(), &why, now_ms).of(Some(self.admission.id.clone()));
        refusal.report(self.admission.remote, channels);
        refusal
    }

    fn lose(&mut self, error: &store::Error) {
        tracing::warn!(%error, channel = %self.admission.id.1, "the push lost its channel");
        self.is_lost = true;
        self.open = None;
        self.claim.on_air.stop(StopReason::TakenOver);
    }

    async fn handle_outputs(&mut self) {
        let mut closing: Option<SegmentClosing> = None;
        while let Some(output) = self.remuxer.next_output() {
            if self.is_lost {
                continue;
            }
            match output {
                Output::Data(bytes) => self.append(bytes).await,
                // What opens next is named in the same commit as what closes, so that it can be found after a crash.
                Output::Close(close) => closing = Some(close),
                Output::Open(opening) => {
                    let next = self.open_segment(opening).await;
                    match closing.take() {
                        Some(close) => self.close_segment(close, next).await,
                        None => self.note_open(next).await,
                    }
                }
            }
        }
        if let Some(close) = closing {
            self.close_segment(close, None).await;
        }
    }

    /// Makes the blob of the segment that begins.
    async fn open_segment(&mut self, opening: SegmentOpening) -> Option<Open> {
        self.follow_clock();
        let now_ms = self.live.clock.now_ms();
        let number_ms = self.window.next_number_ms(now_ms);
        self.window.last_number_ms = number_ms;
        if self.anchor.is_none() || opening.discontinuity {
            self.anchor = Some((now_ms, opening.media_time_ms));
        }
        let date_ms =
            self.anchor.map_or(now_ms, |(wall_ms, media_ms)| wall_ms.saturating_add(opening.media_time_ms - media_ms));
        let discontinuity = opening.discontinuity || std::mem::take(&mut self.has_gap);
        let container = kept_as(self.remuxer.container());
        let (bytes, begun) = Growing::begin(&self.live, container, self.segments == 0).await;
        self.note_failure(begun);
        let listed = self.window.list.frag_count;
        Some(Open {
            number_ms,
            opened_ms: now_ms,
            date_ms,
            discontinuity,
            listed,
            bytes,
            container,
            payload: Payload::default(),
        })
    }

    /// Writes down which segment is open.
    async fn note_open(&mut self, next: Option<Open>) {
        self.open = next;
        let place = recovery::place(self.window.list.session);
        let record = self.open.as_mut().and_then(|open| open.record(&self.admission, place));
        let noted = self.live.meta.open_segment(&self.lease, record.as_ref()).await;
        self.is_unnoted = noted.is_err();
        if let Err(error) = noted {
            match error.kind {
                store::ErrorKind::Conflict | store::ErrorKind::NotFound => self.lose(&error),
                _ => tracing::error!(%error, "the open segment cannot be written down; a crash would lose it"),
            }
        }
    }

    async fn append(&mut self, bytes: Bytes) {
        let Some(open) = &mut self.open else { return };
        open.payload.feed(&bytes);
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
            self.losses.settle(&self.admission.id);
            self.is_unnoted = true;
        } else if open.bytes.is_hopeless() {
            self.remuxer.cut_at_next_key_frame();
        }
        if self.is_unnoted && !self.is_lost {
            let open = self.open.take();
            self.note_open(open).await;
        }
    }

    /// Stores the open segment, for up to one FragDuration; what cannot be stored then is given up (LiveChannel 4.6).
    async fn close_segment(&mut self, close: SegmentClosing, next: Option<Open>) {
        let Some(open) = std::mem::replace(&mut self.open, next) else { return };
        let timeout = Duration::from_secs(u64::from(self.admission.channel.config.frag_duration));
        let key_arrived = self.key_arrived;
        match self.store_segment(open, close, timeout).await {
            Ok(lost_ms) => {
                self.segments += 1;
                self.recorded_ms = self.recorded_ms.saturating_add(close.duration_ms.saturating_sub(lost_ms));
                metrics::counter!(crate::metrics::SEGMENTS).increment(1);
                if close.reason == CutReason::KeyFrame {
                    metrics::histogram!(crate::metrics::SEGMENT_PUBLISH_SECONDS).record(key_arrived.elapsed());
                }
                match lost_ms {
                    0 => self.losses.settle(&self.admission.id),
                    _ => self.mark_gap(),
                }
            }
            Err(Unstored::Channel(error)) => self.lose(&error),
            Err(Unstored::Segment(cause)) => {
                self.losses.lost(&self.admission.id, cause, close.duration_ms, true);
                self.mark_gap();
                let next = self.open.take();
                self.note_open(next).await;
            }
        }
    }

    /// What comes next does not continue what is stored, also when a crash comes first.
    fn mark_gap(&mut self) {
        match &mut self.open {
            Some(open) => {
                open.discontinuity = true;
                self.is_unnoted = true;
            }
            None => self.has_gap = true,
        }
    }

    /// Stores and lists a segment, and returns how much of it is missing, in milliseconds.
    async fn store_segment(&mut self, open: Open, close: SegmentClosing, timeout: Duration) -> Result<u64, Unstored> {
        let deadline = Instant::now() + timeout;
        let (id, losses) = (&self.admission.id, &mut self.losses);
        let (grown, rewritten) =
            open.bytes.finish(timeout, |failed| losses.failed(id, failed)).await.map_err(Unstored::Segment)?;
        losses.rewrote(rewritten);
        let duration_ms = grown.part_ms.map_or(close.duration_ms, |part_ms| part_ms.min(close.duration_ms));
        let lost_ms = close.duration_ms - duration_ms;
        let finished = Finished {
            number_ms: open.number_ms,
            opened_ms: open.opened_ms,
            date_ms: open.date_ms,
            duration_ms,
            discontinuity: open.discontinuity,
            independent: close.independent,
            container: open.container,
            blob: grown.blob,
            sums: grown.sums,
        };
        if let Some(next) = self.open.as_mut().filter(|_| lost_ms > 0) {
            next.discontinuity = true;
        }
        let next = self.open.as_mut().and_then(|next| next.record(&self.admission, Place::Later));
        let is_noted = next.is_some() || self.open.is_none();
        let stored_ms = self.live.clock.now_ms();
        let mut window = self.window.clone();
        // Where only a part could be kept, its media is what it holds of the whole in proportion.
        let payload = match (grown.part_ms, close.duration_ms) {
            (Some(_), whole_ms) if whole_ms > 0 => open.payload.bytes() / whole_ms * duration_ms,
            _ => open.payload.bytes(),
        };
        let counts = window.count_segment(duration_ms, payload);
        let user = user_of(self.admission.grant.caller());
        let counting = self.live.meta.counting(tally(&self.admission.id.0, self.admission.id.1.as_str(), user, counts));
        let dated = self.live.settings.live.program_date_time;
        let (commit, playlist) = finished
            .commit(&self.admission.id, self.session, &mut window, self.published.as_ref(), dated, next, stored_ms)
            .map_err(Unstored::Channel)?;
        let grant = ChannelGrant::admitted(&self.admission.grant, &self.lease);
        while let Err(error) = grant.commit_segment(&counting, &commit).await {
            if matches!(error.kind, store::ErrorKind::Conflict | store::ErrorKind::NotFound) {
                return Err(Unstored::Channel(error));
            }
            let may_pass = error.kind == store::ErrorKind::Unavailable && Instant::now() < deadline;
            self.losses.failed(&self.admission.id, &Failed { cause: Cause::Commit, error });
            if !may_pass {
                return Err(Unstored::Segment(Cause::Commit));
            }
            tokio::time::sleep(RETRY).await;
        }
        if let Some(cause) = grown.cause.filter(|_| lost_ms > 0) {
            self.losses.lost(&self.admission.id, cause, lost_ms, false);
        }
        self.is_unnoted = !is_noted;
        // What opened meanwhile has taken the next number already.
        window.last_number_ms = window.last_number_ms.max(self.window.last_number_ms);
        self.window = window;
        self.published = playlist;
        Ok(lost_ms)
    }

    /// Media that is in no segment so far, in ms.
    #[cfg(test)]
    pub(super) fn lost_ms(&self) -> u64 {
        self.losses.ms
    }

    fn learn(&self) {
        self.claim.on_air.learn(ShownFacts::new(self.remuxer.facts(), &self.hints));
    }

    /// What there is to say about the session (D7).
    fn report(&self, stats: &SessionStats, ended_ms: i64) -> SessionReport {
        let connected_ms = ended_ms.saturating_sub(self.claim.on_air.connected_ms);
        // What is pushed faster than real time lasts as long as its media.
        let lasted_ms = connected_ms.max(i64::try_from(self.recorded_ms).unwrap_or(i64::MAX));
        SessionReport::new(
            stats,
            &self.remuxer.stats(),
            self.segments,
            self.claim.on_air.totals(),
            lasted_ms.saturating_add(500) / 1000,
        )
        .with_codecs(self.remuxer.facts())
        .with_losses(&self.losses)
    }
}

/// Why a segment is not stored.
enum Unstored {
    /// The push has no channel any more, so nothing it brings can be.
    Channel(store::Error),
    /// This segment is lost.
    Segment(Cause),
}

impl Open {
    /// What a crash finds of it; `None` while it has no blob.
    fn record(&mut self, admission: &Admission, place: Place) -> Option<OpenSegment> {
        let blob = self.bytes.blob_to_note()?;
        let details = OpenDetails {
            opened_ms: Some(self.opened_ms).filter(|opened_ms| u64::try_from(*opened_ms) != Ok(self.number_ms)),
            date_ms: self.date_ms,
            discontinuity: self.discontinuity,
            playlist: admission.playlist.to_string(),
            frag_count: self.listed,
            frag_duration_s: admission.channel.config.frag_duration,
            place,
            container: self.container.code(),
            user: user_of(admission.grant.caller()),
        };
        Some(OpenSegment { number_ms: self.number_ms, blob, details: details.to_bytes().unwrap_or_default() })
    }
}

/// A segment whose blob is complete, however it came to be.
pub(super) struct Finished {
    pub(super) number_ms: u64,
    pub(super) opened_ms: i64,
    pub(super) date_ms: i64,
    pub(super) duration_ms: u64,
    pub(super) discontinuity: bool,
    /// Whether it can be decoded without any other.
    pub(super) independent: bool,
    pub(super) container: Container,
    pub(super) blob: Blob,
    pub(super) sums: crate::checksums::Checksums,
}

impl Finished {
    /// All that changes with a finished segment; the window moves on.
    ///
    /// # Errors
    /// `Corrupt` when a name that was made here is not legal, which means that the channel's is not.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn commit(
        self,
        id: &super::channels::ChannelId,
        session: u32,
        window: &mut Window,
        before: Option<&MediaPlaylist>,
        dated: bool,
        next: Option<OpenSegment>,
        stored_ms: i64,
    ) -> Result<(SegmentCommit, Option<MediaPlaylist>), store::Error> {
        let channel = &id.1;
        let file = self.container.file_name(self.number_ms);
        let key = key_of(&format!("{channel}/{file}"))?;
        window.list.push(LiveSegment {
            uri: file,
            duration_ms: self.duration_ms,
            discontinuity: self.discontinuity,
            program_date_time_ms: dated.then_some(self.date_ms),
            independent: self.independent,
        });
        window.last_number_ms = window.last_number_ms.max(self.number_ms);
        window.stored_ms = stored_ms;
        let playlist = checked(&mut window.list, before);
        let playlist_key = key_of(&format!("{channel}/{}", window.playlist))?;
        let as_object = |list: &MediaPlaylist| {
            crate::objects::playlist_record(list.render().into_bytes(), ObjectRole::LivePlaylist, stored_ms)
        };
        let playlist_object = playlist.as_ref().map(as_object);
        let object = ObjectRecord {
            size: self.blob.len,
            etag: self.sums.etag,
            crc64: self.sums.crc64,
            md5: self.sums.md5,
            modified_ms: stored_ms,
            object_type: ObjectType::Normal,
            role: ObjectRole::LiveSegment,
            acl: ObjectAcl::Default,
            storage_class: model::StorageClass::Standard,
            headers: ContentHeaders {
                content_type: Some(self.container.content_type().into()),
                ..ContentHeaders::default()
            },
            user_meta: Vec::new(),
            tags: Vec::new(),
            body: Body::Blobs(vec![Extent { blob: self.blob.id, offset: 0, len: self.blob.len }]),
        };
        let entry = SegmentEntry {
            number_ms: self.number_ms,
            opened_ms: u64::try_from(self.opened_ms).unwrap_or(0),
            duration_ms: u32::try_from(self.duration_ms).unwrap_or(u32::MAX),
            session,
            size: self.blob.len,
            is_discontinuous: self.discontinuity,
            is_independent: self.independent,
            is_damaged: false,
            container: self.container,
        };
        let commit = SegmentCommit {
            key,
            object,
            entry,
            playlist: playlist_object.map(|object| (playlist_key, object)),
            window: window.to_bytes(),
            next,
            end_ms: stored_ms,
        };
        Ok((commit, playlist))
    }
}

/// How segments of a packager are named in the index and the bucket.
fn kept_as(container: media::package::Container) -> Container {
    // Every packager that a push is given has a row of its own there; a test sees to it.
    Container::of_extension(container.extension).unwrap_or_default()
}

fn key_of(text: &str) -> Result<ObjectKey, store::Error> {
    ObjectKey::parse(text.as_bytes())
        .map_err(|error| store::Error::new(store::ErrorKind::Corrupt, store::Subject::Object, error))
}

/// The refusal of a channel that is taken.
pub(super) fn still_live(remote: Option<String>) -> Error {
    let by = remote.map(|remote| format!(" by {remote}")).unwrap_or_default();
    let error = Error::new(ErrorCode::ChannelStillLive).message(format!("The live channel is being published to{by}."));
    // The number is that of requests which would change the channel (LiveChannel 3.9).
    Error { ec: None, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_knows_the_container_of_the_packager() {
        let packager = media::package::Ts::CONTAINER;
        let kept = kept_as(packager);
        assert_eq!((kept.extension(), kept.content_type()), (packager.extension, packager.content_type));
    }
}
