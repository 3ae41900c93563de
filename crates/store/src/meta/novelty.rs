//! Whether the names that are uploaded to are new ones, as a guess.
//!
//! A commit that demands that a name is new needs no look at it beforehand, and the writer finds that out for next to
//! nothing. When the demand turns out wrong, the look and a second commit are owed. Most uploads are of new names, many are
//! copies of a whole tree over an old one: the guess goes by those that came last.

use std::sync::atomic::{AtomicU32, Ordering};

/// So many new names in a row, and the next is taken for one. A wrong guess costs one upload in as many a second commit.
const IN_A_ROW: u32 = 64;

/// How many names in a row were new.
#[derive(Debug, Default)]
pub(super) struct Novelty(AtomicU32);

impl Novelty {
    /// Whether the next name is taken for a new one.
    pub(super) fn is_likely(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= IN_A_ROW
    }

    /// What an upload found.
    pub(super) fn note(&self, was_new: bool) {
        if !was_new {
            self.0.store(0, Ordering::Relaxed);
        } else if !self.is_likely() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_many_new_names_and_one_old_one_ends_it() {
        let novelty = Novelty::default();
        for _ in 0..IN_A_ROW {
            assert!(!novelty.is_likely());
            novelty.note(true);
        }
        assert!(novelty.is_likely());
        novelty.note(false);
        assert!(!novelty.is_likely());
    }
}
