//! FLV files: a header, then tags, each of which is the body of one RTMP message (Adobe's specification 10.1, annex E). An
//! aggregate message of RTMP holds the same tags.

use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::bits::Reader;
use crate::tag::{Tag, TagKind};

/// What stands before the body of each tag: type, length, time, stream.
const TAG_HEADER_BYTES: usize = 11;
/// What stands between tags: how long the one before is.
const BACK_POINTER_BYTES: usize = 4;
/// The shortest header of a file.
const FILE_HEADER_BYTES: u32 = 9;

/// Why a file cannot be read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlvFileError {
    /// It does not begin like FLV.
    #[error("not an FLV file")]
    NotFlv,
    /// It ends inside its header, or the header gives a length that none has.
    #[error("the FLV header is cut")]
    CutHeader,
    /// It ends inside a tag, as the file of a recorder that was killed does.
    #[error("the FLV file ends inside a tag: {remaining} bytes are left")]
    CutTag {
        /// How many bytes stand behind the last whole tag.
        remaining: usize,
    },
}

/// A tag as it stands in a file or in an aggregate message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawTag {
    /// The type, with the bits beside it.
    pub(crate) kind: u8,
    /// Milliseconds modulo 2^32.
    pub(crate) timestamp_ms: u32,
    /// At most 2^24 - 1 bytes, which is all that its length can say.
    pub(crate) body: Bytes,
}

/// Takes the first tag off, and the pointer behind it, which the last one may lack. `None` when the bytes end inside the
/// tag; then they stay as they are.
pub(crate) fn split_tag(bytes: &mut Bytes) -> Option<RawTag> {
    let mut header = Reader::new(bytes);
    let kind = header.u8().ok()?;
    let length = header.u24().ok()? as usize;
    let [t2, t1, t0, t3] = header.array().ok()?;
    header.skip(3).ok()?;
    if header.remaining() < length {
        return None;
    }
    bytes.advance(TAG_HEADER_BYTES);
    let body = bytes.split_to(length);
    bytes.advance(bytes.len().min(BACK_POINTER_BYTES));
    Some(RawTag { kind, timestamp_ms: u32::from_be_bytes([t3, t2, t1, t0]), body })
}

/// The sound and the pictures of a file, in its order and without copying. Tags of other kinds are passed over, and so
/// are empty ones. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct FlvFile {
    rest: Bytes,
}

impl FlvFile {
    /// Reads the header.
    ///
    /// # Errors
    /// [`FlvFileError::NotFlv`] and [`FlvFileError::CutHeader`].
    pub fn new(mut file: Bytes) -> Result<Self, FlvFileError> {
        if !file.starts_with(b"FLV") {
            return Err(FlvFileError::NotFlv);
        }
        let mut header = Reader::new(&file);
        // "FLV", the version, and which tracks there are, which is not always true.
        let length = header.skip(5).and_then(|()| header.u32()).map_err(|_| FlvFileError::CutHeader)?;
        if length < FILE_HEADER_BYTES || file.len() < length as usize {
            return Err(FlvFileError::CutHeader);
        }
        file.advance(length as usize);
        file.advance(file.len().min(BACK_POINTER_BYTES));
        Ok(Self { rest: file })
    }
}

impl Iterator for FlvFile {
    type Item = Result<Tag, FlvFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let Some(tag) = split_tag(&mut self.rest) else {
                let remaining = std::mem::take(&mut self.rest).len();
                return Some(Err(FlvFileError::CutTag { remaining }));
            };
            // Beside the type stands whether the body is encrypted.
            let kind = match tag.kind & 0x1f {
                8 => TagKind::Audio,
                9 => TagKind::Video,
                _ => continue,
            };
            if !tag.body.is_empty() {
                return Some(Ok(Tag { kind, timestamp_ms: tag.timestamp_ms, payload: tag.body }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN_GOP: &[u8] = include_bytes!("../testdata/open-gop.flv");

    fn read(file: &[u8]) -> Result<(Vec<Tag>, Option<FlvFileError>), FlvFileError> {
        let mut tags = Vec::new();
        for tag in FlvFile::new(Bytes::copy_from_slice(file))? {
            match tag {
                Ok(tag) => tags.push(tag),
                Err(error) => return Ok((tags, Some(error))),
            }
        }
        Ok((tags, None))
    }

    #[test]
    fn tags_stand_behind_a_header_of_any_length() {
        let tag = b"\x09\0\0\x02\0\0\x07\x01\0\0\0\x17\x01\0\0\0\x0d";
        let script = b"\x12\0\0\x01\0\0\0\0\0\0\0x\0\0\0\x0c";
        let empty = b"\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b";
        let expected =
            Tag { kind: TagKind::Video, timestamp_ms: 0x0100_0007, payload: Bytes::from_static(b"\x17\x01") };
        for header in [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], b"FLV\x01\x05\0\0\0\x0bxx\0\0\0\0"] {
            let file = [header, script, tag, empty].concat();
            assert_eq!(read(&file), Ok((vec![expected.clone()], None)));
            // Nobody needs the last pointer; what is cut before it is said.
            assert_eq!(read(&file[..header.len() + script.len() + tag.len() - 4]), Ok((vec![expected.clone()], None)));
            let cut = &file[..header.len() + script.len() + tag.len() - 5];
            assert_eq!(read(cut), Ok((vec![], Some(FlvFileError::CutTag { remaining: 12 }))));
        }
    }

    #[test]
    fn what_is_no_file_says_so() {
        for (bytes, error) in [
            (&b""[..], FlvFileError::NotFlv),
            (b"RIFFxxxxxxxx", FlvFileError::NotFlv),
            (b"FLV", FlvFileError::CutHeader),
            (b"FLV\x01\x05\0\0\0\xff", FlvFileError::CutHeader),
            (b"FLV\x01\x05\0\0\0\x08\0\0\0\0", FlvFileError::CutHeader),
        ] {
            assert_eq!(read(bytes), Err(error), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_and_any_damage_ends_in_tags(length in 0..OPEN_GOP.len(), at: prop::sample::Index, byte: u8) {
            let mut file = OPEN_GOP[..length].to_vec();
            if let Ok((tags, _)) = read(&file) {
                let whole = read(OPEN_GOP).expect("a file").0;
                prop_assert_eq!(&tags[..], &whole[..tags.len()]);
            }
            if !file.is_empty() {
                let at = at.index(file.len());
                file[at] = byte;
                let _ = read(&file);
            }
        }
    }
}
