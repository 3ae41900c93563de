//! What the doctor asks for: how far apart pictures are at which decoding may start, and how the encoder's clock runs.

use crate::access_unit::{Entry, Picture};
use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};
use std::collections::VecDeque;

/// Newest distances that are looked at.
const DISTANCES: usize = 8;

/// Distances between pictures at which decoding may start.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    keys: Distances,
    /// Of all of them, key frames or not.
    entries: Distances,
    newest: Option<Timestamp>,
    has_recovery_points: bool,
}

#[derive(Clone, Debug, Default)]
struct Distances {
    last: Option<Timestamp>,
    newest: VecDeque<MediaDuration>,
}

saved!(struct Rhythm { keys, entries, newest, has_recovery_points });
saved!(struct Distances { last, newest });

impl Rhythm {
    pub(super) fn picture(&mut self, picture: &Picture) {
        self.newest = Some(picture.dts);
        if picture.entry == Entry::Idr {
            self.keys.note(picture.dts);
        }
        if picture.entry != Entry::None {
            self.entries.note(picture.dts);
        }
        self.has_recovery_points |= picture.entry == Entry::Recovery;
    }

    /// How far IDR pictures usually are apart, or how long the newest is ago where that is more.
    pub(super) fn key_interval(&self) -> Option<MediaDuration> {
        self.keys.usual(self.newest)
    }

    /// The same for all pictures at which decoding may start; `None` where these are IDR pictures alone.
    pub(super) fn recovery_interval(&self) -> Option<MediaDuration> {
        self.entries.usual(self.newest).filter(|_| self.has_recovery_points)
    }
}

impl Distances {
    fn note(&mut self, at: Timestamp) {
        if let Some(last) = self.last.replace(at) {
            if self.newest.len() >= DISTANCES {
                self.newest.pop_front();
            }
            self.newest.push_back(at - last);
        }
    }

    fn usual(&self, now: Option<Timestamp>) -> Option<MediaDuration> {
        let mut sorted: Vec<MediaDuration> = self.newest.iter().copied().collect();
        sorted.sort_unstable();
        let usual = sorted.get(sorted.len() / 2).copied();
        let open = now.zip(self.last).map(|(now, last)| now - last);
        // Until a second one came, the time since the first says at least how far they are apart.
        usual.max(open)
    }
}

/// Media is looked at over spans of so much wall time: what came earliest in each was held up least on its way.
const SPAN_MS: i64 = 30_000;

/// A drift is reported only after so much wall time, when it is more than what networks do.
const LEAST_MS: i64 = 120_000;

/// How the encoder's clock runs against a clock that runs evenly.
#[derive(Clone, Debug, Default)]
pub(super) struct Drift {
    /// Jumps of the encoder's clock so far; each begins the measurement anew.
    jumps: u64,
    first: Option<Span>,
    last: Option<Span>,
    open: Option<Span>,
}

/// How far media was ahead of the clock, at most, in a span that began then; milliseconds.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: i64,
    at: i64,
    ahead: i64,
}

saved!(struct Drift { jumps, first, last, open });
saved!(struct Span { began, at, ahead });

impl Drift {
    pub(super) fn note(&mut self, now_ms: i64, media_ms: i64, jumps: u64) {
        if jumps != self.jumps {
            *self = Self { jumps, ..Self::default() };
        }
        let ahead = media_ms.saturating_sub(now_ms);
        match &mut self.open {
            Some(open) if now_ms.saturating_sub(open.began) < SPAN_MS => {
                if ahead > open.ahead {
                    (open.at, open.ahead) = (now_ms, ahead);
                }
            }
            open => {
                if let Some(whole) = open.replace(Span { began: now_ms, at: now_ms, ahead }) {
                    self.first.get_or_insert(whole);
                    self.last = Some(whole);
                }
            }
        }
    }

    /// How much faster than the other clock it runs, in millionths; `None` until that is known.
    pub(super) fn ppm(&self) -> Option<i64> {
        let (first, last) = (self.first?, self.last?);
        let passed = last.at.saturating_sub(first.at);
        (passed >= LEAST_MS).then(|| (last.ahead - first.ahead).saturating_mul(1_000_000) / passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_measured_through_a_network_that_holds_media_up() {
        for (ppm, tolerance) in [(0_i64, 300), (3_000, 300), (-3_000, 300)] {
            let mut drift = Drift::default();
            let mut told = None;
            for tick in 0..3_000_i64 {
                let now = 1_000_000 + tick * 200;
                // Held up by up to 500 ms, and now and then not at all.
                let held = tick * 7_919 % 11 * 50;
                drift.note(now, tick * 200 + tick * 200 * ppm / 1_000_000 - held, 0);
                told = told.or_else(|| drift.ppm().map(|_| tick * 200));
            }
            let found = drift.ppm().expect("ten minutes are enough");
            assert!((found - ppm).abs() <= tolerance, "{found} for {ppm}");
            assert!(told.is_some_and(|at| at >= LEAST_MS));
            drift.note(2_000_000, 0, 1);
            assert_eq!(drift.ppm(), None, "a jump begins anew");
        }
    }
}
