//! The conditions of a statement (access control 4.3).

use std::cmp::Ordering;
use std::net::IpAddr;

use super::PolicyQuestion;
use super::wildcard::{self, QuestionMark};
use crate::access::network::Network;
use crate::date;

/// What conditions look at, besides the caller.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConditionValues {
    /// The address of the peer, or what a configured proxy says it is.
    pub source_ip: Option<IpAddr>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Unix time, seconds.
    pub now_s: i64,
    /// Whether the request came over TLS.
    pub secure: bool,
    /// The parameter `prefix` of a list operation; absent means empty.
    pub prefix: Option<String>,
    /// The parameter `delimiter` of a list operation; absent means empty.
    pub delimiter: Option<String>,
    /// Tags of the existing object.
    pub existing_tags: Vec<(String, String)>,
    /// Tags that the request sets.
    pub request_tags: Vec<(String, String)>,
    /// Tags of the bucket.
    pub bucket_tags: Vec<(String, String)>,
}

/// One operator on one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    key: Key,
    /// No value may fit, instead of at least one.
    is_negated: bool,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    SourceIp,
    UserAgent,
    CurrentTime,
    SecureTransport,
    Prefix,
    Delimiter,
    AccessId,
    ExistingTag(String),
    RequestTag(String),
    BucketTag(String),
    /// Known, but no request here ever has it: multi-factor authentication and virtual networks.
    NeverPresent,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Equal { values: Vec<String>, ignores_case: bool },
    Like(Vec<String>),
    Address(Vec<AddressPattern>),
    Bool(Vec<bool>),
    Date(Comparison, Vec<i64>),
    Number(Comparison, Vec<f64>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

impl Comparison {
    fn parse(text: &str) -> Option<(Self, bool)> {
        Some(match text {
            "Equals" => (Self::Equals, false),
            "NotEquals" => (Self::Equals, true),
            "LessThan" => (Self::LessThan, false),
            "LessThanEquals" => (Self::LessThanEquals, false),
            "GreaterThan" => (Self::GreaterThan, false),
            "GreaterThanEquals" => (Self::GreaterThanEquals, false),
            _ => return None,
        })
    }

    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equals => ordering.is_eq(),
            Self::LessThan => ordering.is_lt(),
            Self::LessThanEquals => ordering.is_le(),
            Self::GreaterThan => ordering.is_gt(),
            Self::GreaterThanEquals => ordering.is_ge(),
        }
    }
}

/// An address, a network, or text such as `10.1.*`.
#[derive(Debug, Clone, PartialEq)]
enum AddressPattern {
    Network(Network),
    Text(String),
}

impl AddressPattern {
    fn parse(text: &str) -> Option<Self> {
        if text.contains('*') {
            let is_plain = text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'*'));
            return is_plain.then(|| Self::Text(text.to_ascii_lowercase()));
        }
        Network::parse(text).map(Self::Network)
    }

    fn contains(&self, found: IpAddr) -> bool {
        match self {
            Self::Text(pattern) => wildcard::matches(pattern, &found.to_string(), QuestionMark::Literal),
            Self::Network(network) => network.contains(found),
        }
    }
}

impl Condition {
    /// Whether it holds for certain callers only, however a stranger words the request.
    pub(super) fn names_callers(&self) -> bool {
        let is_fixed = |pattern: &AddressPattern| match pattern {
            AddressPattern::Network(network) => !network.is_everything(),
            AddressPattern::Text(text) => text.bytes().any(|b| b.is_ascii_hexdigit()),
        };
        match (&self.key, &self.test) {
            _ if self.is_negated => false,
            (Key::NeverPresent, _) => true,
            (Key::SourceIp, Test::Address(patterns)) => patterns.iter().all(is_fixed),
            (Key::SourceIp | Key::AccessId, Test::Equal { .. }) => true,
            (Key::AccessId, Test::Like(patterns)) => patterns.iter().all(|pattern| !pattern.contains('*')),
            _ => false,
        }
    }

