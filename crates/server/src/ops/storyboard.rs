//! PostStoryboard: sheets of small pictures of a recording and the track that says which shows what, as objects beside its
//! playlist. Players show them while somebody seeks.

use std::time::Duration;

use bytes::Bytes;
use model::name::ObjectKey;
use model::{Error, ErrorCode, OperationKind};
use pictures::{
    ImageFormat, Mode, Output, Plan, Reason, Refusal, Shape, Sheet, SizeRule, Storyboard, StoryboardError,
    StoryboardRequest,
};
use store::meta::{ObjectRecord, PutGuard};

use super::Call;
use super::object::{find_content, refused};
use super::recording::{self, SegmentList, check_is_on, is_playlist, no_picture};

/// The most thumbnails; of longer recordings they are further apart.
const MAX_THUMBNAILS: u32 = 300;
/// How long it may take in all.
const LIMIT: Duration = Duration::from_secs(300);
/// The type of tracks (WebVTT).
const TRACK_TYPE: &str = "text/vtt";

/// A storyboard that was stored.
pub(crate) struct Stored {
    /// The key of its track.
    pub(crate) track: ObjectKey,
    /// The keys of its sheets, in order.
    pub(crate) sheets: Vec<ObjectKey>,
    /// How many thumbnails there are.
    pub(crate) thumbnails: usize,
}

/// Makes a storyboard of what a playlist lists, and stores it beside the playlist: `NAME.storyboard.vtt` and
/// `NAME.storyboard-0.jpg` and so on, NAME being its key without `.m3u8`. The track comes last, so that it names nothing
/// that is not there.
///
/// # Errors
/// As [`find_content`]; the refusals of access control 8 for a segment that may not be read and for what is to be
/// written; `InvalidArgument` when there is no picture in it; `ServiceUnavailable` while another is made, or without the
/// time for it.
pub(crate) async fn post(call: &Call<'_>, version: Option<&str>, request: StoryboardRequest) -> Result<Stored, Error> {
    check_is_on(call)?;
    let record = find_content(call, version).await?;
    if !is_playlist(call.key()?, &record) {
        return Err(no_picture("a storyboard is made of a playlist"));
    }
    let names = Names::of(call.key()?);
    // Whoever may not keep it need not have it made.
    call.may(OperationKind::PutObject, call.bucket()?, &names.track()?).await?;
    call.may(OperationKind::PutObject, call.bucket()?, &names.sheet(0)?).await?;
    let _turn = call.services.stills.storyboard_turn().await.map_err(|refusal| recording::refused(&refusal))?;
    let late = || Error::new(ErrorCode::ServiceUnavailable).message("The storyboard could not be made in time.");
    tokio::time::timeout(LIMIT, make(call, &record, &names, request)).await.unwrap_or_else(|_| Err(late()))
}

/// What the objects of a storyboard are called.
struct Names {
    stem: String,
}

impl Names {
    fn of(playlist: &ObjectKey) -> Self {
        let key = playlist.as_str();
        let is_named_so = key.to_ascii_lowercase().ends_with(".m3u8");
        let stem = if is_named_so { key.get(..key.len() - ".m3u8".len()).unwrap_or(key) } else { key };
        Self { stem: format!("{stem}.storyboard") }
    }

    fn track(&self) -> Result<ObjectKey, Error> {
        ObjectKey::parse(format!("{}.vtt", self.stem).as_bytes())
    }

    fn sheet(&self, index: usize) -> Result<ObjectKey, Error> {
        ObjectKey::parse(format!("{}-{index}.jpg", self.stem).as_bytes())
    }

    /// A sheet as the track names it, which lies beside it.
    fn relative(&self, index: usize) -> String {
        let name = self.stem.rsplit_once('/').map_or(self.stem.as_str(), |(_, name)| name);
        model::percent::percent_encode(format!("{name}-{index}.jpg").as_bytes(), false)
    }
}

