//! The checksums of a body, computed once while it flows: CRC-64 always, MD5 where the ETag is one.

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::{Digest as _, Md5};
use model::ETag;

use crate::config::SegmentEtag;

/// Bytes that both checksums see before either goes on, where there are two.
const PIECE: usize = 16 << 10;

/// Checksums of the bytes seen so far.
#[derive(Clone)]
pub(crate) struct BodyDigest {
    crc64: Crc,
    identity: Identity,
    len: u64,
}

/// What the ETag is made of.
#[derive(Clone)]
enum Identity {
    /// The MD5 of the content (HTTP API 5.2).
    Md5(Box<Md5>),
    /// The CRC-64 and the length, which are known anyway: they change with the content, at a hundredth of the cost of an
    /// MD5.
    Crc,
}

/// What the bytes came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksums {
    /// CRC-64/XZ, the number of `x-oss-hash-crc64ecma`.
    pub(crate) crc64: u64,
    /// MD5, when it was computed.
    pub(crate) md5: Option<[u8; 16]>,
    /// The tag of the content.
    pub(crate) etag: ETag,
    /// Bytes seen.
    pub(crate) len: u64,
}

impl Checksums {
    /// Those of bytes whose ETag is made of their CRC-64 and their length.
    pub(crate) fn of_crc64(crc64: u64, len: u64) -> Self {
        Self { crc64, md5: None, etag: ETag::from_bits(u128::from(crc64) << 64 | u128::from(len)), len }
    }
}

impl BodyDigest {
    /// For a body whose ETag is its MD5.
    pub(crate) fn with_md5() -> Self {
        Self { crc64: Crc::new(CrcAlgorithm::Crc64Xz), identity: Identity::Md5(Box::default()), len: 0 }
    }

    /// For a segment, by what its ETag is to be.
    pub(crate) fn of_segment(etag: SegmentEtag) -> Self {
        match etag {
            SegmentEtag::Crc => Self::with_crc(),
            SegmentEtag::Md5 => Self::with_md5(),
        }
    }

    /// For a body whose ETag is made of its CRC-64 and its length.
    fn with_crc() -> Self {
        Self { crc64: Crc::new(CrcAlgorithm::Crc64Xz), identity: Identity::Crc, len: 0 }
    }

    /// Sees further bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.identity {
            Identity::Crc => self.crc64.update(bytes),
            // So much at once that the second finds it in the nearest cache.
            Identity::Md5(md5) => bytes.chunks(PIECE).for_each(|piece| {
                self.crc64.update(piece);
                md5.update(piece);
            }),
        }
        self.len += bytes.len() as u64;
    }

    /// What all bytes came to.
    pub(crate) fn finish(self) -> Checksums {
        let crc64 = self.crc64.finalize();
        match self.identity {
            Identity::Md5(md5) => {
                let md5: [u8; 16] = md5.finalize().into();
                Checksums { crc64, md5: Some(md5), etag: ETag::from_md5(md5), len: self.len }
            }
            Identity::Crc => Checksums::of_crc64(crc64, self.len),
        }
    }
}

/// The checksums of bytes at hand, MD5 included.
pub(crate) fn checksums(bytes: &[u8]) -> Checksums {
    let mut digest = BodyDigest::with_md5();
    digest.update(bytes);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_check_values() {
        for (bytes, crc64) in
            [(&b""[..], 0), (b"123456789", 11_051_210_869_376_104_954), (b"hello oss", 15_021_467_531_229_347_219)]
        {
            assert_eq!(checksums(bytes).crc64, crc64);
        }
        assert_eq!(checksums(&[b'a'; 102_400]).etag.as_str(), "302D3A0C8E319EAA95B059B346DE1D1D");
    }

    #[test]
    fn the_cheap_tag_changes_with_the_content() {
        let tag = |bytes: &[u8]| {
            let mut digest = BodyDigest::with_crc();
            digest.update(bytes);
            digest.finish().etag
        };
        assert_eq!(tag(b"abc"), tag(b"abc"));
        assert_ne!(tag(b"abc"), tag(b"abd"));
        assert_ne!(tag(b""), tag(&[0]));
        assert_eq!(tag(b"").as_str().len(), 32);
    }
}