    /// Reads an operator, a key and its values; `None` for an unknown name or a value that the operator cannot read.
    pub(super) fn parse(operator: &str, key: &str, values: &[String]) -> Option<Self> {
        let equal = |ignores_case| Test::Equal { values: values.to_vec(), ignores_case };
        let addresses =
            || values.iter().map(|text| AddressPattern::parse(text)).collect::<Option<_>>().map(Test::Address);
        let (test, is_negated) = match operator {
            "StringEquals" => (equal(false), false),
            "StringNotEquals" => (equal(false), true),
            "StringEqualsIgnoreCase" => (equal(true), false),
            "StringNotEqualsIgnoreCase" => (equal(true), true),
            "StringLike" => (Test::Like(values.to_vec()), false),
            "StringNotLike" => (Test::Like(values.to_vec()), true),
            "IpAddress" => (addresses()?, false),
            "NotIpAddress" => (addresses()?, true),
            "Bool" => (Test::Bool(values.iter().map(|text| parse_bool(text)).collect::<Option<_>>()?), false),
            _ => {
                if let Some(comparison) = operator.strip_prefix("Date") {
                    let (comparison, is_negated) = Comparison::parse(comparison)?;
                    let dates = values.iter().map(|text| date::parse_moment(text)).collect::<Option<_>>()?;
                    (Test::Date(comparison, dates), is_negated)
                } else {
                    let (comparison, is_negated) = Comparison::parse(operator.strip_prefix("Numeric")?)?;
                    let numbers = values.iter().map(|text| parse_number(text)).collect::<Option<_>>()?;
                    (Test::Number(comparison, numbers), is_negated)
                }
            }
        };
        Some(Self { key: Key::parse(key)?, is_negated, test })
    }

    /// Several values are alternatives, for negated operators none may fit. A key that the request does not have fits
    /// negated operators only (access control 4.2).
    pub(super) fn holds(&self, question: &PolicyQuestion<'_>) -> bool {
        let found = self.key.value(question);
        found.is_some_and(|found| self.test.fits(&found)) != self.is_negated
    }
}

impl Test {
    fn fits(&self, found: &str) -> bool {
        match self {
            Self::Equal { values, ignores_case: false } => values.iter().any(|value| value == found),
            Self::Equal { values, ignores_case: true } => values.iter().any(|value| value.eq_ignore_ascii_case(found)),
            Self::Like(patterns) => {
                patterns.iter().any(|pattern| wildcard::matches(pattern, found, QuestionMark::AnyCharacter))
            }
            Self::Address(patterns) => {
                found.parse().is_ok_and(|found: IpAddr| patterns.iter().any(|pattern| pattern.contains(found)))
            }
            Self::Bool(values) => parse_bool(found).is_some_and(|found| values.contains(&found)),
            Self::Date(comparison, values) => date::parse_moment(found)
                .is_some_and(|found| values.iter().any(|value| comparison.accepts(found.cmp(value)))),
            Self::Number(comparison, values) => parse_number(found).is_some_and(|found| {
                values.iter().any(|value| found.partial_cmp(value).is_some_and(|ordering| comparison.accepts(ordering)))
            }),
        }
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        if let Some((name, tag)) = text.split_once('/') {
            let tag = (!tag.is_empty()).then(|| tag.to_owned())?;
            return match name {
                "oss:ExistingObjectTag" => Some(Self::ExistingTag(tag)),
                "oss:RequestObjectTag" => Some(Self::RequestTag(tag)),
                "oss:BucketTag" => Some(Self::BucketTag(tag)),
                _ => None,
            };
        }
        Some(match text {
            "acs:SourceIp" => Self::SourceIp,
            "acs:UserAgent" => Self::UserAgent,
            "acs:CurrentTime" => Self::CurrentTime,
            "acs:SecureTransport" => Self::SecureTransport,
            "oss:Prefix" => Self::Prefix,
            "oss:Delimiter" => Self::Delimiter,
            "acs:AccessId" => Self::AccessId,
            "acs:MFAPresent" | "acs:SourceVpc" => Self::NeverPresent,
            _ => return None,
        })
    }

    /// What the request has under this key.
    fn value(&self, question: &PolicyQuestion<'_>) -> Option<String> {
        let values = question.values;
        let listed = |value: &Option<String>| question.is_listing.then(|| value.clone().unwrap_or_default());
        let tag = |tags: &[(String, String)], wanted: &str| {
            tags.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        };
        match self {
            // A listener for both families reports IPv4 peers as mapped addresses; policies are written without.
            Self::SourceIp => values.source_ip.map(|ip| ip.to_canonical().to_string()),
            Self::UserAgent => values.user_agent.clone(),
            Self::CurrentTime => Some(date::format_iso8601(values.now_s.saturating_mul(1000))),
            Self::SecureTransport => Some(values.secure.to_string()),
            Self::Prefix => listed(&values.prefix),
            Self::Delimiter => listed(&values.delimiter),
            Self::AccessId => question.caller.access_key_id().map(ToString::to_string),
            Self::ExistingTag(name) => tag(&values.existing_tags, name),
            Self::RequestTag(name) => tag(&values.request_tags, name),
            Self::BucketTag(name) => tag(&values.bucket_tags, name),
            Self::NeverPresent => None,
        }
    }
}

/// `HTTPS` and `HTTP` are how some documents write the values of `acs:SecureTransport`.
fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "https" => Some(true),
        "false" | "http" => Some(false),
        _ => None,
    }
}

fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}
