//! Lifecycle rules: which objects are due for what (HTTP API 8.13).

use serde::{Deserialize, Serialize};

use super::{StorageClass, Tag};

const DAY_MS: i64 = 86_400_000;

/// When a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifecycleTrigger {
    /// So many days, at least one, after the last change.
    Days(u32),
    /// From this instant on (unix ms), whatever the age.
    Date(i64),
    /// Everything last changed before this instant (unix ms).
    CreatedBefore(i64),
}

impl LifecycleTrigger {
    /// Whether something last changed at `modified_ms` is due at `now_ms`.
    pub fn is_due(self, modified_ms: i64, now_ms: i64) -> bool {
        match self {
            Self::Days(days) => now_ms >= modified_ms.saturating_add(i64::from(days).saturating_mul(DAY_MS)),
            Self::Date(at_ms) => now_ms >= at_ms,
            Self::CreatedBefore(at_ms) => modified_ms < at_ms,
        }
    }
}

/// A change of the storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleTransition {
    /// When.
    pub trigger: LifecycleTrigger,
    /// To which class.
    pub storage_class: StorageClass,
    /// `IsAccessTime`, `ReturnToStdWhenVisit` and `AllowSmallFile` as they were sent: kept to be shown again, because
    /// nothing but what is the case anyway is accepted for them.
    #[serde(default)]
    pub options: [Option<bool>; 3],
}

/// Objects that a rule leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleNot {
    /// What their keys begin with; begins with the rule's own prefix.
    pub prefix: String,
    /// A tag they carry.
    pub tag: Option<Tag>,
}

/// What narrows a rule beyond prefix and tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LifecycleFilter {
    /// Exceptions.
    pub not: Vec<LifecycleNot>,
    /// Only objects of more bytes.
    pub size_greater_than: Option<u64>,
    /// Only objects of fewer bytes.
    pub size_less_than: Option<u64>,
}

/// One rule of a bucket's lifecycle configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRule {
    /// Unique in its configuration. Empty when the client sent none: whoever stores the rules fills it in.
    pub id: String,
    /// What keys begin with; empty for the whole bucket.
    pub prefix: String,
    /// Whether the rule acts at all.
    pub enabled: bool,
    /// Tags that an object must carry, all of them.
    pub tags: Vec<Tag>,
    /// Further conditions.
    pub filter: Option<LifecycleFilter>,
    /// Deletes objects.
    pub expiration: Option<LifecycleTrigger>,
    /// Relabels objects.
    pub transitions: Vec<LifecycleTransition>,
    /// Aborts unfinished uploads.
    pub abort_multipart: Option<LifecycleTrigger>,
}

/// What a rule wants done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleAction {
    /// Delete it.
    Expire,
    /// Change its storage class.
    Transition(StorageClass),
}

impl LifecycleRule {
    /// Whether an object falls under this rule, due or not.
    pub fn covers(&self, key: &str, tags: &[Tag], size: u64) -> bool {
        let Some(filter) = &self.filter else { return self.covers_name(key, tags) };
        self.covers_name(key, tags)
            && filter.size_greater_than.is_none_or(|bound| size > bound)
            && filter.size_less_than.is_none_or(|bound| size < bound)
            && !self.is_exempt(key, tags)
    }

    fn is_exempt(&self, key: &str, tags: &[Tag]) -> bool {
        self.filter
            .iter()
            .flat_map(|filter| &filter.not)
            .any(|not| key.starts_with(&not.prefix) && not.tag.as_ref().is_none_or(|tag| tags.contains(tag)))
    }

    fn covers_name(&self, key: &str, tags: &[Tag]) -> bool {
        self.enabled && key.starts_with(&self.prefix) && self.tags.iter().all(|tag| tags.contains(tag))
    }

    /// What is due for an object under this rule. Deleting wins over relabelling, and of several classes the one that
    /// becomes due last.
    pub fn due(&self, key: &str, tags: &[Tag], size: u64, modified_ms: i64, now_ms: i64) -> Option<LifecycleAction> {
        if !self.covers(key, tags, size) {
            return None;
        }
        if self.expiration.is_some_and(|trigger| trigger.is_due(modified_ms, now_ms)) {
            return Some(LifecycleAction::Expire);
        }
        let due = self.transitions.iter().filter(|transition| transition.trigger.is_due(modified_ms, now_ms));
        due.max_by_key(|transition| match transition.trigger {
            LifecycleTrigger::Days(days) => i64::from(days),
            LifecycleTrigger::Date(at_ms) | LifecycleTrigger::CreatedBefore(at_ms) => at_ms.saturating_neg(),
        })
        .map(|transition| LifecycleAction::Transition(transition.storage_class))
    }

