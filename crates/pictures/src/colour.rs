//! What the numbers of a picture mean, and the same picture in the numbers of JPEG or of a screen.
//!
//! JFIF knows one kind of numbers: BT.601, full range. Between two such kinds chroma depends on chroma alone, since grey is
//! grey in each of them, so that a picture stays 4:2:0 on the way and nothing is resampled.

use crate::matrix::Matrix;
use crate::picture::Picture;

/// Fixed-point fraction bits of the tables.
const FRACTION: u32 = 14;

/// One output number as a sum of three tables, one per input number.
struct Sum([[i32; 256]; 3]);

impl Sum {
    /// `factors` for luma and the colour differences, all in units of full scale; `offset` in output steps.
    fn new(input: &Ranges, factors: [f64; 3], offset: f64) -> Self {
        let one = f64::from(1_u32 << FRACTION);
        let table = |index: usize| {
            let mut table = [0_i32; 256];
            for (code, entry) in (0_u32..).zip(table.iter_mut()) {
                let value = if index == 0 { input.luma(code) } else { input.chroma(code) };
                let bias = if index == 0 { offset + 0.5 } else { 0.0 };
                let factor = factors.get(index).copied().unwrap_or_default();
                // At most a few hundred steps, so that it fits 32 bits with 14 of them behind the point.
                #[allow(clippy::cast_possible_truncation)]
                {
                    *entry = ((value * factor * 255.0 + bias) * one).round() as i32;
                }
            }
            table
        };
        Self([table(0), table(1), table(2)])
    }

    fn part(&self, index: usize, code: u8) -> i32 {
        self.0.get(index).and_then(|table| table.get(usize::from(code))).copied().unwrap_or_default()
    }

    fn chroma_part(&self, cb: u8, cr: u8) -> i32 {
        self.part(1, cb) + self.part(2, cr)
    }
}

fn to_byte(fixed: i32) -> u8 {
    u8::try_from((fixed >> FRACTION).clamp(0, 255)).unwrap_or(0)
}

/// How codes become values between 0 and 1, or -0.5 and 0.5.
struct Ranges {
    full: bool,
}

impl Ranges {
    fn luma(&self, code: u32) -> f64 {
        if self.full { f64::from(code) / 255.0 } else { (f64::from(code) - 16.0) / 219.0 }
    }

    fn chroma(&self, code: u32) -> f64 {
        (f64::from(code) - 128.0) / if self.full { 255.0 } else { 224.0 }
    }
}

/// Red, green and blue, each as factors of luma, Cb and Cr.
fn rgb_factors(matrix: Matrix) -> [[f64; 3]; 3] {
    let (red, blue) = matrix.weights();
    let green = 1.0 - red - blue;
    let (r_of_cr, b_of_cb) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
    [[1.0, 0.0, r_of_cr], [1.0, -blue / green * b_of_cb, -red / green * r_of_cr], [1.0, b_of_cb, 0.0]]
}

/// The same picture in the numbers of JFIF: BT.601, full range.
pub(crate) fn to_jfif(mut picture: Picture) -> Picture {
    if picture.matrix == Matrix::Bt601 && picture.full_range {
        return picture;
    }
    let input = Ranges { full: picture.full_range };
    let [r, g, b] = rgb_factors(picture.matrix);
    let (red, blue) = Matrix::Bt601.weights();
    let mix = |index: usize| {
        let at = |row: &[f64; 3]| row.get(index).copied().unwrap_or_default();
        let luma = red * at(&r) + (1.0 - red - blue) * at(&g) + blue * at(&b);
        (luma, (at(&b) - luma) / (2.0 * (1.0 - blue)), (at(&r) - luma) / (2.0 * (1.0 - red)))
    };
    let columns = [mix(0), mix(1), mix(2)];
    let luma = Sum::new(&input, columns.map(|column| column.0), 0.0);
    let cb_out = Sum::new(&input, columns.map(|column| column.1), 128.0);
    let cr_out = Sum::new(&input, columns.map(|column| column.2), 128.0);
    let (width, _) = picture.plane_size(0);
    let (half_width, _) = picture.plane_size(1);
    let [ys, cbs, crs] = picture.planes_mut();
    for (index, rows) in ys.chunks_mut(width as usize * 2).enumerate() {
        let start = index * half_width as usize;
        let end = start + half_width as usize;
        let (Some(cb_row), Some(cr_row)) = (cbs.get_mut(start..end), crs.get_mut(start..end)) else { break };
        for row in rows.chunks_mut(width as usize) {
            for (pair, (cb, cr)) in row.chunks_mut(2).zip(cb_row.iter().zip(cr_row.iter())) {
                let shift = luma.chroma_part(*cb, *cr);
                for y in pair {
                    *y = to_byte(luma.part(0, *y) + shift);
                }
            }
        }
        for (cb, cr) in cb_row.iter_mut().zip(cr_row.iter_mut()) {
            // Factors of luma are zero here; code 16 or 0 stands for it and carries the offset.
            let grey = if input.full { 0 } else { 16 };
            let (old_cb, old_cr) = (*cb, *cr);
            *cb = to_byte(cb_out.part(0, grey) + cb_out.chroma_part(old_cb, old_cr));
            *cr = to_byte(cr_out.part(0, grey) + cr_out.chroma_part(old_cb, old_cr));
        }
    }
    picture.matrix = Matrix::Bt601;
    picture.full_range = true;
    picture
}

