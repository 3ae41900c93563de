//! What a worker and its owner say to each other: frames of four bytes of magic, a kind, a length and a body.
//!
//! Both ends are the same program, so there is no version. Lengths are bounded before anything is allocated, since either
//! end may have gone mad.

use crate::job::{Image, ImageFormat, Job, MAX_UNITS, Output};
use crate::refusal::{Reason, Refusal};
use crate::shape::{Rotation, Shape, SizeRule};
use bytes::{Buf, Bytes};
use std::path::PathBuf;

/// Bounds of a worker, sent to it when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Address space in bytes (RLIMIT_AS).
    pub memory_bytes: u64,
    /// Processor time of one picture in seconds (RLIMIT_CPU, raised before each).
    pub cpu_seconds: u32,
    /// Added to the nice value, 0 to 19: pictures give way to pushes.
    pub niceness: u8,
    /// Pixels of a frame before cropping.
    pub max_pixels: u64,
    /// Bytes of a request.
    pub max_request_bytes: u32,
    /// Bytes of an answer.
    pub max_answer_bytes: u32,
    /// An ffmpeg that decodes interlaced video; without one it is refused.
    pub ffmpeg: Option<PathBuf>,
}

impl Default for WorkerLimits {
    /// 1 GiB, 4 s, 10, 4096 x 2304, 64 MiB each way, no ffmpeg.
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            cpu_seconds: 4,
            niceness: 10,
            max_pixels: 4096 * 2304,
            max_request_bytes: 64 << 20,
            max_answer_bytes: 64 << 20,
            ffmpeg: None,
        }
    }
}

/// Magic, kind, length.
pub(super) const HEADER: usize = 9;

const MAGIC: [u8; 4] = *b"MPIC";

/// Kinds of frames.
pub(super) const LIMITS: u8 = b'L';
pub(super) const JOB: u8 = b'J';
pub(super) const IMAGE: u8 = 0;
pub(super) const REFUSAL: u8 = 1;

/// What the other end said makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of the worker protocol: {0}")]
pub(super) struct Nonsense(pub(super) &'static str);

pub(super) fn header(kind: u8, length: usize) -> Option<[u8; HEADER]> {
    let [a, b, c, d] = MAGIC;
    let [e, f, g, h] = u32::try_from(length).ok()?.to_be_bytes();
    Some([a, b, c, d, kind, e, f, g, h])
}

/// Kind and length of the body.
pub(super) fn read_header(header: [u8; HEADER], most: u32) -> Result<(u8, usize), Nonsense> {
    let [a, b, c, d, kind, e, f, g, h] = header;
    let length = u32::from_be_bytes([e, f, g, h]);
    if [a, b, c, d] != MAGIC {
        return Err(Nonsense("magic"));
    }
    if length > most {
        return Err(Nonsense("length"));
    }
    Ok((kind, length as usize))
}

/// Bytes of the frame of the limits, whatever their path.
pub(super) const MAX_LIMITS: u32 = 8192;

pub(super) fn put_limits(limits: &WorkerLimits) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(limits.memory_bytes.to_be_bytes());
    out.extend(limits.cpu_seconds.to_be_bytes());
    out.push(limits.niceness);
    out.extend(limits.max_pixels.to_be_bytes());
    out.extend(limits.max_request_bytes.to_be_bytes());
    out.extend(limits.max_answer_bytes.to_be_bytes());
    if let Some(path) = &limits.ffmpeg {
        out.extend(path.to_string_lossy().bytes());
    }
    out
}

pub(super) fn read_limits(mut body: &[u8]) -> Result<WorkerLimits, Nonsense> {
    let short = |_| Nonsense("limits");
    let mut limits = WorkerLimits {
        memory_bytes: body.try_get_u64().map_err(short)?,
        cpu_seconds: body.try_get_u32().map_err(short)?,
        niceness: body.try_get_u8().map_err(short)?,
        max_pixels: body.try_get_u64().map_err(short)?,
        max_request_bytes: body.try_get_u32().map_err(short)?,
        max_answer_bytes: body.try_get_u32().map_err(short)?,
        ffmpeg: None,
    };
    if !body.is_empty() {
        limits.ffmpeg = Some(PathBuf::from(std::str::from_utf8(body).map_err(|_| Nonsense("path"))?));
    }
    Ok(limits)
}

/// All of a job's body but the access units' bytes: the first piece, then for each unit its length and its bytes.
pub(super) fn put_job(job: &Job) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(32);
    let (size, a, b) = match job.output.shape.size {
        SizeRule::Source => (0, 0, 0),
        SizeRule::Sides { width, height } => (1, width, height),
        SizeRule::Edges { long, short } => (2, long, short),
        SizeRule::Within { width, height } => (3, width, height),
    };
    let rotation = match job.output.shape.rotation {
        Rotation::Auto => 0,
        Rotation::Portrait => 1,
        Rotation::Landscape => 2,
    };
    out.extend([put_format(job.output.format), job.output.quality, size, rotation]);
    out.extend(a.to_be_bytes());
    out.extend(b.to_be_bytes());
    let total = out.len() + job.bytes() + 4 * job.units.len();
    (out, total)
}

