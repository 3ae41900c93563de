//! What strangers stored, on a host that also has the pages under `/-/` (D27): an HTML page of a bucket would run with the
//! rights of the console, whose origin it shares. It is sent as a file to keep, in a sandbox, and never guessed at. Hosts
//! that stand for one bucket have no pages, and send everything as it is stored.
//!
//! Types are judged by what they may be, not by what they may not: a browser knows more types that run scripts than
//! anybody lists.

use hyper::HeaderMap;
use hyper::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use model::{Error, ErrorCode};
use oss::request::RawRequest;

/// Who wrote the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// This server: XML in which every text of others is escaped.
    Server,
    /// Whoever stored it.
    Stranger,
}

/// Types that no browser runs scripts of, beside all of `audio`, `font`, `image` and `video` that are no XML.
const INERT: &[&str] = &[
    "application/gzip",
    "application/json",
    "application/mp4",
    "application/mpegurl",
    "application/octet-stream",
    "application/ogg",
    "application/pdf",
    "application/vnd.apple.mpegurl",
    "application/x-gzip",
    "application/x-mpegurl",
    "application/x-tar",
    "application/zip",
    "text/css",
    "text/csv",
    "text/markdown",
    "text/plain",
    "text/vtt",
];

/// Adds the headers that keep a body from acting as a page of this origin. Pages of the server have a policy already.
pub(super) fn contain(headers: &mut HeaderMap, author: Author) {
    if headers.contains_key(CONTENT_SECURITY_POLICY) {
        return;
    }
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    let content_type = headers.get(CONTENT_TYPE);
    if content_type.is_none() && !has_body {
        return;
    }
    let is_active = !content_type.is_some_and(|value| is_inert(value.as_bytes()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_active {
        return;
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if author == Author::Stranger {
        let disposition = attachment(headers.get(CONTENT_DISPOSITION));
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
}

/// Refuses the script of a service worker, which would stand between the browser and everything below its folder.
///
/// # Errors
/// `AccessDenied`.
pub(super) fn refuse_service_worker(raw: &RawRequest) -> Result<(), Error> {
    match raw.header("service-worker") {
        None => Ok(()),
        Some(_) => Err(Error::new(ErrorCode::AccessDenied)
            .message("Scripts of buckets are no service workers on a host that has pages of the server.")),
    }
}

/// Whether a `Content-Type` is one that browsers show, play or keep without running anything. A comma makes it several
/// types, of which browsers take the last.
fn is_inert(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    if text.contains(',') {
        return false;
    }
    let essence = text.split(';').next().unwrap_or(text).trim_matches([' ', '\t']).to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let is_token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    if !is_token(kind) || !is_token(subtype) || subtype == "xml" || subtype.ends_with("+xml") {
        return false;
    }
    matches!(kind, "audio" | "font" | "image" | "video") || INERT.contains(&essence.as_str())
}

/// The stored disposition as an attachment; the name of the file stays.
fn attachment(stored: Option<&HeaderValue>) -> HeaderValue {
    let plain = HeaderValue::from_static("attachment");
    let Some(stored) = stored else { return plain };
    let bytes = stored.as_bytes();
    let (kind, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b';').unwrap_or(bytes.len()));
    match kind.trim_ascii() {
        kind if kind.eq_ignore_ascii_case(b"attachment") => stored.clone(),
        kind if kind.eq_ignore_ascii_case(b"inline") => {
            HeaderValue::from_bytes(&[b"attachment", rest].concat()).unwrap_or(plain)
        }
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contained(author: Author, stored: &[(&'static str, &str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in stored {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        contain(&mut headers, author);
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    fn value_of(headers: &[(String, String)], name: &str) -> Option<String> {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn only_types_that_run_nothing_are_shown() {
        for (content_type, is_shown) in [
            ("text/plain", true),
            ("text/plain; charset=utf-8", true),
            ("TEXT/Plain ;x=y", true),
            ("video/mp2t", true),
            ("application/vnd.apple.mpegurl", true),
            ("application/x-mpegURL", true),
            ("audio/mpegurl", true),
            ("image/png", true),
            ("application/octet-stream", true),
            ("application/json", true),
            ("application/pdf", true),
            ("text/html", false),
            ("text/html;charset=utf-8", false),
            ("Text/HTML", false),
            ("application/xhtml+xml", false),
            ("image/svg+xml", false),
            ("IMAGE/SVG+XML; a=b", false),
            ("image/foo+xml", false),
            ("text/xml", false),
            ("application/xml", false),
            ("application/dash+xml", false),
            ("text/xsl", false),
            ("text/javascript", false),
            ("application/javascript", false),
            ("application/x-javascript", false),
            ("text/ecmascript", false),
            ("application/wasm", false),
            ("multipart/x-mixed-replace", false),
            ("message/rfc822", false),
            ("multipart/related", false),
            ("text/plain, text/html", false),
            ("text/plain;a=b,text/html", false),
            ("text/plain\t,\ttext/html", false),
            ("image/\"x\"", false),
            ("*/*", false),
            ("unknown/unknown", false),
            ("text", false),
            ("/", false),
            ("", false),
        ] {
            let seen = contained(Author::Stranger, &[("content-type", content_type), ("content-length", "1")]);
            assert_eq!(value_of(&seen, "x-content-type-options").as_deref(), Some("nosniff"), "{content_type}");
            assert_eq!(value_of(&seen, "content-security-policy").is_none(), is_shown, "{content_type}");
            assert_eq!(value_of(&seen, "content-disposition").is_none(), is_shown, "{content_type}");
        }
    }

    #[test]
    fn names_of_files_stay() {
        for (stored, expected) in [
            ("inline", "attachment"),
            ("inline; filename=\"a.html\"", "attachment; filename=\"a.html\""),
            ("INLINE ; filename=a", "attachment; filename=a"),
            ("attachment; filename=a", "attachment; filename=a"),
            ("Attachment", "Attachment"),
            ("filename=a", "attachment"),
            ("attachment, inline", "attachment"),
            ("", "attachment"),
        ] {
            let seen = contained(Author::Stranger, &[("content-type", "text/html"), ("content-disposition", stored)]);
            assert_eq!(value_of(&seen, "content-disposition").as_deref(), Some(expected), "{stored}");
        }
        let shown = [("content-type", "video/mp4"), ("content-disposition", "inline; filename=a")];
        let seen = contained(Author::Stranger, &shown);
        assert_eq!(value_of(&seen, "content-disposition").as_deref(), Some("inline; filename=a"));
    }

    #[test]
    fn documents_of_the_server_are_read_in_the_browser() {
        let seen = contained(Author::Server, &[("content-type", "application/xml"), ("content-length", "9")]);
        assert_eq!(value_of(&seen, "content-security-policy").as_deref(), Some("sandbox"));
        assert_eq!(value_of(&seen, "content-disposition"), None);
        let page = [("content-type", "text/html"), ("content-security-policy", "default-src 'self'")];
        assert_eq!(contained(Author::Stranger, &page).len(), 2);
    }

    #[test]
    fn a_body_without_a_type_is_not_guessed_at() {
        assert!(contained(Author::Stranger, &[]).is_empty());
        assert_eq!(contained(Author::Stranger, &[("content-length", "0")]).len(), 1);
        let seen = contained(Author::Stranger, &[("content-length", "3")]);
        assert_eq!(value_of(&seen, "content-security-policy").as_deref(), Some("sandbox"));
        assert_eq!(value_of(&seen, "content-disposition").as_deref(), Some("attachment"));
    }
}
