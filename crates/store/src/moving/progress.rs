//! How far a move has come, for whoever looks on.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that grow while blobs and rows are copied.
#[derive(Debug, Default)]
pub struct Progress {
    blobs: AtomicU64,
    bytes: AtomicU64,
    present: AtomicU64,
    rows: AtomicU64,
}

/// What was done up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Blobs that were copied.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that the target had already.
    pub present: u64,
    /// Rows that were looked at.
    pub rows: u64,
}

impl Progress {
    pub(super) fn copied(&self, bytes: u64) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn found(&self) {
        self.present.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn looked_at(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// The numbers now.
    pub fn amounts(&self) -> Amounts {
        Amounts {
            blobs: self.blobs.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            present: self.present.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
        }
    }
}
