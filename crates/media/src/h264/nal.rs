//! NAL units, and how an access unit falls apart into them, whichever way the encoder framed it (quirk Q40).

use super::sps::{OrderFields, OrderKind};
use crate::bitreader::BitReader;
use crate::saved::{ResumeError, Saved};
use bytes::Bytes;

/// What a NAL unit is, as far as a remuxer cares (H.264 table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NalKind {
    /// A slice of a picture that is no IDR picture, types 1 to 4.
    Slice,
    /// A slice of an IDR picture, type 5.
    IdrSlice,
    /// Supplemental enhancement information, type 6.
    Sei,
    /// Sequence parameter set, type 7.
    Sps,
    /// Picture parameter set, type 8.
    Pps,
    /// Access unit delimiter, type 9.
    AccessUnitDelimiter,
    /// End of sequence or of stream, types 10 and 11; only valid behind the last slice of a picture.
    End,
    /// Filler data, type 12.
    Filler,
    /// Everything else; it is carried along untouched.
    Other,
}

/// One NAL unit without its framing. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NalUnit(Bytes);

/// What a slice says of its picture's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceOrder {
    /// `frame_num`.
    pub frame_number: u32,
    /// With order count type 0 the low part of the count, with type 1 its difference from the expected one.
    pub count: i64,
}

/// The first fields of a slice header (H.264 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceStart {
    /// Address of the slice's first macroblock; zero at the start of a picture.
    pub first_macroblock: u32,
    /// The picture parameter set that the slice refers to.
    pub pps_id: u32,
}

impl Saved for NalUnit {
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        Self::new(Bytes::load(from)?).ok_or(ResumeError::Damaged)
    }
}

impl NalUnit {
    /// Wraps the bytes of one unit; `None` when there are none.
    pub fn new(bytes: Bytes) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// The unit's bytes, its one-byte header first.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// A copy with memory of its own, to be kept without holding on to the whole message it came in.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// What it is.
    pub fn kind(&self) -> NalKind {
        match self.0.first().map(|header| header & 0x1F) {
            Some(1..=4) => NalKind::Slice,
            Some(5) => NalKind::IdrSlice,
            Some(6) => NalKind::Sei,
            Some(7) => NalKind::Sps,
            Some(8) => NalKind::Pps,
            Some(9) => NalKind::AccessUnitDelimiter,
            Some(10 | 11) => NalKind::End,
            Some(12) => NalKind::Filler,
            _ => NalKind::Other,
        }
    }

    /// Whether it is a slice of a picture.
    pub fn is_slice(&self) -> bool {
        matches!(self.kind(), NalKind::Slice | NalKind::IdrSlice)
    }

    /// The start of the slice header; `None` for other units and for slices that end within it.
    pub fn slice_start(&self) -> Option<SliceStart> {
        if !self.is_slice() {
            return None;
        }
        // Three Exp-Golomb numbers take at most 3 x 63 bits.
        let rbsp = unescape(&self.0, 32);
        let mut bits = BitReader::new(rbsp.get(1..)?);
        let first_macroblock = bits.unsigned_golomb().ok()?;
        let _slice_type = bits.unsigned_golomb().ok()?;
        let pps_id = bits.unsigned_golomb().ok()?;
        Some(SliceStart { first_macroblock, pps_id })
    }

    /// Whether it is a slice that refers to no other picture: `slice_type` I or SI (H.264 7.4.3).
    pub fn is_intra_slice(&self) -> bool {
        let slice_type = || {
            let rbsp = unescape(&self.0, 24);
            let mut bits = BitReader::new(rbsp.get(1..)?);
            bits.unsigned_golomb().ok()?;
            bits.unsigned_golomb().ok()
        };
        self.is_slice() && slice_type().is_some_and(|slice_type| matches!(slice_type, 2 | 4 | 7 | 9))
    }

    /// Whether pictures to come may refer to it: `nal_ref_idc` is not zero.
    pub fn is_reference(&self) -> bool {
        self.0.first().is_some_and(|header| header & 0x60 != 0)
    }

    /// What a slice says of its picture's order (H.264 7.3.3); `None` for other units and torn slices.
    pub fn slice_order(&self, fields: &OrderFields) -> Option<SliceOrder> {
        if !self.is_slice() {
            return None;
        }
        // Five Exp-Golomb numbers, of at most 63 bits each, and at most 34 bits of others.
        let rbsp = unescape(&self.0, 48);
        let mut bits = BitReader::new(rbsp.get(1..)?);
        for _ in ["first_mb_in_slice", "slice_type", "pic_parameter_set_id"] {
            bits.unsigned_golomb().ok()?;
        }
        bits.skip(if fields.separate_planes { 2 } else { 0 }).ok()?;
        let frame_number = bits.bits(fields.frame_number_bits).ok()?;
        if self.kind() == NalKind::IdrSlice {
            bits.unsigned_golomb().ok()?;
        }
        let count = match &fields.kind {
            OrderKind::LowPart { bits: width } => i64::from(bits.bits(*width).ok()?),
            OrderKind::Cycle(cycle) if cycle.is_exact => 0,
            OrderKind::Cycle(_) => bits.signed_golomb().ok()?,
        };
        Some(SliceOrder { frame_number, count })
    }

