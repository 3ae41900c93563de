//! The index of segments: which were recorded when, for playlists on demand (LiveChannel 0.2, 5.2).

use model::name::{BucketName, ChannelName};
use serde::{Deserialize, Serialize};

use super::{Meta, key};
use crate::error::{Result, Subject};
use crate::kv::{Entry, Range};
use crate::record::{Record, decode};

/// A segment that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEntry {
    /// When it was begun, Unix milliseconds: the number in its name. Rises with each segment of a channel.
    pub number_ms: u64,
    /// How long it plays.
    pub duration_ms: u32,
    /// The push it belongs to, counted per channel name.
    pub session: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it does not continue the one before it.
    pub is_discontinuous: bool,
    /// Whether bytes of it were found to be damaged, so that nobody can read all of it.
    pub is_damaged: bool,
}

/// What the key does not say. By position, because a day has 43,200 of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SegmentRow {
    duration_ms: u32,
    session: u32,
    size: u64,
    is_discontinuous: bool,
    /// Written since 0.2, and only where it says something.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(super) is_damaged: bool,
}

fn is_not(flag: &bool) -> bool {
    !flag
}

impl Record for SegmentRow {
    const SUBJECT: Subject = Subject::Record;
    const IS_COMPACT: bool = true;
}

impl SegmentEntry {
    pub(crate) fn row(&self) -> SegmentRow {
        SegmentRow {
            duration_ms: self.duration_ms,
            session: self.session,
            size: self.size,
            is_discontinuous: self.is_discontinuous,
            is_damaged: self.is_damaged,
        }
    }

    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let row: SegmentRow = decode(&entry.value)?;
        Ok(Self {
            number_ms: key::segment_number(entry)?,
            duration_ms: row.duration_ms,
            session: row.session,
            size: row.size,
            is_discontinuous: row.is_discontinuous,
            is_damaged: row.is_damaged,
        })
    }
}

impl Meta {
    /// The segments of a channel name whose numbers lie in `from_ms ..= to_ms`, rising; `limit` of them at most. The
    /// channel need not exist any more.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn segments(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        from_ms: u64,
        to_ms: u64,
        limit: usize,
    ) -> Result<Vec<SegmentEntry>> {
        let mut to = key::segment(bucket, channel, to_ms);
        to.push(0);
        let range = Range { from: key::segment(bucket, channel, from_ms), to: Some(to), limit, reverse: false };
        self.kv().range(&range).await?.iter().map(SegmentEntry::read).collect()
    }

    /// The newest segment of a channel name.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn last_segment(&self, bucket: &BucketName, channel: &ChannelName) -> Result<Option<SegmentEntry>> {
        let range = Range::prefix(key::segments(bucket, channel)).reversed().limit(1);
        self.kv().range(&range).await?.first().map(SegmentEntry::read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::kv::Version;
    use crate::record::encode;

    #[test]
    fn rows_of_every_version_are_read() {
        let key = Bytes::from_static(b"Sbucket\0ch\0\0\0\0\0\0\0\0\x07");
        let entry = SegmentEntry {
            number_ms: 7,
            duration_ms: 5000,
            session: 3,
            size: 188,
            is_discontinuous: true,
            is_damaged: false,
        };
        let read = |value: &[u8]| {
            SegmentEntry::read(&Entry { key: key.clone(), value: Bytes::copy_from_slice(value), version: Version(1) })
        };
        // 0.1, without a checksum.
        assert_eq!(read(b"\x01\x94\xcd\x13\x88\x03\xcc\xbc\xc3"), Ok(entry));
        let damaged = SegmentEntry { is_damaged: true, ..entry };
        for entry in [entry, damaged] {
            assert_eq!(read(&encode(&entry.row()).unwrap()), Ok(entry));
        }
        assert_eq!(encode(&entry.row()).unwrap().len(), 13);
    }
}
