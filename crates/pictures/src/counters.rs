//! What became of the pictures that were asked for.

use crate::refusal::{Reason, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only go up, shared by the queue and whoever shows them.
#[derive(Debug, Default)]
pub struct Counters {
    offered: AtomicU64,
    taken: AtomicU64,
    reasons: [AtomicU64; Reason::ALL.len()],
    busy_us: AtomicU64,
    workers_started: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountersSnapshot {
    /// Pictures that were asked for.
    pub offered: u64,
    /// Pictures that were made.
    pub taken: u64,
    /// Pictures that were not, by reason; only reasons that occurred.
    pub refused: Vec<(Reason, u64)>,
    /// Time that workers spent, in microseconds of wall time.
    pub busy_us: u64,
    /// Worker processes that were started; more than there are workers means that some ended.
    pub workers_started: u64,
}

impl CountersSnapshot {
    /// How often this reason occurred.
    pub fn of(&self, reason: Reason) -> u64 {
        self.refused.iter().find(|(other, _)| *other == reason).map_or(0, |(_, count)| *count)
    }
}

impl Counters {
    pub(crate) fn offer(&self) {
        self.offered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn settle<T>(&self, result: &Result<T, Refusal>) {
        match result {
            Ok(_) => self.taken.fetch_add(1, Ordering::Relaxed),
            Err(refusal) => Reason::ALL
                .iter()
                .position(|reason| *reason == refusal.reason)
                .and_then(|index| self.reasons.get(index))
                .map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed)),
        };
    }

    pub(crate) fn work(&self, spent: std::time::Duration, workers_started: u64) {
        self.busy_us.fetch_add(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.workers_started.fetch_add(workers_started, Ordering::Relaxed);
    }

    /// Reads them all.
    pub fn read(&self) -> CountersSnapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = Reason::ALL.iter().zip(&self.reasons).map(|(reason, counter)| (*reason, load(counter)));
        CountersSnapshot {
            offered: load(&self.offered),
            taken: load(&self.taken),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            busy_us: load(&self.busy_us),
            workers_started: load(&self.workers_started),
        }
    }
}
