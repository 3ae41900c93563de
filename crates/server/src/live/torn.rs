//! Looking through a segment that may end, or turn to garbage, anywhere, piece by piece: an hour of a picture that stands
//! still takes no more memory than a second.

use bytes::Bytes;
use media::recover::{Recovered, Recovery};
use model::Container;
use store::blob::BlobReader;

use crate::checksums::{BodyDigest, Checksums};
use crate::config::SegmentEtag;

/// Read at once.
const READ_BYTES: u64 = 1 << 20;

/// Stored bytes of a segment.
pub(super) struct Torn {
    container: Container,
    reader: Box<dyn BlobReader>,
    len: u64,
}

impl Torn {
    /// The first `len` bytes of a blob.
    pub(super) fn new(container: Container, reader: Box<dyn BlobReader>, len: u64) -> Self {
        Self { container, reader, len }
    }

    /// What of them is whole.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn recover(&self) -> Result<Recovered, store::Error> {
        let mut recovery = match self.container {
            Container::MpegTs => Recovery::default(),
        };
        let mut at = 0;
        while let Some(piece) = self.piece(at).await? {
            at += piece.len() as u64;
            if !recovery.feed(&piece) {
                break;
            }
        }
        Ok(recovery.result())
    }

    /// The part of them that is whole.
    pub(super) fn cut(self, recovered: &Recovered) -> Self {
        Self { len: self.len.min(recovered.valid_len as u64), ..self }
    }

    /// How many bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Their checksums.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn checksums(&self, etag: SegmentEtag) -> Result<Checksums, store::Error> {
        let (mut digest, mut at) = (BodyDigest::of_segment(etag), 0);
        while let Some(piece) = self.piece(at).await? {
            at += piece.len() as u64;
            digest.update(&piece);
        }
        Ok(digest.finish())
    }

    /// The bytes from one place on, about a megabyte; `None` behind the last.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn piece(&self, at: u64) -> Result<Option<Bytes>, store::Error> {
        let left = self.len.saturating_sub(at).min(READ_BYTES);
        if left == 0 {
            return Ok(None);
        }
        let piece = self.reader.read_at(at, usize::try_from(left).unwrap_or(usize::MAX)).await?;
        Ok((!piece.is_empty()).then_some(piece))
    }
}
