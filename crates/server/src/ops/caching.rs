//! How long browsers and caches may keep what the server recorded (D23). Without a word from the server they guess, and
//! a page that comes back plays a live playlist of minutes ago.
//!
//! Only what the server made itself is spoken about: its segments and playlists, known by their [`ObjectRole`]. What was
//! uploaded has the headers that it was uploaded with, whatever its name ends in.

use model::access::cors;
use model::access::{Caller, referer};
use model::{BucketAcl, ObjectAcl, ObjectType};
use store::meta::{ObjectRecord, ObjectRole};

use super::Call;
use crate::config::CacheConfig;

/// Who may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Everybody: whoever asks, and however, is answered the same.
    Anyone,
    /// Whoever asked, as long as the signature in the URL is good: so many seconds.
    Reader(u64),
    /// Whoever asked, and may use it again once the server was asked again.
    ReaderWhoAsks,
    /// Whoever asked, and as they like: only that nobody else may have it is known.
    Reading,
}

/// Who may keep an answer, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// Who.
    pub(crate) keeper: Keeper,
    /// The longest time for which anybody may, seconds; 0: it is asked for again each time.
    pub(crate) longest_s: u64,
    /// Whether it never changes.
    pub(crate) is_final: bool,
    /// Whether what is kept varies by the page that asked.
    pub(crate) varies_by_origin: bool,
}

/// The page that asks, of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page<'a> {
    /// Its origin; `None` when that cannot be read.
    pub(crate) origin: Option<&'a str>,
    /// The method with which it asks, which rules for other origins name.
    pub(crate) method: &'a str,
}

/// Who may keep an answer with an object; `None` for objects about which nothing is said.
pub(super) fn of(call: &Call<'_>, record: &ObjectRecord, page: Option<Page<'_>>) -> Option<Keeping> {
    let config = &call.services.cache;
    let Some(longest_s) = longest_s(config, record) else {
        return (config.headers && is_secret(call, record)).then_some(SECRET);
    };
    Some(Keeping {
        keeper: keeper(call, record, page),
        longest_s,
        is_final: record.role == ObjectRole::LiveSegment,
        varies_by_origin: config.vary_origin,
    })
}

/// How an answer is kept that was given to somebody whom the server knows: by nobody else. Caches in front that do not look
/// at signatures would give it to everybody.
pub(crate) const SECRET: Keeping =
    Keeping { keeper: Keeper::Reading, longest_s: 0, is_final: false, varies_by_origin: false };

/// Whether somebody whom the server knows reads what strangers may not, or not all of them.
fn is_secret(call: &Call<'_>, record: &ObjectRecord) -> bool {
    if matches!(call.granted.grant.caller(), Caller::Anonymous) {
        return false;
    }
    let Some(bucket) = call.granted.bucket.as_ref().map(|bucket| &bucket.record) else { return true };
    let is_open = match record.acl {
        ObjectAcl::Default => matches!(bucket.acl, BucketAcl::PublicRead | BucketAcl::PublicReadWrite),
        ObjectAcl::PublicRead | ObjectAcl::PublicReadWrite => true,
        ObjectAcl::Private => false,
    };
    !is_open || bucket.referer.as_ref().is_some_and(referer::restricts) || bucket.policy_json.is_some()
}

/// As [`of`], for a playlist that is made for its reader. `longest_s` is how long it may be kept, 0 not at all.
pub(super) fn of_made(call: &Call<'_>, longest_s: u64) -> Option<Keeping> {
    let config = &call.services.cache;
    config.headers.then(|| Keeping {
        keeper: call.granted.expires_in_s(call.now_ms).map_or(Keeper::ReaderWhoAsks, Keeper::Reader),
        longest_s,
        is_final: false,
        varies_by_origin: config.vary_origin,
    })
}

/// The longest time for which anybody may keep an object, seconds; `None` for objects about which nothing is said.
fn longest_s(config: &CacheConfig, record: &ObjectRecord) -> Option<u64> {
    let is_link = record.object_type == ObjectType::Symlink;
    match record.role {
        _ if !config.headers => None,
        ObjectRole::Ordinary => None,
        // A link may lead somewhere else tomorrow.
        ObjectRole::LiveSegment | ObjectRole::VodPlaylist if is_link => Some(0),
        ObjectRole::LiveSegment => Some(config.segment_max_age_s),
        ObjectRole::LivePlaylist => Some(config.live_playlist_max_age_s),
        ObjectRole::VodPlaylist => Some(config.vod_playlist_max_age_s),
    }
}

fn keeper(call: &Call<'_>, record: &ObjectRecord, page: Option<Page<'_>>) -> Keeper {
    // A page that may not read the answer now may be allowed to later, but not by what was kept.
    let is_useless = page.is_some_and(|page| !may_be_read_by(call, page));
    if let Some(left_s) = call.granted.expires_in_s(call.now_ms)
        && !is_useless
    {
        return Keeper::Reader(left_s);
    }
    let is_anonymous = matches!(call.granted.grant.caller(), Caller::Anonymous);
    if is_anonymous && !is_useless && is_for_everybody(call, record) { Keeper::Anyone } else { Keeper::ReaderWhoAsks }
}

/// Whether every stranger is let in alike: by the ACL of the bucket and nothing else. A policy may look at addresses and
/// times, hotlink protection looks at the page; a cache looks at neither.
fn is_for_everybody(call: &Call<'_>, record: &ObjectRecord) -> bool {
    let Some(bucket) = call.granted.bucket.as_ref().map(|bucket| &bucket.record) else { return false };
    let is_public = matches!(bucket.acl, BucketAcl::PublicRead | BucketAcl::PublicReadWrite);
    let is_open = matches!(record.acl, ObjectAcl::Default | ObjectAcl::PublicRead | ObjectAcl::PublicReadWrite);
    let is_protected = bucket.referer.as_ref().is_some_and(referer::restricts);
    is_public && is_open && !is_protected && bucket.policy_json.is_none()
}

fn may_be_read_by(call: &Call<'_>, page: Page<'_>) -> bool {
    let rules = call.granted.bucket.as_ref().and_then(|bucket| bucket.record.cors.as_ref());
    let answered = rules.zip(page.origin);
    answered.is_some_and(|(rules, origin)| cors::evaluate(rules, origin, page.method, None).is_some())
}
