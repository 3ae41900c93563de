//! How many watch a push, as an estimate: the distinct pairs of address and user agent that fetched its playlist lately.
//! Nothing is stored, and neither addresses nor names are kept: what is remembered is a keyed hash and a moment.
//!
//! Few are counted one by one. Of more than [`MAX_KEPT`] a share is kept, each time halved by one more bit of the hash
//! (adaptive sampling), so that a push holds the same memory for a thousand viewers and for a million; the estimate is
//! then within some percent.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The most viewers of a push that are remembered one by one.
const MAX_KEPT: usize = 1024;
/// Hashes whose lowest bits are all zero, so many of them at most, are a share worth keeping.
const MAX_BITS: u32 = 40;

/// Who fetched the playlist of a push lately.
#[derive(Debug)]
pub(super) struct Audience {
    hasher: RandomState,
    seen: HashMap<u64, Instant>,
    /// Only hashes that end in so many zeros are kept.
    bits: u32,
}

impl Audience {
    /// Nobody yet. The key of the hashes is its own, so that nobody can choose names that count for more.
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), seen: HashMap::new(), bits: 0 }
    }

    /// Notes a fetch; who was not seen for `window` is forgotten.
    pub(super) fn note(&mut self, address: IpAddr, user_agent: &[u8], now: Instant, window: Duration) {
        self.note_hash(self.hasher.hash_one((address, user_agent)), now, window);
    }

    fn note_hash(&mut self, hash: u64, now: Instant, window: Duration) {
        if hash.trailing_zeros() < self.bits {
            return;
        }
        self.seen.insert(hash, now);
        if self.seen.len() <= MAX_KEPT {
            return;
        }
        self.forget(now, window);
        while self.seen.len() > MAX_KEPT && self.bits < MAX_BITS {
            self.bits += 1;
            let bits = self.bits;
            self.seen.retain(|hash, _| hash.trailing_zeros() >= bits);
        }
    }

    /// About how many were seen within `window`.
    pub(super) fn count(&mut self, now: Instant, window: Duration) -> u64 {
        self.forget(now, window);
        (self.seen.len() as u64) << self.bits
    }

    fn forget(&mut self, now: Instant, window: Duration) {
        self.seen.retain(|_, at| now.saturating_duration_since(*at) <= window);
        // Whoever was left out comes again within the window, and is counted then.
        if self.seen.len() < MAX_KEPT / 8 {
            self.bits = self.bits.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(6);

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn few_are_counted_one_by_one_and_forgotten() {
        let start = Instant::now();
        let mut audience = Audience::new();
        for round in 0..3 {
            let now = start + Duration::from_secs(round);
            for number in 0..300 {
                audience.note(address(number), b"player", now, WINDOW);
            }
        }
        audience.note(address(0), b"another player", start, WINDOW);
        assert_eq!(audience.count(start + Duration::from_secs(2), WINDOW), 301);
        assert_eq!(audience.count(start + Duration::from_secs(7), WINDOW), 300, "the other player left");
        assert_eq!(audience.count(start + Duration::from_secs(9), WINDOW), 0);
    }

    #[test]
    fn many_are_estimated_in_the_same_memory() {
        let now = Instant::now();
        let mut audience = Audience::new();
        for number in 0..200_000 {
            audience.note(address(number), b"player", now, WINDOW);
            assert!(audience.seen.len() <= MAX_KEPT);
        }
        let count = audience.count(now, WINDOW);
        assert!((140_000..260_000).contains(&count), "{count}");
    }

    #[test]
    fn after_a_crowd_few_are_exact_again() {
        let start = Instant::now();
        let mut audience = Audience::new();
        for number in 0..50_000 {
            audience.note(address(number), b"player", start, WINDOW);
        }
        let mut now = start;
        for _ in 0..20 {
            now += Duration::from_secs(7);
            for number in 0..10 {
                audience.note(address(number), b"player", now, WINDOW);
            }
            audience.count(now, WINDOW);
        }
        assert_eq!(audience.count(now, WINDOW), 10);
    }
}
