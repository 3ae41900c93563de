//! What a sequence parameter set says that decides whether, and how, its pictures are shown (H.264 7.3.2.1.1, E.1.1).

use crate::matrix::Matrix;
use crate::refusal::{Reason, Refusal};
use media::bitreader::BitReader;
use media::bits::UnexpectedEnd;
use media::h264::{VideoSignal, has_chroma_info, skip_scaling_list, unescape};

/// How the lines of a picture may be coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interlacing {
    /// Whole frames only.
    Progressive,
    /// Each picture is a frame or a field, as its slices say. Some encoders set this and code nothing but frames.
    PerPicture,
    /// Frames may mix field and frame macroblocks (MBAFF).
    PerMacroblock,
}

/// Facts of a sequence parameter set whose pictures can be decoded: 4:2:0, 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// `profile_idc`.
    pub profile: u8,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping, of the frame also where fields are coded.
    pub height: u32,
    /// Pixels before cropping: what a decoder has to allocate.
    pub coded_pixels: u64,
    /// How lines may be coded.
    pub interlacing: Interlacing,
    /// Colour matrix of the VUI; where it says nothing, BT.709 above standard definition and BT.601 otherwise, as
    /// players do.
    pub matrix: Matrix,
    /// Whether black is 0 and white 255, not 16 and 235.
    pub full_range: bool,
    /// Width of `frame_num` in slice headers, in bits.
    frame_number_bits: u32,
}

/// A parameter set may be long, but all that matters stands in front.
const MAX_BYTES: usize = 1024;

/// The longer side that level 6.2 allows, in macroblocks (H.264 A.3.1).
const MAX_SIDE: u32 = 1056;

impl Format {
    /// Reads a sequence parameter set, its NAL unit header first.
    ///
    /// # Errors
    /// [`Reason::Chroma`] and [`Reason::BitDepth`] for formats that no picture is made of, [`Reason::ParameterSets`] for
    /// a set that cannot be read.
    pub fn parse(nal: &[u8]) -> Result<Self, Refusal> {
        let rbsp = unescape(nal, MAX_BYTES);
        let mut bits = BitReader::new(&rbsp);
        read(&mut bits).unwrap_or_else(|end| Err(broken(format!("SPS too short: {end}"))))
    }

    /// Whether this slice, its NAL unit header first, belongs to a field picture (H.264 7.3.3).
    pub fn is_field(&self, slice: &[u8]) -> bool {
        let read = || -> Result<bool, UnexpectedEnd> {
            let rbsp = unescape(slice, 32);
            let mut bits = BitReader::new(&rbsp);
            bits.skip(8)?;
            for _ in ["first_mb_in_slice", "slice_type", "pic_parameter_set_id"] {
                bits.unsigned_golomb()?;
            }
            bits.bits(self.frame_number_bits)?;
            bits.bit()
        };
        self.interlacing != Interlacing::Progressive && read().unwrap_or(false)
    }
}

fn broken(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::ParameterSets, detail)
}

/// The outer result is about the bits, the inner one about what they say.
fn read(bits: &mut BitReader<'_>) -> Result<Result<Format, Refusal>, UnexpectedEnd> {
    bits.skip(8)?;
    let profile = u8::try_from(bits.bits(8)?).unwrap_or(0);
    bits.skip(16)?;
    bits.unsigned_golomb()?;
    if has_chroma_info(profile.into())
        && let Err(refusal) = chroma(bits)?
    {
        return Ok(Err(refusal));
    }
    let frame_number_bits = bits.unsigned_golomb()?.saturating_add(4);
    if frame_number_bits > 16 {
        return Ok(Err(broken("log2_max_frame_num above 16")));
    }
    if !skip_picture_order_count(bits)? {
        return Ok(Err(broken("impossible picture order count")));
    }
    bits.unsigned_golomb()?;
    bits.skip(1)?;
    let (columns, rows) = (bits.unsigned_golomb()?, bits.unsigned_golomb()?);
    if columns >= MAX_SIDE || rows >= MAX_SIDE {
        return Ok(Err(broken(format!("{columns} x {rows} macroblocks"))));
    }
    let frames_only = bits.bit()?;
    let interlacing = match (frames_only, !frames_only && bits.bit()?) {
        (true, _) => Interlacing::Progressive,
        (false, false) => Interlacing::PerPicture,
        (false, true) => Interlacing::PerMacroblock,
    };
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let (full_width, full_height) = ((columns + 1) * 16, (rows + 1) * 16 * fields);
    let (mut crop_x, mut crop_y) = (0_u64, 0_u64);
    if bits.bit()? {
        crop_x = (u64::from(bits.unsigned_golomb()?) + u64::from(bits.unsigned_golomb()?)) * 2;
        crop_y = (u64::from(bits.unsigned_golomb()?) + u64::from(bits.unsigned_golomb()?)) * 2 * u64::from(fields);
    }
    let left =
        |full: u32, crop: u64| u32::try_from(crop).ok().and_then(|crop| full.checked_sub(crop)).filter(|n| *n > 0);
    let (Some(width), Some(height)) = (left(full_width, crop_x), left(full_height, crop_y)) else {
        return Ok(Err(broken(format!("crops {crop_x} x {crop_y} of {full_width} x {full_height}"))));
    };
    // A torn VUI says nothing against the size in front of it.
    let signal = video_signal(bits).unwrap_or_default();
    let Some(matrix) = Matrix::of_vui(signal.matrix, width, height) else {
        return Ok(Err(Refusal::new(Reason::Unsupported, format!("matrix_coefficients {}", signal.matrix))));
    };
    let coded_pixels = u64::from(full_width) * u64::from(full_height);
    Ok(Ok(Format {
        profile,
        width,
        height,
        coded_pixels,
        interlacing,
        matrix,
        full_range: signal.full_range,
        frame_number_bits,
    }))
}

