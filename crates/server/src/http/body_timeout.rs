//! How long a peer may take for the body of its request: pauses are bounded, and so is dripping (HTTP API 2).

use std::time::Duration;

/// The time that is left to a peer. Waiting uses it up, and every byte that comes gives some back, up to the whole: a
/// peer that keeps the least pace has the whole for each pause, one that drips has it once.
#[derive(Debug)]
pub(super) struct BodyTimeout {
    whole: Duration,
    left: Duration,
    /// What a byte gives back; `None` when any byte gives back everything.
    per_byte: Option<Duration>,
}

impl BodyTimeout {
    /// `whole` is the longest pause, `min_bytes_per_s` the least pace; 0 asks for none.
    pub(super) fn new(whole: Duration, min_bytes_per_s: u64) -> Self {
        let per_byte = (min_bytes_per_s > 0).then(|| Duration::from_nanos((1_000_000_000 / min_bytes_per_s).max(1)));
        Self { whole, left: whole, per_byte }
    }

    /// How long the next bytes may take to come.
    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// Bytes have come after a wait.
    pub(super) fn receive(&mut self, bytes: u64, waited: Duration) {
        let gained = match self.per_byte {
            None => self.whole,
            Some(per_byte) => Duration::from_nanos(bytes.saturating_mul(per_byte.as_nanos().try_into().unwrap_or(1))),
        };
        self.left = self.left.saturating_sub(waited).saturating_add(gained).min(self.whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds left of ten after `steps` of bytes and the milliseconds waited for them; `None` when it is used up before.
    fn check(min_bytes_per_s: u64, steps: &[(u64, u64)], left_ms: Option<u128>) {
        let mut body_timeout = BodyTimeout::new(Duration::from_secs(10), min_bytes_per_s);
        let used_up = steps.iter().any(|(bytes, waited_ms)| {
            let waited = Duration::from_millis(*waited_ms);
            let is_over = waited > body_timeout.left();
            body_timeout.receive(*bytes, waited);
            is_over
        });
        assert_eq!((!used_up).then(|| body_timeout.left().as_millis()), left_ms, "{min_bytes_per_s} {steps:?}");
    }

    #[test]
    fn a_dripping_body_uses_it_up() {
        check(100, &[(1, 1000); 10], Some(100));
        check(100, &[(1, 1000); 11], None);
        check(0, &[(1, 9999); 1000], Some(10_000));
    }

    #[test]
    fn an_honest_pace_keeps_it() {
        check(100, &[(100, 1000); 1000], Some(10_000));
        check(100, &[(1400, 14_000)], None);
        check(100, &[(500, 5000); 1000], Some(10_000));
        // What was sent fast does not pay for hours of dripping afterwards.
        check(100, &[(1 << 30, 0), (1, 9000), (1, 2000)], None);
        check(u64::MAX, &[(1, 1000), (5_000_000_000, 1)], Some(10_000));
    }
}
