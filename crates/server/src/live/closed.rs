//! A segment that has ended and is not listed yet. Its bytes are made durable beside everything else: where the store or
//! the map is another place, which may be away, it waits on this machine's disk, and the push goes on with the next one.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use media::remux::SegmentClosing;
use model::Container;
use store::blob::BlobId;
use store::live::{Kept, OpenDetails, Place};
use store::meta::OpenSegment;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::admission::Admission;
use super::growing::{Failed, Growing, Grown};
use super::losses::Cause;
use super::whereabouts::Whereabouts;
use crate::metering::user_of;

/// What is known of a segment from its beginning on.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) number_ms: u64,
    /// When it was opened, by the clock as it is known now (D32).
    pub(super) opened_ms: i64,
    pub(super) date_ms: i64,
    pub(super) discontinuity: bool,
    /// Segments in the list.
    pub(super) listed: u32,
}

impl Head {
    /// What a crash finds of it.
    pub(super) fn note(&self, blob: BlobId, admission: &Admission, container: Container, place: Place) -> OpenSegment {
        let details = OpenDetails {
            opened_ms: Some(self.opened_ms).filter(|opened_ms| u64::try_from(*opened_ms) != Ok(self.number_ms)),
            date_ms: self.date_ms,
            discontinuity: self.discontinuity,
            playlist: admission.playlist.to_string(),
            frag_count: self.listed,
            frag_duration_s: admission.channel.config.frag_duration,
            place,
            container: container.code(),
            user: user_of(admission.grant.caller()),
        };
        OpenSegment { number_ms: self.number_ms, blob, details: details.to_bytes().unwrap_or_default() }
    }
}

/// A segment that has ended.
pub(super) struct Closed {
    pub(super) head: Head,
    pub(super) close: SegmentClosing,
    /// When what ended it arrived.
    pub(super) key_arrived: Instant,
    /// Where its bytes are, also while they are on their way; `None` where nothing is noted of what waits.
    place: Option<Whereabouts>,
    /// Where they are by what was noted last.
    noted: Option<BlobId>,
    bytes: Bytes,
}

/// Its bytes.
enum Bytes {
    /// As they grew.
    Grown(Box<Growing>),
    /// On their way. Who drops it lets go of the blob at once, so that it can be taken up.
    UnderWay(UnderWay),
    Completed(Completed),
    /// Taken.
    Gone,
}

/// Bytes on their way to being complete; what fails there is heard of.
struct UnderWay {
    finishing: Pin<Box<dyn Future<Output = Completed> + Send>>,
    told: UnboundedReceiver<Failed>,
    /// Where the bytes were when something failed last: as long as they are there, what follows is maybe only in memory.
    failed_at: Option<Option<BlobId>>,
}

impl UnderWay {
    fn begin(growing: Growing, timeout: Duration) -> Self {
        let (tell, told) = unbounded_channel();
        let failed_at = (!growing.is_sound()).then(|| growing.place().blob());
        // Both ends are dropped together.
        let finishing = Box::pin(growing.finish(timeout, move |failed| drop(tell.send(failed))));
        Self { finishing, told, failed_at }
    }

    async fn completed(&mut self, place: Option<BlobId>, mut report: impl FnMut(Failed)) -> Completed {
        loop {
            tokio::select! {
                biased;
                Some(failed) = self.told.recv() => {
                    self.failed_at = Some(place);
                    report(failed);
                }
                completed = &mut self.finishing => return completed,
            }
        }
    }

    /// Whether all of the bytes are where they are said to be.
    fn is_sound(&self, place: Option<BlobId>) -> bool {
        self.told.is_empty() && self.failed_at.is_none_or(|failed_at| failed_at != place)
    }
}

/// A completed segment and how often it was written again, or what took all of it away.
pub(super) type Completed = Result<(Grown, u64), Cause>;

impl Closed {
    /// A segment ends, because of what arrived at this moment. One that `may_wait` may be noted as it waits.
    pub(super) fn new(
        head: Head,
        mut bytes: Growing,
        close: SegmentClosing,
        key_arrived: Instant,
        may_wait: bool,
    ) -> Self {
        let place = may_wait.then(|| {
            bytes.blob_to_note();
            bytes.place().clone()
        });
        Self { head, close, key_arrived, place, noted: None, bytes: Bytes::Grown(Box::new(bytes)) }
    }

