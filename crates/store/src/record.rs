//! How values are written down: one byte of version, then MessagePack.
//!
//! Fields are written by name, so a field that is added with a default needs no new version: old rows read as the
//! default, old programs skip it. Records of which there are very many are written by position instead; theirs can
//! only grow at the end. Any other change takes the next version, and [`Record::migrate`] reads the one before.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, Subject};

/// Something that is written down.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is, for errors.
    const SUBJECT: Subject;

    /// The version that is written.
    const VERSION: u8 = 1;

    /// Whether fields are written by position.
    const IS_COMPACT: bool = false;

    /// Reads a record of an earlier version.
    ///
    /// # Errors
    /// `Corrupt` when there never was such a version.
    fn migrate(version: u8, _body: &[u8]) -> Result<Self> {
        Err(Error::corrupt(Self::SUBJECT, format!("a record of version {version}, which this program cannot read")))
    }
}

/// The bytes of a record.
pub(crate) fn encode<R: Record>(record: &R) -> Result<Bytes> {
    let mut bytes = vec![R::VERSION];
    let written = if R::IS_COMPACT {
        rmp_serde::encode::write(&mut bytes, record)
    } else {
        rmp_serde::encode::write_named(&mut bytes, record)
    };
    written.map_err(|e| Error::corrupt(R::SUBJECT, e))?;
    Ok(bytes.into())
}

/// The record in these bytes.
pub(crate) fn decode<R: Record>(bytes: &[u8]) -> Result<R> {
    match bytes.split_first() {
        Some((&version, body)) if version == R::VERSION => {
            rmp_serde::from_slice(body).map_err(|e| Error::corrupt(R::SUBJECT, e))
        }
        Some((&version, body)) => R::migrate(version, body),
        None => Err(Error::corrupt(R::SUBJECT, "an empty record")),
    }
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
        let bytes = encode(&old).unwrap();
        assert_eq!(bytes.as_ref(), b"\x01\x82\xa4name\xa1a\xa4gone\x07");
        assert_eq!(decode::<New>(&bytes), Ok(New { name: "a".to_owned(), added: None }));
        assert_eq!(decode::<Next>(&bytes), Ok(Next { names: vec!["a".to_owned()] }));
    }

    #[test]
    fn nonsense_is_corrupt() {
        for bytes in [&b""[..], b"\x09\x80", b"\x01", b"\x01\xff", b"\x01\x81\xa4name\xdb\xff\xff\xff\xff"] {
            let error = decode::<New>(bytes).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Corrupt, "{bytes:?}");
        }
    }
}
