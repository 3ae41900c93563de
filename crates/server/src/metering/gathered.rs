//! What is gathered in memory until it is written: requests and the bytes of their answers.
//!
//! A request takes one look into one of several maps; the bytes of its answer are added to a counter of its own subject.
//! What was taken out to be written and could not be comes back, so that nothing is lost but by a crash, and nothing is
//! ever counted twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use usage::{Counters, Meter, Subject};

/// Maps, so that requests on several processors seldom meet.
const SHARDS: usize = 16;

/// Counters of one subject since they were last written.
#[derive(Debug, Default)]
pub(crate) struct Cell([AtomicU64; Meter::ALL.len()]);

impl Cell {
    /// Counts so many more.
    pub(crate) fn add(&self, meter: Meter, count: u64) {
        if let Some(counter) = Meter::ALL.iter().position(|one| *one == meter).and_then(|index| self.0.get(index)) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Counters {
        Meter::ALL.iter().zip(&self.0).fold(Counters::default(), |counters, (meter, counter)| {
            counters.with(*meter, counter.swap(0, Ordering::Relaxed))
        })
    }
}

/// All subjects that were counted lately.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    maps: [Mutex<HashMap<Subject, Arc<Cell>>>; SHARDS],
    hasher: RandomState,
}

impl Gathered {
    /// The counters of a subject.
    pub(super) fn cell(&self, subject: Subject) -> Arc<Cell> {
        let index = usize::try_from(self.hasher.hash_one(&subject)).unwrap_or(0) % SHARDS;
        match self.maps.get(index) {
            Some(map) => Arc::clone(map.lock().entry(subject).or_default()),
            None => Arc::default(),
        }
    }

    /// Takes out what was counted. Subjects that nobody counts for any more are forgotten.
    pub(super) fn take(&self) -> Vec<(Subject, Counters)> {
        let mut taken = Vec::new();
        for map in &self.maps {
            map.lock().retain(|subject, cell| {
                // Nobody can get at the cell but through the map, which is locked.
                let is_used = Arc::strong_count(cell) > 1;
                let counters = cell.take();
                let is_new = !counters.is_empty();
                if is_new {
                    taken.push((subject.clone(), counters));
                }
                is_used || is_new
            });
        }
        taken
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&self, taken: Vec<(Subject, Counters)>) {
        for (subject, counters) in taken {
            let cell = self.cell(subject);
            for meter in Meter::ALL {
                cell.add(meter, counters.get(meter));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(bucket: &str) -> Subject {
        Subject { bucket: bucket.to_owned(), ..Subject::default() }
    }

    #[test]
    fn what_is_taken_was_counted_once() {
        let gathered = Gathered::default();
        gathered.cell(subject("a")).add(Meter::ReadRequests, 2);
        let download = gathered.cell(subject("b"));
        download.add(Meter::OutgoingBytes, 7);
        let mut taken = gathered.take();
        taken.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = [
            (subject("a"), Counters::of(Meter::ReadRequests, 2)),
            (subject("b"), Counters::of(Meter::OutgoingBytes, 7)),
        ];
        assert_eq!(taken, expected);
        assert_eq!(gathered.take(), []);
        // It goes on into the same counters.
        download.add(Meter::OutgoingBytes, 1);
        gathered.put_back(taken);
        drop(download);
        let all: u64 = gathered.take().iter().map(|(_, counters)| counters.get(Meter::OutgoingBytes)).sum();
        assert_eq!(all, 8);
        gathered.take();
        assert_eq!(gathered.maps.iter().map(|map| map.lock().len()).sum::<usize>(), 0, "nothing is kept for ever");
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let gathered = Gathered::default();
        let sum = std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| gathered.cell(subject("a")).add(Meter::ReadRequests, 1)));
            }
            let mut sum = 0;
            while sum < 40_000 {
                sum += gathered.take().iter().map(|(_, counters)| counters.get(Meter::ReadRequests)).sum::<u64>();
            }
            sum
        });
        assert_eq!(sum, 40_000);
    }
}
