//! Counters that every request adds to. Looking one up by its labels costs more than adding to it, so each thread keeps those
//! that it has used.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::{HTTP_REQUESTS, HTTP_SECONDS};

/// The month of an instant does not change within an hour.
const HOUR_MS: i64 = 3_600_000;

#[derive(Default)]
struct Kept {
    /// By operation and status, both out of small sets.
    requests: HashMap<(&'static str, u16), Counter>,
    seconds: Option<Histogram>,
    monthly: Monthly,
}

/// Counters by bucket, of one month.
#[derive(Default)]
struct Monthly {
    hour: i64,
    month: String,
    counters: HashMap<&'static str, HashMap<String, Counter>>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// A request was answered after so long.
pub(crate) fn count_answer(operation: &'static str, status: u16, took: Duration) {
    KEPT.with_borrow_mut(|kept| {
        let new = || counter!(HTTP_REQUESTS, "operation" => operation, "status" => status.to_string());
        kept.requests.entry((operation, status)).or_insert_with(new).increment(1);
        kept.seconds.get_or_insert_with(|| histogram!(HTTP_SECONDS)).record(took);
    });
}

/// The counter `name` of a bucket that is there, for the month of this instant.
pub(crate) fn of_bucket(name: &'static str, bucket: &str, now_ms: i64) -> Counter {
    KEPT.with_borrow_mut(|kept| {
        let monthly = &mut kept.monthly;
        let hour = now_ms.div_euclid(HOUR_MS);
        if monthly.hour != hour || monthly.month.is_empty() {
            // Buckets that are gone are forgotten with it.
            *monthly = Monthly { hour, month: month(now_ms), counters: HashMap::new() };
        }
        let counters = monthly.counters.entry(name).or_default();
        if let Some(counter) = counters.get(bucket) {
            return counter.clone();
        }
        let counter = counter!(name, "bucket" => bucket.to_owned(), "month" => monthly.month.clone());
        counters.insert(bucket.to_owned(), counter.clone());
        counter
    })
}

/// The month of an instant in UTC, as `2024-01`.
fn month(now_ms: i64) -> String {
    let mut text = model::date::format_iso8601(now_ms);
    text.truncate("2024-01".len());
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn months_are_those_of_utc() {
        assert_eq!(super::month(1_706_745_599_999), "2024-01");
        assert_eq!(super::month(1_706_745_600_000), "2024-02");
    }
}
