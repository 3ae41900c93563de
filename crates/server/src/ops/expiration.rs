//! `x-oss-expiration`: when and by which rule an object goes (HTTP API 4, 8.13).

use model::Error;
use model::name::ObjectKey;
use store::meta::ObjectRecord;

use super::{Answer, Call};

/// Adds the header when an expiration applies; of several rules the one that acts first counts.
pub(super) fn announce(
    call: &Call<'_>,
    key: &ObjectKey,
    record: &ObjectRecord,
    answer: Answer,
) -> Result<Answer, Error> {
    let Some(rules) = &call.bucket()?.record.lifecycle else { return Ok(answer) };
    let first = rules
        .iter()
        .filter_map(|rule| {
            let at_ms = rule.expires_at_ms(key.as_str(), &record.tags, record.size, record.modified_ms)?;
            Some((at_ms, rule.id.as_str()))
        })
        .min();
    Ok(match first {
        Some((at_ms, id)) => {
            let date = model::date::format_http(at_ms);
            // The id is free text, and stands in a header.
            let id = model::percent::percent_encode(id.as_bytes(), true);
            answer.header("x-oss-expiration", format!("expiry-date=\"{date}\", rule-id=\"{id}\""))
        }
        None => answer,
    })
}
