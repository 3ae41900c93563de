//! Pictures: those that channels ask for (LiveChannel 6.2), and those that requests ask for. What decodes runs in processes
//! of its own (`docs/design/snapshots.md`); here is what feeds them, and what becomes of what they give.
//!
//! Pictures of pushes and pictures of requests have a queue and processes each, so that whoever may read a recording
//! cannot hold up what a channel was promised.

mod delivery;
mod key_frames;
mod newest;
mod notice;
mod progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::name::{AccessKeyId, BucketName, ChannelName};
use pictures::{Image, Job, Output, Queue, QueueLimits, Reason, Refusal, WorkerCommand, WorkerLimits};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

pub(crate) use key_frames::KeyFrames;
pub(crate) use newest::{ImageName, KeyFrame};
pub(crate) use progress::{Progress, ShownProgress};

use crate::clock::Clock;
use crate::config::SnapshotsConfig;
use crate::objects::Objects;
use newest::{Images, Newest};

/// The hidden subcommand that is a decoder.
pub(crate) const WORKER: &str = "picture-worker";

/// Whose pictures they are.
pub(crate) type ChannelId = (BucketName, ChannelName);

/// How long a request waits for others that look for their pictures.
const TURN: Duration = Duration::from_secs(5);
/// Requests for storyboards that are carried out at once.
const STORYBOARDS: usize = 1;

/// What makes pictures.
pub(crate) struct Stills {
    objects: Arc<Objects>,
    clock: Clock,
    settings: SnapshotsConfig,
    /// The key of the account, in whose name pictures are stored.
    root: AccessKeyId,
    workers: usize,
    of_pushes: Arc<Queue<ChannelId>>,
    of_requests: Arc<Queue<u64>>,
    /// Numbers of requests, so that none replaces another.
    requests: AtomicU64,
    looking: Semaphore,
    storyboards: Semaphore,
    notices: Semaphore,
    newest: Newest,
    images: Images,
}

