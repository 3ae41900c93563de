//! One RTMP connection: the socket on one side, a `ServerSession` on the other, a `Publication` at the end.

mod backlog;
mod intake;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use media::rtmp::{Event, Limits, Refusal, ServerSession, SessionError, Tag};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior};

use self::backlog::Backlog;
use self::intake::Intake;
use crate::connections::{Full, Publishing, Slot};
use crate::edge::Edge;
use crate::live::{Admission, Publication, PublishRefusal, StopReason, admit};
use crate::shutdown::Shutdown;

/// How often timers are looked at, what waits in the socket is read and the open segment is written out: a process crash
/// loses less than 500 ms (D8), with what waits unread.
const TICK: Duration = Duration::from_millis(200);
/// Ticks of all connections fall on multiples of this, so that one wake-up of the timer serves many of them.
const TICK_GRID: Duration = Duration::from_millis(10);
/// How often it is looked whether a peer that waits for its channel has left.
const GONE_POLL: Duration = Duration::from_millis(100);
/// From the first byte to `publish`.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
/// How long input is drained after a refusal, so that the peer can read it (LiveChannel 3.9).
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes of answers that may wait until everything that has arrived was read; acknowledgements of 80 MB.
const MAX_WAITING_OUTPUT: usize = 1024;
/// How long an answer may wait for a peer that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("the peer does not speak RTMP: {0}")]
    Protocol(#[from] SessionError),
    #[error("no publish within {} s", PUBLISH_DEADLINE.as_secs())]
    NoPublish,
    #[error("no media within the time-out")]
    NoMedia,
    #[error("the publish was refused")]
    Refused,
    #[error("the publication was asked to stop: {0:?}")]
    Stopped(StopReason),
    #[error("the peer does not read")]
    Deaf,
}

/// Serves one RTMP connection until it ends.
pub(crate) async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    is_secure: bool,
    slot: Arc<Slot>,
    edge: Arc<Edge>,
    shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Backlog + Unpin + Send + Sync + 'static,
{
    metrics::counter!(crate::metrics::RTMP_CONNECTIONS).increment(1);
    let limits = Limits { max_message: edge.config.live.max_message_bytes, ..Limits::default() };
    let session = ServerSession::new(limits, crate::ids::handshake_random());
    let now = Instant::now();
    let intake = Intake::new(edge.config.live.max_ingest_mbit_s, now);
    let mut connection = Connection {
        stream,
        peer,
        is_secure,
        slot,
        room: None,
        session,
        edge,
        publication: None,
        stop: None,
        questions: None,
        intake,
        connected: now,
        last_read: now,
        last_media: now,
        is_pinged: false,
    };
    let end = connection.run(shutdown).await;
    connection.close(&end).await;
}

struct Connection<S> {
    stream: S,
    peer: SocketAddr,
    is_secure: bool,
    slot: Arc<Slot>,
    /// What a push has: a place that nobody takes away, and files for its segments.
    room: Option<(Publishing, OwnedSemaphorePermit)>,
    session: ServerSession,
    edge: Arc<Edge>,
    publication: Option<Publication>,
    stop: Option<watch::Receiver<Option<StopReason>>>,
    questions: Option<watch::Receiver<u64>>,
    intake: Intake,
    connected: Instant,
    last_read: Instant,
    last_media: Instant,
    is_pinged: bool,
}

