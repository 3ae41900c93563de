//! What a push takes up that an earlier one of its channel left waiting for a store that is away. An encoder that comes
//! again meanwhile, after its connection broke or its server was started again, is recorded at once: the segments of both
//! wait in one queue, and are listed in their order when the store is back.
//!
//! They are taken up from where they are noted, so it makes no difference who noted them: a push that makes way, or a life
//! of this server that died.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use media::remux::SegmentClosing;
use media::segmenter::CutReason;
use model::{Container, Error, ErrorCode};
use store::blob::BlobId;
use store::lease::PublisherLease;
use store::live::Place;
use store::meta::peer::is_life_of;
use store::meta::{OpenSegment, PublicationRecord, StartRecord};
use tokio::time::Instant;

use super::Live;
use super::admission::Admission;
use super::channels::ChannelId;
use super::closed::{Closed, Head};
use super::growing::Grown;
use super::left::{self, Left};
use super::losses::Cause;
use super::recovery;
use super::window::Window;
use crate::checksums::Checksums;
use crate::metering::user_of;
use crate::objects::internal;

/// How long the store may take to say that it is there. Who publishes waits for that.
const ANSWER: Duration = Duration::from_secs(2);

/// A push that goes on with the list of an earlier one.
pub(super) struct Inherited {
    pub(super) session: u32,
    pub(super) window: Window,
    /// What is still to be listed, in its order.
    pub(super) waiting: VecDeque<Closed>,
}

