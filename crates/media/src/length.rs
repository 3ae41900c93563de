//! How long a segment is that nothing follows (LiveChannel 4.3): one rule for the end of a take and for what a crash left.

use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};

/// Sound may end this much later than pictures before it decides how long the last segment is (quirk Q33).
pub(crate) const AUDIO_TAIL: MediaDuration = MediaDuration::from_ms(3_000);

/// How long a picture lasts when nothing tells.
pub(crate) const DEFAULT_INTERVAL: MediaDuration = MediaDuration::from_ms(40);

/// Follows the times of both tracks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Length {
    last_picture: Option<Timestamp>,
    interval: Option<MediaDuration>,
    audio_end: Option<Timestamp>,
}

saved!(struct Length { last_picture, interval, audio_end });

impl Length {
    /// Decoding time of the newest picture.
    pub(crate) fn last_picture(&self) -> Option<Timestamp> {
        self.last_picture
    }

    /// How long a picture at `dts` will last, by what is known.
    pub(crate) fn estimate(&self, dts: Timestamp) -> MediaDuration {
        let step = self.last_picture.map(|last| dts - last);
        self.interval.or(step).unwrap_or(DEFAULT_INTERVAL)
    }

    /// Takes note of a picture.
    pub(crate) fn picture(&mut self, dts: Timestamp) {
        if let Some(last) = self.last_picture {
            let step = dts - last;
            // A pause says little about the picture behind it, so the estimate grows by doubling at most.
            self.interval =
                Some(self.interval.map_or(step, |before| MediaDuration(step.0.min(before.0.saturating_mul(2)))));
        }
        self.last_picture = Some(dts);
    }

    /// Takes note of sound that ends at `end`.
    pub(crate) fn sound(&mut self, end: Timestamp) {
        self.audio_end = Some(self.audio_end.map_or(end, |before| before.max(end)));
    }

    /// Where the media ends that began at `start`. `interval` is how long the only picture of a take lasts, where its
    /// parameters tell.
    pub(crate) fn end(&self, start: Timestamp, interval: Option<MediaDuration>) -> Timestamp {
        let known = self.interval.or(interval);
        let video_end = self.last_picture.map_or(start, |last| last + known.unwrap_or(DEFAULT_INTERVAL));
        let end = match self.audio_end {
            // No picture, or one for which nothing else says how long it stands.
            Some(audio_end) if video_end <= start || known.is_none() => audio_end.max(video_end),
            Some(audio_end) if audio_end > video_end + AUDIO_TAIL => audio_end,
            _ => video_end,
        };
        end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, pictures_ms: &[i64], sound_ms: Option<i64>, interval_ms: Option<i64>, expected_ms: i64) {
        let mut length = Length::default();
        for ms in pictures_ms {
            length.picture(Timestamp::from_ms(*ms));
        }
        if let Some(ms) = sound_ms {
            length.sound(Timestamp::from_ms(ms));
        }
        let start = Timestamp::from_ms(pictures_ms.first().copied().unwrap_or(0));
        let end = length.end(start, interval_ms.map(MediaDuration::from_ms));
        assert_eq!((end - start).to_ms(), expected_ms, "{name}");
    }

    #[test]
    fn livechannel_4_3_the_end_of_the_last_segment() {
        check("pictures alone", &[0, 40, 80], None, None, 120);
        check("sound ends a little later", &[0, 40, 80], Some(3_120), None, 120);
        check("pictures stopped", &[0, 40, 80], Some(26_000), None, 26_000);
        check("no picture at all", &[], Some(26_000), None, 26_000);
        check("one picture", &[0], None, None, 40);
        check("one picture whose rate is known", &[0], Some(900), Some(33), 33);
        check("one picture of unknown duration under sound", &[0], Some(900), None, 900);
        check("nothing", &[], None, None, 0);
        check("a pause before the last picture", &[0, 40, 5_000], None, None, 5_080);
    }
}