    /// Whether an unfinished upload of `key`, begun at `initiated_ms` for an object with `tags`, is to be aborted.
    /// Bounds of the size are about objects: an upload has none yet.
    pub fn aborts_upload(&self, key: &str, tags: &[Tag], initiated_ms: i64, now_ms: i64) -> bool {
        self.covers_name(key, tags)
            && self.abort_multipart.is_some_and(|trigger| trigger.is_due(initiated_ms, now_ms))
            && !self.is_exempt(key, tags)
    }

    /// The instant at which `Expiration` deletes an object under this rule (unix ms), for `x-oss-expiration`. `None`
    /// when it never does.
    pub fn expires_at_ms(&self, key: &str, tags: &[Tag], size: u64, modified_ms: i64) -> Option<i64> {
        if !self.covers(key, tags, size) {
            return None;
        }
        match self.expiration? {
            LifecycleTrigger::Days(days) => Some(modified_ms.saturating_add(i64::from(days).saturating_mul(DAY_MS))),
            LifecycleTrigger::Date(at_ms) => Some(at_ms),
            LifecycleTrigger::CreatedBefore(at_ms) => (modified_ms < at_ms).then_some(at_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> LifecycleRule {
        LifecycleRule {
            id: "r".into(),
            prefix: "live/".into(),
            enabled: true,
            tags: Vec::new(),
            filter: None,
            expiration: Some(LifecycleTrigger::Days(2)),
            transitions: vec![LifecycleTransition {
                trigger: LifecycleTrigger::Days(1),
                storage_class: StorageClass::InfrequentAccess,
                options: [None; 3],
            }],
            abort_multipart: Some(LifecycleTrigger::CreatedBefore(500)),
        }
    }

    fn check(rule: &LifecycleRule, key: &str, size: u64, age_ms: i64, expected: Option<LifecycleAction>) {
        assert_eq!(rule.due(key, &[], size, 1000, 1000 + age_ms), expected, "{key} {age_ms}");
    }

    #[test]
    fn age_decides_to_the_millisecond() {
        let moved = Some(LifecycleAction::Transition(StorageClass::InfrequentAccess));
        check(&rule(), "live/a", 1, DAY_MS - 1, None);
        check(&rule(), "live/a", 1, DAY_MS, moved);
        check(&rule(), "live/a", 1, 2 * DAY_MS, Some(LifecycleAction::Expire));
        check(&rule(), "other/a", 1, 9 * DAY_MS, None);
        check(&LifecycleRule { enabled: false, ..rule() }, "live/a", 1, 9 * DAY_MS, None);
    }

    #[test]
    fn filters_spare_what_they_name() {
        let not = LifecycleNot { prefix: "live/keep/".into(), tag: None };
        let filter = LifecycleFilter { not: vec![not], size_greater_than: Some(10), size_less_than: Some(20) };
        let rule = LifecycleRule { filter: Some(filter), ..rule() };
        check(&rule, "live/a", 15, 2 * DAY_MS, Some(LifecycleAction::Expire));
        check(&rule, "live/a", 10, 2 * DAY_MS, None);
        check(&rule, "live/a", 20, 2 * DAY_MS, None);
        check(&rule, "live/keep/a", 15, 2 * DAY_MS, None);
    }

    #[test]
    fn tags_must_all_be_there() {
        let tag = |key: &str| Tag { key: key.into(), value: "1".into() };
        let rule = LifecycleRule { tags: vec![tag("a"), tag("b")], ..rule() };
        assert!(rule.covers("live/x", &[tag("b"), tag("a"), tag("c")], 0));
        assert!(!rule.covers("live/x", &[tag("a")], 0));
    }

    #[test]
    fn dates_and_uploads() {
        assert!(rule().aborts_upload("live/x", &[], 499, 1000));
        assert!(!rule().aborts_upload("live/x", &[], 500, 1000));
        let tag = Tag { key: "a".into(), value: "1".into() };
        let tagged = LifecycleRule { tags: vec![tag.clone()], ..rule() };
        assert!(tagged.aborts_upload("live/x", std::slice::from_ref(&tag), 499, 1000));
        assert!(!tagged.aborts_upload("live/x", &[], 499, 1000));
        let not = LifecycleNot { prefix: "live/keep".into(), tag: None };
        let filter = LifecycleFilter { not: vec![not], size_greater_than: Some(10), size_less_than: None };
        let spares = LifecycleRule { filter: Some(filter), ..rule() };
        assert!(spares.aborts_upload("live/x", &[], 499, 1000));
        assert!(!spares.aborts_upload("live/keep", &[], 499, 1000));
        assert_eq!(rule().expires_at_ms("live/x", &[], 0, 5), Some(5 + 2 * DAY_MS));
        let dated = LifecycleRule { expiration: Some(LifecycleTrigger::Date(7)), ..rule() };
        assert_eq!(dated.due("live/x", &[], 0, i64::MAX, 7), Some(LifecycleAction::Expire));
        assert_eq!(dated.due("live/x", &[], 0, 0, 6), None);
    }
}
