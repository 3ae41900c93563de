//! Requests signed in every way, and publishes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use acceptance::Server;
use media::rtmp::{ClientConfig, ClientEvent, ClientSession, HandshakeRandom};
use model::name::BucketName;
use oss::sign::presign::{Signer, UnsignedRequest};
use serde_json::json;

use super::{Management, REGION, ROOT, Request, now_s, signer};

/// The bucket that requests are about.
pub(crate) const BUCKET: &str = "flipped";
/// What is in its objects.
pub(crate) const PRIVATE: &[u8] = b"bytes that only a right signature shows";

pub(crate) fn pairs(headers: Vec<(String, Vec<u8>)>) -> Vec<(String, String)> {
    headers.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect()
}

pub(crate) type Parameters<'a> = &'a [(&'a str, Option<&'a str>)];

/// A request that is signed in its headers, or in its URL when `in_url`.
pub(crate) fn signed(
    signer: &Signer,
    (is_v4, in_url): (bool, bool),
    method: &str,
    key: &str,
    query: Parameters<'_>,
    own: &[(&str, &str)],
    body: &[u8],
) -> Request {
    let bucket = BucketName::parse(BUCKET).unwrap();
    let mut headers: Vec<(String, Vec<u8>)> =
        own.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let unsigned = UnsignedRequest { method, bucket: Some(&bucket), key, query, headers: &headers };
    let path = format!("/{BUCKET}{}", unsigned.encoded_path());
    let plain = || {
        let pairs = query.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={}", model::percent::percent_encode(value.as_bytes(), false)),
            None => (*name).to_owned(),
        });
        pairs.collect::<Vec<_>>().join("&")
    };
    let (query, added) = match (in_url, is_v4) {
        (true, false) => (signer.v1_url_query(&unsigned, now_s() + 600), Vec::new()),
        (true, true) => (signer.v4_url_query(&unsigned, REGION, now_s(), 600), Vec::new()),
        (false, false) => (plain(), signer.v1_headers(&unsigned, now_s())),
        (false, true) => (plain(), signer.v4_headers(&unsigned, REGION, now_s())),
    };
    headers.extend(added);
    Request { method: method.to_owned(), path, query, headers: pairs(headers), body: body.to_vec() }
}

pub(crate) const V1: (bool, bool) = (false, false);
pub(crate) const V4: (bool, bool) = (true, false);
pub(crate) const V1_URL: (bool, bool) = (false, true);
pub(crate) const V4_URL: (bool, bool) = (true, true);

/// The account itself, and a temporary key of it.
pub(crate) fn signers(server: &Server) -> [(&'static str, Signer); 2] {
    signers_with_secrets(server).map(|(who, signer, _)| (who, signer))
}

/// As [`signers`], with the secrets, for signatures that are made by hand.
pub(crate) fn signers_with_secrets(server: &Server) -> [(&'static str, Signer, String); 2] {
    let made = server.manage("POST", "sessions", &json!({"user": "root"}));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let (id, secret, token) = (text("access_key_id"), text("access_key_secret"), text("security_token"));
    let temporary = signer((&id, &secret), Some(&token));
    [("by the account", signer(ROOT, None), ROOT.1.to_owned()), ("by a temporary key", temporary, secret)]
}

/// The answer to a publish: `None` when it may begin, else what the refusal says. The server may close without a word
/// when it cannot make out an RTMP URL at all.
pub(crate) fn publish(address: &str, app: &str, name: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let config = ClientConfig {
        app: app.to_owned(),
        tc_url: format!("rtmp://{address}/{app}"),
        name: name.to_owned(),
        flash_ver: "FMLE/3.0".to_owned(),
        chunk_size: 4096,
    };
    let mut session = ClientSession::new(config, &HandshakeRandom::new([7; _]));
    loop {
        if let Ok(Some(event)) = session.next_event() {
            match event {
                ClientEvent::Publishing => return None,
                ClientEvent::Refused { code, description } => return Some(format!("{code} {description}")),
                ClientEvent::Ended => return Some("ended".to_owned()),
            }
        }
        if stream.write_all(&session.take_output()).is_err() {
            return Some("closed".to_owned());
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return Some("closed".to_owned()),
            Ok(count) => session.feed(&buffer[..count]),
        }
    }
}
