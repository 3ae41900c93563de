//! Who is on air in this process: at most one publisher a channel, what may be known of it, and how it is asked to stop.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use model::name::{BucketName, ChannelName};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::audience::Audience;
use super::facts::ShownFacts;
use super::rate::RateMeter;
use super::refused::RefusalLog;
use super::succession::Succession;
use crate::stills::{Progress, ShownProgress};

/// How long a new publisher waits for one whose connection has ended. Storing the last segment takes milliseconds; on a
/// disk that fails it may take longer than anybody should wait.
const SUCCESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a running publication is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The channel was disabled (LiveChannel 3.9).
    Disabled,
    /// Another publisher took the channel over from a silent one (D1).
    TakenOver,
    /// The server stops.
    Shutdown,
    /// Nothing of it can be recorded, and the channel does not want to wait for better.
    Unrecordable,
}

/// A channel, as a key.
pub(crate) type ChannelId = (BucketName, ChannelName);

/// What others may know of a running publication.
#[derive(Debug)]
pub(crate) struct OnAir {
    /// When the session started, unix ms.
    pub(crate) connected_ms: i64,
    /// The publisher.
    pub(crate) remote: SocketAddr,
    started: Instant,
    /// Milliseconds after `started` at which the last byte arrived.
    last_byte_ms: AtomicU64,
    /// The same of the last key frame, and a millisecond more; 0 before the first.
    last_key_ms: AtomicU64,
    measured: Mutex<Measured>,
    listed: Mutex<Listed>,
    audience: Mutex<Audience>,
    /// What becomes of its snapshots, where its channel asks for some.
    snapshots: OnceLock<Arc<Progress>>,
    stop: watch::Sender<Option<StopReason>>,
    /// How far its end has come, and who waits for it.
    pub(super) succession: Succession,
}

#[derive(Debug)]
struct Measured {
    video: RateMeter,
    audio: RateMeter,
    facts: ShownFacts,
}

/// Where players find the push, and what is wrong with it.
#[derive(Debug, Default)]
struct Listed {
    /// The name of its playlist.
    playlist: String,
    /// `EXT-X-TARGETDURATION`, seconds.
    target_s: u32,
    /// It lists something.
    has_segments: bool,
    warnings: Vec<&'static str>,
}

/// What LiveChannelStat shows of one elementary stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measurement {
    /// Codec facts so far.
    pub(crate) facts: ShownFacts,
    /// Bytes per second of video; `None` before any arrived.
    pub(crate) video: Option<u64>,
    /// Bytes per second of audio; `None` before any arrived.
    pub(crate) audio: Option<u64>,
}

impl OnAir {
    /// A publication that begins now.
    pub(crate) fn new(remote: SocketAddr, connected_ms: i64) -> Self {
        let started = Instant::now();
        Self {
            connected_ms,
            remote,
            started,
            last_byte_ms: AtomicU64::new(0),
            last_key_ms: AtomicU64::new(0),
            listed: Mutex::default(),
            audience: Mutex::new(Audience::new()),
            measured: Mutex::new(Measured {
                video: RateMeter::new(started),
                audio: RateMeter::new(started),
                facts: ShownFacts::default(),
            }),
            snapshots: OnceLock::new(),
            stop: watch::Sender::new(None),
            succession: Succession::default(),
        }
    }

    /// Notes that bytes arrived.
    pub(crate) fn touch(&self) {
        self.last_byte_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that a key frame arrived.
    pub(super) fn touch_key(&self) {
        self.last_key_ms.store(self.elapsed_ms().saturating_add(1), Ordering::Relaxed);
    }

    /// How long ago the last key frame arrived, milliseconds; `None` before the first.
    pub(crate) fn key_frame_age_ms(&self) -> Option<u64> {
        let at_ms = self.last_key_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.elapsed_ms().saturating_sub(at_ms))
    }

