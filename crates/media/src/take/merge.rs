//! Both tracks merged by time: what waits for what, how long, and how much of it.

use super::{Take, WaitingPicture};
use crate::access_unit::{
    AudioCoding, AudioFrame, Entry, Horizon, TimedFrame, TimedPicture, TrackChange, Tracks, Unit,
};
use crate::length::{AUDIO_TAIL, DEFAULT_INTERVAL};
use crate::time::{MediaDuration, Timestamp};

/// Audio that came at most this long before the first picture of its announcement is kept.
const AUDIO_LEAD: MediaDuration = MediaDuration::from_ms(100);

/// How long pictures wait for audio of the same time, to be written in order.
const VIDEO_WAIT: MediaDuration = MediaDuration::from_ms(300);

/// Audio that reaches so close to a picture has no frame before it that is worth waiting for: encoders send in order of
/// time, and one AAC frame at 44.1 kHz lasts 23 ms.
const AUDIO_GRAIN: MediaDuration = MediaDuration::from_ms(25);

/// Whole pictures after which an encoder is known not to send them in parts (quirk Q41).
const PICTURES_TO_KNOW: u64 = 16;

/// How long the first key frame waits for an audio configuration, so that the first PMT announces it (quirk Q46).
const OPENING_WAIT: MediaDuration = MediaDuration::from_ms(500);

/// Audio so far ahead of the newest picture shows that no further part of that is to be expected.
const PART_WAIT: MediaDuration = MediaDuration::from_ms(500);

/// Without a picture for so long, pictures count as absent (quirk Q33), or longer by what is measured.
const PICTURE_WAIT: MediaDuration = MediaDuration::from_ms(10_000);

/// Audio that waits for its announcement is kept for so long behind the newest.
const AUDIO_WAIT: MediaDuration = MediaDuration::from_ms(3_000);

/// Audio may be this much ahead of the pictures when [`Take::flush`] hands it out, and while no picture came between
/// two flushes.
const FLUSH_LEAD: MediaDuration = MediaDuration::from_ms(300);
const IDLE_LEAD: MediaDuration = MediaDuration::from_ms(600);

/// A track is idle when so many flushes came since its last message.
pub(super) const IDLE_FLUSHES: u32 = 2;

/// Bounds of what waits, per track.
const MAX_WAITING_PICTURES: usize = 256;
const MAX_PICTURE_BYTES: usize = 4 * 1024 * 1024;

/// Sound that runs ahead waits in at most so much memory per push (decision D33).
const MAX_FRAME_BYTES: usize = 2 * 1024 * 1024;

