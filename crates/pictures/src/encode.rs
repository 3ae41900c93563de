//! A picture as JPEG or PNG.

use crate::colour::{to_jfif, to_rgb};
use crate::picture::Picture;
use crate::refusal::{Reason, Refusal};
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

/// Planes as the encoder reads them: row by row, each chroma sample once per pixel. With 2 x 2 sampling it averages four
/// equal numbers, so that the planes arrive in the file as they are.
struct Rows<'a>(&'a Picture);

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        u16::try_from(self.0.width()).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.0.height()).unwrap_or(u16::MAX)
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let [luma, cb, cr, _] = buffers;
        luma.extend_from_slice(self.0.row(0, u32::from(y)));
        let width = self.0.width() as usize;
        for (buffer, plane) in [(cb, 1), (cr, 2)] {
            let row = self.0.row(plane, u32::from(y) / 2);
            buffer.extend(row.iter().flat_map(|code| [*code, *code]).take(width));
        }
    }
}

/// Writes a JPEG: JFIF, 4:2:0, in its own colour numbers whatever those of the picture are.
///
/// `quality` is 1 to 100; outside of it the nearest.
///
/// # Errors
/// [`Reason::Encoder`] when a side has more than 65,535 pixels.
pub fn encode_jpeg(picture: Picture, quality: u8) -> Result<Vec<u8>, Refusal> {
    if picture.width() > u32::from(u16::MAX) || picture.height() > u32::from(u16::MAX) {
        return Err(Refusal::new(Reason::Encoder, "too large for JPEG"));
    }
    let picture = to_jfif(picture);
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode_image(Rows(&picture)).map_err(failed)?;
    Ok(out)
}

/// Writes a PNG: 8 bit RGB.
///
/// # Errors
/// [`Reason::Encoder`] when the encoder fails.
pub fn encode_png(picture: &Picture) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&to_rgb(picture)).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Encoder, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

    fn picture(width: u32, height: u32) -> Picture {
        let plane = |w: u32, h: u32, scale: f64| -> Vec<u8> {
            let at = |x: u32, y: u32| 128.0 + 90.0 * (f64::from(x) / scale).sin() * (f64::from(y) / scale).cos();
            (0..h).flat_map(|y| (0..w).map(move |x| at(x, y) as u8)).collect()
        };
        let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
        let planes = [plane(width, height, 9.0), plane(cw, ch, 11.0), plane(cw, ch, 13.0)];
        Picture::new(width, height, planes, Matrix::Bt601, true).unwrap()
    }

    fn decode(jpeg: &[u8]) -> (usize, usize, Vec<u8>) {
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::YCbCr);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        let pixels = decoder.decode().unwrap();
        let (width, height) = decoder.dimensions().unwrap();
        (width, height, pixels)
    }

    #[test]
    fn a_jpeg_of_the_planes_is_above_40_db() {
        for (width, height) in [(64, 48), (33, 17), (1, 1), (2, 2)] {
            let source = picture(width, height);
            let (w, h, pixels) = decode(&encode_jpeg(source.clone(), 90).unwrap());
            assert_eq!((w, h), (width as usize, height as usize));
            let errors = pixels.chunks(3).zip(source.planes()[0]).map(|(got, want)| {
                let gap = f64::from(got[0]) - f64::from(*want);
                gap * gap
            });
            let mean = errors.sum::<f64>() / f64::from(width * height);
            let psnr = 10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10();
            assert!(psnr > 40.0, "{width}x{height}: {psnr:.1} dB");
        }
    }

    #[test]
    fn a_png_is_exact_rgb() {
        let source = picture(21, 10);
        let bytes = encode_png(&source).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (21, 10));
        assert_eq!(pixels[..info.buffer_size()], to_rgb(&source));
    }

    #[test]
    fn quality_outside_of_its_range_is_the_nearest() {
        let source = picture(32, 32);
        assert_eq!(encode_jpeg(source.clone(), 0).unwrap(), encode_jpeg(source.clone(), 1).unwrap());
        assert_eq!(encode_jpeg(source.clone(), 255).unwrap(), encode_jpeg(source, 100).unwrap());
    }
}
