//! The publishes that were refused lately, by channel, so that whoever runs a channel sees why its encoder gets nowhere
//! (D7, D21). They are kept in memory only: strangers can cause them, and the log has them all.

use std::collections::VecDeque;
use std::net::SocketAddr;

use parking_lot::Mutex;

use super::channels::ChannelId;

/// Kept for one channel; the oldest goes first.
const MAX_PER_CHANNEL: usize = 10;
/// Kept altogether.
const MAX_IN_ALL: usize = 1000;

/// A refused publish, or several alike in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// When it happened last, Unix ms.
    pub(crate) at_ms: i64,
    /// Who tried.
    pub(crate) remote: SocketAddr,
    /// The error code of OSS.
    pub(crate) code: &'static str,
    /// Its EC, where it has one.
    pub(crate) ec: Option<&'static str>,
    /// The message that the encoder got.
    pub(crate) message: String,
    /// The request id that the encoder got.
    pub(crate) request_id: String,
    /// How many alike came in a row: an encoder that tries for ever must not push out everything else.
    pub(crate) count: u64,
    /// When the channel was made, Unix ms, as far as that is known.
    pub(crate) channel_created_ms: Option<i64>,
}

impl Refused {
    fn is_like(&self, other: &Self) -> bool {
        (self.remote.ip(), self.code, self.ec, self.channel_created_ms)
            == (other.remote.ip(), other.code, other.ec, other.channel_created_ms)
    }
}

/// The refusals of all channels, the newest last.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog {
    entries: Mutex<VecDeque<(ChannelId, Refused)>>,
}

impl RefusalLog {
    /// Adds a refusal. Only for channels that exist: names that strangers invent are not kept.
    pub(super) fn note(&self, id: &ChannelId, mut refused: Refused) {
        let mut entries = self.entries.lock();
        let of_channel = |entries: &VecDeque<(ChannelId, Refused)>| -> Vec<usize> {
            entries.iter().enumerate().filter(|(_, (of, _))| of == id).map(|(index, _)| index).collect()
        };
        let known = of_channel(&entries);
        let like =
            known.iter().copied().find(|index| entries.get(*index).is_some_and(|(_, old)| old.is_like(&refused)));
        let goes = like.or_else(|| known.first().copied().filter(|_| known.len() >= MAX_PER_CHANNEL));
        if let Some((_, old)) = goes.and_then(|index| entries.remove(index))
            && like.is_some()
        {
            refused.count = refused.count.saturating_add(old.count);
        }
        if entries.len() >= MAX_IN_ALL {
            entries.pop_front();
        }
        entries.push_back((id.clone(), refused));
    }

    /// The refusals of a channel, oldest first.
    pub(crate) fn of(&self, id: &ChannelId) -> Vec<Refused> {
        self.entries.lock().iter().filter(|(of, _)| of == id).map(|(_, refused)| refused.clone()).collect()
    }

    /// The newest refusals of all channels, at most `limit`, oldest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<(ChannelId, Refused)> {
        let entries = self.entries.lock();
        entries.iter().skip(entries.len().saturating_sub(limit)).cloned().collect()
    }

    /// Forgets a channel that is deleted; another one of its name begins afresh.
    pub(crate) fn forget(&self, id: &ChannelId) {
        self.entries.lock().retain(|(of, _)| of != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::name::{BucketName, ChannelName};

    fn id(channel: &str) -> ChannelId {
        (BucketName::parse("examplebucket").unwrap(), ChannelName::parse(channel.as_bytes()).unwrap())
    }

    fn refused(at_ms: i64, host: u8, code: &'static str) -> Refused {
        Refused {
            at_ms,
            remote: SocketAddr::from(([192, 0, 2, host], 1935)),
            code,
            ec: None,
            message: String::new(),
            request_id: String::new(),
            count: 1,
            channel_created_ms: None,
        }
    }

    fn shown(log: &RefusalLog, channel: &str) -> Vec<(i64, u64)> {
        log.of(&id(channel)).iter().map(|refused| (refused.at_ms, refused.count)).collect()
    }

    #[test]
    fn refusals_alike_are_one_and_the_oldest_go_first() {
        let log = RefusalLog::default();
        log.note(&id("a"), refused(1, 1, "AccessDenied"));
        log.note(&id("a"), refused(2, 2, "AccessDenied"));
        log.note(&id("a"), refused(3, 1, "AccessDenied"));
        log.note(&id("b"), refused(4, 1, "AccessDenied"));
        assert_eq!(shown(&log, "a"), [(2, 1), (3, 2)]);
        for host in 10..30 {
            log.note(&id("a"), refused(i64::from(host), host, "AccessDenied"));
        }
        assert_eq!(shown(&log, "a").len(), MAX_PER_CHANNEL);
        assert_eq!(shown(&log, "a").first(), Some(&(20, 1)));
        assert_eq!(shown(&log, "b"), [(4, 1)]);
        log.forget(&id("a"));
        assert!(shown(&log, "a").is_empty());
    }

    #[test]
    fn a_channel_that_is_made_again_counts_anew() {
        let log = RefusalLog::default();
        log.note(&id("a"), Refused { channel_created_ms: Some(7), ..refused(8, 1, "AccessDenied") });
        log.note(&id("a"), Refused { channel_created_ms: Some(9), ..refused(10, 1, "AccessDenied") });
        assert_eq!(shown(&log, "a"), [(8, 1), (10, 1)]);
    }

    #[test]
    fn memory_is_bounded_over_all_channels() {
        let log = RefusalLog::default();
        for number in 0..MAX_IN_ALL + 50 {
            log.note(&id(&format!("channel-{number}")), refused(0, 1, "AccessDenied"));
        }
        assert_eq!(log.entries.lock().len(), MAX_IN_ALL);
        assert!(shown(&log, "channel-0").is_empty());
    }
}
