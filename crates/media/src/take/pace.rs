//! How an encoder paces its tracks: the interval of its pictures, and how far its sound is ahead of them.

use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};
use std::collections::VecDeque;

/// Newest pictures that are looked at. Encoders that collect pictures bring them in bursts of up to a few dozen.
const PICTURES: usize = 32;

/// Measured at each picture as it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    newest_picture: Option<Timestamp>,
    steps: VecDeque<MediaDuration>,
    /// End of the newest sound minus the decoding time of the picture with which it came.
    leads: VecDeque<MediaDuration>,
    /// End of the newest sound, and as it was when the newest picture came.
    audio_end: Option<Timestamp>,
    audio_end_at_picture: Option<Timestamp>,
    /// The newest picture when the newest sound came.
    picture_at_audio: Option<Timestamp>,
}

saved!(struct Pace { newest_picture, steps, leads, audio_end, audio_end_at_picture, picture_at_audio });

impl Pace {
    /// A picture came.
    pub(super) fn picture(&mut self, dts: Timestamp) {
        if let Some(newest) = self.newest_picture {
            push(&mut self.steps, dts - newest);
        }
        if let Some(end) = self.audio_end {
            push(&mut self.leads, end - dts);
        }
        self.newest_picture = Some(dts);
        self.audio_end_at_picture = self.audio_end;
    }

    /// Sound came that is heard from `pts` to `end`.
    pub(super) fn sound(&mut self, pts: Timestamp, end: Timestamp) {
        if self.newest_picture.is_some() {
            self.audio_end_at_picture.get_or_insert(pts);
        }
        self.audio_end = Some(self.audio_end.map_or(end, |before| before.max(end)));
        self.picture_at_audio = self.newest_picture;
    }

    /// The newest moment of media that came.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.newest_picture.max(self.audio_end)
    }

    /// Decoding time of the newest picture that came.
    pub(super) fn newest_picture(&self) -> Option<Timestamp> {
        self.newest_picture
    }

    /// End of the newest sound that came.
    pub(super) fn audio_end(&self) -> Option<Timestamp> {
        self.audio_end
    }

    /// The moment of the pictures' clock at which sound was last heard of: its own end, or the picture beside which it
    /// came, whatever is later.
    pub(super) fn audio_heard(&self) -> Option<Timestamp> {
        self.audio_end.max(self.picture_at_audio)
    }

    /// The longest of the newest intervals between pictures.
    pub(super) fn interval(&self) -> Option<MediaDuration> {
        self.steps.iter().copied().max()
    }

    /// How far sound comes ahead of the pictures, at most; zero when it comes behind them.
    pub(super) fn lead(&self) -> MediaDuration {
        self.leads.iter().copied().max().unwrap_or_default().max(MediaDuration::default())
    }

    /// How far sound usually comes ahead of the pictures, negative behind them: the middle of the newest measurements.
    pub(super) fn usual_lead(&self) -> Option<MediaDuration> {
        let mut leads: Vec<MediaDuration> = self.leads.iter().copied().collect();
        leads.sort_unstable();
        leads.get(leads.len() / 2).copied()
    }

    /// How much sound came since the newest picture.
    pub(super) fn sound_since_picture(&self) -> MediaDuration {
        match (self.audio_end, self.audio_end_at_picture) {
            (Some(now), Some(then)) => now - then,
            _ => MediaDuration::default(),
        }
    }
}

fn push(window: &mut VecDeque<MediaDuration>, value: MediaDuration) {
    if window.len() >= PICTURES {
        window.pop_front();
    }
    window.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_and_intervals_follow_the_newest_pictures() {
        let at = Timestamp::from_ms;
        let mut pace = Pace::default();
        assert_eq!((pace.interval(), pace.lead(), pace.usual_lead()), (None, MediaDuration(0), None));
        pace.sound(at(4_977), at(5_000));
        for number in 0..40 {
            pace.picture(at(number * 1_000));
            pace.sound(at(4_000 + number * 1_000), at(5_000 + number * 1_000));
        }
        assert_eq!(pace.interval(), Some(MediaDuration::from_ms(1_000)));
        assert_eq!(pace.usual_lead(), Some(MediaDuration::from_ms(4_000)));
        assert_eq!(pace.sound_since_picture(), MediaDuration::from_ms(1_000));
        pace.sound(at(59_000), at(60_000));
        assert_eq!(pace.sound_since_picture(), MediaDuration::from_ms(17_000));
        assert_eq!(pace.audio_heard(), Some(at(60_000)));
    }
}
