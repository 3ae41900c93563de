//! The side that asks: one worker process, started when it is first needed and again after it ended.

use super::protocol::{self, HEADER, JOB, LIMITS, WorkerLimits};
use crate::job::{Image, ImageFormat, Job, inspect};
use crate::picture::plane_size;
use crate::refusal::{Reason, Refusal};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How a worker process is started: a program that calls [`worker_main`](crate::worker_main).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program, usually `std::env::current_exe()`.
    pub program: PathBuf,
    /// Its arguments, usually the name of a hidden subcommand.
    pub arguments: Vec<OsString>,
    /// Its bounds.
    pub limits: WorkerLimits,
}

/// A decoder in a process of its own.
///
/// The process starts with the first picture, has no environment and no open files but its pipes, and is killed when it
/// misses a deadline, when a call of [`decode`](Self::decode) is dropped, and with this value. The next picture starts
/// another one.
#[derive(Debug)]
pub struct Decoder {
    command: WorkerCommand,
    running: Option<Running>,
    starts: u64,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Decoder {
    /// A decoder whose process will be started by the first picture.
    pub fn start(command: WorkerCommand) -> Self {
        Self { command, running: None, starts: 0 }
    }

    /// Processes started so far.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Whether a process is running.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Ends the process, which gives its memory back. The next picture starts one.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end().await;
        }
    }

    /// Makes one image, at most one at a time.
    ///
    /// What the parameter sets rule out is refused here, without troubling the process. Dropping the future ends the
    /// process, since nobody knows then what its next answer belongs to.
    ///
    /// # Errors
    /// Each [`Reason`] but [`Reason::Late`], [`Reason::Full`] and [`Reason::Stopped`].
    pub async fn decode(&mut self, job: &Job, deadline: Duration) -> Result<Image, Refusal> {
        let inspected = inspect(&job.units, self.command.limits.max_pixels)?;
        if inspected.is_interlaced && self.command.limits.ffmpeg.is_none() {
            return Err(Refusal::new(Reason::Interlaced, "field pictures or MBAFF, and no ffmpeg is configured"));
        }
        if job.bytes() + 4 * job.units.len() + 64 > self.command.limits.max_request_bytes as usize {
            return Err(Refusal::new(Reason::Bytes, format!("access units of {} bytes", job.bytes())));
        }
        let worker = self.running.take();
        let attempt = async {
            let mut running = match worker {
                Some(running) => running,
                None => {
                    self.starts += 1;
                    Running::start(&self.command).await?
                }
            };
            let answer = running.exchange(job, self.command.limits.max_answer_bytes).await?;
            Ok::<_, io::Error>((running, answer))
        };
        match tokio::time::timeout(deadline, attempt).await {
            Ok(Ok((running, answer))) => {
                self.running = Some(running);
                answer.and_then(|image| check(image, job))
            }
            // The process was dropped with the attempt, which kills it.
            Ok(Err(error)) => Err(Refusal::new(Reason::Crashed, format!("worker: {error}"))),
            Err(_) => Err(Refusal::new(Reason::Deadline, format!("no picture within {} ms", deadline.as_millis()))),
        }
    }
}

/// A worker is not trusted further than its answers make sense.
fn check(image: Image, job: &Job) -> Result<Image, Refusal> {
    let plane = |index| {
        let (width, height) = plane_size(image.width, image.height, index);
        u64::from(width) * u64::from(height)
    };
    let fits = match image.format {
        ImageFormat::Jpeg => image.bytes.starts_with(&[0xFF, 0xD8]),
        ImageFormat::Png => image.bytes.starts_with(b"\x89PNG"),
        ImageFormat::Planes => image.bytes.len() as u64 == plane(0) + plane(1) + plane(2),
    };
    if image.format == job.output().format && fits {
        Ok(image)
    } else {
        Err(Refusal::new(Reason::Crashed, "the worker's image is none"))
    }
}

impl Running {
    async fn start(command: &WorkerCommand) -> io::Result<Self> {
        let mut process = Command::new(&command.program);
        process.args(&command.arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        process.stderr(Stdio::null()).kill_on_drop(true);
        #[cfg(unix)]
        process.current_dir("/").process_group(0);
        let mut child = process.spawn()?;
        let missing = || io::Error::other("no pipe");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let mut running = Self { child, input, output };
        let limits = protocol::put_limits(&command.limits);
        running.say(LIMITS, limits.len(), &limits).await?;
        Ok(running)
    }

    async fn say(&mut self, kind: u8, length: usize, first: &[u8]) -> io::Result<()> {
        let header = protocol::header(kind, length).ok_or_else(|| io::Error::other("frame of 4 GiB"))?;
        self.input.write_all(&header).await?;
        self.input.write_all(first).await
    }

    async fn exchange(&mut self, job: &Job, most: u32) -> io::Result<Result<Image, Refusal>> {
        let (head, total) = protocol::put_job(job);
        self.say(JOB, total, &head).await?;
        for unit in &job.units {
            let length = u32::try_from(unit.len()).map_err(io::Error::other)?;
            self.input.write_all(&length.to_be_bytes()).await?;
            self.input.write_all(unit).await?;
        }
        self.input.flush().await?;
        let mut header = [0; HEADER];
        self.output.read_exact(&mut header).await?;
        let (kind, length) = protocol::read_header(header, most).map_err(io::Error::other)?;
        let mut body = Vec::new();
        // Memory grows with what arrives, not with what was announced.
        (&mut self.output).take(length as u64).read_to_end(&mut body).await?;
        if body.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        protocol::read_answer(kind, &body).map_err(io::Error::other)
    }

    /// A worker ends by itself when its input does; it is killed all the same, since it may be mad.
    async fn end(mut self) {
        self.kill_group();
        drop(self.child.kill().await);
    }

    /// A worker leads a process group of its own, so that an ffmpeg it started goes with it. The process id is only known
    /// here until the process was waited for, so it cannot be that of another.
    fn kill_group(&self) {
        #[cfg(target_os = "linux")]
        if let Some(group) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}
