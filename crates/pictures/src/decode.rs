//! H.264 to planes. This is what runs in the worker process.

use crate::job::{Inspected, Job, inspect};
use crate::picture::Picture;
use crate::refusal::{Reason, Refusal};
use rusty_h264_decoder::{DecodeError, Decoder};

/// Decodes the last access unit of a job, cropped, in the numbers that its stream uses.
///
/// Takes as long as the stream makes it: call it where that hurts nobody, in a worker process with limits.
///
/// # Errors
/// As [`Job::inspect`]; [`Reason::Interlaced`]; [`Reason::Unsupported`] for coding tools that the decoder lacks;
/// [`Reason::Broken`] when no whole picture comes out.
pub fn decode(job: &Job, max_pixels: u64) -> Result<Picture, Refusal> {
    decode_inspected(job, &inspect(&job.units, max_pixels)?)
}

pub(crate) fn decode_inspected(job: &Job, inspected: &Inspected) -> Result<Picture, Refusal> {
    if inspected.is_interlaced {
        return Err(Refusal::new(Reason::Interlaced, "field pictures or MBAFF need an ffmpeg"));
    }
    let mut decoder = Decoder::new();
    let mut last = None;
    for (index, unit) in job.units.iter().enumerate() {
        last = decoder.decode(unit).map_err(|error| refusal(&error, index))?;
    }
    let frame = last.ok_or_else(|| Refusal::new(Reason::Broken, "no whole picture came out"))?;
    let format = &inspected.format;
    let sides = (u32::try_from(frame.width), u32::try_from(frame.height));
    if sides != (Ok(format.width), Ok(format.height)) {
        return Err(Refusal::new(Reason::Broken, format!("{} x {} came out", frame.width, frame.height)));
    }
    Picture::new(format.width, format.height, [frame.y, frame.u, frame.v], format.matrix, format.full_range)
        .ok_or_else(|| Refusal::new(Reason::Broken, "planes of another size"))
}

fn refusal(error: &DecodeError, index: usize) -> Refusal {
    let reason = match error {
        DecodeError::Unsupported(_) => Reason::Unsupported,
        DecodeError::MissingParameterSet => Reason::ParameterSets,
        _ => Reason::Broken,
    };
    Refusal::new(reason, format!("access unit {index}: {error}"))
}
