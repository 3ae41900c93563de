//! Conditional requests (HTTP API 9.2, 9.7).

use super::RawRequest;
use crate::date::{parse_http, parse_iso8601};
use crate::error::{Error, ErrorCode};
use crate::model::ETag;

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
    /// The `If-*` headers. Dates that cannot be read are ignored.
    pub fn of_read(raw: &RawRequest) -> Self {
        Self::read(raw, ["if-match", "if-none-match", "if-unmodified-since", "if-modified-since"])
    }

    /// The `x-oss-copy-source-if-*` headers, about the source of a copy.
    pub fn of_copy_source(raw: &RawRequest) -> Self {
        Self::read(
            raw,
            [
                "x-oss-copy-source-if-match",
                "x-oss-copy-source-if-none-match",
                "x-oss-copy-source-if-unmodified-since",
                "x-oss-copy-source-if-modified-since",
            ],
        )
    }

    fn read(raw: &RawRequest, [matches, none, unmodified, modified]: [&str; 4]) -> Self {
        let text = |name: &str| raw.header_text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let date = |name: &str| raw.header_text(name).and_then(|text| parse_http(text).or_else(|| parse_iso8601(text)));
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
            ("", Conditions::of_read as fn(&RawRequest) -> Conditions),
            ("x-oss-copy-source-", Conditions::of_copy_source),
        ] {
            let headers =
                headers.iter().map(|(name, value)| (format!("{prefix}{name}"), value.as_bytes().to_vec())).collect();
            let raw = RawRequest { headers, ..RawRequest::default() };
            assert_eq!(conditions(&raw).evaluate(&etag, MODIFIED_MS), expected, "{raw:?}");
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

    proptest! {
        #[test]
        fn any_header_is_a_condition_or_ignored(value: Vec<u8>, ms: i64) {
            for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
                let raw = RawRequest { headers: vec![(name.into(), value.clone())], ..RawRequest::default() };
                let _ = Conditions::of_read(&raw).evaluate(&ETag::from_bits(1), ms).check();
            }
        }
    }
}
