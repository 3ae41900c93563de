//! Calls of the account, and connections that send exactly the given bytes.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation of a test is a panic")]

pub(crate) mod flip;
pub(crate) mod signed;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acceptance::{Server, Start};
use base64::Engine;
use md5::Digest;
use model::name::{AccessKeyId, BucketName};
use oss::sign::SecretKey;
use oss::sign::presign::{Signer, UnsignedRequest};
use serde_json::Value;

/// The account's key in every test.
pub(crate) const ROOT: (&str, &str) = ("ROOTKEY", "RootSecretOfTheTests");
/// What V4 signatures name.
pub(crate) const REGION: &str = "cn-hangzhou";

/// A server with these levels of its log.
pub(crate) fn start(log_levels: &str) -> Server {
    Server::start(Start { key: ROOT, arguments: &["--auth-failures-per-minute", "0"], log_levels, settings: "" })
}

/// Calls of the management API.
pub(crate) trait Management {
    /// One by the account.
    fn manage(&self, method: &str, path: &str, body: &Value) -> Value;
}

impl Management for Server {
    fn manage(&self, method: &str, path: &str, body: &Value) -> Value {
        let bucket = BucketName::parse("api").unwrap();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut headers = management_headers();
        if !text.is_empty() {
            headers.push(("content-md5".to_owned(), md5_base64(text.as_bytes()).into_bytes()));
        }
        let key = format!("v1/{path}");
        let unsigned = UnsignedRequest { method, bucket: Some(&bucket), key: &key, query: &[], headers: &headers };
        let signed = signer(ROOT, None).v1_headers(&unsigned, now_s());
        headers.extend(signed);
        let request = Request {
            method: method.to_owned(),
            path: format!("/api/{key}"),
            query: String::new(),
            headers: headers.into_iter().map(|(n, v)| (n, String::from_utf8(v).unwrap())).collect(),
            body: text.into_bytes(),
        };
        let answer = Connection::new(&self.admin).send(&request);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }
}

/// The headers without which a call of the management API is refused: its purpose, and what tells it from its like.
pub(crate) fn management_headers() -> Vec<(String, Vec<u8>)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let nonce = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    vec![("x-oss-admin".to_owned(), b"v1".to_vec()), ("x-oss-admin-nonce".to_owned(), nonce.into_bytes())]
}

/// Whoever signs.
pub(crate) fn signer(key: (&str, &str), token: Option<&str>) -> Signer {
    Signer {
        access_key: AccessKeyId::parse(key.0).unwrap(),
        secret: SecretKey::new(key.1.to_owned()),
        token: token.map(str::to_owned),
    }
}

/// The moment, Unix seconds.
pub(crate) fn now_s() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Content-MD5 of a body.
pub(crate) fn md5_base64(body: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(body))
}

/// A request as it is written on the wire.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Path and query.
    pub(crate) fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }
}

/// What came back.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// One connection that is kept as long as the server keeps it.
pub(crate) struct Connection {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// Connects when something is sent.
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None }
    }

    /// Sends a request with its length and reads the whole answer.
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target()).into_bytes();
        if !request.headers.iter().any(|(name, _)| name == "host") {
            bytes.extend_from_slice(format!("host: {}\r\n", self.address).as_bytes());
        }
        for (name, value) in &request.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body.len()).as_bytes());
        bytes.extend_from_slice(&request.body);
        let is_head = request.method == "HEAD";
        // A connection that was kept may have been closed meanwhile; a fresh one was not.
        let kept = self.stream.is_some();
        match self.exchange(&bytes, is_head) {
            Some(answer) => answer,
            None if kept => self.exchange(&bytes, is_head).expect("an answer"),
            None => panic!("no answer to {}", String::from_utf8_lossy(&bytes)),
        }
    }

    fn exchange(&mut self, bytes: &[u8], is_head: bool) -> Option<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            self.stream = Some(BufReader::new(stream));
        }
        let mut stream = self.stream.take()?;
        stream.get_mut().write_all(bytes).ok()?;
        let answer = read_answer(&mut stream, is_head)?;
        if !answer.head.to_ascii_lowercase().contains("\r\nconnection: close") {
            self.stream = Some(stream);
        }
        Some(answer)
    }
}

/// Reads one answer; `None` when the connection ends before it.
pub(crate) fn read_answer(stream: &mut impl BufRead, is_head: bool) -> Option<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        head.push_str(&String::from_utf8_lossy(&line));
    }
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return read_answer(stream, is_head);
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; if is_head { 0 } else { length.unwrap_or(0) }];
    stream.read_exact(&mut body).ok()?;
    Some(Answer { status, head: head.trim_end().to_owned() + "\r\n", body })
}
