//! The worker process: what it makes, and that nothing it does, or fails to do, reaches its owner.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{frames, units};
use md5::{Digest, Md5};
use pictures::{
    Decoder, Image, ImageFormat, Job, Output, Queue, QueueLimits, Reason, Refusal, Shape, SizeRule, WorkerCommand,
    WorkerLimits,
};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(60);

fn command() -> WorkerCommand {
    WorkerCommand {
        program: PathBuf::from(env!("CARGO_BIN_EXE_picture-worker")),
        arguments: Vec::new(),
        limits: WorkerLimits { cpu_seconds: 60, ..WorkerLimits::default() },
    }
}

/// A worker that is a shell script, to see what its owner does with it.
fn script(text: &str) -> WorkerCommand {
    let arguments = vec![OsString::from("-c"), OsString::from(text)];
    WorkerCommand { program: PathBuf::from("/bin/sh"), arguments, ..command() }
}

fn job(name: &str, format: ImageFormat) -> Job {
    Job::new(units(name)[..1].to_vec(), Output { format, ..Output::default() })
}

fn reason(answer: Result<Image, Refusal>) -> Option<Reason> {
    answer.err().map(|refusal| refusal.reason)
}

#[tokio::test]
async fn one_process_makes_many_images() {
    let mut decoder = Decoder::start(command());
    for name in ["baseline", "high-8x8dct", "slices", "cropped", "allows-fields"] {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Planes] {
            let image = decoder.decode(&job(name, format), TIMEOUT).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            let expected = if name == "cropped" { (126, 94) } else { (128, 96) };
            assert_eq!((image.format, image.width, image.height), (format, expected.0, expected.1), "{name}");
            assert_eq!(image.picture().is_some(), format == ImageFormat::Planes);
        }
    }
    let refusal = decoder.decode(&job("ten-bit", ImageFormat::Jpeg), TIMEOUT).await;
    assert_eq!(reason(refusal), Some(Reason::BitDepth));
    let shape = Shape { size: SizeRule::Sides { width: 129, height: 0 }, ..Shape::default() };
    let too_wide = Job::new(units("baseline")[..1].to_vec(), Output { shape, ..Output::default() });
    assert_eq!(reason(decoder.decode(&too_wide, TIMEOUT).await), Some(Reason::Size));
    assert_eq!(decoder.starts(), 1, "refusals end no process");
    decoder.stop().await;
    assert!(!decoder.is_running());
    assert!(decoder.decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await.is_ok());
    assert_eq!(decoder.starts(), 2);
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_replaced() {
    // It starts a process of its own, as one with an ffmpeg does, notes its id where the test finds it, and never answers.
    let folder = std::env::temp_dir().join(format!("pictures-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let note = folder.join("pid");
    let mut decoder = Decoder::start(script(&format!("sleep 600 & echo $! > {}; wait", note.display())));
    for start in 1..=2 {
        let begin = Instant::now();
        let answer = decoder.decode(&job("baseline", ImageFormat::Jpeg), Duration::from_millis(500)).await;
        assert_eq!(reason(answer), Some(Reason::Deadline));
        assert!(begin.elapsed() < TIMEOUT && !decoder.is_running());
        assert_eq!(decoder.starts(), start);
    }
    let pid = std::fs::read_to_string(&note).unwrap();
    let process = PathBuf::from("/proc").join(pid.trim());
    let deadline = Instant::now() + TIMEOUT;
    while is_alive(&process) {
        assert!(Instant::now() < deadline, "the process that missed its deadline still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn is_alive(process: &Path) -> bool {
    std::fs::read_to_string(process.join("status")).is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test]
async fn workers_that_end_or_talk_nonsense() {
    for text in [
        "exit 1",
        "kill -SEGV $$",
        "head -c 40 > /dev/null; exit 0",
        "echo nonsense nonsense nonsense nonsense; exec cat > /dev/null",
        // A right header that announces more than is allowed, then one whose body never comes whole.
        "printf 'MPIC\\000\\377\\377\\377\\377'; exec cat > /dev/null",
        "printf 'MPIC\\000\\000\\000\\000\\377abc'; exit 0",
        // An image that is none, and an unknown reason.
        "printf 'MPIC\\000\\000\\000\\000\\011\\000\\000\\000\\000\\001\\000\\000\\000\\001'; exec cat > /dev/null",
        "printf 'MPIC\\001\\000\\000\\000\\005what '; exec cat > /dev/null",
    ] {
        let mut decoder = Decoder::start(script(text));
        let answer = decoder.decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await;
        assert_eq!(reason(answer), Some(Reason::Crashed), "{text}");
    }
    let missing = WorkerCommand { program: PathBuf::from("/nonexistent"), ..command() };
    let answer = Decoder::start(missing).decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await;
    assert_eq!(reason(answer), Some(Reason::Crashed));
}

#[tokio::test]
async fn a_dropped_call_does_not_confuse_the_next() {
    let mut decoder = Decoder::start(command());
    assert!(decoder.decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await.is_ok());
    let second = job("cropped", ImageFormat::Jpeg);
    tokio::select! {
        biased;
        _ = decoder.decode(&second, TIMEOUT) => {}
        () = std::future::ready(()) => {}
    }
    let image = decoder.decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await.unwrap();
    assert_eq!((image.width, image.height), (128, 96), "not the cropped one");
}

#[cfg(target_os = "linux")]
fn limit(limits: &str, name: &str) -> String {
    let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.get(name.len()..).unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_has_limits_and_no_environment() {
    let mut decoder = Decoder::start(command());
    assert!(decoder.decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await.is_ok());
    // Tests beside this one start workers too, which have their limits a moment later.
    let begun = std::time::Instant::now();
    let (worker, limits) = loop {
        let workers = children().into_iter().filter(|process| {
            std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("picture-worker"))
                && std::fs::read_to_string(process.join("environ")).is_ok_and(|variables| variables.is_empty())
        });
        let read = |worker: std::path::PathBuf| {
            let limits = std::fs::read_to_string(worker.join("limits")).ok()?;
            Some((worker, limits))
        };
        let mut all: Vec<_> = workers.filter_map(read).collect();
        assert!(!all.is_empty(), "no worker without environment");
        let are_limited = all.iter().all(|(_, limits)| limit(limits, "Max open files") == "3");
        if are_limited || begun.elapsed().as_secs() > 10 {
            break all.swap_remove(0);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let limit = |name: &str| limit(&limits, name);
    assert_eq!(limit("Max open files"), "3");
    assert_eq!(limit("Max address space"), (1_u64 << 30).to_string());
    assert_eq!((limit("Max file size"), limit("Max core file size")), ("0".to_owned(), "0".to_owned()));
    assert!(limit("Max cpu time").parse::<u64>().is_ok_and(|seconds| seconds <= 70));
    let status = std::fs::read_to_string(worker.join("status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let stat = std::fs::read_to_string(worker.join("stat")).unwrap();
    let nice: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse().unwrap();
    assert!(nice >= 10, "nice {nice}");
}

#[cfg(target_os = "linux")]
fn children() -> Vec<PathBuf> {
    let own = format!("PPid:\t{}\n", std::process::id());
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| std::fs::read_to_string(path.join("status")).is_ok_and(|status| status.contains(&own)))
        .collect()
}

#[tokio::test]
async fn a_worker_that_needs_too_much_memory_is_refused_by_the_kernel() {
    let mut command = command();
    // Enough to start, not enough for the request that is announced.
    command.limits.memory_bytes = 64 << 20;
    command.limits.max_request_bytes = 256 << 20;
    let mut unit = units("baseline")[0].to_vec();
    unit.resize(unit.len() + (100 << 20), 0xAA);
    let mut decoder = Decoder::start(command);
    let answer = decoder.decode(&Job::new(vec![Bytes::from(unit)], Output::default()), TIMEOUT).await;
    assert_eq!(reason(answer), Some(Reason::Crashed));
}

/// Fields and MBAFF by a configured ffmpeg; without one, and for exact frames, they are refused.
#[tokio::test]
async fn interlaced_key_frames_need_an_ffmpeg() {
    let mut decoder = Decoder::start(command());
    let fields = job("mbaff", ImageFormat::Planes);
    assert_eq!(reason(decoder.decode(&fields, TIMEOUT).await), Some(Reason::Interlaced));
    assert_eq!(decoder.starts(), 0, "no process was troubled with it");
    let Some(ffmpeg) =
        ["/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg"].map(PathBuf::from).into_iter().find(|path| path.exists())
    else {
        println!("no ffmpeg here: only the refusal was seen");
        return;
    };
    let mut command = command();
    command.limits.ffmpeg = Some(ffmpeg);
    let mut decoder = Decoder::start(command.clone());
    // Planes are in JPEG's numbers; grey values of the same range prove which frame it is better through the raw path.
    let image = decoder.decode(&fields, TIMEOUT).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!((image.width, image.height), (128, 96));
    let exact = Job::new(units("mbaff")[..2].to_vec(), Output::default());
    assert_eq!(reason(decoder.decode(&exact, TIMEOUT).await), Some(Reason::Interlaced));
    assert!(decoder.decode(&job("baseline", ImageFormat::Jpeg), TIMEOUT).await.is_ok());
    command.limits.ffmpeg = Some(PathBuf::from("/bin/false"));
    let answer = Decoder::start(command).decode(&fields, TIMEOUT).await;
    assert_eq!(reason(answer), Some(Reason::Broken));
}

/// Full range BT.601 passes through a worker as it was decoded.
#[tokio::test]
async fn planes_of_a_worker_are_those_of_ffmpeg() {
    let mut decoder = Decoder::start(command());
    let name = "full-range-601";
    let image = decoder.decode(&job(name, ImageFormat::Planes), TIMEOUT).await.unwrap();
    let digest: String = Md5::digest(&image.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, frames(name)[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_two_workers() {
    let queue = Arc::new(Queue::new(QueueLimits { deadline: TIMEOUT, wait: TIMEOUT, ..QueueLimits::default() }));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.work(command()).await })
        })
        .collect();
    let answers: Vec<_> = (0..30).map(|channel| queue.offer(channel, job("baseline", ImageFormat::Jpeg))).collect();
    let broken = queue.offer(99, job("422", ImageFormat::Jpeg));
    for answer in answers {
        assert_eq!(answer.await.unwrap().map(|image| image.width), Ok(128));
    }
    assert_eq!(reason(broken.await.unwrap()), Some(Reason::Chroma));
    queue.close();
    for worker in workers {
        tokio::time::timeout(TIMEOUT, worker).await.expect("ends").unwrap();
    }
    let counters = queue.counters().read();
    assert_eq!((counters.offered, counters.taken, counters.of(Reason::Chroma)), (31, 30, 1));
    assert!((1..=2).contains(&counters.workers_started), "{counters:?}");
}