async fn make(
    call: &Call<'_>,
    record: &ObjectRecord,
    names: &Names,
    request: StoryboardRequest,
) -> Result<Stored, Error> {
    let list = {
        let _turn = recording::turn(call).await?;
        SegmentList::read(call, call.key()?, record).await?
    };
    let duration_ms = list.duration_ms();
    let size = SizeRule::Within { width: request.layout.width, height: request.layout.height };
    let output = Output { format: ImageFormat::Planes, shape: Shape { size, ..Shape::default() }, ..Output::default() };
    let mut board = Storyboard::new(request.layout).map_err(failed)?;
    let (mut sheets, mut thumbnails) = (Vec::new(), 0);
    // Where the thumbnail before was found: one key frame is shown once, however long nothing follows it.
    let mut last: Option<u64> = None;
    let mut fault: Option<Error> = None;
    for time_ms in Plan::new(duration_ms, request.interval_ms, MAX_THUMBNAILS).times_ms {
        let (shown_ms, picture) = match thumbnail(call, &list, time_ms, output).await {
            Ok(found) => found,
            // What is missing or damaged leaves a hole; what no part of the recording can have ends it.
            Err(error) if error.code == ErrorCode::NoSuchKey || error.code == ErrorCode::InvalidArgument => {
                fault.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if last.is_some_and(|last| shown_ms <= last) {
            continue;
        }
        last = Some(shown_ms);
        thumbnails += 1;
        // A sheet takes some 20 ms, and as much memory as a few frames.
        let start_ms = if thumbnails == 1 { 0 } else { time_ms };
        let pushed = tokio::task::spawn_blocking(move || {
            let sheet = board.push(start_ms, &picture);
            (board, sheet)
        });
        let (back, sheet) = pushed.await.map_err(|_| Error::new(ErrorCode::InternalError))?;
        board = back;
        if let Some(sheet) = sheet.map_err(failed)? {
            sheets.push(keep(call, names, sheet).await?);
        }
    }
    if thumbnails == 0 {
        return Err(fault.unwrap_or_else(|| no_picture("there is none in it")));
    }
    let relative = (0..=sheets.len()).map(|index| names.relative(index)).collect::<Vec<_>>();
    let finish = move || board.finish(duration_ms, |index| relative.get(index).cloned().unwrap_or_default());
    let finished = tokio::task::spawn_blocking(finish).await.map_err(|_| Error::new(ErrorCode::InternalError))?;
    let (sheet, track) = finished.map_err(failed)?;
    if let Some(sheet) = sheet {
        sheets.push(keep(call, names, sheet).await?);
    }
    let key = names.track()?;
    write(call, &key, track.into(), TRACK_TYPE).await?;
    Ok(Stored { track: key, sheets, thumbnails })
}

/// The key frame at a moment or before it, small, and when it is shown.
async fn thumbnail(
    call: &Call<'_>,
    list: &SegmentList,
    time_ms: u64,
    output: Output,
) -> Result<(u64, pictures::Picture), Error> {
    let (place, begins_ms) = list.place(call, time_ms).await?;
    let found = {
        let _turn = recording::turn(call).await?;
        place.find(call, Mode::KeyFrame, output).await?
    };
    let shown_ms = begins_ms.saturating_add(found.time_ms);
    let image = recording::make(call, found.job).await?;
    let nonsense = || recording::refused(&Refusal::new(Reason::Encoder, "planes of another size"));
    Ok((shown_ms, image.picture().ok_or_else(nonsense)?))
}

async fn keep(call: &Call<'_>, names: &Names, sheet: Sheet) -> Result<ObjectKey, Error> {
    let key = names.sheet(sheet.index)?;
    write(call, &key, sheet.jpeg.into(), ImageFormat::Jpeg.media_type()).await?;
    Ok(key)
}

/// Stores an object, if the caller may, whatever was there before.
async fn write(call: &Call<'_>, key: &ObjectKey, bytes: Bytes, content_type: &str) -> Result<(), Error> {
    let bucket = call.bucket()?;
    let grant = call.may(OperationKind::PutObject, bucket, key).await?;
    let record = call.objects().take_in(&bytes, content_type, bucket.record.storage_class).await?;
    call.objects().write(&grant, &record, PutGuard::Any, &[]).await.map(drop).map_err(|error| refused(&grant, error))
}

fn failed(error: StoryboardError) -> Error {
    tracing::error!(%error, "a storyboard cannot be made");
    Error::new(ErrorCode::InternalError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storyboard_lies_beside_its_playlist() {
        for (key, track, sheet, relative) in [
            ("c/v.m3u8", "c/v.storyboard.vtt", "c/v.storyboard-1.jpg", "v.storyboard-1.jpg"),
            ("v.M3U8", "v.storyboard.vtt", "v.storyboard-1.jpg", "v.storyboard-1.jpg"),
            ("c/é v", "c/é v.storyboard.vtt", "c/é v.storyboard-1.jpg", "%C3%A9%20v.storyboard-1.jpg"),
        ] {
            let names = Names::of(&ObjectKey::parse(key.as_bytes()).unwrap());
            assert_eq!(names.track().unwrap().as_str(), track);
            assert_eq!(names.sheet(1).unwrap().as_str(), sheet);
            assert_eq!(names.relative(1), relative);
        }
    }
}
