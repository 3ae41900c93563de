//! What is wrong with a running push, as short names that a page can put into words and sort by.

use std::time::Duration;

use media::doctor::Advice;

use super::channels::OnAir;
use super::losses::Losses;

/// A push of which nothing arrives for so long is in trouble, although its connection stands.
const SILENCE: Duration = Duration::from_secs(5);
/// A clock that is wrong by less is in the report and needs no warning, in millionths.
const DRIFT_PPM: u64 = 10_000;

/// What is wrong now, without repetitions; so many segments wait for the store.
pub(super) fn of(advice: &[Advice], on_air: &OnAir, losses: &Losses, waiting: usize) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut add = |name| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    if losses.ms > 0 {
        add("media_lost");
    }
    if waiting > 0 {
        add("store_away");
    }
    if on_air.silence() >= SILENCE {
        add("no_media");
    }
    for one in advice {
        match one {
            Advice::VideoCodec(_) => add("foreign_video"),
            Advice::AudioCodec(_) => add("foreign_audio"),
            Advice::NoPicture => add("no_picture"),
            Advice::KeyFrames { .. } | Advice::RecoveryPoints { .. } => add("key_frames_late"),
            Advice::Sound { .. } => add("sound_apart"),
            Advice::Drift { ppm } if ppm.unsigned_abs() < DRIFT_PPM => {}
            Advice::Drift { ppm } if *ppm < 0 => add("slow"),
            Advice::Drift { .. } => add("fast"),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use media::flv::VideoCodec;

    use super::*;

    #[test]
    fn names_are_short_and_told_once() {
        let on_air = OnAir::new(SocketAddr::from(([192, 0, 2, 10], 1)), 0);
        let check = |advice: &[Advice], lost_ms, expected: &[&str]| {
            let mut losses = Losses::default();
            losses.ms = lost_ms;
            assert_eq!(of(advice, &on_air, &losses, 0), expected);
        };
        assert_eq!(of(&[], &on_air, &Losses::default(), 2), ["store_away"]);
        let late = Advice::KeyFrames { every_ms: 9000, set_s: 2 };
        check(&[], 0, &[]);
        check(&[Advice::VideoCodec(VideoCodec::H265)], 5, &["media_lost", "foreign_video"]);
        check(&[late, late, Advice::Sound { lead_ms: 2000 }], 0, &["key_frames_late", "sound_apart"]);
        check(&[Advice::Drift { ppm: 2000 }], 0, &[]);
        check(&[Advice::Drift { ppm: -20_000 }], 0, &["slow"]);
        check(&[Advice::Drift { ppm: 20_000 }], 0, &["fast"]);
    }
}
