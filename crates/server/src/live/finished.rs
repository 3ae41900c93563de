//! A segment whose blob is complete: the commit that names it, enters it into the index and lists it.

use media::hls::{LiveSegment, MediaPlaylist};
use model::name::ObjectKey;
use model::{Container, ContentHeaders, ObjectAcl, ObjectType};
use store::blob::Blob;
use store::meta::{Body, Extent, ObjectRecord, ObjectRole, OpenSegment, SegmentCommit, SegmentEntry};

use super::channels::ChannelId;
use super::window::{Window, checked};

/// A segment whose blob is complete, however it came to be.
pub(super) struct Finished {
    pub(super) number_ms: u64,
    pub(super) opened_ms: i64,
    pub(super) date_ms: i64,
    pub(super) duration_ms: u64,
    pub(super) discontinuity: bool,
    /// Whether it can be decoded without any other.
    pub(super) independent: bool,
    pub(super) container: Container,
    pub(super) blob: Blob,
    pub(super) sums: crate::checksums::Checksums,
}

impl Finished {
    /// All that changes with a finished segment; the window moves on.
    ///
    /// # Errors
    /// `Corrupt` when a name that was made here is not legal, which means that the channel's is not.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn commit(
        self,
        id: &ChannelId,
        session: u32,
        window: &mut Window,
        before: Option<&MediaPlaylist>,
        dated: bool,
        next: Option<OpenSegment>,
        stored_ms: i64,
    ) -> Result<(SegmentCommit, Option<MediaPlaylist>), store::Error> {
        let channel = &id.1;
        let file = self.container.file_name(self.number_ms);
        let key = key_of(&format!("{channel}/{file}"))?;
        window.list.push(LiveSegment {
            uri: file,
            duration_ms: self.duration_ms,
            discontinuity: self.discontinuity,
            program_date_time_ms: dated.then_some(self.date_ms),
            independent: self.independent,
        });
        window.last_number_ms = window.last_number_ms.max(self.number_ms);
        window.stored_ms = stored_ms;
        let playlist = checked(&mut window.list, before);
        let playlist_key = key_of(&format!("{channel}/{}", window.playlist))?;
        let as_object = |list: &MediaPlaylist| {
            crate::objects::playlist_record(list.render().into_bytes(), ObjectRole::LivePlaylist, stored_ms)
        };
        let playlist_object = playlist.as_ref().map(as_object);
        let object = ObjectRecord {
            size: self.blob.len,
            etag: self.sums.etag,
            crc64: self.sums.crc64,
            md5: self.sums.md5,
            modified_ms: stored_ms,
            object_type: ObjectType::Normal,
            role: ObjectRole::LiveSegment,
            acl: ObjectAcl::Default,
            storage_class: model::StorageClass::Standard,
            headers: ContentHeaders {
                content_type: Some(self.container.content_type().into()),
                ..ContentHeaders::default()
            },
            user_meta: Vec::new(),
            tags: Vec::new(),
            body: Body::Blobs(vec![Extent { blob: self.blob.id, offset: 0, len: self.blob.len }]),
        };
        let entry = SegmentEntry {
            number_ms: self.number_ms,
            opened_ms: u64::try_from(self.opened_ms).unwrap_or(0),
            duration_ms: u32::try_from(self.duration_ms).unwrap_or(u32::MAX),
            session,
            size: self.blob.len,
            is_discontinuous: self.discontinuity,
            is_independent: self.independent,
            is_damaged: false,
            container: self.container,
        };
        let commit = SegmentCommit {
            key,
            object,
            entry,
            playlist: playlist_object.map(|object| (playlist_key, object)),
            window: window.to_bytes(),
            waiting: Vec::new(),
            next,
            end_ms: stored_ms,
        };
        Ok((commit, playlist))
    }
}

fn key_of(text: &str) -> Result<ObjectKey, store::Error> {
    ObjectKey::parse(text.as_bytes())
        .map_err(|error| store::Error::new(store::ErrorKind::Corrupt, store::Subject::Object, error))
}
