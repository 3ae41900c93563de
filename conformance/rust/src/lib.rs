//! The real binary as a process, and the Rust clients that point at it.

use std::net::SocketAddr;
use std::time::Duration;

use acceptance::Start;
use http::{Method, Request, Response};
use opendal::services::Oss;
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use reqsign_aliyun_oss::{Credential, RequestSigner, SigningVersion, StaticCredentialProvider};
use reqsign_core::{Context, Signer};

/// A fake key, and its secret.
pub const ACCESS_KEY_ID: &str = "LTAI5tFakeKeyForSpec0001";
/// The secret of the fake key.
pub const ACCESS_KEY_SECRET: &str = "FakeSecretForSpecOnly0000000001";
const REGION: &str = "cn-hangzhou";

/// The domain that stands for a bucket. It begins with the name of the bucket, because OpenDAL leaves the bucket out of
/// what it signs for any other custom domain, and the signature is then none, here as with the real service.
fn custom_domain(bucket: &str) -> String {
    format!("{bucket}.example.test")
}

fn bucket_name(style: &str, version: &str) -> String {
    format!("opendal-{style}-{version}")
}

/// A server whose custom domains stand for the buckets of the clients.
pub struct Server {
    address: SocketAddr,
    _process: acceptance::Server,
}

impl Server {
    /// Starts the binary that `MILLPOND_BIN` names, or one that is built now.
    pub fn start() -> Self {
        let mut settings = "[custom_domains]\n".to_owned();
        for version in ["v1", "v4"] {
            let bucket = bucket_name("cname", version);
            settings.push_str(&format!("\"{}\" = \"{bucket}\"\n", custom_domain(&bucket)));
        }
        let key = (ACCESS_KEY_ID, ACCESS_KEY_SECRET);
        let process = acceptance::Server::start(Start { key, arguments: &[], log_levels: "", settings: &settings });
        Self { address: process.http.parse().expect("an address"), _process: process }
    }

    /// Every way in which OpenDAL can address a bucket, under both signature versions; each with a new bucket.
    ///
    /// The OSS service of OpenDAL signs V1. For V4 its requests pass through the V4 signer of the same project.
    pub async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for version in ["v1", "v4"] {
            for style in ["path", "virtual", "cname"] {
                let bucket = bucket_name(style, version);
                self.create_bucket(&bucket).await;
                clients.push(self.client(style, version, &bucket, ACCESS_KEY_SECRET));
            }
        }
        clients
    }

    /// A client of one bucket. `style` is `path`, `virtual` or `cname`; `version` is `v1` or `v4`.
    pub fn client(&self, style: &str, version: &str, bucket: &str, secret: &str) -> Client {
        let host = match style {
            "path" => self.address.to_string(),
            "virtual" => format!("localhost:{}", self.address.port()),
            _ => format!("{}:{}", custom_domain(bucket), self.address.port()),
        };
        let http = self.http(bucket);
        let transport = ReqwestTransport::new(http.clone());
        let signer = (version == "v4").then(|| v4_signer(bucket, secret));
        let mut builder = Oss::default().endpoint(&format!("http://{host}")).bucket(bucket).addressing_style(style);
        builder = match &signer {
            Some(_) => builder.skip_signature(),
            None => builder.access_key_id(ACCESS_KEY_ID).access_key_secret(secret),
        };
        let transport = match &signer {
            Some(signer) => HttpTransporter::new(Resigning { inner: transport, signer: signer.clone() }),
            None => HttpTransporter::new(transport),
        };
        let operator = Operator::new(builder)
            .expect("a client")
            .with_context(OperationContext::new().with_http_transport(transport));
        Client { label: format!("{style} {version}"), operator, http, signer }
    }

    /// Asks for a bucket, which OpenDAL has no call for; the request is signed with V4 by the signer of its project.
    async fn create_bucket(&self, bucket: &str) {
        let request = Request::put(format!("http://{}/{bucket}/", self.address)).body(()).expect("a request");
        let (mut parts, ()) = request.into_parts();
        v4_signer(bucket, ACCESS_KEY_SECRET).sign(&mut parts, None).await.expect("a signature");
        let answer =
            self.http(bucket).put(parts.uri.to_string()).headers(parts.headers).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }

    /// A client for which every host name that is used here is this server.
    fn http(&self, bucket: &str) -> reqwest::Client {
        reqwest::Client::builder()
            .no_proxy()
            .resolve(&format!("{bucket}.localhost"), self.address)
            .resolve(&custom_domain(bucket), self.address)
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client")
    }
}

/// OpenDAL on one bucket.
pub struct Client {
    /// The addressing and the signature version, for messages.
    pub label: String,
    /// The bucket.
    pub operator: Operator,
    http: reqwest::Client,
    signer: Option<Signer<Credential>>,
}

impl Client {
    /// Sends what was presigned, as a program would that knows nothing but the request.
    pub async fn send(&self, presigned: opendal::raw::PresignedRequest, body: &[u8]) -> Answer {
        let request: Request<()> = presigned.into();
        let (mut parts, ()) = request.into_parts();
        // OpenDAL cannot know the length of what will be sent, and says 0.
        if parts.headers.remove(http::header::CONTENT_LENGTH).is_some() {
            parts.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
        }
        if let Some(signer) = &self.signer {
            signer.sign(&mut parts, Some(Duration::from_secs(60))).await.expect("a signature");
        }
        let method = Method::from_bytes(parts.method.as_str().as_bytes()).expect("a method");
        let mut request = self.http.request(method, parts.uri.to_string()).headers(parts.headers);
        if !body.is_empty() {
            request = request.body(body.to_vec());
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.bytes().await.expect("a body").to_vec() }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A transport that signs with V4 what the service did not sign.
struct Resigning {
    inner: ReqwestTransport,
    signer: Signer<Credential>,
}

impl HttpTransport for Resigning {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let (mut parts, body) = request.into_parts();
        self.signer.sign(&mut parts, None).await.map_err(|error| {
            opendal::Error::new(opendal::ErrorKind::Unexpected, "the request cannot be signed").set_source(error)
        })?;
        self.inner.fetch(Request::from_parts(parts, body)).await
    }
}

fn v4_signer(bucket: &str, secret: &str) -> Signer<Credential> {
    let request_signer = RequestSigner::new(bucket).with_region(REGION).with_signing_version(SigningVersion::V4);
    Signer::new(Context::new(), StaticCredentialProvider::new(ACCESS_KEY_ID, secret), request_signer)
}
