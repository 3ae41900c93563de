//! What a decoder is asked for, and what it gives.

use crate::format::{Format, Interlacing};
use crate::matrix::Matrix;
use crate::picture::{Picture, plane_size};
use crate::refusal::{Reason, Refusal};
use crate::shape::Shape;
use bytes::Bytes;

/// File format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// `image/jpeg`.
    Jpeg,
    /// `image/png`.
    Png,
    /// Planes Y, Cb, Cr of JFIF one after the other: for storyboards.
    Planes,
}

impl ImageFormat {
    /// Media type for `Content-Type`; empty for planes, which nobody is sent.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Planes => "",
        }
    }
}

/// What the image shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// File format.
    pub format: ImageFormat,
    /// 1 to 100, for JPEG only.
    pub quality: u8,
    /// Size and rotation.
    pub shape: Shape,
}

impl Default for Output {
    /// A JPEG of the video's size at [`DEFAULT_QUALITY`](Self::DEFAULT_QUALITY).
    fn default() -> Self {
        Self { format: ImageFormat::Jpeg, quality: Self::DEFAULT_QUALITY, shape: Shape::default() }
    }
}

impl Output {
    /// Keeps even noisy pictures above 40 dB of what was decoded (docs/design/snapshots.md has the figures).
    pub const DEFAULT_QUALITY: u8 = 95;
}

/// An image that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// File format of the bytes.
    pub format: ImageFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file, or the planes.
    pub bytes: Bytes,
}

impl Image {
    /// The picture of an image of [`ImageFormat::Planes`], in the numbers of JFIF; `None` for other formats.
    pub fn picture(&self) -> Option<Picture> {
        let mut rest = &self.bytes[..];
        let mut plane = |index: usize| -> Option<Vec<u8>> {
            let (width, height) = plane_size(self.width, self.height, index);
            let (plane, later) = rest.split_at_checked((width as usize).checked_mul(height as usize)?)?;
            rest = later;
            Some(plane.to_vec())
        };
        let planes = [plane(0)?, plane(1)?, plane(2)?];
        let is_planes = self.format == ImageFormat::Planes && rest.is_empty();
        is_planes.then(|| Picture::new(self.width, self.height, planes, Matrix::Bt601, true)).flatten()
    }
}

/// A picture to be made: access units in decode order, of which the last is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub(crate) units: Vec<Bytes>,
    pub(crate) output: Output,
}

/// What a job may be.
pub(crate) const MAX_UNITS: usize = 4096;

impl Job {
    /// A job of access units in Annex B, the first with its parameter sets in front. All but the last are only decoded
    /// because later ones refer to them.
    pub fn new(units: Vec<Bytes>, output: Output) -> Self {
        Self { units, output }
    }

    /// A job of one key frame: parameter sets and slices as NAL units without framing, in the order of the stream.
    pub fn of_key_frame<'a>(nals: impl IntoIterator<Item = &'a [u8]>, output: Output) -> Self {
        let mut unit = Vec::new();
        for nal in nals {
            unit.extend_from_slice(&[0, 0, 0, 1]);
            unit.extend_from_slice(nal);
        }
        Self { units: vec![Bytes::from(unit)], output }
    }

    /// What the image shall be.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Bytes of all access units.
    pub fn bytes(&self) -> usize {
        self.units.iter().map(Bytes::len).sum()
    }

    /// Looks at the parameter sets and first slices, without decoding: the format of the pictures, or the reason for
    /// which there will be none. Cheap: it reads a few hundred bytes of each unit behind a search for start codes.
    ///
    /// # Errors
    /// [`Reason::ParameterSets`], [`Reason::Chroma`], [`Reason::BitDepth`], [`Reason::Unsupported`], [`Reason::Pixels`].
    /// Interlaced video is no refusal here, since a worker may have an ffmpeg.
    pub fn inspect(&self, max_pixels: u64) -> Result<Format, Refusal> {
        inspect(&self.units, max_pixels).map(|inspected| inspected.format)
    }
}

pub(crate) struct Inspected {
    pub(crate) format: Format,
    /// Whether fields or MBAFF occur.
    pub(crate) is_interlaced: bool,
}

