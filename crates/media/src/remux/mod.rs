//! Tags in, segments out: take, cutter and consumers joined in one value without IO.

mod outbox;
mod recording;
mod suspended;

pub use crate::segmenter::SegmentOpening;
pub use crate::take::{AudioFacts, MediaFacts, RemuxStats, VideoFacts};
pub use suspended::Suspended;

use crate::doctor::Facts;
use crate::package::{Container, Packager, Ts};
use crate::rtmp::message::Tag;
use crate::saved::saved;
use crate::segmenter::{Consumer, CutReason, Cutter, Event, Segmenting};
use crate::take::{Take, TakeConfig};
use bytes::Bytes;
use recording::Recording;
use std::fmt::{self, Debug, Formatter};

/// How a take is cut and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemuxConfig {
    /// FragDuration in milliseconds: the least duration of a segment (LiveChannel 4.2).
    pub frag_duration_ms: u64,
    /// What happens when no key frame comes in time (decision D9).
    pub segmenting: Segmenting,
    /// [`Output::Data`] is handed out once it has so many bytes.
    pub flush_bytes: usize,
    /// Larger video messages are dropped and counted (LiveChannel 4.1, decision D4).
    pub max_video_bytes: usize,
    /// Larger audio messages are dropped and counted (LiveChannel 4.1).
    pub max_audio_bytes: usize,
    /// Whether a recovery point, or an I picture with the key flag, may start a segment though it is no IDR picture, for
    /// encoders with open GOPs or intra refresh (quirk Q42). What is shown first may be damaged then.
    pub recovery_points_start_segments: bool,
    /// Audio that is silent for so long leaves the PMT at the next key frame (quirk Q46), in milliseconds of media.
    pub audio_vanishes_after_ms: u64,
}

saved!(struct RemuxConfig {
    frag_duration_ms,
    segmenting,
    flush_bytes,
    max_video_bytes,
    max_audio_bytes,
    recovery_points_start_segments,
    audio_vanishes_after_ms
});

impl Default for RemuxConfig {
    fn default() -> Self {
        let take = TakeConfig::default();
        Self {
            frag_duration_ms: 5_000,
            segmenting: Segmenting::Oss,
            flush_bytes: 256 * 1024,
            max_video_bytes: take.max_video_bytes,
            max_audio_bytes: take.max_audio_bytes,
            recovery_points_start_segments: take.recovery_points_start_segments,
            audio_vanishes_after_ms: take.audio_vanishes_after_ms,
        }
    }
}

impl RemuxConfig {
    fn take(&self) -> TakeConfig {
        TakeConfig {
            frag_duration_ms: self.frag_duration_ms,
            max_video_bytes: self.max_video_bytes,
            max_audio_bytes: self.max_audio_bytes,
            recovery_points_start_segments: self.recovery_points_start_segments,
            audio_vanishes_after_ms: self.audio_vanishes_after_ms,
        }
    }
}

/// What comes out, in order. Each [`Open`](Self::Open) is followed by data, then by its [`Close`](Self::Close).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A segment begins.
    Open(SegmentOpening),
    /// More bytes of the open segment: whole transport packets, ending with a whole access unit. As a rule their address
    /// agrees with their offset in the segment modulo 4096, so that a store can write whole blocks from where they lie.
    Data(Bytes),
    /// The open segment is complete.
    Close(SegmentClosing),
}

/// The end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentClosing {
    /// Its duration (LiveChannel 4.3). The durations of a take add up to its length.
    pub duration_ms: u64,
    /// Bytes of all its data.
    pub bytes: u64,
    /// Bytes of media in it: pictures and sound, without what the format puts around them.
    pub media_bytes: u64,
    /// Whether it began with a key frame.
    pub key_frame: bool,
    /// Whether it can be decoded without any other segment: its first picture is an IDR picture, or it has none.
    pub independent: bool,
    /// Why it ended.
    pub reason: CutReason,
}

/// Turns the tags of one take into segments, for its recording and for whoever else wants them.
///
/// Push tags as they arrive and take the outputs after each. Nothing that an encoder sends makes it fail: bad input is
/// dropped and counted in [`stats`](Self::stats). Without video nothing is written (LiveChannel 4.1).
pub struct Remuxer<P = Ts> {
    config: RemuxConfig,
    take: Take,
    cutter: Cutter,
    consumers: Consumers<P>,
}

