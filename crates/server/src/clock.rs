//! Wall-clock time: everything in the server that needs it asks the one [`Clock`] in its state.
//!
//! The clock of a server follows that of the machine, but not at once where it jumps: a jump is noticed, logged, counted,
//! and followed only when it has lasted. What a wrong clock does for some seconds then moves no lease, no window of a
//! signature, no number of a segment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::shutdown::Shutdown;

/// The machine's clock, a steady one, or one that a test holds in its hand.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    clock: store::clock::Clock,
    steady: Option<Arc<Steady>>,
}

impl Clock {
    /// The machine's clock, for programs that run for a moment.
    pub(crate) fn system() -> Self {
        Self { clock: store::clock::Clock::system(), steady: None }
    }

    /// The clock of a server.
    pub(crate) fn steady() -> Self {
        let steady = Arc::new(Steady::new(wall_ms(), running_ms()));
        let shown = steady.clone();
        Self { clock: store::clock::Clock::new(move || shown.now_ms()), steady: Some(steady) }
    }

    /// A clock that a test moves.
    #[cfg(test)]
    pub(crate) fn manual(clock: &store::clock::ManualClock) -> Self {
        Self { clock: clock.clock(), steady: None }
    }

    /// The clock of a server on a machine with these clocks: that of the wall, and how long it has run.
    #[cfg(test)]
    pub(crate) fn steady_on(wall: store::clock::Clock, running: store::clock::Clock) -> Self {
        let steady = Arc::new(Steady::new(wall.now_ms(), running.now_ms()));
        let shown = steady.clone();
        let clock = store::clock::Clock::new(move || shown.at(wall.now_ms(), running.now_ms()));
        Self { clock, steady: Some(steady) }
    }

    /// The same clock as stores take it.
    pub(crate) fn for_stores(&self) -> store::clock::Clock {
        self.clock.clone()
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; 0 on a machine whose clock stands before that.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Whole seconds since the epoch.
    pub(crate) fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// By how much the clock has been set since the process began, in ms, by jumps that lasted. What was dated before one is
    /// wrong by the difference.
    pub(crate) fn corrections_ms(&self) -> i64 {
        self.steady.as_ref().map_or(0, |steady| steady.corrections_ms.load(Ordering::Relaxed))
    }

    /// By how much the machine's clock is ahead of this one at the moment, in ms; 0 unless it has just jumped.
    pub(crate) fn doubt_ms(&self) -> i64 {
        self.steady.as_ref().and_then(|steady| steady.doubt.lock().map(|doubt| doubt.ahead_ms)).unwrap_or(0)
    }
}

/// Looks at the clock, so that jumps are noticed also while nothing happens, until the word to stop.
pub(crate) async fn watch(clock: Clock, mut shutdown: Shutdown) {
    let mut looks = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = looks.tick() => {}
        }
        clock.now_ms();
        let doubt_ms = clock.doubt_ms();
        metrics::gauge!(crate::metrics::CLOCK_DOUBT).set(doubt_ms as f64 / 1000.0);
    }
}

/// Differences up to this are followed at once: a clock is slewed and stepped by less all the time.
const FOLLOWED_MS: i64 = 1000;
/// How long a jump lasts before it is believed.
const BELIEVED_AFTER_MS: i64 = 30_000;
/// Two clocks that are read in whole milliseconds differ by this also when they go alike.
const ROUNDING_MS: i64 = 1;
/// Between two looks at the clocks, a thread that was held up longer looks again.
const TOGETHER_MS: i64 = 100;

/// The machine's clock, with jumps followed late.
#[derive(Debug)]
struct Steady {
    /// Wall-clock time less the time for which the machine has run.
    offset_ms: AtomicI64,
    corrections_ms: AtomicI64,
    is_in_doubt: AtomicBool,
    doubt: Mutex<Option<Doubt>>,
}

/// A jump that may pass.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    ahead_ms: i64,
    since_ms: i64,
}

impl Steady {
    fn new(wall_ms: i64, running_ms: i64) -> Self {
        Self {
            offset_ms: AtomicI64::new(wall_ms - running_ms),
            corrections_ms: AtomicI64::new(0),
            is_in_doubt: AtomicBool::new(false),
            doubt: Mutex::default(),
        }
    }

