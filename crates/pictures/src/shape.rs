//! How large a picture shall be and which way up.

use crate::refusal::{Reason, Refusal};

/// Width and height in pixels, neither zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Which size a picture is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeRule {
    /// That of the video.
    #[default]
    Source,
    /// `w` and `h` of OSS: zero follows from the other side by the aspect ratio, two sides stretch. Neither may be
    /// larger than the video's.
    Sides {
        /// Width or zero.
        width: u32,
        /// Height or zero.
        height: u32,
    },
    /// `l` and `s` of OSS: the same for the longer and the shorter side.
    Edges {
        /// Longer side or zero.
        long: u32,
        /// Shorter side or zero.
        short: u32,
    },
    /// The largest size of the same aspect ratio within a box; never larger than the video.
    Within {
        /// Width of the box.
        width: u32,
        /// Height of the box.
        height: u32,
    },
}

/// Whether a scaled picture is turned (`ar` of OSS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As the video says. Transport streams say nothing, so it stays as it is.
    #[default]
    Auto,
    /// Clockwise by 90 degrees if it is wider than high.
    Portrait,
    /// Clockwise by 90 degrees if it is higher than wide.
    Landscape,
}

/// Size and rotation together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The size before turning.
    pub size: SizeRule,
    /// Whether it is turned then.
    pub rotation: Rotation,
}

impl SizeRule {
    /// The size of a picture of a video of this size.
    ///
    /// # Errors
    /// [`Reason::Size`] when a side is larger than the video's; the detail begins with OSS's name of the parameter and a
    /// space.
    pub fn apply(self, video: Size) -> Result<Size, Refusal> {
        match self {
            Self::Source => Ok(video),
            Self::Sides { width, height } => {
                let width = side("w", width, video.width)?;
                let height = side("h", height, video.height)?;
                Ok(fill(width, height, video))
            }
            Self::Edges { long, short } => {
                let wide = video.width >= video.height;
                let (longest, shortest) = if wide { (video.width, video.height) } else { (video.height, video.width) };
                let (long, short) = (side("l", long, longest)?, side("s", short, shortest)?);
                Ok(if wide { fill(long, short, video) } else { fill(short, long, video) })
            }
            Self::Within { width, height } => Ok(within(width.max(1), height.max(1), video)),
        }
    }
}

impl Rotation {
    /// Whether a picture of this size is turned by 90 degrees.
    pub fn turns(self, size: Size) -> bool {
        match self {
            Self::Auto => false,
            Self::Portrait => size.width > size.height,
            Self::Landscape => size.height > size.width,
        }
    }
}

fn side(name: &str, asked: u32, most: u32) -> Result<Option<u32>, Refusal> {
    if asked > most {
        return Err(Refusal::new(Reason::Size, format!("{name} {asked} is more than the video's {most}")));
    }
    Ok((asked > 0).then_some(asked))
}

/// A missing side follows from the other; at least one pixel.
fn fill(width: Option<u32>, height: Option<u32>, video: Size) -> Size {
    match (width, height) {
        (None, None) => video,
        (Some(width), None) => Size { width, height: share(video.height, width, video.width) },
        (None, Some(height)) => Size { width: share(video.width, height, video.height), height },
        (Some(width), Some(height)) => Size { width, height },
    }
}

fn within(width: u32, height: u32, video: Size) -> Size {
    if video.width <= width && video.height <= height {
        return video;
    }
    let by_width = Size { width, height: share(video.height, width, video.width) };
    if by_width.height <= height { by_width } else { fill(None, Some(height), video) }
}

/// `value * part / whole` to the nearest, at least one.
fn share(value: u32, part: u32, whole: u32) -> u32 {
    let whole = u64::from(whole.max(1));
    let scaled = (u64::from(value) * u64::from(part) + whole / 2) / whole;
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn table_of_sizes() {
        let (wide, high) = (size(1920, 1080), size(720, 1280));
        for (rule, video, expected) in [
            (SizeRule::Source, wide, size(1920, 1080)),
            (SizeRule::Sides { width: 0, height: 0 }, wide, size(1920, 1080)),
            (SizeRule::Sides { width: 800, height: 600 }, wide, size(800, 600)),
            (SizeRule::Sides { width: 800, height: 0 }, wide, size(800, 450)),
            (SizeRule::Sides { width: 0, height: 600 }, wide, size(1067, 600)),
            (SizeRule::Sides { width: 1, height: 0 }, wide, size(1, 1)),
            (SizeRule::Edges { long: 800, short: 0 }, wide, size(800, 450)),
            (SizeRule::Edges { long: 800, short: 0 }, high, size(450, 800)),
            (SizeRule::Edges { long: 0, short: 360 }, high, size(360, 640)),
            (SizeRule::Within { width: 160, height: 90 }, wide, size(160, 90)),
            (SizeRule::Within { width: 160, height: 90 }, high, size(51, 90)),
            (SizeRule::Within { width: 4000, height: 4000 }, high, size(720, 1280)),
        ] {
            assert_eq!(rule.apply(video), Ok(expected), "{rule:?}");
        }
        for (rule, name) in [
            (SizeRule::Sides { width: 1921, height: 0 }, "w "),
            (SizeRule::Sides { width: 0, height: 1081 }, "h "),
            (SizeRule::Edges { long: 1921, short: 0 }, "l "),
            (SizeRule::Edges { long: 0, short: 1081 }, "s "),
        ] {
            let refusal = rule.apply(wide).unwrap_err();
            assert!(refusal.reason == Reason::Size && refusal.detail.starts_with(name), "{refusal}");
        }
    }

    #[test]
    fn rotation_turns_only_what_lies_wrong() {
        assert!(!Rotation::Auto.turns(size(2, 1)));
        assert!(Rotation::Portrait.turns(size(2, 1)) && !Rotation::Portrait.turns(size(1, 2)));
        assert!(Rotation::Landscape.turns(size(1, 2)) && !Rotation::Landscape.turns(size(1, 1)));
    }

    proptest! {
        #[test]
        fn no_picture_is_larger_than_the_video_or_empty(width in 1_u32..5000, height in 1_u32..5000, a in 0_u32..6000, b in 0_u32..6000) {
            let video = size(width, height);
            for rule in [SizeRule::Edges { long: a, short: b }, SizeRule::Within { width: a, height: b }] {
                if let Ok(got) = rule.apply(video) {
                    prop_assert!(got.width >= 1 && got.height >= 1);
                    prop_assert!(got.width <= width && got.height <= height, "{rule:?} of {video:?} is {got:?}");
                }
            }
        }
    }
}
