//! The policy of a form: what its signer allows it to contain (HTTP API 11).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::PostFields;
use model::date::parse_iso8601;
use model::{Error, ErrorCode, Result};

/// The largest number of conditions that are read.
const MAX_CONDITIONS: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equal(String),
    StartsWith(String),
    In(Vec<String>),
    NotIn(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    /// In lower case, without `$`.
    field: String,
    test: Test,
    /// As the signer wrote it, for the refusal.
    text: String,
}

/// A policy that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostPolicy {
    expiration_ms: i64,
    conditions: Vec<Condition>,
    /// The file size, both ends included.
    length: Option<(u64, u64)>,
}

/// What a policy is compared with, besides the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostPolicyFacts<'a> {
    /// The bucket that is posted to.
    pub bucket: &'a str,
    /// The key, `${filename}` replaced.
    pub key: &'a str,
    /// The content type that will be stored.
    pub content_type: &'a str,
    /// The time, unix ms.
    pub now_ms: i64,
}

fn denied(detail: &str) -> Error {
    Error::new(ErrorCode::AccessDenied).message(format!("Invalid according to Policy: {detail}"))
}

impl Condition {
    fn check(&self, value: Option<&str>) -> Result<()> {
        let holds = value.is_some_and(|value| match &self.test {
            Test::Equal(expected) => value == expected,
            Test::StartsWith(prefix) => value.starts_with(prefix.as_str()),
            Test::In(list) => list.iter().any(|item| item == value),
            Test::NotIn(list) => list.iter().all(|item| item != value),
        });
        if holds { Ok(()) } else { Err(denied(&format!("Policy Condition failed: {}", self.text))) }
    }
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorCode::InvalidPolicyDocument).message(format!("Invalid Policy: {detail}"))
}

impl PostPolicy {
    /// Reads the `policy` field: base64 of JSON.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub fn parse(base64: &str) -> Result<Self> {
        let bytes = STANDARD.decode(base64.trim()).map_err(|_| invalid("Invalid base64 encoding."))?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("Invalid JSON: not UTF-8."))?;
        let json: Value = serde_json::from_str(&without_dollar_escapes(&text))
            .map_err(|error| invalid(&format!("Invalid JSON: {error}")))?;
        let expiration = json.get("expiration").and_then(Value::as_str);
        let expiration = expiration.ok_or_else(|| invalid("Policy must contain a valid expiration."))?;
        let expiration_ms =
            parse_iso8601(expiration).ok_or_else(|| invalid("Policy must contain a valid expiration."))?;
        let list = json.get("conditions").and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| invalid("Policy must contain conditions."))?;
        if list.len() > MAX_CONDITIONS {
            return Err(invalid("Policy has too many conditions."));
        }
        let mut policy = Self { expiration_ms, conditions: Vec::new(), length: None };
        for condition in list {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> Result<()> {
        let text = condition.to_string();
        let (field, test) = match condition {
            Value::Object(members) => read_simple(members)?,
            Value::Array(items) => match items.as_slice() {
                [Value::String(operator), low, high] if operator.eq_ignore_ascii_case("content-length-range") => {
                    let (low, high) = number(low).zip(number(high)).ok_or_else(|| {
                        invalid("Invalid content-length-range: the bounds must be numbers that are not negative.")
                    })?;
                    // Several ranges must all hold.
                    let (most_low, least_high) = self.length.unwrap_or((0, u64::MAX));
                    self.length = Some((low.max(most_low), high.min(least_high)));
                    return Ok(());
                }
                [Value::String(operator), Value::String(field), value] => {
                    let field = field.strip_prefix('$').ok_or_else(|| invalid("A field must begin with '$'."))?;
                    (field, read_test(operator, value)?)
                }
                _ => return Err(invalid("Invalid Condition: a condition must have three items.")),
            },
            _ => return Err(invalid("Invalid Condition: a condition must be an object or an array.")),
        };
        self.conditions.push(Condition { field: field.to_ascii_lowercase(), test, text });
        Ok(())
    }

    /// Compares everything but the size of the file, which is not known yet.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn check(&self, fields: &PostFields, facts: PostPolicyFacts<'_>) -> Result<()> {
        self.check_expiration(facts.now_ms)?;
        self.conditions.iter().try_for_each(|condition| {
            let value = match condition.field.as_str() {
                "bucket" => Some(facts.bucket),
                "key" => Some(facts.key),
                "content-type" => Some(facts.content_type),
                name => fields.text(name),
            };
            condition.check(value)
        })
    }

    /// Compares what is known before the file begins; fields that may still come are not missed, and neither is what the
    /// file itself decides.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn check_early(&self, fields: &PostFields, bucket: &str, now_ms: i64) -> Result<()> {
        self.check_expiration(now_ms)?;
        self.conditions.iter().try_for_each(|condition| {
            let value = match condition.field.as_str() {
                "bucket" => Some(bucket),
                "content-type" => None,
                "key" => fields.text("key").filter(|key| !key.contains("${filename}")),
                name => fields.text(name),
            };
            if value.is_some() { condition.check(value) } else { Ok(()) }
        })
    }

    fn check_expiration(&self, now_ms: i64) -> Result<()> {
        if now_ms > self.expiration_ms { Err(denied("Policy expired.")) } else { Ok(()) }
    }

    /// The largest file that is allowed, so that reading can stop early.
    pub fn max_length(&self) -> u64 {
        self.length.map_or(u64::MAX, |(_, high)| high)
    }

    /// Compares the size of the file.
    ///
    /// # Errors
    /// `EntityTooSmall`, `EntityTooLarge`.
    pub fn check_length(&self, length: u64) -> Result<()> {
        let (low, high) = self.length.unwrap_or((0, u64::MAX));
        if length < low {
            Err(ErrorCode::EntityTooSmall.into())
        } else if length > high {
            Err(ErrorCode::EntityTooLarge.into())
        } else {
            Ok(())
        }
    }
}

