//! GetSignedPlaylist on the wire: `x-oss-process=hls/sign` (OSS auth 9).

use model::{Error, ErrorCode};
use oss::playlist_sign::{self, SignContext, SignedPlaylist, check_size, sign_playlist, written_folder};
use oss::request::{Conditions, ResponseOverrides, Style};

use super::Asked;
use super::object::{if_proceeds, overridden, version};
use super::{Answer, playlist};
use crate::accounts::Identity;
use crate::objects::PLAYLIST_TYPE;
use crate::ops::signed_playlist::{self, Left, Signing, Variant};
use crate::ops::{Call, object};

/// The type that an upload gets when it names none, which no player takes for a playlist.
const UNKNOWN_TYPE: &[u8] = b"application/octet-stream";

impl From<playlist_sign::Left> for Left {
    fn from(left: playlist_sign::Left) -> Self {
        Self { outside: left.outside, operations: left.operations, example: left.example }
    }
}

/// The playlist with every URI signed like the request.
pub(super) async fn get(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let process = asked.query().first("x-oss-process").unwrap_or_default();
    let record = object::find_content(call, version(asked)).await?;
    check_size(record.size)?;
    let folder = written_folder(&asked.raw.path);
    let variant = variant(asked, process, &folder);
    let signed = signed_playlist::get(call, &record, variant, |text| sign(asked, text, process, &folder)).await?;
    // Conditions are about the text that is sent, not about the one that is stored (OSS auth 9.5).
    let (answer, etag) = playlist::made(asked, Answer::empty(200), signed.text, &signed.etag);
    let outcome = Conditions::of_read(asked.raw, asked.now_ms).evaluate(&etag, record.modified_ms);
    let content_type = match &record.headers.content_type {
        Some(stored) if stored != UNKNOWN_TYPE && stored != PLAYLIST_TYPE.as_bytes() => stored.clone(),
        _ => playlist::content_type(asked).into(),
    };
    let mut answer = answer
        .header("content-type", content_type)
        .header("etag", etag.quoted())
        .header("last-modified", model::date::format_http(record.modified_ms))
        .header("x-oss-object-type", record.object_type.as_str());
    if let Some(stored) = &record.headers.cache_control {
        answer = answer.header("cache-control", stored.clone());
    }
    answer = overridden(answer, ResponseOverrides::parse(asked.query(), false)?);
    if !answer.headers.iter().any(|(name, _)| name == "cache-control") {
        // Whoever follows the stream asks again, and the signatures in the text are nobody else's.
        answer = answer.header("cache-control", "private, no-cache");
    }
    if_proceeds(outcome, answer)
}

/// All that [`sign`] looks at beside the text: what stands before relative URIs, the host and how the bucket was named there, the
/// parameters as sent, which hold the signature that is repeated, and what the playlists of a master playlist are asked for with.
fn variant(asked: &Asked<'_>, process: &str, folder: &str) -> Variant {
    let style = name_of(asked.route.style);
    Variant::new([folder, &asked.raw.host, style, &asked.raw.query, process].map(str::to_owned))
}

fn sign(asked: &Asked<'_>, text: &[u8], process: &str, folder: &str) -> Result<Signing, Error> {
    let bucket = asked.bucket()?;
    let switches = &asked.config.hls_sign;
    let secret = asked.identity.map(Identity::secret).ok_or(ErrorCode::AccessDenied)?;
    let SignedPlaylist { text, left } = sign_playlist(
        text,
        &SignContext {
            bucket,
            key: asked.key()?,
            folder,
            style: asked.route.style,
            host: &asked.raw.host,
            addressing: asked.addressing,
            credentials: asked.credentials,
            secret,
            process,
            signs_tags: switches.tags,
            signs_siblings: switches.siblings.iter().any(|master| master == bucket.as_str()),
        },
    )?;
    Ok(Signing { text, left: left.into() })
}

/// The way in which a request names its bucket, for telling its answers apart.
fn name_of(style: Style) -> &'static str {
    match style {
        Style::Path => "path",
        Style::VirtualHosted => "virtual host",
        Style::CustomDomain => "custom domain",
    }
}
