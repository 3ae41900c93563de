//! Both tracks merged by time: what waits for what, how long, and how much of it.

use super::{Take, WaitingPicture};
use crate::access_unit::{AudioCoding, AudioFrame, Horizon, Picture, TimedFrame, TimedPicture, Tracks, Unit};
use crate::time::{MediaDuration, Timestamp};

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
pub(super) const IDLE_FLUSHES: u32 = 2;

/// Bounds of what waits, per track.
const MAX_WAITING_PICTURES: usize = 256;
const MAX_WAITING_FRAMES: usize = 1024;
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How far the horizon stays behind audio that is handed out without pictures, so that late ones still fit.
const CLOCK_LAG: MediaDuration = MediaDuration::from_ms(500);

/// How eagerly what waits is handed out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Eagerness {
    /// Hand out the newest picture too, though a further part of it might follow.
    pub(super) flush: bool,
    /// Do not wait for pictures.
    pub(super) video_is_idle: bool,
    /// Do not wait for audio.
    pub(super) audio_is_idle: bool,
    /// Nothing more will come.
    pub(super) end: bool,
}

impl Take {
    /// Writes what waits, merged by time, as far as `eager` allows.
    pub(super) fn merge(&mut self, eager: Eagerness) {
        if self.tracks.is_none() && !self.try_open(eager) {
            self.bound_waiting_audio();
            return;
        }
        while self.hand_out_one(eager) {}
        if !self.announces_audio() {
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
        self.next_picture();
        true
    }

    /// Writes the next unit in time, if it need not wait. False when nothing was written.
    fn hand_out_one(&mut self, eager: Eagerness) -> bool {
        let picture = self.pictures.front().map(|waiting| waiting.picture.dts);
        let sound = if self.announces_audio() { self.frames.front().map(|frame| frame.pts) } else { None };
        match (picture, sound) {
            (Some(picture), Some(sound)) if sound < picture => {
                self.next_frame(true, false);
                true
            }
            (Some(picture), sound) => {
                let complete = self.pictures.len() >= 2 || self.newest_picture_may_go(eager);
                let go = complete && (sound.is_some() || !self.must_wait_for_audio(picture, eager));
                if go {
                    self.next_picture();
                }
                go
            }
            (None, Some(sound)) => {
                let newest = self.frames.back().map_or(sound, |frame| frame.pts);
                let last_picture = self.last_dts.unwrap_or(sound);
                let absent = eager.end
                    || eager.video_is_idle
                    || newest - last_picture > AUDIO_PATIENCE
                    || self.frame_bytes > MAX_WAITING_BYTES
                    || self.frames.len() > MAX_WAITING_FRAMES;
                let go = absent || eager.flush && sound - last_picture <= FLUSH_LEAD;
                if go {
                    self.next_frame(false, absent && sound > last_picture);
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
        let audio_may_return = self.audio.is_configured() && !self.announces_audio();
        let comes_whole = !self.pictures_come_in_parts && !audio_may_return && self.stats.pictures >= PICTURES_TO_KNOW;
        eager.end
            || comes_whole
            || eager.flush && (!self.pictures_come_in_parts || eager.video_is_idle)
            || outrun.is_some_and(|(waiting, frame)| frame.pts - waiting.picture.dts > PART_PATIENCE)
    }

    /// Whether a picture waits for audio that is on its way.
    fn must_wait_for_audio(&self, picture: Timestamp, eager: Eagerness) -> bool {
        if eager.end || eager.audio_is_idle || !self.announces_audio() || self.pictures_are_too_many() {
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

    fn next_picture(&mut self) {
        let Some(waiting) = self.pictures.pop_front() else { return };
        self.picture_bytes -= waiting.bytes.min(self.picture_bytes);
        let next = self.pictures.front().map(|next| next.picture.dts);
        let dts = waiting.picture.dts;
        // At the first key frame the configuration is a promise of audio, kept until it vanishes; later only frames
        // count (quirk Q46).
        let promised = self.audio.is_configured() && (self.tracks.is_none() || self.announces_audio());
        let has_audio = self.audio_end.is_some() || promised;
        let audio = (has_audio && !self.audio_has_vanished(dts)).then_some(AudioCoding::Aac);
        let announced = self.announces_audio();
        self.hand_out_picture(waiting, next, audio);
        if !announced {
            // What is earlier has no picture to go with, in this segment or in the one before.
            self.drop_audio_before(dts - AUDIO_LEAD);
        }
    }

    fn next_frame(&mut self, before_video: bool, alone: bool) {
        if let Some(frame) = self.frames.pop_front() {
            self.frame_bytes -= frame.coded.len().min(self.frame_bytes);
            self.hand_out_frame(frame, before_video, alone);
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
            self.frame_bytes -= frame.coded.len().min(self.frame_bytes);
            self.stats.audio_before_picture += 1;
        }
    }

    fn announces_audio(&self) -> bool {
        self.tracks.is_some_and(|tracks| tracks.audio.is_some())
    }

    fn hand_out_picture(&mut self, waiting: WaitingPicture, next: Option<Timestamp>, audio: Option<AudioCoding>) {
        let WaitingPicture { mut picture, after_jump, .. } = waiting;
        self.keep_decodable(&mut picture);
        if after_jump {
            self.units.push_back(Unit::Discontinuity);
        }
        if picture.key_frame {
            if self.video_setup.as_ref().is_some_and(|setup| !setup.same_setup(&picture.coded)) {
                self.units.push_back(Unit::Discontinuity);
            }
            self.video_setup = Some(picture.coded.setup());
            let tracks = Tracks { video: picture.coded.coding(), audio };
            if self.tracks != Some(tracks) {
                self.units.push_back(Unit::TrackChange(tracks));
                self.tracks = Some(tracks);
            }
            self.stats.key_frames += 1;
        }
        self.stats.pictures += 1;
        self.last_dts = Some(picture.dts);
        self.clock = self.clock.max(Some(picture.dts));
        self.units.push_back(Unit::Picture(TimedPicture { picture, next }));
    }

    fn hand_out_frame(&mut self, frame: AudioFrame, before_video: bool, alone: bool) {
        if self.audio_setup.as_ref().is_some_and(|setup| !setup.same_setup(&frame.coded)) {
            self.units.push_back(Unit::Discontinuity);
        }
        self.audio_setup = Some(frame.coded.setup());
        self.stats.audio_frames += 1;
        let horizon = match (before_video, alone) {
            (true, _) => Horizon::Picture(frame.pts),
            (false, true) => Horizon::NoPictures(frame.pts - CLOCK_LAG),
            (false, false) => Horizon::Unknown,
        };
        if let Horizon::Picture(at) | Horizon::NoPictures(at) = horizon {
            self.clock = self.clock.max(Some(at));
        }
        self.units.push_back(Unit::Frame(TimedFrame { frame, horizon }));
    }

    /// Keeps decoding times ahead of the clock, which audio may have driven on while pictures were late.
    fn keep_decodable(&mut self, picture: &mut Picture) {
        let earliest = self.clock.map(|clock| Timestamp(clock.0 - crate::mpegts::CLOCK_DELAY));
        let behind_last = self.last_dts.map(|last| Timestamp(last.0 + 1));
        if let Some(floor) = earliest.max(behind_last)
            && picture.dts < floor
        {
            picture.dts = floor;
            picture.pts = picture.pts.max(floor);
            self.stats.repaired_dts += 1;
        }
    }
}
