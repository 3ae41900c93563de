//! What of a push could not be stored, and what is said about it: one warning when storing begins to fail, one line when
//! it works again, and the sums in the report of the session (D7).

use std::time::Instant;

use super::channels::ChannelId;
use super::growing::Failed;

/// Why media could not be stored. A closed set, because it is a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No blob could be made.
    Open,
    /// Bytes could not be written.
    Write,
    /// The disk did not confirm what was written.
    Sync,
    /// The segment could not be named and listed.
    Commit,
}

impl Cause {
    /// Its name as a label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Cause::Open => "open",
            Cause::Write => "write",
            Cause::Sync => "sync",
            Cause::Commit => "commit",
        }
    }
}

/// The losses of one push.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Segments of which nothing could be stored.
    pub(super) segments: u64,
    /// Segments that end early.
    pub(super) cut_short: u64,
    /// Media that is in no segment, in milliseconds.
    pub(super) ms: u64,
    /// Segments that were written again because their blob broke; nothing of them is lost.
    pub(super) rewritten: u64,
    incident: Option<Incident>,
}

/// Storing fails since some time.
#[derive(Debug)]
struct Incident {
    since: Instant,
    failures: u64,
    lost_before_ms: u64,
}

impl Losses {
    /// Storing failed; something may still be done about it.
    pub(super) fn failed(&mut self, id: &ChannelId, failed: &Failed) {
        metrics::counter!(crate::metrics::SEGMENT_FAILURES, "cause" => failed.cause.name()).increment(1);
        crate::space::suspect();
        let lost_before_ms = self.ms;
        let incident = self.incident.get_or_insert_with(|| {
            tracing::warn!(
                error = %failed.error, cause = failed.cause.name(), bucket = %id.0, channel = %id.1,
                "the open segment cannot be stored; it is tried again from memory"
            );
            Incident { since: Instant::now(), failures: 0, lost_before_ms }
        });
        incident.failures += 1;
    }

    /// Media is lost for good: all of a segment, or what followed the part of it that is stored.
    pub(super) fn lost(&mut self, id: &ChannelId, cause: Cause, ms: u64, is_whole_segment: bool) {
        self.ms = self.ms.saturating_add(ms);
        crate::metrics::channels::loses(id.0.as_str(), id.1.as_str(), cause.name(), ms);
        metrics::counter!(crate::metrics::MEDIA_LOST_MS, "cause" => cause.name()).increment(ms);
        if is_whole_segment {
            self.segments += 1;
            metrics::counter!(crate::metrics::SEGMENTS_LOST, "cause" => cause.name()).increment(1);
        } else {
            self.cut_short += 1;
            metrics::counter!(crate::metrics::SEGMENTS_CUT_SHORT, "cause" => cause.name()).increment(1);
        }
    }

    /// A segment was written again `times` times.
    pub(super) fn rewrote(&mut self, times: u64) {
        if times > 0 {
            self.rewritten += 1;
            metrics::counter!(crate::metrics::SEGMENTS_REWRITTEN).increment(1);
        }
    }

    /// Storing works, or the push ends.
    pub(super) fn settle(&mut self, id: &ChannelId) {
        let Some(incident) = self.incident.take() else { return };
        let (lost_ms, failures) = (self.ms - incident.lost_before_ms, incident.failures);
        let seconds = incident.since.elapsed().as_secs_f64();
        if lost_ms > 0 {
            tracing::warn!(
                bucket = %id.0, channel = %id.1, lost_ms, failures, seconds,
                "media could not be stored and is lost; what follows is marked as a discontinuity"
            );
        } else {
            tracing::info!(bucket = %id.0, channel = %id.1, failures, seconds, "segments are stored again, nothing is lost");
        }
    }
}
