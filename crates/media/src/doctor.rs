//! The ingest doctor: what to change in an encoder, from what was measured of its stream.

use crate::flv::{AudioCodec, VideoCodec};
use std::fmt::{self, Display, Formatter};

/// What was measured of one push. Plain numbers; `None` while not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The codec of the pictures, also when it is one that is not recorded.
    pub video: Option<VideoCodec>,
    /// The codec of the sound, likewise.
    pub audio: Option<AudioCodec>,
    /// FragDuration of the channel, in milliseconds.
    pub frag_duration_ms: u64,
    /// Whether recovery points may start segments (quirk Q42).
    pub recovery_points_start_segments: bool,
    /// The longest of the newest intervals between pictures, in milliseconds.
    pub picture_interval_ms: Option<u64>,
    /// How far key frames (IDR pictures) are apart, in milliseconds; how long the newest is ago, where that is more.
    pub key_interval_ms: Option<u64>,
    /// How far pictures are apart at which decoding may start; `None` where these are key frames alone.
    pub recovery_interval_ms: Option<u64>,
    /// How far sound usually comes ahead of the pictures, in milliseconds; negative behind them.
    pub audio_lead_ms: Option<i64>,
    /// How much faster the encoder's clock runs than time, in millionths.
    pub drift_ppm: Option<i64>,
}

/// One thing to change. Its text is one line for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The pictures are of a codec that is not recorded.
    VideoCodec(VideoCodec),
    /// The sound is of a codec that is not recorded.
    AudioCodec(AudioCodec),
    /// There is sound and no picture, and without pictures nothing is recorded.
    NoPicture,
    /// Key frames are so far apart that segments become longer than FragDuration.
    KeyFrames {
        /// How far, in milliseconds.
        every_ms: u64,
        /// What to set, in seconds.
        set_s: u64,
    },
    /// The same, but there are recovery points that could start segments.
    RecoveryPoints {
        /// Distance of the key frames, in milliseconds.
        keys_ms: u64,
        /// Distance of the recovery points, in milliseconds.
        every_ms: u64,
    },
    /// Sound comes long before or after the pictures of its time.
    Sound {
        /// How far ahead, in milliseconds; negative behind.
        lead_ms: i64,
    },
    /// The encoder's clock runs too fast or too slow.
    Drift {
        /// By how much, in millionths; positive is fast.
        ppm: i64,
    },
}

/// Key frames may be this much further apart than FragDuration before it is worth a word, in percent.
const KEY_SLACK_PERCENT: u64 = 25;

/// The key frame interval that suits everybody, in seconds.
const KEY_INTERVAL_S: u64 = 2;

/// Sound that is further from its pictures than this is reported, in milliseconds.
const LEAD_MS: u64 = 1_000;

/// A clock that is wrong by more than this is reported, in millionths.
const DRIFT_PPM: u64 = 1_000;

/// What to change, the most important first; empty for a stream in order.
pub fn advice(facts: &Facts) -> Vec<Advice> {
    let mut advice = Vec::new();
    match facts.video {
        Some(VideoCodec::H264) => {}
        Some(codec) => advice.push(Advice::VideoCodec(codec)),
        None if facts.audio.is_some() => advice.push(Advice::NoPicture),
        None => {}
    }
    if let Some(codec) = facts.audio.filter(|codec| *codec != AudioCodec::Aac) {
        advice.push(Advice::AudioCodec(codec));
    }
    advice.extend(key_frames(facts));
    if let Some(lead_ms) = facts.audio_lead_ms.filter(|lead| lead.unsigned_abs() >= LEAD_MS) {
        advice.push(Advice::Sound { lead_ms });
    }
    if let Some(ppm) = facts.drift_ppm.filter(|ppm| ppm.unsigned_abs() >= DRIFT_PPM) {
        advice.push(Advice::Drift { ppm });
    }
    advice
}

fn key_frames(facts: &Facts) -> Option<Advice> {
    let frag_ms = facts.frag_duration_ms.max(1);
    let is_long = |ms: u64| ms.saturating_mul(100) > frag_ms.saturating_mul(100 + KEY_SLACK_PERCENT);
    let keys_ms = facts.key_interval_ms.filter(|ms| is_long(*ms))?;
    match facts.recovery_interval_ms.filter(|ms| !is_long(*ms)) {
        Some(_) if facts.recovery_points_start_segments => None,
        Some(every_ms) => Some(Advice::RecoveryPoints { keys_ms, every_ms }),
        None => Some(Advice::KeyFrames { every_ms: keys_ms, set_s: KEY_INTERVAL_S.min(frag_ms.div_ceil(1_000)) }),
    }
}