    /// Whether it is SEI that begins with a recovery point message (H.264 D.1.8), the mark of an open GOP (quirk Q42).
    pub fn has_recovery_point(&self) -> bool {
        if self.kind() != NalKind::Sei {
            return false;
        }
        let rbsp = unescape(&self.0, 4096);
        let mut rest = rbsp.get(1..).unwrap_or_default();
        // Each round consumes at least two bytes; two are left at most for the trailing bits.
        while rest.len() > 2 {
            let Some((kind, after_kind)) = sei_number(rest) else { return false };
            let Some((size, after_size)) = sei_number(after_kind) else { return false };
            if kind == 6 {
                return true;
            }
            rest = after_size.get(size..).unwrap_or_default();
        }
        false
    }
}

/// A number of an SEI message header: 255 for each 0xFF byte, plus the byte that ends it (H.264 7.3.2.3.1).
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), &bytes[full + 1..]))
}

/// How the NAL units of an access unit are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A length of so many bytes before each unit, as in MP4.
    Lengths(u8),
    /// Start codes (H.264 annex B).
    AnnexB,
}

/// The NAL units of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The units in order, sharing the tag's bytes.
    pub nals: Vec<NalUnit>,
    /// How they were framed, which may differ from what the sequence header said.
    pub framing: Framing,
    /// Units that were left out because they were empty or longer than the tag.
    pub skipped: u32,
}

/// Splits the payload of one video tag. `length_size` is what the sequence header announced (1 to 4).
///
/// When that does not fit the payload exactly, Annex B and the other sizes are tried; when nothing fits, the units in
/// front of the broken one are kept (quirk Q40).
pub fn split(payload: &Bytes, length_size: u8) -> Split {
    let declared = Framing::Lengths(length_size);
    if fits(payload, length_size) {
        return split_lengths(payload, length_size);
    }
    if starts_with_start_code(payload) {
        return split_annex_b(payload);
    }
    for other in [4, 2, 1, 3] {
        if Framing::Lengths(other) != declared && fits(payload, other) && plausible(payload, other) {
            return split_lengths(payload, other);
        }
    }
    split_lengths(payload, length_size)
}

