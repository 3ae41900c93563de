//! Where each noun lives in the map. The one place that knows the layout of keys.
//!
//! A key is a table letter, then components. A component that another follows ends in a zero byte; bucket and channel
//! names and upload ids contain none. The last component stands as it is, so that rows lie in the order of names and a
//! prefix of a name is a prefix of keys. Object keys may contain zero bytes: where one is followed by something, its
//! zeros are written `00 FF` and it ends in `00 01`, which keeps the order. Numbers are big-endian.
//!
//! ```text
//! A <access key id>                        access key
//! B <bucket>                               bucket
//! C <bucket> 00 <channel>                  channel
//! D <bucket> 00 <key>                      bytes or extents too long for the object's record
//! E <uid>                                  user
//! F <access key id>                        temporary session of a user
//! G <due ms> <blob>                        blobs to be deleted
//! H <bucket> 00 <channel>                  history of pushes
//! I <life>                                 process that shares the map
//! J <life> 00 <number>                     what it shows of its pushes
//! K <bucket> 00 <channel> 00 <id>          what a process wants of the push of another
//! L <bucket> 00 <channel>                  the push that is live
//! M <bucket> 00 <channel> 00 <opened> <number>  segment by its time, where its number tells another
//! N <bucket> 00 <channel>                  number of pushes; outlives the channel
//! O <bucket> 00 <key>                      object
//! P <bucket> 00 <upload id> 00 <number>    part
//! Q <bucket>                               number of channels
//! R <blob>                                 names of a blob beyond its first
//! S <bucket> 00 <channel> 00 <number>      segment; outlives the channel
//! T <bucket>                               counters of objects, bytes, uploads, parts
//! U <bucket> 00 <key, escaped> <upload id> upload
//! V <name>                                 setting
//! W <bucket> 00 <channel>                  window of the live playlist
//! X <channel> 00 <bucket>                  channels by name
//! Y <digest>                               a signed call that was made, not to be made again
//! Z <window, subject, shard>               what was used in an hour or a month
//! ~moving                                  a move into this map is not over
//! ```

use model::Container;
use model::name::{BucketName, ChannelName, ObjectKey};

use crate::blob::BlobId;
use crate::error::{Error, Result, Subject};
use crate::kv::Entry;

/// The tables, by letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    AccessKey = b'A' as isize,
    Bucket = b'B' as isize,
    Channel = b'C' as isize,
    Body = b'D' as isize,
    User = b'E' as isize,
    Session = b'F' as isize,
    Garbage = b'G' as isize,
    History = b'H' as isize,
    Process = b'I' as isize,
    ProcessPage = b'J' as isize,
    Wish = b'K' as isize,
    Publication = b'L' as isize,
    Moment = b'M' as isize,
    Numbering = b'N' as isize,
    Object = b'O' as isize,
    Part = b'P' as isize,
    ChannelCount = b'Q' as isize,
    Sharing = b'R' as isize,
    Segment = b'S' as isize,
    Statistics = b'T' as isize,
    Upload = b'U' as isize,
    Setting = b'V' as isize,
    Window = b'W' as isize,
    ChannelByName = b'X' as isize,
    ReplayGuard = b'Y' as isize,
    Usage = b'Z' as isize,
}

impl Table {
    /// What every key of the table begins with.
    pub(crate) fn all(self) -> Vec<u8> {
        vec![self as u8]
    }

    /// The key whose only component is `name`, or what the keys begin with whose last component does.
    pub(crate) fn name(self, name: impl AsRef<[u8]>) -> Vec<u8> {
        let mut key = self.all();
        key.extend_from_slice(name.as_ref());
        key
    }

    /// What the keys below one name begin with.
    pub(crate) fn below(self, name: impl AsRef<[u8]>) -> Vec<u8> {
        let mut key = self.name(name);
        key.push(0);
        key
    }

    /// What the keys of the lives of one instance begin with.
    pub(crate) fn below_instance(self, instance: &str) -> Vec<u8> {
        self.name(format!("{instance}/"))
    }

    /// The key of a name below another.
    pub(crate) fn pair(self, first: impl AsRef<[u8]>, last: impl AsRef<[u8]>) -> Vec<u8> {
        let mut key = self.below(first);
        key.extend_from_slice(last.as_ref());
        key
    }
}

/// The row of a target of a move that is not over.
pub(crate) const MOVING: &[u8] = b"~moving";

/// The letters of tables that a move leaves behind: what is in them is said by and of the processes that share this map.
pub(crate) const NOT_MOVED: [u8; 3] = *b"IJK";

pub(crate) fn bucket(name: &BucketName) -> Vec<u8> {
    Table::Bucket.name(name.as_str())
}

pub(crate) fn object(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    Table::Object.pair(bucket.as_str(), key.as_str())
}

pub(crate) fn body(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    Table::Body.pair(bucket.as_str(), key.as_str())
}

/// A key of one of the tables that have a row per channel.
pub(crate) fn of_channel(table: Table, bucket: &BucketName, channel: &ChannelName) -> Vec<u8> {
    table.pair(bucket.as_str(), channel.as_str())
}

