//! The grammar of policy documents (access control 4.1, 5.1).

use super::condition::Condition;
use super::json::Json;
use super::wildcard::{self, QuestionMark};
use super::{Policy, Principal, ResourcePattern, Selection, Statement};
use crate::error::{Error, ErrorCode, Result};
use crate::name::BucketName;
use crate::operation::OperationKind;

/// Where a policy is to hold.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Bucket(&'a BucketName),
    User,
}

impl Policy {
    /// The longest document, in bytes; those of users and sessions are as long as those of buckets.
    pub const MAX_BYTES: usize = OperationKind::PutBucketPolicy.row().body.document_limit();

    /// Reads the policy of a bucket. `region` is the region that resources may name, for example `cn-hangzhou`.
    ///
    /// # Errors
    /// `InvalidPolicyDocument` with the first rule that is broken.
    pub fn parse_for_bucket(document: &[u8], bucket: &BucketName, region: &str) -> Result<Self> {
        parse(document, Scope::Bucket(bucket), Some(region))
    }

    /// Reads the policy of a user or session, which has no principals.
    ///
    /// # Errors
    /// `InvalidPolicyDocument` with the first rule that is broken.
    pub fn parse_for_user(document: &[u8], region: &str) -> Result<Self> {
        parse(document, Scope::User, Some(region))
    }

    /// Reads a policy that [`Self::parse_for_user`] approved of when it was stored. The server may have been given another
    /// region since; names of buckets are unique in all of them.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub fn read_for_user(document: &[u8]) -> Result<Self> {
        parse(document, Scope::User, None)
    }

    /// `AliyunOSSFullAccess`: everything.
    pub fn full_access() -> Self {
        Self::allowing(&["oss:*"])
    }

    /// `AliyunOSSReadOnlyAccess`: everything that begins with Get or List.
    pub fn read_only_access() -> Self {
        Self::allowing(&["oss:get*", "oss:list*"])
    }

    /// The predefined policy of this name (access control 1).
    pub fn predefined(name: &str) -> Option<Self> {
        match name {
            "AliyunOSSFullAccess" => Some(Self::full_access()),
            "AliyunOSSReadOnlyAccess" => Some(Self::read_only_access()),
            _ => None,
        }
    }

    fn allowing(actions: &[&str]) -> Self {
        let everything = ResourcePattern { account: "*".to_owned(), path: "*".to_owned() };
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        Self {
            statements: vec![Statement {
                allows: true,
                principals: None,
                actions: Selection { patterns: actions, is_inverse: false },
                resources: Selection { patterns: vec![everything], is_inverse: false },
                conditions: Vec::new(),
            }],
        }
    }
}

fn refuse<T>(message: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(Error::new(ErrorCode::InvalidPolicyDocument).message(message))
}

fn parse(document: &[u8], scope: Scope<'_>, region: Option<&str>) -> Result<Policy> {
    if document.len() > Policy::MAX_BYTES {
        return refuse("The policy is longer than 16 KB.");
    }
    let Ok(Json::Object(members)) = serde_json::from_slice(document) else {
        return refuse("The policy must be a JSON object in which no name occurs twice.");
    };
    let mut statements = None;
    let mut has_version = false;
    for (name, value) in &members {
        match (name.as_str(), value) {
            ("Version", Json::Text(version)) if version == "1" => has_version = true,
            ("Version", _) => return refuse("The Version must be \"1\"."),
            ("Statement", Json::Array(items)) => statements = Some(items.iter().collect::<Vec<_>>()),
            ("Statement", single @ Json::Object(_)) => statements = Some(vec![single]),
            ("Sid", _) => {}
            _ => return refuse("The policy has an unknown or malformed member."),
        }
    }
    let Some(statements) = statements.filter(|statements| !statements.is_empty() && has_version) else {
        return refuse("The policy must have a Version and at least one Statement.");
    };
    let statements =
        statements.into_iter().map(|statement| parse_statement(statement, scope, region)).collect::<Result<_>>()?;
    Ok(Policy { statements })
}

