//! When a connection is read, and into what.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use super::backlog::Backlog;

/// Read at once; large enough that a system call costs little beside its bytes.
const READ_BYTES: usize = 64 * 1024;
/// Room for a read of which it is not known what it will find.
const MIN_READ_BYTES: usize = 512;
/// Read at once before a publish is admitted: commands are short, and strangers many.
const EARLY_READ_BYTES: usize = 4 * 1024;
/// Read at once by a push that is faster than live.
const FAST_READ_BYTES: usize = 1024 * 1024;
/// Reads in a row that filled the buffer, after which a push counts as faster than live. A key frame is less.
const FAST_READS: u8 = 8;
/// How long a publishing connection is left alone after a read that did not fill the buffer, where the system cannot be
/// asked to gather ([`Backlog::set_low_water`]; TLS). Encoders write a frame in many small pieces; taken one by one each
/// would cost a wake-up, a read and a second read that finds nothing, which is most of what ingest costs. Latency grows by
/// as much, which is a fiftieth of what is allowed.
const COALESCE: Duration = Duration::from_millis(1);
/// The same for a push that is faster than live, which nobody watches.
const FAST_COALESCE: Duration = Duration::from_millis(3);
/// The least and the most that the system gathers before it wakes us. A mark must be well below the receive buffer.
const GATHERED: [usize; 2] = [1 << 10, 48 << 10];
/// Key frames whose sizes are remembered.
const KEY_FRAMES: usize = 4;
/// Buffers of a fast push that wait to be used again; the media of one is looked at while the next is read.
const MAX_SPENT: usize = 3;

/// How one connection reads: below its channel's quota, averaged over a second (LiveChannel 7.4), and not more often than
/// it pays.
pub(super) struct Intake {
    bytes_per_second: u64,
    window_start: Instant,
    bytes: u64,
    resume_at: Option<Instant>,
    /// Reads in a row of at least [`READ_BYTES`].
    large_reads: u8,
    /// What a fast push was read into earlier and may still be looked at.
    spent: VecDeque<BytesMut>,
    /// Sizes of the last key frames.
    key_frames: VecDeque<usize>,
    /// What the system was asked to gather; `None` where it cannot be asked.
    low_water: Option<usize>,
}

impl Intake {
    /// A quota in Mbit/s; 0 is none.
    pub(super) fn new(mbit_s: u32, now: Instant) -> Self {
        Self {
            bytes_per_second: u64::from(mbit_s) * 1_000_000 / 8,
            window_start: now,
            bytes: 0,
            resume_at: None,
            large_reads: 0,
            spent: VecDeque::new(),
            key_frames: VecDeque::new(),
            low_water: Some(1),
        }
    }

    /// Notes the size of a key frame.
    pub(super) fn note_key_frame(&mut self, bytes: usize) {
        self.key_frames.push_back(bytes);
        if self.key_frames.len() > KEY_FRAMES {
            self.key_frames.pop_front();
        }
    }

    /// Asks the system to wake us for what matters: a key frame, which ends a segment, at once, and what lies between key
    /// frames when enough of it has come, or by the next tick ([`Self::read_waiting`]). `key_frame_rest` is what is missing
    /// of a key frame that has begun to come.
    pub(super) fn gather<S: Backlog>(&mut self, stream: &S, is_publishing: bool, key_frame_rest: usize) {
        let Some(asked) = self.low_water else { return };
        let [least, most] = GATHERED;
        let wanted = match (is_publishing && !self.is_fast(), key_frame_rest, self.key_frames.iter().min()) {
            (false, ..) | (true, 0, None) => 1,
            // Half of the smallest of the last ones: the next one may be smaller, and what lies before it counts too.
            (true, 0, Some(smallest)) => (smallest / 2).clamp(least, most),
            (true, rest, _) => rest.min(most),
        };
        if wanted != asked {
            self.low_water = stream.set_low_water(wanted).then_some(wanted);
        }
    }

