//! The access log of a bucket (HTTP API 8.15): how its lines are written. The fields and their
//! order are those that OSS documents for stored access logs, up to the access key.

use std::fmt::Write as _;
use std::net::IpAddr;

use model::date::format_log;
use model::name::BucketName;
use model::percent::percent_encode;

/// The longest text of a field; what a peer sends beyond it is cut off.
const MAX_FIELD_BYTES: usize = 4096;

/// Parameters that let whoever reads the log act as the one who sent them, as long as they are valid.
const SECRETS: [&str; 4] = ["signature", "x-oss-signature", "security-token", "x-oss-security-token"];

/// A request and its answer, but for what is known only when the last byte is sent.
#[derive(Debug, Clone)]
pub struct AccessLogEntry<'a> {
    /// The peer.
    pub remote_ip: IpAddr,
    /// When the request came, Unix milliseconds.
    pub received_ms: i64,
    /// The method.
    pub method: &'a str,
    /// The path as it was sent.
    pub path: &'a str,
    /// The query as it was sent, without `?`.
    pub query: &'a str,
    /// The version of HTTP, such as `HTTP/1.1`.
    pub http_version: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// `Referer`, as sent.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`, as sent.
    pub user_agent: Option<&'a [u8]>,
    /// `Host`, as sent.
    pub host: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
    /// The number of the caller; `None` for anonymous ones.
    pub requester: Option<&'a str>,
    /// The operation.
    pub operation: &'a str,
    /// The bucket that is logged.
    pub bucket: &'a BucketName,
    /// The object.
    pub key: Option<&'a str>,
    /// The length of the object.
    pub object_size: Option<u64>,
    /// Milliseconds until the head of the answer was ready.
    pub server_ms: u64,
    /// The code of a refusal.
    pub error_code: Option<&'a str>,
    /// Bytes of the request, head and body.
    pub request_bytes: u64,
    /// The number of the bucket's owner.
    pub owner: &'a str,
    /// The label of the object.
    pub storage_class: Option<&'a str>,
    /// The key that signed.
    pub access_key_id: Option<&'a str>,
}

/// A line that lacks two numbers in its middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogLine {
    head: String,
    tail: String,
}

impl AccessLogEntry<'_> {
    /// Writes the line.
    pub fn line(&self) -> AccessLogLine {
        let mut head = format!("{} - - [{}] \"{} ", self.remote_ip, format_log(self.received_ms), self.method);
        push_text(&mut head, self.path.as_bytes());
        if !self.query.is_empty() {
            head.push('?');
            push_text(&mut head, without_secrets(self.query).as_bytes());
        }
        // Writing to a string does not fail.
        let _ = write!(head, " {}\" {}", self.http_version, self.status);

        let key = self.key.map(|key| percent_encode(key.as_bytes(), true));
        let mut tail = String::with_capacity(512);
        for text in [
            self.referer,
            self.user_agent,
            Some(self.host.as_bytes()),
            Some(self.request_id.as_bytes()),
            Some(b"true"),
            self.requester.map(str::as_bytes),
            Some(self.operation.as_bytes()),
            Some(self.bucket.as_str().as_bytes()),
            key.as_deref().map(str::as_bytes),
        ] {
            push_quoted(&mut tail, text);
        }
        push_number(&mut tail, self.object_size);
        push_number(&mut tail, Some(self.server_ms));
        push_quoted(&mut tail, self.error_code.map(str::as_bytes));
        push_number(&mut tail, Some(self.request_bytes));
        push_quoted(&mut tail, Some(self.owner.as_bytes()));
        // By how much the object grew is not known where the line is written.
        push_number(&mut tail, None);
        // No content delivery network asks.
        push_quoted(&mut tail, None);
        push_quoted(&mut tail, self.storage_class.map(str::as_bytes));
        // No lifecycle rule asks, and there is no accelerated access point.
        push_quoted(&mut tail, None);
        push_quoted(&mut tail, None);
        push_quoted(&mut tail, self.access_key_id.map(str::as_bytes));
        AccessLogLine { head, tail }
    }
}