    /// A segment that lies in this blob, with nothing open, and its bytes on their way to being complete once it is asked for.
    pub(super) fn left(
        head: Head,
        close: SegmentClosing,
        key_arrived: Instant,
        blob: BlobId,
        finishing: Pin<Box<dyn Future<Output = Completed> + Send>>,
    ) -> Self {
        // Nothing is told of it but how it ends.
        let (_, told) = unbounded_channel();
        let bytes = Bytes::UnderWay(UnderWay { finishing, told, failed_at: None });
        Self { head, close, key_arrived, place: Some(Whereabouts::known(blob)), noted: None, bytes }
    }

    /// Hands its bytes to the system, so that whoever takes it up finds all of them; whether they are there.
    pub(super) async fn leave(&mut self) -> bool {
        let place = self.blob();
        match &mut self.bytes {
            Bytes::Grown(growing) => {
                // What broke may be written again by now.
                growing.mend().await;
                growing.is_sound() && growing.flush().await.is_ok()
            }
            Bytes::UnderWay(under_way) => under_way.is_sound(place),
            Bytes::Completed(completed) => completed.is_ok(),
            Bytes::Gone => false,
        }
    }

    /// What a crash finds of it; `None` while it has no blob.
    pub(super) fn note(&self, admission: &Admission, container: Container, place: Place) -> Option<OpenSegment> {
        self.blob().map(|blob| self.head.note(blob, admission, container, place))
    }

    /// Where its bytes are, for whoever notes it.
    fn blob(&self) -> Option<BlobId> {
        self.place.as_ref().and_then(Whereabouts::blob)
    }

    /// It was noted as it is now.
    pub(super) fn is_noted(&mut self) {
        self.noted = self.blob();
    }

    /// Whether its bytes are elsewhere than was noted.
    pub(super) fn has_moved(&self) -> bool {
        self.noted.is_some() && self.noted != self.blob()
    }

    /// Makes its bytes durable, and tries again for as long as `timeout` after something failed. It is waited for as long
    /// as `hold`; what takes longer goes on beside, and is asked for by the next call. Whether they are complete, or lost.
    pub(super) async fn complete(
        &mut self,
        timeout: Duration,
        hold: Option<Duration>,
        mut report: impl FnMut(Failed) + Send,
    ) -> bool {
        let (mut under_way, hold) = match (std::mem::replace(&mut self.bytes, Bytes::Gone), hold) {
            (Bytes::Grown(growing), Some(hold)) => (UnderWay::begin(*growing, timeout), hold),
            (Bytes::UnderWay(under_way), _) => (under_way, Duration::ZERO),
            (Bytes::Grown(growing), None) => {
                self.is_completed(growing.finish(timeout, report).await);
                return true;
            }
            (bytes @ (Bytes::Completed(_) | Bytes::Gone), _) => {
                self.bytes = bytes;
                return true;
            }
        };
        let completed = tokio::time::timeout(hold, under_way.completed(self.blob(), &mut report)).await;
        match completed {
            Ok(completed) => self.is_completed(completed),
            Err(_) => self.bytes = Bytes::UnderWay(under_way),
        }
        matches!(self.bytes, Bytes::Completed(_))
    }

    fn is_completed(&mut self, completed: Completed) {
        if let (Ok((grown, _)), Some(place)) = (&completed, &self.place) {
            // What could not be flushed where it was is complete elsewhere.
            place.moved_to(grown.blob.id);
        }
        self.bytes = Bytes::Completed(completed);
    }

    /// Goes on with bytes that are on their way; whether they have just become complete, or lost.
    pub(super) fn poll_completed(&mut self, context: &mut Context<'_>) -> bool {
        let Bytes::UnderWay(UnderWay { finishing, .. }) = &mut self.bytes else { return false };
        let Poll::Ready(completed) = finishing.as_mut().poll(context) else { return false };
        self.is_completed(completed);
        true
    }

    /// Its completed bytes, to be listed.
    pub(super) fn take(&mut self) -> Completed {
        match std::mem::replace(&mut self.bytes, Bytes::Gone) {
            Bytes::Completed(completed) => completed,
            _ => Err(Cause::Write),
        }
    }

    /// They could not be listed yet.
    pub(super) fn give_back(&mut self, completed: Completed) {
        self.bytes = Bytes::Completed(completed);
    }
}