fn chroma(bits: &mut BitReader<'_>) -> Result<Result<(), Refusal>, UnexpectedEnd> {
    let format = bits.unsigned_golomb()?;
    if format != 1 {
        let name = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"].get(format as usize).unwrap_or(&"unknown");
        return Ok(Err(Refusal::new(Reason::Chroma, format!("chroma format {name}, only 4:2:0 is decoded"))));
    }
    let (luma, chroma) = (bits.unsigned_golomb()?, bits.unsigned_golomb()?);
    if luma != 0 || chroma != 0 {
        let (luma, chroma) = (luma.saturating_add(8), chroma.saturating_add(8));
        let detail = format!("{luma} bit luma, {chroma} bit chroma, only 8 bit is decoded");
        return Ok(Err(Refusal::new(Reason::BitDepth, detail)));
    }
    if bits.bit()? {
        return Ok(Err(Refusal::new(Reason::Unsupported, "lossless coding (qpprime_y_zero_transform_bypass)")));
    }
    if bits.bit()? {
        for index in 0..8 {
            if bits.bit()? {
                skip_scaling_list(bits, if index < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(Ok(()))
}

/// Whether the fields were possible.
fn skip_picture_order_count(bits: &mut BitReader<'_>) -> Result<bool, UnexpectedEnd> {
    match bits.unsigned_golomb()? {
        0 => Ok(bits.unsigned_golomb()? <= 12),
        1 => {
            bits.skip(1)?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            let cycle = bits.unsigned_golomb()?;
            if cycle > 255 {
                return Ok(false);
            }
            for _ in 0..cycle {
                bits.signed_golomb()?;
            }
            Ok(true)
        }
        2 => Ok(true),
        _ => Ok(false),
    }
}

fn video_signal(bits: &mut BitReader<'_>) -> Result<VideoSignal, UnexpectedEnd> {
    if bits.bit()? { VideoSignal::read(bits) } else { Ok(VideoSignal::default()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(hex: &str) -> Result<Format, Refusal> {
        let bytes: Vec<u8> = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        Format::parse(&bytes)
    }

    #[test]
    fn sizes_cropping_and_interlacing() {
        for (name, hex, width, height, coded, interlacing, matrix) in [
            (
                "1080p cropped from 1088",
                "67 64 00 28 ac d9 40 78 02 27 e5 c0 44 00 00 03 00 04 00 00 03 00 c8 3c 60 c6 58",
                1920,
                1080,
                1920 * 1088,
                Interlacing::Progressive,
                Matrix::Bt709,
            ),
            (
                "352x288",
                "67 42 c0 0d d9 01 60 96 c0 84 00 00 03 00 04 00 00 03 00 f0 3c 50 a9 20",
                352,
                288,
                352 * 288,
                Interlacing::Progressive,
                Matrix::Bt601,
            ),
            (
                "1080i",
                "67 64 00 28 ac d9 40 78 04 4f df fe 00 06 00 08 20 00 00 03 00 20 00 00 06 43 e2 c5 b2 c0",
                1920,
                1080,
                1920 * 1088,
                Interlacing::PerMacroblock,
                Matrix::Bt709,
            ),
        ] {
            let format = parse(hex).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            assert_eq!((format.width, format.height, format.coded_pixels), (width, height, coded), "{name}");
            assert_eq!((format.interlacing, format.matrix, format.full_range), (interlacing, matrix, false), "{name}");
        }
    }

    #[test]
    fn formats_that_no_picture_is_made_of_are_named() {
        for (hex, reason, word) in [
            (
                "67 f4 00 0d 91 9b 28 2a 33 c2 11 9f f8 16 a0 1e 18 80 00 00 03 00 80 00 00 19 07 8a 14 cb",
                Reason::Chroma,
                "4:4:4",
            ),
            (
                "67 7a 00 0c bc d9 41 41 9f 8d ff c0 00 c0 01 04 00 00 03 00 04 00 00 03 00 c8 3c 50 a6 58",
                Reason::Chroma,
                "4:2:2",
            ),
            ("67", Reason::ParameterSets, "short"),
        ] {
            let refusal = parse(hex).unwrap_err();
            assert_eq!(refusal.reason, reason);
            assert!(refusal.detail.contains(word), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_sets_never_panic(profile in prop_oneof![Just(66_u8), Just(100), Just(110)], rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![0x67, profile, 0, 31];
            bytes.extend(rest);
            if let Ok(format) = Format::parse(&bytes) {
                prop_assert!(format.width > 0 && format.height > 0);
                prop_assert!(u64::from(format.width) * u64::from(format.height) <= format.coded_pixels);
            }
            let _ = Format::parse(&bytes).map(|format| format.is_field(&bytes));
        }
    }
}
