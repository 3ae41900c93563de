//! Whether the silence of another process means anything.
//!
//! Processes say that they live by leases in the map. While the map is away nobody can, and when it is back all leases have run
//! out: whoever asks first would find everybody dead. So a process believes in the silence of others only when it has itself
//! been able to speak for as long as a life lasts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Since when this process has said without a gap that it lives.
#[derive(Debug, Default)]
pub(super) struct Continuity(Mutex<Option<Said>>);

#[derive(Debug, Clone, Copy)]
struct Said {
    since: Instant,
    last: Instant,
    life: Duration,
}

impl Said {
    /// The longest pause that is none: half a life, as all say it more often than that.
    fn has_paused(&self, now: Instant) -> bool {
        now.duration_since(self.last) > self.life / 2
    }
}

impl Continuity {
    /// This process has said that it lives, which counts for `life`.
    pub(super) fn note_said(&self, life: Duration) {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = said.filter(|said| !said.has_paused(now)).map_or(now, |said| said.since);
        *said = Some(Said { since, last: now, life });
    }

    /// Whether it has been able to for as long as a life lasts, up to now.
    pub(super) fn is_long(&self) -> bool {
        let now = Instant::now();
        let said = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.is_some_and(|said| !said.has_paused(now) && now.duration_since(said.since) >= said.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_means_something_after_a_life_without_a_pause() {
        const LIFE: Duration = Duration::from_secs(10);
        let continuity = Continuity::default();
        assert!(!continuity.is_long());
        let speak = async |seconds: u64| {
            for _ in 0..seconds / 2 {
                continuity.note_said(LIFE);
                tokio::time::advance(Duration::from_secs(2)).await;
            }
            continuity.is_long()
        };
        assert!(!speak(8).await);
        assert!(speak(2).await);
        tokio::time::advance(Duration::from_millis(3_001)).await;
        assert!(!continuity.is_long(), "the map may be away");
        assert!(!speak(8).await);
        assert!(speak(2).await);
    }
}
