//! The index of segments: which were recorded when, for playlists on demand (LiveChannel 0.2, 5.2).

use std::ops::RangeInclusive;

use bytes::Bytes;
use model::Container;
use model::name::{BucketName, ChannelName};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Meta, key};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Commit, Entry, Outcome, Precondition, Range, Write};
use crate::record::{Record, decode, encode};

/// Segments that are read at once to be corrected.
const CORRECTED_AT_ONCE: usize = 256;

/// A segment that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEntry {
    /// The number in its name. Rises with each segment of a channel, so it is only about when it was begun: it cannot go
    /// back when the clock does.
    pub number_ms: u64,
    /// When it was begun, Unix milliseconds, as corrected after the clock was wrong (D32).
    pub opened_ms: u64,
    /// How long it plays.
    pub duration_ms: u32,
    /// The push it belongs to, counted per channel name.
    pub session: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it does not continue the one before it.
    pub is_discontinuous: bool,
    /// Whether it is known to be decodable without any other; not so of those that were recorded before 0.2.
    pub is_independent: bool,
    /// Whether bytes of it were found to be damaged, so that nobody can read all of it.
    pub is_damaged: bool,
    /// What it is packed in.
    pub container: Container,
}

/// What the key does not say. By position, because a day has 43,200 of them.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SegmentRow {
    duration_ms: u32,
    session: u32,
    size: u64,
    is_discontinuous: bool,
    /// Written since 0.2, and only where it or what follows says something.
    #[serde(default)]
    marks: Marks,
    /// When it was begun, where the number in its name tells another second.
    #[serde(default)]
    pub(super) opened_ms: Option<u64>,
}

/// What is said of a segment in one bit each, and in the upper four the code of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Marks(u8);

impl Marks {
    const DAMAGED: u8 = 1;
    const INDEPENDENT: u8 = 2;
    const CONTAINER_SHIFT: u8 = 4;

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Between 0.1 and 0.2 there was only one, a Boolean.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Damaged(bool),
            Bits(u8),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Damaged(is_damaged) => Self(u8::from(is_damaged) * Self::DAMAGED),
            Written::Bits(bits) => Self(bits),
        })
    }
}

impl SegmentRow {
    /// Marks it as damaged; whether it was already.
    pub(super) fn set_damaged(&mut self) -> bool {
        let was = self.marks.has(Marks::DAMAGED);
        self.marks.0 |= Marks::DAMAGED;
        was
    }
}