pub(crate) fn channel_by_name(channel: &ChannelName, bucket: &BucketName) -> Vec<u8> {
    Table::ChannelByName.pair(channel.as_str(), bucket.as_str())
}

/// What the keys of a channel's segments begin with.
pub(crate) fn segments(bucket: &BucketName, channel: &ChannelName) -> Vec<u8> {
    let mut key = of_channel(Table::Segment, bucket, channel);
    key.push(0);
    key
}

pub(crate) fn segment(bucket: &BucketName, channel: &ChannelName, number_ms: u64) -> Vec<u8> {
    let mut key = segments(bucket, channel);
    key.extend_from_slice(&number_ms.to_be_bytes());
    key
}

/// The number at the end of a segment's key.
pub(crate) fn segment_number(entry: &Entry) -> Result<u64> {
    let number = entry.key.last_chunk::<8>().ok_or_else(|| strange(entry))?;
    Ok(u64::from_be_bytes(*number))
}

/// A segment by the time at which it was opened. `Moment` rows of a channel lie in the order of time.
pub(crate) fn moment(bucket: &BucketName, channel: &ChannelName, opened_ms: u64, number_ms: u64) -> Vec<u8> {
    let mut key = of_channel(Table::Moment, bucket, channel);
    key.push(0);
    key.extend_from_slice(&opened_ms.to_be_bytes());
    key.extend_from_slice(&number_ms.to_be_bytes());
    key
}

/// The channel and number of which an object of this name would be the segment (LiveChannel 4.3).
pub(crate) fn segment_named(key: &ObjectKey) -> Option<(ChannelName, u64)> {
    let (channel, file) = key.as_str().split_once('/')?;
    let (digits, extension) = file.split_once('.')?;
    Container::of_extension(extension)?;
    let number: u64 = digits.parse().ok()?;
    // `+1`, `007` and the like are other objects than the segment with that number.
    if number.to_string() != digits {
        return None;
    }
    Some((ChannelName::parse(channel.as_bytes()).ok()?, number))
}

/// An object key so written that something may follow it. What a prefix of a name becomes is a prefix of what the
/// name becomes.
pub(crate) fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for &byte in name {
        escaped.push(byte);
        if byte == 0 {
            escaped.push(0xff);
        }
    }
    escaped
}

/// What follows an escaped name.
pub(crate) const END_OF_ESCAPED: [u8; 2] = [0, 1];

/// What the keys of the uploads of one object key begin with.
pub(crate) fn uploads_of(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    let mut row = Table::Upload.below(bucket.as_str());
    row.extend(escape(key.as_str().as_bytes()));
    row.extend(END_OF_ESCAPED);
    row
}

pub(crate) fn upload(bucket: &BucketName, key: &ObjectKey, id: &str) -> Vec<u8> {
    let mut row = uploads_of(bucket, key);
    row.extend_from_slice(id.as_bytes());
    row
}

/// The object key and the upload id in what follows the bucket in the key of an upload.
pub(crate) fn split_upload(rest: &[u8]) -> Option<(Vec<u8>, &str)> {
    let mut name = Vec::new();
    let mut rest = rest;
    loop {
        match rest {
            [0, 0xff, tail @ ..] => {
                name.push(0);
                rest = tail;
            }
            [0, 1, id @ ..] => return Some((name, std::str::from_utf8(id).ok()?)),
            [0, ..] | [] => return None,
            [byte, tail @ ..] => {
                name.push(*byte);
                rest = tail;
            }
        }
    }
}

/// What the keys of an upload's parts begin with.
pub(crate) fn parts(bucket: &BucketName, upload_id: &str) -> Vec<u8> {
    let mut key = Table::Part.pair(bucket.as_str(), upload_id);
    key.push(0);
    key
}

pub(crate) fn part(bucket: &BucketName, upload_id: &str, number: u16) -> Vec<u8> {
    let mut key = parts(bucket, upload_id);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number at the end of a part's key.
pub(crate) fn part_number(entry: &Entry) -> Result<u16> {
    let number = entry.key.last_chunk::<2>().ok_or_else(|| strange(entry))?;
    Ok(u16::from_be_bytes(*number))
}

/// Garbage that is due at this time, or what it begins with when there is no blob yet.
pub(crate) fn garbage(due_ms: i64, first: Option<BlobId>) -> Vec<u8> {
    let mut key = Table::Garbage.all();
    key.extend_from_slice(&due_ms.max(0).to_be_bytes());
    if let Some(first) = first {
        key.extend_from_slice(&first.to_bytes());
    }
    key
}

/// The counter of a blob's names beyond its first.
pub(crate) fn sharing(blob: BlobId) -> Vec<u8> {
    Table::Sharing.name(blob.to_bytes())
}

/// The blob in the key of such a counter.
pub(crate) fn shared_blob(entry: &Entry) -> Result<BlobId> {
    let bytes = last(entry, &Table::Sharing.all())?;
    Ok(BlobId::from_bytes(bytes.try_into().map_err(|_| strange(entry))?))
}

/// A row of what a process shows.
pub(crate) fn process_page(life: &str, number: u16) -> Vec<u8> {
    Table::ProcessPage.pair(life, number.to_be_bytes())
}

/// What a process wants of the push on a channel.
pub(crate) fn wish(bucket: &BucketName, channel: &ChannelName, id: &str) -> Vec<u8> {
    let mut key = of_channel(Table::Wish, bucket, channel);
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The channel and the id in the key of a wish.
pub(crate) fn wish_of(entry: &Entry) -> Result<(BucketName, ChannelName, String)> {
    let (bucket, rest) = two(entry)?;
    let at = rest.iter().position(|byte| *byte == 0).ok_or_else(|| strange(entry))?;
    let (channel, id) = rest.split_at(at);
    let id = std::str::from_utf8(id.get(1..).unwrap_or_default()).map_err(|_| strange(entry))?;
    Ok((bucket_name(bucket, entry)?, ChannelName::parse(channel).map_err(|_| strange(entry))?, id.to_owned()))
}

/// The last component of a key, which follows `prefix`.
pub(crate) fn last<'a>(entry: &'a Entry, prefix: &[u8]) -> Result<&'a [u8]> {
    entry.key.strip_prefix(prefix).ok_or_else(|| strange(entry))
}