pub(crate) fn inspect(units: &[Bytes], max_pixels: u64) -> Result<Inspected, Refusal> {
    if units.len() > MAX_UNITS {
        return Err(Refusal::new(Reason::Bytes, format!("{} access units", units.len())));
    }
    let mut format: Option<Format> = None;
    let (mut has_pps, mut has_slice, mut has_fields) = (false, false, false);
    for nal in units.iter().flat_map(|unit| Nals::new(unit)) {
        match nal.first().map_or(0, |header| header & 0x1F) {
            7 => {
                let parsed = Format::parse(nal)?;
                if parsed.coded_pixels > max_pixels {
                    let (width, height) = (parsed.width, parsed.height);
                    let detail = format!("{width} x {height} pixels, the limit is {max_pixels} in all");
                    return Err(Refusal::new(Reason::Pixels, detail));
                }
                format = Some(parsed);
            }
            8 => has_pps = true,
            1 | 5 => {
                has_slice = true;
                has_fields = has_fields || format.is_some_and(|format| format.is_field(nal));
            }
            2..=4 => return Err(Refusal::new(Reason::Unsupported, "data partitioning")),
            _ => {}
        }
    }
    let Some(format) = format else {
        return Err(Refusal::new(Reason::ParameterSets, "no sequence parameter set"));
    };
    if !has_pps {
        return Err(Refusal::new(Reason::ParameterSets, "no picture parameter set"));
    }
    if !has_slice {
        return Err(Refusal::new(Reason::Broken, "no slice"));
    }
    Ok(Inspected { format, is_interlaced: has_fields || format.interlacing == Interlacing::PerMacroblock })
}

/// The NAL units of an access unit in Annex B, without start codes and trailing zeros.
pub(crate) struct Nals<'a> {
    rest: &'a [u8],
}

impl<'a> Nals<'a> {
    pub(crate) fn new(unit: &'a [u8]) -> Self {
        Self { rest: after_start_code(unit).unwrap_or_default() }
    }
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (nal, rest) = match find_start_code(self.rest) {
                Some(at) => (self.rest.get(..at)?, self.rest.get(at + 3..)?),
                None => (self.rest, Default::default()),
            };
            self.rest = rest;
            let end = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if let Some(nal) = nal.get(..end)
                && !nal.is_empty()
            {
                return Some(nal);
            }
        }
        None
    }
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(find_start_code(bytes)? + 3..)
}

/// Where the next `00 00 01` begins. Steps by three bytes while the third is larger than one.
fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let [a, b, c] = *bytes.get(at..at + 3)?.first_chunk::<3>()?;
        match (a, b, c) {
            (0, 0, 1) => return Some(at),
            (_, _, 2..) => at += 3,
            (_, 1.., _) => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nals(unit: &[u8]) -> Vec<Vec<u8>> {
        Nals::new(unit).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes() {
        assert_eq!(nals(&[9, 0, 0, 0, 1, 7, 8, 0, 0, 1, 5, 6, 0, 0, 0]), [vec![7, 8], vec![5, 6]]);
        assert!(nals(&[0, 0, 1]).is_empty() && nals(&[1, 2, 3]).is_empty() && nals(&[]).is_empty());
        assert_eq!(nals(&[0, 0, 1, 0, 0, 1, 5]), [vec![5]]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let sps = [
            0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x60, 0x96, 0xc0, 0x84, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xf0, 0x3c, 0x50,
            0xa9, 0x20,
        ];
        let check = |nals: &[&[u8]], limit: u64| {
            Job::of_key_frame(nals.iter().copied(), Output::default()).inspect(limit).map_err(|refusal| refusal.reason)
        };
        assert_eq!(check(&[], 1 << 24), Err(Reason::ParameterSets));
        assert_eq!(check(&[&sps], 1 << 24), Err(Reason::ParameterSets));
        assert_eq!(check(&[&sps, &[0x68, 1]], 1 << 24), Err(Reason::Broken));
        assert_eq!(check(&[&sps, &[0x68, 1], &[0x65, 0x88]], 100_000), Err(Reason::Pixels));
        assert_eq!(check(&[&sps, &[0x68, 1], &[0x65, 0x88]], 1 << 24).map(|format| format.width), Ok(352));
    }

    proptest! {
        #[test]
        fn splitting_what_was_joined_gives_the_same(list in prop::collection::vec(prop::collection::vec(2_u8.., 1..20), 1..6)) {
            let job = Job::of_key_frame(list.iter().map(Vec::as_slice), Output::default());
            prop_assert_eq!(nals(&job.units[0]), list);
        }

        #[test]
        fn any_bytes_are_inspected(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x67), any::<u8>()], 0..300)) {
            let _ = Job::new(vec![Bytes::from(bytes)], Output::default()).inspect(1 << 24);
        }
    }
}