/// The recording first, then the others in the order in which they came.
struct Consumers<P> {
    recording: Recording<P>,
    others: Vec<Box<dyn Consumer + Send>>,
}

impl<P: Packager> Consumer for Consumers<P> {
    fn take(&mut self, event: Event<'_>) {
        self.recording.take(event);
        for other in &mut self.others {
            other.take(event);
        }
    }
}

impl Remuxer {
    /// A remuxer for one take that is recorded as MPEG-TS.
    pub fn new(config: RemuxConfig) -> Self {
        Self::with_packager(config, Ts::default())
    }
}

impl<P: Packager> Remuxer<P> {
    /// A remuxer for one take that is recorded by a packager that has written nothing yet.
    pub fn with_packager(config: RemuxConfig, packager: P) -> Self {
        Self {
            take: Take::new(config.take()),
            cutter: Cutter::new(config.frag_duration_ms, config.segmenting),
            consumers: Consumers { recording: Recording::new(packager, config.flush_bytes, 0), others: Vec::new() },
            config,
        }
    }

    /// Lets somebody else have the segments too, from the next one on that begins.
    pub fn add_consumer(&mut self, consumer: impl Consumer + Send + 'static) {
        self.consumers.others.push(Box::new(FromOpening { consumer, has_begun: false }));
    }

    /// The format of the recording.
    pub fn container(&self) -> Container {
        self.consumers.recording.packager().container()
    }

    /// Takes one tag. Ignored after [`finish`](Self::finish).
    pub fn push(&mut self, tag: &Tag) {
        self.take.push(tag);
        self.pass_on();
    }

    /// The next output of the recording, until there is none.
    pub fn next_output(&mut self) -> Option<Output> {
        self.consumers.recording.next_output()
    }

    /// Makes everything that came so far available as [`Output::Data`], up to the last whole access unit, but for what
    /// [`Take::flush`] lets wait. Called about every 200 ms of wall time, it keeps the open segment on disk up to date
    /// (decision D8).
    pub fn flush(&mut self) {
        self.take.flush();
        self.pass_on();
        self.consumers.recording.flush();
    }

    /// Ends the take: the last data, and the end of its last segment (quirks Q49, Q50).
    pub fn finish(&mut self) {
        self.take.finish();
        self.pass_on();
        self.cutter.finish(self.take.interval(), &mut self.consumers);
    }

    /// Ends the open segment at the next key frame, however short it is, and marks the one that follows as discontinuous:
    /// the rest of the open one cannot be stored.
    pub fn cut_at_next_key_frame(&mut self) {
        self.cutter.request_discontinuity();
    }

    /// What was measured of the encoder, for [`advice`](crate::doctor::advice).
    pub fn measured(&self) -> Facts {
        self.take.measured()
    }

    /// Says what time it is, so that the drift of the encoder's clock can be measured. See [`Take::note_time`].
    pub fn note_time(&mut self, now_ms: i64) {
        self.take.note_time(now_ms);
    }

    /// Facts for LiveChannelStat (LiveChannel 2.2).
    pub fn facts(&self) -> &MediaFacts {
        self.take.facts()
    }

    /// Counters of the take so far.
    pub fn stats(&self) -> RemuxStats {
        let take = self.take.stats();
        let cuts = self.cutter.stats();
        RemuxStats {
            segments: cuts.segments,
            forced_cuts: cuts.forced_cuts,
            strict_cuts: cuts.strict_cuts,
            discontinuities: cuts.discontinuities,
            audio_frames: take.audio_frames.saturating_sub(cuts.unannounced),
            audio_before_picture: take.audio_before_picture + cuts.unannounced,
            ..take.clone()
        }
    }

    fn pass_on(&mut self) {
        while let Some(unit) = self.take.next_unit() {
            self.cutter.unit(&unit, &mut self.consumers);
        }
    }
}

/// Spares a consumer the rest of a segment whose beginning it has not seen.
struct FromOpening<C> {
    consumer: C,
    has_begun: bool,
}

impl<C: Consumer> Consumer for FromOpening<C> {
    fn take(&mut self, event: Event<'_>) {
        self.has_begun |= matches!(event, Event::Open(..));
        if self.has_begun {
            self.consumer.take(event);
        }
    }
}

impl<P: Debug> Debug for Remuxer<P> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remuxer")
            .field("config", &self.config)
            .field("take", &self.take)
            .field("cutter", &self.cutter)
            .field("recording", &self.consumers.recording)
            .field("others", &self.consumers.others.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
