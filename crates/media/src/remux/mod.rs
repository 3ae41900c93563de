//! Tags in, segments out: FLV, H.264, AAC, MPEG-TS and the segmenter joined in one value without IO.

mod assembler;
mod audio;
mod order;
mod outbox;
mod stats;
mod timeline;
mod video;

pub use stats::{AudioFacts, MediaFacts, RemuxStats, VideoFacts};

use crate::access_unit::{AudioFrame, Picture, Track};
use crate::flv::{AudioCodec, AudioTag, TagBody, VideoCodec, VideoTag};
use crate::mpegts::Program;
use crate::rtmp::message::{Tag, TagKind};
use crate::segmenter::{CutReason, Segmenting};
use crate::time::{MediaDuration, Timestamp};
use assembler::Assembler;
use audio::AudioReader;
use bytes::Bytes;
use std::collections::VecDeque;
use timeline::Timeline;
use video::{VideoReader, VideoUnit};

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
    /// Whether a picture with the key flag and a recovery point may start a segment though it is no IDR picture, for
    /// encoders with open GOPs (quirk Q42).
    pub recovery_points_are_keys: bool,
    /// Audio that is silent for so long leaves the PMT at the next key frame (quirk Q46), in milliseconds of media.
    pub audio_vanishes_after_ms: u64,
}

