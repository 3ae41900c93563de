//! Objects that the server makes itself: its playlists.

use model::{ContentHeaders, ObjectAcl, ObjectType, StorageClass};
use store::meta::{Body, ObjectRecord, ObjectRole};

use crate::checksums::checksums;

/// The type of every playlist (LiveChannel 4.4).
pub(crate) const PLAYLIST_TYPE: &str = "application/x-mpegURL";

/// A playlist as an object: small enough to be kept beside its metadata.
pub(crate) fn playlist_record(text: Vec<u8>, role: ObjectRole, now_ms: i64) -> ObjectRecord {
    let sums = checksums(&text);
    ObjectRecord {
        size: sums.len,
        etag: sums.etag,
        crc64: sums.crc64,
        md5: sums.md5,
        modified_ms: now_ms,
        object_type: ObjectType::Normal,
        role,
        acl: ObjectAcl::Default,
        storage_class: StorageClass::Standard,
        headers: ContentHeaders { content_type: Some(PLAYLIST_TYPE.into()), ..ContentHeaders::default() },
        user_meta: Vec::new(),
        tags: Vec::new(),
        body: Body::Inline(text.into()),
    }
}
