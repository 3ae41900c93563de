//! File descriptors: how many the process may have, and who gets them. Connections and the files of requests have
//! shares; what is left over is kept for the store, the admin listener and the segments of pushes, which therefore
//! never find the last descriptor taken by a stranger.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// With fewer descriptors a server does not start: the store, the listeners and a push would not fit beside a reader.
pub(crate) const MINIMUM: usize = 64;
/// Assumed where the system does not tell.
const UNKNOWN: usize = 1024;
/// Open before the listeners are, where the system does not tell how many.
pub(crate) const ASSUMED_OPEN: usize = 24;
/// The most connections unless the configuration asks for more: each costs memory too, whatever the limit is.
const DEFAULT_MAX_CONNECTIONS: usize = 16_384;
/// Descriptors that a push may have at once beside its connection: the segment that ends and the one that begins, the
/// second way to a fast one, and a directory that is flushed.
const PER_PUSH_OF_FEW: usize = 4;
/// Of many pushes, only so many flush a directory at once as there are threads for it, which [`SLACK`] is enough for;
/// and without a second way a fast push is slower, but whole.
const PER_PUSH: usize = 2;
/// What an upload may have: its file, and a second way to it or its directory.
pub(crate) const PER_UPLOAD: usize = 2;
/// What a callback may have: its connection, and one to resolve its address.
pub(crate) const PER_CALLBACK: usize = 2;
/// More files than this are never needed, and could not be counted where there is no limit at all.
const MAX_FILES: usize = 1 << 20;
/// For what is open for a moment only: certificates that are read again, directories, names that are resolved.
const SLACK: usize = 40;
/// The same where there are few; then there are few uploads and pushes too, which have directories in their shares.
const SLACK_OF_FEW: usize = 8;
/// A limit below this is a low one.
const FEW: usize = 256;

/// The soft limit of open files, raised as far as the system allows, and what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// How it was when the process began.
    pub(crate) before: usize,
    /// How it is now: the hard limit.
    pub(crate) now: usize,
}

/// Raises the soft limit to the hard one. The soft limit is low for the sake of programs that use `select`, which this
/// one does not.
pub(crate) fn raise() -> Limit {
    let Some((soft, hard)) = system::limits() else { return Limit { before: UNKNOWN, now: UNKNOWN } };
    if soft < hard
        && let Err(error) = system::set_soft(hard)
    {
        tracing::warn!(%error, soft, hard, "the limit of open files cannot be raised");
        return Limit { before: soft, now: soft };
    }
    Limit { before: soft, now: hard }
}

/// The limit of open files as it is now.
pub(crate) fn limit() -> usize {
    system::limits().map_or(UNKNOWN, |(soft, _)| soft)
}

/// How many descriptors are open, where the system tells.
pub(crate) fn open_now() -> Option<usize> {
    let limit = limit();
    // A descriptor beyond the limit was inherited, and takes nobody's place.
    let is_within = |name: &std::ffi::OsStr| name.to_str()?.parse::<usize>().ok().filter(|number| *number < limit);
    let names = std::fs::read_dir("/proc/self/fd").ok()?;
    let count = names.flatten().filter(|entry| is_within(&entry.file_name()).is_some()).count();
    // One of them read the directory.
    Some(count.saturating_sub(1))
}

/// Connections to the metadata file for readers; each takes two descriptors.
pub(crate) fn store_readers(limit: usize) -> usize {
    // Where there are hardly enough for a push, two have to do.
    let share = if limit < 2 * MINIMUM { 32 } else { 16 };
    (limit / share).clamp(2, 64)
}

/// Who may have how many descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Connections over HTTP and RTMP.
    pub(crate) connections: usize,
    /// Connections beyond these, until it is known what they are: a push takes the place of a reader, a request is
    /// refused.
    pub(crate) arrivals: usize,
    /// Connections to the admin listener.
    pub(crate) admin: usize,
    /// Files of requests: blobs that are sent or received.
    pub(crate) files: usize,
    /// Files that only pushes may have; they may have those of requests too.
    pub(crate) push_files: usize,
    /// Files that each push is given.
    pub(crate) per_push: usize,
}

