//! `x-oss-process=video/storyboard,…`: what a storyboard shall be. An operation of this server, in the manner of OSS's.

use crate::process::ProcessError;
use crate::storyboard::StoryboardLayout;
use std::str::FromStr;

/// What a storyboard shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoryboardRequest {
    /// Distance between thumbnails in milliseconds; it grows where a video would need too many.
    pub interval_ms: u64,
    /// How sheets are laid out.
    pub layout: StoryboardLayout,
}

impl Default for StoryboardRequest {
    /// A thumbnail of 160 x 90 each ten seconds.
    fn default() -> Self {
        Self { interval_ms: 10_000, layout: StoryboardLayout::default() }
    }
}

/// Sides of a thumbnail, in pixels: ten times ten of the largest make a sheet that players can hold.
const SIDES: std::ops::RangeInclusive<u32> = 16..=400;

/// Seconds between thumbnails.
const INTERVALS: std::ops::RangeInclusive<u32> = 1..=3600;

impl FromStr for StoryboardRequest {
    type Err = ProcessError;

    /// Reads the value of `x-oss-process` after URL decoding: `interval_SECONDS`, `w_PIXELS`, `h_PIXELS`, each at most once.
    fn from_str(value: &str) -> Result<Self, ProcessError> {
        let mut parts = value.split(',');
        if parts.next() != Some("video/storyboard") {
            return Err(ProcessError::NotBuilt);
        }
        let (mut interval, mut width, mut height) = (None, None, None);
        for part in parts {
            let (name, value) = part.split_once('_').ok_or(ProcessError::Form)?;
            let (slot, bounds) = match name {
                "interval" => (&mut interval, INTERVALS),
                "w" => (&mut width, SIDES),
                "h" => (&mut height, SIDES),
                _ => return Err(ProcessError::Form),
            };
            let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|number| is_plain && bounds.contains(number));
            if slot.replace(number.ok_or(ProcessError::Form)?).is_some() {
                return Err(ProcessError::Form);
            }
        }
        let plain = Self::default();
        let layout = StoryboardLayout {
            width: width.unwrap_or(plain.layout.width),
            height: height.unwrap_or(plain.layout.height),
            ..plain.layout
        };
        Ok(Self { interval_ms: interval.map_or(plain.interval_ms, |seconds| u64::from(seconds) * 1000), layout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let read = |text: &str| text.parse::<StoryboardRequest>();
        assert_eq!(read("video/storyboard"), Ok(StoryboardRequest::default()));
        let small =
            read("video/storyboard,interval_2,h_400,w_16").map(|r| (r.interval_ms, r.layout.width, r.layout.height));
        assert_eq!(small, Ok((2000, 16, 400)));
        for text in
            ["", ",", ",w_15", ",w_401", ",h_+20", ",interval_0", ",interval_1,interval_1", ",x_1", ",w20", ",w_"]
        {
            let expected = if text.is_empty() { Ok(StoryboardRequest::default()) } else { Err(ProcessError::Form) };
            assert_eq!(read(&format!("video/storyboard{text}")), expected, "{text}");
        }
        assert_eq!(read("video/snapshot"), Err(ProcessError::NotBuilt));
        assert!(crate::Storyboard::new(read("video/storyboard,w_400,h_400").unwrap().layout).is_ok());
    }
}
