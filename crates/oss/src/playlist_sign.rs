//! `x-oss-process=hls/sign`: a playlist in which every URI is signed like the request for it (OSS auth 9).

mod tag;
mod uri;

use crate::request::{Addressing, RawRequest, Style};
use crate::sign::presign::ChildSigner;
use crate::sign::{Credentials, SecretKey};
use model::name::{BucketName, ObjectKey};
use model::percent::{percent_decode, percent_encode};
use model::{Error, ErrorCode};

pub use uri::{Unsigned, UriKind};

/// The largest playlist that is signed, in bytes.
pub const MAX_PLAYLIST_BYTES: usize = 1024 * 1024;
/// The most segments of a playlist.
pub const MAX_SEGMENTS: usize = 10_000;
/// The most playlists of a master playlist.
pub const MAX_PLAYLISTS: usize = 100;
/// The largest answer. A long token repeated on every line of a large playlist could otherwise take any amount.
const MAX_OUTPUT_BYTES: usize = 64 * 1024 * 1024;

/// All that signing a playlist depends on. The result is a pure function of it and the text.
#[derive(Debug, Clone, Copy)]
pub struct SignContext<'a> {
    /// The bucket of the playlist; only URIs that lead into it are signed.
    pub bucket: &'a BucketName,
    /// The key of the playlist: relative URIs start from its folder, and only keys below that are signed.
    pub key: &'a ObjectKey,
    /// What a relative URI is led by so that it starts from the folder of the playlist for its reader: see
    /// [`written_folder`].
    pub folder: &'a str,
    /// How the request named the bucket, which paths beginning with `/` depend on.
    pub style: Style,
    /// The `Host` of the request: absolute URIs with it lead here.
    pub host: &'a str,
    /// The other names under which absolute URIs lead here.
    pub addressing: &'a Addressing,
    /// The verified credentials of the request, of a signed URL.
    pub credentials: &'a Credentials,
    /// The secret of their access key.
    pub secret: &'a SecretKey,
    /// The decoded value of `x-oss-process`, which playlists of a master playlist get too.
    pub process: &'a str,
    /// Whether the URIs in tags, such as those of keys and initialisation segments, are signed (`hls_sign.tags`).
    pub signs_tags: bool,
    /// Whether playlists that lie beside the folder of this one are signed too, as masters list them
    /// (`hls_sign.siblings`, D25).
    pub signs_siblings: bool,
}

/// A signed playlist, and what of it stayed unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPlaylist {
    /// The text.
    pub text: Vec<u8>,
    /// What was left as it is.
    pub left: Left,
}

/// The URIs of a playlist that stayed unsigned, by reason (D25).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// How many lead to no object of this bucket.
    pub elsewhere: usize,
    /// How many lead to an object that is not below the playlist's folder.
    pub outside: usize,
    /// How many have a query that selects an operation.
    pub operations: usize,
    /// The beginning of the first one that leads into this bucket, without its query.
    pub example: Option<String>,
}

/// How much of a URI is repeated, in bytes.
const MAX_EXAMPLE_BYTES: usize = 200;

impl Left {
    fn note(&mut self, uri: &[u8], why: Unsigned) {
        match why {
            Unsigned::Elsewhere => return self.elsewhere += 1,
            Unsigned::Outside => self.outside += 1,
            Unsigned::Operation => self.operations += 1,
        }
        if self.example.is_none() {
            // A query may hold somebody's signature.
            let path = uri.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
            let path = path.get(..MAX_EXAMPLE_BYTES).unwrap_or(path);
            self.example = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
}

/// Checks what a request for a signed playlist must be, apart from the playlist itself (OSS auth 9.2). It is made
/// after the signature was verified and before authorisation, so that an anonymous player learns what it did wrong.
///
/// # Errors
/// `InvalidRequest`: not signed by URL, a bad `x-oss-hls-sign-token`, a key that does not end in `.m3u8`.
pub fn check_request(raw: &RawRequest, credentials: &Credentials, key: &ObjectKey) -> Result<(), Error> {
    if !credentials.is_url_signed() {
        return Err(refuse("The request must be signed by URL.", "0044-00000410"));
    }
    if let Some(token) = raw.header("x-oss-hls-sign-token") {
        let token = token.trim_ascii();
        if token.len() > 100 {
            return Err(refuse("The x-oss-hls-sign-token is longer than 100 characters.", "0044-00000401"));
        }
        if !token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return Err(refuse("The x-oss-hls-sign-token has illegal characters.", "0044-00000402"));
        }
    }
    if !key.as_str().ends_with(".m3u8") {
        return Err(refuse("Playlist name must ends with \".m3u8\".", "0044-00000403"));
    }
    Ok(())
}

/// What stands before relative URIs in the answer to a request for `path`, as it was sent.
///
/// A client that writes the slashes of a key as `%2F`, as oss2 does, sees no folder in the address of its playlist: to it
/// `1.ts` is an object beside the last slash that it wrote. The folder is returned from the root of the host on, which is
/// right whether or not somebody takes `%2F` for a slash, and nothing for everybody else.
pub fn written_folder(path: &str) -> String {
    // Parameters that a client wrote into the key are no part of it, though their slashes look like folders.
    let marker = ["%3Fx-oss-process", "%3fx-oss-process"].iter().find_map(|marker| path.find(marker));
    let (path, parameters) = path.split_at_checked(marker.unwrap_or(path.len())).unwrap_or((path, ""));
    let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
    let key = percent_decode(last);
    let folder = key.iter().rposition(|byte| *byte == b'/').and_then(|slash| key.get(..=slash)).unwrap_or_default();
    if folder.is_empty() && !parameters.contains('/') {
        return String::new();
    }
    let is_odd = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
    let segments = folder.strip_suffix(b"/").unwrap_or(folder);
    // Clients take steps of dots, and some merge slashes; escaped they are letters.
    let keeps_slashes = folder.is_empty() || !segments.split(|byte| *byte == b'/').any(is_odd);
    format!("{above}/{}", percent_encode(folder, keeps_slashes))
}

/// Refuses a playlist by its size, before it is read.
///
/// # Errors
/// `InvalidRequest` when it is empty or larger than [`MAX_PLAYLIST_BYTES`].
pub fn check_size(bytes: u64) -> Result<(), Error> {
    if (1..=MAX_PLAYLIST_BYTES as u64).contains(&bytes) { Ok(()) } else { Err(size_is_wrong()) }
}

fn size_is_wrong() -> Error {
    refuse("Size of playlist is too big. The allowed range is 1 to 1048576 bytes.", "0044-00000404")
}

fn refuse(message: &'static str, ec: &'static str) -> Error {
    Error::new(ErrorCode::InvalidRequest).message(message).ec(ec)
}

/// Splits a key into which a client wrote the parameters: `live/a.m3u8?x-oss-process=hls/sign` (OSS auth 9.7, forms D
/// and E). Such a request is to be verified with the literal key; when it is, and no object has that key, it means the
/// first part, with the second as additional parameters. They are decoded already.
pub fn split_process_key(key: &ObjectKey) -> Option<(ObjectKey, Vec<(String, String)>)> {
    let at = key.as_str().find("?x-oss-process=")?;
    let (name, query) = key.as_str().split_at_checked(at)?;
    let parameters = query.get(1..)?.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (name.to_owned(), value.to_owned())
    });
    Some((ObjectKey::parse(name.as_bytes()).ok()?, parameters.collect()))
}