impl Shares {
    /// Divides a limit, of which `open` are in use before the first of `listeners` is open; `wanted` is the
    /// configured number of connections. `None` when there are too few.
    pub(crate) fn new(limit: usize, open: usize, listeners: usize, wanted: Option<usize>) -> Option<Self> {
        if limit < MINIMUM {
            return None;
        }
        let is_small = limit < FEW;
        let (admin, arrivals) = if is_small { (3, 3) } else { (16, 16) };
        let (per_push, slack) = if is_small { (PER_PUSH_OF_FEW, SLACK_OF_FEW) } else { (PER_PUSH, SLACK) };
        // One reader of the store is open already. A listener has a connection in its hand that has no place yet.
        let store = 2 * (store_readers(limit) - 1);
        let reserved = open + 2 * listeners + store + admin + 1 + arrivals + slack;
        let left = limit.checked_sub(reserved).filter(|left| *left >= 4 + 2 * per_push)?;
        let connections = wanted.unwrap_or(DEFAULT_MAX_CONNECTIONS).min(if is_small { left / 2 } else { left / 5 * 3 });
        let files = (left - connections).min(MAX_FILES);
        let push_files = (files / 3).max(per_push).min(per_push * connections);
        Some(Self { connections: connections.max(1), arrivals, admin, files: files - push_files, push_files, per_push })
    }
}

/// Lets something be said once in a while, however often it happens.
#[derive(Debug)]
pub(crate) struct Seldom {
    next_s: AtomicI64,
    silent: AtomicU64,
}

/// The pause between two lines about the same.
const SELDOM: Duration = Duration::from_secs(5);

impl Seldom {
    /// Nothing was said yet.
    pub(crate) const fn new() -> Self {
        Self { next_s: AtomicI64::new(0), silent: AtomicU64::new(0) }
    }

    /// Whether it is time to say it again, and then how often it happened since the last time.
    pub(crate) fn count(&self) -> Option<u64> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.count_at(i64::try_from(now_s).unwrap_or(i64::MAX))
    }

    fn count_at(&self, now_s: i64) -> Option<u64> {
        let happened = self.silent.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let next_s = self.next_s.load(Ordering::Relaxed);
        let pause_s = i64::try_from(SELDOM.as_secs()).unwrap_or(i64::MAX);
        // A clock that was put back would otherwise silence the line until it has caught up.
        let is_due = now_s >= next_s || next_s - now_s > pause_s;
        let is_mine = is_due
            && self.next_s.compare_exchange(next_s, now_s + pause_s, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_mine.then(|| {
            self.silent.store(0, Ordering::Relaxed);
            happened
        })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    fn number(limit: Option<u64>) -> usize {
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
    }

    /// Soft and hard limit of open files.
    pub(super) fn limits() -> Option<(usize, usize)> {
        let limit = getrlimit(Resource::Nofile);
        Some((number(limit.current), number(limit.maximum)))
    }

    pub(super) fn set_soft(hard: usize) -> std::io::Result<()> {
        let hard = u64::try_from(hard).ok().filter(|hard| *hard < u64::MAX);
        Ok(setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn limits() -> Option<(usize, usize)> {
        None
    }

    pub(super) fn set_soft(_hard: usize) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_what_is_kept() {
        for limit in [64, 65, 100, 255, 256, 257, 1024, 4096, 65_536, 1 << 20, usize::MAX] {
            for wanted in [None, Some(1), Some(500), Some(1 << 24)] {
                let shares = Shares::new(limit, 18, 3, wanted).unwrap();
                let Shares { connections, arrivals, admin, files, push_files, per_push } = shares;
                let kept = limit - connections - arrivals - admin - files - push_files;
                assert!(kept >= 18 + 3 + 2 * store_readers(limit) + SLACK_OF_FEW - 2, "{limit} {shares:?}");
                assert!(connections >= 1 && arrivals >= 3 && admin >= 3, "{limit} {shares:?}");
                assert!(files >= PER_UPLOAD && push_files >= per_push, "{limit} {shares:?}");
                assert!(connections <= wanted.unwrap_or(DEFAULT_MAX_CONNECTIONS), "{limit} {shares:?}");
            }
        }
    }

    #[test]
    fn too_few_are_refused() {
        assert_eq!(Shares::new(MINIMUM - 1, 18, 3, None), None);
        assert_eq!(Shares::new(MINIMUM, 40, 3, None), None);
    }

    #[test]
    fn what_is_open_is_counted() {
        if let Some(before) = open_now() {
            let files: Vec<_> = (0..10).map(|_| tempfile::tempfile().unwrap()).collect();
            // Other tests open and close files meanwhile.
            assert!(open_now().unwrap() + 200 > before + files.len());
        }
    }

    #[test]
    fn lines_are_seldom() {
        let seldom = Seldom::new();
        let said: Vec<_> = [100, 100, 104, 105, 106, 50, 51].map(|now_s| seldom.count_at(now_s)).into();
        assert_eq!(said, [Some(1), None, None, Some(3), None, Some(2), None]);
    }
}
