//! Finding a picture in a recorded transport stream, with bounded memory and one pass.

use crate::job::Nals;
use crate::transport::{Demuxer, Tables, Unit};
use bytes::Bytes;
use thiserror::Error;

/// Which picture belongs to a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The one that is shown at that time.
    #[default]
    Exact,
    /// The key frame that is shown at that time or before it (`m_fast` of OSS).
    KeyFrame,
}

/// Bounds on what is kept while looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindLimits {
    /// Bytes of one access unit.
    pub unit_bytes: usize,
    /// Bytes of all access units that are kept.
    pub bytes: usize,
    /// Access units that may have to be decoded for one picture.
    pub units: usize,
}

impl Default for FindLimits {
    /// 8 MiB, 64 MiB, 1,500: a minute between two key frames at 25 pictures a second.
    fn default() -> Self {
        Self { unit_bytes: 8 << 20, bytes: 64 << 20, units: 1_500 }
    }
}

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FindError {
    /// Not a transport stream.
    #[error("not a transport stream")]
    NotTransportStream,
    /// A transport stream without an H.264 track.
    #[error("no H.264 track, stream type {0:?}")]
    NoVideo(Option<u8>),
    /// A track without a key frame.
    #[error("no key frame")]
    NoKeyFrame,
    /// More bytes, or more pictures since the last key frame, than the limits allow.
    #[error("too much lies between the key frame and the picture")]
    TooMuch,
}

/// Whether more bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Go on, or finish at the end of the stream.
    More,
    /// What follows changes nothing.
    Done,
}

/// What has to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Access units in decode order, key frame first; the last one is the picture.
    pub units: Vec<Bytes>,
    /// When the picture is shown, in milliseconds from the first picture of the stream.
    pub time_ms: u64,
    /// Whether that is before the time that was asked for because the stream ends there.
    pub is_last: bool,
}

/// An access unit that may be needed.
#[derive(Debug)]
struct Kept {
    time: i64,
    data: Bytes,
    is_reference: bool,
}

/// Looks for one picture. Feed it the stream from its start, in pieces of any length.
#[derive(Debug)]
pub struct FrameFinder {
    demuxer: Demuxer,
    search: Search,
}

#[derive(Debug)]
struct Search {
    mode: Mode,
    limits: FindLimits,
    /// Ticks of 90 kHz from the first picture.
    target: i64,
    /// Time of the first key frame, where counting begins.
    origin: Option<u64>,
    /// Since the key frame, in decode order.
    kept: Vec<Kept>,
    bytes: usize,
    /// Index in `kept` of the best picture so far.
    best: Option<usize>,
    is_too_much: bool,
    is_done: bool,
}

/// Ticks of a millisecond.
const TICKS: u64 = 90;

/// 33 bits of a clock.
const WRAP: u64 = 1 << 33;

impl FrameFinder {
    /// Looks for the picture at `time_ms` from the first picture on. Beyond the end it is the last one.
    pub fn new(time_ms: u64, mode: Mode, limits: FindLimits) -> Self {
        let target = i64::try_from(time_ms.saturating_mul(TICKS)).unwrap_or(i64::MAX);
        let search = Search {
            mode,
            limits,
            target,
            origin: None,
            kept: Vec::new(),
            bytes: 0,
            best: None,
            is_too_much: false,
            is_done: false,
        };
        Self { demuxer: Demuxer::new(limits.unit_bytes), search }
    }

    /// Reads the next piece of the stream.
    ///
    /// # Errors
    /// [`FindError::NotTransportStream`] as soon as that is plain, [`FindError::NoVideo`], [`FindError::TooMuch`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, FindError> {
        let search = &mut self.search;
        if !search.is_done {
            self.demuxer.push(bytes, &mut |unit| search.take(unit));
        }
        self.check()?;
        Ok(if self.search.is_done { Progress::Done } else { Progress::More })
    }

    /// The end of the stream, or the answer to [`Progress::Done`].
    ///
    /// # Errors
    /// All of [`FindError`].
    pub fn finish(mut self) -> Result<Found, FindError> {
        if !self.search.is_done
            && let Some(unit) = self.demuxer.finish()
        {
            self.search.take(unit);
        }
        self.check()?;
        match self.demuxer.tables() {
            Tables::Video { .. } => self.search.found(),
            Tables::NoVideo { stream_type, .. } => Err(FindError::NoVideo(stream_type)),
            Tables::None | Tables::Map { .. } => Err(FindError::NotTransportStream),
        }
    }

    fn check(&self) -> Result<(), FindError> {
        let (packets, skipped) = self.demuxer.progress();
        // A stream may have a torn packet here and there; other files have 0x47 by chance every 256 bytes.
        if skipped > 4 * 188 && skipped > packets * 8 {
            return Err(FindError::NotTransportStream);
        }
        if let Tables::NoVideo { stream_type, .. } = self.demuxer.tables() {
            return Err(FindError::NoVideo(stream_type));
        }
        if self.search.is_too_much || self.demuxer.is_too_large() {
            return Err(FindError::TooMuch);
        }
        Ok(())
    }
}

