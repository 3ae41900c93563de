//! A small client of the API, for commands that talk to a running server.

use anyhow::bail;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use model::name::BucketName;
use oss::sign::presign::{Signer, UnsignedRequest};

use super::wire::{Endpoint, Trust};

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
        let mut request =
            Request::builder().method(call.method.clone()).uri(target).header("host", self.endpoint.authority());
        for (name, value) in call.headers.iter().chain(&self.signer.v1_headers(&unsigned, now_s)) {
            request = request.header(name.as_str(), value.as_slice());
        }
        let request = request.body(Full::new(call.body))?;

        let stream = self.endpoint.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        if let Ok(fault) = serde_json::from_str::<Fault>(&text) {
            bail!("{} {}: {}", status.as_u16(), fault.code, fault.message)
        }
        let element = |name: &str| {
            let after = text.split_once(&format!("<{name}>"))?.1;
            Some(after.split_once("</")?.0.to_owned())
        };
        bail!(
            "{} {}: {}",
            status.as_u16(),
            element("Code").unwrap_or_default(),
            element("Message").unwrap_or_else(|| text.into_owned())
        )
    }
}
