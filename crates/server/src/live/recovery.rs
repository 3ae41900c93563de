//! What a crash leaves: pushes without a publisher, and a torn segment each. The segment is closed at its last whole
//! access unit, stored and listed, and the numbering goes on (D8).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::hls::SessionState;
use model::{Error, ErrorCode};
use store::kv::Claim as LeaseClaim;
use store::lease::PublisherLease;
use store::live::Place;
use store::meta::peer::is_life_of;
use store::meta::{Earlier, OpenSegment};
use tokio::time::Instant;

use super::Live;
use super::caretaker::{self, look_after, look_after_at_once};
use super::channels::{ChannelId, Claim, OnAir, StopReason};
use super::finished::Finished;
use super::inherited;
use super::left::{self, Left};
use super::neighbours::Answer;
use super::publication::still_live;
use super::shown::remote;
use super::window::Window;
use crate::metering::tally;
use crate::objects::{ChannelGrant, internal};

/// How long a start waits for what it repairs. What takes longer waits for a store that is away, and goes on beside.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between attempts to repair a push while the store is away.
const RETRY: Duration = Duration::from_secs(2);

/// How often a lease is asked for that somebody of this server took meanwhile.
const ACQUIRE_ATTEMPTS: u32 = 4;

/// Where a segment stands that is opened in this state.
pub(super) fn place(state: SessionState) -> Place {
    match state {
        SessionState::StartsFresh => Place::FirstOfFreshList,
        SessionState::Continues => Place::FirstAfterReturn,
        SessionState::Running => Place::Later,
    }
}

/// Repairs every push that the previous life of this server left behind. Where blobs are stored elsewhere and that place is
/// away, this goes on beside what follows: until then such a channel counts as one whose push is ending.
///
/// # Errors
/// When the map does not answer. A push that cannot be repaired is logged, and repaired when its channel is next
/// published to.
pub(crate) async fn recover(live: &Arc<Live>) -> Result<(), Error> {
    let earlier = Earlier { instance: live.peers.instance(), life: live.peers.holder() };
    let dangling = live.meta.dangling_publications(Some(earlier)).await.map_err(internal)?;
    let may_wait = live.may_wait();
    let deadline = Instant::now() + START_PATIENCE;
    let mut under_way = Vec::new();
    for push in dangling {
        let id = (push.bucket, push.channel);
        if live.peers.is_shared() && !is_life_of(&push.record.holder, live.peers.instance()) {
            // What waits of it may be on the disk of its server, which comes first; reapers end it when that does not come.
            continue;
        }
        if push.lease.as_ref().is_some_and(|lease| !is_life_of(&lease.holder, live.peers.instance())) {
            // Another server has the channel at the moment, but cannot repair what lies here.
            look_after_at_once(live, id, Some(push.record.start.started_ms));
            continue;
        }
        let on_air = OnAir::new(remote(&push.record.start.remote_addr), push.record.start.started_ms);
        let claim = push.lease.map_or(LeaseClaim::IfFree, |lease| LeaseClaim::TakeOver(lease.token));
        let lease =
            match live.meta.acquire_publisher(&id.0, &id.1, live.peers.holder(), live.peers.lease_ttl(), claim).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::warn!(%error, bucket = %id.0, channel = %id.1, "a push that a crash left is not free");
                    if may_wait {
                        look_after_at_once(live, id, Some(push.record.start.started_ms));
                    }
                    continue;
                }
            };
        // Who wants to publish meanwhile waits as for any push that ends.
        let Ok(claim) = live.channels.claim(&id, on_air, Duration::ZERO, std::future::pending()).await else {
            continue;
        };
        claim.on_air.succession.begin_end();
        let repairing = crate::panics::spawn("recovery", repair_or_leave(live.clone(), lease, claim));
        if may_wait {
            under_way.push(repairing);
        } else {
            // One after the other: they need descriptors.
            let _ = repairing.await;
        }
    }
    for repairing in under_way {
        let _ = tokio::time::timeout_at(deadline, repairing).await;
    }
    live.peers.end_earlier_lives().await.map_err(internal)
}

async fn repair_or_leave(live: Arc<Live>, lease: PublisherLease, claim: Claim) {
    let (id, started_ms) = ((lease.bucket().clone(), lease.channel().clone()), claim.on_air.connected_ms);
    if repair_in_time(&live, lease, claim).await == Repaired::Left {
        look_after(&live, id, Some(started_ms));
    }
}

/// What became of a push that was to be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repaired {
    /// It has ended, or cannot be repaired for a reason that no waiting mends. The channel is free.
    Ended,
    /// Somebody who publishes can take up what waits, the server stops, or the channel could not be given back.
    Left,
}

