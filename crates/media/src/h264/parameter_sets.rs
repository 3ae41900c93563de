//! The parameter sets in force, by id, from the sequence header and from the stream (quirks Q36 to Q39).

use super::config::AvcConfig;
use super::nal::{NalKind, NalUnit, unescape};
use crate::bitreader::BitReader;
use crate::saved::saved;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Far above any real set, scaling lists included; larger ones are ignored, which bounds what a store can hold.
const MAX_SET_BYTES: usize = 4096;

/// Parameter sets by id: at most 32 sequence and 256 picture parameter sets, as H.264 has ids.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sps: BTreeMap<u32, NalUnit>,
    pps: BTreeMap<u32, PictureSet>,
    cached: Option<(u32, Arc<[NalUnit]>)>,
}

#[derive(Clone, Debug)]
struct PictureSet {
    sps_id: u32,
    nal: NalUnit,
}

saved!(struct ParameterSets { sps, pps, cached });
saved!(struct PictureSet { sps_id, nal });

impl ParameterSets {
    /// Forgets everything and takes over the sets of a new sequence header.
    pub fn replace(&mut self, config: &AvcConfig) {
        *self = Self::default();
        for nal in config.sps.iter().chain(&config.pps) {
            self.update(nal);
        }
    }

    /// Keeps one parameter set under its id and says whether that changed anything. Sets whose id cannot be read, and
    /// NAL units of other kinds, change nothing.
    pub fn update(&mut self, nal: &NalUnit) -> bool {
        if nal.bytes().len() > MAX_SET_BYTES {
            return false;
        }
        let changed = match nal.kind() {
            NalKind::Sps => self.update_sps(nal),
            NalKind::Pps => self.update_pps(nal),
            _ => None,
        };
        if changed == Some(true) {
            self.cached = None;
        }
        changed.unwrap_or(false)
    }

    /// The sets that a decoder needs for a picture that refers to `pps_id`: its sequence parameter set, then every
    /// picture parameter set that belongs to it, since the pictures behind may use the others (quirk Q38).
    /// `None` when one of the two is missing.
    pub fn needed_by(&mut self, pps_id: u32) -> Option<Arc<[NalUnit]>> {
        let sps_id = self.pps.get(&pps_id)?.sps_id;
        if let Some((id, sets)) = &self.cached
            && *id == sps_id
        {
            return Some(Arc::clone(sets));
        }
        let sps = self.sps.get(&sps_id)?;
        let pictures = self.pps.values().filter(|set| set.sps_id == sps_id).map(|set| &set.nal);
        let sets: Arc<[NalUnit]> = std::iter::once(sps).chain(pictures).cloned().collect();
        self.cached = Some((sps_id, Arc::clone(&sets)));
        Some(sets)
    }

    /// The sequence parameter set that `pps_id` refers to.
    pub fn sps_of(&self, pps_id: u32) -> Option<&NalUnit> {
        self.sps.get(&self.pps.get(&pps_id)?.sps_id)
    }

    /// The sequence parameter set with the lowest id, for facts before the first picture.
    pub fn first_sps(&self) -> Option<&NalUnit> {
        self.sps.values().next()
    }

    fn update_sps(&mut self, nal: &NalUnit) -> Option<bool> {
        // Profile, constraints and level come before the id.
        let rbsp = unescape(nal.bytes(), 16);
        let id = BitReader::new(rbsp.get(4..)?).unsigned_golomb().ok().filter(|id| *id < 32)?;
        if self.sps.get(&id) == Some(nal) {
            return Some(false);
        }
        self.sps.insert(id, nal.detached());
        Some(true)
    }

    fn update_pps(&mut self, nal: &NalUnit) -> Option<bool> {
        let rbsp = unescape(nal.bytes(), 16);
        let mut bits = BitReader::new(rbsp.get(1..)?);
        let id = bits.unsigned_golomb().ok().filter(|id| *id < 256)?;
        let sps_id = bits.unsigned_golomb().ok().filter(|id| *id < 32)?;
        if self.pps.get(&id).is_some_and(|set| set.nal == *nal) {
            return Some(false);
        }
        self.pps.insert(id, PictureSet { sps_id, nal: nal.detached() });
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn nal(bytes: &[u8]) -> NalUnit {
        NalUnit::new(Bytes::copy_from_slice(bytes)).expect("not empty")
    }

    /// An SPS with id 0 (first bit 1) or 1 (`010`).
    fn sps(id: u32, tail: u8) -> NalUnit {
        nal(&[0x67, 66, 0, 30, if id == 0 { 0x80 } else { 0x40 }, tail])
    }

    /// A PPS whose id and SPS id are each 0 (`1`) or 1 (`010`).
    fn pps(id: u32, sps_id: u32, tail: u8) -> NalUnit {
        let bits = match (id, sps_id) {
            (0, 0) => 0b1100_0000,
            (0, _) => 0b1010_0000,
            (_, 0) => 0b0101_0000,
            _ => 0b0100_1000,
        };
        nal(&[0x68, bits, tail])
    }

    #[test]
    fn q38_all_sets_are_kept_by_id_and_those_used_are_written() {
        let mut sets = ParameterSets::default();
        for set in [sps(0, 1), sps(1, 1), pps(0, 0, 1), pps(1, 0, 2)] {
            assert!(sets.update(&set));
        }
        assert_eq!(sets.needed_by(0).as_deref(), Some(&[sps(0, 1), pps(0, 0, 1), pps(1, 0, 2)][..]));
        assert_eq!(sets.needed_by(1), sets.needed_by(0));
        assert_eq!(sets.needed_by(2), None);
        assert!(sets.update(&pps(1, 1, 3)));
        assert_eq!(sets.needed_by(0).as_deref(), Some(&[sps(0, 1), pps(0, 0, 1)][..]));
        assert_eq!(sets.needed_by(1).as_deref(), Some(&[sps(1, 1), pps(1, 1, 3)][..]));
    }

    #[test]
    fn q36_the_same_set_again_changes_nothing() {
        let mut sets = ParameterSets::default();
        assert!(sets.update(&sps(0, 1)));
        assert!(!sets.update(&sps(0, 1)));
        assert!(sets.update(&sps(0, 2)));
    }

    #[test]
    fn unreadable_sets_are_ignored() {
        let mut sets = ParameterSets::default();
        for bytes in [&[0x67][..], &[0x67, 66, 0, 30], &[0x67, 66, 0, 30, 0, 0], &[0x68], &[0x68, 0, 0], &[0x65, 1]] {
            assert!(!sets.update(&nal(bytes)));
        }
        assert_eq!(sets.needed_by(0), None);
    }
}