/// The two components of a key of a table, split at the first zero.
pub(crate) fn two(entry: &Entry) -> Result<(&[u8], &[u8])> {
    let (_, rest) = entry.key.split_first().ok_or_else(|| strange(entry))?;
    let at = rest.iter().position(|byte| *byte == 0).ok_or_else(|| strange(entry))?;
    let (first, rest) = rest.split_at(at);
    Ok((first, rest.get(1..).unwrap_or_default()))
}

/// The bucket and the channel in a key of a table that has a row per channel.
pub(crate) fn channel_of(entry: &Entry) -> Result<(BucketName, ChannelName)> {
    let (bucket, channel) = two(entry)?;
    Ok((bucket_name(bucket, entry)?, ChannelName::parse(channel).map_err(|_| strange(entry))?))
}

/// A bucket name found in a key.
pub(crate) fn bucket_name(bytes: &[u8], entry: &Entry) -> Result<BucketName> {
    let text = std::str::from_utf8(bytes).map_err(|_| strange(entry))?;
    BucketName::parse(text).map_err(|_| strange(entry))
}

/// An object key found in a key.
pub(crate) fn object_key(bytes: &[u8], entry: &Entry) -> Result<ObjectKey> {
    ObjectKey::parse(bytes).map_err(|_| strange(entry))
}

pub(crate) fn strange(entry: &Entry) -> Error {
    Error::corrupt(Subject::Record, format!("no such key is ever written: {:?}", entry.key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kv::after_prefix;

    fn check_segment_name(key: &str, expected: Option<(&str, u64)>) {
        let found = segment_named(&ObjectKey::parse(key.as_bytes()).unwrap());
        assert_eq!(found.as_ref().map(|(channel, number)| (channel.as_str(), *number)), expected, "{key}");
    }

    #[test]
    fn segments_are_known_by_name() {
        check_segment_name("ch/1543895706266.ts", Some(("ch", 1_543_895_706_266)));
        for key in ["ch/a.ts", "ch/+1.ts", "ch/007.ts", "ch/1.m3u8", "1.ts", "a/b/1.ts", "ch/18446744073709551616.ts"] {
            check_segment_name(key, None);
        }
    }

    #[test]
    fn a_bucket_whose_name_begins_another_is_apart() {
        let (short, long) = (BucketName::parse("abc").unwrap(), BucketName::parse("abc-d").unwrap());
        let end = after_prefix(&Table::Object.below(short.as_str())).unwrap();
        let key = object(&long, &ObjectKey::parse(b"k").unwrap());
        assert!(key >= end);
    }

    proptest! {
        #[test]
        fn uploads_lie_in_the_order_of_key_and_id(
            mut rows in proptest::collection::vec((proptest::collection::vec(0u8..4, 1..5), "[0-9A-F]{2}"), 2..20)
        ) {
            let bucket = BucketName::parse("bucket").unwrap();
            let encode = |(key, id): &(Vec<u8>, String)| upload(&bucket, &ObjectKey::parse(key).unwrap(), id);
            rows.sort();
            let mut encoded: Vec<_> = rows.iter().map(encode).collect();
            for ((key, id), encoded) in rows.iter().zip(&encoded) {
                let rest = encoded.strip_prefix(Table::Upload.below("bucket").as_slice()).unwrap();
                prop_assert_eq!(split_upload(rest), Some((key.clone(), id.as_str())));
            }
            let given = encoded.clone();
            encoded.sort();
            prop_assert_eq!(given, encoded);
        }

        #[test]
        fn nothing_found_in_a_key_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = split_upload(&bytes);
            let entry = Entry { key: bytes.into(), value: bytes::Bytes::new(), version: crate::kv::Version::of_commit(1) };
            let _ = (segment_number(&entry), part_number(&entry), two(&entry), channel_of(&entry), shared_blob(&entry));
            let _ = wish_of(&entry);
        }
    }
}