/// Signs every URI of a playlist that is a plain GET of an object below its folder (D25). Everything else is kept byte
/// for byte.
///
/// # Errors
/// `InvalidRequest` for the sizes and mixtures of OSS auth 9.2, and when the credentials are not those of a signed URL.
pub fn sign_playlist(text: &[u8], context: &SignContext<'_>) -> Result<SignedPlaylist, Error> {
    if text.is_empty() || text.len() > MAX_PLAYLIST_BYTES {
        return Err(size_is_wrong());
    }
    let signer = ChildSigner::new(context.credentials, context.secret)
        .ok_or_else(|| refuse("The request must be signed by URL.", "0044-00000410"))?;
    count(text)?;
    let mut out = Vec::with_capacity(text.len().saturating_mul(3));
    let mut left = Left::default();
    for line in text.split_inclusive(|b| *b == b'\n') {
        if let Err((uri, why)) = push_line(&mut out, line, context, &signer) {
            left.note(uri, why);
        }
        if out.len() > MAX_OUTPUT_BYTES {
            return Err(refuse(
                "Size of playlist is too big. The signed playlist would exceed 64 MiB.",
                "0044-00000404",
            ));
        }
    }
    Ok(SignedPlaylist { text: out, left })
}

/// A line without its end, the byte order mark and the white space around it.
struct Line<'a> {
    before: &'a [u8],
    content: &'a [u8],
    after: &'a [u8],
}

impl<'a> Line<'a> {
    fn new(line: &'a [u8]) -> Self {
        let mark = if line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let start = mark + line.iter().skip(mark).take_while(|b| b.is_ascii_whitespace()).count();
        let (before, rest) = line.split_at_checked(start).unwrap_or((line, &[]));
        let (content, after) = rest.split_at_checked(rest.trim_ascii_end().len()).unwrap_or((rest, &[]));
        Self { before, content, after }
    }

    fn is_uri(&self) -> bool {
        !self.content.is_empty() && !self.content.starts_with(b"#")
    }
}

/// A playlist lists segments or playlists, some of either, not too many (OSS auth 9.2). URIs in tags do not count.
fn count(text: &[u8]) -> Result<(), Error> {
    let (mut segments, mut playlists) = (0_usize, 0_usize);
    for line in text.split(|b| *b == b'\n').map(Line::new).filter(Line::is_uri) {
        match UriKind::of(line.content) {
            UriKind::Segment => segments += 1,
            UriKind::Playlist => playlists += 1,
        }
    }
    match (segments, playlists) {
        (0, 0) => Err(refuse("No ts found in the playlist.", "0044-00000408")),
        (1.., 1..) => Err(refuse("Master playlist has ts file.", "0044-00000409")),
        (n, _) if n > MAX_SEGMENTS => Err(refuse("The playlist has more than 10000 segments.", "0044-00000406")),
        (_, n) if n > MAX_PLAYLISTS => Err(refuse("The playlist has more than 100 playlists.", "0044-00000407")),
        _ => Ok(()),
    }
}

/// Appends a line; the error is its URI when that was not signed, and why.
fn push_line<'a>(
    out: &mut Vec<u8>,
    line: &'a [u8],
    context: &SignContext<'_>,
    signer: &ChildSigner<'_>,
) -> Result<(), (&'a [u8], Unsigned)> {
    let parts = Line::new(line);
    let mut outcome = Ok(());
    out.extend_from_slice(parts.before);
    if parts.is_uri() {
        outcome = uri::push_signed(out, parts.content, context, signer).map_err(|why| (parts.content, why));
    } else if let Some((before, uri, after)) = tag::uri_attribute(parts.content) {
        out.extend_from_slice(before);
        if context.signs_tags {
            outcome = uri::push_signed(out, uri, context, signer).map_err(|why| (uri, why));
        } else {
            uri::push_unsigned(out, uri, context);
        }
        out.extend_from_slice(after);
    } else {
        out.extend_from_slice(parts.content);
    }
    out.extend_from_slice(parts.after);
    outcome
}

#[cfg(test)]
mod tests;
