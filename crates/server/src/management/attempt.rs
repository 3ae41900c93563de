//! `POST buckets/BUCKET/try`: what a request would be answered, by the decision that every request meets. Nothing is done.

use model::name::BucketName;
use serde::Deserialize;
use serde_json::json;

use super::host::{As, Attempt, Host};
use super::visitor::Visitor;
use super::{Reply, parse};
use crate::accounts::Fault;

/// The longest value of a header that is tried.
const MAX_HEADER: usize = 2048;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sent {
    method: String,
    key: String,
    origin: String,
    referer: String,
    caller: As,
    preflight: bool,
    request_method: String,
    request_headers: String,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            key: String::new(),
            origin: String::new(),
            referer: String::new(),
            caller: As::default(),
            preflight: false,
            request_method: "GET".to_owned(),
            request_headers: String::new(),
        }
    }
}

impl Sent {
    fn attempt(self, bucket: BucketName) -> Result<Attempt, Fault> {
        const METHODS: &[&str] = &["GET", "HEAD", "PUT", "POST", "DELETE"];
        if !METHODS.contains(&self.method.as_str()) {
            return Err(Fault::Invalid(format!("method is one of {}.", METHODS.join(", "))));
        }
        let header = |name: &str, value: String| -> Result<Option<String>, Fault> {
            let value = value.trim().to_owned();
            if value.len() > MAX_HEADER || value.chars().any(char::is_control) {
                return Err(Fault::Invalid(format!("{name} is no value of a header, or longer than {MAX_HEADER}.")));
            }
            Ok((!value.is_empty()).then_some(value))
        };
        let requested = header("request_headers", self.request_headers)?;
        let wanted = header("request_method", self.request_method)?;
        if !self.key.is_empty() {
            model::name::ObjectKey::parse(self.key.as_bytes())?;
        }
        Ok(Attempt {
            bucket,
            key: self.key,
            method: self.method,
            origin: header("origin", self.origin)?,
            referer: header("referer", self.referer)?,
            caller: self.caller,
            preflight: self.preflight.then(|| (wanted.unwrap_or_default(), requested)),
        })
    }
}

/// Answers, for a bucket that the caller may look at.
pub(super) async fn answer(
    host: &dyn Host,
    visitor: &Visitor<'_>,
    bucket: BucketName,
    body: &[u8],
) -> Result<Reply, Fault> {
    let sent: Sent = parse(body)?;
    let found = host.rehearse(visitor, &sent.attempt(bucket)?).await?;
    Ok(Reply::json(
        200,
        &json!({
            "status": found.status, "code": found.code, "ec": found.ec, "message": found.message,
            "headers": found.headers,
        }),
    ))
}
