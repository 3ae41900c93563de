//! A storyboard: sheets of small pictures and the WebVTT track by which players show them while seeking.

use crate::encode::encode_jpeg;
use crate::picture::Picture;
use crate::refusal::Refusal;
use std::fmt::Write as _;
use thiserror::Error;

/// How sheets are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoryboardLayout {
    /// No thumbnail is wider.
    pub width: u32,
    /// No thumbnail is higher.
    pub height: u32,
    /// Thumbnails side by side.
    pub columns: u32,
    /// Rows of them.
    pub rows: u32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
}

impl Default for StoryboardLayout {
    /// 160 x 90, ten by ten, quality 75: sheets of 1600 x 960.
    fn default() -> Self {
        Self { width: 160, height: 90, columns: 10, rows: 10, quality: 75 }
    }
}

/// Sides of a sheet are at most this many pixels, which is what hardware of small players can show.
const MAX_SHEET: u32 = 4096;

/// Cells begin at multiples of JPEG's 4:2:0 blocks, so that no thumbnail colours its neighbour's edge.
const BLOCK: u32 = 16;

/// Why there is no storyboard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoryboardError {
    /// A layout with nothing in it, or with sheets that are too large.
    #[error("a sheet of {columns} x {rows} cells of {width} x {height} pixels")]
    Layout {
        /// Thumbnails side by side.
        columns: u32,
        /// Rows of them.
        rows: u32,
        /// Width of each.
        width: u32,
        /// Height of each.
        height: u32,
    },
    /// Times have to rise.
    #[error("thumbnail at {0} ms out of order")]
    Order(u64),
    /// A thumbnail is larger than the layout says.
    #[error("thumbnail of {0} x {1} pixels")]
    TooLarge(u32, u32),
    /// A sheet's name would break the track.
    #[error("name of a sheet with a line break or a space")]
    Name,
    /// A sheet could not be written.
    #[error(transparent)]
    Encoder(#[from] Refusal),
}

/// When thumbnails are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Milliseconds from the start of the video, rising.
    pub times_ms: Vec<u64>,
    /// Distance between them.
    pub interval_ms: u64,
}

impl Plan {
    /// A thumbnail each `interval_ms`, the first at zero; further apart where that would be more than `most`. None for an
    /// empty video.
    pub fn new(duration_ms: u64, interval_ms: u64, most: u32) -> Self {
        let most = u64::from(most.max(1));
        let interval_ms = interval_ms.max(1).max(duration_ms.div_ceil(most));
        let count = duration_ms.div_ceil(interval_ms);
        Self { times_ms: (0..count).map(|index| index * interval_ms).collect(), interval_ms }
    }
}

/// A sheet that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Counted from zero.
    pub index: usize,
    /// A JPEG.
    pub jpeg: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

#[derive(Debug)]
struct Cue {
    start_ms: u64,
    sheet: usize,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// Puts thumbnails onto sheets. Only one sheet is in memory at a time, besides a few dozen bytes for each thumbnail.
#[derive(Debug)]
pub struct Storyboard {
    layout: StoryboardLayout,
    /// Width and height of a cell.
    cell: (u32, u32),
    canvas: Option<Picture>,
    /// Thumbnails on the canvas.
    filled: u32,
    sheets: usize,
    cues: Vec<Cue>,
}

impl Storyboard {
    /// An empty storyboard.
    ///
    /// # Errors
    /// [`StoryboardError::Layout`].
    pub fn new(layout: StoryboardLayout) -> Result<Self, StoryboardError> {
        let StoryboardLayout { width, height, columns, rows, .. } = layout;
        let cell = (width.div_ceil(BLOCK).saturating_mul(BLOCK), height.div_ceil(BLOCK).saturating_mul(BLOCK));
        let sides = (cell.0.saturating_mul(columns), cell.1.saturating_mul(rows));
        let fits = |side: u32| (1..=MAX_SHEET).contains(&side);
        if !fits(sides.0) || !fits(sides.1) {
            return Err(StoryboardError::Layout { columns, rows, width, height });
        }
        Ok(Self { layout, cell, canvas: None, filled: 0, sheets: 0, cues: Vec::new() })
    }

