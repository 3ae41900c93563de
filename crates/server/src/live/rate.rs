//! The bandwidth of LiveChannelStat: bytes per second over the last five whole seconds (LiveChannel 2.3).

use std::time::{Duration, Instant};

/// Whole seconds that are averaged.
const WINDOW_S: u64 = 5;

/// Counts the payload bytes of one elementary stream by the second they arrived in.
#[derive(Debug)]
pub(crate) struct RateMeter {
    start: Instant,
    /// Bytes of the seconds `second % 8`; eight places are more than the window and the running second need.
    seconds: [u64; 8],
    /// The newest second that was counted.
    newest: u64,
    total: u64,
}

impl RateMeter {
    /// A meter of a session that begins now.
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, seconds: [0; 8], newest: 0, total: 0 }
    }

    /// Counts bytes that arrived at `now`.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.advance(now);
        self.seconds[(self.newest % 8) as usize] += bytes as u64;
        self.total += bytes as u64;
    }

    /// Bytes per second at `now`; 0 in the first second.
    pub(crate) fn bytes_per_second(&mut self, now: Instant) -> u64 {
        self.advance(now);
        let seconds = self.newest.min(WINDOW_S);
        if seconds == 0 {
            return 0;
        }
        let sum: u64 = (self.newest - seconds..self.newest).map(|second| self.seconds[(second % 8) as usize]).sum();
        sum / seconds
    }

    /// All bytes ever counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether anything arrived at all.
    pub(crate) fn has_data(&self) -> bool {
        self.total > 0
    }

    fn advance(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.start).max(Duration::ZERO).as_secs();
        for cleared in self.newest.saturating_add(1)..=second.min(self.newest.saturating_add(8)) {
            self.seconds[(cleared % 8) as usize] = 0;
        }
        self.newest = self.newest.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_last_five_whole_seconds() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut meter = RateMeter::new(start);
        meter.add(500, at(100));
        assert_eq!(meter.bytes_per_second(at(900)), 0, "the first second is not over");
        assert_eq!(meter.bytes_per_second(at(1100)), 500);
        meter.add(100, at(1500));
        assert_eq!(meter.bytes_per_second(at(2000)), 300);
        assert_eq!(meter.bytes_per_second(at(5000)), 120);
        assert_eq!(meter.bytes_per_second(at(6000)), 20, "the first second has left the window");
        assert_eq!(meter.bytes_per_second(at(60_000)), 0);
        assert_eq!(meter.total(), 600);
    }
}
