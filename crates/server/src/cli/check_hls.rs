//! `millpond check-hls`: what a playlist does against Apple's authoring rules for HLS, wherever it is served.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use flate2::read::GzDecoder;
use http_body_util::Full;
use hyper::Method;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use media::hls::{AuthoringIssue, authoring_issues, authoring_issues_of_answer};

use super::wire::{Endpoint, Trust};

/// The longest playlist that is looked at.
const MAX_BYTES: usize = 16 << 20;
/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many playlists of a master playlist are looked at.
const MAX_VARIANTS: usize = 20;

/// The flags of `check-hls`.
#[derive(Debug, Args)]
pub(crate) struct CheckHls {
    /// The playlist, a master playlist with the playlists that it names.
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    trust: Trust,
}

/// A playlist that was fetched.
struct Fetched {
    text: String,
    content_type: String,
    is_gzip: bool,
}

impl CheckHls {
    /// Prints what is wrong, a line each; fails when something is.
    ///
    /// # Errors
    /// When the playlist cannot be had.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let count = super::small_runtime()?.block_on(self.check())?;
        Ok(if count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn check(&self) -> anyhow::Result<usize> {
        let first = fetch(&self.url, &self.trust).await?;
        let mut count = print_issues(&self.url, &first);
        for uri in variants(&first.text).into_iter().take(MAX_VARIANTS) {
            let url = resolve(&self.url, uri);
            count += print_issues(&url, &fetch(&url, &self.trust).await?);
        }
        Ok(count)
    }
}

fn print_issues(url: &str, fetched: &Fetched) -> usize {
    let mut issues: Vec<AuthoringIssue> = authoring_issues_of_answer(&fetched.content_type, fetched.is_gzip);
    issues.extend(authoring_issues(&fetched.text));
    // The query may hold a signature.
    let shown = url.split('?').next().unwrap_or(url);
    if issues.is_empty() {
        say!("{shown}: in order");
    }
    for issue in &issues {
        // Text of strangers is shown without whatever a terminal would obey.
        let line: String = issue.to_string().chars().filter(|c| !c.is_control()).collect();
        say!("{shown}: {line}");
    }
    issues.len()
}

async fn fetch(url: &str, trust: &Trust) -> anyhow::Result<Fetched> {
    tokio::time::timeout(TIMEOUT, request(url, trust)).await.with_context(|| format!("{url} takes too long"))?
}

async fn request(url: &str, trust: &Trust) -> anyhow::Result<Fetched> {
    let endpoint = Endpoint::parse(url, trust)?;
    let address = endpoint.address();
    let request = address
        .request(Method::GET)
        .header(HOST, address.authority())
        .header(ACCEPT_ENCODING, "gzip")
        .body(Full::default())?;
    let answer = endpoint.send(request).await?;
    if !answer.status().is_success() {
        bail!("{} answers {}", url.split('?').next().unwrap_or(url), answer.status());
    }
    let headers = answer.headers().clone();
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body = answer.body(MAX_BYTES).await?;
    let is_gzip = said(CONTENT_ENCODING).eq_ignore_ascii_case("gzip");
    let text = if is_gzip { unzip(&body)? } else { String::from_utf8_lossy(&body).into_owned() };
    Ok(Fetched { text, content_type: said(CONTENT_TYPE), is_gzip })
}

/// Unpacks what may be a bomb.
fn unzip(body: &[u8]) -> anyhow::Result<String> {
    let mut text = Vec::new();
    GzDecoder::new(body).take(MAX_BYTES as u64).read_to_end(&mut text).context("what is sent as gzip is none")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The playlists that a master playlist names.
fn variants(text: &str) -> Vec<&str> {
    let mut is_next = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#EXT-X-STREAM-INF") {
            is_next = true;
        } else if !line.is_empty() && !line.starts_with('#') && std::mem::take(&mut is_next) {
            found.push(line);
        }
    }
    found
}

/// Where a URI leads from a playlist.
fn resolve(base: &str, uri: &str) -> String {
    if uri.contains("://") {
        return uri.to_owned();
    }
    let bare = base.split(['?', '#']).next().unwrap_or(base);
    let authority_end = bare.find("://").and_then(|at| bare.get(at + 3..)?.find('/').map(|slash| at + 3 + slash));
    let origin = authority_end.and_then(|end| bare.get(..end)).unwrap_or(bare);
    match uri.strip_prefix('/') {
        Some(rest) => format!("{origin}/{rest}"),
        None => format!("{}/{uri}", bare.rsplit_once('/').map_or(origin, |(folder, _)| folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_lead_from_their_playlist() {
        let base = "http://h:9000/media/cam/master.m3u8?Signature=a/b";
        for (uri, expected) in [
            ("720p.m3u8", "http://h:9000/media/cam/720p.m3u8"),
            ("/x/y.m3u8?a", "http://h:9000/x/y.m3u8?a"),
            ("https://cdn/z.m3u8", "https://cdn/z.m3u8"),
        ] {
            assert_eq!(resolve(base, uri), expected);
        }
    }

    #[test]
    fn variants_stand_behind_their_tags() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n# a note\n\na.m3u8\n#EXTINF:2,\nb.ts\n";
        assert_eq!(variants(text), ["a.m3u8"]);
    }

    #[test]
    fn bombs_are_cut() {
        use std::io::Write;
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..20 {
            bomb.write_all(&vec![b'a'; 1 << 20]).unwrap();
        }
        assert_eq!(unzip(&bomb.finish().unwrap()).unwrap().len(), MAX_BYTES);
        assert!(unzip(b"no").is_err());
    }
}
