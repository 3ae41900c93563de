//! Lines that anybody who reaches a port can cause at will: refused publishes, connections that speak nothing we know.
//! The first of a kind and an address is written in full, those after it are counted, and reported once a minute; so a
//! stranger fills neither the disk nor the attention of who reads the log. `MILLPOND_LOG=debug` shows each of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::Level;

use crate::auth_failures::network;
use crate::shutdown::Shutdown;

/// How long lines alike are counted before a line tells of them.
const WINDOW: Duration = Duration::from_secs(60);
/// Kinds and addresses remembered at once. Who comes with more addresses than that is counted without them.
const MAX_WINDOWS: usize = 1024;

/// Those of the server.
static STRANGERS: Strangers = Strangers { windows: Mutex::new(None), max: MAX_WINDOWS };

/// Writes a line of a stranger: `of_stranger!(WARN, "publish refused", address, fields, "message")`. The level is that
/// of the line in full and of the one that tells how many more came; `what` is how they are alike.
macro_rules! of_stranger {
    ($level:ident, $what:expr, $from:expr, $($line:tt)*) => {
        if $crate::log::strangers::is_new($what, $from, tracing::Level::$level) {
            tracing::event!(tracing::Level::$level, $($line)*)
        } else {
            tracing::event!(tracing::Level::DEBUG, $($line)*)
        }
    };
}

/// Whether this line is the first of its kind from this address in a while, so that it is written in full; else it is
/// counted.
pub(crate) fn is_new(what: &str, from: IpAddr, level: Level) -> bool {
    STRANGERS.is_new(what, from, level, Instant::now())
}

/// Tells once a minute what was counted, until the word to stop is given, and then for the last time.
pub(crate) async fn tell(mut shutdown: Shutdown) {
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            () = shutdown.wait() => is_over = true,
            () = tokio::time::sleep(WINDOW / 12) => {}
        }
        for counted in STRANGERS.take(Instant::now(), is_over) {
            counted.tell();
        }
    }
}

/// Address (an IPv6 one without the half that its owner chooses freely; none is everybody beyond the bound) and kind.
type Cause = (Option<IpAddr>, String);

#[derive(Debug)]
struct Strangers {
    /// `None` before the first.
    windows: Mutex<Option<HashMap<Cause, Window>>>,
    max: usize,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    level: Level,
    /// Lines that were not written.
    more: u64,
}

/// What is to be reported.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    what: String,
    from: Option<IpAddr>,
    level: Level,
    more: u64,
}

impl Strangers {
    fn is_new(&self, what: &str, from: IpAddr, level: Level, now: Instant) -> bool {
        let mut windows = self.windows.lock();
        let windows = windows.get_or_insert_default();
        let mut key = (Some(network(from)), what.to_owned());
        if windows.len() >= self.max && !windows.contains_key(&key) {
            // Without the address, and without what the peer may have had a part in.
            key = (None, what.split(':').next().unwrap_or_default().to_owned());
        }
        if let Some(window) = windows.get_mut(&key) {
            window.more = window.more.saturating_add(1);
            return false;
        }
        windows.insert(key, Window { since: now, level, more: 0 });
        true
    }

    /// Takes out the windows that are over, or all; those in which more was counted are to be reported.
    fn take(&self, now: Instant, all: bool) -> Vec<Counted> {
        let mut windows = self.windows.lock();
        let Some(windows) = windows.as_mut() else { return Vec::new() };
        let over = windows.extract_if(|_, window| all || now.duration_since(window.since) >= WINDOW);
        let counted = over.filter(|(_, window)| window.more > 0);
        counted.map(|((from, what), Window { level, more, .. })| Counted { what, from, level, more }).collect()
    }
}

impl Counted {
    fn tell(&self) {
        let Self { what, from, level, more } = self;
        let from = from.map_or_else(|| "many addresses".to_owned(), |from| from.to_string());
        match *level {
            Level::WARN => tracing::warn!(from, more, "{what}: {more} more in a minute"),
            _ => tracing::info!(from, more, "{what}: {more} more in a minute"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(max: usize) -> Strangers {
        Strangers { windows: Mutex::new(None), max }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_of_a_kind_and_an_address_is_written_and_the_others_are_counted() {
        let (strangers, now) = (strangers(100), Instant::now());
        let is_new = |what: &str, from: &str, after_s: u64| {
            strangers.is_new(what, ip(from), Level::WARN, now + Duration::from_secs(after_s))
        };
        for (what, from, expected) in [
            ("a", "192.0.2.1", true),
            ("a", "192.0.2.1", false),
            ("a", "::ffff:192.0.2.1", false),
            ("b", "192.0.2.1", true),
            ("a", "192.0.2.2", true),
            ("a", "2001:db8::1", true),
            ("a", "2001:db8::2", false),
        ] {
            assert_eq!(is_new(what, from, 0), expected, "{what} {from}");
        }
        assert_eq!(strangers.take(now + WINDOW / 2, false), []);
        let mut told = strangers.take(now + WINDOW, false);
        told.sort_by_key(|counted| counted.more);
        let counted = |from, more| Counted { what: "a".to_owned(), from: Some(ip(from)), level: Level::WARN, more };
        assert_eq!(told, [counted("2001:db8::", 1), counted("192.0.2.1", 2)]);
        assert!(is_new("a", "192.0.2.1", 61));
        assert!(!is_new("a", "192.0.2.1", 62));
        assert_eq!(strangers.take(now + Duration::from_secs(63), true), [counted("192.0.2.1", 1)]);
    }

    #[test]
    fn many_addresses_take_no_more_memory_and_no_more_lines() {
        let (strangers, now) = (strangers(10), Instant::now());
        let lines = (0..=255)
            .filter(|n| strangers.is_new(&format!("refused: {n}"), ip(&format!("192.0.2.{n}")), Level::INFO, now))
            .count();
        assert_eq!(lines, 11);
        let told = strangers.take(now + WINDOW, false);
        assert_eq!(told, [Counted { what: "refused".to_owned(), from: None, level: Level::INFO, more: 245 }]);
    }
}