impl<S: AsyncRead + AsyncWrite + Backlog + Unpin + Send + Sync> Connection<S> {
    /// Runs until something ends the connection.
    async fn run(&mut self, mut shutdown: Shutdown) -> End {
        let mut ticks = tokio::time::interval_at(on_grid(Instant::now()), TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.answer_newcomers();
            let is_publishing = self.publication.is_some();
            self.intake.gather(&self.stream, is_publishing, self.session.key_frame_rest());
            let may_read = self.publication.as_ref().is_none_or(Publication::has_room);
            let outcome = tokio::select! {
                // What is done makes room, and what is asked comes before what can wait in the socket.
                biased;
                () = progress(&mut self.publication) => Ok(()),
                reason = stop_word(&mut self.stop) => Err(self.stop_publication(reason).await),
                () = shutdown.wait() => Err(self.stop_publication(StopReason::Shutdown).await),
                () = question(&mut self.questions) => Ok(()),
                _ = ticks.tick() => self.tick(may_read).await,
                read = self.intake.read(&mut self.stream, self.session.read_buffer(), is_publishing),
                    if may_read => match read {
                    Ok(0) => Err(End::Closed),
                    Ok(count) => self.take(count).await,
                    Err(error) => Err(error.into()),
                },
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Takes so many bytes that were read.
    async fn take(&mut self, count: usize) -> Result<(), End> {
        self.last_read = Instant::now();
        self.is_pinged = false;
        if let Some(publication) = &self.publication {
            publication.touch();
        }
        let outcome = self.handle_events().await;
        if outcome.is_err() || !self.may_output_wait() {
            self.write_output().await?;
        }
        outcome?;
        if self.publication.is_some() {
            self.intake.count(count);
        }
        Ok(())
    }

    async fn handle_events(&mut self) -> Result<(), End> {
        while let Some(event) = self.session.next_event()? {
            match event {
                Event::Connect(request) => {
                    tracing::debug!(peer = %self.peer, app = request.app, encoder = request.flash_version, "rtmp connect");
                }
                Event::Publish(request) => {
                    let admitted = admit(&self.edge.admissions, &request, self.peer, self.is_secure).await;
                    let admitted = match admitted {
                        Ok(admission) => self.take_room(admission).await,
                        refused => refused,
                    };
                    match admitted {
                        Ok(admission) => {
                            // A peer that has closed may have sent its media before.
                            let has_more = !self.session.read_buffer().is_empty();
                            let is_gone = gone(&self.stream, has_more);
                            match Publication::start(self.edge.live.clone(), admission, is_gone).await {
                                Ok(publication) => {
                                    self.stop = Some(publication.stop_word());
                                    self.questions = Some(publication.questions());
                                    self.publication = Some(publication);
                                    self.last_media = Instant::now();
                                    self.session.accept();
                                }
                                Err(refusal) => self.refuse(&refusal)?,
                            }
                        }
                        Err(refusal) => self.refuse(&refusal)?,
                    }
                }
                Event::Metadata(metadata) => {
                    if let Some(publication) = &mut self.publication {
                        publication.hint(&metadata);
                    }
                }
                Event::Media(tag) => self.push(&tag),
                Event::Unpublish => self.finish().await,
            }
        }
        if self.session.is_closing() { Err(End::Refused) } else { Ok(()) }
    }

    /// Takes what a push needs beside its admission, from those who only read if there is no other way.
    async fn take_room(&mut self, admission: Admission) -> Result<Admission, PublishRefusal> {
        let room = match self.edge.connections.begin_push(&self.slot).await {
            Ok(place) => self.edge.files.for_push().await.map(|files| (place, files)),
            Err(full) => Err(full),
        };
        match room {
            Ok(room) => {
                self.room = Some(room);
                Ok(admission)
            }
            Err(Full) => Err(PublishRefusal::no_room(&admission.target(), self.edge.clock.now_ms())),
        }
    }

    fn push(&mut self, tag: &Tag) {
        self.last_media = self.last_read;
        if tag.begins_key_frame() {
            self.intake.note_key_frame(tag.payload.len());
        }
        if let Some(publication) = &mut self.publication {
            publication.push(tag);
        }
    }

    fn refuse(&mut self, refusal: &PublishRefusal) -> Result<(), End> {
        self.room = None;
        refusal.report(self.peer, self.edge.live.channels());
        self.session.reject(&refusal.to_rtmp());
        Ok(())
    }

    async fn tick(&mut self, may_read: bool) -> Result<(), End> {
        let count = match may_read {
            true => self.intake.read_waiting(&self.stream, self.session.read_buffer())?,
            false => 0,
        };
        if count > 0 {
            self.take(count).await?;
        }
        self.write_out().await
    }

    /// What is due by the clock.
    async fn write_out(&mut self) -> Result<(), End> {
        let live = &self.edge.config.live;
        let (media_timeout, ping_after) =
            (Duration::from_secs(live.media_timeout_s), Duration::from_secs(live.ping_after_s));
        match &mut self.publication {
            Some(publication) => {
                publication.tick();
                // Our own stall is not the encoder's silence.
                if self.last_media.elapsed() > media_timeout && !self.stream.has_unread() {
                    return Err(End::NoMedia);
                }
            }
            None if self.connected.elapsed() > PUBLISH_DEADLINE && self.last_media.elapsed() > PUBLISH_DEADLINE => {
                return Err(End::NoPublish);
            }
            None => {}
        }
        if self.last_read.elapsed() > ping_after && !self.is_pinged && !self.stream.has_unread() {
            self.is_pinged = true;
            self.session.ping(u32::try_from(self.connected.elapsed().as_millis() & 0xffff_ffff).unwrap_or(0));
            self.write_output().await?;
        }
        Ok(())
    }

    /// Ends the publication because somebody said so, and tells the encoder why.
    async fn stop_publication(&mut self, reason: StopReason) -> End {
        if let Some(publication) = &self.publication {
            let (target, now_ms) = (publication.target(), self.edge.clock.now_ms());
            let refusal: Refusal = match reason {
                StopReason::Disabled => PublishRefusal::disabled(&target, now_ms),
                StopReason::TakenOver => PublishRefusal::taken_over(&target, now_ms),
                StopReason::Shutdown => PublishRefusal::shutdown(&target, now_ms),
                StopReason::Unrecordable => publication.unrecordable(self.edge.live.channels(), now_ms),
            }
            .to_rtmp();
            if reason == StopReason::Shutdown {
                self.session.request_reconnect(&refusal.description);
            }
            self.session.revoke(&refusal);
            // The publication ends first: who disabled the channel waits for that, not for the encoder.
            self.finish().await;
            if let Err(end) = self.write_output().await {
                return end;
            }
        }
        End::Stopped(reason)
    }

    /// Says whether the encoder is still there, to those who want to publish next. While bytes wait to be read, or come
    /// as fast as they are read, its end may be behind them: then the answer waits too.
    fn answer_newcomers(&mut self) {
        let Some(publication) = &self.publication else { return };
        let Some(question) = publication.open_question() else { return };
        if self.stream.has_hung_up() {
            publication.has_hung_up();
        } else if !self.stream.has_unread() && !self.intake.is_fast() {
            publication.is_here(question);
        }
    }

    async fn finish(&mut self) {
        (self.stop, self.questions) = (None, None);
        if let Some(publication) = self.publication.take() {
            publication.finish(self.session.stats()).await;
        }
        self.room = None;
        // A connection may publish again (D2); the time to do so starts anew.
        self.last_media = Instant::now();
    }

    /// Whether the encoder may be gone already, with media under way that is still to be recorded. An answer, most
    /// often an acknowledgement, would meet a closed socket; the reset that it causes takes with it whatever the
    /// encoder's side had not sent yet, the end of a recording. An encoder that waits for an answer sends nothing, so
    /// there is nothing unread then.
    fn may_output_wait(&self) -> bool {
        let waiting = self.session.pending_output();
        self.publication.is_some() && waiting > 0 && waiting <= MAX_WAITING_OUTPUT && self.stream.has_unread()
    }

    async fn write_output(&mut self) -> Result<(), End> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&output)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::Deaf),
        }
    }

    /// Ends what is open, then half-closes and drains, so that a refusal reaches the peer before the reset that unread
    /// input would cause (LiveChannel 3.9).
    async fn close(&mut self, end: &End) {
        let is_push = self.publication.is_some();
        self.finish().await;
        match end {
            End::Closed | End::Stopped(StopReason::Shutdown) => {
                tracing::debug!(peer = %self.peer, %end, "rtmp connection ended")
            }
            End::Refused => {}
            _ if is_push => tracing::info!(peer = %self.peer, %end, "rtmp connection ended"),
            _ => of_stranger!(
                INFO,
                "rtmp connection without a push",
                self.peer.ip(),
                peer = %self.peer,
                %end,
                "rtmp connection ended"
            ),
        }
        let _ = self.write_output().await;
        let _ = tokio::time::timeout(DRAIN_TIME, async {
            let _ = self.stream.shutdown().await;
            let mut sink = [0; 4096];
            while matches!(self.stream.read(&mut sink).await, Ok(count) if count > 0) {}
        })
        .await;
    }
}

