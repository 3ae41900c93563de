//! The metrics of pushes, by bucket and month (LiveChannel 7.3). As all metrics they begin anew with the process, which
//! those who read them know how to add up.

use metrics::Counter;
use model::name::BucketName;

use crate::metrics as names;
use crate::metrics::requests::of_bucket;

/// Milliseconds of a minute that was begun.
const MINUTE_MS: i64 = 60_000;

/// Counts a snapshot that was taken of a channel of this bucket.
pub(crate) fn count_snapshot(bucket: &BucketName, now_ms: i64) {
    of_bucket(names::LIVE_SNAPSHOTS, bucket.as_str(), now_ms).increment(1);
}

/// The counters of a push.
pub(crate) struct IngestMeter {
    bucket: String,
    began_ms: i64,
    minutes: u64,
    bytes: Counter,
}

impl IngestMeter {
    /// A push that begins now: its first minute counts at once.
    pub(crate) fn new(bucket: &BucketName, now_ms: i64) -> Self {
        let bytes = of_bucket(names::LIVE_INGEST_BYTES, bucket.as_str(), now_ms);
        let mut meter = Self { bucket: bucket.to_string(), began_ms: now_ms, minutes: 0, bytes };
        meter.pass(now_ms);
        meter
    }

    /// Counts the payload of a message.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.increment(bytes as u64);
    }

    /// Shows the counter of pictures from the beginning on, where some are asked for.
    pub(crate) fn announce_snapshots(&self) {
        of_bucket(names::LIVE_SNAPSHOTS, &self.bucket, self.began_ms).increment(0);
    }

    /// Counts the minutes that were begun until now.
    pub(crate) fn pass(&mut self, now_ms: i64) {
        // Another one when the month is over.
        self.bytes = of_bucket(names::LIVE_INGEST_BYTES, &self.bucket, now_ms);
        let begun = minutes_begun(now_ms.saturating_sub(self.began_ms));
        if begun > self.minutes {
            of_bucket(names::LIVE_INGEST_MINUTES, &self.bucket, now_ms).increment(begun - self.minutes);
            self.minutes = begun;
        }
    }
}

/// Rounded up, and at least one.
fn minutes_begun(elapsed_ms: i64) -> u64 {
    u64::try_from(elapsed_ms).unwrap_or(0).div_ceil(MINUTE_MS.unsigned_abs()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_rounded_up_and_never_none() {
        for (elapsed_ms, minutes) in [(-5, 1), (0, 1), (1, 1), (60_000, 1), (60_001, 2), (120_000, 2), (120_001, 3)] {
            assert_eq!(minutes_begun(elapsed_ms), minutes, "{elapsed_ms}");
        }
    }
}
