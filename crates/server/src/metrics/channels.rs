//! Which channels have series of their own. Anybody with the right may make channels, and every label value is a series
//! that Prometheus keeps; so only the first of them have series of their own, and the rest is counted together.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::{CHANNEL_MEDIA_LOST_MS, LOSS_CAUSES};

/// Channels of a process that have series of their own.
const MAX: usize = 500;
/// What stands in the labels of all others.
pub(crate) const OTHER: &str = "_other";

static KNOWN: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// The labels of a channel: its names, or those of all others.
fn labels(bucket: &str, channel: &str) -> (String, String) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let id = (bucket.to_owned(), channel.to_owned());
    if known.contains(&id) {
        return id;
    }
    if known.len() >= MAX {
        return (OTHER.to_owned(), OTHER.to_owned());
    }
    known.insert(id.clone());
    id
}

/// A push begins on a channel: from here on its series exist.
pub(crate) fn begins(bucket: &str, channel: &str) {
    for cause in LOSS_CAUSES {
        loses(bucket, channel, cause, 0);
    }
}

/// Media of a channel is lost.
pub(crate) fn loses(bucket: &str, channel: &str, cause: &'static str, ms: u64) {
    let (bucket, channel) = labels(bucket, channel);
    metrics::counter!(CHANNEL_MEDIA_LOST_MS, "bucket" => bucket, "channel" => channel, "cause" => cause).increment(ms);
}

/// The channels that have series, in order.
pub(crate) fn known() -> Vec<(String, String)> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_series_is_bounded() {
        for n in 0..MAX + 10 {
            begins("bucket", &format!("channel-{n}"));
        }
        assert!(known().len() <= MAX);
        assert_eq!(labels("bucket", "one-more"), (OTHER.to_owned(), OTHER.to_owned()));
    }
}
