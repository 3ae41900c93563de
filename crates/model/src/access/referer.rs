//! Hotlink protection (access control 6).

use super::denied;
use super::wildcard::{self, QuestionMark};
use crate::error::Error;
use crate::types::RefererConfiguration;

/// How much of a host a pattern has to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefererHosts {
    /// As much as it likes: `http://www.example.com` fits `http://www.example.com.evil.net/` too (access control 6.3).
    #[default]
    Prefix,
    /// All of it: a pattern is compared with the whole scheme and host, then with the beginning of what follows. A
    /// pattern without a port fits every port (access control 10.3).
    Whole,
}

/// Decides about the `Referer` header of a request to which hotlink protection applies (access control 6.2).
///
/// # Errors
/// `AccessDenied` with EC 0003-00000501 for a missing Referer, 502 for a blacklisted one, 503 for one that is not on
/// the whitelist.
pub fn check(configuration: &RefererConfiguration, hosts: RefererHosts, referer: Option<&str>) -> Result<(), Error> {
    let deny = |ec| Err(denied("You are denied by bucket referer policy.").ec(ec));
    // An empty entry is how clients write an empty list (HTTP API 8.12).
    let mut whitelist = configuration.referers.iter().filter(|pattern| !pattern.is_empty()).peekable();
    let has_whitelist = whitelist.peek().is_some();
    let referer = referer.unwrap_or_default().trim();
    if referer.is_empty() {
        return if configuration.allow_empty_referer || !has_whitelist { Ok(()) } else { deny("0003-00000501") };
    }
    let mut compared = referer;
    if configuration.allow_truncate_query_string || configuration.truncate_path {
        compared = compared.split(['?', '#']).next().unwrap_or(compared);
    }
    if configuration.truncate_path {
        compared = origin(compared);
    }
    let is_listed = |pattern: &String| match hosts {
        RefererHosts::Prefix => matches(pattern, compared, configuration.truncate_path),
        RefererHosts::Whole => matches_whole_host(pattern, compared),
    };
    let mut blacklist = configuration.blacklist.iter().flatten().filter(|pattern| !pattern.is_empty());
    if blacklist.any(is_listed) {
        return deny("0003-00000502");
    }
    if !has_whitelist || whitelist.any(is_listed) { Ok(()) } else { deny("0003-00000503") }
}

/// Whether there is any `Referer` that [`check`] refuses, so that an answer depends on it.
pub fn restricts(configuration: &RefererConfiguration) -> bool {
    let mut listed = configuration.referers.iter().chain(configuration.blacklist.iter().flatten());
    listed.any(|pattern| !pattern.is_empty())
}

/// `scheme://host[:port]` of a URL, or the host of one without scheme.
fn origin(referer: &str) -> &str {
    let start = referer.find("://").map_or(0, |at| at + 3);
    let end = referer.get(start..).and_then(|rest| rest.find('/')).map_or(referer.len(), |at| start + at);
    referer.get(..end).unwrap_or(referer)
}

/// Anchored at the start and free at the end, ASCII case ignored (access control 6.3).
fn matches(pattern: &str, referer: &str, truncates_path: bool) -> bool {
    let pattern = format!("{}*", pattern.to_ascii_lowercase());
    let referer = referer.to_ascii_lowercase();
    let fits = |text: &str| {
        wildcard::matches(&pattern, text, QuestionMark::AnyCharacter)
            || (truncates_path && wildcard::matches(&pattern, &format!("{text}/"), QuestionMark::AnyCharacter))
    };
    let without_scheme = referer.split_once("://").map(|(_, rest)| rest);
    fits(&referer) || (!pattern.contains("://") && without_scheme.is_some_and(fits))
}

