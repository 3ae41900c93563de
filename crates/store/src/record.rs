//! How values are written down: one byte of version, a checksum, then MessagePack.
//!
//! ```text
//! version, with the highest bit set             1
//! CRC-32C of the version and what follows it    4, little-endian
//! the record                                    the rest
//! ```
//!
//! Every read compares the checksum, so that what has rotted is an error and never another value. Until 0.2 records were
//! written without one and without the highest bit; they are read as they are.
//!
//! Fields are written by name, so a field that is added with a default needs no new version: old rows read as the
//! default, old programs skip it. Records of which there are very many are written by position instead; theirs can
//! only grow at the end. Any other change takes the next version, and [`Record::migrate`] reads the one before.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result, Subject};

/// Something that is written down.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is, for errors.
    const SUBJECT: Subject;

    /// The version that is written.
    const VERSION: u8 = 1;

    /// The version that this value is written as: an earlier one if programs that know no other lose nothing by reading it.
    fn version(&self) -> u8 {
        Self::VERSION
    }

    /// Whether fields are written by position.
    const IS_COMPACT: bool = false;

    /// Reads a record of an earlier version.
    ///
    /// # Errors
    /// `Newer` when this program knows no such version.
    fn migrate(version: u8, _body: &[u8]) -> Result<Self> {
        Err(newer::<Self>(version))
    }
}

/// What is said of a version that this program does not know. Nothing that is read so may be written over: a newer program
/// may come back and go on with it.
pub(crate) fn newer<R: Record>(version: u8) -> Error {
    Error::new(
        ErrorKind::Newer,
        R::SUBJECT,
        format!("a record of version {version}, which this program cannot read; a newer one wrote it"),
    )
}

/// The bit of the first byte that says that a checksum follows.
const HAS_SUM: u8 = 0x80;

/// CRC-32C of a record.
fn sum(version: u8, body: &[u8]) -> [u8; 4] {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&[version]);
    digest.update(body);
    u32::try_from(digest.finalize()).unwrap_or(0).to_le_bytes()
}

/// The bytes of a record.
pub(crate) fn encode<R: Record>(record: &R) -> Result<Bytes> {
    let version = record.version();
    let mut bytes = vec![version | HAS_SUM, 0, 0, 0, 0];
    let written = if R::IS_COMPACT {
        rmp_serde::encode::write(&mut bytes, record)
    } else {
        rmp_serde::encode::write_named(&mut bytes, record)
    };
    written.map_err(|e| Error::corrupt(R::SUBJECT, e))?;
    if let Some((head, body)) = bytes.split_first_chunk_mut::<5>() {
        let [_, place @ ..] = head;
        *place = sum(version, body);
    }
    Ok(bytes.into())
}

/// The record in these bytes.
///
/// # Errors
/// `Corrupt` when they are not what was written; `Newer` when a newer program wrote them.
pub(crate) fn decode<R: Record>(bytes: &[u8]) -> Result<R> {
    let (&first, rest) = bytes.split_first().ok_or_else(|| Error::corrupt(R::SUBJECT, "an empty record"))?;
    let version = first & !HAS_SUM;
    let body = match rest.split_first_chunk::<4>() {
        _ if first & HAS_SUM == 0 => rest,
        Some((kept, body)) if *kept == sum(version, body) => body,
        _ => return Err(Error::corrupt(R::SUBJECT, "its bytes are not those that were written")),
    };
    if version == R::VERSION {
        return rmp_serde::from_slice(body).map_err(|e| Error::corrupt(R::SUBJECT, e));
    }
    R::migrate(version, body)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
        gone: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        name: String,
        #[serde(default)]
        added: Option<u32>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Next {
        names: Vec<String>,
    }

    impl Record for Old {
        const SUBJECT: Subject = Subject::Record;
    }

    impl Record for New {
        const SUBJECT: Subject = Subject::Record;
    }

    impl Record for Next {
        const SUBJECT: Subject = Subject::Record;
        const VERSION: u8 = 2;

        fn migrate(version: u8, body: &[u8]) -> Result<Self> {
            let mut old = vec![version];
            old.extend_from_slice(body);
            Ok(Self { names: vec![decode::<New>(&old)?.name] })
        }
    }

    #[test]
    fn fields_come_and_go() {
        let old = Old { name: "a".to_owned(), gone: 7 };
        // As it is written, and as it was before there were checksums.
        let without_sum = b"\x01\x82\xa4name\xa1a\xa4gone\x07";
        let bytes = encode(&old).unwrap();
        assert_eq!(bytes.as_ref(), b"\x81\x42\x1e\xe2\xc2\x82\xa4name\xa1a\xa4gone\x07");
        for bytes in [bytes.as_ref(), without_sum] {
            assert_eq!(decode::<New>(bytes), Ok(New { name: "a".to_owned(), added: None }));
            assert_eq!(decode::<Next>(bytes), Ok(Next { names: vec!["a".to_owned()] }));
        }
    }

    #[test]
    fn no_flipped_bit_is_read() {
        let bytes = encode(&Old { name: "a".to_owned(), gone: 7 }).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Old>(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn nonsense_is_corrupt() {
        assert_eq!(decode::<New>(b"\x09\x80").unwrap_err().kind, crate::ErrorKind::Newer);
        for bytes in [&b""[..], b"\x01", b"\x01\xff", b"\x01\x81\xa4name\xdb\xff\xff\xff\xff"] {
            let error = decode::<New>(bytes).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Corrupt, "{bytes:?}");
        }
    }
}
