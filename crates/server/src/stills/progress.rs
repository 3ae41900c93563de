//! What became of the snapshots of one push: for its stat, its report and the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::ErrorCode;
use parking_lot::Mutex;
use pictures::{Reason, Refusal};

use super::ChannelId;
use crate::objects::NoPicture;

/// Why there is no snapshot.
#[derive(Debug)]
pub(super) struct Refused {
    /// A stable word for metrics and reports.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) detail: String,
    /// Whether the next picture of the push will meet the same.
    pub(super) is_lasting: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (reason, is_lasting) = (refusal.reason.label(), refusal.reason.is_lasting());
        Self { reason, detail: refusal.detail, is_lasting }
    }
}

impl Refused {
    /// A refusal of the bucket of the pictures, which may be another one in the next moment.
    pub(super) fn by_bucket(error: &model::Error) -> Self {
        let reason = match error.code {
            ErrorCode::NoSuchBucket => "no_such_bucket",
            ErrorCode::AccessDenied => "access_denied",
            _ => "store",
        };
        Self { reason, detail: format!("{}: {}", error.code.as_str(), error.message), is_lasting: false }
    }
}

impl From<NoPicture> for Refused {
    fn from(refusal: NoPicture) -> Self {
        let detail = match refusal {
            NoPicture::Refused(error) => return Self::by_bucket(&error),
            NoPicture::OtherOwner => "the bucket of the pictures has a different owner",
            NoPicture::OtherRegion => "the bucket of the pictures is in a different region",
        };
        // It was another bucket when the channel was configured, and may be again.
        Self { reason: "dest_bucket", detail: detail.into(), is_lasting: false }
    }
}

/// The snapshots of a push.
#[derive(Debug)]
pub(crate) struct Progress {
    channel: ChannelId,
    in_flight: AtomicUsize,
    reported: Mutex<Reported>,
}

#[derive(Debug, Default)]
struct Reported {
    taken: u64,
    refused: BTreeMap<&'static str, u64>,
    /// Why the last one was refused, unless one was taken since.
    now: Option<(&'static str, String)>,
    /// The same, whatever came since.
    last: Option<(&'static str, String)>,
    is_over: bool,
}

/// What may be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownProgress {
    /// Pictures stored.
    pub(crate) taken: u64,
    /// Pictures that were due and are not stored, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Why the last of these was not, as a word and as a sentence.
    pub(crate) last: Option<(&'static str, String)>,
    /// Whether no further one is tried.
    pub(crate) is_over: bool,
}

impl Progress {
    /// Of a push that begins.
    pub(crate) fn new(channel: ChannelId) -> Arc<Self> {
        Arc::new(Self { channel, in_flight: AtomicUsize::new(0), reported: Mutex::default() })
    }

    /// What may be known.
    pub(crate) fn shown(&self) -> ShownProgress {
        let reported = self.reported.lock();
        ShownProgress {
            taken: reported.taken,
            refused: reported.refused.clone(),
            last: reported.last.clone(),
            is_over: reported.is_over,
        }
    }

    /// Whether the stream is one of which no picture can be made.
    pub(super) fn is_over(&self) -> bool {
        self.reported.lock().is_over
    }

    /// A place for a picture, if fewer than `most` are on their way.
    pub(super) fn begin(self: &Arc<Self>, most: usize) -> Option<InFlight> {
        let begun = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1));
        begun.ok().map(|_| InFlight(self.clone()))
    }

    /// A picture was stored.
    pub(super) fn took(&self) {
        let mut reported = self.reported.lock();
        reported.taken += 1;
        if let Some((reason, _)) = reported.now.take() {
            tracing::info!(bucket = %self.channel.0, channel = %self.channel.1, reason, "snapshots are taken again");
        }
    }

    /// A picture that was due is not taken. The log says so when the reason is another one than the last time.
    pub(super) fn refuse(&self, refused: &Refused) {
        let Refused { reason, detail, is_lasting } = refused;
        metrics::counter!(crate::metrics::SNAPSHOTS_REFUSED, "reason" => *reason).increment(1);
        let mut reported = self.reported.lock();
        *reported.refused.entry(reason).or_default() += 1;
        reported.is_over |= is_lasting;
        let is_end = *reason == Reason::Stopped.label();
        if !is_end && reported.now.as_ref().is_none_or(|(known, _)| known != reason) {
            tracing::warn!(
                bucket = %self.channel.0, channel = %self.channel.1, reason, detail,
                "a snapshot is not taken{}", if *is_lasting { ", nor are others of this push" } else { "" }
            );
        }
        reported.now = Some((reason, detail.clone()));
        reported.last = Some((reason, detail.clone()));
    }
}

/// A picture on its way.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Progress>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use model::name::{BucketName, ChannelName};

    use super::*;

    #[test]
    fn what_became_of_pictures_is_told() {
        let channel = (BucketName::parse("bucket").unwrap(), ChannelName::parse(b"a").unwrap());
        let progress = Progress::new(channel);
        let places: Vec<_> = (0..3).map(|_| progress.begin(2)).collect();
        assert_eq!(places.iter().filter(|place| place.is_some()).count(), 2);
        drop(places);
        assert!(progress.begin(1).is_some());
        progress.took();
        progress.refuse(&Refusal::new(Reason::Late, "x").into());
        progress.refuse(&Refusal::new(Reason::Late, "x").into());
        assert!(!progress.is_over());
        progress.refuse(&Refusal::new(Reason::BitDepth, "10 bits").into());
        let shown = progress.shown();
        assert_eq!((shown.taken, shown.refused.get("late"), shown.is_over), (1, Some(&2), true));
        assert_eq!(shown.last, Some(("bit_depth", "10 bits".to_owned())));
    }
}