/// Scheme and host of the pattern against all of the Referer's, its path against the beginning of the Referer's.
fn matches_whole_host(pattern: &str, referer: &str) -> bool {
    let (pattern, referer) = (pattern.to_ascii_lowercase(), referer.to_ascii_lowercase());
    // `?` stands for a character in a pattern, so only a slash ends its host.
    let (pattern_host, pattern_path) = split_path(&pattern, &['/']);
    let (scheme_and_host, path) = split_path(&referer, &['/', '?', '#', '\\']);
    let (scheme, host) = match scheme_and_host.split_once("://") {
        Some((scheme, host)) => (Some(scheme), host),
        None => (None, scheme_and_host),
    };
    // Whoever writes `http://www.example.com@evil.net/` is at evil.net.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map(|(bare, _)| bare);
    let fits_host = [Some(host), bare].into_iter().flatten().any(|host| {
        let whole = scheme.filter(|_| pattern.contains("://")).map(|scheme| format!("{scheme}://{host}"));
        wildcard::matches(pattern_host, whole.as_deref().unwrap_or(host), QuestionMark::AnyCharacter)
    });
    let path = if path.is_empty() { "/" } else { path };
    fits_host && wildcard::matches(&format!("{pattern_path}*"), path, QuestionMark::AnyCharacter)
}