/// By hand, because a row ends with the last member that says something.
impl Serialize for SegmentRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = match (self.marks, self.opened_ms) {
            (_, Some(_)) => 6,
            (Marks(0), None) => 4,
            (_, None) => 5,
        };
        let mut row = serializer.serialize_struct("SegmentRow", count)?;
        row.serialize_field("duration_ms", &self.duration_ms)?;
        row.serialize_field("session", &self.session)?;
        row.serialize_field("size", &self.size)?;
        row.serialize_field("is_discontinuous", &self.is_discontinuous)?;
        if count > 4 {
            row.serialize_field("marks", &self.marks.0)?;
        }
        if let Some(opened_ms) = self.opened_ms {
            row.serialize_field("opened_ms", &opened_ms)?;
        }
        row.end()
    }
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
            marks: Marks(
                (u8::from(self.is_damaged) * Marks::DAMAGED)
                    | (u8::from(self.is_independent) * Marks::INDEPENDENT)
                    | (self.container.code() << Marks::CONTAINER_SHIFT),
            ),
            opened_ms: self.moment(),
        }
    }

    /// When it was begun, if playlists on demand, which select whole seconds, would not find it by its number.
    pub(super) fn moment(&self) -> Option<u64> {
        (self.opened_ms / 1000 != self.number_ms / 1000).then_some(self.opened_ms)
    }

    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let row: SegmentRow = decode(&entry.value)?;
        Self::of(key::segment_number(entry)?, &row)
    }

    /// The name of its object, below its channel (LiveChannel 4.3).
    pub fn file_name(&self) -> String {
        self.container.file_name(self.number_ms)
    }

    fn of(number_ms: u64, row: &SegmentRow) -> Result<Self> {
        let code = row.marks.0 >> Marks::CONTAINER_SHIFT;
        let container = Container::of_code(code).ok_or_else(|| {
            Error::new(ErrorKind::Newer, Subject::Record, format!("segment {number_ms} is in a container {code}"))
        })?;
        Ok(Self {
            number_ms,
            opened_ms: row.opened_ms.unwrap_or(number_ms),
            duration_ms: row.duration_ms,
            session: row.session,
            size: row.size,
            is_discontinuous: row.is_discontinuous,
            is_independent: row.marks.has(Marks::INDEPENDENT),
            is_damaged: row.marks.has(Marks::DAMAGED),
            container,
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

    /// The segments of a channel name that were begun in `from_ms ..= to_ms`, by rising number; `limit` of them at most.
    /// The channel need not exist any more.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn segments_begun(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        from_ms: u64,
        to_ms: u64,
        limit: usize,
    ) -> Result<Vec<SegmentEntry>> {
        let mut found = self.segments(bucket, channel, from_ms, to_ms, limit).await?;
        found.retain(|segment| segment.moment().is_none());
        let range = Range {
            from: key::moment(bucket, channel, from_ms, 0),
            to: Some(key::moment(bucket, channel, to_ms, u64::MAX)),
            limit: limit.saturating_sub(found.len()),
            reverse: false,
        };
        for moment in self.kv().range(&range).await? {
            let number_ms = key::segment_number(&moment)?;
            let row = self.record::<SegmentRow>(&key::segment(bucket, channel, number_ms)).await?;
            // Its object may have been deleted meanwhile.
            found.extend(row.map(|row| SegmentEntry::of(number_ms, &row.value)).transpose()?);
        }
        found.sort_unstable_by_key(|segment| segment.number_ms);
        Ok(found)
    }

    /// Corrects when the segments of a push with these numbers were begun: the clock was ahead by `-by_ms` when they were.
    /// How many were corrected.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn correct_segments(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        session: u32,
        numbers: RangeInclusive<u64>,
        by_ms: i64,
    ) -> Result<usize> {
        let mut corrected = 0;
        let mut to = key::segment(bucket, channel, *numbers.end());
        to.push(0);
        loop {
            let range = Range {
                from: key::segments(bucket, channel),
                to: Some(to.clone()),
                limit: CORRECTED_AT_ONCE,
                reverse: true,
            };
            let rows = self.kv().range(&range).await?;
            for row in &rows {
                let entry = SegmentEntry::read(row)?;
                if entry.session != session || entry.number_ms < *numbers.start() {
                    return Ok(corrected);
                }
                corrected += usize::from(self.correct_segment(bucket, channel, entry.number_ms, by_ms).await?);
            }
            match rows.last() {
                Some(oldest) if rows.len() == CORRECTED_AT_ONCE => to = oldest.key.to_vec(),
                _ => return Ok(corrected),
            }
        }
    }

    async fn correct_segment(
        &self,
        bucket: &BucketName,
        channel: &ChannelName,
        number_ms: u64,
        by_ms: i64,
    ) -> Result<bool> {
        let key = key::segment(bucket, channel, number_ms);
        loop {
            let Some(seen) = self.record::<SegmentRow>(&key).await? else { return Ok(false) };
            let mut entry = SegmentEntry::of(number_ms, &seen.value)?;
            let mut commit = Commit::new().require(Precondition::VersionIs(key.clone(), seen.version));
            if let Some(old_ms) = entry.moment() {
                commit = commit.write(Write::Delete(key::moment(bucket, channel, old_ms, number_ms)));
            }
            entry.opened_ms = entry.opened_ms.saturating_add_signed(by_ms);
            if let Some(new_ms) = entry.moment() {
                commit = commit.write(Write::Put(key::moment(bucket, channel, new_ms, number_ms), Bytes::new()));
            }
            commit = commit.write(Write::Put(key.clone(), encode(&entry.row())?));
            if let Outcome::Done(_) = self.kv().commit(commit).await? {
                return Ok(true);
            }
        }
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
            opened_ms: 7,
            duration_ms: 5000,
            session: 3,
            size: 188,
            is_discontinuous: true,
            is_independent: false,
            is_damaged: false,
            container: Container::MpegTs,
        };
        let read = |value: &[u8]| {
            SegmentEntry::read(&Entry {
                key: key.clone(),
                value: Bytes::copy_from_slice(value),
                version: Version::of_commit(1),
            })
        };
        // 0.1, without a checksum.
        assert_eq!(read(b"\x01\x94\xcd\x13\x88\x03\xcc\xbc\xc3"), Ok(entry));
        let damaged = SegmentEntry { is_damaged: true, ..entry };
        let independent = SegmentEntry { is_independent: true, ..entry };
        let both = SegmentEntry { is_damaged: true, ..independent };
        assert_eq!(read(b"\x01\x95\xcd\x13\x88\x03\xcc\xbc\xc3\xc3"), Ok(damaged), "between 0.1 and 0.2");
        let ahead = SegmentEntry { opened_ms: 1_704_164_645_000, ..entry };
        for entry in [entry, damaged, independent, both, ahead, SegmentEntry { opened_ms: 5000, ..both }] {
            assert_eq!(read(&encode(&entry.row()).unwrap()), Ok(entry));
        }
        assert_eq!(encode(&entry.row()).unwrap().len(), 13);
        // The container of a later version: neither taken for another nor written over.
        let mut unknown = ahead.row();
        unknown.marks.0 |= 7 << Marks::CONTAINER_SHIFT;
        assert_eq!(read(&encode(&unknown).unwrap()).unwrap_err().kind, ErrorKind::Newer);
        assert!(!unknown.set_damaged());
        assert_eq!(unknown.marks.0 >> Marks::CONTAINER_SHIFT, 7);
    }
}
