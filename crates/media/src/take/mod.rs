//! Tags in, units out: FLV, H.264 and AAC joined to one ordered sequence of access units, without IO (quirks Q25 to Q46).

mod audio;
mod merge;
mod order;
mod pace;
mod rhythm;
mod stats;
mod timeline;
mod video;

pub use stats::{AudioFacts, MediaFacts, RemuxStats, VideoFacts};

use crate::access_unit::{AudioFrame, CodedAudio, CodedPicture, Picture, Track, Tracks, Unit};
use crate::doctor::Facts;
use crate::flv::{AudioCodec, AudioTag, TagBody, VideoCodec, VideoTag};
use crate::rtmp::message::{Tag, TagKind};
use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};
use audio::AudioReader;
use bytes::Bytes;
use merge::Eagerness;
use pace::Pace;
use rhythm::{Drift, Rhythm};
use std::collections::VecDeque;
use timeline::Timeline;
use video::{VideoReader, VideoUnit};

/// What a take lets in, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeConfig {
    /// FragDuration in milliseconds (LiveChannel 4.2): pictures that are missing for less are waited for.
    pub frag_duration_ms: u64,
    /// Larger video messages are dropped and counted (LiveChannel 4.1, decision D4).
    pub max_video_bytes: usize,
    /// Larger audio messages are dropped and counted (LiveChannel 4.1).
    pub max_audio_bytes: usize,
    /// Whether a recovery point, or an I picture with the key flag, may start a segment though it is no IDR picture, for
    /// encoders with open GOPs or intra refresh (quirk Q42). What is shown first may be damaged then.
    pub recovery_points_start_segments: bool,
    /// Audio that is silent for so long leaves the tracks at the next key frame (quirk Q46), in milliseconds of media.
    pub audio_vanishes_after_ms: u64,
}

impl Default for TakeConfig {
    fn default() -> Self {
        Self {
            frag_duration_ms: 5_000,
            max_video_bytes: 32 * 1024 * 1024,
            max_audio_bytes: 64 * 1024,
            recovery_points_start_segments: false,
            audio_vanishes_after_ms: 10_000,
        }
    }
}

/// Turns the tags of one push into access units in order of time.
///
/// Push tags as they arrive and take the units after each. Nothing that an encoder sends makes it fail: bad input is
/// dropped and counted in [`stats`](Self::stats). Without pictures nothing comes out (LiveChannel 4.1); the first unit
/// behind [`Unit::TrackChange`] is a key frame.
#[derive(Debug)]
pub struct Take {
    config: TakeConfig,
    timeline: Timeline,
    video: VideoReader,
    audio: AudioReader,
    pictures: VecDeque<WaitingPicture>,
    picture_bytes: usize,
    frames: VecDeque<AudioFrame>,
    frame_bytes: usize,
    /// Time stamp of the newest picture's message, for parts that follow.
    last_picture_raw: Option<u32>,
    pace: Pace,
    rhythm: Rhythm,
    drift: Drift,
    first_picture: Option<Timestamp>,
    /// End of the newest sound that came far behind the pictures of its time.
    belated: Option<Timestamp>,
    pictures_come_in_parts: bool,
    audio_is_foreign: bool,
    flushes_since_video: u32,
    flushes_since_audio: u32,
    finished: bool,
    /// The tracks that were announced last; `None` until the first key frame went out.
    tracks: Option<Tracks>,
    /// Decoding time of the newest picture that went out.
    last_dts: Option<Timestamp>,
    /// Setup of the last key frame, and of the last frame of audio.
    video_setup: Option<CodedPicture>,
    audio_setup: Option<CodedAudio>,
    units: VecDeque<Unit>,
    facts: MediaFacts,
    stats: RemuxStats,
}

#[derive(Debug)]
struct WaitingPicture {
    picture: Picture,
    bytes: usize,
    after_jump: bool,
    /// End of the newest sound that came before it.
    audio_end: Option<Timestamp>,
}

saved!(struct TakeConfig { frag_duration_ms, max_video_bytes, max_audio_bytes, recovery_points_start_segments, audio_vanishes_after_ms });
saved!(struct WaitingPicture { picture, bytes, after_jump, audio_end });
saved!(struct Take {
    config,
    timeline,
    video,
    audio,
    pictures,
    picture_bytes,
    frames,
    frame_bytes,
    last_picture_raw,
    pace,
    rhythm,
    drift,
    first_picture,
    belated,
    pictures_come_in_parts,
    audio_is_foreign,
    flushes_since_video,
    flushes_since_audio,
    finished,
    tracks,
    last_dts,
    video_setup,
    audio_setup,
    units,
    facts,
    stats
});

