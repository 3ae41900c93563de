//! Bytes that are not what was written.

use std::fmt;
use std::ops::Range;

use super::BlobId;

/// Damage that was found in a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobDamage {
    /// The blob.
    pub blob: BlobId,
    /// The bytes among which some are wrong, rising. Whole blocks of the store, or its last one.
    pub ranges: Vec<Range<u64>>,
}

/// What a store found out about the bytes of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The length of the blob.
    pub len: u64,
    /// Whether there is anything to compare its bytes with: blobs that were written before there were checksums have none.
    pub has_sums: bool,
    /// Where its bytes are not what was written.
    pub damaged: Vec<Range<u64>>,
}

impl fmt::Display for BlobDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {} is damaged in", self.blob)?;
        for (index, range) in self.ranges.iter().enumerate() {
            write!(
                f,
                "{} bytes {} to {}",
                if index == 0 { "" } else { "," },
                range.start,
                range.end.saturating_sub(1)
            )?;
        }
        Ok(())
    }
}

/// Adds ranges to others; all of them rise and do not touch afterwards.
pub(super) fn merge(ranges: &mut Vec<Range<u64>>, further: &[Range<u64>]) {
    ranges.extend_from_slice(further);
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of ranges is meant")]
    fn ranges_are_joined() {
        let mut ranges = vec![10..20, 40..50];
        merge(&mut ranges, &[20..30, 0..5, 45..60]);
        assert_eq!(ranges, [0..5, 10..30, 40..60]);
        let damage = BlobDamage { blob: BlobId::from_bytes([0x11; 16]), ranges };
        assert_eq!(
            damage.to_string(),
            "blob 11111111111111111111111111111111 is damaged in bytes 0 to 4, bytes 10 to 29, bytes 40 to 59"
        );
    }
}
