//! The query of a request (HTTP API 1.4).

use std::borrow::Cow;

use model::Error;
use model::percent::percent_decode;

/// One `name=value` of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPair {
    /// The name as sent.
    pub raw_name: String,
    /// The value as sent; `None` when there was no `=`. Only signatures tell `acl` from `acl=`.
    pub raw_value: Option<String>,
    /// The name, decoded once.
    pub name: Vec<u8>,
    /// The value, decoded once; empty when there was none.
    pub value: Vec<u8>,
    text: String,
}

impl QueryPair {
    /// The decoded value as text, in which invalid UTF-8 shows as U+FFFD.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The parameters of a request in order of arrival. The first of several with one name counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pairs: Vec<QueryPair>,
}

impl Query {
    /// Splits at `&`, then at the first `=`, then undoes percent escapes once. Empty pieces are dropped.
    pub fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
            let (raw_name, raw_value) = match piece.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (piece, None),
            };
            let value = percent_decode(raw_value.unwrap_or_default());
            QueryPair {
                raw_name: raw_name.to_owned(),
                raw_value: raw_value.map(str::to_owned),
                name: percent_decode(raw_name),
                text: String::from_utf8_lossy(&value).into_owned(),
                value,
            }
        });
        Self { pairs: pairs.collect() }
    }

    /// Whether the parameter was sent, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.pair(name).is_some()
    }

    /// The first value of a parameter as text (see [`QueryPair::text`]); empty when it was sent without one.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.pair(name).map(QueryPair::text)
    }

    /// The first pair with this decoded name.
    pub fn pair(&self, name: &str) -> Option<&QueryPair> {
        self.pairs.iter().find(|pair| pair.name == name.as_bytes())
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> &[QueryPair] {
        &self.pairs
    }

    /// The text of an optional parameter of at most `max_bytes`; empty when absent.
    ///
    /// # Errors
    /// `InvalidArgument` naming the parameter when it is longer or not UTF-8.
    pub fn bounded_text(&self, name: &'static str, max_bytes: usize) -> Result<&str, Error> {
        let Some(pair) = self.pair(name) else { return Ok("") };
        if pair.value.len() > max_bytes || std::str::from_utf8(&pair.value).is_err() {
            let message = Cow::Owned(format!("The {name} must be UTF-8 of at most {max_bytes} bytes."));
            return Err(Error::argument(name, shown(pair.text()), message));
        }
        Ok(pair.text())
    }

    /// A decimal number between `low` and `high`; `default` when absent or empty.
    ///
    /// # Errors
    /// `InvalidArgument` naming the parameter.
    pub fn bounded_number(&self, name: &'static str, low: u32, high: u32, default: u32) -> Result<u32, Error> {
        match self.first(name) {
            None | Some("") => Ok(default),
            Some(text) => parse_decimal(text)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| (low..=high).contains(number))
                .ok_or_else(|| {
                    let message = format!("Argument {name} must be an integer between {low} and {high}.");
                    Error::argument(name, shown(text), message)
                }),
        }
    }

    /// Whether keys of the answer are to be percent-encoded (HTTP API 5.7).
    ///
    /// # Errors
    /// `InvalidArgument` for any value but `url`; an empty one means that it was not sent.
    pub fn encoding_is_url(&self) -> Result<bool, Error> {
        match self.first("encoding-type") {
            None | Some("") => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("url") => Ok(true),
            Some(text) => {
                Err(Error::argument("encoding-type", shown(text), "Invalid Encoding Method specified in Request."))
            }
        }
    }
}

/// Digits only, without sign, as an unsigned number.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// What an error repeats of a value that a stranger sent.
pub(crate) fn shown(text: &str) -> String {
    let mut end = text.len().min(256);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_keep_their_spelling() {
        let query = Query::parse("acl&acl=x&k=&prefix=a%2Fb+c=d&&%ff=%ff");
        let shapes: Vec<_> =
            query.pairs().iter().map(|p| (p.raw_name.as_str(), p.raw_value.as_deref(), p.text())).collect();
        assert_eq!(
            shapes,
            [
                ("acl", None, ""),
                ("acl", Some("x"), "x"),
                ("k", Some(""), ""),
                ("prefix", Some("a%2Fb+c=d"), "a/b+c=d"),
                ("%ff", Some("%ff"), "\u{fffd}"),
            ]
        );
        assert_eq!(query.first("acl"), Some(""));
        assert_eq!(query.first("missing"), None);
        assert!(query.has("k"));
        assert_eq!(query.pairs().last().map(|p| p.value.clone()), Some(vec![0xff]));
    }

    #[test]
    fn numbers_have_bounds() {
        for (raw, value) in [
            ("max-keys=5", Some(5)),
            ("max-keys=", Some(100)),
            ("", Some(100)),
            ("max-keys=0", None),
            ("max-keys=1001", None),
            ("max-keys=-1", None),
            ("max-keys=+5", None),
            ("max-keys=abc", None),
            ("max-keys=99999999999999999999999", None),
        ] {
            assert_eq!(Query::parse(raw).bounded_number("max-keys", 1, 1000, 100).ok(), value, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_query(raw: String, name: String) {
            let query = Query::parse(&raw);
            let _ = (query.first(&name), query.bounded_text("prefix", 10), query.encoding_is_url());
            prop_assert!(query.pairs().len() <= raw.len());
        }
    }
}
