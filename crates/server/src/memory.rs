//! What everybody together may make this process hold: one budget for what is being received, one for answers that wait to
//! be sent (`[memory]`).
//!
//! Whoever keeps bytes of a peer takes them from a budget first and gives them back by dropping what it got. What one peer
//! may hold is bounded where it is read or written; here is what remains when there are many of them. Room for receiving
//! that does not come free in time is refused with 503. Room for sending is made: the answer that has stalled the longest
//! is ended.

mod budget;
mod sending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub(crate) use budget::{Budget, Held, Room};
pub(crate) use sending::{Answering, Connection, MAX_AHEAD, PIECE, Sending, StreamEnd};

use crate::config::Config;
use crate::shutdown::Shutdown;

/// How often stalled answers are looked for, and gauges are set.
const TICK: Duration = Duration::from_secs(1);

/// The budgets of a process.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Bodies and heads of requests.
    pub(crate) receive: Arc<Budget>,
    /// Answers.
    pub(crate) send: Arc<Sending>,
}

impl Memory {
    /// As large as the configuration says.
    pub(crate) fn new(config: &Config) -> Self {
        let bytes = |mib: usize| mib.saturating_mul(1 << 20);
        let stalled_after = Duration::from_secs(config.http.stalled_answer_s);
        Self {
            receive: Arc::new(Budget::new("receive", bytes(config.memory.receive_mib))),
            send: Arc::new(Sending::new(Budget::new("send", bytes(config.memory.send_mib)), stalled_after)),
        }
    }
}

/// The same bytes where they are, whose last clone or slice drops `guard`.
pub(crate) fn with_guard<G: Send + 'static>(bytes: Bytes, guard: G) -> Bytes {
    struct Guarded<G> {
        bytes: Bytes,
        _guard: G,
    }

    impl<G> AsRef<[u8]> for Guarded<G> {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }

    if bytes.is_empty() { bytes } else { Bytes::from_owner(Guarded { bytes, _guard: guard }) }
}

/// Ends answers that have stalled for too long and shows what is used, until the word to stop is given.
pub(crate) async fn watch(memory: Arc<Memory>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        memory.send.end_overdue(Instant::now());
        memory.receive.show();
        memory.send.budget().show();
    }
}
