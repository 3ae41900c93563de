//! When and by which rule an object goes (HTTP API 4, 8.13).

use model::Error;
use model::name::ObjectKey;
use store::meta::ObjectRecord;

use super::Call;

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expiration {
    /// When it goes, unix ms.
    pub(crate) at_ms: i64,
    /// The rule that says so.
    pub(crate) rule: String,
}

/// When an object of the request's bucket goes; of several rules the one that acts first counts.
///
/// # Errors
/// `NoSuchBucket` when the request is about no bucket.
pub(super) fn of(call: &Call<'_>, key: &ObjectKey, record: &ObjectRecord) -> Result<Option<Expiration>, Error> {
    let Some(rules) = &call.bucket()?.record.lifecycle else { return Ok(None) };
    let first = rules
        .iter()
        .filter_map(|rule| {
            let at_ms = rule.expires_at_ms(key.as_str(), &record.tags, record.size, record.modified_ms)?;
            Some((at_ms, rule.id.as_str()))
        })
        .min();
    Ok(first.map(|(at_ms, rule)| Expiration { at_ms, rule: rule.to_owned() }))
}