    /// Whether small reads come together in the system.
    fn is_gathering(&self) -> bool {
        self.low_water.is_some_and(|bytes| bytes > 1)
    }

    /// What has come since the last read, when it was too little to be woken for.
    pub(super) fn read_waiting<S: Backlog>(&self, stream: &S, buffer: &mut BytesMut) -> std::io::Result<usize> {
        if !self.is_gathering() || self.resume_at.is_some_and(|at| at > Instant::now()) {
            return Ok(0);
        }
        stream.read_waiting(buffer, READ_BYTES)
    }

    /// Makes room behind what `buffer` holds for one read of what is `waiting`, if that is known.
    fn make_room(&mut self, buffer: &mut BytesMut, waiting: Option<usize>, is_publishing: bool) {
        if !is_publishing {
            self.large_reads = 0;
        }
        if !self.is_fast() {
            self.spent.clear();
            let most = if is_publishing { READ_BYTES } else { EARLY_READ_BYTES };
            // A read that leaves room unused tells the runtime that nothing is left, and saves it another that finds nothing.
            return buffer.reserve(waiting.map_or(most, |count| count.saturating_add(1).clamp(MIN_READ_BYTES, most)));
        }
        if buffer.try_reclaim(FAST_READ_BYTES) {
            return;
        }
        // Fresh memory costs more than reading into it, so what is no longer looked at is used again.
        let wanted = buffer.len() + FAST_READ_BYTES;
        let mut next = self.spent.pop_front().unwrap_or_default();
        if !next.try_reclaim(wanted) {
            next = BytesMut::with_capacity(wanted + READ_BYTES);
        }
        next.extend_from_slice(buffer);
        let mut full = std::mem::replace(buffer, next);
        full.clear();
        self.spent.push_back(full);
        self.spent.truncate(MAX_SPENT);
    }

    /// Reads when the quota allows. Cancelled while it waits, it goes on waiting at the next call. A connection on which
    /// nothing comes holds no buffer.
    pub(super) async fn read<S: AsyncRead + Backlog + Unpin>(
        &mut self,
        stream: &mut S,
        buffer: &mut BytesMut,
        is_publishing: bool,
    ) -> std::io::Result<usize> {
        if let Some(resume_at) = self.resume_at {
            tokio::time::sleep_until(resume_at).await;
            self.resume_at = None;
        }
        poll_fn(|context| stream.poll_arrival(context)).await?;
        // A fast push reads as much as it can anyway.
        let waiting = if self.is_fast() { None } else { stream.waiting() };
        self.make_room(buffer, waiting, is_publishing);
        stream.read_buf(buffer).await
    }

    /// Whether bytes come faster than anybody watches them.
    pub(super) fn is_fast(&self) -> bool {
        self.large_reads >= FAST_READS
    }

    /// Notes what a read brought, and when the next one is due.
    pub(super) fn count(&mut self, count: usize) {
        let was_fast = self.is_fast();
        self.large_reads = if count < READ_BYTES { 0 } else { self.large_reads.saturating_add(1) };
        let (buffer, pause) = if was_fast { (FAST_READ_BYTES, FAST_COALESCE) } else { (READ_BYTES, COALESCE) };
        if count < buffer && !self.is_gathering() {
            self.resume_at = Some(Instant::now() + pause);
        }
        if self.bytes_per_second == 0 {
            return;
        }
        self.bytes += count as u64;
        let elapsed = self.window_start.elapsed();
        if self.bytes >= self.bytes_per_second {
            // What arrived is worth this much time at the quota.
            let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
            let now = Instant::now();
            let resume_at = now + due.saturating_sub(elapsed);
            self.resume_at = self.resume_at.max((resume_at > now).then_some(resume_at));
            self.window_start = resume_at;
            self.bytes = 0;
        } else if elapsed >= Duration::from_secs(1) {
            self.window_start = Instant::now();
            self.bytes = 0;
        }
    }
}
