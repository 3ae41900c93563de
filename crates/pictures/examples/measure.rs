//! What a picture costs: `measure STREAM.h264...` decodes the first access unit of each stream again and again, in this
//! process and in a worker, and prints medians and the quality of the JPEG. The streams need access unit delimiters.
//! Decoding and JPEG are in processor time, so that a busy machine does not matter much; the worker is in wall time.
//!
//! The worker is `picture-worker` beside this program's folder.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use bytes::Bytes;
use pictures::{Decoder, ImageFormat, Job, Output, Picture, Shape, SizeRule, WorkerCommand, WorkerLimits};
use std::time::{Duration, Instant};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

const RUNS: usize = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let program = std::env::current_exe().unwrap();
    let worker = program.parent().and_then(|folder| folder.parent()).unwrap().join("picture-worker");
    let limits = WorkerLimits { cpu_seconds: 60, ..WorkerLimits::default() };
    let mut decoder = Decoder::start(WorkerCommand { program: worker, arguments: Vec::new(), limits });
    println!("stream | bytes | decode ms | JPEG ms | worker ms | thumbnail ms | JPEG bytes | dB of Y");
    for path in std::env::args().skip(1) {
        let unit = first_unit(&std::fs::read(&path).unwrap());
        let job = Job::new(vec![unit.clone()], Output::default());
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let picture = match pictures::decode(&job, 1 << 24) {
            Ok(picture) => picture,
            Err(refusal) => {
                println!("{name} | {} | {refusal}", unit.len());
                continue;
            }
        };
        let decode = median(|| drop(pictures::decode(&job, 1 << 24)));
        let encode = median(|| drop(pictures::encode_jpeg(picture.clone(), Output::DEFAULT_QUALITY)));
        let mut times = Vec::new();
        let mut jpeg = Bytes::new();
        let small = Shape { size: SizeRule::Within { width: 160, height: 90 }, ..Shape::default() };
        let thumbnail = Job::new(vec![unit.clone()], Output { shape: small, format: ImageFormat::Planes, quality: 0 });
        let mut small_times = Vec::new();
        for _ in 0..RUNS {
            let begin = Instant::now();
            jpeg = decoder.decode(&job, Duration::from_secs(60)).await.unwrap().bytes;
            times.push(begin.elapsed());
            let begin = Instant::now();
            decoder.decode(&thumbnail, Duration::from_secs(60)).await.unwrap();
            small_times.push(begin.elapsed());
        }
        let (whole, small) = (middle(times), middle(small_times));
        let (bytes, db) = (jpeg.len(), psnr(&picture, &jpeg));
        println!("{name} | {} | {decode:.1} | {encode:.1} | {whole:.1} | {small:.1} | {bytes} | {db:.1}", unit.len());
    }
}

/// Processor time in milliseconds.
fn median(mut work: impl FnMut()) -> f64 {
    let used = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or(0))
    };
    middle(
        (0..RUNS)
            .map(|_| {
                let begin = used();
                work();
                used() - begin
            })
            .collect(),
    )
}

/// Milliseconds.
fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn first_unit(stream: &[u8]) -> Bytes {
    let is_delimiter = |at: &usize| stream[*at..*at + 3] == [0, 0, 1] && stream[*at + 3] & 31 == 9;
    let ends: Vec<usize> = (0..stream.len() - 4).filter(is_delimiter).take(2).collect();
    Bytes::copy_from_slice(&stream[..ends.get(1).copied().unwrap_or(stream.len())])
}

/// Of the JPEG's luma against the decoded luma, in the numbers of the JPEG.
fn psnr(picture: &Picture, jpeg: &[u8]) -> f64 {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::YCbCr);
    let pixels = JpegDecoder::new_with_options(ZCursor::new(jpeg), options).decode().unwrap();
    // A lossless way to the same numbers: a PNG would be RGB, so the planes are converted as a worker's answer is.
    let reference = pictures::jfif_luma(picture.clone());
    let errors = pixels.chunks(3).zip(&reference).map(|(got, want)| {
        let gap = f64::from(got[0]) - f64::from(*want);
        gap * gap
    });
    let mean = errors.sum::<f64>() / reference.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}