impl Default for RemuxConfig {
    fn default() -> Self {
        Self {
            frag_duration_ms: 5_000,
            segmenting: Segmenting::Oss,
            flush_bytes: 256 * 1024,
            max_video_bytes: 32 * 1024 * 1024,
            max_audio_bytes: 64 * 1024,
            recovery_points_are_keys: false,
            audio_vanishes_after_ms: 10_000,
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

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOpening {
    /// Whether it does not continue what came before: parameters, tracks or the encoder's clock changed. False for the
    /// first segment of a take.
    pub discontinuity: bool,
    /// Whether it begins with a key frame.
    pub key_frame: bool,
    /// DTS of its first frame on the unwrapped clock of the take, which is 0 at its first key frame, in milliseconds.
    pub media_time_ms: i64,
}

/// The end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentClosing {
    /// Its duration (LiveChannel 4.3). The durations of a take add up to its length.
    pub duration_ms: u64,
    /// Bytes of all its data.
    pub bytes: u64,
    /// Whether it began with a key frame.
    pub key_frame: bool,
    /// Why it ended.
    pub reason: CutReason,
}

/// Audio that precedes the first picture of its announcement by at most this much is kept.
const AUDIO_LEAD: MediaDuration = MediaDuration::from_ms(100);

/// How long pictures wait for audio of the same time, to be written in order.
const VIDEO_PATIENCE: MediaDuration = MediaDuration::from_ms(300);

/// Audio that reaches so close to a picture has no frame before it that is worth waiting for: encoders send in order of
/// time, and one AAC frame at 44.1 kHz lasts 23 ms.
const AUDIO_GRAIN: MediaDuration = MediaDuration::from_ms(25);

/// Whole pictures after which an encoder is known not to send them in parts (quirk Q41).
const PICTURES_TO_KNOW: u64 = 16;

/// How long the first key frame waits for an audio configuration, so that the first PMT announces it (quirk Q46).
const OPENING_PATIENCE: MediaDuration = MediaDuration::from_ms(500);

/// Audio so far ahead of the newest picture shows that no further part of that is to be expected.
const PART_PATIENCE: MediaDuration = MediaDuration::from_ms(500);

/// How long audio waits for pictures of the same time before they count as absent (quirk Q33).
const AUDIO_PATIENCE: MediaDuration = MediaDuration::from_ms(3_000);

/// Audio may be this much ahead of the pictures when [`Remuxer::flush`] hands it out.
const FLUSH_LEAD: MediaDuration = MediaDuration::from_ms(300);

/// A track is idle when so many flushes came since its last message.
const IDLE_FLUSHES: u32 = 2;

/// Bounds of what waits, per track.
const MAX_WAITING_PICTURES: usize = 256;
const MAX_WAITING_FRAMES: usize = 1024;
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// Turns the tags of one take into segments.
///
/// Push tags as they arrive and take the outputs after each. Nothing that an encoder sends makes it fail: bad input is
/// dropped and counted in [`stats`](Self::stats). Without video nothing is written (LiveChannel 4.1).
#[derive(Debug)]
pub struct Remuxer {
    config: RemuxConfig,
    timeline: Timeline,
    video: VideoReader,
    audio: AudioReader,
    assembler: Assembler,
    pictures: VecDeque<WaitingPicture>,
    picture_bytes: usize,
    frames: VecDeque<AudioFrame>,
    frame_bytes: usize,
    /// Time stamp of the newest picture's message, for parts that follow.
    last_picture_raw: Option<u32>,
    /// End of the newest audio frame that came.
    audio_end: Option<Timestamp>,
    first_picture: Option<Timestamp>,
    pictures_come_in_parts: bool,
    audio_is_foreign: bool,
    flushes_since_video: u32,
    flushes_since_audio: u32,
    finished: bool,
    facts: MediaFacts,
    stats: RemuxStats,
}

#[derive(Debug)]
struct WaitingPicture {
    picture: Picture,
    bytes: usize,
    after_jump: bool,
}

/// How eagerly waiting units are written.
#[derive(Clone, Copy, Debug, Default)]
struct Eagerness {
    /// Hand out the newest picture too, though a further part of it might follow.
    flush: bool,
    /// Do not wait for pictures.
    video_is_idle: bool,
    /// Do not wait for audio.
    audio_is_idle: bool,
    /// Nothing more will come.
    end: bool,
}

impl Remuxer {
    /// A remuxer for one take.
    pub fn new(config: RemuxConfig) -> Self {
        Self {
            timeline: Timeline::default(),
            video: VideoReader::new(config.recovery_points_are_keys),
            audio: AudioReader::default(),
            assembler: Assembler::new(&config),
            config,
            pictures: VecDeque::new(),
            picture_bytes: 0,
            frames: VecDeque::new(),
            frame_bytes: 0,
            last_picture_raw: None,
            audio_end: None,
            first_picture: None,
            pictures_come_in_parts: false,
            audio_is_foreign: false,
            flushes_since_video: 0,
            flushes_since_audio: 0,
            finished: false,
            facts: MediaFacts::default(),
            stats: RemuxStats::default(),
        }
    }

    /// Takes one tag. Ignored after [`finish`](Self::finish).
    pub fn push(&mut self, tag: &Tag) {
        if self.finished {
            return;
        }
        match tag.kind {
            TagKind::Video => self.push_video(tag),
            TagKind::Audio => self.push_audio(tag),
        }
        self.stats.narrow_wraps = self.timeline.narrow_wraps();
        if let Some(skew) = self.timeline.skew_ms() {
            self.stats.widest_skew_ms = self.stats.widest_skew_ms.max(skew.unsigned_abs());
        }
        self.write_waiting(Eagerness::default());
    }

    /// The next output, until there is none.
    pub fn next_output(&mut self) -> Option<Output> {
        self.assembler.next_output()
    }

    /// Makes everything that came so far available as [`Output::Data`], up to the last whole access unit. Called about
    /// every 200 ms of wall time, it keeps the open segment on disk up to date (decision D8).
    ///
    /// What still waits afterwards: pictures for at most 300 ms when audio of the same time is on its way, audio that
    /// is more than 300 ms ahead of the pictures, and before the first segment up to 500 ms for an audio configuration.
    /// When a track brings nothing between two flushes, the other one does not wait for it any more.
    pub fn flush(&mut self) {
        if self.finished {
            return;
        }
        self.flushes_since_video = self.flushes_since_video.saturating_add(1);
        self.flushes_since_audio = self.flushes_since_audio.saturating_add(1);
        self.write_waiting(Eagerness {
            flush: true,
            video_is_idle: self.flushes_since_video > IDLE_FLUSHES,
            audio_is_idle: self.flushes_since_audio > IDLE_FLUSHES,
            end: false,
        });
        self.assembler.flush();
    }

    /// Ends the take: the last data, and the end of its last segment (quirks Q49, Q50).
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.write_waiting(Eagerness { flush: true, video_is_idle: true, audio_is_idle: true, end: true });
        let interval = self.video.facts().1.filter(|rate| *rate >= 1.0).map(|rate| {
            // A rate of at least one frame per second is at most 90,000 ticks.
            #[expect(clippy::cast_possible_truncation)]
            MediaDuration((90_000.0 / rate) as i64)
        });
        self.assembler.finish(interval, &mut self.stats);
    }

    /// Ends the open segment at the next key frame, however short it is, and marks the one that follows as discontinuous:
    /// the rest of the open one cannot be stored.
    pub fn cut_at_next_key_frame(&mut self) {
        self.assembler.request_discontinuity();
    }

    /// Facts for LiveChannelStat (LiveChannel 2.2).
    pub fn facts(&self) -> &MediaFacts {
        &self.facts
    }

    /// Counters of the take so far.
    pub fn stats(&self) -> &RemuxStats {
        &self.stats
    }

    fn push_video(&mut self, tag: &Tag) {
        self.flushes_since_video = 0;
        if tag.payload.len() > self.config.max_video_bytes {
            self.stats.oversized += 1;
            return;
        }
        let Ok(video) = VideoTag::parse(&tag.payload) else {
            self.stats.malformed += 1;
            return;
        };
        self.stats.skipped_tracks += u64::from(video.skipped_tracks);
        if video.codec != VideoCodec::H264 {
            match video.body {
                TagBody::Info => self.stats.info_messages += 1,
                _ => {
                    self.stats.foreign_video += 1;
                    self.note_video(video.codec);
                }
            }
            return;
        }
        match video.body {
            TagBody::Config(record) => {
                self.video.configure(&record, &mut self.stats);
                self.note_video(video.codec);
            }
            TagBody::Frame { composition_ms, data } => {
                self.push_picture(tag.timestamp_ms, composition_ms, &data, video.key_flag);
                self.note_video(video.codec);
            }
            TagBody::End | TagBody::Info => self.stats.info_messages += 1,
            TagBody::OtherTrack => {}
        }
    }

    fn push_picture(&mut self, raw_ms: u32, composition_ms: i32, data: &Bytes, key_flag: bool) {
        if data.is_empty() {
            self.stats.malformed += 1;
            return;
        }
        let untimed = match self.video.read(data, key_flag, &mut self.stats) {
            VideoUnit::None => return,
            VideoUnit::Undecodable => {
                self.stats.without_parameter_sets += 1;
                return;
            }
            VideoUnit::Part(part) if self.last_picture_raw == Some(raw_ms) => {
                self.pictures_come_in_parts = true;
                self.stats.merged_tags += 1;
                match self.pictures.back_mut() {
                    Some(waiting) => {
                        waiting.bytes += data.len();
                        self.picture_bytes += data.len();
                        waiting.picture.nals.extend(part.nals);
                    }
                    None => self.assembler.write_picture_rest(&part.nals),
                }
                return;
            }
            VideoUnit::Part(picture) | VideoUnit::Picture(picture) => picture,
        };
        let placed = self.timeline.place(Track::Video, raw_ms);
        self.stats.jumps += u64::from(placed.jumped);
        if self.first_picture.is_none() && !untimed.key_frame {
            self.stats.before_first_key += 1;
            return;
        }
        self.last_picture_raw = Some(raw_ms);
        let times = self.video.times(placed.ms, composition_ms, untimed.order, &mut self.stats);
        let picture = untimed.at(times);
        self.first_picture.get_or_insert(picture.dts);
        self.picture_bytes += data.len();
        self.pictures.push_back(WaitingPicture { picture, bytes: data.len(), after_jump: placed.jumped });
    }

    fn push_audio(&mut self, tag: &Tag) {
        self.flushes_since_audio = 0;
        if tag.payload.len() > self.config.max_audio_bytes {
            self.stats.oversized += 1;
            return;
        }
        let Ok(audio) = AudioTag::parse(&tag.payload) else {
            self.stats.malformed += 1;
            return;
        };
        self.stats.skipped_tracks += u64::from(audio.skipped_tracks);
        if audio.codec != AudioCodec::Aac {
            self.stats.foreign_audio += 1;
            self.audio_is_foreign = true;
            self.facts.audio = Some(AudioFacts { codec: audio.codec, sample_rate: audio.header_sample_rate });
            return;
        }
        match audio.body {
            TagBody::Config(record) => self.audio.configure(&record, &mut self.stats),
            TagBody::Frame { data, .. } => {
                let placed = self.timeline.place(Track::Audio, tag.timestamp_ms);
                self.stats.jumps += u64::from(placed.jumped);
                // Sound that follows the picture's jump goes on beside it; the picture has asked already.
                if placed.jumped && !placed.follows_other {
                    self.assembler.request_discontinuity();
                }
                for frame in self.audio.read(placed.ms, &data, &mut self.stats) {
                    self.audio_end = Some(frame.pts + frame.duration);
                    self.frame_bytes += frame.data.len();
                    self.frames.push_back(frame);
                }
            }
            TagBody::End | TagBody::Info => self.stats.info_messages += 1,
            TagBody::OtherTrack => return,
        }
        let sample_rate = self.audio.sample_rate().unwrap_or(0);
        self.facts.audio = Some(AudioFacts { codec: audio.codec, sample_rate });
    }

    fn note_video(&mut self, codec: VideoCodec) {
        let (size, frame_rate) = if codec == VideoCodec::H264 { self.video.facts() } else { (None, None) };
        let (width, height) = size.unwrap_or_default();
        self.facts.video = Some(VideoFacts { codec, width, height, frame_rate });
    }

    /// Writes what waits, merged by time, as far as `eager` allows.
    fn write_waiting(&mut self, eager: Eagerness) {
        if !self.assembler.is_open() && !self.try_open(eager) {
            self.bound_waiting_audio();
            return;
        }
        while self.write_one(eager) {}
        if !self.assembler.announces_audio() {
            self.bound_waiting_audio();
        }
    }

    /// Writes the first key frame, unless there is a reason to wait.
    fn try_open(&mut self, eager: Eagerness) -> bool {
        let (Some(first), Some(last)) = (self.pictures.front(), self.pictures.back()) else { return false };
        let audio_may_come = !self.audio.is_configured() && !self.audio_is_foreign;
        let waited = last.picture.dts - first.picture.dts;
        let full = self.pictures_are_too_many();
        if audio_may_come && waited < OPENING_PATIENCE && !eager.end && !eager.video_is_idle && !full {
            return false;
        }
        if !self.newest_picture_may_go(eager) && self.pictures.len() < 2 {
            return false;
        }
        self.write_next_picture();
        true
    }

    /// Writes the next unit in time, if it need not wait. False when nothing was written.
    fn write_one(&mut self, eager: Eagerness) -> bool {
        let picture = self.pictures.front().map(|waiting| waiting.picture.dts);
        let sound = if self.assembler.announces_audio() { self.frames.front().map(|frame| frame.pts) } else { None };
        match (picture, sound) {
            (Some(picture), Some(sound)) if sound < picture => {
                self.write_next_frame(true, false);
                true
            }
            (Some(picture), sound) => {
                let complete = self.pictures.len() >= 2 || self.newest_picture_may_go(eager);
                let go = complete && (sound.is_some() || !self.must_wait_for_audio(picture, eager));
                if go {
                    self.write_next_picture();
                }
                go
            }
            (None, Some(sound)) => {
                let newest = self.frames.back().map_or(sound, |frame| frame.pts);
                let last_picture = self.assembler.last_dts().unwrap_or(sound);
                let absent = eager.end
                    || eager.video_is_idle
                    || newest - last_picture > AUDIO_PATIENCE
                    || self.frame_bytes > MAX_WAITING_BYTES
                    || self.frames.len() > MAX_WAITING_FRAMES;
                let go = absent || eager.flush && sound - last_picture <= FLUSH_LEAD;
                if go {
                    self.write_next_frame(false, absent && sound > last_picture);
                }
                go
            }
            (None, None) => false,
        }
    }

    /// Whether the newest picture may be written before another follows: a part of it might.
    fn newest_picture_may_go(&self, eager: Eagerness) -> bool {
        let outrun = self.pictures.back().zip(self.frames.back());
        // An encoder that sends pictures in parts does so from the beginning. Once it is known not to, waiting for the
        // next picture would only delay every segment by a frame.
        // Audio that may come back is worth the wait, because a key frame is where it is announced again.
        let audio_may_return = self.audio.is_configured() && !self.assembler.announces_audio();
        let comes_whole = !self.pictures_come_in_parts && !audio_may_return && self.stats.pictures >= PICTURES_TO_KNOW;
        eager.end
            || comes_whole
            || eager.flush && (!self.pictures_come_in_parts || eager.video_is_idle)
            || outrun.is_some_and(|(waiting, frame)| frame.pts - waiting.picture.dts > PART_PATIENCE)
    }

    /// Whether a picture waits for audio that is on its way.
    fn must_wait_for_audio(&self, picture: Timestamp, eager: Eagerness) -> bool {
        if eager.end || eager.audio_is_idle || !self.assembler.announces_audio() || self.pictures_are_too_many() {
            return false;
        }
        if self.audio_has_vanished(picture) || self.audio_end.is_some_and(|end| end + AUDIO_GRAIN >= picture) {
            return false;
        }
        let newest = self.pictures.back().map_or(picture, |waiting| waiting.picture.dts);
        newest - picture < VIDEO_PATIENCE
    }

    fn pictures_are_too_many(&self) -> bool {
        self.pictures.len() > MAX_WAITING_PICTURES || self.picture_bytes > MAX_WAITING_BYTES
    }

    /// Whether no audio came for so long that the next PMT leaves it out.
    fn audio_has_vanished(&self, now: Timestamp) -> bool {
        let limit = i64::try_from(self.config.audio_vanishes_after_ms).unwrap_or(i64::MAX);
        match self.audio_end.max(self.first_picture) {
            Some(last) => now - last > MediaDuration::from_ms(limit),
            None => false,
        }
    }

    fn write_next_picture(&mut self) {
        let Some(waiting) = self.pictures.pop_front() else { return };
        self.picture_bytes -= waiting.bytes.min(self.picture_bytes);
        let next = self.pictures.front().map(|next| next.picture.dts);
        let dts = waiting.picture.dts;
        // At the first key frame the configuration is a promise of audio, kept until it vanishes; later only frames
        // count (quirk Q46).
        let promised = self.audio.is_configured() && (!self.assembler.is_open() || self.assembler.announces_audio());
        let has_audio = self.audio_end.is_some() || promised;
        let program = Program { audio: has_audio && !self.audio_has_vanished(dts) };
        if waiting.after_jump {
            self.assembler.request_discontinuity();
        }
        let announced = self.assembler.announces_audio();
        self.assembler.write_picture(waiting.picture, next, program, &mut self.stats);
        if !announced {
            // What is earlier has no picture to go with, in this segment or in the one before.
            self.drop_audio_before(dts - AUDIO_LEAD);
        }
    }

    fn write_next_frame(&mut self, before_video: bool, alone: bool) {
        if let Some(frame) = self.frames.pop_front() {
            self.frame_bytes -= frame.data.len().min(self.frame_bytes);
            self.assembler.write_audio(frame, before_video, alone, &mut self.stats);
        }
    }

    fn drop_audio_before(&mut self, time: Timestamp) {
        while self.frames.front().is_some_and(|frame| frame.pts < time) {
            self.drop_oldest_audio();
        }
    }

    /// Audio that waits for a picture or for its announcement is bounded by time, number and bytes.
    fn bound_waiting_audio(&mut self) {
        if let Some(newest) = self.frames.back().map(|frame| frame.pts) {
            self.drop_audio_before(newest - AUDIO_PATIENCE);
        }
        while self.frames.len() > MAX_WAITING_FRAMES || self.frame_bytes > MAX_WAITING_BYTES {
            self.drop_oldest_audio();
        }
    }

    fn drop_oldest_audio(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.frame_bytes -= frame.data.len().min(self.frame_bytes);
            self.stats.audio_before_picture += 1;
        }
    }
}

#[cfg(test)]
mod tests;
