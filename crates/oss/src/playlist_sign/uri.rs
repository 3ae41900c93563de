//! Where the URI of a playlist leads, and what it looks like signed (OSS auth 9.3, 9.4).

use super::SignContext;
use crate::request::{Addressing, Query, RawRequest, Style, bare_host, route};
use crate::sign::is_signed_parameter;
use crate::sign::presign::ChildSigner;
use model::OperationKind;
use model::Resource;
use model::name::ObjectKey;
use model::percent::percent_decode;
use model::percent::percent_encode;

/// Parameters of earlier signatures, which are dropped before a URI is signed.
const REPLACED: [&str; 12] = [
    "OSSAccessKeyId",
    "Expires",
    "Signature",
    "security-token",
    "x-oss-signature-version",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-signature",
    "x-oss-additional-headers",
    "x-oss-security-token",
    "x-oss-access-key-id",
];

/// What a URI names, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UriKind {
    /// `.m3u8` in any case.
    Playlist,
    /// Everything else: `.ts`, `.m4s`, `.aac` and so on.
    Segment,
}

impl UriKind {
    /// Looks at the text before `?` or `#`.
    pub fn of(uri: &[u8]) -> Self {
        let path = uri.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or(uri);
        let extension = path.len().checked_sub(5).and_then(|at| path.get(at..));
        if extension.is_some_and(|text| text.eq_ignore_ascii_case(b".m3u8")) { Self::Playlist } else { Self::Segment }
    }
}

/// Why a URI of a playlist is not signed (D25).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// It leads to no object of this bucket on this server.
    Elsewhere,
    /// It leads to an object that is not below the folder of the playlist.
    Outside,
    /// Its query selects an operation, or something else than the object as it is.
    Operation,
}

/// Appends a URI, signed when it may be, else as it is.
pub(super) fn push_signed(
    out: &mut Vec<u8>,
    uri: &[u8],
    context: &SignContext<'_>,
    signer: &ChildSigner<'_>,
) -> Result<(), Unsigned> {
    let signed = std::str::from_utf8(uri).map_err(|_| Unsigned::Elsewhere).and_then(|text| sign(text, context, signer));
    match signed {
        Ok(text) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Err(why) => {
            push_unsigned(out, uri, context);
            Err(why)
        }
    }
}

/// Appends a URI as it is; a relative one leads where it leads in the stored playlist.
pub(super) fn push_unsigned(out: &mut Vec<u8>, uri: &[u8], context: &SignContext<'_>) {
    let path = uri.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    if std::str::from_utf8(path).is_ok_and(is_relative) {
        out.extend_from_slice(context.folder.as_bytes());
    }
    out.extend_from_slice(uri);
}

/// Whether a path starts from the folder of its playlist.
fn is_relative(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && !has_scheme(path)
}

fn sign(uri: &str, context: &SignContext<'_>, signer: &ChildSigner<'_>) -> Result<String, Unsigned> {
    let (before, fragment) = uri.split_at(uri.find('#').unwrap_or(uri.len()));
    let (path, query) = match before.split_once('?') {
        Some((path, query)) => (path, query),
        None => (before, ""),
    };
    let key = resolve(path, context).ok_or(Unsigned::Elsewhere)?;
    let kind = UriKind::of(uri.as_bytes());
    // Browsers read `\\` as `/`, and then it would be another key than the one that was looked at.
    if path.contains('\\') || !is_within(&key, kind, context) {
        return Err(Unsigned::Outside);
    }
    let process = (kind == UriKind::Playlist).then_some(context.process);
    let kept: Vec<&str> =
        query.split('&').filter(|piece| !piece.is_empty() && is_kept(piece, process.is_some())).collect();
    let kept = kept.join("&");
    let own = Query::parse(&kept);
    if !is_plain_get(&key, &kept, &own, context) {
        return Err(Unsigned::Operation);
    }
    let added = signer.sign(context.bucket, &key, &own, process);
    let separator = if kept.is_empty() { "" } else { "&" };
    let folder = if is_relative(path) { context.folder } else { "" };
    Ok(format!("{folder}{path}?{kept}{separator}{added}{fragment}"))
}

