//! `Cache-Control` on what the server recorded (D23).

use model::OperationKind;
use model::access::Caller;

use super::Answer;
use super::Asked;
use crate::ops::Call;
use crate::ops::caching::{Keeper, Keeping, Page, SECRET};

/// The page that a request comes from.
pub(super) fn page<'a>(asked: &Asked<'a>) -> Option<Page<'a>> {
    asked.raw.header("origin")?;
    Some(Page { origin: asked.raw.header_text("origin"), method: &asked.raw.method })
}

/// Says who may keep an answer, unless a header that was stored or asked for says it.
pub(super) fn announce(answer: Answer, keeping: Option<Keeping>) -> Answer {
    let is_said = answer.headers.iter().any(|(name, _)| matches!(name.as_str(), "cache-control" | "expires"));
    match keeping.filter(|_| !is_said) {
        Some(keeping) => with(answer, keeping),
        None => answer,
    }
}

/// Says that documents for somebody whom the server knows are for nobody else. What is said of objects was said with them.
pub(super) fn contain(answer: Answer, asked: &Asked<'_>, call: &Call<'_>) -> Answer {
    let is_read = matches!(asked.raw.method.as_str(), "GET" | "HEAD");
    let is_of_object = matches!(asked.kind(), OperationKind::GetObject | OperationKind::HeadObject);
    let is_known = !matches!(call.granted.grant.caller(), Caller::Anonymous);
    let is_secret = is_read && is_known && !is_of_object && asked.config.cache.headers;
    announce(answer, is_secret.then_some(SECRET))
}

/// An answer that is kept for a while has to tell origins apart even in a bucket without CORS rules: the rules may come
/// before the end of that while, and what was kept would still be without their headers.
fn with(answer: Answer, keeping: Keeping) -> Answer {
    let control = control(keeping.keeper, keeping.longest_s, keeping.is_final);
    let is_kept = control.contains("max-age");
    let answer = answer.header("cache-control", control);
    if is_kept && keeping.varies_by_origin { answer.header("vary", "Origin") } else { answer }
}

fn control(keeper: Keeper, longest_s: u64, is_final: bool) -> String {
    match (keeper, longest_s) {
        (Keeper::Anyone, 0) => "no-cache".to_owned(),
        (Keeper::Anyone, longest_s) if is_final => format!("public, max-age={longest_s}, immutable"),
        (Keeper::Anyone, longest_s) => format!("public, max-age={longest_s}"),
        (Keeper::Reader(left_s), longest_s) if left_s.min(longest_s) > 0 => {
            format!("private, max-age={}", left_s.min(longest_s))
        }
        (Keeper::Reading, _) => "private".to_owned(),
        (Keeper::Reader(_) | Keeper::ReaderWhoAsks, _) => "private, no-cache".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_keeps_more_than_was_allowed() {
        for (keeper, longest_s, is_final, expected) in [
            (Keeper::Anyone, 31_536_000, true, "public, max-age=31536000, immutable"),
            (Keeper::Anyone, 60, false, "public, max-age=60"),
            (Keeper::Anyone, 0, true, "no-cache"),
            (Keeper::Anyone, 0, false, "no-cache"),
            (Keeper::Reader(600), 31_536_000, true, "private, max-age=600"),
            (Keeper::Reader(600), 60, false, "private, max-age=60"),
            (Keeper::Reader(600), 0, false, "private, no-cache"),
            (Keeper::Reader(0), 60, true, "private, no-cache"),
            (Keeper::ReaderWhoAsks, 60, true, "private, no-cache"),
            (Keeper::Reading, 60, true, "private"),
        ] {
            assert_eq!(control(keeper, longest_s, is_final), expected, "{keeper:?} {longest_s}");
        }
    }
}
