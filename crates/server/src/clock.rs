//! Wall-clock time: everything in the server that needs it asks the one [`Clock`] in its state.

/// The machine's clock, or one that a test holds in its hand.
#[derive(Debug, Clone)]
pub(crate) struct Clock(store::clock::Clock);

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        Self(store::clock::Clock::system())
    }

    /// A clock that a test moves.
    #[cfg(test)]
    pub(crate) fn manual(clock: &store::clock::ManualClock) -> Self {
        Self(clock.clock())
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; 0 on a machine whose clock stands before that.
    pub(crate) fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    /// Whole seconds since the epoch.
    pub(crate) fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}
