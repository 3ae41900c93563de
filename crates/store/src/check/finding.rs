//! What a check can find.

use std::fmt;

use std::collections::{HashMap, HashSet};

use super::repair::Mending;
use crate::blob::{BlobDamage, BlobId};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A blob that nothing names, of this length. A crash leaves those; [`sweep`](super::sweep) deletes them.
    OrphanBlob(BlobId, u64),
    /// A name that leads to a blob that is not there.
    MissingBlob(String, BlobId),
    /// A name whose blob has bytes that are not what was written, and how many further names it has.
    DamagedBlob(String, u64, BlobDamage),
    /// A name that leads beyond the end of a blob.
    ShortBlob(String, BlobId),
    /// A blob with so many names, of which so many are counted: it would be deleted too early, or never.
    WrongNameCount(BlobId, u64, u64),
    /// An object whose size is not that of its bytes.
    WrongSize(String),
    /// A row that belongs to another which is not there, or says otherwise.
    StrayRow(String),
    /// Counters of a bucket that are not what is in it.
    WrongCounters(String),
    /// An access key or a session whose secret cannot be opened.
    SealedSecret(String),
    /// A row that cannot be read.
    Unreadable(String),
    /// The map is older than it was.
    LostCommits(String),
    /// The engine of the map found itself damaged.
    Engine(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::OrphanBlob(blob, len) => write!(f, "blob {blob} of {len} bytes has no name"),
            Finding::MissingBlob(name, blob) => write!(f, "{name}: blob {blob} is not there"),
            Finding::DamagedBlob(name, 0, damage) => write!(f, "{name}: {damage}"),
            Finding::DamagedBlob(name, further, damage) => write!(f, "{name} and {further} more: {damage}"),
            Finding::ShortBlob(name, blob) => write!(f, "{name}: blob {blob} is too short"),
            Finding::WrongNameCount(blob, names, counted) => {
                write!(f, "blob {blob} has {names} names, of which {counted} are counted")
            }
            Finding::WrongSize(name) => write!(f, "{name}: the size is not that of the bytes"),
            Finding::StrayRow(name) => write!(f, "{name}: belongs to nothing"),
            Finding::WrongCounters(name) => write!(f, "{name}: the counters are wrong"),
            Finding::SealedSecret(name) => {
                write!(f, "{name}: the secret cannot be opened; is this the key that secrets were sealed with?")
            }
            Finding::Unreadable(detail) => write!(f, "unreadable: {detail}"),
            Finding::LostCommits(detail) => write!(f, "the metadata file has lost commits: {detail}"),
            Finding::Engine(detail) => write!(f, "the metadata file is damaged: {detail}"),
        }
    }
}

/// What a check saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What must not be.
    pub findings: Vec<Finding>,
    /// Objects read.
    pub objects: u64,
    /// Blobs listed.
    pub blobs: u64,
    /// Blobs whose bytes were compared with their checksums.
    pub verified: u64,
    /// Blobs with a name that have no checksums, because an earlier version wrote them.
    pub unsummed: u64,
    /// Who names each blob that is there, and how many do.
    pub(super) named: HashMap<BlobId, (String, u64)>,
    /// Blobs that pushes write to.
    pub(super) open: HashSet<BlobId>,
    /// Blobs that are to be deleted.
    pub(super) garbage: HashSet<BlobId>,
    /// What can be mended.
    pub(super) mendings: Vec<Mending>,
}

impl Report {
    /// Whether a row names a blob.
    pub(crate) fn names(&self, blob: BlobId) -> bool {
        self.named.contains_key(&blob)
    }

    /// Whether a blob is to be deleted.
    pub(crate) fn is_garbage(&self, blob: BlobId) -> bool {
        self.garbage.contains(&blob)
    }

    /// Leaves out what is said of blobs that pushes write to: on a shared store, those lie on the disks of their servers.
    pub fn forget_open_blobs(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.findings.retain(|finding| match finding {
            Finding::MissingBlob(_, blob) | Finding::ShortBlob(_, blob) => !open.contains(blob),
            _ => true,
        });
    }
}
