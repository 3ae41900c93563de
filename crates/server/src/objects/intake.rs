//! Taking in a body: checksums while it flows, small ones beside the metadata, large ones as a blob that leaves no
//! trace unless it is complete.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::{Error, ErrorCode, MAX_BODY_BYTES};
use store::blob::{Blob, BlobStore, BlobWriter, OnDrop};
use store::meta::{Body, Extent};

use super::content::{BodySource, COPY_BYTES, StoredBody};
use super::hashing::Hashing;
use super::{Objects, internal};
use crate::checksums::Checksums;
use crate::memory::{Held, Room};

/// Bodies up to this length are kept in the metadata store: one commit instead of a file, two syncs and a commit.
pub(crate) const INLINE_BYTES: usize = 16 * 1024;
/// What is collected before it is written out: frames of a few KiB would cost a system call each.
const WRITE_BYTES: usize = 256 * 1024;
/// A body from which nothing has come for so long gives up the memory that it holds.
const QUIET: Duration = Duration::from_secs(1);

/// A body that was received whole and agrees with what its client said of it.
pub(crate) struct Received {
    pub(crate) body: Body,
    pub(crate) sums: Checksums,
}

/// Where a body may end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Small ones beside the metadata, large ones in a blob.
    Anywhere,
    /// In a blob, because others will follow it: parts and appends.
    InBlob,
}

/// A body on its way into the store. Dropped before it is finished, for whatever reason, it leaves nothing behind.
pub(crate) struct Intake<'a> {
    objects: &'a Objects,
    keep: Keep,
    len: u64,
    hashing: Hashing,
    payload_sha256: Option<[u8; 32]>,
    /// What was neither hashed nor written yet.
    pending: BytesMut,
    held: Held,
    writer: Option<Box<dyn BlobWriter>>,
}

impl<'a> Intake<'a> {
    /// An empty body.
    pub(crate) fn new(objects: &'a Objects, keep: Keep) -> Self {
        Self::expecting(objects, keep, None)
    }

    /// An empty body that must come to this SHA-256.
    pub(crate) fn expecting(objects: &'a Objects, keep: Keep, payload_sha256: Option<[u8; 32]>) -> Self {
        let hashing = Hashing::new(payload_sha256.is_some());
        let (pending, held) = (BytesMut::new(), objects.memory.receive.hold());
        Self { objects, keep, len: 0, hashing, payload_sha256, pending, held, writer: None }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// `EntityTooLarge` beyond 5 GB, `InternalError`, `ServiceUnavailable` when there is no room for the bytes in memory or
    /// on the disk.
    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        crate::space::admit_upload(piece.len())?;
        self.len = self.len.saturating_add(piece.len() as u64);
        if self.len > MAX_BODY_BYTES {
            return Err(Error::new(ErrorCode::EntityTooLarge));
        }
        if self.held.try_grow(piece.len()) == Room::None {
            self.let_go().await?;
            self.held.grow(piece.len()).await?;
        }
        if self.writer.is_some() && self.pending.is_empty() {
            // Growing step by step would copy the bytes at every step.
            self.pending.reserve(WRITE_BYTES + piece.len());
        }
        self.pending.extend_from_slice(piece);
        if self.pending.len() >= WRITE_BYTES { self.pass_on().await } else { Ok(()) }
    }

    /// The next piece of the body that is taken in here. While none comes, next to nothing is held.
    ///
    /// # Errors
    /// What the body's source says; `InternalError`.
    pub(crate) async fn next_of(&mut self, source: &mut dyn BodySource) -> Result<Option<Bytes>, Error> {
        let mut next = source.next();
        match tokio::time::timeout(QUIET, &mut next).await {
            Ok(piece) => piece,
            Err(_) => {
                if self.writer.is_some() || self.pending.len() > INLINE_BYTES {
                    self.let_go().await?;
                }
                next.await
            }
        }
    }

    /// Writes out what is there although it is little.
    async fn let_go(&mut self) -> Result<(), Error> {
        self.pass_on().await?;
        self.pending = BytesMut::new();
        match &mut self.writer {
            Some(writer) => writer.flush().await.map_err(internal),
            None => Ok(()),
        }
    }

    /// Has what is pending hashed and written.
    async fn pass_on(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let bytes = self.held.split().attach(self.pending.split().freeze());
        self.hashing.update(bytes.clone()).await;
        self.writer().await?.append(bytes).await.map_err(internal)
    }