fn parse_statement(statement: &Json, scope: Scope<'_>, region: Option<&str>) -> Result<Statement> {
    let Json::Object(members) = statement else { return refuse("A Statement must be an object.") };
    let (mut allows, mut principals, mut actions, mut resources) = (None, None, None, None);
    let mut conditions = Vec::new();
    for (name, value) in members {
        match name.as_str() {
            "Effect" => {
                allows = Some(match value {
                    Json::Text(effect) if effect == "Allow" => true,
                    Json::Text(effect) if effect == "Deny" => false,
                    _ => return refuse("The Effect must be Allow or Deny."),
                });
            }
            "Action" | "NotAction" if actions.is_none() => {
                let patterns = texts(value)?.into_iter().map(parse_action).collect::<Result<_>>()?;
                actions = Some(Selection { patterns, is_inverse: name == "NotAction" });
            }
            "Resource" | "NotResource" if resources.is_none() => {
                let parse = |text| parse_resource(text, scope, region);
                let patterns = texts(value)?.into_iter().map(parse).collect::<Result<_>>()?;
                resources = Some(Selection { patterns, is_inverse: name == "NotResource" });
            }
            "Principal" if matches!(scope, Scope::Bucket(_)) => {
                principals = Some(match value {
                    Json::Array(items) if items.is_empty() => vec![Principal::Everybody],
                    value => texts(value)?.into_iter().map(parse_principal).collect::<Result<_>>()?,
                });
            }
            "Condition" => conditions = parse_conditions(value)?,
            "Sid" => {}
            _ => return refuse("A Statement has an unknown or contradictory member."),
        }
    }
    let (Some(allows), Some(actions), Some(resources)) = (allows, actions, resources) else {
        return refuse("A Statement must have Effect, Action and Resource.");
    };
    if principals.is_none() && matches!(scope, Scope::Bucket(_)) {
        return refuse("A Statement of a bucket policy must have a Principal.");
    }
    Ok(Statement { allows, principals, actions, resources, conditions })
}

/// A text, or an array of at least one.
fn texts(value: &Json) -> Result<Vec<&str>> {
    match value {
        Json::Text(text) => Ok(vec![text]),
        Json::Array(items) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Json::Text(text) => Ok(text.as_str()),
                _ => refuse("A list of a Statement may only contain strings."),
            })
            .collect(),
        _ => refuse("A member of a Statement must be a string or a list of strings that is not empty."),
    }
}

/// Actions are compared in lower case.
fn parse_action(text: &str) -> Result<String> {
    let lower = text.to_ascii_lowercase();
    let is_legal = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*');
    match lower.strip_prefix("oss:") {
        Some(name) if is_legal(name) => Ok(lower),
        _ => refuse("An Action must be \"oss:\" and a name, which may contain \"*\"."),
    }
}

fn parse_principal(text: &str) -> Result<Principal> {
    if text == "*" {
        return Ok(Principal::Everybody);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Principal::Number(text.to_owned()));
    }
    let role = text.strip_prefix("arn:sts::").and_then(|rest| rest.split_once(":assumed-role/"));
    match role {
        Some((_, name)) if name.contains('/') => Ok(Principal::Role(text.to_owned())),
        _ => refuse("A Principal must be \"*\", the number of an account or user, or an assumed role."),
    }
}

fn parse_resource(text: &str, scope: Scope<'_>, region: Option<&str>) -> Result<ResourcePattern> {
    if text == "*" && matches!(scope, Scope::User) {
        return Ok(ResourcePattern { account: "*".to_owned(), path: "*".to_owned() });
    }
    let parts: Vec<&str> = text.splitn(5, ':').collect();
    let &["acs", "oss", place, account, path] = parts.as_slice() else {
        return refuse("A Resource must be \"acs:oss:<region>:<account>:<bucket>\" or \"…<bucket>/<key>\".");
    };
    let is_elsewhere = |region| place != "*" && place.strip_prefix("oss-").unwrap_or(place) != region;
    if region.is_some_and(is_elsewhere) {
        return refuse("A Resource names another region.");
    }
    let is_account =
        account == "*" || (!account.is_empty() && account.bytes().all(|b| b.is_ascii_digit() || b == b'*'));
    if !is_account || path.is_empty() {
        return refuse("A Resource must name an account, or \"*\", and a bucket.");
    }
    if let Scope::Bucket(bucket) = scope {
        let named = path.split('/').next().unwrap_or_default();
        if !wildcard::matches(named, bucket.as_str(), QuestionMark::Literal) {
            return refuse("A Resource names another bucket.");
        }
    }
    Ok(ResourcePattern { account: account.to_owned(), path: path.to_owned() })
}

fn parse_conditions(value: &Json) -> Result<Vec<Condition>> {
    let Json::Object(operators) = value else { return refuse("A Condition must be an object.") };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else { return refuse("An operator of a Condition must be an object.") };
        if keys.is_empty() {
            return refuse("An operator of a Condition must have at least one key.");
        }
        for (key, values) in keys {
            let values = match values {
                Json::Array(items) if !items.is_empty() => items.iter().map(scalar).collect::<Result<Vec<_>>>()?,
                Json::Array(_) => return refuse("A key of a Condition must have at least one value."),
                single => vec![scalar(single)?],
            };
            match Condition::parse(operator, key, &values) {
                Some(condition) => conditions.push(condition),
                None => {
                    return refuse(format!(
                        "The condition {operator} on {key} has an unknown name or a malformed value."
                    ));
                }
            }
        }
    }
    Ok(conditions)
}

fn scalar(value: &Json) -> Result<String> {
    match value {
        Json::Text(text) | Json::Number(text) => Ok(text.clone()),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => refuse("A value of a Condition must be a string."),
    }
}