/// Whether a key is one that a playlist of this name may hand out (D25): below its own folder, or, for a playlist in a
/// bucket of masters, below the folder around it. A playlist in the root has no folder, and the whole bucket would be
/// below it: it hands out what stands beside it in the root.
fn is_within(key: &ObjectKey, kind: UriKind, context: &SignContext<'_>) -> bool {
    let folder = |path: &str| path.rfind('/').map_or(0, |at| at + 1);
    let name = context.key.as_str();
    let own = name.get(..folder(name)).unwrap_or_default();
    let around = own.get(..folder(own.trim_end_matches('/'))).unwrap_or_default();
    let below = |folder: &str| key.as_str().strip_prefix(folder);
    let rest = match below(own) {
        Some(rest) if !own.is_empty() || !rest.contains('/') => Some(rest),
        _ if context.signs_siblings && kind == UriKind::Playlist => below(around),
        _ => None,
    };
    // Dots that came escaped are letters of a key here, and steps to another folder for some clients.
    rest.is_some_and(|rest| !rest.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")))
}

/// Whether the request for a key with this query reads the object as it is, apart from the headers of the answer.
fn is_plain_get(key: &ObjectKey, kept: &str, own: &Query, context: &SignContext<'_>) -> bool {
    let is_harmless = |name: &[u8], value: &[u8]| match name {
        b"versionId" => matches!(value, b"" | b"null"),
        name => name.starts_with(b"response-") || !is_signed_parameter(name),
    };
    if own.pairs().is_empty() {
        return true;
    }
    // What selects an operation is the router's to say.
    let raw = RawRequest {
        method: "GET".to_owned(),
        path: format!("/{}/{}", context.bucket, percent_encode(key.as_str().as_bytes(), true)),
        query: kept.to_owned(),
        ..RawRequest::default()
    };
    own.pairs().iter().all(|pair| is_harmless(&pair.name, &pair.value))
        && route(&raw, &Addressing::default()).is_ok_and(|route| route.kind == OperationKind::GetObject)
}

/// Whether a piece of the query stays. Playlists get their `x-oss-process` from the request.
fn is_kept(piece: &str, is_playlist: bool) -> bool {
    let name = percent_decode(piece.split('=').next().unwrap_or(piece));
    let is_replaced = REPLACED.iter().any(|replaced| replaced.as_bytes() == name);
    !is_replaced && (!is_playlist || name != b"x-oss-process")
}

/// The key that a URI without query and fragment leads to; `None` when that is not an object of this bucket.
fn resolve(path: &str, context: &SignContext<'_>) -> Option<ObjectKey> {
    if let Some(after) = path.strip_prefix("//") {
        return resolve_absolute(after, context);
    }
    if let Some(after) = ["http://", "https://"].iter().find_map(|scheme| {
        path.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).and(path.get(scheme.len()..))
    }) {
        return resolve_absolute(after, context);
    }
    if has_scheme(path) {
        return None;
    }
    let below = match path.strip_prefix('/') {
        Some(_) => {
            let absolute = remove_dots(path)?;
            match context.style {
                Style::VirtualHosted | Style::CustomDomain => absolute,
                Style::Path => {
                    absolute.strip_prefix(context.bucket.as_str()).and_then(|rest| rest.strip_prefix('/'))?.to_owned()
                }
            }
        }
        None if path.is_empty() => return Some(context.key.clone()),
        None => {
            // The directory is a key, whose escapes and dots mean nothing; only those of the URI do.
            let directory = context.key.as_str().rsplit_once('/').map_or("", |(directory, _)| directory);
            return relative(directory, path);
        }
    };
    ObjectKey::parse(&percent_decode(&below)).ok()
}

/// Applies a relative path to a directory of the bucket; `None` when it leads out of the bucket.
fn relative(directory: &str, path: &str) -> Option<ObjectKey> {
    let mut parents: Vec<&str> = if directory.is_empty() { Vec::new() } else { directory.split('/').collect() };
    let below = without_dots(path, || parents.pop().map(drop))?;
    let mut key = parents.join("/").into_bytes();
    if !parents.is_empty() {
        key.push(b'/');
    }
    key.extend_from_slice(&percent_decode(&below));
    ObjectKey::parse(&key).ok()
}

/// Removes `.` and `..` from an absolute path and its first `/`; `None` when it leads above the root.
fn remove_dots(path: &str) -> Option<String> {
    without_dots(path.strip_prefix('/')?, || None)
}

/// Removes `.` and `..` (RFC 3986 5.2.4). `leave` is asked when the path leaves the place where it began.
fn without_dots(path: &str, mut leave: impl FnMut() -> Option<()>) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.split('/') {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => segments.pop().map(drop).or_else(&mut leave)?,
            segment => segments.push(segment),
        }
    }
    // What ends in dots names a directory.
    if ends_in_dots {
        segments.push("");
    }
    Some(segments.join("/"))
}

/// `host/path`: signed when the host is one of ours and the path leads into the bucket.
fn resolve_absolute(after_scheme: &str, context: &SignContext<'_>) -> Option<ObjectKey> {
    let (host, path) = match after_scheme.find('/') {
        Some(at) => after_scheme.split_at_checked(at)?,
        None => return None,
    };
    // A host that is merely tolerated in path style may be anybody's, and would be handed a valid signature.
    let is_ours = bare_host(host) == bare_host(context.host)
        || context.addressing.cnames.iter().any(|(domain, _)| *domain == bare_host(host))
        || is_below_base_domain(&bare_host(host), &context.addressing.base_domains);
    if host.contains('@') || !is_ours {
        return None;
    }
    let raw = RawRequest {
        method: "GET".to_owned(),
        path: format!("/{}", remove_dots(path)?),
        host: host.to_owned(),
        ..RawRequest::default()
    };
    match route(&raw, context.addressing).ok()?.resource {
        Resource::Object(bucket, key) if bucket == *context.bucket => Some(key),
        _ => None,
    }
}

fn is_below_base_domain(host: &str, base_domains: &[String]) -> bool {
    base_domains
        .iter()
        .map(String::as_str)
        .chain(["localhost"])
        .any(|base| host.strip_suffix(base).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

/// RFC 3986 3.1: a letter, then letters, digits, `+`, `-`, `.`, up to a colon.
fn has_scheme(path: &str) -> bool {
    let Some((scheme, _)) = path.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}
