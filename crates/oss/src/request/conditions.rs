//! Conditional requests (HTTP API 9.2, 9.7; D24).

use super::RawRequest;
use model::ETag;
use model::date::{parse_http, parse_iso8601};
use model::{Error, ErrorCode};

/// The four conditions of a request, about the object it reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_unmodified_since_ms: Option<i64>,
    if_modified_since_ms: Option<i64>,
}

/// What the conditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionOutcome {
    /// Go on.
    Proceed,
    /// Answer 304 without a body.
    NotModified,
    /// Answer 412; the name of the header that failed.
    Failed(&'static str),
}

impl Conditions {
    /// The `If-*` headers. Dates that cannot be read are ignored. `now_ms`, Unix time, tells the century of years that
    /// are written with two digits.
    pub fn of_read(raw: &RawRequest, now_ms: i64) -> Self {
        Self::read(raw, ["if-match", "if-none-match", "if-unmodified-since", "if-modified-since"], now_ms)
    }

    /// The `x-oss-copy-source-if-*` headers, about the source of a copy.
    pub fn of_copy_source(raw: &RawRequest, now_ms: i64) -> Self {
        Self::read(
            raw,
            [
                "x-oss-copy-source-if-match",
                "x-oss-copy-source-if-none-match",
                "x-oss-copy-source-if-unmodified-since",
                "x-oss-copy-source-if-modified-since",
            ],
            now_ms,
        )
    }

    fn read(raw: &RawRequest, [matches, none, unmodified, modified]: [&str; 4], now_ms: i64) -> Self {
        let text = |name: &str| raw.header_text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let date = |name: &str| {
            raw.header_text(name).and_then(|text| parse_http(text, now_ms).or_else(|| parse_iso8601(text)))
        };
        Self {
            if_match: text(matches),
            if_none_match: text(none),
            if_unmodified_since_ms: date(unmodified),
            if_modified_since_ms: date(modified),
        }
    }

    /// Evaluates in the documented order; the first failure decides. Dates are compared in whole seconds, as headers
    /// show them.
    pub fn evaluate(&self, etag: &ETag, modified_ms: i64) -> ConditionOutcome {
        // A list of tags is legal HTTP; one of them is enough.
        let names = |sent: &String| sent.split(',').any(|one| etag.matches(one.trim().trim_start_matches("W/")));
        let second = |ms: i64| ms.div_euclid(1000);
        if self.if_match.as_ref().is_some_and(|sent| !names(sent)) {
            return ConditionOutcome::Failed("If-Match");
        }
        if self.if_unmodified_since_ms.is_some_and(|bound| second(modified_ms) > second(bound)) {
            return ConditionOutcome::Failed("If-Unmodified-Since");
        }
        if self.if_none_match.as_ref().is_some_and(names) {
            return ConditionOutcome::NotModified;
        }
        if self.if_modified_since_ms.is_some_and(|bound| second(modified_ms) <= second(bound)) {
            return ConditionOutcome::NotModified;
        }
        ConditionOutcome::Proceed
    }
}

/// Whether `If-Range` lets the `Range` beside it count (RFC 9110 13.1.5, D24): it does when there is none, or when it
/// names the object as it is, by its tag or by the very second of its Last-Modified. A weak tag never does, nor does
/// anything that cannot be read: then the whole object is sent, and what the client holds of another one is replaced.
/// `now_ms` as in [`Conditions::of_read`].
pub fn range_is_current(raw: &RawRequest, etag: &ETag, modified_ms: i64, now_ms: i64) -> bool {
    let mut sent = raw.headers_named("if-range");
    let Some(first) = sent.next() else { return true };
    let (Ok(text), None) = (std::str::from_utf8(first.trim_ascii()), sent.next()) else { return false };
    let is_tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(|tag| tag == etag.as_str());
    // The second alone tells two writes of one second not apart; clients that have a tag send that.
    is_tag || parse_http(text, now_ms).is_some_and(|ms| ms.div_euclid(1000) == modified_ms.div_euclid(1000))
}

