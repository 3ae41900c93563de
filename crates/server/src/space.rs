//! What the disk of the data directory can take. Below a reserve of free space, and while it cannot be written to, uploads
//! are refused before they use the last of it up; deletions, the ends of uploads and running pushes go on. It recovers by
//! itself: the disk is looked at every second.
//!
//! A process has one data directory, which it locks, so its state is one of the process.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Error, ErrorCode};
use parking_lot::Mutex;
use store::blob::BlobStore;
use tokio::task::JoinHandle;

use crate::shutdown::Shutdown;

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is written to, while nothing is wrong and while something is.
const PROBE_EVERY: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];
/// After so long without an answer the disk counts as hanging.
const SILENCE: Duration = Duration::from_secs(5);
/// The name of the file that is written, in the folder of the blobs: no blob is called so.
const PROBE: &str = ".probe";
/// The part of the file system that is kept free at most.
const SHARE: u64 = 20;
/// What is free above the reserve at least, as long as something can go that is kept for readers only; as much as the reserve where that is
/// more. It is what pushes write between two looks.
const LEAST_ROOM: u64 = 4 << 20;

/// What is wrong with the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// Less is free than is kept for deletions and pushes.
    Full { free: u64, reserve: u64 },
    /// It takes nothing.
    Failing { why: String, free: u64, reserve: u64 },
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Full { free, reserve } => {
                write!(f, "the disk has {free} bytes free, less than the reserve of {reserve} bytes")
            }
            Trouble::Failing { why, free, reserve } => {
                write!(
                    f,
                    "the disk cannot be written to ({why}); {free} bytes are free, the reserve is {reserve} bytes"
                )
            }
        }
    }
}

/// What is known of the disk.
#[derive(Debug)]
struct State {
    trouble: Mutex<Option<Trouble>>,
    is_in_trouble: AtomicBool,
    /// Free bytes above the reserve at the last look, the reserve, and what was taken in since.
    room: AtomicU64,
    reserve: AtomicU64,
    admitted: AtomicU64,
}

static STATE: State = State::new();
static IS_SUSPECTED: AtomicBool = AtomicBool::new(false);

impl State {
    const fn new() -> Self {
        Self {
            trouble: Mutex::new(None),
            is_in_trouble: AtomicBool::new(false),
            room: AtomicU64::new(u64::MAX),
            reserve: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
        }
    }

    /// How much more has to be free before nothing that is kept for readers only need go.
    fn missing_room(&self) -> u64 {
        let wanted = self.reserve.load(Ordering::Relaxed).max(LEAST_ROOM);
        wanted.saturating_sub(self.room.load(Ordering::Relaxed))
    }

    /// What speaks against taking in so many bytes.
    fn objection(&self, bytes: u64) -> Option<Trouble> {
        let admitted = self.admitted.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if self.is_in_trouble.load(Ordering::Relaxed) {
            return self.trouble.lock().clone();
        }
        let room = self.room.load(Ordering::Relaxed);
        // A fast upload does not wait for the next look.
        (admitted > room).then(|| {
            let reserve = self.reserve.load(Ordering::Relaxed);
            Trouble::Full { free: room.saturating_add(reserve).saturating_sub(admitted), reserve }
        })
    }
}

/// Sees to it that what is kept on the disk for readers only takes no room that is needed to record, until the word to stop.
pub(crate) async fn keep_room(blobs: Arc<dyn BlobStore>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match STATE.missing_room() {
            0 => {}
            missing => blobs.give_room(missing).await,
        }
    }
}

/// Whether so many bytes can be taken in now. If not, 503 with the time after which another attempt makes sense.
///
/// # Errors
/// `ServiceUnavailable`, which names the free bytes and the reserve.
pub(crate) fn admit_upload(bytes: usize) -> Result<(), Error> {
    let Some(trouble) = STATE.objection(bytes as u64) else { return Ok(()) };
    metrics::counter!(crate::metrics::DISK_REFUSED).increment(1);
    Err(Error::new(ErrorCode::ServiceUnavailable)
        .message(format!("No uploads now: {trouble}. Deletions are carried out. Please try again later."))
        .header("retry-after", "30"))
}

/// What is wrong with the disk, for people.
pub(crate) fn trouble() -> Option<String> {
    STATE.trouble.lock().as_ref().map(ToString::to_string)
}

/// Whether room is scarce, so that what was deleted is to go soon.
pub(crate) fn is_scarce() -> bool {
    STATE.is_in_trouble.load(Ordering::Relaxed)
}

/// Somebody could not write: the disk is looked at now rather than at its turn.
pub(crate) fn suspect() {
    IS_SUSPECTED.store(true, Ordering::Relaxed);
}

/// The disk of one data directory.
pub(crate) struct Disk {
    state: &'static State,
    folder: PathBuf,
    reserve_bytes: u64,
    /// A look that has not come back yet, and since when.
    look: Option<(JoinHandle<Looked>, Instant)>,
    probed: Option<Instant>,
    /// What the last probe came to.
    failure: Option<String>,
    /// Free bytes and the reserve, as last seen.
    last: (u64, u64),
}

/// What a look found.
struct Looked {
    room: io::Result<Room>,
    probe: Option<io::Result<()>>,
}

struct Room {
    free: u64,
    size: u64,
    is_read_only: bool,
}

impl Disk {
    /// The disk below the folder of the blobs.
    pub(crate) fn new(folder: PathBuf, reserve_mib: u64) -> Self {
        let reserve_bytes = reserve_mib.saturating_mul(1 << 20);
        Self { state: &STATE, folder, reserve_bytes, look: None, probed: None, failure: None, last: (0, 0) }
    }

    /// Looks for the first time, before anybody uploads. Blocks.
    pub(crate) fn begin(&mut self) {
        let looked = look(&self.folder, true);
        self.probed = Some(Instant::now());
        self.learn(looked);
    }

