//! Pictures on the wire: `x-oss-process` with `video/snapshot` as OSS has it, `live/still` and `video/storyboard` in its
//! manner.

use model::Error;
use model::access::Caller;
use oss::request::{Conditions, ResponseOverrides};
use pictures::{ProcessError, SnapshotRequest, StoryboardRequest};
use serde_json::json;

use super::object::{if_proceeds, overridden, version};
use super::{Answer, Asked, Content, caching};
use crate::ops::Call;
use crate::ops::object::ReadObject;
use crate::ops::picture::{self, PictureOf, Pictured};
use crate::ops::{bad_process, storyboard};

/// GetVideoSnapshot.
pub(super) async fn snapshot(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let process = process(asked);
    let wanted = wanted(asked, process, process.parse())?;
    send(asked, call, picture::snapshot(call, wanted).await?)
}

/// GetLiveStill: takes the parameters of `video/snapshot` but those that choose a moment.
pub(super) async fn still(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let process = process(asked);
    let shape = process.strip_prefix("live/still").unwrap_or_default();
    let chooses = shape.split(',').any(|part| part.starts_with("t_") || part.starts_with("m_"));
    let parsed = if chooses { Err(ProcessError::Form) } else { format!("video/snapshot{shape}").parse() };
    let wanted = wanted(asked, process, parsed)?;
    send(asked, call, picture::still(call, wanted).await?)
}

/// PostStoryboard: answers in JSON what was stored, as OSS does where a process stores something.
pub(super) async fn storyboard(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let request: StoryboardRequest = process(asked).parse().map_err(|error| bad_process(&error))?;
    let stored = storyboard::post(call, version(asked), request).await?;
    let sheets: Vec<_> = stored.sheets.iter().map(|key| key.as_str()).collect();
    let text = json!({
        "status": "OK",
        "bucket": asked.bucket()?.as_str(),
        "object": stored.track.as_str(),
        "sheets": sheets,
        "thumbnails": stored.thumbnails,
    });
    Ok(Answer::bytes("application/json", text.to_string()))
}

fn process<'a>(asked: &Asked<'a>) -> &'a str {
    asked.query().first("x-oss-process").unwrap_or_default()
}

fn wanted<'a>(
    asked: &Asked<'a>,
    process: &str,
    request: Result<SnapshotRequest, ProcessError>,
) -> Result<PictureOf<'a>, Error> {
    let request = request.map_err(|error| bad_process(&error))?;
    let read = ReadObject { version: version(asked), page: caching::page(asked) };
    Ok(PictureOf { read, request, process: process.to_owned() })
}

/// A picture as GET and HEAD show it. Conditions are about the picture, not about what it was made of.
fn send(asked: &Asked<'_>, call: &Call<'_>, pictured: Pictured) -> Result<Answer, Error> {
    let Pictured { image, etag, modified_ms, keeping } = pictured;
    let outcome = Conditions::of_read(asked.raw, asked.now_ms).evaluate(&etag, modified_ms);
    let is_anonymous = matches!(call.granted.grant.caller(), Caller::Anonymous);
    let overrides = ResponseOverrides::parse(asked.query(), is_anonymous)?;
    let answer = Answer { status: 200, headers: Vec::new(), content: Content::Bytes(image.bytes) }
        .header("content-type", image.format.media_type())
        .header("etag", etag.quoted())
        .header("last-modified", model::date::format_http(modified_ms))
        .header("x-content-type-options", "nosniff");
    if_proceeds(outcome, caching::announce(overridden(answer, overrides), keeping))
}