/// Whether lengths of `size` bytes lead exactly to the end of the payload. A first unit of one byte behind four bytes
/// is a start code read as a length, since no access unit begins with such a unit.
fn fits(payload: &[u8], size: u8) -> bool {
    let mut rest = payload;
    let mut first = true;
    while !rest.is_empty() {
        let Some((length, body)) = length_prefix(rest, size) else { return false };
        if first && length <= 1 && starts_with_start_code(payload) {
            return false;
        }
        first = false;
        match body.get(length..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// Whether each unit, read with another size than announced, has a header that H.264 allows.
fn plausible(payload: &Bytes, size: u8) -> bool {
    let split = split_lengths(payload, size);
    split.skipped == 0
        && split
            .nals
            .iter()
            .all(|nal| nal.bytes().first().is_some_and(|header| header & 0x80 == 0 && header & 0x1F != 0))
}

fn length_prefix(bytes: &[u8], size: u8) -> Option<(usize, &[u8])> {
    let (prefix, body) = bytes.split_at_checked(usize::from(size))?;
    Some((prefix.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), body))
}

fn split_lengths(payload: &Bytes, size: u8) -> Split {
    let mut split = Split { nals: Vec::with_capacity(4), framing: Framing::Lengths(size), skipped: 0 };
    let mut offset = 0;
    while offset < payload.len() {
        let Some((length, body)) = length_prefix(&payload[offset..], size) else {
            split.skipped += 1;
            break;
        };
        if length > body.len() {
            split.skipped += 1;
            break;
        }
        let start = offset + usize::from(size);
        offset = start + length;
        match NalUnit::new(payload.slice(start..offset)) {
            Some(nal) => split.nals.push(nal),
            None => split.skipped += 1,
        }
    }
    split
}

fn starts_with_start_code(payload: &[u8]) -> bool {
    payload.starts_with(&[0, 0, 0, 1]) || payload.starts_with(&[0, 0, 1])
}

fn split_annex_b(payload: &Bytes) -> Split {
    let mut split = Split { nals: Vec::with_capacity(4), framing: Framing::AnnexB, skipped: 0 };
    let mut start = next_start_code(payload, 0).map(|(_, after)| after);
    while let Some(from) = start {
        let next = next_start_code(payload, from);
        let mut to = next.map_or(payload.len(), |(at, _)| at);
        // A unit never ends in zero (H.264 7.4.1), so these belong to the framing.
        while to > from && payload[to - 1] == 0 {
            to -= 1;
        }
        match NalUnit::new(payload.slice(from..to)) {
            Some(nal) => split.nals.push(nal),
            None => split.skipped += 1,
        }
        start = next.map(|(_, after)| after);
    }
    split
}

/// Where the next `00 00 01` begins and ends.
fn next_start_code(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let found = bytes.get(from..)?.windows(3).position(|window| window == [0, 0, 1])?;
    Some((from + found, from + found + 3))
}

/// The first `limit` bytes of a unit without its emulation prevention bytes (H.264 7.4.1).
pub fn unescape(nal: &[u8], limit: usize) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len().min(limit));
    let mut zeros = 0;
    for &byte in nal {
        if rbsp.len() == limit {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: &str, payload: &[u8], length_size: u8, framing: Framing, nals: &[&[u8]], skipped: u32) {
        let split = split(&Bytes::copy_from_slice(payload), length_size);
        let got: Vec<&[u8]> = split.nals.iter().map(|nal| nal.bytes().as_ref()).collect();
        assert_eq!((split.framing, got.as_slice(), split.skipped), (framing, nals, skipped), "{name}");
    }

    #[test]
    fn q40_framing_is_detected_per_access_unit() {
        use Framing::*;
        check("size 4", &[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x0A], 4, Lengths(4), &[&[0x65, 1], &[0x0A]], 0);
        check("size 2", &[0, 2, 0x65, 1], 2, Lengths(2), &[&[0x65, 1]], 0);
        check("size 1", &[2, 0x65, 1], 1, Lengths(1), &[&[0x65, 1]], 0);
        check("size 3", &[0, 0, 2, 0x65, 1], 3, Lengths(3), &[&[0x65, 1]], 0);
        check("size 3 announced, 4 used", &[0, 0, 0, 2, 0x65, 1], 3, Lengths(4), &[&[0x65, 1]], 0);
        check("Annex B", &[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 2, 0], 4, AnnexB, &[&[0x67, 1], &[0x65, 2]], 0);
        check("Annex B that reads as a length", &[0, 0, 0, 1, 0x0A], 4, AnnexB, &[&[0x0A]], 0);
        check(
            "long unit that looks like Annex B",
            &{
                let mut bytes = vec![0, 0, 1, 4, 0x65];
                bytes.resize(264, 7);
                bytes
            },
            4,
            Lengths(4),
            &[&{
                let mut bytes = vec![0x65];
                bytes.resize(260, 7);
                bytes
            }],
            0,
        );
        check("empty unit", &[0, 0, 0, 0, 0, 0, 0, 2, 0x65, 1], 4, Lengths(4), &[&[0x65, 1]], 1);
        check("overlong unit", &[0, 0, 0, 2, 0x65, 1, 0, 0, 9, 9, 1], 4, Lengths(4), &[&[0x65, 1]], 1);
        check("torn length", &[0, 0, 0, 2, 0x65, 1, 0, 0], 4, Lengths(4), &[&[0x65, 1]], 1);
        check("nothing", &[], 4, Lengths(4), &[], 0);
    }

    #[test]
    fn slice_start_and_recovery_point() {
        // first_mb 0, slice_type 7, pps_id 1.
        let slice = NalUnit::new(Bytes::from_static(&[0x65, 0b1000_1000, 0b0100_0000])).unwrap();
        assert_eq!(slice.slice_start(), Some(SliceStart { first_macroblock: 0, pps_id: 1 }));
        assert!(slice.is_intra_slice());
        let predicted = NalUnit::new(Bytes::from_static(&[0x41, 0x9A, 0x44])).unwrap();
        assert!(!predicted.is_intra_slice());
        let torn = NalUnit::new(Bytes::from_static(&[0x65])).unwrap();
        assert!(!torn.is_intra_slice());
        assert_eq!(torn.slice_start(), None);
        let sei = NalUnit::new(Bytes::from_static(&[6, 1, 1, 0x40, 6, 1, 0xC4, 0x80])).unwrap();
        assert!(sei.has_recovery_point());
        let other = NalUnit::new(Bytes::from_static(&[6, 5, 2, 6, 6, 0x80])).unwrap();
        assert!(!other.has_recovery_point());
    }

    #[test]
    fn emulation_prevention_is_undone() {
        assert_eq!(unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3], 100), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(unescape(&[0, 0, 3, 1], 2), [0, 0]);
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..80), size in 1_u8..=4) {
            for nal in split(&Bytes::from(bytes), size).nals {
                let _ = nal.slice_start();
                let _ = nal.has_recovery_point();
            }
        }

        #[test]
        fn lengths_and_start_codes_carry_the_same_units(units in prop::collection::vec(prop::collection::vec(4_u8..=0xFF, 2..40), 1..6), size in prop_oneof![Just(1_u8), Just(2), Just(4)]) {
            let mut lengths = Vec::new();
            let mut annex_b = Vec::new();
            for unit in &units {
                lengths.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes()[4 - usize::from(size)..]);
                lengths.extend_from_slice(unit);
                annex_b.extend_from_slice(&[0, 0, 0, 1]);
                annex_b.extend_from_slice(unit);
            }
            for payload in [lengths, annex_b] {
                let split = split(&Bytes::from(payload), size);
                let got: Vec<Vec<u8>> = split.nals.iter().map(|nal| nal.bytes().to_vec()).collect();
                prop_assert_eq!(&got, &units);
            }
        }
    }
}
