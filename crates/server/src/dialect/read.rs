//! Documents in the bodies of requests, read whole and checked before they are parsed.

use bytes::Bytes;
use model::{Error, ErrorCode, OperationKind};
use oss::request::{BodyDigests, RawRequest};
use oss::sign::Credentials;
use sha2::{Digest, Sha256};

use super::Asked;
use crate::memory::Memory;
use crate::objects::{BodySource, read_whole};

impl Asked<'_> {
    /// The XML document in the body, at most as long as the row of the operation allows, its digests checked.
    ///
    /// # Errors
    /// `MalformedXML` when it is longer; what [`Asked::document`] says.
    pub(super) async fn xml(&self, body: &mut dyn BodySource) -> Result<Bytes, Error> {
        document(self.raw, self.credentials, self.kind(), body, self.memory).await
    }

    /// The body, at most as long as the row of the operation allows, checked against its Content-MD5 and the digest that V4
    /// signed for it (OSS auth 5.2). Its bytes count as received until the last clone is dropped.
    ///
    /// # Errors
    /// `too_large` when it is longer, `InvalidDigest`, and what the body's source says.
    pub(super) async fn document(&self, body: &mut dyn BodySource, too_large: Error) -> Result<Bytes, Error> {
        read(self.raw, self.credentials, self.kind(), body, too_large, self.memory).await
    }
}

/// The XML document of an operation, at most as long as its row allows.
///
/// # Errors
/// `MalformedXML` when it is longer, `InvalidDigest`, and what the body's source says.
pub(super) async fn document(
    raw: &RawRequest,
    credentials: &Credentials,
    kind: OperationKind,
    body: &mut dyn BodySource,
    memory: &Memory,
) -> Result<Bytes, Error> {
    read(raw, credentials, kind, body, Error::new(ErrorCode::MalformedXML), memory).await
}

async fn read(
    raw: &RawRequest,
    credentials: &Credentials,
    kind: OperationKind,
    body: &mut dyn BodySource,
    too_large: Error,
    memory: &Memory,
) -> Result<Bytes, Error> {
    let digests = BodyDigests::parse(raw)?;
    let limit = kind.row().body.document_limit();
    let whole = read_whole(body, limit, too_large, memory.receive.hold()).await?;
    if digests.md5.is_some() {
        digests.check(crate::checksums::checksums(&whole).md5, None)?;
    }
    match credentials.payload_sha256() {
        Some(signed) if signed != <[u8; 32]>::from(Sha256::digest(&whole)) => Err(Error::new(ErrorCode::InvalidDigest)),
        _ => Ok(whole),
    }
}
