//! Pictures of what was recorded: where a moment lies, in a transport stream or in those that a playlist lists, and what a
//! decoder needs to show it.

use model::name::ObjectKey;
use model::percent::percent_decode;
use model::{Error, ErrorCode, OperationKind};
use pictures::{
    FindError, FindLimits, FrameFinder, Image, Job, Listed, Mode, Output, ProcessError, Progress, Reason, Refusal,
    listed, segment_at,
};
use store::meta::{ObjectRecord, ObjectRole};
use tokio::sync::SemaphorePermit;

use super::Call;
use crate::objects::StoredBody;

/// The longest playlist that is read for a picture: a day of segments of half a second.
const MAX_PLAYLIST_BYTES: u64 = 8 << 20;
/// As many segments.
const MAX_SEGMENTS: usize = 172_800;
/// How much of a recording is read at once.
const PIECE_BYTES: usize = 128 * 1024;
/// Work on so many bytes is done on a thread of its own.
const MANY_BYTES: u64 = 256 * 1024;
/// A moment beyond the end of every recording.
pub(super) const AT_THE_END_MS: u64 = 1 << 44;

/// A moment of a recording.
pub(super) struct Place {
    /// The transport stream.
    pub(super) key: ObjectKey,
    /// What is known of it.
    pub(super) record: ObjectRecord,
    /// Milliseconds from its first picture on.
    pub(super) time_ms: u64,
}

/// A picture that was found.
pub(super) struct FoundPicture {
    /// What makes an image of it.
    pub(super) job: Job,
    /// When it is shown, milliseconds from the first picture of its stream on.
    pub(super) time_ms: u64,
}

/// The segments that a playlist lists.
pub(super) struct SegmentList {
    folder: String,
    segments: Vec<Listed>,
}

/// Whether an object is a playlist: one of the server's own, or one by its name.
pub(super) fn is_playlist(key: &ObjectKey, record: &ObjectRecord) -> bool {
    let by_name = || key.as_str().to_ascii_lowercase().ends_with(".m3u8");
    matches!(record.role, ObjectRole::LivePlaylist | ObjectRole::VodPlaylist) || by_name()
}

impl SegmentList {
    /// Reads the playlist `key`.
    ///
    /// # Errors
    /// `InvalidArgument` when it is too long or lists no segment; those of the store.
    pub(super) async fn read(call: &Call<'_>, key: &ObjectKey, record: &ObjectRecord) -> Result<Self, Error> {
        if record.size > MAX_PLAYLIST_BYTES {
            return Err(no_picture("the playlist is too long"));
        }
        let text = call.objects().content(&record.body, 0, record.size).await?.whole().await?;
        let read = move || listed(&String::from_utf8_lossy(&text), MAX_SEGMENTS);
        let segments = apart(record.size, read).await?;
        if segments.is_empty() {
            return Err(no_picture("the playlist lists no segment"));
        }
        let folder = key.as_str().rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
        Ok(Self { folder, segments })
    }

    /// Milliseconds of all segments.
    pub(super) fn duration_ms(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.start_ms.saturating_add(last.duration_ms))
    }

    /// The place of a moment, and when its segment begins; beyond the end one in the last segment. The caller needs the
    /// right to read the segment.
    ///
    /// # Errors
    /// `InvalidArgument` for a segment that is not in the bucket; `NoSuchKey`, the refusals of access control 8.
    pub(super) async fn place(&self, call: &Call<'_>, time_ms: u64) -> Result<(Place, u64), Error> {
        let (segment, time_ms) =
            segment_at(&self.segments, time_ms).ok_or_else(|| no_picture("the playlist lists no segment"))?;
        let key = key_of(&self.folder, &segment.uri)?;
        let grant = call.may(OperationKind::GetObject, call.bucket()?, &key).await?;
        let record = call.objects().find(&grant).await?.value.clone();
        Ok((Place { key, record, time_ms }, segment.start_ms))
    }
}

/// Does what takes milliseconds where it holds up nobody.
///
/// # Errors
/// `InternalError` when it panics.
pub(super) async fn apart<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes < MANY_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::new(ErrorCode::InternalError))
}

/// The object that a playlist names, if it lies in the folder of the playlist.
fn key_of(folder: &str, uri: &str) -> Result<ObjectKey, Error> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let leaves = path.contains("://") || path.starts_with('/') || path.split('/').any(|part| part == "..");
    if leaves || path.is_empty() {
        return Err(no_picture("a segment of the playlist is not below its folder"));
    }
    let mut key = folder.as_bytes().to_vec();
    key.extend(percent_decode(path));
    ObjectKey::parse(&key)
}

