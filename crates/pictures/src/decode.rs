//! H.264 to planes. This is what runs in the worker process.

use crate::job::{Inspected, Job, inspect};
use crate::picture::Picture;
use crate::refusal::{Reason, Refusal};
use bytes::Bytes;
use rusty_h264_decoder::{DecodeError, Decoder};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
    // Fuzzing found damage that makes the decoder index past its planes. Its state ends with the panic, so that nothing
    // half-done is looked at again; and a worker need not be started anew for each damaged picture.
    let last = catch_unwind(AssertUnwindSafe(|| last_frame(&job.units)))
        .unwrap_or_else(|_| Err(Refusal::new(Reason::Broken, "the decoder panicked")))?;
    let frame = last.ok_or_else(|| Refusal::new(Reason::Broken, "no whole picture came out"))?;
    let format = &inspected.format;
    let sides = (u32::try_from(frame.width), u32::try_from(frame.height));
    if sides != (Ok(format.width), Ok(format.height)) {
        return Err(Refusal::new(Reason::Broken, format!("{} x {} came out", frame.width, frame.height)));
    }
    Picture::new(format.width, format.height, frame.planes, format.matrix, format.full_range)
        .ok_or_else(|| Refusal::new(Reason::Broken, "planes of another size"))
}

/// What the decoder gave for the last access unit.
struct Frame {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
}

fn last_frame(units: &[Bytes]) -> Result<Option<Frame>, Refusal> {
    let mut decoder = Decoder::new();
    let mut last = None;
    for (index, unit) in units.iter().enumerate() {
        last = decoder.decode(unit).map_err(|error| refusal(&error, index))?;
    }
    Ok(last.map(|frame| Frame { width: frame.width, height: frame.height, planes: [frame.y, frame.u, frame.v] }))
}

fn refusal(error: &DecodeError, index: usize) -> Refusal {
    let reason = match error {
        DecodeError::Unsupported(_) => Reason::Unsupported,
        DecodeError::MissingParameterSet => Reason::ParameterSets,
        _ => Reason::Broken,
    };
    Refusal::new(reason, format!("access unit {index}: {error}"))
}