    /// Adds the thumbnail that is shown from `start_ms` on, in the numbers of JFIF (as [`ImageFormat::Planes`] are). It
    /// lasts until the next one. Returns a sheet when that filled one. A time whose picture could not be made is left
    /// out, and the thumbnail before it lasts longer.
    ///
    /// # Errors
    /// [`StoryboardError::Order`], [`StoryboardError::TooLarge`], [`StoryboardError::Encoder`].
    ///
    /// [`ImageFormat::Planes`]: crate::ImageFormat::Planes
    pub fn push(&mut self, start_ms: u64, thumbnail: &Picture) -> Result<Option<Sheet>, StoryboardError> {
        let (width, height) = (thumbnail.width(), thumbnail.height());
        if self.cues.last().is_some_and(|last| last.start_ms >= start_ms) {
            return Err(StoryboardError::Order(start_ms));
        }
        if width > self.layout.width || height > self.layout.height {
            return Err(StoryboardError::TooLarge(width, height));
        }
        let (x, y) = (self.filled % self.layout.columns * self.cell.0, self.filled / self.layout.columns * self.cell.1);
        let (sheet_width, sheet_height) = (self.cell.0 * self.layout.columns, self.cell.1 * self.layout.rows);
        if self.canvas.is_none() {
            self.canvas = Picture::filled(sheet_width, sheet_height, [0, 128, 128]);
        }
        if let Some(canvas) = &mut self.canvas {
            paste(canvas, thumbnail, x, y);
        }
        self.cues.push(Cue { start_ms, sheet: self.sheets, x, y, width, height });
        self.filled += 1;
        if self.filled == self.layout.columns * self.layout.rows { self.sheet() } else { Ok(None) }
    }

    /// The last sheet, unless it is empty, and the track. `end_ms` is the end of the video, `name` gives the URL of a
    /// sheet as it shall stand in the track.
    ///
    /// # Errors
    /// [`StoryboardError::Name`], [`StoryboardError::Encoder`].
    pub fn finish(
        mut self,
        end_ms: u64,
        name: impl Fn(usize) -> String,
    ) -> Result<(Option<Sheet>, String), StoryboardError> {
        let last = self.sheet()?;
        let names: Vec<String> = (0..self.sheets).map(name).collect();
        if names.iter().any(|name| name.chars().any(|character| character.is_control() || character == ' ')) {
            return Err(StoryboardError::Name);
        }
        let mut track = String::from("WEBVTT\n");
        let ends = self.cues.iter().skip(1).map(|cue| cue.start_ms).chain([end_ms]);
        for (cue, end) in self.cues.iter().zip(ends) {
            let Cue { start_ms, sheet, x, y, width, height } = cue;
            let (start, end) = (clock(*start_ms), clock(end.max(start_ms + 1)));
            let name = names.get(*sheet).map_or("", String::as_str);
            // Writing to a string does not fail.
            let _ = write!(track, "\n{start} --> {end}\n{name}#xywh={x},{y},{width},{height}\n");
        }
        Ok((last, track))
    }

