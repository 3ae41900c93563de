//! One clock for both tracks: unwrapped, without jumps, so that what follows only sees times that go forward (quirks Q19, Q20, Q28).

use crate::access_unit::Track;
use crate::saved::saved;
use crate::time::TimestampUnwrapper;

/// A step forward beyond this is a jump (LiveChannel 4.2).
const JUMP_FORWARD_MS: i64 = 10_000;

/// A step back beyond this is a jump; smaller ones are jitter (LiveChannel 4.2).
const JUMP_BACK_MS: i64 = 1_000;

/// Tracks of the same source are apart as they were before, give or take this much.
const SAME_MOMENT_MS: i64 = 3_000;

/// The time stamps of two tracks that begin further apart come from clocks that have nothing to do with each other
/// (quirk Q46). Encoders send sound up to 40 s before the pictures that belong to it.
const SAME_CLOCK_MS: i64 = 90_000;

/// Where a message lies on the common clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Milliseconds on the common clock.
    pub(super) ms: i64,
    /// Whether the track's own time stamps jumped here.
    pub(super) jumped: bool,
    /// Whether that jump is the one that the other track made before.
    pub(super) follows_other: bool,
}

impl Placed {
    fn at(ms: i64) -> Self {
        Self { ms, jumped: false, follows_other: false }
    }

    fn jumped(ms: i64) -> Self {
        Self { jumped: true, ..Self::at(ms) }
    }
}

/// Both clocks. After a jump a track goes on where it was, or where the other one is, by a changed offset between its
/// own time stamps and the common clock. While both offsets are equal, the tracks are as far apart as the encoder sent
/// them.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    video: TrackClock,
    audio: TrackClock,
}

#[derive(Clone, Debug, Default)]
struct TrackClock {
    unwrapper: TimestampUnwrapper,
    offset: i64,
    newest: Option<i64>,
    step: i64,
    /// How far the other track was ahead when the newest message came.
    distance: i64,
    /// Rises with each change of an offset that did not come from the other track.
    jump: u64,
}

saved!(struct Timeline { video, audio });
saved!(struct TrackClock { unwrapper, offset, newest, step, distance, jump });

impl Timeline {
    /// Places the time stamp of one message.
    pub(super) fn place(&mut self, track: Track, raw_ms: u32) -> Placed {
        let (own, other) = match track {
            Track::Video => (&mut self.video, &self.audio),
            Track::Audio => (&mut self.audio, &self.video),
        };
        own.place(other, raw_ms)
    }

    /// How far the newest audio is ahead of the newest picture, in milliseconds; `None` until both exist.
    pub(super) fn skew_ms(&self) -> Option<i64> {
        Some(self.audio.newest?.saturating_sub(self.video.newest?))
    }

    /// Wraps of counters narrower than 32 bits, on both tracks.
    pub(super) fn narrow_wraps(&self) -> u64 {
        self.video.unwrapper.narrow_wraps() + self.audio.unwrapper.narrow_wraps()
    }
}

impl TrackClock {
    fn place(&mut self, other: &Self, raw_ms: u32) -> Placed {
        if self.newest.is_none() && other.newest.is_some() {
            self.unwrapper = TimestampUnwrapper::beside(&other.unwrapper);
            self.offset = other.offset;
        }
        let own = self.unwrapper.unwrap_ms(raw_ms);
        let placed = self.position(other, own);
        if let Some(newest) = self.newest
            && (1..=1_000).contains(&(placed.ms - newest))
        {
            self.step = placed.ms - newest;
        }
        self.newest = Some(self.newest.map_or(placed.ms, |newest| newest.max(placed.ms)));
        if let (Some(newest), Some(other)) = (self.newest, other.newest) {
            self.distance = other.saturating_sub(newest);
        }
        placed
    }

