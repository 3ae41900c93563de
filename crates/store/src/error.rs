//! What can go wrong in a store: a closed kind to match on, the noun it is about, and a detail for the log.

use std::fmt;

/// The result of everything a store does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for callers to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The subject is not there.
    NotFound,
    /// The subject is there and was asked not to be.
    AlreadyExists,
    /// Somebody else changed the subject, or took the lease over, since it was read.
    Conflict,
    /// A lease on the subject is held by somebody else: the channel is on air.
    Held,
    /// The bucket still holds the subject.
    NotEmpty,
    /// One more of the subject would exceed its quota.
    QuotaExceeded,
    /// The engine or the disk did not answer. Whether a write took place is not known.
    Unavailable,
    /// What was read is not what this program writes.
    Corrupt,
    /// A newer program wrote it: it can neither be read nor may it be written over.
    Newer,
}

/// The noun an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A bucket.
    Bucket,
    /// An object.
    Object,
    /// The object that another one takes its bytes from.
    Source,
    /// A multipart upload.
    Upload,
    /// A part of a multipart upload.
    Part,
    /// A LiveChannel.
    Channel,
    /// A running push on a channel.
    Publication,
    /// The right to publish on a channel, or another lease.
    Lease,
    /// A process that shares the map, or what it wants of another.
    Process,
    /// The bytes of an object.
    Blob,
    /// An access key, user, session or setting.
    Account,
    /// A record, when it is not known of what.
    Record,
    /// The engine below.
    Engine,
    /// The whole map, in which nothing may change at the moment, as it is being copied elsewhere.
    ReadOnly,
    /// A folder of backups.
    Backup,
    /// A file descriptor, of which the process or the system has no more at the moment.
    Descriptor,
}

/// A failure of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} {kind:?}: {detail}")]
pub struct Error {
    /// What to match on.
    pub kind: ErrorKind,
    /// What it is about.
    pub subject: Subject,
    /// For the log: names and causes. Never shown to clients, never a secret.
    pub detail: String,
}

impl Error {
    /// An error of this kind about this noun.
    pub fn new(kind: ErrorKind, subject: Subject, detail: impl fmt::Display) -> Self {
        Self { kind, subject, detail: detail.to_string() }
    }

    /// Whether this is "not there".
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// Whether there is only no descriptor left at the moment: the same may succeed in a moment.
    pub fn is_out_of_descriptors(&self) -> bool {
        self.kind == ErrorKind::Unavailable && self.subject == Subject::Descriptor
    }

    /// The same with the name of what it is about in front of the detail.
    #[must_use]
    pub(crate) fn about(mut self, name: impl fmt::Display) -> Self {
        self.detail = format!("{name}: {}", self.detail);
        self
    }

    pub(crate) fn not_found(subject: Subject, detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, subject, detail)
    }

    pub(crate) fn conflict(subject: Subject, detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Conflict, subject, detail)
    }

    pub(crate) fn corrupt(subject: Subject, detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, subject, detail)
    }

    pub(crate) fn unavailable(subject: Subject, detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unavailable, subject, detail)
    }
}