    fn sheet(&mut self) -> Result<Option<Sheet>, StoryboardError> {
        let Some(canvas) = self.canvas.take() else { return Ok(None) };
        let rows = self.filled.div_ceil(self.layout.columns);
        let canvas = crop_rows(canvas, rows * self.cell.1);
        let (index, width, height) = (self.sheets, canvas.width(), canvas.height());
        self.sheets += 1;
        self.filled = 0;
        Ok(Some(Sheet { index, width, height, jpeg: encode_jpeg(canvas, self.layout.quality)? }))
    }
}

/// Copies a picture to even coordinates.
fn paste(canvas: &mut Picture, picture: &Picture, x: u32, y: u32) {
    for plane in 0..3 {
        let (stride, _) = canvas.plane_size(plane);
        let (width, height) = picture.plane_size(plane);
        let half = if plane == 0 { 1 } else { 2 };
        for row in 0..height {
            let start = (y / half + row) as usize * stride as usize + (x / half) as usize;
            if let Some(target) =
                canvas.planes_mut().get_mut(plane).and_then(|bytes| bytes.get_mut(start..start + width as usize))
            {
                target.copy_from_slice(picture.row(plane, row));
            }
        }
    }
}

/// The upper rows of a picture; `height` is even.
fn crop_rows(mut canvas: Picture, height: u32) -> Picture {
    if height >= canvas.height() {
        return canvas;
    }
    let width = canvas.width();
    let [y, cb, cr] = canvas.planes_mut();
    y.truncate(width as usize * height as usize);
    cb.truncate(width.div_ceil(2) as usize * (height / 2) as usize);
    cr.truncate(width.div_ceil(2) as usize * (height / 2) as usize);
    let planes = [std::mem::take(y), std::mem::take(cb), std::mem::take(cr)];
    Picture::new(width, height, planes, canvas.matrix, canvas.full_range).unwrap_or(canvas)
}

/// `HH:MM:SS.mmm` of WebVTT.
fn clock(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thumbnail(width: u32, height: u32, grey: u8) -> Picture {
        Picture::filled(width, height, [grey, 128, 128]).unwrap()
    }

    #[test]
    fn a_track_of_two_sheets() {
        let layout = StoryboardLayout { width: 32, height: 18, columns: 2, rows: 2, quality: 80 };
        let mut board = Storyboard::new(layout).unwrap();
        let mut sheets = Vec::new();
        for index in 0..5_u8 {
            sheets.extend(board.push(u64::from(index) * 1500, &thumbnail(32, 18, 40 * index)).unwrap());
        }
        let (last, track) = board.finish(3_723_004, |index| format!("sheet-{index}.jpg")).unwrap();
        sheets.extend(last);
        let sizes: Vec<_> = sheets.iter().map(|sheet| (sheet.index, sheet.width, sheet.height)).collect();
        assert_eq!(sizes, [(0, 64, 64), (1, 64, 32)]);
        assert_eq!(
            track,
            "WEBVTT\n\n\
             00:00:00.000 --> 00:00:01.500\nsheet-0.jpg#xywh=0,0,32,18\n\n\
             00:00:01.500 --> 00:00:03.000\nsheet-0.jpg#xywh=32,0,32,18\n\n\
             00:00:03.000 --> 00:00:04.500\nsheet-0.jpg#xywh=0,32,32,18\n\n\
             00:00:04.500 --> 00:00:06.000\nsheet-0.jpg#xywh=32,32,32,18\n\n\
             00:00:06.000 --> 01:02:03.004\nsheet-1.jpg#xywh=0,0,32,18\n"
        );
    }

    #[test]
    fn thumbnails_stand_where_the_track_says() {
        let layout = StoryboardLayout { width: 20, height: 10, columns: 2, rows: 1, quality: 95 };
        let mut board = Storyboard::new(layout).unwrap();
        assert!(board.push(0, &thumbnail(20, 10, 250)).unwrap().is_none());
        let sheet = board.push(1, &thumbnail(7, 10, 100)).unwrap().expect("full");
        let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(&sheet.jpeg[..]));
        let pixels = decoder.decode().unwrap();
        let grey = |x: usize, y: usize| pixels[(y * sheet.width as usize + x) * 3];
        assert!(grey(1, 1) > 240 && grey(18, 8) > 220 && grey(33, 1).abs_diff(100) < 12 && grey(60, 1) < 30);
    }

    #[test]
    fn what_cannot_be() {
        let layout = |columns, width| StoryboardLayout { columns, width, ..StoryboardLayout::default() };
        for bad in [layout(0, 160), layout(10, 0), layout(30, 160), layout(u32::MAX, u32::MAX)] {
            assert!(matches!(Storyboard::new(bad), Err(StoryboardError::Layout { .. })));
        }
        let mut board = Storyboard::new(StoryboardLayout::default()).unwrap();
        assert_eq!(board.push(5, &thumbnail(161, 2, 0)), Err(StoryboardError::TooLarge(161, 2)));
        board.push(5, &thumbnail(16, 2, 0)).unwrap();
        assert_eq!(board.push(5, &thumbnail(16, 2, 0)), Err(StoryboardError::Order(5)));
        assert_eq!(board.finish(9, |_| "a\nb".into()), Err(StoryboardError::Name));
        let empty = Storyboard::new(StoryboardLayout::default()).unwrap().finish(0, |_| String::new()).unwrap();
        assert_eq!(empty, (None, "WEBVTT\n".to_owned()));
    }

    proptest! {
        #[test]
        fn a_plan_covers_the_video_within_its_bound(duration in 0_u64..100_000_000, interval in 0_u64..100_000, most in 0_u32..500) {
            let plan = Plan::new(duration, interval, most);
            prop_assert!(plan.times_ms.len() as u64 <= u64::from(most.max(1)));
            prop_assert!(plan.interval_ms >= interval);
            prop_assert!(plan.times_ms.iter().all(|time| *time < duration));
            let reached = plan.times_ms.last().map_or(0, |last| last + plan.interval_ms);
            prop_assert!(reached >= duration);
        }
    }
}
