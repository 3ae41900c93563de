//! The real binary as a process, and the Rust clients that point at it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

/// One `millpond serve` over a temporary folder; it ends with the value.
pub struct Server {
    process: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts the binary that `MILLPOND_BIN` names, or else the release build of this repository.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = folder.path().join("millpond.toml");
        let mut text = "[custom_domains]\n".to_owned();
        for version in ["v1", "v4"] {
            let bucket = bucket_name("cname", version);
            text.push_str(&format!("\"{}\" = \"{bucket}\"\n", custom_domain(&bucket)));
        }
        std::fs::write(&settings, text).expect("settings");
        let log = std::fs::File::create(folder.path().join("server.log")).expect("a log");
        let mut process = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--rtmp-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(&settings)
            .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let stdout = process.stdout.take().expect("its output was asked for");
        let address = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
            .find(|message| message["message"] == "listening")
            .and_then(|message| message["http"][0].as_str()?.parse().ok())
            .expect("the server tells where it listens");
        Self { process, address, folder }
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        if !std::thread::panicking() {
            assert!(!log.contains("panicked"), "{log}");
        }
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

fn binary() -> PathBuf {
    let path = std::env::var_os("MILLPOND_BIN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/millpond")),
        PathBuf::from,
    );
    assert!(path.exists(), "{} is missing: run `cargo build --release` or set MILLPOND_BIN", path.display());
    path
}
