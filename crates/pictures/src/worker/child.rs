//! The side that works: reads a job, answers an image or a refusal, over and over until its input ends.

use super::confine::{confine, grant_cpu};
use super::external;
use super::protocol::{self, HEADER, JOB, LIMITS, MAX_LIMITS, WorkerLimits};
use crate::colour::to_jfif;
use crate::decode::decode_inspected;
use crate::encode::{encode_jpeg, encode_png};
use crate::job::{Image, ImageFormat, Job, inspect};
use crate::picture::Picture;
use crate::refusal::{Reason, Refusal};
use crate::scale::scale;
use bytes::Bytes;
use std::io::{self, Read, Write};

/// The whole life of a worker process. Call it first thing in a process of its own, with its standard input and output;
/// it confines the process and returns when its owner closes the pipe.
///
/// # Errors
/// What reading and writing the pipes gives, a limit that the kernel refuses, and nonsense from the other end.
pub fn worker_main(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let Some((LIMITS, body)) = read_frame(&mut input, MAX_LIMITS)? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "limits come first"));
    };
    let limits = protocol::read_limits(&body).map_err(invalid)?;
    confine(&limits)?;
    while let Some((kind, body)) = read_frame(&mut input, limits.max_request_bytes)? {
        if kind != JOB {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a job"));
        }
        let job = protocol::read_job(&body).map_err(invalid)?;
        drop(body);
        grant_cpu(limits.cpu_seconds)?;
        let answer = carry_out(&job, &limits);
        let (kind, body) = protocol::put_answer(&answer);
        let header = protocol::header(kind, body.len()).ok_or_else(|| io::Error::other("answer of 4 GiB"))?;
        output.write_all(&header)?;
        output.write_all(&body)?;
        output.flush()?;
    }
    Ok(())
}

fn invalid(error: protocol::Nonsense) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// `None` at the end of the input.
fn read_frame(input: &mut impl Read, most: u32) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut header = [0; HEADER];
    match input.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (kind, length) = protocol::read_header(header, most).map_err(invalid)?;
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some((kind, body)))
}

pub(super) fn carry_out(job: &Job, limits: &WorkerLimits) -> Result<Image, Refusal> {
    let inspected = inspect(&job.units, limits.max_pixels)?;
    let picture = match &limits.ffmpeg {
        Some(ffmpeg) if inspected.is_interlaced => external::decode(ffmpeg, job, &inspected.format)?,
        _ => decode_inspected(job, &inspected)?,
    };
    let image = encode(scale(picture, job.output().shape)?, job)?;
    // Room for the head of the answer.
    if image.bytes.len() + 64 > limits.max_answer_bytes as usize {
        return Err(Refusal::new(Reason::Bytes, format!("an image of {} bytes", image.bytes.len())));
    }
    Ok(image)
}

fn encode(picture: Picture, job: &Job) -> Result<Image, Refusal> {
    let (width, height, format) = (picture.width(), picture.height(), job.output().format);
    let bytes = match format {
        ImageFormat::Jpeg => encode_jpeg(picture, job.output().quality)?,
        ImageFormat::Png => encode_png(&picture)?,
        ImageFormat::Planes => to_jfif(picture).planes().concat(),
    };
    Ok(Image { format, width, height, bytes: Bytes::from(bytes) })
}