/// Takes up what an earlier push left waiting on this machine's disk while the store is away; `None` where nothing waits,
/// or the store answers: such a push is repaired, as after any crash. `is_gone` ends when the new publisher has left.
///
/// # Errors
/// `ServiceUnavailable` when what waits is on another server's disk or belongs to another list, so that it has to be listed
/// first; when the map does not answer, or what waits cannot be read.
pub(super) async fn take_up(
    live: &Arc<Live>,
    lease: &PublisherLease,
    admission: &Admission,
    start: &StartRecord,
    is_gone: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Inherited>, Error> {
    if !live.blobs.finishes_elsewhere() {
        return Ok(None);
    }
    let Some(record) = live.meta.publication(lease.bucket(), lease.channel()).await.map_err(internal)? else {
        return Ok(None);
    };
    if record.unlisted().next().is_none() {
        return Ok(None);
    }
    if !is_store_away(live).await {
        return Ok(None);
    }
    if !record.unlisted().all(|segment| live.blobs.lies_here(segment.blob)) {
        return match answers(live).await {
            // It may have what there is of them.
            true => Ok(None),
            false => Err(has_to_wait("they are not on the disk of this server")),
        };
    }
    // Many may wait, and all of them are read.
    let (left, noted) = tokio::select! {
        biased;
        () = is_gone => return Err(has_to_wait("the encoder left while they were read")),
        () = live.channels.closed() => return Err(has_to_wait("the server stops")),
        read = read(live, &record, start, user_of(admission.grant.caller())) => read?,
    };
    let Some((_, Some(first), found)) = left.first() else {
        // Nothing is left to go on with, so the earlier push is ended as any is, which needs no store.
        return Ok(None);
    };
    let mut window = recovery::window(live, &admission.id).await?;
    if *first != Place::Later {
        // The earlier push had listed nothing yet, so the window is still that of the push before it.
        let continues = *first == Place::FirstAfterReturn;
        window.begin_session(found.details.frag_count, found.details.frag_duration_s, continues);
        window.playlist.clone_from(&found.details.playlist);
    }
    let ended = left.iter().map(|(_, _, found)| found.opened_ms.saturating_add_unsigned(found.duration_ms)).max();
    let started_ms = record.start.started_ms;
    let ended_ms = ended.unwrap_or(started_ms).min(live.clock.now_ms()).max(started_ms);
    let session = live.meta.take_up_publication(lease, start, &noted, ended_ms).await.map_err(internal)?;
    window.last_number_ms = left.iter().map(|(number_ms, ..)| *number_ms).fold(window.last_number_ms, u64::max);
    tracing::info!(
        bucket = %lease.bucket(), channel = %lease.channel(), segments = left.len(),
        "a push takes up the segments that wait for the store"
    );
    let waiting = left.into_iter().map(|(number_ms, _, found)| self::waiting(live, number_ms, found)).collect();
    Ok(Some(Inherited { session, window, waiting }))
}

/// What waits, in its order: its number, where it stands in its push, and what of it can be played; and how it was noted.
type Waits = (Vec<(u64, Option<Place>, Left)>, Vec<OpenSegment>);

/// Reads what waits for the list and the user of this push.
async fn read(live: &Live, record: &PublicationRecord, start: &StartRecord, user: String) -> Result<Waits, Error> {
    let (mut left, mut noted) = (Vec::new(), Vec::new());
    let (mut place, mut has_gap) = (None, false);
    for segment in record.unlisted() {
        match Left::read(live, segment, &mut place).await? {
            // What is listed counts for one user.
            Some(found) if found.details.playlist != start.playlist => {
                return Err(has_to_wait("they belong to another playlist"));
            }
            Some(found) if found.details.user != user => return Err(has_to_wait("they belong to another user")),
            Some(mut found) => {
                found.details.discontinuity |= std::mem::take(&mut has_gap);
                noted.push(segment.clone());
                // Those behind it follow it.
                left.push((segment.number_ms, place.replace(Place::Later), found));
            }
            None => {
                has_gap = true;
                tracing::info!(%start.playlist, segment = segment.number_ms, "a segment that waits holds no picture");
            }
        }
    }
    Ok((left, noted))
}

/// Whether what is finished goes to a store that does not answer, or takes nothing. Said soon, since somebody waits.
pub(super) async fn is_store_away(live: &Live) -> bool {
    if !live.blobs.finishes_elsewhere() {
        return false;
    }
    live.blobs.refuses_writes() || !answers(live).await
}

async fn answers(live: &Live) -> bool {
    matches!(tokio::time::timeout(ANSWER, live.blobs.answers()).await, Ok(Ok(())))
}

/// When the push began of which segments wait on this server's disk, if it was one of this server, unix ms.
///
/// # Errors
/// When the map does not answer.
pub(super) async fn waits_here(live: &Live, id: &ChannelId) -> Result<Option<i64>, Error> {
    let Some(record) = live.meta.publication(&id.0, &id.1).await.map_err(internal)? else { return Ok(None) };
    let is_ours = !live.peers.is_shared() || is_life_of(&record.holder, live.peers.instance());
    let is_ours = is_ours && record.unlisted().next().is_some();
    Ok((is_ours && live.blobs.finishes_elsewhere()).then_some(record.start.started_ms))
}

/// Refuses to begin on a channel whose segments wait on the disk of another server that runs: whoever repaired the push before
/// here would give them up, and that server lists them as soon as it can.
///
/// # Errors
/// `ServiceUnavailable` then, or when the map does not answer.
pub(super) async fn leave_to_its_server(live: &Live, id: &ChannelId) -> Result<(), Error> {
    if !live.peers.is_shared() || !live.blobs.finishes_elsewhere() {
        return Ok(());
    }
    let Some(record) = live.meta.publication(&id.0, &id.1).await.map_err(internal)? else { return Ok(()) };
    let is_ours = is_life_of(&record.holder, live.peers.instance());
    // The open one alone can be taken up from its tails.
    if is_ours || record.waiting.iter().all(|segment| live.blobs.lies_here(segment.blob)) {
        return Ok(());
    }
    match live.meta.is_running(&record.holder).await.map_err(internal)? {
        true => Err(Error::new(ErrorCode::ServiceUnavailable).message(
            "Segments of the push before wait on the disk of another server, which lists them as soon as it can. Publish again in a moment, or to that server.",
        )),
        false => Ok(()),
    }
}

/// The refusal of a push that cannot go on with the list of the one before it.
pub(super) fn has_to_wait(why: &str) -> Error {
    Error::new(ErrorCode::ServiceUnavailable).message(format!(
        "The store of segments does not answer, and segments of the push before wait for it: {why}. Publish again when the store is back."
    ))
}

/// What is left of a segment, as one that waits.
pub(super) fn waiting(live: &Arc<Live>, number_ms: u64, left: Left) -> Closed {
    let head = Head {
        number_ms,
        opened_ms: left.opened_ms,
        date_ms: left.details.date_ms,
        discontinuity: left.details.discontinuity,
        listed: left.details.frag_count,
    };
    let close = SegmentClosing {
        duration_ms: left.duration_ms,
        bytes: left.sums.len,
        media_bytes: left.payload,
        key_frame: left.independent,
        independent: left.independent,
        reason: CutReason::End,
    };
    shelved(live, head, close, Instant::now(), left.container, (left.blob, left.sums, 0))
}

/// A segment that lies in its blob, with nothing open, as one that waits.
pub(super) fn shelved(
    live: &Arc<Live>,
    head: Head,
    close: SegmentClosing,
    key_arrived: Instant,
    container: Container,
    (blob, sums, rewritten): (BlobId, Checksums, u64),
) -> Closed {
    let (blobs, segment) = (Arc::clone(&live.blobs), head.number_ms);
    let finishing = async move {
        match left::complete_in_time(&blobs, container, blob, sums.len).await {
            Ok(blob) => Ok((Grown { blob, sums, part_ms: None, cause: None }, rewritten)),
            Err(error) => {
                tracing::error!(%error, segment, "a segment that waited cannot be stored");
                Err(Cause::Sync)
            }
        }
    };
    Closed::left(head, close, key_arrived, blob, Box::pin(finishing))
}
