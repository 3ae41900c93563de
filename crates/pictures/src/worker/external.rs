//! Key frames that only ffmpeg can decode: fields and MBAFF.

use crate::format::Format;
use crate::job::Job;
use crate::picture::{Picture, plane_size};
use crate::refusal::{Reason, Refusal};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Decodes the one access unit of a job. The child inherits the limits of this process and ends with its pipes.
pub(super) fn decode(ffmpeg: &Path, job: &Job, format: &Format) -> Result<Picture, Refusal> {
    let [unit] = job.units.as_slice() else {
        return Err(Refusal::new(Reason::Interlaced, "of interlaced video only key frames are decoded"));
    };
    let mut child = Command::new(ffmpeg)
        .args(["-v", "error", "-nostdin", "-threads", "1", "-f", "h264", "-i", "pipe:0"])
        .args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Refusal::new(Reason::Interlaced, format!("ffmpeg: {error}")))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let planes = std::thread::scope(|scope| {
        // It answers before it has read everything, so that writing and reading go on at the same time. An ffmpeg that
        // stops reading is found by the missing picture.
        scope.spawn(move || input.map(|mut input| input.write_all(unit)));
        output.and_then(|mut output| read_planes(&mut output, format))
    });
    // It has answered, or its pipes are closed; what is left of it is not waited for longer than a kill takes.
    drop(child.kill());
    drop(child.wait());
    planes
        .and_then(|planes| Picture::new(format.width, format.height, planes, format.matrix, format.full_range))
        .ok_or_else(|| Refusal::new(Reason::Broken, "no whole picture came out of ffmpeg"))
}

fn read_planes(output: &mut impl Read, format: &Format) -> Option<[Vec<u8>; 3]> {
    let mut plane = |index: usize| {
        let (width, height) = plane_size(format.width, format.height, index);
        let mut bytes = vec![0; usize::try_from(u64::from(width) * u64::from(height)).ok()?];
        output.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    Some([plane(0)?, plane(1)?, plane(2)?])
}
