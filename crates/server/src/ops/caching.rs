//! How long browsers and caches may keep what the server recorded (D23). Without a word from the server they guess, and
//! a page that comes back plays a live playlist of minutes ago.
//!
//! Only what the server made itself is spoken about: its segments and playlists, known by their [`ObjectRole`]. What was
//! uploaded has the headers that it was uploaded with, whatever its name ends in.

use model::access::cors;
use model::access::{Caller, referer};
use model::{BucketAcl, ObjectAcl, ObjectType};
use store::meta::{ObjectRecord, ObjectRole};

use super::{Answer, Call};
use crate::config::CacheConfig;

/// Who may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    /// Everybody: whoever asks, and however, is answered the same.
    Anyone,
    /// Whoever asked, as long as the signature in the URL is good: so many seconds.
    Reader(u64),
    /// Whoever asked, and may use it again once the server was asked again.
    ReaderWhoAsks,
}

/// Adds `Cache-Control` to an answer with an object, unless a header that was stored or asked for says it.
pub(super) fn announce(call: &Call<'_>, record: &ObjectRecord, answer: Answer) -> Answer {
    let config = &call.state.config.cache;
    let is_said = answer.headers.iter().any(|(name, _)| matches!(name.as_str(), "cache-control" | "expires"));
    let longest_s = match longest_s(config, record) {
        Some(longest_s) if !is_said => longest_s,
        _ => return answer,
    };
    let is_segment = record.role == ObjectRole::LiveSegment;
    with(answer, config, &control(keeper(call, record), longest_s, is_segment))
}

/// As [`announce`], for a playlist that is made for its reader. `longest_s` is how long it may be kept, 0 not at all.
pub(super) fn announce_made(call: &Call<'_>, longest_s: u64, answer: Answer) -> Answer {
    let config = &call.state.config.cache;
    if !config.headers {
        return answer;
    }
    let keeper = call.granted.expires_in_s(call.now_ms).map_or(Keeper::ReaderWhoAsks, Keeper::Reader);
    with(answer, config, &control(keeper, longest_s, false))
}

/// An answer that is kept for a while has to tell origins apart even in a bucket without CORS rules: the rules may come
/// before the end of that while, and what was kept would still be without their headers.
fn with(answer: Answer, config: &CacheConfig, control: &str) -> Answer {
    let is_kept = control.contains("max-age");
    let answer = answer.header("cache-control", control);
    if is_kept && config.vary_origin { answer.header("vary", "Origin") } else { answer }
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

fn control(keeper: Keeper, longest_s: u64, is_segment: bool) -> String {
    match (keeper, longest_s) {
        (Keeper::Anyone, 0) => "no-cache".to_owned(),
        (Keeper::Anyone, longest_s) if is_segment => format!("public, max-age={longest_s}, immutable"),
        (Keeper::Anyone, longest_s) => format!("public, max-age={longest_s}"),
        (Keeper::Reader(left_s), longest_s) if left_s.min(longest_s) > 0 => {
            format!("private, max-age={}", left_s.min(longest_s))
        }
        (Keeper::Reader(_) | Keeper::ReaderWhoAsks, _) => "private, no-cache".to_owned(),
    }
}

fn keeper(call: &Call<'_>, record: &ObjectRecord) -> Keeper {
    // A page that may not read the answer now may be allowed to later, but not by what was kept.
    let is_useless = call.raw.header("origin").is_some() && !may_be_read_by_its_origin(call);
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

fn may_be_read_by_its_origin(call: &Call<'_>) -> bool {
    let rules = call.granted.bucket.as_ref().and_then(|bucket| bucket.record.cors.as_ref());
    let answered = rules.zip(call.raw.header_text("origin"));
    answered.is_some_and(|(rules, origin)| cors::evaluate(rules, origin, &call.raw.method, None).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_keeps_more_than_was_allowed() {
        for (keeper, longest_s, is_segment, expected) in [
            (Keeper::Anyone, 31_536_000, true, "public, max-age=31536000, immutable"),
            (Keeper::Anyone, 60, false, "public, max-age=60"),
            (Keeper::Anyone, 0, true, "no-cache"),
            (Keeper::Anyone, 0, false, "no-cache"),
            (Keeper::Reader(600), 31_536_000, true, "private, max-age=600"),
            (Keeper::Reader(600), 60, false, "private, max-age=60"),
            (Keeper::Reader(600), 0, false, "private, no-cache"),
            (Keeper::Reader(0), 60, true, "private, no-cache"),
            (Keeper::ReaderWhoAsks, 60, true, "private, no-cache"),
        ] {
            assert_eq!(control(keeper, longest_s, is_segment), expected, "{keeper:?} {longest_s}");
        }
    }
}