impl Search {
    /// Whether more units are wanted.
    fn take(&mut self, unit: Unit) -> bool {
        let Some(kind) = Kind::of(&unit) else { return true };
        if self.origin.is_none() && !kind.is_key {
            // Nothing can be made of pictures in front of the first key frame.
            return true;
        }
        let origin = *self.origin.get_or_insert(unit.pts);
        let (time, decoded) = (since(unit.pts, origin), since(unit.dts, origin));
        // Each later picture is shown at its decoding time or after it, so later than this one.
        if self.best.is_some() && decoded > self.target {
            self.is_done = true;
            return false;
        }
        if kind.is_key && (time <= self.target || self.best.is_none()) {
            self.kept.clear();
            self.bytes = 0;
            self.best = None;
        } else if self.mode == Mode::KeyFrame {
            return true;
        }
        self.keep(Kept { time, data: Bytes::from(unit.data), is_reference: kind.is_reference });
        !self.is_too_much
    }

    fn keep(&mut self, unit: Kept) {
        let best_time = self.best.and_then(|index| self.kept.get(index)).map(|best| best.time);
        // Pictures of the stream's beginning that are shown before its key frame refer to what is not there.
        let is_candidate = unit.time >= 0 && (unit.time <= self.target || best_time.is_none());
        let is_better = is_candidate && best_time.is_none_or(|best| unit.time > best);
        if !is_better && !unit.is_reference {
            return;
        }
        if is_better {
            self.drop_former_best();
            self.best = Some(self.kept.len());
        }
        self.bytes += unit.data.len();
        self.kept.push(unit);
        if self.bytes > self.limits.bytes || self.kept.len() > self.limits.units {
            self.is_too_much = true;
            self.kept = Vec::new();
        }
    }

    /// Nothing refers to a picture that is no reference, so once it is not the one wanted it is not needed either.
    fn drop_former_best(&mut self) {
        if let Some(index) = self.best
            && self.kept.get(index).is_some_and(|best| !best.is_reference)
        {
            self.bytes -= self.kept.remove(index).data.len();
        }
    }

    fn found(mut self) -> Result<Found, FindError> {
        let index = self.best.ok_or(FindError::NoKeyFrame)?;
        // What is decoded after the picture is not needed for it.
        self.kept.truncate(index + 1);
        let time = self.kept.last().map_or(0, |unit| unit.time.max(0));
        let time_ms = u64::try_from(time).unwrap_or(0) / TICKS;
        let units = self.kept.into_iter().map(|unit| unit.data).collect();
        Ok(Found { units, time_ms, is_last: !self.is_done && time < self.target })
    }
}

/// What matters of an access unit here.
struct Kind {
    is_key: bool,
    is_reference: bool,
}

impl Kind {
    /// `None` when it has no slice.
    fn of(unit: &Unit) -> Option<Self> {
        let slices = Nals::new(&unit.data).filter(|nal| matches!(nal.first().map_or(0, |header| header & 0x1F), 1 | 5));
        let (mut any, mut idr, mut is_reference) = (false, false, false);
        for header in slices.filter_map(|nal| nal.first()) {
            any = true;
            idr |= header & 0x1F == 5;
            is_reference |= header & 0x60 != 0;
        }
        any.then_some(Self { is_key: idr || unit.random_access, is_reference })
    }
}

/// Ticks from `origin` to `time` on the circle of 33 bits; negative for times before it.
fn since(time: u64, origin: u64) -> i64 {
    let gap = time.wrapping_sub(origin) % WRAP;
    let gap = i64::try_from(gap).unwrap_or(0);
    // A recording may last for up to 22 of the circle's 26 hours; what lies before its first key frame is a second or two.
    if gap > 22 * 3600 * 90_000 { gap - (1 << 33) } else { gap }
}
