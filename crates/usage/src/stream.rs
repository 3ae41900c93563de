//! Minutes of streaming: "billed per minute (minimum 1 minute)".

use crate::counters::{Counters, Meter};
use serde::{Deserialize, Serialize};

/// Counts the minutes of one stream, from its first media until it is gone for longer than the reconnect window
/// (decision D11). Keep it with the record of the publication and write it in the commit that stores the media, together
/// with what [`advance`](Self::advance) returns.
///
/// * Time is media time that was stored, so that neither clock steps nor restarts nor stalls are billed.
/// * A minute counts when it begins; the first with the first media. So the sum over the stream is its length rounded up.
/// * A push that returns within the window goes on with the same meter: the gap costs nothing and nothing is rounded
///   twice. One that returns later starts a new meter, and with it a new minute.
/// * A push that stores no media costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMeter {
    /// Media stored so far, in ticks of 90 kHz.
    ticks: u64,
    /// Minutes counted so far.
    minutes: u64,
}

/// Ticks of a minute.
const MINUTE: u64 = 60 * 90_000;

impl StreamMeter {
    /// Media of this duration, in ticks of 90 kHz, was stored: the minutes that began with it.
    #[must_use = "the minutes have to be counted in the same commit"]
    pub fn advance(&mut self, ticks: u64) -> Counters {
        self.ticks = self.ticks.saturating_add(ticks);
        let minutes = self.ticks.div_ceil(MINUTE).max(1);
        let begun = minutes.saturating_sub(self.minutes);
        self.minutes = self.minutes.max(minutes);
        Counters::of(Meter::StreamingMinutes, begun)
    }

    /// Minutes counted so far.
    pub fn minutes(&self) -> u64 {
        self.minutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounding() {
        for (seconds, minutes) in [(0, 1), (1, 1), (59, 1), (60, 1), (61, 2), (120, 2), (3600, 60), (3601, 61)] {
            let mut meter = StreamMeter::default();
            let counted = meter.advance(seconds * 90_000).get(Meter::StreamingMinutes);
            assert_eq!((counted, meter.minutes()), (minutes, minutes), "{seconds} s");
        }
        let mut meter = StreamMeter::default();
        assert_eq!(meter.advance(MINUTE).get(Meter::StreamingMinutes), 1);
        assert_eq!(meter.advance(1).get(Meter::StreamingMinutes), 1, "a tick more begins the second minute");
    }

    proptest! {
        /// Whatever the pieces and wherever the meter was written down and read back, the sum is the length rounded up.
        #[test]
        fn the_sum_is_the_length_rounded_up(pieces in prop::collection::vec((0_u64..10_000_000, any::<bool>()), 1..40)) {
            let (mut meter, mut counted, mut length) = (StreamMeter::default(), 0, 0);
            for (ticks, restart) in pieces {
                counted += meter.advance(ticks).get(Meter::StreamingMinutes);
                length += ticks;
                if restart {
                    meter = serde_json::from_str(&serde_json::to_string(&meter).unwrap()).unwrap();
                }
            }
            prop_assert_eq!(counted, length.div_ceil(MINUTE).max(1));
        }

        /// Two pushes within the window never cost more than two streams, and at most a minute less.
        #[test]
        fn a_reconnect_within_the_window_is_not_rounded_twice(a in 1_u64..50_000_000, b in 1_u64..50_000_000) {
            let mut joined = StreamMeter::default();
            let one = joined.advance(a).get(Meter::StreamingMinutes) + joined.advance(b).get(Meter::StreamingMinutes);
            let apart = StreamMeter::default().advance(a).get(Meter::StreamingMinutes)
                + StreamMeter::default().advance(b).get(Meter::StreamingMinutes);
            prop_assert!(one <= apart && apart <= one + 1);
        }
    }
}
