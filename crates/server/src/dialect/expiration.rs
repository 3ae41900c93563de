//! `x-oss-expiration`: when and by which rule an object goes (HTTP API 4, 8.13).

use super::Answer;
use crate::ops::expiration::Expiration;

/// Adds the header when an expiration applies.
pub(super) fn announce(answer: Answer, expiration: Option<&Expiration>) -> Answer {
    let Some(Expiration { at_ms, rule }) = expiration else { return answer };
    let date = model::date::format_http(*at_ms);
    // The id is free text, and stands in a header.
    let id = model::percent::percent_encode(rule.as_bytes(), true);
    answer.header("x-oss-expiration", format!("expiry-date=\"{date}\", rule-id=\"{id}\""))
}
