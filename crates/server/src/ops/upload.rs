//! What an upload announces of its body, and its receipt.

use model::{Error, ErrorCode, MAX_BODY_BYTES};

use super::{BodySource, Call};
use crate::objects::{self, Expected, Keep, Received};

/// Whether a body is announced at all, and as one that may be received: that comes before any look at what is stored
/// (HTTP API 6.3). Gives what it is expected to come to.
///
/// # Errors
/// `MissingContentLength`, `EntityTooLarge`; what is wrong with `expected` comes after them.
pub(super) fn check_announced(
    source: &mut dyn BodySource,
    expected: Result<Expected, Error>,
) -> Result<Expected, Error> {
    if !source.is_present() {
        return Err(Error::new(ErrorCode::MissingContentLength));
    }
    // Bodies without an announced length are counted as they come.
    if source.announced_length().is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(Error::new(ErrorCode::EntityTooLarge));
    }
    expected
}

/// Receives the body of an upload.
///
/// # Errors
/// `EntityTooLarge`, `InvalidDigest`, `InvalidCRC64`, and what the body's source says. Nothing stays behind then.
pub(super) async fn receive(
    call: &Call<'_>,
    expected: Expected,
    source: &mut dyn BodySource,
    keep: Keep,
) -> Result<Received, Error> {
    objects::receive(call.objects(), expected, source, keep).await
}
