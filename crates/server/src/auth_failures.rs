//! Guessing keys: wrong signatures are counted by the address they come from, and beyond a budget they are no longer
//! told apart. Right signatures are never held up by the wrong ones of a neighbour.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::{Error, ErrorCode};
use parking_lot::Mutex;

/// How long failures are remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at once; strangers who exceed it only make the counting start again.
const MAX_ADDRESSES: usize = 16_384;
/// How long the answer to a failure beyond the budget takes.
const DELAY: Duration = Duration::from_millis(500);
/// Answers that wait at once; beyond, they are given immediately, so that waiting costs no memory to speak of.
const MAX_WAITING: usize = 512;

/// Counts failures by address.
#[derive(Debug)]
pub(crate) struct AuthFailures {
    per_minute: u32,
    windows: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    waiting: AtomicUsize,
}

impl AuthFailures {
    /// Allows so many failures a minute and address; 0 is no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, windows: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    /// The answer to a caller with a wrong claim: the error itself, or after the budget is used up and a pause, that it
    /// should come back later. The refusal then does not say whether the key exists.
    pub(crate) async fn refuse(&self, from: IpAddr, error: Error) -> Error {
        if !is_guess(&error) || !self.count(from, Instant::now()) {
            return error;
        }
        metrics::counter!(crate::metrics::AUTH_FAILURES_LIMITED).increment(1);
        let waiting = Waiting::begin(&self.waiting);
        if waiting.number < MAX_WAITING {
            tokio::time::sleep(DELAY).await;
        }
        drop(waiting);
        Error::new(ErrorCode::ServiceUnavailable)
            .message("Too many requests with wrong signatures came from your address. Please try again later.")
            .header("retry-after", WINDOW.as_secs().to_string())
    }

    /// Counts a failure, and says whether it is beyond the budget.
    fn count(&self, from: IpAddr, now: Instant) -> bool {
        if self.per_minute == 0 {
            return false;
        }
        let mut windows = self.windows.lock();
        if windows.len() >= MAX_ADDRESSES {
            windows.retain(|_, (start, _)| now.duration_since(*start) < WINDOW);
            if windows.len() >= MAX_ADDRESSES {
                windows.clear();
            }
        }
        let (start, failures) = windows.entry(network(from)).or_insert((now, 0));
        if now.duration_since(*start) >= WINDOW {
            (*start, *failures) = (now, 0);
        }
        *failures = failures.saturating_add(1);
        let is_beyond = *failures > self.per_minute;
        if *failures == self.per_minute.saturating_add(1) {
            tracing::warn!(%from, failures, "too many wrong signatures; further ones are answered with 503");
        }
        is_beyond
    }
}

/// One answer that waits; it stops counting also when the peer goes away meanwhile.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    /// How many waited before it.
    number: usize,
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self { count, number: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an error is what somebody sees who guesses keys. Expired URLs and wrong dates are not.
fn is_guess(error: &Error) -> bool {
    matches!(
        error.code,
        ErrorCode::InvalidAccessKeyId
            | ErrorCode::SignatureDoesNotMatch
            | ErrorCode::InvalidSecurityToken
            | ErrorCode::AccessKeyIdAndSecurityTokenNotMatch
    )
}

/// Whoever has one IPv6 address has 2^64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_per_minute_and_address() {
        let failures = AuthFailures::new(2);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        assert_eq!([a, a, a, b].map(|from| failures.count(from, now)), [false, false, true, false]);
        assert!(!failures.count(a, now + WINDOW));
        assert!(!AuthFailures::new(0).count(a, now));
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_a_budget() {
        let failures = AuthFailures::new(1);
        let now = Instant::now();
        let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"];
        let counted = addresses.map(|text| failures.count(text.parse().unwrap(), now));
        assert_eq!(counted, [false, true, false, false, true]);
    }

    #[tokio::test]
    async fn a_peer_that_goes_away_stops_waiting() {
        let failures = AuthFailures::new(1);
        let from = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            let refusal = failures.refuse(from, Error::new(ErrorCode::SignatureDoesNotMatch));
            let _ = tokio::time::timeout(Duration::from_millis(5), refusal).await;
        }
        assert_eq!(failures.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn only_guesses_count() {
        let failures = AuthFailures::new(1);
        let from = "192.0.2.1".parse().unwrap();
        for (code, expected) in [
            (ErrorCode::AccessDenied, ErrorCode::AccessDenied),
            (ErrorCode::SignatureDoesNotMatch, ErrorCode::SignatureDoesNotMatch),
            (ErrorCode::InvalidAccessKeyId, ErrorCode::ServiceUnavailable),
            (ErrorCode::AccessDenied, ErrorCode::AccessDenied),
        ] {
            assert_eq!(failures.refuse(from, Error::new(code)).await.code, expected);
        }
    }
}
