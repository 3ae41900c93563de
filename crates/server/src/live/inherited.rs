//! What a push takes up that an earlier one of its channel left waiting for a store that is away. An encoder that comes
//! again meanwhile, after its connection broke or its server was started again, is recorded at once: the segments of both
//! wait in one queue, and are listed in their order when the store is back.
//!
//! They are taken up from where they are noted, so it makes no difference who noted them: a push that makes way, or a life
//! of this server that died.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use media::remux::SegmentClosing;
use media::segmenter::CutReason;
use model::{Error, ErrorCode};
use store::lease::PublisherLease;
use store::live::Place;
use store::meta::StartRecord;
use tokio::time::Instant;

use super::Live;
use super::admission::Admission;
use super::closed::{Closed, Head};
use super::growing::Grown;
use super::left::Left;
use super::losses::Cause;
use super::recovery;
use super::window::Window;
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
/// or the store answers: such a push is repaired, as after any crash.
///
/// # Errors
/// `ServiceUnavailable` when what waits is on another server's disk or belongs to another list, so that it has to be listed
/// first; when the map does not answer, or what waits cannot be read.
pub(super) async fn take_up(
    live: &Arc<Live>,
    lease: &PublisherLease,
    admission: &Admission,
    start: &StartRecord,
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
    let answer = tokio::time::timeout(ANSWER, live.blobs.answers()).await;
    if matches!(answer, Ok(Ok(()))) {
        return Ok(None);
    }
    if !record.unlisted().all(|segment| live.blobs.lies_here(segment.blob)) {
        return Err(has_to_wait("they are on the disk of another server"));
    }
    let user = user_of(admission.grant.caller());
    let (mut left, mut place) = (Vec::new(), None);
    for segment in record.unlisted() {
        match Left::read(live, segment, &mut place).await? {
            // What is listed counts for one user.
            Some(found) if found.details.playlist != start.playlist => {
                return Err(has_to_wait("they belong to another playlist"));
            }
            Some(found) if found.details.user != user => return Err(has_to_wait("they belong to another user")),
            Some(found) => {
                // Those behind it follow it.
                left.push((segment.number_ms, place.replace(Place::Later), found));
            }
            None => tracing::info!(
                bucket = %lease.bucket(), channel = %lease.channel(), segment = segment.number_ms,
                "a segment that waits holds no picture"
            ),
        }
    }
    let mut window = recovery::window(live, &admission.id).await?;
    if let Some((_, Some(first), found)) = left.first()
        && *first != Place::Later
    {
        // The earlier push had listed nothing yet, so the window is still that of the push before it.
        let continues = *first == Place::FirstAfterReturn;
        window.begin_session(found.details.frag_count, found.details.frag_duration_s, continues);
        window.playlist.clone_from(&found.details.playlist);
    }
    let ended = left.iter().map(|(_, _, found)| found.opened_ms.saturating_add_unsigned(found.duration_ms)).max();
    let ended_ms = ended.unwrap_or(record.start.started_ms).min(live.clock.now_ms());
    let session = live.meta.take_up_publication(lease, start, ended_ms).await.map_err(internal)?;
    window.last_number_ms = left.iter().map(|(number_ms, ..)| *number_ms).fold(window.last_number_ms, u64::max);
    tracing::info!(
        bucket = %lease.bucket(), channel = %lease.channel(), segments = left.len(),
        "a push takes up the segments that wait for the store"
    );
    let waiting = left.into_iter().map(|(number_ms, _, found)| self::waiting(live, number_ms, found)).collect();
    Ok(Some(Inherited { session, window, waiting }))
}

/// The refusal of a push that cannot go on with the list of the one before it.
fn has_to_wait(why: &str) -> Error {
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
    let (blob, sums, blobs) = (left.blob, left.sums.clone(), Arc::clone(&live.blobs));
    let finishing = async move {
        match left.complete(&blobs).await {
            Ok(blob) => Ok((Grown { blob, sums, part_ms: None, cause: None }, 0)),
            Err(error) => {
                tracing::error!(%error, segment = number_ms, "a segment that waited cannot be stored");
                Err(Cause::Sync)
            }
        }
    };
    Closed::left(head, close, Instant::now(), blob, Box::pin(finishing))
}