    /// Says where players find the push, how long its segments are at most, and what is wrong with it.
    pub(super) fn list(&self, playlist: &str, target_s: u32, has_segments: bool, warnings: Vec<&'static str>) {
        let mut listed = self.listed.lock();
        if listed.playlist != playlist {
            playlist.clone_into(&mut listed.playlist);
        }
        listed.target_s = target_s;
        listed.has_segments = has_segments;
        listed.warnings = warnings;
    }

    /// The name of its playlist, once there is one.
    pub(crate) fn playlist(&self) -> Option<String> {
        let listed = self.listed.lock();
        listed.has_segments.then(|| listed.playlist.clone())
    }

    /// Whether the push has begun; before, its publisher waits for another to make way.
    pub(super) fn has_begun(&self) -> bool {
        !self.listed.lock().playlist.is_empty()
    }

    /// What is wrong with the push, each a short name.
    pub(crate) fn warnings(&self) -> Vec<&'static str> {
        self.listed.lock().warnings.clone()
    }

    /// Who fetches the playlist watches, and is counted for three target durations.
    pub(super) fn note_viewer(&self, playlist: &str, address: IpAddr, user_agent: &[u8]) {
        let listed = self.listed.lock();
        if listed.playlist != playlist {
            return;
        }
        let window = viewing_window(listed.target_s);
        drop(listed);
        self.audience.lock().note(address, user_agent, Instant::now(), window);
    }

    /// About how many watch.
    pub(crate) fn viewers(&self) -> u64 {
        let window = viewing_window(self.listed.lock().target_s);
        self.audience.lock().count(Instant::now(), window)
    }

    /// How long nothing has arrived.
    pub(crate) fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.last_byte_ms.load(Ordering::Relaxed)))
    }

    /// Notes payload bytes of the two streams.
    pub(crate) fn count(&self, video_bytes: usize, audio_bytes: usize) {
        let now = Instant::now();
        let mut measured = self.measured.lock();
        if video_bytes > 0 {
            measured.video.add(video_bytes, now);
        }
        if audio_bytes > 0 {
            measured.audio.add(audio_bytes, now);
        }
    }

    /// Replaces the codec facts.
    pub(crate) fn learn(&self, facts: ShownFacts) {
        self.measured.lock().facts = facts;
    }

    /// Whether media of a kind has arrived whose codec is not shown yet.
    pub(crate) fn is_unknown(&self) -> bool {
        let measured = self.measured.lock();
        (measured.video.has_data() && measured.facts.width == 0)
            || (measured.audio.has_data() && measured.facts.sample_rate == 0)
    }

    /// What is known now.
    pub(crate) fn measure(&self) -> Measurement {
        let now = Instant::now();
        let mut measured = self.measured.lock();
        let video = measured.video.has_data().then(|| measured.video.bytes_per_second(now));
        let audio = measured.audio.has_data().then(|| measured.audio.bytes_per_second(now));
        Measurement { facts: measured.facts.clone(), video, audio }
    }

    /// Payload bytes so far, video and audio.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let measured = self.measured.lock();
        (measured.video.total(), measured.audio.total())
    }

    /// Notes where the state of its snapshots is reported.
    pub(super) fn take_snapshots(&self, progress: Arc<Progress>) {
        // A publication begins once.
        let _ = self.snapshots.set(progress);
    }

    /// What became of its snapshots so far; `None` where its channel asks for none.
    pub(crate) fn snapshots(&self) -> Option<ShownProgress> {
        self.snapshots.get().map(|progress| progress.shown())
    }

    /// The word to stop, for the task that publishes.
    pub(crate) fn stop_word(&self) -> watch::Receiver<Option<StopReason>> {
        self.stop.subscribe()
    }

    /// Tells the publication to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|word| {
            let first = word.is_none();
            word.get_or_insert(reason);
            first
        });
    }
}

