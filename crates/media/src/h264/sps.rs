//! The part of a sequence parameter set that LiveChannelStat asks for: picture size and frame rate (H.264 7.3.2.1.1, E.1.1).

use super::nal::{NalUnit, unescape};
use crate::bitreader::BitReader;
use crate::bits::UnexpectedEnd;
use crate::saved::{ResumeError, Saved, saved};
use std::sync::Arc;
use thiserror::Error;

/// Why a sequence parameter set was not understood. It is still carried; only the facts stay unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpsError {
    /// It ends within its fields, or a number in it is longer than the standard allows.
    #[error("SPS too short: {0}")]
    TooShort(#[from] UnexpectedEnd),
    /// A field has a value that the standard forbids.
    #[error("SPS with {field} {value}")]
    OutOfRange {
        /// Name of the field in the standard.
        field: &'static str,
        /// Its value.
        value: u32,
    },
}

/// Facts of a sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping, of a whole frame also when fields are coded.
    pub height: u32,
    /// `time_scale` and `num_units_in_tick` of the VUI, where present and not zero. A frame lasts two ticks.
    pub timing: Option<(u32, u32)>,
    /// How slices say in which order pictures are shown; `None` where they do not: fields, and order count type 2, with
    /// which pictures are shown as they are decoded (H.264 8.2.1.3).
    pub order: Option<OrderFields>,
}

/// Where the order of a picture stands in its slice header (H.264 7.3.3), in a stream of frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderFields {
    /// Width of `frame_num`, 4 to 16 bits.
    pub frame_number_bits: u32,
    /// Whether colour planes are coded apart, so that each slice names one.
    pub separate_planes: bool,
    /// What the order is made of.
    pub kind: OrderKind,
}

/// What the order count of a picture is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// Type 0: slices carry the low part of the count.
    LowPart {
        /// Width of `pic_order_cnt_lsb`, 4 to 16 bits.
        bits: u32,
    },
    /// Type 1: the count follows from the frame number.
    Cycle(Arc<OrderCycle>),
}

/// How counts of type 1 follow from frame numbers (H.264 8.2.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderCycle {
    /// Slices carry no difference from the expected count.
    pub is_exact: bool,
    /// Added for pictures that no other refers to.
    pub of_non_reference: i64,
    /// Steps between reference pictures, over and over; at most 255.
    pub steps: Vec<i64>,
}

saved!(struct Sps { id, width, height, timing, order });
saved!(struct OrderFields { frame_number_bits, separate_planes, kind });
saved!(struct OrderCycle { is_exact, of_non_reference, steps });

impl Saved for OrderKind {
    fn save(&self, out: &mut Vec<u8>) {
        let (bits, cycle) = match self {
            Self::LowPart { bits } => (Some(*bits), None),
            Self::Cycle(cycle) => (None, Some(Arc::clone(cycle))),
        };
        (bits, cycle).save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        match <(Option<u32>, Option<Arc<OrderCycle>>)>::load(from)? {
            (Some(bits), None) if bits <= 16 => Ok(Self::LowPart { bits }),
            (None, Some(cycle)) => Ok(Self::Cycle(cycle)),
            _ => Err(ResumeError::Damaged),
        }
    }
}

/// No picture is larger than level 6.2 allows: 139,264 macroblocks, of which one side takes at most the square root
/// of eight times as many (H.264 A.3.1).
const MAX_SIDE_IN_MACROBLOCKS: u32 = 1056;

/// Large enough for any set without extensions; what lies behind is not read.
const MAX_BYTES: usize = 1024;