    fn position(&mut self, other: &Self, own: i64) -> Placed {
        let ms = own.saturating_add(self.offset);
        // Where this track would be if it were as far from the other as before.
        let moment = other.newest.map(|newest| newest.saturating_sub(self.distance));
        let beside_other =
            |ms: i64| [moment, other.newest].into_iter().flatten().any(|moment| (ms - moment).abs() <= SAME_MOMENT_MS);
        let Some(newest) = self.newest else {
            // The first message of a second track whose clock has nothing to do with the first one's.
            let Some(moment) = other.newest.filter(|moment| (ms - moment).abs() > SAME_CLOCK_MS) else {
                return Placed::at(ms);
            };
            self.offset = moment.saturating_sub(own);
            return Placed::jumped(moment);
        };
        let follows = |ms: i64| (-JUMP_BACK_MS..=JUMP_FORWARD_MS).contains(&(ms - newest));
        if follows(ms) {
            return Placed::at(ms);
        }
        // The other track went on meanwhile and confirms the time: this one only paused (quirk Q33).
        if ms > newest && beside_other(ms) {
            return Placed::jumped(ms);
        }
        // The other track made the same jump before, or this one comes back from an excursion.
        let with_other = own.saturating_add(other.offset);
        if other.newest.is_some() && (follows(with_other) || with_other > newest && beside_other(with_other)) {
            let follows_other = other.jump > self.jump;
            (self.offset, self.jump) = (other.offset, other.jump);
            return Placed { follows_other, ..Placed::jumped(with_other) };
        }
        let next = newest.saturating_add(self.step.max(1));
        let resumed = match moment {
            Some(moment) if moment > next + SAME_MOMENT_MS => moment,
            _ => next,
        };
        self.offset = resumed.saturating_sub(own);
        self.jump = self.jump.max(other.jump) + 1;
        Placed::jumped(resumed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Track::{Audio, Video};
    use proptest::prelude::*;

    fn check(name: &str, steps: &[(Track, u32, i64, bool)]) {
        let mut timeline = Timeline::default();
        for &(track, raw, ms, jumped) in steps {
            let placed = timeline.place(track, raw);
            assert_eq!((placed.ms, placed.jumped), (ms, jumped), "{name}: {track:?} {raw}");
        }
    }

    #[test]
    fn q28_jumps_do_not_reach_the_common_clock() {
        check(
            "both jump back, video first",
            &[
                (Video, 60_000, 60_000, false),
                (Audio, 60_010, 60_010, false),
                (Video, 60_040, 60_040, false),
                (Video, 0, 60_080, true),
                (Audio, 0, 60_080, true),
                (Audio, 23, 60_103, false),
                (Video, 40, 60_120, false),
            ],
        );
        check(
            "video jumps back, audio goes on",
            &[
                (Video, 60_000, 60_000, false),
                (Audio, 60_010, 60_010, false),
                (Video, 60_040, 60_040, false),
                (Video, 0, 60_080, true),
                (Audio, 60_033, 60_033, false),
                (Video, 40, 60_120, false),
            ],
        );
        check(
            "one wild time stamp heals",
            &[
                (Video, 1_000, 1_000, false),
                (Audio, 1_000, 1_000, false),
                (Video, 1_040, 1_040, false),
                (Video, 900_000, 1_080, true),
                (Video, 1_120, 1_120, true),
                (Audio, 1_023, 1_023, false),
            ],
        );
        check(
            "both jump forward",
            &[
                (Video, 0, 0, false),
                (Audio, 0, 0, false),
                (Video, 40, 40, false),
                (Video, 500_000, 80, true),
                (Audio, 500_010, 90, true),
                (Video, 500_040, 120, false),
            ],
        );
        check(
            "a pause of 10 s is none",
            &[(Video, 0, 0, false), (Video, 10_000, 10_000, false), (Video, 20_001, 11_000, true)][..2],
        );
    }

    #[test]
    fn q28_the_second_track_follows_the_first() {
        let mut timeline = Timeline::default();
        let follows: Vec<_> = [(Video, 60_000), (Audio, 60_000), (Video, 0), (Audio, 0), (Audio, 90_000), (Audio, 60)]
            .into_iter()
            .map(|(track, raw)| timeline.place(track, raw))
            .map(|placed| (placed.jumped, placed.follows_other))
            .collect();
        let (none, own, followed) = ((false, false), (true, false), (true, true));
        assert_eq!(follows, [none, none, own, followed, own, own], "the last two are an excursion of audio alone");
    }

    #[test]
    fn q33_a_pause_of_one_track_is_confirmed_by_the_other() {
        let mut timeline = Timeline::default();
        timeline.place(Video, 0);
        for ms in (0..60_000).step_by(20) {
            assert_eq!(timeline.place(Audio, ms), Placed::at(i64::from(ms)));
        }
        assert_eq!(timeline.place(Video, 60_000), Placed::jumped(60_000));
    }

    #[test]
    fn q46_a_late_track_with_a_clock_of_its_own_starts_beside_the_first() {
        check(
            "audio at 5 h",
            &[(Video, 2_000, 2_000, false), (Audio, 18_000_000, 2_000, true), (Audio, 18_000_023, 2_023, false)],
        );
    }

    #[test]
    fn q20_tracks_share_one_epoch_across_the_wrap() {
        check(
            "video before, audio after",
            &[(Video, 0xFFFF_FFF0, 0xFFFF_FFF0, false), (Audio, 4, 0x1_0000_0004, false)],
        );
    }

    proptest! {
        #[test]
        fn no_jump_is_left(values in prop::collection::vec((any::<bool>(), any::<u32>()), 0..200)) {
            let mut timeline = Timeline::default();
            let mut newest = [None::<i64>; 2];
            for (is_video, raw) in values {
                let placed = timeline.place(if is_video { Video } else { Audio }, raw);
                let slot = &mut newest[usize::from(is_video)];
                if let Some(last) = *slot {
                    prop_assert!(placed.ms - last >= -JUMP_BACK_MS);
                }
                *slot = Some(slot.map_or(placed.ms, |last| last.max(placed.ms)));
            }
        }
    }
}
