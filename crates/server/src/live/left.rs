//! A segment that a push left noted and not listed, as it lies on the disk: what of it can be played, and how it is completed.

use std::sync::Arc;
use std::time::Duration;

use model::{Container, Error, ErrorCode};
use store::blob::{Blob, BlobId, BlobStore, BlobWriter, OnDrop};
use store::live::{Kept, OpenDetails, Place};
use store::meta::OpenSegment;
use tokio::time::Instant;

use super::Live;
use super::payload::Payload;
use super::publication::segmenting;
use super::torn::Torn;
use crate::checksums::{BodyDigest, Checksums};
use crate::objects::internal;

/// How long a write may take that was under way when its blob was let go of, and how often it is looked whether it is over.
const UNDER_WAY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// What can be played of it.
pub(super) struct Left {
    pub(super) details: OpenDetails,
    pub(super) container: Container,
    /// When it was opened, unix ms.
    pub(super) opened_ms: i64,
    pub(super) duration_ms: u64,
    /// Whether it begins with a key frame and can be decoded without any other segment.
    pub(super) independent: bool,
    pub(super) sums: Checksums,
    /// Bytes of media in it, without what the format puts around them.
    pub(super) payload: u64,
    /// Where its bytes are. Nothing is open: many may wait.
    pub(super) blob: BlobId,
}

impl Left {
    /// Reads it; `None` when nothing in it can be decoded. It is left as it is, and goes when it is not noted any more.
    /// `place` is where the one before it
    /// stands in its push, if it was not listed; afterwards it is that of this one.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it may be read later, by a newer server or from a store that is away.
    pub(super) async fn read(
        live: &Live,
        open: &OpenSegment,
        place: &mut Option<Place>,
    ) -> Result<Option<Self>, Error> {
        let details = OpenDetails::parse(&open.details).map_err(|error| {
            tracing::error!(%error, "the notes on an open segment cannot be read");
            match error.kind {
                // A newer server may come back for it, so the segment stays as it is.
                store::ErrorKind::Newer => Error::new(ErrorCode::ServiceUnavailable),
                _ => Error::new(ErrorCode::InternalError),
            }
        })?;
        let Some(container) = Container::of_code(details.container) else {
            tracing::error!(
                code = details.container,
                "an open segment is in a container that this version does not know"
            );
            return Err(Error::new(ErrorCode::ServiceUnavailable));
        };
        let place = place.insert(match *place {
            Some(earlier) if earlier != Place::Later => earlier,
            _ => details.place,
        });
        let writer = match taken_up(live, open.blob).await {
            Ok(writer) => writer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(untaken(error)),
        };
        let torn = Torn::new(container, live.blobs.open(open.blob).await.map_err(internal)?, writer.len());
        let recovered = torn.recover().await.map_err(internal)?;
        if !recovered.can_be_played(*place != Place::Later) {
            return Ok(None);
        }
        // How long its last picture would have lasted is a guess, which must not raise a strict target (D9).
        let longest = segmenting(&live.settings.live).longest(details.frag_duration_s);
        let longest_ms = longest.map_or(u64::MAX, |longest| u64::try_from(longest.to_ms()).unwrap_or(0));
        let whole = torn.cut(&recovered);
        let mut digest = BodyDigest::of_segment(live.settings.live.segment_etag);
        let (mut payload, mut at) = (Payload::default(), 0);
        while let Some(piece) = whole.piece(at).await.map_err(internal)? {
            at += piece.len() as u64;
            digest.update(&piece);
            payload.feed(&piece);
        }
        Ok(Some(Self {
            container,
            opened_ms: details.opened_ms.unwrap_or_else(|| i64::try_from(open.number_ms).unwrap_or(i64::MAX)),
            duration_ms: recovered.duration_ms.min(longest_ms),
            // Where recovery points start segments, the mark of one is that of a key frame.
            independent: recovered.key_frame && !live.settings.live.recovery_points_start_segments,
            sums: digest.finish(),
            payload: payload.bytes(),
            details,
            blob: open.blob,
        }))
    }
}

/// How long it is tried to complete a blob, and the pause between attempts.
const ATTEMPTS: Duration = Duration::from_secs(60);
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// Completes a blob that was let go of, cut to its first `len` bytes, and tries again for a minute.
///
/// # Errors
/// Those of the store.
pub(super) async fn complete_in_time(
    blobs: &Arc<dyn BlobStore>,
    container: Container,
    blob: BlobId,
    len: u64,
) -> Result<Blob, store::Error> {
    let begun = Instant::now();
    loop {
        match complete(blobs, container, blob, len).await {
            Err(error) if !error.is_not_found() && begun.elapsed() < ATTEMPTS => {
                tracing::debug!(%error, %blob, "a segment that waited cannot be completed yet");
                tokio::time::sleep(ATTEMPT_PAUSE).await;
            }
            completed => return completed,
        }
    }
}

/// Completes a blob that was let go of, cut to its first `len` bytes; another takes its place where it cannot be completed.
///
/// # Errors
/// Those of the store.
pub(super) async fn complete(
    blobs: &Arc<dyn BlobStore>,
    container: Container,
    blob: BlobId,
    len: u64,
) -> Result<Blob, store::Error> {
    let mut writer = blobs.recover(blob, OnDrop::Keep).await?;
    let whole = Torn::new(container, blobs.open(blob).await?, len);
    let completed = match writer.truncate(len).await {
        Ok(()) => writer.finish().await,
        Err(error) => Err(error),
    };
    // A flush that failed is final for its file (D29), but what it holds can still be read.
    let Err(error) = completed else { return completed };
    tracing::warn!(%error, %blob, "a torn segment cannot be completed and is written again");
    let mut again = blobs.create(OnDrop::Delete).await?;
    let mut at = 0;
    while let Some(piece) = whole.piece(at).await? {
        at += piece.len() as u64;
        again.append(piece).await?;
    }
    again.finish().await
}

/// Why a blob cannot be taken up or completed: what is under way there ends some time.
pub(super) fn untaken(error: store::Error) -> Error {
    match error.kind {
        store::ErrorKind::Conflict => Error::new(ErrorCode::ServiceUnavailable),
        _ => internal(error),
    }
}

/// Takes up a blob that was let go of; a write of its former writer may still be under way.
async fn taken_up(live: &Live, blob: BlobId) -> Result<Box<dyn BlobWriter>, store::Error> {
    let begun = Instant::now();
    loop {
        match live.blobs.recover(blob, OnDrop::Keep).await {
            Err(error) if error.kind == store::ErrorKind::Conflict && begun.elapsed() < UNDER_WAY => {
                tokio::time::sleep(PAUSE).await;
            }
            taken => return taken,
        }
    }
}
