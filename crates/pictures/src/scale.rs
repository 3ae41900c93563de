//! Scaling and turning of planes.

use crate::picture::{Picture, plane_size};
use crate::refusal::{Reason, Refusal};
use crate::shape::{Shape, Size};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Gives a picture its shape. Planes are scaled one by one, each pixel an average of all that it covers.
///
/// # Errors
/// [`Reason::Size`] as [`SizeRule::apply`](crate::SizeRule::apply).
pub fn scale(picture: Picture, shape: Shape) -> Result<Picture, Refusal> {
    let video = Size { width: picture.width(), height: picture.height() };
    let size = shape.size.apply(video)?;
    let picture = if size == video { picture } else { resize(&picture, size)? };
    if shape.rotation.turns(size) { turn(&picture) } else { Ok(picture) }
}

fn resize(picture: &Picture, size: Size) -> Result<Picture, Refusal> {
    let mut resizer = Resizer::new();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let mut plane = |index: usize| -> Result<Vec<u8>, Refusal> {
        let (width, height) = picture.plane_size(index);
        let bytes = picture.planes().get(index).copied().unwrap_or_default();
        let source = ImageRef::new(width, height, bytes, PixelType::U8).map_err(failed)?;
        let (width, height) = plane_size(size.width, size.height, index);
        let mut target = Image::new(width, height, PixelType::U8);
        resizer.resize(&source, &mut target, &options).map_err(failed)?;
        Ok(target.into_vec())
    };
    let planes = [plane(0)?, plane(1)?, plane(2)?];
    Picture::new(size.width, size.height, planes, picture.matrix, picture.full_range).ok_or_else(|| failed("planes"))
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Size, format!("scaling: {error}"))
}

/// Clockwise by 90 degrees.
fn turn(picture: &Picture) -> Result<Picture, Refusal> {
    let plane = |index: usize| -> Vec<u8> {
        let (width, height) = picture.plane_size(index);
        let bytes = picture.planes().get(index).copied().unwrap_or_default();
        let column = |x: u32| {
            (0..height).rev().map(move |y| bytes.get(y as usize * width as usize + x as usize).copied().unwrap_or(0))
        };
        (0..width).flat_map(column).collect()
    };
    let planes = [plane(0), plane(1), plane(2)];
    Picture::new(picture.height(), picture.width(), planes, picture.matrix, picture.full_range)
        .ok_or_else(|| failed("planes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::shape::{Rotation, SizeRule};

    fn ramp(width: u32, height: u32) -> Picture {
        let plane = |index: usize| {
            let (width, height) = plane_size(width, height, index);
            (0..height).flat_map(|y| (0..width).map(move |x| (x * 10 + y) as u8)).collect()
        };
        Picture::new(width, height, [plane(0), plane(1), plane(2)], Matrix::Bt709, false).unwrap()
    }

    #[test]
    fn turning_moves_the_lower_left_corner_to_the_upper_left() {
        let shape = Shape { size: SizeRule::Source, rotation: Rotation::Portrait };
        let turned = scale(ramp(3, 2), shape).unwrap();
        assert_eq!((turned.width(), turned.height()), (2, 3));
        assert_eq!(turned.planes()[0], [1, 0, 11, 10, 21, 20]);
        assert_eq!(turned.planes()[1].len(), 2);
    }

    #[test]
    fn scaling_keeps_flat_areas_and_averages() {
        let flat = Picture::filled(64, 36, [77, 100, 200]).unwrap();
        let shape = Shape { size: SizeRule::Sides { width: 13, height: 0 }, ..Shape::default() };
        let small = scale(flat, shape).unwrap();
        assert_eq!((small.width(), small.height()), (13, 7));
        assert!(small.planes()[0].iter().all(|y| *y == 77) && small.planes()[2].iter().all(|cr| *cr == 200));
        let stripes =
            Picture::new(4, 2, [vec![0, 200, 0, 200, 0, 200, 0, 200], vec![1; 2], vec![1; 2]], Matrix::Bt601, true);
        let half = Shape { size: SizeRule::Sides { width: 2, height: 1 }, ..Shape::default() };
        let small = scale(stripes.unwrap(), half).unwrap();
        assert!(small.planes()[0].iter().all(|y| (80..=120).contains(y)), "{small:?}");
    }

    #[test]
    fn one_pixel_is_possible() {
        let shape = Shape { size: SizeRule::Sides { width: 1, height: 1 }, ..Shape::default() };
        assert_eq!(scale(ramp(21, 17), shape).unwrap().planes().map(<[u8]>::len), [1, 1, 1]);
    }
}