/// So many frames of audio share the memory in which they came; those behind them are copied.
pub(super) const SHARED_FRAMES: usize = 8;

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
            while eager.end && !self.frames.is_empty() {
                self.drop_oldest_audio();
            }
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
        // The first frame tells how early sound is; without one it may be configured and silent.
        let audio_may_come = self.frames.is_empty() && !self.audio_is_foreign;
        let waited = last.picture.dts - first.picture.dts;
        let full = self.pictures_are_too_many();
        if audio_may_come && waited < OPENING_WAIT && !eager.end && !eager.video_is_idle && !full {
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
                let go = self.frame_may_go(sound, eager);
                if let Some(is_alone) = go {
                    self.next_frame(false, is_alone);
                }
                go.is_some()
            }
            (None, None) => false,
        }
    }

    /// Whether sound need not wait for pictures any longer, and if so, whether there are none for the time being. Sound
    /// that is ahead waits, since pictures keep their times whatever the sound does (decisions D26, D33).
    fn frame_may_go(&self, sound: Timestamp, eager: Eagerness) -> Option<bool> {
        let ahead = self.last_dts.map_or_else(MediaDuration::default, |last| sound - last);
        let is_absent = if eager.end { self.ends_in_sound() } else { self.pictures_are_absent(sound) };
        if is_absent && ahead > MediaDuration::default() {
            return Some(true);
        }
        let lead = match eager {
            Eagerness { video_is_idle: true, .. } => IDLE_LEAD,
            Eagerness { flush: true, .. } => FLUSH_LEAD,
            _ => return self.frames_are_too_many().then_some(false),
        };
        (eager.end || ahead <= lead || self.frames_are_too_many()).then_some(false)
    }

    /// Whether no picture came for so long that sound at this moment has to do without (quirk Q33).
    fn pictures_are_absent(&self, sound: Timestamp) -> bool {
        // As a rule a picture came just now.
        if self.pace.sound_since_picture() <= PICTURE_WAIT {
            return false;
        }
        let interval = self.pace.interval().unwrap_or_default();
        let expected = MediaDuration(interval.0.saturating_mul(4).saturating_add(self.pace.lead().0));
        let fragment = MediaDuration::from_ms(i64::try_from(self.config.frag_duration_ms).unwrap_or(i64::MAX));
        let wait = expected.max(fragment).max(PICTURE_WAIT);
        // A picture that returns comes with sound that is ahead of it as before.
        self.pace.sound_since_picture() > wait
            && self.pace.audio_end().is_some_and(|end| sound + self.pace.lead() <= end)
    }

    /// Whether the sound that waits at the end is more than what ends with the last picture.
    fn ends_in_sound(&self) -> bool {
        let interval = self.pace.interval().unwrap_or(DEFAULT_INTERVAL);
        let end = self.frames.back().map(AudioFrame::end);
        end.zip(self.last_dts).is_some_and(|(end, last)| end > last + interval + AUDIO_TAIL)
    }

    fn frames_are_too_many(&self) -> bool {
        self.frame_bytes > MAX_FRAME_BYTES
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
            || outrun.is_some_and(|(waiting, frame)| frame.pts - waiting.picture.dts > PART_WAIT)
    }

    /// Whether a picture waits for audio that is on its way.
    fn must_wait_for_audio(&self, picture: Timestamp, eager: Eagerness) -> bool {
        if eager.end || eager.audio_is_idle || !self.announces_audio() || self.pictures_are_too_many() {
            return false;
        }
        if self.audio_has_vanished(picture) || self.pace.audio_end().is_some_and(|end| end + AUDIO_GRAIN >= picture) {
            return false;
        }
        let newest = self.pictures.back().map_or(picture, |waiting| waiting.picture.dts);
        newest - picture < VIDEO_WAIT
    }

    fn pictures_are_too_many(&self) -> bool {
        self.pictures.len() > MAX_WAITING_PICTURES || self.picture_bytes > MAX_PICTURE_BYTES
    }

    /// Whether no audio came for so long that the next PMT leaves it out.
    fn audio_has_vanished(&self, now: Timestamp) -> bool {
        let limit = i64::try_from(self.config.audio_vanishes_after_ms).unwrap_or(i64::MAX);
        match self.pace.audio_heard().max(self.first_picture) {
            Some(last) => now - last > MediaDuration::from_ms(limit),
            None => false,
        }
    }

    fn next_picture(&mut self) {
        let Some(waiting) = self.pictures.pop_front() else { return };
        self.picture_bytes -= waiting.bytes.min(self.picture_bytes);
        let next = self.pictures.front().map(|next| next.picture.dts);
        let (dts, came) = (waiting.picture.dts, waiting.audio_end);
        // At the first key frame the configuration is a promise of audio, kept until it vanishes; later only frames
        // count (quirk Q46).
        let promised = self.audio.is_configured() && (self.tracks.is_none() || self.announces_audio());
        let has_audio = self.pace.audio_end().is_some() || promised;
        let audio = (has_audio && !self.audio_has_vanished(dts)).then_some(AudioCoding::Aac);
        if let Some(came) = came.filter(|_| !self.announces_audio()) {
            // What came earlier has no picture to go with, in this segment or in the one before. What comes beside a
            // picture belongs to it, however early it is stamped.
            self.drop_audio_before(came.min(dts) - AUDIO_LEAD);
        }
        self.hand_out_picture(waiting, next, audio);
    }

    fn next_frame(&mut self, before_video: bool, alone: bool) {
        if let Some(frame) = self.frames.pop_front() {
            self.frame_bytes -= frame.memory().min(self.frame_bytes);
            self.hand_out_frame(frame, before_video, alone);
        }
    }

    fn drop_audio_before(&mut self, time: Timestamp) {
        let first_in_time = self.belated;
        while self.frames.front().is_some_and(|frame| frame.pts < time && Some(frame.end()) > first_in_time) {
            self.drop_oldest_audio();
        }
    }

    /// Notes sound that comes far behind the pictures of its time: these are in segments that have ended, so that no later
    /// segment is better for it than the next (decision D26). None of it may be dropped for its time.
    pub(super) fn note_lag(&mut self, end: Timestamp) {
        if self.pace.newest_picture().is_some_and(|picture| picture - end > AUDIO_WAIT) {
            self.belated = self.belated.max(Some(end));
        }
    }

    /// Audio that waits for a picture or for its announcement is bounded by memory; beside pictures also by time.
    fn bound_waiting_audio(&mut self) {
        if let (Some(newest), Some(last)) = (self.frames.back().map(|frame| frame.pts), self.last_dts) {
            self.drop_audio_before(newest.min(last) - AUDIO_WAIT);
        }
        while self.frames_are_too_many() {
            self.drop_oldest_audio();
        }
    }

    fn drop_oldest_audio(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.frame_bytes -= frame.memory().min(self.frame_bytes);
            self.stats.audio_before_picture += 1;
        }
    }

    fn announces_audio(&self) -> bool {
        self.tracks.is_some_and(|tracks| tracks.audio.is_some())
    }

    fn hand_out_picture(&mut self, waiting: WaitingPicture, next: Option<Timestamp>, audio: Option<AudioCoding>) {
        let WaitingPicture { picture, after_jump, .. } = waiting;
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
                let earliest = self.frames.front().map(|frame| frame.pts);
                self.units.push_back(Unit::TrackChange(TrackChange { tracks, earliest }));
                self.tracks = Some(tracks);
            }
            self.stats.key_frames += 1;
        }
        self.stats.recovery_points += u64::from(picture.entry == Entry::Recovery);
        self.rhythm.picture(&picture);
        self.stats.pictures += 1;
        self.last_dts = Some(picture.dts);
        self.units.push_back(Unit::Picture(TimedPicture { picture, next }));
    }

    fn hand_out_frame(&mut self, frame: AudioFrame, before_video: bool, alone: bool) {
        match &self.audio_setup {
            Some(setup) if setup.same_setup(&frame.coded) => {}
            before => {
                if before.is_some() {
                    self.units.push_back(Unit::Discontinuity);
                }
                self.audio_setup = Some(frame.coded.setup());
            }
        }
        self.stats.audio_frames += 1;
        let horizon = match (before_video, alone) {
            (true, _) => Horizon::Picture(frame.pts),
            (false, true) => Horizon::NoPictures(frame.pts - CLOCK_LAG),
            (false, false) => Horizon::Unknown,
        };
        self.units.push_back(Unit::Frame(TimedFrame { frame, horizon }));
    }
}