    async fn writer(&mut self) -> Result<&mut Box<dyn BlobWriter>, Error> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            empty => Ok(empty.insert(self.objects.files.create(OnDrop::Delete).await.map_err(internal)?)),
        }
    }

    /// What the bytes came to, and the body, whose blob is durable and waits for a name.
    ///
    /// # Errors
    /// What `accept` says of the sums; `InvalidDigest`, `InternalError`. Nothing stays behind then.
    pub(crate) async fn finish(
        mut self,
        accept: impl FnOnce(&Checksums) -> Result<(), Error>,
    ) -> Result<Received, Error> {
        let expected = self.payload_sha256;
        let accept = |sums: &Checksums, sha256: Option<[u8; 32]>| {
            accept(sums)?;
            if sha256 == expected { Ok(()) } else { Err(Error::new(ErrorCode::InvalidDigest)) }
        };
        if self.writer.is_none() {
            // So short a body is hashed before a file is made for it.
            self.hashing.update_here(&self.pending).await;
            let (sums, sha256) = self.hashing.finish().await?;
            accept(&sums, sha256)?;
            if self.keep == Keep::Anywhere && self.pending.len() <= INLINE_BYTES {
                return Ok(Received { body: Body::Inline(self.pending.freeze()), sums });
            }
            if sums.len == 0 {
                return Ok(Received { body: Body::Blobs(Vec::new()), sums });
            }
            let mut writer = self.objects.files.create(OnDrop::Delete).await.map_err(internal)?;
            writer.append(self.pending.freeze()).await.map_err(internal)?;
            let blob = writer.finish().await.map_err(internal)?;
            return Ok(Received { body: whole(blob), sums });
        }
        self.pass_on().await?;
        let Some(writer) = self.writer else { return Err(Error::new(ErrorCode::InternalError)) };
        // The disk need not wait for the checksums, nor they for it.
        let (blob, hashed) = tokio::join!(writer.finish(), self.hashing.finish());
        let blob = blob.map_err(internal)?;
        let accepted = hashed.and_then(|(sums, sha256)| accept(&sums, sha256).map(|()| sums));
        match accepted {
            Ok(sums) => Ok(Received { body: whole(blob), sums }),
            Err(error) => {
                self.objects.forget(std::iter::once(blob.id)).await;
                Err(error)
            }
        }
    }
}

fn whole(blob: Blob) -> Body {
    Body::Blobs(vec![Extent { blob: blob.id, offset: 0, len: blob.len }])
}

/// Reads stored content into a new body, a piece at a time.
///
/// # Errors
/// `InternalError`, `EntityTooLarge`.
pub(crate) async fn copy(intake: &mut Intake<'_>, content: StoredBody) -> Result<(), Error> {
    match content {
        StoredBody::Bytes(bytes) => intake.push(&bytes).await,
        StoredBody::Blobs(mut stored) => {
            while let Some(piece) = stored.next(COPY_BYTES).await? {
                intake.push(&piece).await?;
            }
            Ok(())
        }
    }
}

/// The sums of stored content, which is read and not written.
///
/// # Errors
/// `InternalError`.
pub(crate) async fn read_sums(content: StoredBody) -> Result<Checksums, Error> {
    let mut hashing = Hashing::new(false);
    match content {
        StoredBody::Bytes(bytes) => hashing.update_here(&bytes).await,
        StoredBody::Blobs(mut stored) => {
            while let Some(piece) = stored.next(COPY_BYTES).await? {
                hashing.update(piece).await;
            }
        }
    }
    Ok(hashing.finish().await?.0)
}

/// What a client says its body comes to (HTTP API 5, 6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// MD5.
    pub(crate) md5: Option<[u8; 16]>,
    /// CRC-64/XZ.
    pub(crate) crc64: Option<u64>,
    /// SHA-256, which its signature covers (OSS auth 5.2).
    pub(crate) sha256: Option<[u8; 32]>,
}

impl Expected {
    fn check(&self, sums: &Checksums) -> Result<(), Error> {
        if self.md5.is_some_and(|md5| sums.md5 != Some(md5)) {
            return Err(Error::new(ErrorCode::InvalidDigest));
        }
        if self.crc64.is_some_and(|crc64| sums.crc64 != crc64) {
            return Err(Error::new(ErrorCode::InvalidCRC64));
        }
        Ok(())
    }
}

/// Receives the body of an upload.
///
/// # Errors
/// `EntityTooLarge`, `InvalidDigest`, `InvalidCRC64`, and what the body's source says. Nothing stays behind then.
pub(crate) async fn receive(
    objects: &Objects,
    expected: Expected,
    source: &mut dyn BodySource,
    keep: Keep,
) -> Result<Received, Error> {
    let mut intake = Intake::expecting(objects, keep, expected.sha256);
    while let Some(piece) = intake.next_of(source).await? {
        intake.push(&piece).await?;
    }
    intake.finish(|sums| expected.check(sums)).await
}