    /// Looks at the disk until the word to stop.
    pub(crate) async fn watch(mut self, mut shutdown: Shutdown) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                _ = looks.tick() => {}
            }
            self.turn().await;
        }
    }

    async fn turn(&mut self) {
        let (task, since) = match self.look.take() {
            Some(look) => look,
            None => (self.begin_look(), Instant::now()),
        };
        let mut task = task;
        match tokio::time::timeout(LOOK_EVERY, &mut task).await {
            Ok(Ok(looked)) => self.learn(looked),
            Ok(Err(_)) => {}
            // Nobody can end a call that the disk does not answer; it is waited for, and no second one made.
            Err(_) => {
                self.look = Some((task, since));
                if since.elapsed() >= SILENCE {
                    self.failure = Some(format!("it has not answered for {} s", since.elapsed().as_secs()));
                    self.show(None);
                }
            }
        }
    }

    fn begin_look(&mut self) -> JoinHandle<Looked> {
        let [calm, troubled] = PROBE_EVERY;
        let pause = if self.failure.is_some() { troubled } else { calm };
        let is_suspected = IS_SUSPECTED.swap(false, Ordering::Relaxed);
        let does_probe = is_suspected || self.probed.is_none_or(|probed| probed.elapsed() >= pause);
        if does_probe {
            self.probed = Some(Instant::now());
        }
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || look(&folder, does_probe))
    }

    fn learn(&mut self, looked: Looked) {
        match looked.probe {
            Some(Ok(())) => self.failure = None,
            // A full disk is said by its numbers.
            Some(Err(error)) if error.kind() == io::ErrorKind::StorageFull => {
                self.failure = Some("it is full".to_owned())
            }
            Some(Err(error)) => self.failure = Some(error.to_string()),
            None => {}
        }
        match looked.room {
            Ok(room) => {
                if room.is_read_only {
                    self.failure = Some("it is mounted read-only".to_owned());
                }
                self.show(Some(&room));
            }
            Err(error) => {
                self.failure = Some(error.to_string());
                self.show(None);
            }
        }
    }

    fn show(&mut self, room: Option<&Room>) {
        if let Some(room) = room {
            self.last = (room.free, self.reserve_bytes.min(room.size / SHARE));
            metrics::gauge!(crate::metrics::DISK_FREE).set(room.free as f64);
            metrics::gauge!(crate::metrics::DISK_SIZE).set(room.size as f64);
            metrics::gauge!(crate::metrics::DISK_RESERVE).set(self.last.1 as f64);
        }
        let (free, reserve) = self.last;
        self.state.reserve.store(reserve, Ordering::Relaxed);
        self.state.room.store(free.saturating_sub(reserve), Ordering::Relaxed);
        self.state.admitted.store(0, Ordering::Relaxed);
        let found = match &self.failure {
            Some(why) => Some(Trouble::Failing { why: why.clone(), free, reserve }),
            None if free < reserve => Some(Trouble::Full { free, reserve }),
            None => None,
        };
        let mut known = self.state.trouble.lock();
        match (&*known, &found) {
            (None, Some(trouble)) => tracing::error!("uploads are refused: {trouble}"),
            (Some(_), None) => tracing::info!(free, reserve, "the disk takes uploads again"),
            _ => {}
        }
        metrics::gauge!(crate::metrics::DISK_WRITABLE).set(if found.is_some() { 0.0 } else { 1.0 });
        self.state.is_in_trouble.store(found.is_some(), Ordering::Relaxed);
        *known = found;
    }
}

/// One look. Blocks for as long as the disk does.
fn look(folder: &Path, does_probe: bool) -> Looked {
    let room = rustix::fs::statvfs(folder).map_err(io::Error::from).map(|system| Room {
        free: system.f_bavail.saturating_mul(system.f_frsize),
        size: system.f_blocks.saturating_mul(system.f_frsize),
        is_read_only: system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    });
    Looked { room, probe: does_probe.then(|| probe(folder)) }
}

/// Writes a block, has it flushed, and takes it away.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()
    });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_below_its_reserve_and_broken_when_it_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // Of its own: other tests of this process upload.
        let state: &'static State = Box::leak(Box::new(State::new()));
        let mut disk = Disk { state, ..Disk::new(folder.path().to_owned(), 1) };
        let mib = 1 << 20;
        let mut check = |free, size, probe: io::Result<()>, expected: Option<&str>| {
            disk.learn(Looked { room: Ok(Room { free, size, is_read_only: false }), probe: Some(probe) });
            let found = state.objection(1).map(|trouble| trouble.to_string());
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        check(2 * mib, 100 * mib, Ok(()), None);
        check(mib - 1, 100 * mib, Ok(()), Some("1048575 bytes free, less than the reserve of 1048576 bytes"));
        check(mib - 1, 10 * mib, Ok(()), None);
        check(2 * mib, 100 * mib, Err(io::Error::from_raw_os_error(5)), Some("Input/output error"));
        check(2 * mib, 100 * mib, Ok(()), None);
        // One byte was taken in before.
        assert_eq!(state.objection(mib), Some(Trouble::Full { free: mib - 1, reserve: mib }));
        check(2 * mib, 100 * mib, Ok(()), None);
        for (reserve, room, missing) in
            [(mib, u64::MAX, 0), (mib, 4 * mib, 0), (mib, mib, 3 * mib), (9 * mib, 0, 9 * mib)]
        {
            state.reserve.store(reserve, Ordering::Relaxed);
            state.room.store(room, Ordering::Relaxed);
            assert_eq!(state.missing_room(), missing);
        }
        assert!(probe(folder.path()).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(probe(&folder.path().join("absent")).is_err());
    }
}
