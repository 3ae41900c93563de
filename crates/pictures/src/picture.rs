//! A decoded picture: planes of 8 bit 4:2:0, and what their numbers mean.

use crate::matrix::Matrix;

/// Planar 4:2:0 without padding. Chroma planes are half as wide and high, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    planes: [Vec<u8>; 3],
    /// Colour matrix of the numbers.
    pub matrix: Matrix,
    /// Whether black is 0 and white 255, not 16 and 235.
    pub full_range: bool,
}

impl Picture {
    /// Takes the planes Y, Cb and Cr; `None` unless their lengths fit the size and the size is not empty.
    pub fn new(width: u32, height: u32, planes: [Vec<u8>; 3], matrix: Matrix, full_range: bool) -> Option<Self> {
        let fits = (0..3).all(|index| planes.get(index).map(Vec::len) == plane_len(width, height, index));
        (fits && width > 0 && height > 0).then_some(Self { width, height, planes, matrix, full_range })
    }

    /// A picture of one colour, given as (Y, Cb, Cr) in full range BT.601.
    pub fn filled(width: u32, height: u32, colour: [u8; 3]) -> Option<Self> {
        let plane = |index: usize| Some(vec![*colour.get(index)?; plane_len(width, height, index)?]);
        Self::new(width, height, [plane(0)?, plane(1)?, plane(2)?], Matrix::Bt601, true)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The planes Y, Cb and Cr.
    pub fn planes(&self) -> [&[u8]; 3] {
        let [y, cb, cr] = &self.planes;
        [y, cb, cr]
    }

    /// Width and height of a plane; 0 is luma.
    pub fn plane_size(&self, index: usize) -> (u32, u32) {
        plane_size(self.width, self.height, index)
    }

    pub(crate) fn planes_mut(&mut self) -> &mut [Vec<u8>; 3] {
        &mut self.planes
    }

    /// One row of a plane; empty outside of it.
    pub(crate) fn row(&self, plane: usize, y: u32) -> &[u8] {
        let (width, _) = self.plane_size(plane);
        let start = y as usize * width as usize;
        self.planes.get(plane).and_then(|bytes| bytes.get(start..start + width as usize)).unwrap_or_default()
    }
}

/// Width and height of a plane of a picture.
pub(crate) fn plane_size(width: u32, height: u32, index: usize) -> (u32, u32) {
    if index == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) }
}

fn plane_len(width: u32, height: u32, index: usize) -> Option<usize> {
    let (width, height) = plane_size(width, height, index);
    usize::try_from(u64::from(width).checked_mul(u64::from(height))?).ok()
}
