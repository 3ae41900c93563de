//! Documents in the bodies of requests, read whole and checked before they are parsed.

use bytes::Bytes;
use model::{Error, ErrorCode};
use oss::request::BodyDigests;
use sha2::{Digest, Sha256};

use super::Asked;
use crate::ops::{BodySource, read_whole};

impl Asked<'_> {
    /// The XML document in the body, at most as long as the row of the operation allows, its digests checked.
    ///
    /// # Errors
    /// `MalformedXML` when it is longer; what [`Asked::document`] says.
    pub(super) async fn xml(&self, body: &mut dyn BodySource) -> Result<Bytes, Error> {
        let limit = oss::xml::body_limit(self.kind()).unwrap_or(oss::xml::MAX_DOCUMENT_BYTES);
        self.document(body, limit, Error::new(ErrorCode::MalformedXML)).await
    }

    /// The body, checked against its Content-MD5 and the digest that V4 signed for it (OSS auth 5.2). Its bytes count as
    /// received until the last clone is dropped.
    ///
    /// # Errors
    /// `too_large` beyond `limit` bytes, `InvalidDigest`, and what the body's source says.
    pub(super) async fn document(
        &self,
        body: &mut dyn BodySource,
        limit: usize,
        too_large: Error,
    ) -> Result<Bytes, Error> {
        let digests = BodyDigests::parse(self.raw)?;
        let whole = read_whole(body, limit, too_large, self.memory.receive.hold()).await?;
        if digests.md5.is_some() {
            digests.check(crate::checksums::checksums(&whole).md5, None)?;
        }
        match self.credentials.payload_sha256() {
            Some(signed) if signed != <[u8; 32]>::from(Sha256::digest(&whole)) => {
                Err(Error::new(ErrorCode::InvalidDigest))
            }
            _ => Ok(whole),
        }
    }
}