impl Take {
    /// A take that has seen nothing.
    pub fn new(config: TakeConfig) -> Self {
        Self {
            timeline: Timeline::default(),
            video: VideoReader::new(config.recovery_points_start_segments),
            audio: AudioReader::default(),
            config,
            pictures: VecDeque::new(),
            picture_bytes: 0,
            frames: VecDeque::new(),
            frame_bytes: 0,
            last_picture_raw: None,
            pace: Pace::default(),
            rhythm: Rhythm::default(),
            drift: Drift::default(),
            first_picture: None,
            belated: None,
            pictures_come_in_parts: false,
            audio_is_foreign: false,
            flushes_since_video: 0,
            flushes_since_audio: 0,
            finished: false,
            tracks: None,
            last_dts: None,
            video_setup: None,
            audio_setup: None,
            units: VecDeque::new(),
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
        self.merge(Eagerness::default());
    }

    /// The next unit, until there is none.
    pub fn next_unit(&mut self) -> Option<Unit> {
        self.units.pop_front()
    }

    /// Hands out what need not wait any longer. Called about every 200 ms of wall time.
    ///
    /// What still waits afterwards: pictures for at most 300 ms when audio of the same time is on its way; audio that
    /// is more than 300 ms ahead of the pictures (decision D33); and before the first key frame up to 500 ms for audio.
    /// When audio brings nothing between two flushes, pictures do not wait for it any more.
    pub fn flush(&mut self) {
        if self.finished {
            return;
        }
        self.flushes_since_video = self.flushes_since_video.saturating_add(1);
        self.flushes_since_audio = self.flushes_since_audio.saturating_add(1);
        self.merge(Eagerness {
            flush: true,
            video_is_idle: self.flushes_since_video > merge::IDLE_FLUSHES,
            audio_is_idle: self.flushes_since_audio > merge::IDLE_FLUSHES,
            end: false,
        });
    }

    /// Ends the take: everything that waits is handed out (quirks Q49, Q50).
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.merge(Eagerness { flush: true, video_is_idle: true, audio_is_idle: true, end: true });
    }

    /// How long a picture lasts, by the parameters of the stream or as measured; `None` when unknown or above a second.
    pub fn interval(&self) -> Option<MediaDuration> {
        self.video.facts().1.filter(|rate| *rate >= 1.0).map(|rate| {
            // A rate of at least one frame per second is at most 90,000 ticks.
            #[expect(clippy::cast_possible_truncation)]
            MediaDuration((90_000.0 / rate) as i64)
        })
    }

    /// What was measured of the encoder, for [`advice`](crate::doctor::advice).
    pub fn measured(&self) -> Facts {
        let ms = |duration: MediaDuration| u64::try_from(duration.to_ms()).unwrap_or(0);
        Facts {
            video: self.facts.video.map(|video| video.codec),
            audio: self.facts.audio.map(|audio| audio.codec),
            frag_duration_ms: self.config.frag_duration_ms,
            recovery_points_start_segments: self.config.recovery_points_start_segments,
            picture_interval_ms: self.pace.interval().map(ms),
            key_interval_ms: self.rhythm.key_interval().map(ms),
            recovery_interval_ms: self.rhythm.recovery_interval().map(ms),
            audio_lead_ms: self.pace.usual_lead().map(MediaDuration::to_ms),
            drift_ppm: self.drift.ppm(),
        }
    }

    /// Says what time it is, in milliseconds of any clock that runs evenly: from where the newest media stands then the
    /// drift of the encoder's clock is measured. Called about as often as [`flush`](Self::flush).
    pub fn note_time(&mut self, now_ms: i64) {
        if let Some(media) = self.pace.newest() {
            self.drift.note(now_ms, media.to_ms(), self.stats.jumps);
        }
    }

    /// Facts for LiveChannelStat (LiveChannel 2.2).
    pub fn facts(&self) -> &MediaFacts {
        &self.facts
    }

    /// Counters of the take so far. Those of segments are zero.
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
                        waiting.picture.coded.append(part.coded);
                    }
                    None => self.units.push_back(Unit::PictureRest(part.coded)),
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
        self.pace.picture(picture.dts);
        let audio_end = self.pace.audio_end();
        self.pictures.push_back(WaitingPicture { picture, bytes: data.len(), after_jump: placed.jumped, audio_end });
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
                    self.units.push_back(Unit::Discontinuity);
                }
                for frame in self.audio.read(placed.ms, &data, &mut self.stats) {
                    self.note_lag(frame.end());
                    self.pace.sound(frame.pts, frame.end());
                    // What waits for long must not hold on to all that was read from the socket with it.
                    let frame = if self.frames.len() < merge::SHARED_FRAMES { frame } else { frame.detached() };
                    self.frame_bytes += frame.memory();
                    self.frames.push_back(frame);
                }
                if self.audio.take_fall() {
                    self.units.push_back(Unit::Discontinuity);
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
}
