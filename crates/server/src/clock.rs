//! Time, as an argument: everything that asks for the time asks a [`Clock`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds since the epoch, from the system or from a test.
#[derive(Clone)]
pub(crate) struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    #[cfg_attr(not(test), allow(dead_code))]
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) fn manual(start_ms: i64) -> (Self, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(start_ms));
        (Self(Source::Manual(time.clone())), time)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|d| i64::try_from(d.as_millis()).ok())
                .unwrap_or(0),
            Source::Manual(time) => time.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since the epoch.
    pub(crate) fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