impl Place {
    /// Looks for the picture in the transport stream.
    ///
    /// # Errors
    /// `InvalidArgument` when there is none; those of the store.
    pub(super) async fn find(&self, call: &Call<'_>, mode: Mode, output: Output) -> Result<FoundPicture, Error> {
        let mut finder = FrameFinder::new(self.time_ms, mode, FindLimits::default());
        let not_found = |error: FindError| no_picture(&error.to_string());
        match call.objects().content(&self.record.body, 0, self.record.size).await? {
            StoredBody::Bytes(bytes) => drop(finder.push(&bytes).map_err(not_found)?),
            StoredBody::Blobs(mut stored) => {
                while let Some(piece) = stored.next(PIECE_BYTES).await? {
                    if finder.push(&piece).map_err(not_found)? == Progress::Done {
                        break;
                    }
                }
            }
        }
        let found = finder.finish().map_err(not_found)?;
        Ok(FoundPicture { job: Job::new(found.units, output), time_ms: found.time_ms })
    }
}

/// Refuses where pictures are switched off.
///
/// # Errors
/// `NotImplemented`.
pub(super) fn check_is_on(call: &Call<'_>) -> Result<(), Error> {
    if call.services.stills.is_on() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::NotImplemented).message("This server makes no pictures."))
}

/// A place among the few who look for pictures.
///
/// # Errors
/// `ServiceUnavailable`.
pub(super) async fn turn<'a>(call: &Call<'a>) -> Result<SemaphorePermit<'a>, Error> {
    call.services.stills.turn().await.map_err(|refusal| refused(&refusal))
}

/// Has an image made.
///
/// # Errors
/// As [`refused`].
pub(super) async fn make(call: &Call<'_>, job: Job) -> Result<Image, Error> {
    call.services.stills.make(job).await.map_err(|refusal| refused(&refusal))
}

/// The answer to a request for a picture when there is none.
pub(super) fn refused(refusal: &Refusal) -> Error {
    let reason = refusal.reason;
    match reason {
        Reason::Size => match ProcessError::of_refusal(refusal) {
            Some(error) => bad_process(&error),
            None => no_picture(reason.label()),
        },
        Reason::Full | Reason::Late | Reason::Stopped => Error::new(ErrorCode::ServiceUnavailable)
            .message("Too many pictures are being made. Please try again in a moment.")
            .again_after_s(1),
        Reason::Deadline | Reason::Crashed => {
            tracing::warn!(
                reason = reason.label(),
                detail = refusal.detail,
                "a picture that a request asked for failed"
            );
            Error::new(ErrorCode::ServiceUnavailable).message("The picture could not be made in time.")
        }
        Reason::Encoder => {
            tracing::error!(detail = refusal.detail, "a picture could not be encoded");
            Error::new(ErrorCode::InternalError)
        }
        Reason::ParameterSets
        | Reason::Chroma
        | Reason::BitDepth
        | Reason::Interlaced
        | Reason::Pixels
        | Reason::Bytes
        | Reason::Unsupported
        | Reason::Broken => no_picture(reason.label()),
    }
}

/// What is wrong with a process: 400 with OSS's number of it, or 501 for what is not built (D35).
pub(crate) fn bad_process(error: &ProcessError) -> Error {
    match error {
        ProcessError::NotBuilt => {
            Error::new(ErrorCode::NotImplemented).message("This kind of processing is not implemented.")
        }
        _ => {
            let refused = Error::new(ErrorCode::InvalidArgument).message(error.to_string());
            match error.code() {
                Some(code) => refused.ec(code),
                None => refused,
            }
        }
    }
}

/// 400 for what no picture can be made of.
pub(super) fn no_picture(why: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument).message(format!("No picture can be made of this object: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_looked_for_below_the_folder_of_the_playlist() {
        for (folder, uri, key) in [
            ("c/", "1.ts", Some("c/1.ts")),
            ("", "1.ts?x=1#y", Some("1.ts")),
            ("c/", "a%20b/1.ts", Some("c/a b/1.ts")),
            ("c/", "../d/1.ts", None),
            ("c/", "/d/1.ts", None),
            ("c/", "http://host/1.ts", None),
            ("c/", "//host/1.ts", None),
            ("c/", "?a", None),
        ] {
            assert_eq!(key_of(folder, uri).ok().map(|key| key.as_str().to_owned()), key.map(str::to_owned), "{uri}");
        }
    }

    #[test]
    fn every_reason_has_an_answer() {
        for reason in Reason::ALL {
            let error = refused(&Refusal::new(reason, "w 9 is more than the video's 8"));
            let expected = match reason {
                Reason::Full | Reason::Late | Reason::Stopped => (503, Some(1)),
                Reason::Deadline | Reason::Crashed => (503, None),
                Reason::Encoder => (500, None),
                _ => (400, None),
            };
            assert_eq!((error.code.status(), error.again_after_s), expected, "{reason}");
        }
    }
}
