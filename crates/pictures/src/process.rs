//! `x-oss-process=video/snapshot,…`: OSS's operation that answers a picture of a video.
//!
//! Parameters are `name_value`, separated by commas, in any order, each at most once. Error codes and bounds are those of
//! the documentation's pages 0053-00000101 to 0053-00000109.

use crate::find::Mode;
use crate::job::{ImageFormat, Output};
use crate::refusal::{Reason, Refusal};
use crate::shape::{Rotation, Shape, SizeRule};
use std::str::FromStr;
use thiserror::Error;

/// Which picture of a video is asked for, and as what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// `t`: milliseconds from the start of the video; the first picture when it is missing.
    pub time_ms: u64,
    /// `m`: the exact picture, or with `fast` the key frame at or before it.
    pub mode: Mode,
    /// `f`: `jpg`, also when it is missing, or `png`.
    pub format: Format,
    /// `w` and `h`, or `l` and `s`; and `ar`.
    pub shape: Shape,
}

/// `f` of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `jpg`.
    #[default]
    Jpg,
    /// `png`.
    Png,
}

/// Why a process parameter is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProcessError {
    /// Another process, or a chain of several: 501 (decision D35).
    #[error("this process is not built")]
    NotBuilt,
    /// A parameter of `video/snapshot` with an impossible value: 400 InvalidArgument with that code.
    #[error("The {parameter} parameter of the video snapshot is invalid.")]
    Parameter {
        /// Name of the parameter as it stands in the request.
        parameter: &'static str,
        /// OSS's detailed code (EC).
        code: &'static str,
    },
    /// Not a list of `name_value`, an unknown name, or one given twice: 400 InvalidArgument.
    #[error("The parameters of the video snapshot are invalid.")]
    Form,
}

impl ProcessError {
    /// OSS's detailed error code; `None` for a process that is not built.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::NotBuilt => None,
            Self::Parameter { code, .. } => Some(code),
            Self::Form => Some("0053-00000109"),
        }
    }

    /// The error that a refusal of the size is: OSS bounds `w`, `h`, `l` and `s` by the video, so that they can only be
    /// judged once it was opened. `None` for other refusals.
    pub fn of_refusal(refusal: &Refusal) -> Option<Self> {
        if refusal.reason != Reason::Size {
            return None;
        }
        let name = refusal.detail.split(' ').next()?;
        NAMES.iter().find(|(known, _)| *known == name).map(|(parameter, code)| Self::Parameter { parameter, code })
    }
}

/// Names of parameters with the codes of their errors.
const NAMES: [(&str, &str); 8] = [
    ("t", "0053-00000101"),
    ("l", "0053-00000102"),
    ("s", "0053-00000103"),
    ("w", "0053-00000104"),
    ("h", "0053-00000105"),
    ("m", "0053-00000106"),
    ("f", "0053-00000107"),
    ("ar", "0053-00000108"),
];

/// No parameter value is longer.
const MAX_DIGITS: usize = 15;

/// No picture has a longer side (H.264 level 6.2).
const MAX_SIDE: u64 = 16_896;

/// Values as they were given.
#[derive(Clone, Copy, Debug, Default)]
struct Given<'a>([Option<&'a str>; 8]);

impl<'a> Given<'a> {
    fn read(list: &'a str) -> Result<Self, ProcessError> {
        let mut given = Self::default();
        for part in list.split(',') {
            let (name, value) = part.split_once('_').ok_or(ProcessError::Form)?;
            let index = NAMES.iter().position(|(known, _)| *known == name).ok_or(ProcessError::Form)?;
            let slot = given.0.get_mut(index).ok_or(ProcessError::Form)?;
            if slot.replace(value).is_some() {
                return Err(ProcessError::Form);
            }
        }
        Ok(given)
    }

    /// The value of a parameter, put through `read`; `None` where it was not given.
    fn value<T>(&self, name: &str, read: impl Fn(&'a str) -> Option<T>) -> Result<Option<T>, ProcessError> {
        let Some(index) = NAMES.iter().position(|(known, _)| *known == name) else { return Ok(None) };
        let (Some(Some(value)), Some((parameter, code))) = (self.0.get(index), NAMES.get(index)) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or(ProcessError::Parameter { parameter, code })
    }

    fn side(&self, name: &str) -> Result<Option<u32>, ProcessError> {
        self.value(name, |value| {
            number(value).filter(|side| *side <= MAX_SIDE).and_then(|side| u32::try_from(side).ok())
        })
    }
}

/// Decimal digits and nothing else.
fn number(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= MAX_DIGITS && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}

impl FromStr for SnapshotRequest {
    type Err = ProcessError;