impl Display for Advice {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::VideoCodec(VideoCodec::H265) => write!(out, "HEVC: choose H.264"),
            Self::VideoCodec(VideoCodec::Unknown) => write!(out, "unknown video codec: choose H.264"),
            Self::VideoCodec(codec) => write!(out, "{}: choose H.264", codec.name()),
            Self::AudioCodec(AudioCodec::Unknown) => write!(out, "unknown audio codec: choose AAC"),
            Self::AudioCodec(codec) => write!(out, "{}: choose AAC", codec.name()),
            Self::NoPicture => write!(out, "sound without a picture: nothing is recorded, send H.264 too"),
            Self::KeyFrames { every_ms, set_s } => {
                write!(out, "key frames every {} s: set the interval to {set_s} s", Tenths(every_ms))
            }
            Self::RecoveryPoints { keys_ms, every_ms } => write!(
                out,
                "key frames every {} s, recovery points every {} s: switch open GOP and intra refresh off, or set \
                 recovery_points_start_segments",
                Tenths(keys_ms),
                Tenths(every_ms)
            ),
            Self::Sound { lead_ms } => {
                let side = if lead_ms < 0 { "behind" } else { "ahead" };
                write!(out, "sound {} s {side}", Tenths(lead_ms.unsigned_abs()))
            }
            Self::Drift { ppm } => {
                // A thousandth is 0.1 %.
                let percent = ppm.unsigned_abs().saturating_add(500) / 1_000;
                let way = if ppm < 0 { "slow" } else { "fast" };
                write!(out, "clock drifts {}.{} %: it runs {way}", percent / 10, percent % 10)
            }
        }
    }
}

/// Milliseconds as seconds with one decimal.
struct Tenths(u64);

impl Display for Tenths {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let tenths = self.0.saturating_add(50) / 100;
        write!(out, "{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            video: Some(VideoCodec::H264),
            audio: Some(AudioCodec::Aac),
            frag_duration_ms: 5_000,
            key_interval_ms: Some(2_000),
            picture_interval_ms: Some(40),
            audio_lead_ms: Some(20),
            drift_ppm: Some(-40),
            ..Facts::default()
        }
    }

    fn check(facts: Facts, expected: &[&str]) {
        let found: Vec<String> = advice(&facts).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{facts:?}");
    }

    #[test]
    fn a_stream_in_order_needs_no_advice() {
        check(good(), &[]);
        check(Facts { key_interval_ms: Some(6_200), ..good() }, &[]);
        check(Facts { audio: None, audio_lead_ms: None, ..good() }, &[]);
        check(Facts::default(), &[]);
    }

    #[test]
    fn key_frames_too_far_apart() {
        let late = Facts { key_interval_ms: Some(8_320), ..good() };
        check(late, &["key frames every 8.3 s: set the interval to 2 s"]);
        check(Facts { frag_duration_ms: 1_000, ..good() }, &["key frames every 2.0 s: set the interval to 1 s"]);
        let open = Facts { key_interval_ms: Some(20_000), recovery_interval_ms: Some(2_000), ..good() };
        check(
            open,
            &[
                "key frames every 20.0 s, recovery points every 2.0 s: switch open GOP and intra refresh off, or set recovery_points_start_segments",
            ],
        );
        check(Facts { recovery_points_start_segments: true, ..open }, &[]);
        check(
            Facts { recovery_interval_ms: Some(15_000), ..open },
            &["key frames every 20.0 s: set the interval to 2 s"],
        );
    }

    #[test]
    fn sound_far_from_its_pictures() {
        check(Facts { audio_lead_ms: Some(4_120), ..good() }, &["sound 4.1 s ahead"]);
        check(Facts { audio_lead_ms: Some(-30_000), ..good() }, &["sound 30.0 s behind"]);
    }

    #[test]
    fn a_clock_that_drifts() {
        check(Facts { drift_ppm: Some(3_040), ..good() }, &["clock drifts 0.3 %: it runs fast"]);
        check(Facts { drift_ppm: Some(-12_000), ..good() }, &["clock drifts 1.2 %: it runs slow"]);
    }

    #[test]
    fn codecs_that_are_not_recorded() {
        let of = |codec| Facts { video: Some(codec), ..Facts::default() };
        check(of(VideoCodec::H265), &["HEVC: choose H.264"]);
        check(of(VideoCodec::Av1), &["AV1: choose H.264"]);
        check(of(VideoCodec::Vp9), &["VP9: choose H.264"]);
        check(of(VideoCodec::Unknown), &["unknown video codec: choose H.264"]);
        check(Facts { audio: Some(AudioCodec::Mp3), ..good() }, &["MP3: choose AAC"]);
        check(
            Facts { audio: Some(AudioCodec::Aac), ..Facts::default() },
            &["sound without a picture: nothing is recorded, send H.264 too"],
        );
    }
}