pub(super) fn read_job(mut body: &[u8]) -> Result<Job, Nonsense> {
    let short = |_| Nonsense("job");
    let format = read_format(body.try_get_u8().map_err(short)?)?;
    let quality = body.try_get_u8().map_err(short)?;
    let (size, rotation) = (body.try_get_u8().map_err(short)?, body.try_get_u8().map_err(short)?);
    let (a, b) = (body.try_get_u32().map_err(short)?, body.try_get_u32().map_err(short)?);
    let size = match size {
        0 => SizeRule::Source,
        1 => SizeRule::Sides { width: a, height: b },
        2 => SizeRule::Edges { long: a, short: b },
        3 => SizeRule::Within { width: a, height: b },
        _ => return Err(Nonsense("size")),
    };
    let rotation = match rotation {
        0 => Rotation::Auto,
        1 => Rotation::Portrait,
        2 => Rotation::Landscape,
        _ => return Err(Nonsense("rotation")),
    };
    let mut units = Vec::new();
    while !body.is_empty() {
        let length = body.try_get_u32().map_err(short)? as usize;
        let (unit, rest) = body.split_at_checked(length).ok_or(Nonsense("unit"))?;
        units.push(Bytes::copy_from_slice(unit));
        body = rest;
        if units.len() > MAX_UNITS {
            return Err(Nonsense("number of units"));
        }
    }
    Ok(Job { units, output: Output { format, quality, shape: Shape { size, rotation } } })
}

/// Kind and body of an answer.
pub(super) fn put_answer(answer: &Result<Image, Refusal>) -> (u8, Vec<u8>) {
    let mut out = Vec::new();
    match answer {
        Ok(image) => {
            out.push(put_format(image.format));
            out.extend(image.width.to_be_bytes());
            out.extend(image.height.to_be_bytes());
            out.extend_from_slice(&image.bytes);
            (IMAGE, out)
        }
        Err(refusal) => {
            let label = refusal.reason.label();
            out.extend_from_slice(format!("{label} {}", refusal.detail).as_bytes());
            (REFUSAL, out)
        }
    }
}

pub(super) fn read_answer(kind: u8, body: &[u8]) -> Result<Result<Image, Refusal>, Nonsense> {
    let short = |_| Nonsense("image");
    match kind {
        IMAGE => {
            let mut rest = body;
            let format = read_format(rest.try_get_u8().map_err(short)?)?;
            let (width, height) = (rest.try_get_u32().map_err(short)?, rest.try_get_u32().map_err(short)?);
            Ok(Ok(Image { format, width, height, bytes: Bytes::copy_from_slice(rest) }))
        }
        REFUSAL => {
            let text = std::str::from_utf8(body).map_err(|_| Nonsense("refusal"))?;
            let (label, detail) = text.split_once(' ').ok_or(Nonsense("refusal"))?;
            let reason = Reason::parse(label).ok_or(Nonsense("reason"))?;
            Ok(Err(Refusal::new(reason, detail)))
        }
        _ => Err(Nonsense("kind")),
    }
}

fn put_format(format: ImageFormat) -> u8 {
    match format {
        ImageFormat::Jpeg => 0,
        ImageFormat::Png => 1,
        ImageFormat::Planes => 2,
    }
}

fn read_format(code: u8) -> Result<ImageFormat, Nonsense> {
    match code {
        0 => Ok(ImageFormat::Jpeg),
        1 => Ok(ImageFormat::Png),
        2 => Ok(ImageFormat::Planes),
        _ => Err(Nonsense("format")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(job: &Job) -> Vec<u8> {
        let (mut out, total) = put_job(job);
        for unit in &job.units {
            out.extend(u32::try_from(unit.len()).unwrap().to_be_bytes());
            out.extend_from_slice(unit);
        }
        assert_eq!(out.len(), total);
        out
    }

    #[test]
    fn limits_and_answers_read_back() {
        for ffmpeg in [None, Some(PathBuf::from("/usr/bin/ffmpeg"))] {
            let limits = WorkerLimits { ffmpeg, max_pixels: 7, ..WorkerLimits::default() };
            assert_eq!(read_limits(&put_limits(&limits)), Ok(limits));
        }
        let image = Image { format: ImageFormat::Png, width: 3, height: 4, bytes: Bytes::from_static(b"x") };
        for answer in [Ok(image), Err(Refusal::new(Reason::Broken, "a b")), Err(Refusal::new(Reason::Size, ""))] {
            let (kind, body) = put_answer(&answer);
            assert_eq!(read_answer(kind, &body), Ok(answer));
        }
    }

    #[test]
    fn headers_are_bounded() {
        let header = header(JOB, 10).unwrap();
        assert_eq!(read_header(header, 10), Ok((JOB, 10)));
        assert_eq!(read_header(header, 9), Err(Nonsense("length")));
        assert_eq!(read_header([0; HEADER], 9), Err(Nonsense("magic")));
    }

    proptest! {
        #[test]
        fn jobs_read_back(units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5), kind in 0_u8..3, size in 0_u8..4, rotation in 0_u8..3, a: u32, b: u32, quality: u8) {
            let mut head = vec![kind, quality, size, rotation];
            head.extend(if size == 0 { [0; 4] } else { a.to_be_bytes() });
            head.extend(if size == 0 { [0; 4] } else { b.to_be_bytes() });
            let job = Job { units: units.into_iter().map(Bytes::from).collect(), ..read_job(&head).unwrap() };
            prop_assert_eq!(read_job(&body(&job)), Ok(job));
        }

        #[test]
        fn any_body_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (read_job(&bytes), read_answer(0, &bytes), read_answer(1, &bytes), read_limits(&bytes));
        }
    }
}
