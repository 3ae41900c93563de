//! Media that cannot be recorded: said once in the log while the push goes on, and refused where that is wanted (D21).

use media::doctor::{Advice, Facts, advice};

/// How long such media is looked at before the log names it: sound may come a little before its picture.
const WARN_AFTER_MS: i64 = 1_500;

/// What a push sends that is not recorded, and since when.
#[derive(Debug, Default)]
pub(super) struct Unrecordable {
    since_ms: Option<i64>,
    is_reported: bool,
}

impl Unrecordable {
    /// Looks at what was measured. Gives the line for the log when it is time for it, once.
    pub(super) fn look(&mut self, facts: &Facts, now_ms: i64) -> Option<String> {
        let found = what(facts);
        if found.is_empty() {
            self.since_ms = None;
            return None;
        }
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        let is_due = now_ms.saturating_sub(since_ms) >= WARN_AFTER_MS;
        if is_due { self.report(&found) } else { None }
    }

    /// The same at the end of a push, which may have been too short.
    pub(super) fn at_end(&mut self, facts: &Facts) -> Option<String> {
        let found = what(facts);
        if found.is_empty() { None } else { self.report(&found) }
    }

    /// Whether nothing of the push can be recorded, for so many seconds by now; with 0 never.
    pub(super) fn is_refused(&self, facts: &Facts, after_s: u64, now_ms: i64) -> bool {
        let after_ms = i64::try_from(after_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let is_due = self.since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= after_ms);
        after_s > 0 && is_due && why_nothing(facts).is_some()
    }

    fn report(&mut self, found: &[Advice]) -> Option<String> {
        let is_new = !std::mem::replace(&mut self.is_reported, true);
        is_new.then(|| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// What to change because it is not recorded.
fn what(facts: &Facts) -> Vec<Advice> {
    let is_left_out = |one: &Advice| matches!(one, Advice::VideoCodec(_) | Advice::AudioCodec(_) | Advice::NoPicture);
    advice(facts).into_iter().filter(is_left_out).collect()
}

/// Why nothing of what comes is recorded, if that is so.
pub(super) fn why_nothing(facts: &Facts) -> Option<Advice> {
    advice(facts).into_iter().find(|one| matches!(one, Advice::VideoCodec(_) | Advice::NoPicture))
}

#[cfg(test)]
mod tests {
    use media::flv::{AudioCodec, VideoCodec};

    use super::*;

    const SOUND: Facts = facts(None, Some(AudioCodec::Aac));
    const PLAIN: Facts = facts(Some(VideoCodec::H264), Some(AudioCodec::Aac));
    const HEVC: Facts = facts(Some(VideoCodec::H265), Some(AudioCodec::Mp3));

    const fn facts(video: Option<VideoCodec>, audio: Option<AudioCodec>) -> Facts {
        Facts {
            video,
            audio,
            frag_duration_ms: 2_000,
            recovery_points_start_segments: false,
            picture_interval_ms: None,
            key_interval_ms: None,
            recovery_interval_ms: None,
            audio_lead_ms: None,
            drift_ppm: None,
        }
    }

    #[test]
    fn everything_that_is_left_out_is_named_once_within_two_seconds_of_it() {
        let mut push = Unrecordable::default();
        // An encoder that has been connected for long.
        assert_eq!(push.look(&Facts::default(), 60_000), None);
        assert_eq!(push.look(&HEVC, 70_000), None);
        let lines: Vec<_> = (1..=40).filter_map(|tick| push.look(&HEVC, 70_000 + 100 * tick)).collect();
        assert_eq!(lines, ["HEVC: choose H.264; MP3: choose AAC"]);
        assert_eq!(push.at_end(&HEVC), None);
    }

    #[test]
    fn sound_that_comes_a_little_early_is_no_reason() {
        let mut push = Unrecordable::default();
        assert_eq!(push.look(&SOUND, 10_000), None);
        assert!(!push.is_refused(&SOUND, 1, 10_900));
        assert_eq!(push.look(&PLAIN, 11_000), None);
        assert_eq!(push.look(&PLAIN, 20_000), None);
        assert_eq!(push.at_end(&PLAIN), None);
    }

    #[test]
    fn a_push_that_was_too_short_is_reported_at_its_end() {
        let mut push = Unrecordable::default();
        assert_eq!(push.look(&HEVC, 0), None);
        assert!(push.at_end(&HEVC).is_some());
        assert_eq!(push.at_end(&HEVC), None);
    }

    #[test]
    fn it_is_refused_where_nothing_is_recorded_and_only_when_wanted() {
        let mut push = Unrecordable::default();
        let _ = push.look(&HEVC, 5_000);
        for (after_s, now_ms, expected) in [(0, 99_000, false), (3, 7_999, false), (3, 8_000, true)] {
            assert_eq!(push.is_refused(&HEVC, after_s, now_ms), expected, "{after_s} {now_ms}");
        }
        // The picture is recorded.
        let mute = facts(Some(VideoCodec::H264), Some(AudioCodec::Mp3));
        let mut push = Unrecordable::default();
        let _ = push.look(&mute, 0);
        assert!(!push.is_refused(&mute, 3, 60_000));
    }
}
