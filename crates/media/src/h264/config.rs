//! The AVC sequence header: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1).

use super::nal::{Framing, NalKind, NalUnit, split};
use crate::bits::{Reader, UnexpectedEnd};
use bytes::Bytes;
use thiserror::Error;

/// Why a sequence header was not understood. The header is dropped, the connection goes on (LiveChannel 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AvcConfigError {
    /// The record ends within its fields.
    #[error("AVC configuration too short: {0}")]
    TooShort(#[from] UnexpectedEnd),
    /// The first byte is not the only version there is.
    #[error("AVC configuration of version {0}")]
    Version(u8),
}

/// What a sequence header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// Bytes of the length before each NAL unit: 1, 2, 4, or the 3 that only broken encoders send (quirk Q40).
    pub length_size: u8,
    /// Sequence parameter sets in order; there may be several (quirk Q38).
    pub sps: Vec<NalUnit>,
    /// Picture parameter sets in order.
    pub pps: Vec<NalUnit>,
}

impl AvcConfig {
    /// Reads a sequence header, or parameter sets that came in Annex B form in place of one (quirk Q40). Empty sets
    /// are left out.
    ///
    /// # Errors
    /// [`AvcConfigError`] when the record is torn or of another version.
    pub fn parse(record: &Bytes) -> Result<Self, AvcConfigError> {
        if record.starts_with(&[0, 0, 0, 1]) || record.starts_with(&[0, 0, 1]) {
            return Ok(Self::from_annex_b(record));
        }
        let mut reader = Reader::new(record);
        let version = reader.u8()?;
        if version != 1 {
            return Err(AvcConfigError::Version(version));
        }
        reader.skip(3)?;
        let length_size = (reader.u8()? & 3) + 1;
        let sps_count = reader.u8()? & 0x1F;
        let sps = Self::read_sets(record, &mut reader, sps_count)?;
        // Records that end behind the SPS occur; the picture parameter sets are in-band then (quirk Q39).
        let pps_count = if reader.is_empty() { 0 } else { reader.u8()? };
        let pps = Self::read_sets(record, &mut reader, pps_count)?;
        Ok(Self { length_size, sps, pps })
    }

    fn read_sets(record: &Bytes, reader: &mut Reader<'_>, count: u8) -> Result<Vec<NalUnit>, UnexpectedEnd> {
        let mut sets = Vec::new();
        for _ in 0..count {
            let length = usize::from(reader.u16()?);
            let start = reader.offset();
            reader.skip(length)?;
            sets.extend(NalUnit::new(record.slice(start..start + length)));
        }
        Ok(sets)
    }

    fn from_annex_b(bytes: &Bytes) -> Self {
        let split = split(bytes, 4);
        debug_assert!(matches!(split.framing, Framing::AnnexB | Framing::Lengths(_)));
        let of_kind = |kind| split.nals.iter().filter(|nal| nal.kind() == kind).cloned().collect();
        Self { length_size: 4, sps: of_kind(NalKind::Sps), pps: of_kind(NalKind::Pps) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Length size, SPS, PPS.
    type Record<'a> = (u8, &'a [&'a [u8]], &'a [&'a [u8]]);

    fn check(name: &str, bytes: &[u8], expected: Result<Record<'_>, ()>) {
        let config = AvcConfig::parse(&Bytes::copy_from_slice(bytes));
        let sets = |sets: &[NalUnit]| sets.iter().map(|nal| nal.bytes().to_vec()).collect::<Vec<_>>();
        let got = config.map(|config| (config.length_size, sets(&config.sps), sets(&config.pps))).map_err(|_| ());
        let owned = |sets: &[&[u8]]| sets.iter().map(|set| set.to_vec()).collect::<Vec<_>>();
        assert_eq!(got, expected.map(|(size, sps, pps)| (size, owned(sps), owned(pps))), "{name}");
    }

    #[test]
    fn records() {
        check(
            "one of each",
            &[1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 2, 0x67, 1, 1, 0, 1, 0x68],
            Ok((4, &[&[0x67, 1]], &[&[0x68]])),
        );
        check(
            "q38 several",
            &[1, 0x64, 0, 0x1F, 0xFD, 0xE2, 0, 1, 0x67, 0, 2, 0x67, 1, 2, 0, 1, 0x68, 0, 2, 0x68, 1],
            Ok((2, &[&[0x67], &[0x67, 1]], &[&[0x68], &[0x68, 1]])),
        );
        check("q40 empty set", &[1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 0, 1, 0, 1, 0x68], Ok((4, &[], &[&[0x68]])));
        check("q39 no sets", &[1, 0x64, 0, 0x1F, 0xFF, 0xE0, 0], Ok((4, &[], &[])));
        check("q39 ends behind the SPS", &[1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 1, 0x67], Ok((4, &[&[0x67]], &[])));
        check("q40 Annex B", &[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2], Ok((4, &[&[0x67, 1]], &[&[0x68, 2]])));
        check("torn", &[1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 9, 0x67], Err(()));
        check("empty", &[], Err(()));
        check("version", &[2, 0, 0, 0, 0, 0, 0], Err(()));
    }

    proptest! {
        #[test]
        fn arbitrary_records_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), valid_start in any::<bool>()) {
            if valid_start && let Some(first) = bytes.first_mut() {
                *first = 1;
            }
            let _ = AvcConfig::parse(&Bytes::from(bytes));
        }
    }
}