/// Splits a URL, or a pattern of URLs, at the first of these characters behind its scheme.
fn split_path<'t>(text: &'t str, ends: &[char]) -> (&'t str, &'t str) {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text.get(start..).and_then(|rest| rest.find(ends)).map_or(text.len(), |at| start + at);
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_restrict() {
        fn with(referers: &[&str], blacklist: Option<&[&str]>, allow_empty_referer: bool) -> RefererConfiguration {
            RefererConfiguration {
                referers: referers.iter().map(ToString::to_string).collect(),
                blacklist: blacklist.map(|list| list.iter().map(ToString::to_string).collect()),
                allow_empty_referer,
                ..RefererConfiguration::default()
            }
        }
        assert!(!restricts(&RefererConfiguration::default()));
        assert!(!restricts(&with(&[""], Some(&[""]), false)));
        assert!(restricts(&with(&["http://a"], None, true)));
        assert!(restricts(&with(&[], Some(&["http://a"]), true)));
        // What restricts nothing refuses nobody.
        let nothing = with(&[], Some(&[]), false);
        for referer in [None, Some("http://a")] {
            assert!(check(&nothing, RefererHosts::Prefix, referer).is_ok());
        }
    }

    #[test]
    fn patterns_are_prefixes_with_wildcards() {
        for (pattern, referer, expected) in [
            ("http://www.example.com", "http://www.example.com/page?x=1", true),
            ("http://www.example.com", "https://www.example.com/", false),
            ("http://www.example.com", "http://www.example.com.evil.net/", true),
            ("http://www.example.com/", "http://www.example.com.evil.net/", false),
            ("www.example.com", "http://www.example.com/a", true),
            ("www.example.com", "https://www.example.com/a", true),
            ("*.example.com", "http://help.example.com/a", true),
            ("http://*.example.com", "http://example.com/", false),
            ("http://*.example.com", "http://a.b.example.com/", true),
            ("http://?.example.com", "http://a.example.com/", true),
            ("http://?.example.com", "http://ab.example.com/", false),
            ("https://www.example.com:8443/", "https://www.example.com:8443/x", true),
            ("http://10.10.10.10", "http://10.10.10.10/x", true),
            ("*", "x", true),
            ("HTTP://WWW.example.com", "http://www.EXAMPLE.com/", true),
        ] {
            assert_eq!(matches(pattern, referer, false), expected, "{pattern} {referer}");
        }
    }

    fn check_ec(configuration: &RefererConfiguration, referer: Option<&str>, expected: Option<&str>) {
        let outcome = check(configuration, RefererHosts::Prefix, referer);
        assert_eq!(outcome.err().map(|e| e.ec), expected.map(Some), "{configuration:?} {referer:?}");
    }

    #[test]
    fn typical_configurations() {
        for (allow_empty_referer, listed, ecs) in [
            (true, "", [None, None, None]),
            (false, "", [None, None, None]),
            (true, "http://ok.example/", [None, None, Some("0003-00000503")]),
            (false, "http://ok.example/", [Some("0003-00000501"), None, Some("0003-00000503")]),
        ] {
            let configuration = RefererConfiguration {
                allow_empty_referer,
                referers: vec![listed.to_owned()],
                ..RefererConfiguration::default()
            };
            let sent = [None, Some("http://ok.example/"), Some("http://other.example/")];
            for (referer, ec) in sent.into_iter().zip(ecs) {
                check_ec(&configuration, referer, ec);
            }
            check_ec(&configuration, Some("  "), ecs[0]);
        }
    }

    #[test]
    fn a_blacklist_wins_and_works_alone() {
        let black = |patterns: &[&str]| Some(patterns.iter().map(|p| (*p).to_owned()).collect());
        let alone =
            RefererConfiguration { blacklist: black(&["http://bad.example/"]), ..RefererConfiguration::default() };
        check_ec(&alone, Some("http://bad.example/x"), Some("0003-00000502"));
        check_ec(&alone, Some("http://ok.example/x"), None);
        check_ec(&alone, None, None);
        let both =
            RefererConfiguration { referers: vec!["*.example".into()], blacklist: black(&["", "*bad"]), ..alone };
        check_ec(&both, Some("http://bad.example/x"), Some("0003-00000502"));
        check_ec(&both, Some("http://ok.example/x"), None);
        check_ec(&both, Some("http://ok.test/x"), Some("0003-00000503"));
    }

    #[test]
    fn query_and_path_can_be_cut_before_comparing() {
        let cut = |allow_truncate_query_string, truncate_path, pattern: &str| RefererConfiguration {
            allow_truncate_query_string,
            truncate_path,
            referers: vec![pattern.to_owned()],
            ..RefererConfiguration::default()
        };
        let refused = Some("0003-00000503");
        check_ec(&cut(true, false, "*?x=http://ok"), Some("http://evil/?x=http://ok"), refused);
        check_ec(&cut(false, false, "*x=http://ok"), Some("http://evil/?x=http://ok"), None);
        check_ec(&cut(true, false, "http://*.ok"), Some("http://evil/#a.ok"), refused);
        check_ec(&cut(true, false, "http://*.ok"), Some("http://evil/a.ok"), None);
        check_ec(&cut(true, true, "http://*.ok"), Some("http://evil/a.ok"), refused);
        check_ec(&cut(false, true, "http://*.ok"), Some("http://a.ok/x?y"), None);
        check_ec(&cut(false, true, "http://a.ok/"), Some("http://a.ok/x/y?z"), None);
        check_ec(&cut(false, true, "a.ok/"), Some("a.ok"), None);
        check_ec(&cut(true, false, "http://a.ok/"), Some("http://a.ok"), refused);
    }

    #[test]
    fn whole_hosts_leave_no_suffix() {
        for (pattern, referer, expected) in [
            ("http://www.example.com", "http://www.example.com/page?x=1", true),
            ("http://www.example.com", "http://www.example.com", true),
            ("http://www.example.com/", "http://www.example.com", true),
            ("http://www.example.com", "http://www.example.com:8080/", true),
            ("http://www.example.com:8080", "http://www.example.com:8080/", true),
            ("http://www.example.com:8080", "http://www.example.com:8081/", false),
            ("http://www.example.com", "https://www.example.com/", false),
            ("http://www.example.com", "http://www.example.com.evil.net/", false),
            ("http://www.example.com", "http://www.example.com@evil.net/", false),
            ("http://www.example.com", "http://www.example.com:80@evil.net/", false),
            ("www.example.com", "https://www.example.com/a", true),
            ("www.example.com", "https://www.example.community/a", false),
            ("*.example.com", "http://help.example.com/a", true),
            ("*.example.com", "http://evil.net/.example.com", false),
            ("*.example.com", "http://evil.net/?a.example.com", false),
            ("*.example.com", "http://evil.net?a.example.com", false),
            ("*.example.com", "http://evil.net#a.example.com", false),
            ("http://?.example.com", "http://a.example.com/", true),
            ("http://*/allowed/", "http://a.example.com/allowed/x", true),
            ("http://*/allowed/", "http://a.example.com/other/allowed/x", false),
            ("*", "x", true),
            ("HTTP://WWW.example.com", "http://www.EXAMPLE.com/", true),
        ] {
            assert_eq!(matches_whole_host(pattern, referer), expected, "{pattern} {referer}");
        }
        let strict = RefererConfiguration { referers: vec!["http://ok.example".into()], ..Default::default() };
        assert!(check(&strict, RefererHosts::Prefix, Some("http://ok.example.evil/")).is_ok());
        assert!(check(&strict, RefererHosts::Whole, Some("http://ok.example.evil/")).is_err());
        assert!(check(&strict, RefererHosts::Whole, Some("http://ok.example/x")).is_ok());
    }
}
