//! A small client of the API, for commands that talk to a running server.

use anyhow::bail;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use model::name::BucketName;
use oss::sign::presign::{Signer, UnsignedRequest};

use super::wire::{Endpoint, Trust};

/// The longest answer that is read: a report of a busy month stays far below.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Speaks to one endpoint, in path style.
pub(super) struct Client {
    endpoint: Endpoint,
    signer: Signer,
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) bucket: &'a BucketName,
    pub(super) key: &'a str,
    pub(super) query: &'a [(&'a str, Option<&'a str>)],
    pub(super) headers: &'a [(String, Vec<u8>)],
    pub(super) body: Bytes,
}

/// What the management API says when it refuses.
#[derive(serde::Deserialize)]
struct Fault {
    code: String,
    message: String,
}

impl Client {
    /// A client of `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// When the endpoint is no such URL.
    pub(super) fn new(endpoint: &str, trust: &Trust, signer: Signer) -> anyhow::Result<Self> {
        Ok(Self { endpoint: Endpoint::parse(endpoint, trust)?, signer })
    }

    /// Where it calls.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request and gives the body of a successful answer.
    ///
    /// # Errors
    /// When the server cannot be reached, or with what it says when it refuses.
    pub(super) async fn call(&self, call: Call<'_>, now_s: i64) -> anyhow::Result<Bytes> {
        let unsigned = UnsignedRequest {
            method: call.method.as_str(),
            bucket: Some(call.bucket),
            key: call.key,
            query: call.query,
            headers: call.headers,
        };
        let mut target = format!("/{}{}", call.bucket, unsigned.encoded_path());
        for (index, (name, value)) in call.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            if let Some(value) = value {
                target.push('=');
                target.push_str(&model::percent::percent_encode(value.as_bytes(), false));
            }
        }
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(target)
            .header("host", self.endpoint.address().authority());
        for (name, value) in call.headers.iter().chain(&self.signer.v1_headers(&unsigned, now_s)) {
            request = request.header(name.as_str(), value.as_slice());
        }
        let request = request.body(Full::new(call.body))?;

        let answer = self.endpoint.send(request).await?;
        let status = answer.status();
        let body = answer.body(MAX_ANSWER_BYTES).await?;
        if status.is_success() {
            return Ok(body);
        }
        if let Ok(fault) = serde_json::from_slice::<Fault>(&body) {
            bail!("{} {}: {}", status.as_u16(), fault.code, fault.message)
        }
        match oss::xml::read_error(&body) {
            Ok(refusal) => bail!("{} {}: {}", status.as_u16(), refusal.code, refusal.message),
            Err(_) => bail!("{} : {}", status.as_u16(), String::from_utf8_lossy(&body)),
        }
    }
}
