//! One push: from tags to what is to be stored. The store's side works beside it ([`super::recorder`]), on the same task:
//! reading, renewing the lease and storing do not wait for each other.

mod end;
mod start;
mod waiting;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use media::doctor::{Facts, advice};
use media::remux::{Output, Remuxer};
use media::rtmp::message::{Tag, TagKind};
use media::rtmp::metadata::Metadata;
use model::{Error, ErrorCode};
use store::lease::PublisherLease;
use tokio::sync::watch;
use tokio::time::Instant;

use self::waiting::Waiting;
use super::Live;
use super::admission::Admission;
use super::channels::{Channels, Claim, StopReason};
use super::facts::ShownFacts;
use super::recorder::{Recorder, Work};
use super::refusal::PublishRefusal;
use super::unrecordable::{Unrecordable, why_nothing};
use crate::config::{LiveConfig, Segmenting};
use crate::metering::IngestMeter;

/// How often it is looked what there is to show of the encoder, and what is wrong with it.
const LOOK: Duration = Duration::from_secs(1);
/// How segments end, as configured (D9).
pub(in crate::live) fn segmenting(live: &LiveConfig) -> media::segmenter::Segmenting {
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

impl Publication {
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
        self.waiting.has_room()
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
    pub(in crate::live) fn lost_ms(&self) -> u64 {
        match &self.desk {
            Desk::Free(recorder) => recorder.lost_ms(),
            Desk::Busy(_) | Desk::Moving => panic!("not settled"),
        }
    }

    fn learn(&self) {
        self.claim.on_air.learn(ShownFacts::new(self.remuxer.facts(), &self.hints));
    }
}

/// The refusal of a channel that is taken.
pub(in crate::live) fn still_live(remote: Option<String>) -> Error {
    let by = remote.map(|remote| format!(" by {remote}")).unwrap_or_default();
    let error = Error::new(ErrorCode::ChannelStillLive).message(format!("The live channel is being published to{by}."));
    // The number is that of requests which would change the channel (LiveChannel 3.9).
    Error { ec: None, ..error }
}
