//! Policies of buckets and users: what a document says, and what follows from it for one request (access control 4, 5.1).

mod condition;
mod document;
mod json;
mod known;

pub use condition::ConditionValues;

use super::Caller;
use super::wildcard::{self, QuestionMark};
use crate::name::BucketName;
use crate::types::OwnerId;
use condition::Condition;

/// What policies say about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    None,
    /// It is allowed, unless something denies it.
    Allow,
    /// It is denied, whatever allows it.
    Deny,
}

impl Decision {
    /// Deny beats allow, allow beats nothing.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deny, _) | (_, Self::Deny) => Self::Deny,
            (Self::Allow, _) | (_, Self::Allow) => Self::Allow,
            (Self::None, Self::None) => Self::None,
        }
    }
}

/// A policy that was read; only documents that follow the grammar become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// What a policy is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct PolicyQuestion<'a> {
    /// `oss:GetObject` and the like.
    pub(super) action: &'static str,
    /// The owner of the bucket, if there is one.
    pub(super) owner: Option<&'a OwnerId>,
    pub(super) bucket: Option<&'a BucketName>,
    /// The key or channel.
    pub(super) below: Option<&'a str>,
    pub(super) caller: &'a Caller,
    /// Whether the caller is the owner of the bucket himself.
    pub(super) is_root: bool,
    /// Whether `oss:Prefix` and `oss:Delimiter` mean anything.
    pub(super) is_listing: bool,
    pub(super) values: &'a ConditionValues,
}

#[derive(Debug, Clone, PartialEq)]
struct Statement {
    allows: bool,
    /// Whom it concerns; `None` in policies of users, which concern their user.
    principals: Option<Vec<Principal>>,
    actions: Selection<String>,
    resources: Selection<ResourcePattern>,
    conditions: Vec<Condition>,
}

/// A list of patterns, or everything but them (`NotAction`, `NotResource`).
#[derive(Debug, Clone, PartialEq)]
struct Selection<P> {
    patterns: Vec<P>,
    is_inverse: bool,
}

impl<P> Selection<P> {
    fn selects(&self, is_match: impl Fn(&P) -> bool) -> bool {
        self.patterns.iter().any(is_match) != self.is_inverse
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Principal {
    Everybody,
    /// The number of an account or user.
    Number(String),
    /// `arn:sts::…`, with `*`.
    Role(String),
}

#[derive(Debug, Clone, PartialEq)]
struct ResourcePattern {
    /// The account, with `*`.
    account: String,
    /// Bucket, or bucket and key, with `*`.
    path: String,
}

impl Policy {
    /// Whether it allows something to everybody (HTTP API 8.14). A statement that names networks, virtual networks or
    /// keys in a condition does not; one that only says when, how or under which prefix does.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(|statement| {
            let is_for_everybody = statement.principals.iter().flatten().any(|who| *who == Principal::Everybody);
            statement.allows && is_for_everybody && !statement.conditions.iter().any(Condition::names_callers)
        })
    }

    /// Whether a statement allows the action to somebody, for something, on some condition. No decision: it tells who need
    /// not ask at all from who may have luck.
    pub fn allows_somewhere(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        self.statements.iter().any(|statement| {
            statement.allows
                && statement.actions.selects(|pattern| wildcard::matches(pattern, &action, QuestionMark::Literal))
        })
    }

    /// What this policy alone says.
    pub(super) fn decide(&self, question: &PolicyQuestion<'_>) -> Decision {
        let path = match (question.bucket, question.below) {
            (None, _) => "*".to_owned(),
            (Some(bucket), None) => bucket.to_string(),
            (Some(bucket), Some(below)) => format!("{bucket}/{below}"),
        };
        let action = question.action.to_ascii_lowercase();
        self.statements
            .iter()
            .filter(|statement| statement.applies(question, &action, &path))
            .fold(Decision::None, |decision, statement| {
                decision.and(if statement.allows { Decision::Allow } else { Decision::Deny })
            })
    }
}

/// What several policies of one user say together.
pub(super) fn decide(policies: &[Policy], question: &PolicyQuestion<'_>) -> Decision {
    policies.iter().fold(Decision::None, |decision, policy| decision.and(policy.decide(question)))
}

impl Statement {
    fn applies(&self, question: &PolicyQuestion<'_>, action: &str, path: &str) -> bool {
        let concerns_caller = self.principals.as_ref().is_none_or(|principals| {
            principals.iter().any(|principal| principal.is(question, !self.conditions.is_empty()))
        });
        concerns_caller
            && self.actions.selects(|pattern| wildcard::matches(pattern, action, QuestionMark::Literal))
            && self.resources.selects(|pattern| pattern.is(question.owner, path))
            && self.conditions.iter().all(|condition| condition.holds(question))
    }
}

impl Principal {
    /// Everybody does not include the owner himself, unless there is a condition (access control 4.4).
    fn is(&self, question: &PolicyQuestion<'_>, has_condition: bool) -> bool {
        match (self, question.caller) {
            (Self::Everybody, _) => !question.is_root || has_condition,
            (Self::Number(number), Caller::Root { owner, .. }) => *number == owner.0,
            (Self::Number(number), Caller::User { uid, .. }) => *number == uid.0,
            (Self::Role(pattern), Caller::User { owner, role: Some(role), .. }) => {
                let name = format!("arn:sts::{owner}:assumed-role/{}/{}", role.role, role.session);
                wildcard::matches(pattern, &name, QuestionMark::Literal)
            }
            (Self::Number(_), Caller::Anonymous) | (Self::Role(_), _) => false,
        }
    }
}

impl ResourcePattern {
    fn is(&self, owner: Option<&OwnerId>, path: &str) -> bool {
        let fits_account = owner.is_none_or(|owner| wildcard::matches(&self.account, &owner.0, QuestionMark::Literal));
        fits_account && wildcard::matches(&self.path, path, QuestionMark::Literal)
    }
}

#[cfg(test)]
mod tests;
