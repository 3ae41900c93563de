//! One push: from tags to what is to be stored. The store's side works beside it ([`super::recorder`]), on the same task:
//! reading, renewing the lease and storing do not wait for each other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use media::doctor::{Facts, advice};
use media::remux::{Output, RemuxConfig, Remuxer};
use media::rtmp::message::{Tag, TagKind};
use media::rtmp::metadata::Metadata;
use media::rtmp::stats::SessionStats;
use model::{Container, Error, ErrorCode};
use store::lease::PublisherLease;
use store::meta::StartRecord;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Live;
use super::admission::Admission;
use super::channels::{Channels, Claim, OnAir, StopReason, Unclaimed};
use super::facts::ShownFacts;
use super::recorder::{Begun, Recorder, Work};
use super::recovery;
use super::refusal::PublishRefusal;
use super::report::SessionReport;
use super::unrecordable::{Unrecordable, why_nothing};
use super::window::{Window, frag_count};
use crate::config::{LiveConfig, Segmenting};
use crate::metering::IngestMeter;

/// How often it is looked what there is to show of the encoder, and what is wrong with it.
const LOOK: Duration = Duration::from_secs(1);
/// Pause before what waits for the store is looked after again when the encoder has left.
const STORE_RETRY: Duration = Duration::from_millis(200);
/// Media of one push that waits in memory for a slow store; with more the encoder is not read from. As much as 40 s of a
/// stream of 0.9 Mbit/s.
const MAX_WAITING: usize = 4 << 20;
/// Media of all pushes that waits; with more only a push of which nothing waits is read from.
const MAX_ALL_WAITING: usize = 128 << 20;

/// Bytes that wait, of all pushes.
static ALL_WAITING: AtomicUsize = AtomicUsize::new(0);

/// How segments end, as configured (D9).
pub(super) fn segmenting(live: &LiveConfig) -> media::segmenter::Segmenting {
    match live.segmenting {
        Segmenting::Oss => media::segmenter::Segmenting::Oss,
        Segmenting::Strict => media::segmenter::Segmenting::Strict,
    }
}

/// A running push.
pub(crate) struct Publication {
    live: Arc<Live>,
    admission: Arc<Admission>,
    claim: Claim,
    lease: PublisherLease,
    session: u32,
    remuxer: Remuxer,
    desk: Desk,
    waiting: Waiting,
    renewing: Option<UnderWay<Result<PublisherLease, store::Error>>>,
    hints: Metadata,
    meter: IngestMeter,
    key_arrived: Instant,
    renewed: Instant,
    looked: Instant,
    /// A segment was begun.
    has_opened: bool,
    /// The push lost its channel and only waits for its connection to end.
    is_lost: bool,
    /// What comes and cannot be recorded.
    unrecordable: Unrecordable,
}

/// What the task of a push is waiting for beside its connection.
type UnderWay<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where the store's side of a push is.
enum Desk {
    Free(Box<Recorder>),
    /// At work. It must not be dropped half way while the push lives: what it does is done in order, and whole.
    Busy(UnderWay<Box<Recorder>>),
    /// Only between two of the others.
    Moving,
}

/// What waits for the store's side, counted among that of all pushes.
#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    /// Bytes in `work`, and in what is being done.
    bytes: usize,
}

impl Waiting {
    fn push(&mut self, work: Work) {
        self.bytes += work.len();
        ALL_WAITING.fetch_add(work.len(), Ordering::Relaxed);
        self.work.push_back(work);
    }

    /// Takes all of it; its bytes count until [`Self::is_done`].
    fn take(&mut self) -> VecDeque<Work> {
        std::mem::take(&mut self.work)
    }