/// The next moment of the grid that the ticks of all connections share.
fn on_grid(now: Instant) -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = *BEGAN.get_or_init(Instant::now);
    let grid = u64::try_from(TICK_GRID.as_millis()).unwrap_or(1);
    let past = u64::try_from(now.saturating_duration_since(began).as_millis()).unwrap_or(0);
    began + Duration::from_millis(past.next_multiple_of(grid))
}

/// Waits for a question whether the encoder is still there; for ever while nothing is published.
async fn question(questions: &mut Option<watch::Receiver<u64>>) {
    let is_asked = match questions {
        Some(questions) => questions.changed().await.is_ok(),
        None => false,
    };
    if !is_asked {
        std::future::pending().await
    }
}

/// Waits until a peer has left of which nothing more is to be read.
async fn gone<S: Backlog>(stream: &S, has_more: bool) {
    loop {
        tokio::time::sleep(GONE_POLL).await;
        if !has_more && stream.has_hung_up() && !stream.has_unread() {
            return;
        }
    }
}

/// Waits until the store has done something for a push; for ever while nothing is published.
async fn progress(publication: &mut Option<Publication>) {
    match publication {
        Some(publication) => publication.progress().await,
        None => std::future::pending().await,
    }
}

/// Waits for the word to stop; for ever while nothing is published.
async fn stop_word(stop: &mut Option<watch::Receiver<Option<StopReason>>>) -> StopReason {
    match stop {
        Some(word) => match word.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
