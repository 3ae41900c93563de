//! The pages under `/-/`: the bundled player and the console. No bucket can be called `-`, so they are in nobody's way.

use std::borrow::Cow;

use oss::request::{ConditionOutcome, Conditions, RawRequest};
use rust_embed::RustEmbed;

use crate::config::Config;
use crate::dialect::{Answer, Content};
use crate::http::door::Door;

/// The files of the pages.
#[derive(RustEmbed)]
#[folder = "assets/"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.LICENSE"]
struct Assets;

/// The player may load only what this server bundles; media may come from anywhere, since a URL to play is given.
const POLICY: &str = "default-src 'self'; media-src 'self' blob: http: https:; worker-src 'self' blob:; connect-src *; \
                      img-src 'self' data:; style-src 'self'; script-src 'self'; frame-ancestors 'self'; base-uri 'none'";

/// The console loads its own files and calls this server, nothing else; nobody shows it in a frame, where a click could
/// be led astray. Its forms are read by its script and sent nowhere.
/// Pictures and media that its script has fetched with a signature are shown from memory (`blob:`).
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                              media-src 'self' blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; \
                              base-uri 'none'";

/// What every page has, wherever it is: the library that pages play with, and the sign in the tab.
const COMMON: &[&str] = &["hls.light.min.js", "favicon.svg", "logo.svg"];

/// What browsers ask for by themselves.
pub(super) const FAVICON: &str = "/favicon.ico";

/// The console shares its windows with nobody, and lends its files to nobody: a page that opened it, or that it opened,
/// has no hold on it where browsers trust the way it came (HTTPS, loopback).
const CONSOLE_ISOLATION: [(&str, &str); 2] =
    [("cross-origin-opener-policy", "same-origin"), ("cross-origin-resource-policy", "same-origin")];

/// What the console has to know before anybody signed in: the region that its signatures name, and where media is when
/// that is elsewhere.
const SETTINGS: &str = "console/settings.json";

/// Answers a path that begins with `/-/`. Browsers ask each time, so that a new version is there at once, and what they
/// have already is not sent again.
pub(super) fn answer(raw: &RawRequest, config: &Config, door: Door) -> Answer {
    let answer = page(raw, config, door);
    let Content::Bytes(bytes) = &answer.content else { return answer };
    if answer.status != 200 {
        return answer;
    }
    let etag = crate::checksums::checksums(bytes).etag;
    // The tag alone decides: a page has no date, and would be newer than any.
    let is_known = Conditions::of_read(raw, 0).evaluate(&etag, i64::MAX) == ConditionOutcome::NotModified;
    let answer = answer.header("etag", etag.quoted());
    if is_known { Answer { status: 304, content: Content::Empty, ..answer } } else { answer }
}

/// Whether somebody typed the address of the server into a browser: it asks for a page, and signs nothing. Clients of the
/// API ask for anything, and sign or read their refusal.
pub(super) fn is_visit(raw: &RawRequest) -> bool {
    let wants_page = raw.header_text("accept").is_some_and(|accept| accept.contains("text/html"));
    matches!(raw.method.as_str(), "GET" | "HEAD")
        && raw.path == "/"
        && raw.query.is_empty()
        && wants_page
        && raw.header("authorization").is_none()
}

/// Leads a visitor to the console.
pub(super) fn to_console() -> Answer {
    Answer::empty(302)
        .header("location", "/-/console")
        .header("vary", "Accept, Authorization")
        .header("cache-control", "no-store")
}

fn page(raw: &RawRequest, config: &Config, door: Door) -> Answer {
    let (method, path) = (raw.method.as_str(), raw.path.as_str());
    if method != "GET" && method != "HEAD" {
        return text(405, "Only GET and HEAD are answered here.\n").header("allow", "GET, HEAD");
    }
    let name = match path {
        "/-/play" | "/-/play/" => "play.html",
        "/-/console" | "/-/console/" => "console/index.html",
        FAVICON => "favicon.svg",
        _ => path.strip_prefix("/-/").unwrap_or_default(),
    };
    let is_console = name.starts_with("console/");
    if is_console && !door.has_console(config) {
        return text(
            404,
            match config.http.console {
                true => "The console has an address of its own: `console_listen` in the settings.\n",
                false => "The console is switched off: `console` in the section `[http]` of the settings.\n",
            },
        );
    }
    // The player shows whatever somebody links to; it is for the public, on the other side.
    if !is_console && !COMMON.contains(&name) && door != Door::Public {
        return text(404, "This address has the console at /-/console and the management API, and nothing else.\n");
    }
    if name == SETTINGS {
        return isolated(framed(settings(raw, config, door).into(), "application/json", CONSOLE_POLICY));
    }
    let Some(file) = Assets::get(name) else {
        return text(404, "There is no such page. The player is at /-/play, the console at /-/console\n");
    };
    let content_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    let bytes = match file.data {
        Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    match is_console {
        true => isolated(framed(bytes, content_type, CONSOLE_POLICY)),
        false => framed(bytes, content_type, POLICY),
    }
}

fn isolated(answer: Answer) -> Answer {
    CONSOLE_ISOLATION.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value))
}

/// Bytes with the headers that keep them from being taken for anything else.
fn framed(bytes: bytes::Bytes, content_type: &str, policy: &str) -> Answer {
    Answer { status: 200, headers: Vec::new(), content: Content::Bytes(bytes) }
        .header("content-type", content_type)
        .header("cache-control", "no-cache")
        .header("content-security-policy", policy)
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "same-origin")
}

fn settings(raw: &RawRequest, config: &Config, door: Door) -> String {
    let region = config.accepted_regions.first().unwrap_or(&config.region);
    let mut settings = serde_json::json!({ "region": region });
    if let (Some(host), Some(members)) = (door.public_host(raw, config), settings.as_object_mut()) {
        let scheme = if raw.secure { "https" } else { "http" };
        members.insert("media".to_owned(), format!("{scheme}://{host}").into());
    }
    settings.to_string()
}

fn text(status: u16, message: &'static str) -> Answer {
    Answer { status, headers: Vec::new(), content: Content::Bytes(bytes::Bytes::from_static(message.as_bytes())) }
        .header("content-type", "text/plain; charset=utf-8")
}