impl Stills {
    /// What makes pictures, as configured. Nothing runs before [`Stills::start`].
    pub(crate) fn new(settings: SnapshotsConfig, objects: Arc<Objects>, root: AccessKeyId, clock: Clock) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if settings.workers > 0 { settings.workers } else { (processors / 2).max(1) };
        let limits = |deadline_ms| QueueLimits {
            waiting: settings.max_waiting,
            deadline: Duration::from_millis(deadline_ms),
            ..QueueLimits::default()
        };
        let of_requests = QueueLimits {
            // A viewer waits for as long as the pictures before theirs take.
            wait: Duration::from_millis(settings.request_deadline_ms),
            ..limits(settings.request_deadline_ms)
        };
        Self {
            of_pushes: Arc::new(Queue::new(limits(settings.deadline_ms))),
            of_requests: Arc::new(Queue::new(of_requests)),
            requests: AtomicU64::new(0),
            looking: Semaphore::new(workers + 1),
            storyboards: Semaphore::new(STORYBOARDS),
            notices: Semaphore::new(notice::AT_ONCE),
            newest: Newest::new(settings.stills_mib << 20),
            images: Images::default(),
            objects,
            clock,
            settings,
            root,
            workers,
        }
    }

    /// Whether pictures are made.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.enabled
    }

    /// The tasks that own decoders. They end after [`Stills::close`].
    pub(crate) fn start(&self) -> Vec<JoinHandle<()>> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut tasks = Vec::new();
        for _ in 0..self.workers {
            let (queue, command) = (self.of_pushes.clone(), self.command(self.settings.deadline_ms));
            tasks.push(crate::panics::spawn("pictures of pushes", async move { queue.work(command).await }));
            let (queue, command) = (self.of_requests.clone(), self.command(self.settings.request_deadline_ms));
            tasks.push(crate::panics::spawn("pictures of requests", async move { queue.work(command).await }));
        }
        tasks
    }

    /// No picture is begun any more.
    pub(crate) fn close(&self) {
        self.of_pushes.close();
        self.of_requests.close();
    }

    fn command(&self, deadline_ms: u64) -> WorkerCommand {
        // Processor time is a second bound behind the deadline, for a worker whose owner is gone.
        let cpu_seconds = u32::try_from(deadline_ms.div_ceil(1000)).unwrap_or(u32::MAX).saturating_add(2);
        WorkerCommand {
            program: own_program(),
            arguments: vec![WORKER.into()],
            limits: WorkerLimits {
                cpu_seconds,
                max_pixels: self.settings.max_pixels,
                ffmpeg: self.settings.ffmpeg.clone(),
                ..WorkerLimits::default()
            },
        }
    }

    /// The quality of JPEG files.
    pub(crate) fn jpeg_quality(&self) -> u8 {
        self.settings.jpeg_quality
    }

    /// Makes a picture that a request asks for.
    ///
    /// # Errors
    /// Any [`Reason`]; [`Reason::Stopped`] also where pictures are not made.
    pub(crate) async fn make(&self, job: Job) -> Result<Image, Refusal> {
        if !self.is_on() {
            return Err(Refusal::new(Reason::Stopped, "pictures are switched off"));
        }
        let key = self.requests.fetch_add(1, Ordering::Relaxed);
        let gone = || Err(Refusal::new(Reason::Stopped, "the worker went away"));
        self.of_requests.offer(key, job).await.unwrap_or_else(|_| gone())
    }

    /// A place among the few requests that look for their pictures in recordings, each with up to 64 MiB.
    ///
    /// # Errors
    /// [`Reason::Full`] when there is none for 5 s.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        place(&self.looking, "too many requests look for a picture").await
    }

    /// A place among the few storyboards that are made at once.
    ///
    /// # Errors
    /// [`Reason::Full`] when there is none for 5 s.
    pub(crate) async fn storyboard_turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        place(&self.storyboards, "another storyboard is being made").await
    }

    /// The newest key frame of a channel on air, where it is kept.
    pub(crate) fn newest(&self, channel: &ChannelId) -> Option<Arc<KeyFrame>> {
        self.newest.get(channel)
    }

    /// The image of this name, which `make` makes unless it was made lately. Who asks for the same at the same time waits
    /// for one making of it.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) async fn image<E>(
        &self,
        name: ImageName,
        make: impl Future<Output = Result<Image, E>>,
    ) -> Result<Image, E> {
        self.images.get_or_make(name, make).await
    }

    /// Counts for whoever reads the metrics.
    pub(crate) fn measure(&self) {
        use crate::metrics as names;
        for (queue, counters, waiting) in [
            ("pushes", self.of_pushes.counters().read(), self.of_pushes.len()),
            ("requests", self.of_requests.counters().read(), self.of_requests.len()),
        ] {
            metrics::counter!(names::PICTURES_OFFERED, "queue" => queue).absolute(counters.offered);
            metrics::counter!(names::PICTURES_MADE, "queue" => queue).absolute(counters.taken);
            metrics::counter!(names::PICTURES_BUSY_MS, "queue" => queue).absolute(counters.busy_us / 1000);
            metrics::counter!(names::PICTURE_WORKERS_STARTED, "queue" => queue).absolute(counters.workers_started);
            metrics::gauge!(names::PICTURES_WAITING, "queue" => queue)
                .set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
            for (reason, count) in counters.refused {
                let labels = [("queue", queue), ("reason", reason.label())];
                metrics::counter!(names::PICTURES_REFUSED, &labels).absolute(count);
            }
        }
    }
}

/// What a JPEG of a channel is: the size of its video.
fn plain(settings: &SnapshotsConfig) -> Output {
    Output { quality: settings.jpeg_quality, ..Output::default() }
}

async fn place<'a>(places: &'a Semaphore, full: &'static str) -> Result<SemaphorePermit<'a>, Refusal> {
    match tokio::time::timeout(TURN, places.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Refusal::new(Reason::Full, full)),
    }
}

/// This program. On Linux by the way that also leads to it after the file was replaced by a newer one.
fn own_program() -> std::path::PathBuf {
    let itself = std::path::PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") { itself } else { std::env::current_exe().unwrap_or(itself) }
}
