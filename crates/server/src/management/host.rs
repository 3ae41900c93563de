//! What the API asks of the server around it, which knows sockets, certificates and the way of a request.

use async_trait::async_trait;
use serde_json::Value;

use super::Visitor;
use crate::accounts::Fault;

/// The server around the API.
#[async_trait]
pub(crate) trait Host: Send + Sync {
    /// What the server is and how it is; with addresses, certificate, disk and limits for the account only.
    async fn about(&self, is_root: bool) -> Value;

    /// What a request would be answered, without doing it.
    ///
    /// # Errors
    /// When there can be no such request.
    async fn rehearse(&self, visitor: &Visitor<'_>, attempt: &Attempt) -> Result<Rehearsed, Fault>;
}

/// Who makes the request that is rehearsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum As {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// Somebody with an address that the caller has signed.
    SignedUrl,
    /// The caller, with a signature in a header.
    #[serde(rename = "self")]
    Caller,
}

/// A request that is rehearsed.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The bucket.
    pub(crate) bucket: model::name::BucketName,
    /// The key; empty for the bucket itself.
    pub(crate) key: String,
    /// The method.
    pub(crate) method: String,
    /// `Origin`, if any.
    pub(crate) origin: Option<String>,
    /// `Referer`, if any.
    pub(crate) referer: Option<String>,
    /// Who makes it.
    pub(crate) caller: As,
    /// `Access-Control-Request-Method` and `-Headers`, for a preflight.
    pub(crate) preflight: Option<(String, Option<String>)>,
}

/// What it would be answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rehearsed {
    /// The status.
    pub(crate) status: u16,
    /// The error code of a refusal.
    pub(crate) code: Option<String>,
    /// Its EC.
    pub(crate) ec: Option<String>,
    /// Its message.
    pub(crate) message: Option<String>,
    /// The headers that say something about access.
    pub(crate) headers: Vec<(String, String)>,
}
