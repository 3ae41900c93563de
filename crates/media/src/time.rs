//! Media time: 90 kHz time stamps, their differences, and the way from wrapping RTMP milliseconds to a clock that never wraps.

use crate::saved::{ResumeError, Saved, saved};
use std::ops::{Add, Sub};

/// Ticks of the MPEG-TS system clock (90 kHz) in one millisecond.
pub const TICKS_PER_MS: i64 = 90;

/// A moment on a media clock, in 90 kHz ticks. It may be negative and never wraps; only the TS writer reduces it to 33 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `ms` milliseconds after zero.
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(TICKS_PER_MS))
    }

    /// Whole milliseconds, rounded down, so that differences of rounded values never drift.
    pub fn to_ms(self) -> i64 {
        self.0.div_euclid(TICKS_PER_MS)
    }
}

/// A difference of two [`Timestamp`]s, in 90 kHz ticks; negative when it points backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaDuration(pub i64);

impl MediaDuration {
    /// A duration of `ms` milliseconds.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(TICKS_PER_MS))
    }

    /// Whole milliseconds, rounded down.
    pub fn to_ms(self) -> i64 {
        self.0.div_euclid(TICKS_PER_MS)
    }
}

impl Saved for Timestamp {
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        i64::load(from).map(Self)
    }
}

impl Saved for MediaDuration {
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        i64::load(from).map(Self)
    }
}

impl Add<MediaDuration> for Timestamp {
    type Output = Timestamp;

    fn add(self, rhs: MediaDuration) -> Timestamp {
        Timestamp(self.0.saturating_add(rhs.0))
    }
}

impl Sub<MediaDuration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, rhs: MediaDuration) -> Timestamp {
        Timestamp(self.0.saturating_sub(rhs.0))
    }
}

impl Sub for Timestamp {
    type Output = MediaDuration;

    fn sub(self, rhs: Timestamp) -> MediaDuration {
        MediaDuration(self.0.saturating_sub(rhs.0))
    }
}

/// How far from an exact wrap, in milliseconds, a step may land and still be taken for one (quirk Q19).
const WRAP_SLACK_MS: i64 = 10_000;

/// Counters narrower than 32 bits that encoders are known to use: 24 bits without the extended field (quirk Q19), and
/// 31 bits where the top one is masked away (quirk Q20).
const NARROW_PERIODS_MS: [i64; 2] = [1 << 24, 1 << 31];

/// Turns the 32-bit milliseconds of one RTMP track into a 64-bit clock (quirks Q19, Q20).
///
/// Each value is taken as the nearest one to its predecessor modulo 2^32. A fall by almost exactly 2^24 or 2^31 ms is
/// the wrap of a narrower counter and continues the clock too.
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    last: Option<Unwrapped>,
    narrow_wraps: u64,
}

#[derive(Clone, Copy, Debug)]
struct Unwrapped {
    raw: u32,
    ms: i64,
}

saved!(struct TimestampUnwrapper { last, narrow_wraps });
saved!(struct Unwrapped { raw, ms });

impl TimestampUnwrapper {
    /// An unwrapper whose first value starts the clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An unwrapper for a second track of the same connection: its first value is unwrapped next to the last value of
    /// `other`, so that both clocks share one epoch even when a wrap lies between them.
    pub fn beside(other: &Self) -> Self {
        Self { last: other.last, narrow_wraps: 0 }
    }

    /// The 64-bit time, in milliseconds, of the wrapped time `raw`.
    pub fn unwrap_ms(&mut self, raw: u32) -> i64 {
        let ms = match self.last {
            None => i64::from(raw),
            Some(last) => {
                let step = i64::from(raw.wrapping_sub(last.raw).cast_signed());
                last.ms.saturating_add(self.repair_narrow_wrap(step))
            }
        };
        self.last = Some(Unwrapped { raw, ms });
        ms
    }

    /// How often a counter narrower than 32 bits wrapped.
    pub fn narrow_wraps(&self) -> u64 {
        self.narrow_wraps
    }

    fn repair_narrow_wrap(&mut self, step: i64) -> i64 {
        for period in NARROW_PERIODS_MS {
            if (step + period).abs() <= WRAP_SLACK_MS {
                self.narrow_wraps += 1;
                return step + period;
            }
            // A late frame from before the wrap. Without a wrap seen before it would be a genuine jump forward.
            if self.narrow_wraps > 0 && (step - period).abs() <= WRAP_SLACK_MS {
                return step - period;
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: &str, raw: &[u32], expected: &[i64]) {
        let mut unwrapper = TimestampUnwrapper::new();
        let got: Vec<i64> = raw.iter().map(|&value| unwrapper.unwrap_ms(value)).collect();
        assert_eq!(got, expected, "{name}");
    }

    #[test]
    fn q19_24_bit_wrap_goes_on() {
        check("fall of 2^24", &[16_777_180, 16_777_210, 20, 60], &[16_777_180, 16_777_210, 16_777_236, 16_777_276]);
        check(
            "late frame across the wrap",
            &[16_777_210, 20, 16_777_214, 40],
            &[16_777_210, 16_777_236, 16_777_214, 16_777_256],
        );
        check("a genuine jump stays a jump", &[0, 16_777_216], &[0, 16_777_216]);
    }

    #[test]
    fn q20_31_and_32_bit_wraps_go_on() {
        check("2^31", &[0x7FFF_FFF0, 8], &[0x7FFF_FFF0, 0x8000_0008]);
        check("2^32", &[0xFFFF_FFF0, 8], &[0xFFFF_FFF0, 0x1_0000_0008]);
        check("back over 2^32", &[0xFFFF_FFF0, 8, 0xFFFF_FFFF], &[0xFFFF_FFF0, 0x1_0000_0008, 0xFFFF_FFFF]);
        check("crossing 2^31 without a wrap", &[0x7FFF_FFF0, 0x8000_0008], &[0x7FFF_FFF0, 0x8000_0008]);
    }

    #[test]
    fn second_track_shares_the_epoch() {
        let mut video = TimestampUnwrapper::new();
        assert_eq!(video.unwrap_ms(0xFFFF_FFF0), 0xFFFF_FFF0);
        let mut audio = TimestampUnwrapper::beside(&video);
        assert_eq!(audio.unwrap_ms(4), 0x1_0000_0004);
    }

    proptest! {
        #[test]
        fn any_clock_with_small_steps_is_recovered(start in any::<u32>(), steps in prop::collection::vec(-500_i64..5_000, 1..200)) {
            let mut unwrapper = TimestampUnwrapper::new();
            let mut time = i64::from(start);
            unwrapper.unwrap_ms(start);
            for step in steps {
                time += step;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let raw = time as u32;
                prop_assert_eq!(unwrapper.unwrap_ms(raw), time);
            }
        }

        #[test]
        fn arbitrary_values_never_panic(values in prop::collection::vec(any::<u32>(), 0..100)) {
            let mut unwrapper = TimestampUnwrapper::new();
            for value in values {
                unwrapper.unwrap_ms(value);
            }
        }
    }
}