fn read_simple(members: &Map<String, Value>) -> Result<(&str, Test)> {
    let mut entries = members.iter();
    match (entries.next(), entries.next()) {
        (Some((field, Value::String(value))), None) => Ok((field, Test::Equal(value.clone()))),
        (Some(_), None) => Err(invalid("Invalid Simple-Condition: the value must be a string.")),
        _ => Err(invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")),
    }
}

fn read_test(operator: &str, value: &Value) -> Result<Test> {
    let text =
        || value.as_str().map(str::to_owned).ok_or_else(|| invalid("The value of a condition must be a string."));
    let list = || {
        let items = value.as_array().ok_or_else(|| invalid("The value of a condition must be a list."))?;
        let item = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| invalid("A list must hold strings."));
        items.iter().map(item).collect::<Result<Vec<_>>>()
    };
    match operator.to_ascii_lowercase().as_str() {
        "eq" => Ok(Test::Equal(text()?)),
        "starts-with" => Ok(Test::StartsWith(text()?)),
        "in" => Ok(Test::In(list()?)),
        "not-in" => Ok(Test::NotIn(list()?)),
        _ => Err(invalid("Invalid Condition: the operator is not known.")),
    }
}

/// SDKs write bounds as numbers, people sometimes as strings.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// `\$` is legal here although JSON does not know it.
fn without_dollar_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('$') => out.push('$'),
            Some(escaped) => out.extend(['\\', escaped]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_704_164_645_000;

    fn policy(conditions: &str) -> Result<PostPolicy> {
        let json = format!("{{\"expiration\":\"2024-01-02T04:04:05.000Z\",\"conditions\":{conditions}}}");
        PostPolicy::parse(&STANDARD.encode(json))
    }

    fn check(conditions: &str, expected: Result<(), &str>) {
        let mut fields = PostFields::default();
        fields.push("X-OSS-Meta-A", b"1".to_vec()).unwrap();
        let facts =
            PostPolicyFacts { bucket: "examplebucket", key: "upload/a.jpg", content_type: "image/jpeg", now_ms: NOW };
        let found = policy(conditions).and_then(|policy| policy.check(&fields, facts));
        assert_eq!(found.map_err(|error| error.message.into_owned()), expected.map_err(str::to_owned), "{conditions}");
    }

    #[test]
    fn the_documented_policy_allows_what_it_says() {
        let text = "eyJleHBpcmF0aW9uIjoiMjAyNC0wMS0wMlQwNDowNDowNS4wMDBaIiwiY29uZGl0aW9ucyI6W3siYnVja2V0IjoiZXhhbXBsZ\
                    WJ1Y2tldCJ9LFsic3RhcnRzLXdpdGgiLCIka2V5IiwidXBsb2FkLyJdLFsiY29udGVudC1sZW5ndGgtcmFuZ2UiLDEsMTA0ODU3Nl1dfQ==";
        let policy = PostPolicy::parse(text).unwrap();
        let facts = PostPolicyFacts { bucket: "examplebucket", key: "upload/a", content_type: "", now_ms: NOW };
        let fields = PostFields::default();
        assert!(policy.check(&fields, facts).is_ok());
        assert_eq!(policy.max_length(), 1_048_576);
        assert_eq!(policy.check_length(0).unwrap_err().code, ErrorCode::EntityTooSmall);
        assert!(policy.check_length(1).is_ok() && policy.check_length(1_048_576).is_ok());
        assert_eq!(policy.check_length(1_048_577).unwrap_err().code, ErrorCode::EntityTooLarge);
        let late = PostPolicyFacts { now_ms: NOW + 3_600_001, ..facts };
        assert_eq!(policy.check(&fields, late).unwrap_err().message, "Invalid according to Policy: Policy expired.");
        let elsewhere = PostPolicyFacts { key: "other/a", ..facts };
        assert_eq!(
            policy.check(&fields, elsewhere).unwrap_err().message,
            "Invalid according to Policy: Policy Condition failed: [\"starts-with\",\"$key\",\"upload/\"]"
        );
    }

    #[test]
    fn conditions_compare_fields() {
        check("[[\"eq\",\"$x-oss-meta-a\",\"1\"]]", Ok(()));
        check("[[\"eq\",\"\\$Bucket\",\"examplebucket\"]]", Ok(()));
        check("[{\"X-OSS-meta-A\":\"1\"},[\"starts-with\",\"$key\",\"\"]]", Ok(()));
        check("[[\"in\",\"$content-type\",[\"image/jpeg\",\"image/png\"]],[\"not-in\",\"$key\",[\"a\"]]]", Ok(()));
        for failing in ["[\"not-in\",\"$content-type\",[\"image/jpeg\"]]", "[\"eq\",\"$missing\",\"\"]"] {
            let message = format!("Invalid according to Policy: Policy Condition failed: {failing}");
            check(&format!("[{failing}]"), Err(&message));
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for conditions in [
            "[]",
            "{}",
            "[1]",
            "[{}]",
            "[{\"a\":\"b\",\"c\":\"d\"}]",
            "[{\"a\":1}]",
            "[[\"eq\",\"key\",\"a\"]]",
            "[[\"like\",\"$key\",\"a\"]]",
            "[[\"in\",\"$key\",\"a\"]]",
            "[[\"content-length-range\",-1,5]]",
            "[[\"eq\"]]",
            "[",
        ] {
            assert_eq!(policy(conditions).unwrap_err().code, ErrorCode::InvalidPolicyDocument, "{conditions}");
        }
        for text in ["", "e30=", "!", "eyJleHBpcmF0aW9uIjoieCJ9"] {
            assert_eq!(PostPolicy::parse(text).unwrap_err().code, ErrorCode::InvalidPolicyDocument, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_policy_is_read_or_refused(bytes: Vec<u8>, json in "(\\[|\\]|\\{|\\}|\"|,|:|eq|\\$key|1|\\\\){0,20}") {
            let _ = (PostPolicy::parse(&STANDARD.encode(bytes)), PostPolicy::parse(&json), policy(&json));
        }
    }
}