impl ConditionOutcome {
    /// Turns anything but [`ConditionOutcome::Proceed`] into its refusal.
    ///
    /// # Errors
    /// `NotModified` (to be sent without a body) or `PreconditionFailed`.
    pub fn check(self) -> Result<(), Error> {
        match self {
            Self::Proceed => Ok(()),
            Self::NotModified => Err(Error::new(ErrorCode::NotModified)),
            Self::Failed(header) => Err(Error::new(ErrorCode::PreconditionFailed).with("Condition", header)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MODIFIED_MS: i64 = 1_704_164_645_900;

    fn check(headers: &[(&str, &str)], expected: ConditionOutcome) {
        let etag = ETag::from_text("5B3C1A2E053D763E1B002CC607C5A0FE");
        for (prefix, conditions) in [
            ("", Conditions::of_read as fn(&RawRequest, i64) -> Conditions),
            ("x-oss-copy-source-", Conditions::of_copy_source),
        ] {
            let headers =
                headers.iter().map(|(name, value)| (format!("{prefix}{name}"), value.as_bytes().to_vec())).collect();
            let raw = RawRequest { headers, ..RawRequest::default() };
            assert_eq!(conditions(&raw, MODIFIED_MS).evaluate(&etag, MODIFIED_MS), expected, "{raw:?}");
        }
    }

    #[test]
    fn the_first_failure_decides() {
        use ConditionOutcome::{Failed, NotModified, Proceed};
        let same = "Tue, 02 Jan 2024 03:04:05 GMT";
        let before = "Tue, 02 Jan 2024 03:04:04 GMT";
        check(&[], Proceed);
        check(&[("if-match", "\"5b3c1a2e053d763e1b002cc607c5a0fe\"")], Proceed);
        check(&[("if-match", "*")], Proceed);
        check(&[("if-match", "\"x\", 5B3C1A2E053D763E1B002CC607C5A0FE")], Proceed);
        check(&[("if-match", "x"), ("if-unmodified-since", before)], Failed("If-Match"));
        check(&[("if-unmodified-since", same)], Proceed);
        check(&[("if-unmodified-since", before), ("if-none-match", "*")], Failed("If-Unmodified-Since"));
        check(&[("if-none-match", "*")], NotModified);
        check(&[("if-none-match", "x")], Proceed);
        check(&[("if-modified-since", same)], NotModified);
        check(&[("if-modified-since", "2024-01-02T03:04:05Z")], NotModified);
        check(&[("if-modified-since", before)], Proceed);
        check(&[("if-modified-since", "yesterday")], Proceed);
    }

    #[test]
    fn a_range_counts_for_the_object_that_if_range_names() {
        let etag = ETag::from_text("5B3C1A2E053D763E1B002CC607C5A0FE-2");
        let cases: &[(&[&str], bool)] = &[
            (&[], true),
            (&["\"5B3C1A2E053D763E1B002CC607C5A0FE-2\""], true),
            (&[" \"5B3C1A2E053D763E1B002CC607C5A0FE-2\" "], true),
            (&["Tue, 02 Jan 2024 03:04:05 GMT"], true),
            (&["Tuesday, 02-Jan-24 03:04:05 GMT"], true),
            (&["Tue Jan  2 03:04:05 2024"], true),
            (&["Tue, 02 Jan 2024 03:04:06 GMT"], false),
            (&["Tue, 02 Jan 2024 03:04:04 GMT"], false),
            (&["W/\"5B3C1A2E053D763E1B002CC607C5A0FE-2\""], false),
            (&["\"5B3C1A2E053D763E1B002CC607C5A0FE\""], false),
            (&["\"x\", \"5B3C1A2E053D763E1B002CC607C5A0FE-2\""], false),
            (&["5B3C1A2E053D763E1B002CC607C5A0FE-2"], false),
            (&["*"], false),
            (&["\""], false),
            (&[""], false),
            (&["\"5B3C1A2E053D763E1B002CC607C5A0FE-2\"", "\"x\""], false),
        ];
        for (sent, expected) in cases {
            let headers = sent.iter().map(|value| ("if-range".to_owned(), value.as_bytes().to_vec())).collect();
            let raw = RawRequest { headers, ..RawRequest::default() };
            assert_eq!(range_is_current(&raw, &etag, MODIFIED_MS, MODIFIED_MS), *expected, "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_a_condition_or_ignored(value: Vec<u8>, ms: i64) {
            for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"] {
                let raw = RawRequest { headers: vec![(name.into(), value.clone())], ..RawRequest::default() };
                let _ = Conditions::of_read(&raw, ms).evaluate(&ETag::from_bits(1), ms).check();
                let _ = range_is_current(&raw, &ETag::from_bits(1), ms, ms);
            }
        }
    }
}
