//! GetSignedPlaylist: `x-oss-process=hls/sign` (OSS auth 9).

use bytes::{Bytes, BytesMut};
use oss::playlist_sign::{SignContext, check_size, sign_playlist};
use oss::request::{Conditions, ResponseOverrides};
use oss::{Error, ErrorCode};

use super::vod_playlist::PLAYLIST_TYPE;
use super::{Answer, Call, Content, object};
use crate::live::checksums;

/// The type that an upload gets when it names none, which no player takes for a playlist.
const UNKNOWN_TYPE: &[u8] = b"application/octet-stream";

/// The playlist with every URI signed like the request.
pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Error> {
    let process = call.query().first("x-oss-process").unwrap_or_default();
    let record = object::find(call).await?;
    check_size(record.size)?;
    let text = read(object::content(call, &record.body, 0, record.size).await?).await?;
    let bucket = super::bucket::name(call)?;
    let signed = sign_playlist(
        &text,
        &SignContext {
            bucket,
            key: call.key()?,
            style: call.route().style,
            host: &call.raw.host,
            addressing: &call.state.addressing,
            credentials: &call.granted.credentials,
            secret: &call.granted.secret(call.state)?,
            process,
            signs_tags: true,
        },
    )?;
    // Conditions are about the text that is sent, not about the one that is stored (OSS auth 9.5).
    let etag = checksums(&signed).etag;
    let modified = oss::date::format_http(record.modified_ms);
    Conditions::of_read(call.raw).evaluate(&etag, record.modified_ms).check().map_err(|error| match error.code {
        ErrorCode::NotModified => error.header("etag", etag.quoted()).header("last-modified", modified.clone()),
        _ => error,
    })?;
    let content_type = match &record.headers.content_type {
        Some(stored) if stored != UNKNOWN_TYPE => stored.clone(),
        _ => PLAYLIST_TYPE.into(),
    };
    let cache_control = record.headers.cache_control.clone().unwrap_or_else(|| b"no-cache".to_vec());
    let mut answer = Answer { status: 200, headers: Vec::new(), content: Content::Bytes(signed.into()) }
        .header("content-type", content_type)
        .header("cache-control", cache_control)
        .header("etag", etag.quoted())
        .header("last-modified", modified)
        .header("x-oss-object-type", record.object_type.as_str());
    for (name, value) in ResponseOverrides::parse(call.query(), false)?.headers {
        answer.headers.retain(|(known, _)| known != name);
        answer = answer.header(name, value);
    }
    Ok(answer)
}

async fn read(content: Content) -> Result<Bytes, Error> {
    match content {
        Content::Bytes(bytes) => Ok(bytes),
        Content::Stored(mut stored) => {
            let mut whole = BytesMut::new();
            while let Some(piece) = stored.next().await? {
                whole.extend_from_slice(&piece);
            }
            Ok(whole.freeze())
        }
        Content::Empty | Content::Announced(_) | Content::Xml(_) => Ok(Bytes::new()),
    }
}