impl AccessLogLine {
    /// The whole line with its end, once `sent_bytes` of body were sent, `request_ms` after the request came.
    pub fn finish(&self, sent_bytes: u64, request_ms: u64) -> String {
        format!("{} {sent_bytes} {request_ms}{}\n", self.head, self.tail)
    }
}

fn push_number(line: &mut String, number: Option<u64>) {
    let _ = match number {
        Some(number) => write!(line, " {number}"),
        None => write!(line, " -"),
    };
}

fn push_quoted(line: &mut String, text: Option<&[u8]>) {
    line.push_str(" \"");
    match text {
        Some(text) if !text.is_empty() => push_text(line, text),
        _ => line.push('-'),
    }
    line.push('"');
}

/// Text between quotes: what would end it, or the line, is escaped.
fn push_text(line: &mut String, text: &[u8]) {
    for &byte in text.iter().take(MAX_FIELD_BYTES) {
        match byte {
            b' '..=b'~' if byte != b'"' => line.push(char::from(byte)),
            _ => {
                let _ = write!(line, "%{byte:02X}");
            }
        }
    }
}

fn without_secrets(query: &str) -> String {
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if SECRETS.contains(&name.to_ascii_lowercase().as_str()) => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    query.split('&').map(hide).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(bucket: &BucketName) -> AccessLogEntry<'_> {
        AccessLogEntry {
            remote_ip: IpAddr::from([192, 0, 2, 1]),
            received_ms: 1_704_164_645_123,
            method: "GET",
            path: "/logged/a%20b.txt",
            query: "",
            http_version: "HTTP/1.1",
            status: 200,
            referer: Some(b"https://example.com/"),
            user_agent: Some(b"agent/1.0 (\"x\")"),
            host: "logged.localhost:9000",
            request_id: "65937D25",
            requester: Some("1000000000000001"),
            operation: "GetObject",
            bucket,
            key: Some("a b.txt"),
            object_size: Some(11),
            server_ms: 2,
            error_code: None,
            request_bytes: 300,
            owner: "1000000000000002",
            storage_class: Some("Standard"),
            access_key_id: Some("LTAI5tFake"),
        }
    }

    #[test]
    fn lines_have_the_documented_fields_in_their_order() {
        let bucket = BucketName::parse("logged").unwrap();
        assert_eq!(
            entry(&bucket).line().finish(11, 3),
            "192.0.2.1 - - [02/Jan/2024:03:04:05 +0000] \"GET /logged/a%20b.txt HTTP/1.1\" 200 11 3 \
             \"https://example.com/\" \"agent/1.0 (%22x%22)\" \"logged.localhost:9000\" \"65937D25\" \"true\" \
             \"1000000000000001\" \"GetObject\" \"logged\" \"a%20b.txt\" 11 2 \"-\" 300 \"1000000000000002\" - \"-\" \
             \"Standard\" \"-\" \"-\" \"LTAI5tFake\"\n"
        );
        let refused = AccessLogEntry {
            query: "x-oss-process=p&Signature=abc%3D&security-token=t&list",
            status: 403,
            referer: None,
            requester: None,
            key: None,
            object_size: None,
            error_code: Some("AccessDenied"),
            ..entry(&bucket)
        };
        let line = refused.line().finish(0, 0);
        assert!(
            line.contains("?x-oss-process=p&Signature=***&security-token=***&list HTTP/1.1\" 403 0 0 \"-\" "),
            "{line}"
        );
        assert!(line.contains(" \"true\" \"-\" \"GetObject\" \"logged\" \"-\" - 2 \"AccessDenied\" "), "{line}");
    }

    proptest! {
        #[test]
        fn nothing_a_peer_sends_adds_a_field_or_a_line(agent: Vec<u8>, query in "\\PC{0,40}", key in "\\PC{0,40}") {
            let bucket = BucketName::parse("logged").unwrap();
            let sent = AccessLogEntry { user_agent: Some(&agent), query: &query, key: Some(&key), ..entry(&bucket) };
            let line = sent.line().finish(1, 1);
            prop_assert_eq!(line.matches('"').count(), entry(&bucket).line().finish(1, 1).matches('"').count());
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        }
    }
}
