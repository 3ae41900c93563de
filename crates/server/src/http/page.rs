//! The pages under `/-/`: the bundled player. No bucket can be called `-`, so they are in nobody's way.

use std::borrow::Cow;

use rust_embed::RustEmbed;

use crate::ops::{Answer, Content};

/// The files of the player page.
#[derive(RustEmbed)]
#[folder = "assets/"]
#[include = "play.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.LICENSE"]
struct Assets;

/// The page may load only what this server bundles; media may come from anywhere, since a URL to play is given.
const POLICY: &str = "default-src 'self'; media-src 'self' blob: http: https:; worker-src 'self' blob:; connect-src *; \
                      img-src 'self' data:; style-src 'self'; script-src 'self'; frame-ancestors 'self'; base-uri 'none'";

/// Answers a path that begins with `/-/`.
pub(super) fn answer(method: &str, path: &str) -> Answer {
    if method != "GET" && method != "HEAD" {
        return text(405, "Only GET and HEAD are answered here.\n").header("allow", "GET, HEAD");
    }
    let name = match path {
        "/-/play" | "/-/play/" => "play.html",
        _ => path.strip_prefix("/-/").unwrap_or_default(),
    };
    let Some(file) = Assets::get(name) else {
        return text(404, "There is no such page. The player is at /-/play\n");
    };
    let content_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let bytes = match file.data {
        Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Answer { status: 200, headers: Vec::new(), content: Content::Bytes(bytes) }
        .header("content-type", content_type)
        .header("cache-control", "no-cache")
        .header("content-security-policy", POLICY)
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "same-origin")
}

fn text(status: u16, message: &'static str) -> Answer {
    Answer { status, headers: Vec::new(), content: Content::Bytes(bytes::Bytes::from_static(message.as_bytes())) }
        .header("content-type", "text/plain; charset=utf-8")
}
