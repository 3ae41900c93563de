//! The suites that every engine and every place for blobs passes. An implementation calls `check` from its tests, and
//! a failed expectation panics there.

pub mod blob;
pub mod kv;

use crate::clock::split_mix;

/// A repeatable source of choices.
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        split_mix(self.0) % bound
    }

    /// A number below `bound` as a size.
    pub(crate) fn size(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }
}