/// Red, green and blue of each pixel, row by row. Each chroma sample serves its four pixels.
pub(crate) fn to_rgb(picture: &Picture) -> Vec<u8> {
    let input = Ranges { full: picture.full_range };
    let sums = rgb_factors(picture.matrix).map(|factors| Sum::new(&input, factors, 0.0));
    let (width, height) = picture.plane_size(0);
    let mut out = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        let (cbs, crs) = (picture.row(1, y / 2), picture.row(2, y / 2));
        for (pair, (cb, cr)) in picture.row(0, y).chunks(2).zip(cbs.iter().zip(crs)) {
            for luma in pair {
                out.extend(sums.iter().map(|sum| to_byte(sum.part(0, *luma) + sum.chroma_part(*cb, *cr))));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(colour: [u8; 3], matrix: Matrix, full_range: bool) -> Picture {
        let [y, cb, cr] = colour;
        Picture::new(2, 2, [vec![y; 4], vec![cb], vec![cr]], matrix, full_range).unwrap()
    }

    fn jfif(colour: [u8; 3], matrix: Matrix, full_range: bool) -> [u8; 3] {
        let picture = to_jfif(one(colour, matrix, full_range));
        picture.planes().map(|plane| plane[0])
    }

    #[test]
    fn grey_is_grey_in_every_matrix() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Smpte240, Matrix::Bt2020] {
            assert_eq!(jfif([16, 128, 128], matrix, false), [0, 128, 128]);
            assert_eq!(jfif([235, 128, 128], matrix, false), [255, 128, 128]);
            assert_eq!(jfif([126, 128, 128], matrix, true), [126, 128, 128]);
            assert_eq!(to_rgb(&one([235, 128, 128], matrix, false)), [255; 12]);
        }
    }

    #[test]
    fn full_range_bt601_passes_untouched() {
        assert_eq!(jfif([1, 2, 253], Matrix::Bt601, true), [1, 2, 253]);
    }

    /// The colour bars of BT.709 in studio range: what they are in red, green and blue, and as JFIF.
    #[test]
    fn bars_of_bt709() {
        for (bar, rgb, ycc) in [
            ([63, 102, 240], [255, 0, 0], [76, 85, 255]),
            ([173, 42, 26], [0, 255, 0], [150, 44, 21]),
            ([32, 240, 118], [0, 0, 255], [29, 255, 107]),
        ] {
            let got = to_rgb(&one(bar, Matrix::Bt709, false));
            assert!(got.iter().zip(rgb.iter().cycle()).all(|(got, want)| got.abs_diff(*want) <= 2), "{bar:?}: {got:?}");
            let got = jfif(bar, Matrix::Bt709, false);
            assert!(got.iter().zip(ycc).all(|(got, want)| got.abs_diff(want) <= 2), "{bar:?}: {got:?}");
        }
    }

    #[test]
    fn odd_sizes_have_their_last_column_and_row() {
        let picture = Picture::new(3, 3, [vec![235; 9], vec![128; 4], vec![128; 4]], Matrix::Bt709, false).unwrap();
        assert_eq!(to_rgb(&picture), [255; 27]);
        assert_eq!(to_jfif(picture).planes()[0], [255; 9]);
    }
}
