//! Pictures on request: one of a recording (`video/snapshot`, HTTP API 14), and the newest one of a channel (`live/still`).

use std::time::Duration;

use model::name::{ChannelName, ObjectKey};
use model::{ETag, Error, ErrorCode};
use pictures::{Image, Mode, SnapshotRequest};
use store::meta::{ObjectRecord, ObjectRole};

use super::Call;
use super::caching::{self, Keeping};
use super::object::{ReadObject, find_content};
use super::recording::{AT_THE_END_MS, Place, SegmentList, apart, check_is_on, is_playlist, make, no_picture, turn};
use crate::checksums::checksums;
use crate::stills::ImageName;

/// How long looking for a picture and making it may take in all: a recording of any length may have to be read.
const LIMIT: Duration = Duration::from_secs(60);

/// Which picture is asked for.
#[derive(Debug, Clone)]
pub(crate) struct PictureOf<'a> {
    /// Of which object, and by which page.
    pub(crate) read: ReadObject<'a>,
    /// Which one, and as what.
    pub(crate) request: SnapshotRequest,
    /// The same in the words of whoever asked: what tells images of one picture apart.
    pub(crate) process: String,
}

/// A picture.
pub(crate) struct Pictured {
    /// The file.
    pub(crate) image: Image,
    /// The tag of the file.
    pub(crate) etag: ETag,
    /// When what it shows was stored or came, unix ms.
    pub(crate) modified_ms: i64,
    /// Who may keep it, and for how long; `None` when nothing is to be said about that.
    pub(crate) keeping: Option<Keeping>,
}

/// GetVideoSnapshot: a picture of a transport stream, or of those that a playlist lists.
///
/// # Errors
/// As [`find_content`]; `InvalidArgument` when there is no picture or it cannot be decoded, `ServiceUnavailable` when
/// there is no room or no time for it, the refusals of access control 8 for a segment of a playlist.
pub(crate) async fn snapshot(call: &Call<'_>, wanted: PictureOf<'_>) -> Result<Pictured, Error> {
    check_is_on(call)?;
    let record = find_content(call, wanted.read.version).await?;
    let keeping = caching::of(call, &record, wanted.read.page);
    let modified_ms = record.modified_ms;
    let image = in_time(async {
        let place = if is_playlist(call.key()?, &record) {
            in_list(call, &record, wanted.request.time_ms).await?
        } else {
            Place { key: call.key()?.clone(), record, time_ms: wanted.request.time_ms }
        };
        of_place(call, &place, &wanted).await
    })
    .await?;
    pictured(image, modified_ms, keeping).await
}

/// GetLiveStill: the newest picture of the channel whose playlist is asked for. While somebody publishes it is the last
/// key frame that came, otherwise the last one that was recorded.
///
/// # Errors
/// As [`snapshot`]; `InvalidArgument` when the object is not the playlist of a push.
pub(crate) async fn still(call: &Call<'_>, wanted: PictureOf<'_>) -> Result<Pictured, Error> {
    check_is_on(call)?;
    let record = find_content(call, wanted.read.version).await?;
    if record.role != ObjectRole::LivePlaylist {
        return Err(no_picture("it is not the playlist of a push"));
    }
    // Whoever looks on asks again.
    let keeping = caching::of(call, &record, wanted.read.page).map(|keeping| Keeping {
        longest_s: 0,
        is_final: false,
        ..keeping
    });
    let (bucket, key) = (&call.bucket()?.name, call.key()?);
    let stills = &call.services.stills;
    let channel = channel_of(key)?;
    if let Some(frame) = stills.newest(&(bucket.clone(), channel)) {
        let name = ImageName {
            bucket: bucket.clone(),
            key: key.clone(),
            content: format!("key frame {}", frame.taken_ms),
            process: wanted.process,
        };
        let job = frame.job(wanted.request.output(stills.jpeg_quality()));
        let image = in_time(stills.image(name, make(call, job))).await?;
        return pictured(image, frame.taken_ms, keeping).await;
    }
    let fast = PictureOf {
        request: SnapshotRequest { mode: Mode::KeyFrame, time_ms: AT_THE_END_MS, ..wanted.request },
        ..wanted
    };
    let (image, modified_ms) = in_time(async {
        let place = in_list(call, &record, AT_THE_END_MS).await?;
        Ok((of_place(call, &place, &fast).await?, place.record.modified_ms))
    })
    .await?;
    pictured(image, modified_ms, keeping).await
}

async fn pictured(image: Image, modified_ms: i64, keeping: Option<Keeping>) -> Result<Pictured, Error> {
    let bytes = image.bytes.clone();
    let etag = apart(bytes.len() as u64, move || checksums(&bytes).etag).await?;
    Ok(Pictured { etag, image, modified_ms, keeping })
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Error::new(ErrorCode::ServiceUnavailable).message("The picture could not be made in time.");
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| Err(late()))
}

async fn in_list(call: &Call<'_>, record: &ObjectRecord, time_ms: u64) -> Result<Place, Error> {
    // The list may be long, so only few are in memory.
    let _turn = turn(call).await?;
    let list = SegmentList::read(call, call.key()?, record).await?;
    list.place(call, time_ms).await.map(|(place, _)| place)
}

async fn of_place(call: &Call<'_>, place: &Place, wanted: &PictureOf<'_>) -> Result<Image, Error> {
    let stills = &call.services.stills;
    let name = ImageName {
        bucket: call.bucket()?.name.clone(),
        key: place.key.clone(),
        content: format!("{} {} {}", place.record.etag.quoted(), place.record.modified_ms, place.time_ms),
        process: wanted.process.clone(),
    };
    let making = async {
        let _turn = turn(call).await?;
        let found = place.find(call, wanted.request.mode, wanted.request.output(stills.jpeg_quality())).await?;
        make(call, found.job).await
    };
    stills.image(name, making).await
}

/// The channel whose push wrote a playlist: it lies right below it.
fn channel_of(key: &ObjectKey) -> Result<ChannelName, Error> {
    let channel = key.as_str().rsplit_once('/').map(|(channel, _)| channel.as_bytes());
    let channel = channel.and_then(|channel| ChannelName::parse_within(channel, ChannelName::MAX_BYTES).ok());
    channel.ok_or_else(|| no_picture("it is not the playlist of a push"))
}
