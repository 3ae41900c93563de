//! Wall-clock time: everything in the server that needs it asks the one [`Clock`] in its state.

use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock;

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        Self
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; 0 on a machine whose clock stands before that.
    pub(crate) fn now_ms(self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
            .unwrap_or(0)
    }

    /// Whole seconds since the epoch.
    pub(crate) fn now_s(self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}