    /// What was taken is done.
    fn is_done(&mut self) {
        let left = self.work.iter().map(Work::len).sum();
        ALL_WAITING.fetch_sub(self.bytes - left, Ordering::Relaxed);
        self.bytes = left;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        ALL_WAITING.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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
            PublishRefusal::new(error, target.clone(), now_ms).of(Some((admission.id.clone(), &admission.channel)))
        };
        let takeover_after = Duration::from_secs(live.settings.live.takeover_after_s);
        let on_air = OnAir::new(admission.remote, now_ms);
        let mut is_gone = std::pin::pin!(is_gone);
        let claim = live.channels.claim(&admission.id, on_air, takeover_after, is_gone.as_mut()).await.map_err(
            |why| match why {
                Unclaimed::Taken(holder) => refuse(&admission, still_live(Some(holder.remote.to_string()))),
                Unclaimed::Stopping => PublishRefusal::shutdown(&target, now_ms),
            },
        )?;
        // Whoever disables or deletes the channel from here on finds this push on air; what came before is seen now.
        admission.look_again(&live).await.map_err(|error| refuse(&admission, error))?;
        let lease =
            recovery::acquire(&live, &admission.id, is_gone).await.map_err(|error| refuse(&admission, error))?;
        // Another server that disabled the channel since then has seen the lease, or its change is seen here.
        let begun = match live.peers.is_shared() {
            true => admission.look_again(&live).await,
            false => Ok(()),
        };
        let begun = match begun {
            Ok(()) => Self::begin(&live, &admission, &lease, now_ms).await,
            Err(error) => Err(error),
        };
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
        tracing::info!(
            bucket = %admission.id.0, channel = %admission.id.1, remote = %admission.remote, session,
            playlist = window.playlist, "push begins"
        );
        crate::metrics::channels::begins(admission.id.0.as_str(), admission.id.1.as_str());
        let admission = Arc::new(admission);
        let begun = Begun { lease: lease.clone(), session, window, container: kept_as(remuxer.container()) };
        let recorder = Recorder::new(live.clone(), admission.clone(), claim.on_air.clone(), begun);
        Ok(Self {
            live,
            admission,
            claim,
            lease,
            session,
            remuxer,
            desk: Desk::Free(Box::new(recorder)),
            waiting: Waiting::default(),
            renewing: None,
            hints: Metadata::default(),
            meter,
            key_arrived: now,
            renewed: now,
            looked: now,
            has_opened: false,
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

    /// Takes one tag. What there is to store waits for [`Self::progress`].
    pub(crate) fn push(&mut self, tag: &Tag) {
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
        self.queue_outputs();
        if self.claim.on_air.is_unknown() {
            self.learn();
        }
    }

    /// Whether more may be read from the encoder; otherwise [`Self::progress`] is to be waited for.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.bytes == 0
            || (self.waiting.bytes < MAX_WAITING && ALL_WAITING.load(Ordering::Relaxed) < MAX_ALL_WAITING)
    }

    /// What is due by the clock: the open segment's bytes go to disk, the lease is renewed.
    pub(crate) fn tick(&mut self) {
        let now_ms = self.live.clock.now_ms();
        self.remuxer.note_time(now_ms);
        self.remuxer.flush();
        self.queue_outputs();
        let mut shown = None;
        if self.looked.elapsed() >= LOOK || self.claim.on_air.playlist().is_none() {
            self.looked = Instant::now();
            let facts = self.remuxer.measured();
            self.look_for_unrecordable(&facts, now_ms);
            self.learn();
            self.meter.pass(now_ms);
            shown = Some(advice(&facts));
        }
        // Where the store is slow one is enough.
        if !matches!(self.waiting.work.back(), Some(Work::Tick(_))) {
            self.waiting.push(Work::Tick(shown));
        }
        self.begin_work();
        self.renew_when_due();
    }

    fn renew_when_due(&mut self) {
        let peers = &self.live.peers;
        let is_due = self.renewed.elapsed() >= peers.lease_renewal() || peers.was_away_since(self.renewed.into_std());
        if self.renewing.is_some() || self.is_lost || !is_due {
            return;
        }
        self.renewed = Instant::now();
        let (live, lease) = (self.live.clone(), self.lease.clone());
        self.renewing = Some(Box::pin(async move { live.meta.renew_publisher(&lease, live.peers.lease_ttl()).await }));
    }

    /// Waits until something that was handed to the store is done; for ever when nothing is under way. May be cancelled.
    pub(crate) async fn progress(&mut self) {
        poll_fn(|context| {
            let is_renewed = self.poll_renewal(context);
            if self.poll_work(context) || is_renewed { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn poll_renewal(&mut self, context: &mut Context<'_>) -> bool {
        let Some(renewing) = &mut self.renewing else { return false };
        let Poll::Ready(renewed) = renewing.as_mut().poll(context) else { return false };
        self.renewing = None;
        match renewed {
            Ok(lease) => self.lease = lease,
            Err(error) if error.kind == store::ErrorKind::Conflict => {
                tracing::warn!(%error, channel = %self.admission.id.1, "the push lost its channel");
                self.is_lost = true;
                self.claim.on_air.stop(StopReason::TakenOver);
            }
            Err(error) => tracing::warn!(%error, "the publisher's lease cannot be renewed"),
        }
        true
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> bool {
        if let Desk::Free(recorder) = &mut self.desk
            && recorder.poll_completed(context)
        {
            self.waiting.push(Work::Tick(None));
            self.begin_work();
        }
        let Desk::Busy(work) = &mut self.desk else { return false };
        let Poll::Ready(mut recorder) = work.as_mut().poll(context) else { return false };
        self.waiting.is_done();
        self.is_lost |= recorder.is_lost();
        if recorder.take_wanted_cut() {
            self.remuxer.cut_at_next_key_frame();
        }
        self.desk = Desk::Free(recorder);
        self.begin_work();
        true
    }

    /// Lets the store's side do what waits, if it is free.
    fn begin_work(&mut self) {
        if self.waiting.work.is_empty() {
            return;
        }
        self.desk = match std::mem::replace(&mut self.desk, Desk::Moving) {
            Desk::Free(mut recorder) => {
                let work = self.waiting.take();
                Desk::Busy(Box::pin(async move {
                    recorder.work(work).await;
                    recorder
                }))
            }
            busy => busy,
        };
    }

    /// Waits until everything is stored that came so far, or is known not to be; the lease is kept meanwhile.
    pub(crate) async fn settle(&mut self) {
        loop {
            match &self.desk {
                Desk::Free(recorder) if !recorder.waits() => return,
                // Until the store is back.
                Desk::Free(_) => {
                    let _ = tokio::time::timeout(STORE_RETRY, self.progress()).await;
                    if matches!(self.desk, Desk::Free(_)) {
                        self.waiting.push(Work::Tick(None));
                        self.begin_work();
                    }
                }
                _ => {
                    let _ = tokio::time::timeout(self.live.peers.lease_renewal(), self.progress()).await;
                }
            }
            self.renew_when_due();
        }
    }

    /// Ends the push: the last segment is listed, the history written, the channel given free.
    pub(crate) async fn finish(mut self, stats: &SessionStats) {
        self.claim.on_air.succession.begin_end();
        // What comes out at the end was not sent so.
        let facts = self.remuxer.measured();
        if let Some(found) = self.unrecordable.at_end(&facts) {
            self.warn(&found);
        }
        self.remuxer.finish();
        self.queue_outputs();
        self.settle().await;
        self.learn();
        let ended_ms = self.live.clock.now_ms();
        self.meter.pass(ended_ms);
        let Desk::Free(mut recorder) = std::mem::replace(&mut self.desk, Desk::Moving) else { return };
        let snapshots = self.claim.on_air.snapshots();
        let report = self
            .report(&mut recorder, stats, ended_ms)
            .with_advice(&advice(&facts))
            .with_snapshots(&self.admission.id, snapshots);
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
            let (live, id, stored_ms) = (self.live.clone(), self.admission.id.clone(), recorder.stored_ms());
            crate::panics::spawn(
                "end list",
                super::upkeep::end_list(live, id, stored_ms, Duration::from_secs(after_s)),
            );
        }
    }

    /// Hands on what the remuxer has made.
    fn queue_outputs(&mut self) {
        while let Some(output) = self.remuxer.next_output() {
            if self.is_lost {
                continue;
            }
            self.waiting.push(match output {
                Output::Open(opening) => {
                    self.has_opened = true;
                    Work::Open(opening, self.live.clock.now_ms())
                }
                Output::Data(bytes) => Work::Data(bytes),
                Output::Close(close) => Work::Close(close, self.key_arrived),
            });
        }
        self.begin_work();
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
    fn look_for_unrecordable(&mut self, facts: &Facts, now_ms: i64) {
        if let Some(found) = self.unrecordable.look(facts, now_ms) {
            self.warn(&found);
        }
        let own = self.admission.channel.settings.refuse_unrecordable_after_s;
        let after_s = own.unwrap_or(self.live.settings.live.refuse_unrecordable_after_s);
        if !self.has_opened && self.unrecordable.is_refused(facts, after_s, now_ms) {
            self.claim.on_air.stop(StopReason::Unrecordable);
        }
    }

    /// The refusal of a push of which nothing is recorded. It is kept beside the channel.
    pub(crate) fn unrecordable(&self, channels: &Channels, now_ms: i64) -> PublishRefusal {
        let why = why_nothing(&self.remuxer.measured()).map(|one| one.to_string()).unwrap_or_default();
        let channel = (self.admission.id.clone(), &self.admission.channel);
        let refusal = PublishRefusal::unrecordable(&self.target(), &why, now_ms).of(Some(channel));
        refusal.report(self.admission.remote, channels);
        refusal
    }

    /// Media that is in no segment so far, in ms; everything is settled.
    #[cfg(test)]
    pub(super) fn lost_ms(&self) -> u64 {
        match &self.desk {
            Desk::Free(recorder) => recorder.lost_ms(),
            Desk::Busy(_) | Desk::Moving => panic!("not settled"),
        }
    }

    fn learn(&self) {
        self.claim.on_air.learn(ShownFacts::new(self.remuxer.facts(), &self.hints));
    }

    /// What there is to say about the session (D7).
    fn report(&self, recorder: &mut Recorder, stats: &SessionStats, ended_ms: i64) -> SessionReport {
        let (segments, recorded_ms) = recorder.totals();
        let connected_ms = ended_ms.saturating_sub(self.claim.on_air.connected_ms);
        // What is pushed faster than real time lasts as long as its media.
        let lasted_ms = connected_ms.max(i64::try_from(recorded_ms).unwrap_or(i64::MAX));
        SessionReport::new(
            stats,
            &self.remuxer.stats(),
            segments,
            self.claim.on_air.totals(),
            lasted_ms.saturating_add(500) / 1000,
        )
        .with_codecs(self.remuxer.facts())
        .with_losses(recorder.settled_losses())
    }
}

/// How segments of a packager are named in the index and the bucket.
fn kept_as(container: media::package::Container) -> Container {
    // Every packager that a push is given has a row of its own there; a test sees to it.
    Container::of_extension(container.extension).unwrap_or_default()
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

    #[test]
    fn what_waits_is_counted_until_it_is_done() {
        let mut waiting = Waiting::default();
        waiting.push(Work::Data(Bytes::from_static(b"12345")));
        let taken = waiting.take();
        waiting.push(Work::Data(Bytes::from_static(b"678")));
        assert_eq!((taken.len(), waiting.bytes), (1, 8));
        waiting.is_done();
        assert_eq!((waiting.work.len(), waiting.bytes), (1, 3));
    }
}
