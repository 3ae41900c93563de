//! What an upload announces of its body.

use model::{Error, ErrorCode};
use oss::request::{BodyDigests, check_body_length};

use super::{BodySource, Call};
use crate::objects::{self, Expected, Keep, Received};

/// Whether a body is announced at all, and as one that may be received: that comes before any look at what is stored
/// (HTTP API 6.3).
///
/// # Errors
/// `MissingContentLength`, `EntityTooLarge`, `InvalidDigest`.
pub(super) fn check_announced(call: &Call<'_>, source: &mut dyn BodySource) -> Result<BodyDigests, Error> {
    if !source.is_present() {
        return Err(Error::new(ErrorCode::MissingContentLength));
    }
    check_body_length(source.announced_length())?;
    BodyDigests::parse(call.raw)
}

/// Receives the body of an upload.
///
/// # Errors
/// `MissingContentLength`, `EntityTooLarge`, `InvalidDigest`, `InvalidCRC64`, and what the body's source says. Nothing
/// stays behind then.
pub(super) async fn receive(call: &Call<'_>, source: &mut dyn BodySource, keep: Keep) -> Result<Received, Error> {
    let BodyDigests { md5, crc64 } = check_announced(call, source)?;
    let expected = Expected { md5, crc64, sha256: call.granted.credentials.payload_sha256() };
    objects::receive(call.objects(), expected, source, keep).await
}