    /// Reads the value of `x-oss-process` after URL decoding.
    fn from_str(value: &str) -> Result<Self, ProcessError> {
        let (process, list) = value.split_once(',').map_or((value, None), |(process, list)| (process, Some(list)));
        // A `|` begins the next process of a chain, such as `sys/saveas`.
        if process != "video/snapshot" || value.contains('|') {
            return Err(ProcessError::NotBuilt);
        }
        let given = list.map(Given::read).transpose()?.unwrap_or_default();
        let time_ms = given.value("t", number)?.unwrap_or(0);
        let fast = |value| (value == "fast").then_some(Mode::KeyFrame);
        let mode = given.value("m", fast)?.unwrap_or_default();
        let format = |value| match value {
            "jpg" => Some(Format::Jpg),
            "png" => Some(Format::Png),
            _ => None,
        };
        let format = given.value("f", format)?.unwrap_or_default();
        let rotation = |value| match value {
            "auto" => Some(Rotation::Auto),
            "h" => Some(Rotation::Portrait),
            "w" => Some(Rotation::Landscape),
            _ => None,
        };
        let rotation = given.value("ar", rotation)?.unwrap_or_default();
        let (width, height) = (given.side("w")?, given.side("h")?);
        let (long, short) = (given.side("l")?, given.side("s")?);
        let size = match (width.or(height), long.or(short)) {
            (None, None) => SizeRule::Source,
            (Some(_), None) => SizeRule::Sides { width: width.unwrap_or(0), height: height.unwrap_or(0) },
            (None, Some(_)) => SizeRule::Edges { long: long.unwrap_or(0), short: short.unwrap_or(0) },
            (Some(_), Some(_)) => return Err(ProcessError::Form),
        };
        Ok(Self { time_ms, mode, format, shape: Shape { size, rotation } })
    }
}

impl SnapshotRequest {
    /// What a decoder is asked for; `quality` is 1 to 100 and matters for JPEG.
    pub fn output(&self, quality: u8) -> Output {
        let format = match self.format {
            Format::Jpg => ImageFormat::Jpeg,
            Format::Png => ImageFormat::Png,
        };
        Output { format, quality, shape: self.shape }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &str) -> Result<SnapshotRequest, ProcessError> {
        value.parse()
    }

    #[test]
    fn requests() {
        let sides = |width, height| Shape { size: SizeRule::Sides { width, height }, rotation: Rotation::Auto };
        let plain = SnapshotRequest::default();
        for (value, expected) in [
            ("video/snapshot", plain),
            ("video/snapshot,t_0", plain),
            (
                "video/snapshot,t_7000,f_jpg,w_800,h_600,m_fast",
                SnapshotRequest { time_ms: 7000, mode: Mode::KeyFrame, shape: sides(800, 600), ..plain },
            ),
            (
                "video/snapshot,t_7000,f_jpg,w_800,h_600,m_fast,ar_auto",
                SnapshotRequest { time_ms: 7000, mode: Mode::KeyFrame, shape: sides(800, 600), ..plain },
            ),
            ("video/snapshot,f_png,t_50", SnapshotRequest { time_ms: 50, format: Format::Png, ..plain }),
            ("video/snapshot,w_0,h_0", SnapshotRequest { shape: sides(0, 0), ..plain }),
            ("video/snapshot,h_360", SnapshotRequest { shape: sides(0, 360), ..plain }),
            (
                "video/snapshot,l_800,ar_h",
                SnapshotRequest {
                    shape: Shape { size: SizeRule::Edges { long: 800, short: 0 }, rotation: Rotation::Portrait },
                    ..plain
                },
            ),
        ] {
            assert_eq!(parse(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn errors_have_the_documented_codes() {
        for (value, code) in [
            ("video/snapshot,t_-32,f_jpg,w_800,h_600", "0053-00000101"),
            ("video/snapshot,t_", "0053-00000101"),
            ("video/snapshot,t_1e3", "0053-00000101"),
            ("video/snapshot,t_9999999999999999", "0053-00000101"),
            ("video/snapshot,t_3000,f_jpg,l_-800,s_600", "0053-00000102"),
            ("video/snapshot,s_+1", "0053-00000103"),
            ("video/snapshot,t_3000,f_jpg,w_-800,h_600", "0053-00000104"),
            ("video/snapshot,t_3000,f_jpg,w_800,h_-600", "0053-00000105"),
            ("video/snapshot,h_16897", "0053-00000105"),
            ("video/snapshot,t_3000,f_jpg,w_800,h_600,m_32", "0053-00000106"),
            ("video/snapshot,t_3000,f_32,w_800,h_600", "0053-00000107"),
            ("video/snapshot,f_JPG", "0053-00000107"),
            ("video/snapshot,t_3000,f_jpg,w_800,h_600,ar_32", "0053-00000108"),
            ("video/snapshot,", "0053-00000109"),
            ("video/snapshot,t_1,", "0053-00000109"),
            ("video/snapshot,t7000", "0053-00000109"),
            ("video/snapshot,t_1,t_1", "0053-00000109"),
            ("video/snapshot,q_80", "0053-00000109"),
            ("video/snapshot,w_8,l_8", "0053-00000109"),
        ] {
            assert_eq!(parse(value).map_err(ProcessError::code), Err(Some(code)), "{value}");
        }
        for value in [
            "",
            "video/info",
            "image/resize,w_1",
            "video/snapshot|sys/saveas,o_x",
            "video/snapshot,t_1|sys/saveas",
            "hls/sign",
            "VIDEO/snapshot",
        ] {
            assert_eq!(parse(value), Err(ProcessError::NotBuilt), "{value}");
        }
    }

    #[test]
    fn a_size_beyond_the_video_has_the_code_of_its_parameter() {
        let refusal = Refusal::new(Reason::Size, "h 1081 is more than the video's 1080");
        assert_eq!(ProcessError::of_refusal(&refusal).and_then(ProcessError::code), Some("0053-00000105"));
        assert_eq!(ProcessError::of_refusal(&Refusal::new(Reason::Size, "scaling: x")), None);
        assert_eq!(ProcessError::of_refusal(&Refusal::new(Reason::Broken, "h 1")), None);
    }

    proptest! {
        #[test]
        fn order_does_not_matter(parts in Just(vec!["t_7000", "f_png", "w_80", "h_60", "m_fast", "ar_w"]).prop_shuffle()) {
            let value = format!("video/snapshot,{}", parts.join(","));
            prop_assert_eq!(parse(&value), parse("video/snapshot,t_7000,f_png,w_80,h_60,m_fast,ar_w"));
        }

        #[test]
        fn no_text_is_too_odd(value in "(video/snapshot)?[,_a-z0-9|\\PC]{0,40}") {
            let _ = parse(&value);
        }
    }
}
