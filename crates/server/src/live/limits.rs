//! Quotas by rate (LiveChannel 7.4).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::name::BucketName;
use parking_lot::Mutex;

/// Buckets remembered before old ones are forgotten.
const MAX_REMEMBERED: usize = 4096;

/// Counts calls a second, by bucket.
#[derive(Debug)]
pub(crate) struct RateLimits {
    list_calls_per_s: u32,
    windows: Mutex<HashMap<BucketName, (Instant, u32)>>,
}

impl RateLimits {
    /// Limits ListLiveChannel calls per second and bucket; 0 is no limit.
    pub(crate) fn new(list_calls_per_s: u32) -> Self {
        Self { list_calls_per_s, windows: Mutex::default() }
    }

    /// Counts a ListLiveChannel call, and says whether it is within the quota.
    pub(crate) fn allows_list(&self, bucket: &BucketName) -> bool {
        if self.list_calls_per_s == 0 {
            return true;
        }
        let now = Instant::now();
        let mut windows = self.windows.lock();
        if windows.len() >= MAX_REMEMBERED {
            windows.retain(|_, (start, _)| now.duration_since(*start) < Duration::from_secs(1));
        }
        let (start, calls) = windows.entry(bucket.clone()).or_insert((now, 0));
        if now.duration_since(*start) >= Duration::from_secs(1) {
            (*start, *calls) = (now, 0);
        }
        *calls = calls.saturating_add(1);
        *calls <= self.list_calls_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_per_second_and_bucket() {
        let limits = RateLimits::new(2);
        let (one, two) = (BucketName::parse("one").unwrap(), BucketName::parse("two").unwrap());
        assert_eq!([limits.allows_list(&one), limits.allows_list(&one), limits.allows_list(&one)], [true, true, false]);
        assert!(limits.allows_list(&two));
        assert!(RateLimits::new(0).allows_list(&one));
    }
}