/// How long who fetched a playlist is taken to watch: players come again after a target duration at the latest, and may
/// miss one.
fn viewing_window(target_s: u32) -> Duration {
    Duration::from_secs(u64::from(target_s.max(1)) * 3)
}

/// The channels that are on air here.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    on_air: Mutex<HashMap<ChannelId, Arc<OnAir>>>,
    /// Who was kept off the air.
    pub(crate) refused: RefusalLog,
    /// Nobody comes on air any more.
    closing: watch::Sender<bool>,
}

/// Why a channel cannot be claimed.
#[derive(Debug)]
pub(crate) enum Unclaimed {
    /// This publication is on air.
    Taken(Arc<OnAir>),
    /// The server stops.
    Stopping,
}

/// A claim on a channel; giving it up (also by dropping it) takes the channel off the air.
#[derive(Debug)]
pub(crate) struct Claim {
    channels: Arc<Channels>,
    id: ChannelId,
    /// The claimed publication.
    pub(crate) on_air: Arc<OnAir>,
}

impl Channels {
    /// Claims a channel. A publisher that has been silent for `takeover_after` is asked to stop and waited for (D1); one
    /// whose connection has ended is waited for until its last segment is listed, or waits for a store that is away.
    /// `is_gone` ends when whoever claims has left.
    ///
    /// # Errors
    /// When the running publication is alive or does not end in time, or the server stops.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        id: &ChannelId,
        on_air: OnAir,
        takeover_after: Duration,
        is_gone: impl Future<Output = ()>,
    ) -> Result<Claim, Unclaimed> {
        let on_air = Arc::new(on_air);
        let mut closing = self.closing.subscribe();
        let mut is_gone = std::pin::pin!(is_gone);
        let deadline = tokio::time::Instant::now() + SUCCESSION_TIMEOUT;
        loop {
            let holder = match self.try_claim(id, &on_air) {
                Ok(claim) => return Ok(claim),
                Err(Unclaimed::Stopping) => return Err(Unclaimed::Stopping),
                Err(Unclaimed::Taken(holder)) => holder,
            };
            let makes_way = {
                let _heir = holder.succession.heir();
                tokio::select! {
                    makes_way = self.makes_way(id, &holder, takeover_after, deadline) => makes_way,
                    () = &mut is_gone => false,
                    _ = closing.wait_for(|closing| *closing) => return Err(Unclaimed::Stopping),
                }
            };
            if !makes_way {
                return Err(Unclaimed::Taken(holder));
            }
        }
    }

    /// Claims a channel that nobody holds.
    pub(super) fn claim_if_free(self: &Arc<Self>, id: &ChannelId, on_air: OnAir) -> Option<Claim> {
        self.try_claim(id, &Arc::new(on_air)).ok()
    }

    /// Whether a publication makes way for a publisher of another server: as it would for one of this server.
    pub(super) async fn yields(&self, id: &ChannelId, holder: &Arc<OnAir>, takeover_after: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + SUCCESSION_TIMEOUT;
        self.makes_way(id, holder, takeover_after, deadline).await
    }

    /// Whether nobody is on air.
    pub(super) fn is_empty(&self) -> bool {
        self.on_air.lock().is_empty()
    }

    /// Waits until nobody comes on air any more.
    pub(super) async fn closed(&self) {
        // An error would mean that the channels are gone, which is the end too.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Whether the publication on a channel has ended by the deadline.
    async fn makes_way(
        &self,
        id: &ChannelId,
        holder: &Arc<OnAir>,
        takeover_after: Duration,
        deadline: tokio::time::Instant,
    ) -> bool {
        let Some(_place) = holder.succession.place() else { return false };
        if holder.succession.is_ending() {
            return holder.succession.wait(deadline).await;
        }
        if holder.silence() >= takeover_after {
            tracing::info!(bucket = %id.0, channel = %id.1, remote = %holder.remote, "a silent publisher is replaced");
            return self.stop_and_wait(holder, StopReason::TakenOver, Duration::from_secs(5)).await;
        }
        holder.succession.ask().await && holder.succession.wait(deadline).await
    }

    fn try_claim(self: &Arc<Self>, id: &ChannelId, on_air: &Arc<OnAir>) -> Result<Claim, Unclaimed> {
        let mut map = self.on_air.lock();
        // Under the lock that whoever stops all takes afterwards.
        if *self.closing.borrow() {
            return Err(Unclaimed::Stopping);
        }
        if let Some(holder) = map.get(id) {
            return Err(Unclaimed::Taken(holder.clone()));
        }
        map.insert(id.clone(), on_air.clone());
        metrics::gauge!(crate::metrics::PUBLICATIONS).set(map.len() as f64);
        Ok(Claim { channels: self.clone(), id: id.clone(), on_air: on_air.clone() })
    }

    /// The publication on a channel, if there is one.
    pub(crate) fn find(&self, id: &ChannelId) -> Option<Arc<OnAir>> {
        self.on_air.lock().get(id).cloned()
    }

    /// All publications, with their channels.
    pub(crate) fn all(&self) -> HashMap<ChannelId, Arc<OnAir>> {
        self.on_air.lock().clone()
    }

    /// Waits for the publication on a channel if its connection has ended, at most `timeout`.
    pub(crate) async fn settle(&self, id: &ChannelId, timeout: Duration) {
        if let Some(on_air) = self.find(id).filter(|on_air| on_air.succession.is_ending()) {
            on_air.succession.wait(tokio::time::Instant::now() + timeout).await;
        }
    }

    /// Stops the publication on a channel and waits until its last segment is listed, at most `timeout`.
    pub(crate) async fn stop(&self, id: &ChannelId, reason: StopReason, timeout: Duration) {
        if let Some(on_air) = self.find(id) {
            self.stop_and_wait(&on_air, reason, timeout).await;
        }
    }

    /// Stops every publication and waits for all, at most `timeout`. Nobody comes on air from here on.
    pub(crate) async fn stop_all(&self, reason: StopReason, timeout: Duration) {
        self.closing.send_replace(true);
        let all: Vec<_> = self.on_air.lock().values().cloned().collect();
        for on_air in &all {
            on_air.stop(reason);
        }
        let deadline = tokio::time::Instant::now() + timeout;
        for on_air in &all {
            on_air.succession.wait(deadline).await;
        }
    }

    /// Whether it has ended.
    async fn stop_and_wait(&self, on_air: &Arc<OnAir>, reason: StopReason, timeout: Duration) -> bool {
        on_air.stop(reason);
        let has_ended = on_air.succession.wait(tokio::time::Instant::now() + timeout).await;
        if !has_ended {
            tracing::warn!(remote = %on_air.remote, ?reason, "a publication did not stop in time");
        }
        has_ended
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut map = self.channels.on_air.lock();
        if map.get(&self.id).is_some_and(|holder| Arc::ptr_eq(holder, &self.on_air)) {
            map.remove(&self.id);
        }
        metrics::gauge!(crate::metrics::PUBLICATIONS).set(map.len() as f64);
        drop(map);
        self.on_air.succession.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ChannelId {
        (BucketName::parse("examplebucket").unwrap(), ChannelName::parse(b"test-channel").unwrap())
    }

    fn on_air() -> OnAir {
        OnAir::new(SocketAddr::from(([192, 0, 2, 10], 47745)), 0)
    }

    async fn claim(channels: &Arc<Channels>, takeover_after: Duration) -> Result<Claim, Unclaimed> {
        channels.claim(&id(), on_air(), takeover_after, std::future::pending()).await
    }

    /// A holder that answers as one whose peer is there.
    fn alive(claim: &Claim) -> tokio::task::JoinHandle<()> {
        let on_air = claim.on_air.clone();
        let mut questions = on_air.succession.questions();
        tokio::spawn(async move {
            while questions.changed().await.is_ok() {
                let asked = *questions.borrow_and_update();
                on_air.succession.answer(asked);
            }
        })
    }

    #[tokio::test]
    async fn a_channel_has_one_publisher() {
        let channels = Arc::new(Channels::default());
        let first = claim(&channels, Duration::from_secs(3)).await.unwrap();
        let _holder = alive(&first);
        assert!(claim(&channels, Duration::from_secs(3)).await.is_err());
        drop(first);
        assert!(claim(&channels, Duration::from_secs(3)).await.is_ok());
        assert!(channels.find(&id()).is_none(), "the claim was dropped");
    }

    #[tokio::test]
    async fn a_silent_publisher_is_replaced() {
        let channels = Arc::new(Channels::default());
        let ghost = claim(&channels, Duration::ZERO).await.unwrap();
        let mut word = ghost.on_air.stop_word();
        let ghost_task = tokio::spawn(async move {
            word.wait_for(Option::is_some).await.map(|reason| *reason).ok().flatten().inspect(|_| drop(ghost))
        });
        let claim = claim(&channels, Duration::ZERO).await.unwrap();
        assert_eq!(ghost_task.await.unwrap(), Some(StopReason::TakenOver));
        assert!(channels.find(&id()).is_some_and(|found| Arc::ptr_eq(&found, &claim.on_air)));
    }

    #[tokio::test]
    async fn who_has_hung_up_is_waited_for() {
        let channels = Arc::new(Channels::default());
        let first = claim(&channels, Duration::from_secs(30)).await.unwrap();
        let mut questions = first.on_air.succession.questions();
        let holder = tokio::spawn(async move {
            // The question finds a connection that has ended, with a segment still to be stored.
            questions.changed().await.unwrap();
            first.on_air.succession.begin_end();
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(first);
        });
        let second = claim(&channels, Duration::from_secs(30)).await.unwrap();
        holder.await.unwrap();
        drop(second);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_peer_and_with_the_server() {
        let channels = Arc::new(Channels::default());
        let first = claim(&channels, Duration::from_secs(30)).await.unwrap();
        first.on_air.succession.begin_end();
        let gone = tokio::time::sleep(Duration::from_millis(50));
        let left = channels.claim(&id(), on_air(), Duration::from_secs(30), gone).await;
        assert!(matches!(left, Err(Unclaimed::Taken(_))));
        let waiting = {
            let channels = channels.clone();
            tokio::spawn(async move { claim(&channels, Duration::from_secs(30)).await })
        };
        tokio::task::yield_now().await;
        channels.stop_all(StopReason::Shutdown, Duration::from_millis(50)).await;
        assert!(matches!(waiting.await.unwrap(), Err(Unclaimed::Stopping)));
        drop(first);
        assert!(matches!(claim(&channels, Duration::ZERO).await, Err(Unclaimed::Stopping)), "nobody new");
    }

    #[tokio::test]
    async fn only_a_few_wait_for_one_channel() {
        let channels = Arc::new(Channels::default());
        let first = claim(&channels, Duration::from_secs(30)).await.unwrap();
        first.on_air.succession.begin_end();
        let timeout = Duration::from_millis(500);
        let all: Vec<_> = (0..20)
            .map(|_| {
                let channels = channels.clone();
                tokio::spawn(async move {
                    let begun = Instant::now();
                    let gone = tokio::time::sleep(timeout);
                    let claim = channels.claim(&id(), on_air(), Duration::from_secs(30), gone).await;
                    (claim.is_ok(), begun.elapsed())
                })
            })
            .collect();
        let mut waited = 0;
        for one in all {
            let (is_on_air, time) = one.await.unwrap();
            assert!(!is_on_air);
            waited += usize::from(time >= timeout);
        }
        assert_eq!(waited, super::super::succession::MAX_WAITING);
    }
}
