//! Requests that two readers could understand differently are refused: a proxy in front might have decided about
//! another request than the one that is served (RFC 9112 3.2, 6.1, 11.2; RFC 9113 8.3.1).

use hyper::Version;
use hyper::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use model::{Error, ErrorCode};

/// Headers of which a second one would leave open which of the two counts.
const ONCE: [&str; 14] = [
    "host",
    "authorization",
    "date",
    "content-type",
    "transfer-encoding",
    "content-md5",
    "x-oss-acl",
    "x-oss-content-sha256",
    "x-oss-copy-source",
    "x-oss-date",
    "x-oss-object-acl",
    "x-oss-security-token",
    "x-oss-symlink-target",
    "x-oss-tagging",
];

/// Looks at the head of a request.
///
/// # Errors
/// `BadRequest` that says what is ambiguous.
pub(super) fn check(head: &Parts) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorCode::BadRequest).message(message));
    if let Some(name) = sent_twice(&head.headers) {
        return refuse(format!("The header {name} is sent more than once."));
    }
    let is_chunked = |value: &hyper::header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if head.headers.get(TRANSFER_ENCODING).is_some_and(|value| !is_chunked(value)) {
        return refuse("The only Transfer-Encoding here is chunked.".to_owned());
    }
    let sent = head.headers.get(HOST).map(|value| value.as_bytes());
    let in_target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let (Some(sent), Some(in_target)) = (sent, in_target)
        && !sent.eq_ignore_ascii_case(in_target)
    {
        return refuse("The Host header names another host than the request target.".to_owned());
    }
    match sent.or(in_target) {
        None if head.version == Version::HTTP_11 => refuse("A request of HTTP/1.1 needs a Host header.".to_owned()),
        Some(host) if !host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:[]%~".contains(b)) => {
            refuse("The Host header is not a host with an optional port.".to_owned())
        }
        _ => Ok(()),
    }
}

/// The first header of those that count only once which is there more than once.
fn sent_twice(headers: &HeaderMap) -> Option<&'static str> {
    // Nearly every request has each of its headers once, which is known without looking for any.
    if headers.len() == headers.keys_len() {
        return None;
    }
    ONCE.into_iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    fn check(target: &str, headers: &[(&str, &str)], expected: bool) {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(super::check(&head).is_ok(), expected, "{target} {headers:?}");
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let host = ("host", "127.0.0.1:9000");
        check("/a", &[host], true);
        check("/a", &[host, host], false);
        check("/a", &[], false);
        check("/a", &[("host", "")], true);
        for (value, expected) in [
            ("bucket.localhost", true),
            ("[::1]:9000", true),
            (".127.0.0.1", true),
            ("user@host", false),
            ("host/path", false),
            ("a, b", false),
        ] {
            check("/a", &[("host", value)], expected);
        }
        check("http://127.0.0.1:9000/a", &[host], true);
        check("http://bucket.localhost/a", &[host], false);
        check("http://user:pw@127.0.0.1:9000/a", &[host], false);
        check("/a", &[host, ("authorization", "OSS a:b")], true);
        check("/a", &[host, ("authorization", "OSS a:b"), ("Authorization", "OSS a:b")], false);
        check("/a", &[host, ("x-oss-date", "1"), ("x-oss-date", "1")], false);
        check("/a", &[host, ("x-oss-meta-a", "1"), ("x-oss-meta-a", "2")], true);
        check("/a", &[host, ("transfer-encoding", "Chunked")], true);
        check("/a", &[host, ("transfer-encoding", "gzip, chunked")], false);
    }
}