/// Repairs a push, however long its store or the map is away, and keeps its channel meanwhile, so that no other server gives up
/// what waits on the disk of this one. It ends when the server stops, or when it leaves what waits to somebody who publishes
/// and can take it up; what is noted stays noted.
pub(super) async fn repair_in_time(live: &Arc<Live>, lease: PublisherLease, claim: Claim) -> Repaired {
    let (id, mut stop) = ((lease.bucket().clone(), lease.channel().clone()), claim.on_air.stop_word());
    let may_wait = live.may_wait();
    let repairing = async {
        while let Err(error) = repair(live, &lease).await {
            // What another fault keeps from being repaired is not for waiting.
            if !may_wait || error.code != ErrorCode::ServiceUnavailable {
                tracing::error!(%error, bucket = %id.0, channel = %id.1, "a push that a crash left cannot be repaired");
                return false;
            }
            tracing::debug!(%error, bucket = %id.0, channel = %id.1, "a push that a crash left cannot be repaired yet");
            tokio::time::sleep(RETRY).await;
        }
        // Nobody looks after a lease that was not given back, and that of a process among others lasts for minutes.
        while let Err(error) = live.meta.release_publisher(&lease).await {
            tracing::warn!(%error, bucket = %id.0, channel = %id.1, "the publisher's lease cannot be released");
            if !may_wait {
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        true
    };
    let keeping = async {
        let mut kept = lease.clone();
        loop {
            tokio::time::sleep(live.peers.lease_renewal()).await;
            match live.meta.renew_publisher(&kept, live.peers.lease_ttl()).await {
                Ok(renewed) => kept = renewed,
                Err(error) => tracing::warn!(%error, bucket = %id.0, channel = %id.1, "a lease cannot be renewed"),
            }
        }
    };
    let is_left = async {
        loop {
            claim.on_air.succession.heir_comes().await;
            // One that is under way to a store that answers is over in a moment.
            if inherited::is_store_away(live).await && claim.on_air.succession.has_heir() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        is_repaired = repairing => {
            if is_repaired {
                return Repaired::Ended;
            }
        }
        () = keeping => {}
        // The lease stays with this server: what waits is on its disk, and nobody else can list it.
        () = is_left => return Repaired::Left,
        // The process ends; its next life takes this up again.
        _ = stop.wait_for(|word| *word == Some(StopReason::Shutdown)) => return Repaired::Left,
    }
    match live.meta.release_publisher(&lease).await {
        Ok(()) => Repaired::Ended,
        Err(_) => Repaired::Left,
    }
}

/// Takes the right to publish on a channel. What an earlier life of this very server holds is its own; another server is
/// asked to make way. `is_gone` ends when the publisher has left meanwhile.
///
/// # Errors
/// `ChannelStillLive` when another server publishes on it.
pub(super) async fn acquire(
    live: &Arc<Live>,
    id: &ChannelId,
    mut is_gone: Pin<&mut impl Future<Output = ()>>,
) -> Result<PublisherLease, Error> {
    let mut attempts = 0;
    loop {
        let held = live.meta.publisher(&id.0, &id.1).await.map_err(internal)?;
        let claim = match held {
            Some(lease) if is_life_of(&lease.holder, live.peers.instance()) => LeaseClaim::TakeOver(lease.token),
            Some(_) => LeaseClaim::IfFree,
            None => {
                // Its server is not even to find the channel taken.
                inherited::leave_to_its_server(live, id).await?;
                LeaseClaim::IfFree
            }
        };
        attempts += 1;
        match caretaker::acquire(live, id, claim).await {
            // Who ends a list holds the lease for a moment (D12), and may have taken it since it was looked at.
            Err(error) if error.kind == store::ErrorKind::Held && attempts < ACQUIRE_ATTEMPTS => {
                if live.peers.is_shared() && live.ask_for(id, is_gone.as_mut()).await? == Answer::Taken {
                    return Err(taken_elsewhere(live, id).await);
                }
            }
            Err(error) => {
                return Err(match error.kind {
                    store::ErrorKind::Held => still_live(None),
                    store::ErrorKind::NotFound => Error::new(ErrorCode::NoSuchLiveChannel),
                    _ => internal(error),
                });
            }
            Ok(lease) => return Ok(lease),
        }
    }
}

/// The refusal of a channel that another server has.
async fn taken_elsewhere(live: &Live, id: &ChannelId) -> Error {
    let Some(push) = live.meta.publication(&id.0, &id.1).await.ok().flatten() else { return still_live(None) };
    let error = still_live(Some(push.start.remote_addr.clone()));
    if push.waiting.is_empty() || !inherited::is_store_away(live).await {
        return error;
    }
    error.message(format!(
        "The live channel is being published to by {}, or that push has ended and its segments wait on the disk of its server, since the store does not answer. Publish again to that server, or when the store is back.",
        push.start.remote_addr
    ))
}

/// The state of a channel's live playlist.
///
/// # Errors
/// When the store does not answer. A window that cannot be read is begun anew, after the newest segment there is.
pub(super) async fn window(live: &Arc<Live>, id: &ChannelId) -> Result<Window, Error> {
    let bytes = live.meta.channel_window(&id.0, &id.1).await.map_err(internal)?;
    let mut window = match bytes.map(|bytes| Window::parse(&bytes)) {
        None => Window::default(),
        Some(Ok(window)) => window,
        // Begun anew, it would be written over.
        Some(Err(error)) if error.kind == store::ErrorKind::Newer => return Err(internal(error)),
        Some(Err(error)) => {
            tracing::error!(%error, bucket = %id.0, channel = %id.1, "the live playlist's state cannot be read");
            Window::default()
        }
    };
    if let Some(last) = live.meta.last_segment(&id.0, &id.1).await.map_err(internal)? {
        window.last_number_ms = window.last_number_ms.max(last.number_ms);
    }
    Ok(window)
}

/// Closes what a dead publisher left on a channel: its torn segment, then the push itself.
///
/// # Errors
/// When the store does not answer, or the lease was lost.
pub(super) async fn repair(live: &Arc<Live>, lease: &PublisherLease) -> Result<(), Error> {
    let (bucket, channel) = (lease.bucket(), lease.channel());
    let Some(record) = live.meta.publication(bucket, channel).await.map_err(internal)? else { return Ok(()) };
    let unlisted: Vec<&OpenSegment> = record.unlisted().collect();
    // Where the first that could be played stands in its push, if those before it could not.
    let mut place = None;
    // What comes behind a segment that is lost does not continue what is listed.
    let mut has_gap = false;
    for (at, open) in unlisted.iter().copied().enumerate() {
        let later = Later {
            waiting: unlisted.get(at + 1..unlisted.len() - usize::from(record.open.is_some())).unwrap_or_default(),
            open: record.open.as_ref().filter(|_| at + 1 < unlisted.len()),
        };
        match close_torn(live, lease, record.session, (open, has_gap), &later, &mut place).await {
            Ok(Some(duration_ms)) => {
                has_gap = false;
                metrics::counter!(crate::metrics::SEGMENTS_RECOVERED).increment(1);
                tracing::info!(
                    %bucket, %channel, segment = open.number_ms, duration_ms,
                    "a segment that a crash left open was closed and listed"
                );
            }
            Ok(None) if !live.blobs.lies_here(open.blob) => {
                has_gap = true;
                metrics::counter!(crate::metrics::SEGMENTS_LOST, "cause" => crate::metrics::SERVER_LOST).increment(1);
                tracing::warn!(
                    %bucket, %channel, segment = open.number_ms, server = record.holder,
                    "a segment is given up: its bytes are neither here nor in the store"
                );
            }
            Ok(None) => {
                has_gap = true;
                tracing::info!(%bucket, %channel, segment = open.number_ms, "a torn segment held no picture");
            }
            Err(error) => {
                // Unavailable may pass; the segment stays as it is for the next attempt.
                if error.code == ErrorCode::ServiceUnavailable {
                    return Err(error);
                }
                has_gap = true;
                tracing::error!(%error, %bucket, %channel, segment = open.number_ms, "a torn segment is lost");
            }
        }
    }
    live.meta.end_publication(lease, None, Bytes::new()).await.map_err(internal)
}

/// What follows a segment that is closed, and stays noted.
struct Later<'a> {
    waiting: &'a [&'a OpenSegment],
    open: Option<&'a OpenSegment>,
}

/// Stores and lists a torn segment; `None` when nothing in it can be decoded. `place` is where the one before it stands, if
/// it was not listed.
async fn close_torn(
    live: &Arc<Live>,
    lease: &PublisherLease,
    session: u32,
    (open, follows_gap): (&OpenSegment, bool),
    later: &Later<'_>,
    place: &mut Option<Place>,
) -> Result<Option<u64>, Error> {
    let Some(left) = Left::read(live, open, place).await? else { return Ok(None) };
    let place = place.get_or_insert(Place::Later);
    let blob = left::complete(&live.blobs, left.container, left.blob, left.sums.len).await.map_err(left::untaken)?;
    let Left { details, container, opened_ms, duration_ms, independent, sums, payload, .. } = left;
    let id = (lease.bucket().clone(), lease.channel().clone());
    let mut window = window(live, &id).await?;
    if *place != Place::Later {
        // The push had not stored a segment yet, so the window is still that of the push before.
        let continues = *place == Place::FirstAfterReturn;
        window.begin_session(details.frag_count, details.frag_duration_s, continues);
        window.playlist.clone_from(&details.playlist);
    }
    let before = window.list.playlist();
    let counts = window.count_segment(duration_ms, payload);
    let finished = Finished {
        number_ms: open.number_ms,
        opened_ms,
        date_ms: details.date_ms,
        duration_ms,
        discontinuity: details.discontinuity || follows_gap,
        independent,
        container,
        blob,
        sums,
    };
    // The push ended when its last bytes came, not when the server found them.
    let end_ms = opened_ms.saturating_add_unsigned(duration_ms);
    let dated = live.settings.live.program_date_time;
    let now_ms = live.clock.now_ms();
    let (mut commit, _) = finished
        .commit(&id, session, &mut window, before.as_ref(), dated, later.open.cloned(), now_ms)
        .map_err(internal)?;
    commit.waiting = later.waiting.iter().map(|segment| (*segment).clone()).collect();
    commit.end_ms = end_ms.min(now_ms);
    let tally = tally(&id.0, id.1.as_str(), details.user, counts);
    ChannelGrant::holding(lease).commit_segment(&live.meta.counting(tally), &commit).await.map_err(internal)?;
    *place = Place::Later;
    Ok(Some(duration_ms))
}