impl Sps {
    /// Reads a sequence parameter set with its NAL unit header.
    ///
    /// # Errors
    /// [`SpsError`] when it is torn or impossible.
    pub fn parse(nal: &NalUnit) -> Result<Self, SpsError> {
        let rbsp = unescape(nal.bytes(), MAX_BYTES);
        let mut bits = BitReader::new(&rbsp);
        bits.skip(8)?;
        let profile = bits.bits(8)?;
        bits.skip(16)?;
        let id = bounded("seq_parameter_set_id", bits.unsigned_golomb()?, 31)?;
        let (chroma_format, separate_planes) = if has_chroma_info(profile) { chroma(&mut bits)? } else { (1, false) };
        let frame_number_bits = bounded("log2_max_frame_num_minus4", bits.unsigned_golomb()?, 12)? + 4;
        let kind = picture_order_count(&mut bits)?;
        bits.unsigned_golomb()?;
        bits.skip(1)?;
        let width_mbs = bounded("pic_width_in_mbs_minus1", bits.unsigned_golomb()?, MAX_SIDE_IN_MACROBLOCKS - 1)? + 1;
        let map_units =
            bounded("pic_height_in_map_units_minus1", bits.unsigned_golomb()?, MAX_SIDE_IN_MACROBLOCKS - 1)? + 1;
        let frames_only = bits.bit()?;
        let order = kind.filter(|_| frames_only).map(|kind| OrderFields { frame_number_bits, separate_planes, kind });
        if !frames_only {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let fields = if frames_only { 1 } else { 2 };
        let (full_width, full_height) = (width_mbs * 16, map_units * 16 * fields);
        let (mut crop_x, mut crop_y) = (0, 0);
        if bits.bit()? {
            let (unit_x, unit_y) = match (chroma_format, separate_planes) {
                (1, false) => (2, 2 * fields),
                (2, false) => (2, fields),
                _ => (1, fields),
            };
            let mut side = |unit: u32| -> Result<u64, UnexpectedEnd> {
                Ok((u64::from(bits.unsigned_golomb()?) + u64::from(bits.unsigned_golomb()?)) * u64::from(unit))
            };
            crop_x = side(unit_x)?;
            crop_y = side(unit_y)?;
        }
        let cropped = |field, full: u32, crop: u64| match u32::try_from(crop) {
            Ok(crop) if crop < full => Ok(full - crop),
            other => Err(SpsError::OutOfRange { field, value: other.unwrap_or(u32::MAX) }),
        };
        let width = cropped("frame_crop_offset (horizontal)", full_width, crop_x)?;
        let height = cropped("frame_crop_offset (vertical)", full_height, crop_y)?;
        // A broken VUI says nothing against the size in front of it.
        let timing = vui_timing(&mut bits).unwrap_or_default();
        Ok(Self { id: u8::try_from(id).unwrap_or(0), width, height, timing, order })
    }

    /// Frames per second of the VUI timing, where it has any and it is below 1000.
    pub fn frames_per_second(&self) -> Option<f64> {
        let (time_scale, ticks) = self.timing?;
        let rate = f64::from(time_scale) / (2.0 * f64::from(ticks));
        (rate > 0.0 && rate < 1000.0).then_some(rate)
    }
}

fn bounded(field: &'static str, value: u32, max: u32) -> Result<u32, SpsError> {
    if value > max { Err(SpsError::OutOfRange { field, value }) } else { Ok(value) }
}

/// Whether the sets of a profile (`profile_idc`) say how colour is coded; the others are 4:2:0 with 8 bits.
pub fn has_chroma_info(profile: u32) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn chroma(bits: &mut BitReader<'_>) -> Result<(u32, bool), SpsError> {
    let format = bounded("chroma_format_idc", bits.unsigned_golomb()?, 3)?;
    let separate_planes = format == 3 && bits.bit()?;
    bounded("bit_depth_luma_minus8", bits.unsigned_golomb()?, 6)?;
    bounded("bit_depth_chroma_minus8", bits.unsigned_golomb()?, 6)?;
    bits.skip(1)?;
    if bits.bit()? {
        let lists = if format == 3 { 12 } else { 8 };
        for index in 0..lists {
            if bits.bit()? {
                skip_scaling_list(bits, if index < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok((format, separate_planes))
}

/// Passes over a scaling list of so many values (H.264 7.3.2.1.1.1).
///
/// # Errors
/// When the bits end within it.
pub fn skip_scaling_list(bits: &mut BitReader<'_>, size: usize) -> Result<(), UnexpectedEnd> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// Reads the order count's fields; `None` for type 2, which needs none.
fn picture_order_count(bits: &mut BitReader<'_>) -> Result<Option<OrderKind>, SpsError> {
    match bounded("pic_order_cnt_type", bits.unsigned_golomb()?, 2)? {
        0 => {
            let width = bounded("log2_max_pic_order_cnt_lsb_minus4", bits.unsigned_golomb()?, 12)? + 4;
            Ok(Some(OrderKind::LowPart { bits: width }))
        }
        1 => {
            let is_exact = bits.bit()?;
            let of_non_reference = bits.signed_golomb()?;
            // The same for every frame, so that it says nothing about their order: offset_for_top_to_bottom_field.
            bits.signed_golomb()?;
            let cycle = bounded("num_ref_frames_in_pic_order_cnt_cycle", bits.unsigned_golomb()?, 255)?;
            let steps = (0..cycle).map(|_| bits.signed_golomb()).collect::<Result<_, _>>()?;
            Ok(Some(OrderKind::Cycle(Arc::new(OrderCycle { is_exact, of_non_reference, steps }))))
        }
        _ => Ok(None),
    }
}

/// What a VUI says about the values of samples (H.264 E.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSignal {
    /// `video_full_range_flag`: black is 0 and white 255, not 16 and 235.
    pub full_range: bool,
    /// `matrix_coefficients`; 2 is "unspecified".
    pub matrix: u32,
}

impl Default for VideoSignal {
    fn default() -> Self {
        Self { full_range: false, matrix: 2 }
    }
}

impl VideoSignal {
    /// Reads the beginning of a VUI, up to and with its `video_signal_type`.
    ///
    /// # Errors
    /// When it ends before.
    pub fn read(bits: &mut BitReader<'_>) -> Result<Self, UnexpectedEnd> {
        let mut signal = Self::default();
        // Sample aspect ratio; 255 is followed by an explicit one.
        if bits.bit()? && bits.bits(8)? == 255 {
            bits.skip(32)?;
        }
        if bits.bit()? {
            bits.skip(1)?;
        }
        // Video signal type, with an optional colour description.
        if bits.bit()? {
            bits.skip(3)?;
            signal.full_range = bits.bit()?;
            if bits.bit()? {
                bits.skip(16)?;
                signal.matrix = bits.bits(8)?;
            }
        }
        Ok(signal)
    }
}

fn vui_timing(bits: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, UnexpectedEnd> {
    if !bits.bit()? {
        return Ok(None);
    }
    VideoSignal::read(bits)?;
    if bits.bit()? {
        bits.unsigned_golomb()?;
        bits.unsigned_golomb()?;
    }
    if !bits.bit()? {
        return Ok(None);
    }
    let ticks = bits.bits(32)?;
    let time_scale = bits.bits(32)?;
    Ok((ticks != 0 && time_scale != 0).then_some((time_scale, ticks)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn check(name: &str, hex: &str, expected: (u32, u32, Option<f64>)) {
        let bytes: Vec<u8> =
            hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex digits")).collect();
        let sps = Sps::parse(&NalUnit::new(Bytes::from(bytes)).expect("not empty"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((sps.width, sps.height, sps.frames_per_second()), expected, "{name}");
    }

    #[test]
    fn sizes_and_rates() {
        check(
            "x264 1920x1080 cropped from 1088, 25 fps",
            "67 64 00 28 ac d9 40 78 02 27 e5 c0 44 00 00 03 00 04 00 00 03 00 c8 3c 60 c6 58",
            (1920, 1080, Some(25.0)),
        );
        for (name, hex, expected) in [
            (
                "baseline 352x288",
                "67 42 c0 0d d9 01 60 96 c0 84 00 00 03 00 04 00 00 03 00 f0 3c 50 a9 20",
                (352, 288, Some(30.0)),
            ),
            (
                "29.97 fps",
                "67 64 00 1e ac d9 40 a0 2f f9 7f f0 00 30 00 41 00 00 03 03 e9 00 00 ea 60 0f 16 2d 96",
                (640, 360, Some(30_000.0 / 1001.0)),
            ),
            (
                "interlaced 1080",
                "67 64 00 28 ac d9 40 78 04 4f df fe 00 06 00 08 20 00 00 03 00 20 00 00 06 43 e2 c5 b2 c0",
                (1920, 1080, Some(25.0)),
            ),
            (
                "4:4:4, odd size",
                "67 f4 00 0d 91 9b 28 2a 33 c2 11 9f f8 16 a0 1e 18 80 00 00 03 00 80 00 00 19 07 8a 14 cb",
                (321, 181, Some(25.0)),
            ),
            (
                "4:2:2 with scaling lists",
                "67 7a 00 0c bc d9 41 41 9f 8d ff c0 00 c0 01 04 00 00 03 00 04 00 00 03 00 c8 3c 50 a6 58",
                (320, 180, Some(25.0)),
            ),
        ] {
            check(name, hex, expected);
        }
    }

    #[test]
    fn impossible_sets_are_errors() {
        for bytes in [&[0x67][..], &[0x67, 0x64, 0, 0x28], &[0x67, 0x42, 0, 0x0D, 0, 0, 0, 0, 0], &[0xFF; 40]] {
            let nal = NalUnit::new(Bytes::copy_from_slice(bytes)).expect("not empty");
            if let Ok(sps) = Sps::parse(&nal) {
                assert!(sps.width > 0 && sps.height > 0, "{sps:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_sets_never_panic_and_have_sane_sizes(profile in prop_oneof![Just(66_u8), Just(100), Just(244)], rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![0x67, profile, 0, 31];
            bytes.extend(rest);
            if let Ok(sps) = Sps::parse(&NalUnit::new(Bytes::from(bytes)).expect("not empty")) {
                prop_assert!((1..=16_896).contains(&sps.width));
                prop_assert!((1..=33_792).contains(&sps.height));
            }
        }
    }
}