    fn now_ms(&self) -> i64 {
        let (wall, running) = (wall_ms(), running_ms());
        let ahead_ms = wall - running - self.offset_ms.load(Ordering::Relaxed);
        // Every request asks a few times. In the usual case nothing that other threads read is written.
        if ahead_ms.abs() <= ROUNDING_MS && !self.is_in_doubt.load(Ordering::Relaxed) {
            return wall;
        }
        self.now_ms_with_care()
    }

    #[cold]
    fn now_ms_with_care(&self) -> i64 {
        let (mut wall, mut running) = (wall_ms(), running_ms());
        // A jump is none if only the thread slept between the two.
        while running_ms() - running > TOGETHER_MS {
            (wall, running) = (wall_ms(), running_ms());
        }
        self.at(wall, running)
    }

    fn at(&self, wall_ms: i64, running_ms: i64) -> i64 {
        let expected = running_ms + self.offset_ms.load(Ordering::Relaxed);
        let ahead_ms = wall_ms - expected;
        if ahead_ms.abs() > FOLLOWED_MS {
            return self.jumped(ahead_ms, expected, running_ms);
        }
        if ahead_ms != 0 {
            self.offset_ms.store(wall_ms - running_ms, Ordering::Relaxed);
        }
        if self.is_in_doubt.swap(false, Ordering::Relaxed) {
            let passed = self.doubt.lock().take();
            tracing::warn!(jump_ms = passed.map(|doubt| doubt.ahead_ms), "the machine's clock is back where it was");
        }
        wall_ms
    }

    #[cold]
    fn jumped(&self, ahead_ms: i64, expected_ms: i64, running_ms: i64) -> i64 {
        let mut doubt = self.doubt.lock();
        match *doubt {
            Some(known) if (known.ahead_ms - ahead_ms).abs() <= FOLLOWED_MS => {
                if running_ms - known.since_ms < BELIEVED_AFTER_MS {
                    return expected_ms;
                }
                *doubt = None;
                self.is_in_doubt.store(false, Ordering::Relaxed);
                self.offset_ms.fetch_add(ahead_ms, Ordering::Relaxed);
                self.corrections_ms.fetch_add(ahead_ms, Ordering::Relaxed);
                metrics::counter!(crate::metrics::CLOCK_CORRECTIONS).increment(1);
                tracing::warn!(jump_ms = ahead_ms, "the machine's clock stays where it jumped to, and is followed now");
                expected_ms + ahead_ms
            }
            _ => {
                *doubt = Some(Doubt { ahead_ms, since_ms: running_ms });
                self.is_in_doubt.store(true, Ordering::Relaxed);
                metrics::counter!(crate::metrics::CLOCK_JUMPS).increment(1);
                tracing::warn!(
                    jump_ms = ahead_ms,
                    believed_after_s = BELIEVED_AFTER_MS / 1000,
                    "the machine's clock jumped; it is not followed unless it stays there"
                );
                expected_ms
            }
        }
    }
}

fn wall_ms() -> i64 {
    store::clock::Clock::system().now_ms()
}

/// How long the machine has run, suspensions included, in ms.
fn running_ms() -> i64 {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
    #[cfg(not(target_os = "linux"))]
    {
        static BEGUN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
        i64::try_from(BEGUN.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_followed_only_when_it_lasts() {
        let hour = 3_600_000;
        let steady = Steady::new(1_000_000, 0);
        // (wall, running) and what is shown.
        for (wall, running, shown) in [
            (1_000_900, 1_000, 1_000_900),
            (1_001_900, 2_000, 1_001_900),
            // An hour ahead for six seconds.
            (1_002_900 + hour, 3_000, 1_002_900),
            (1_008_900 + hour, 9_000, 1_008_900),
            (1_009_900, 10_000, 1_009_900),
            // The same again, and longer.
            (1_010_900 + hour, 11_000, 1_010_900),
            (1_040_800 + hour, 40_900, 1_040_800),
            (1_040_900 + hour, 41_000, 1_040_900 + hour),
            (1_041_900 + hour, 42_000, 1_041_900 + hour),
            // And back, by a jump to another place in between, which begins the wait anew.
            (1_042_900, 43_000, 1_042_900 + hour),
            (900_000, 60_000, 1_059_900 + hour),
            (1_073_900, 74_000, 1_073_900 + hour),
            (1_103_900, 104_000, 1_103_900),
        ] {
            assert_eq!(steady.at(wall, running), shown, "at {running}");
        }
        assert_eq!(steady.corrections_ms.load(Ordering::Relaxed), 0, "there and back");
    }
}
