//! Audio tags to AAC frames on a clock that counts samples (quirks Q32, Q43).

use super::stats::RemuxStats;
use crate::aac::{AudioConfig, split_adts};
use crate::access_unit::AudioFrame;
use crate::saved::saved;
use crate::time::Timestamp;
use bytes::Bytes;
use std::sync::Arc;

/// How far the time stamps may leave the count of samples before the clock follows them (quirk Q32), in ticks (60 ms).
const RESYNC: i64 = 5_400;

/// Reads the audio tags of one take.
#[derive(Debug, Default)]
pub(super) struct AudioReader {
    header: Option<Bytes>,
    config: Option<Arc<AudioConfig>>,
    clock: Option<SampleClock>,
    /// How much later frames are heard than their stamps say, because the stamps fell back; in ticks.
    fallen: i64,
    has_fallen: bool,
}

/// Time by counting samples since an anchor.
#[derive(Clone, Copy, Debug)]
struct SampleClock {
    anchor: Timestamp,
    samples: u64,
    rate: u32,
    last: Timestamp,
}

saved!(struct AudioReader { header, config, clock, fallen, has_fallen });
saved!(struct SampleClock { anchor, samples, rate, last });

impl AudioReader {
    /// Whether a configuration came.
    pub(super) fn is_configured(&self) -> bool {
        self.config.is_some()
    }

    /// The rate that is heard, in Hz.
    pub(super) fn sample_rate(&self) -> Option<u32> {
        self.config.as_ref().map(|config| config.output_sample_rate)
    }

    /// Takes over a sequence header. The same one again means nothing (quirk Q36).
    pub(super) fn configure(&mut self, record: &Bytes, stats: &mut RemuxStats) {
        if self.header.as_ref() == Some(record) {
            stats.repeated_headers += 1;
            return;
        }
        match AudioConfig::parse(record) {
            Ok(config) => {
                self.header = Some(Bytes::copy_from_slice(record));
                self.adopt(config);
            }
            Err(_) => stats.broken_headers += 1,
        }
    }

    /// The frames of one tag that lies at `ms` on the common clock: one, unless it is ADTS.
    pub(super) fn read(&mut self, ms: i64, data: &Bytes, stats: &mut RemuxStats) -> Vec<AudioFrame> {
        let mut frames = Vec::with_capacity(1);
        let mut at = Timestamp::from_ms(ms);
        if let Some(adts) = split_adts(data) {
            for (header, data) in adts {
                stats.adts_in_flv += 1;
                // A sequence header knows more than ADTS can say, so it stays as long as both agree.
                let agrees = self.config.as_ref().is_some_and(|config| {
                    config.rate_index == header.rate_index
                        && (config.channels == header.channels || header.channels == 0)
                });
                if !agrees {
                    self.adopt(header.config());
                }
                if let Some(frame) = self.frame(at, data, stats) {
                    at = frame.end();
                    frames.push(frame);
                }
            }
        } else {
            frames.extend(self.frame(at, data.clone(), stats));
        }
        frames
    }

    fn adopt(&mut self, config: AudioConfig) {
        if self.config.as_deref() != Some(&config) {
            self.config = Some(Arc::new(config));
        }
    }

    fn frame(&mut self, at: Timestamp, data: Bytes, stats: &mut RemuxStats) -> Option<AudioFrame> {
        if data.is_empty() {
            stats.malformed += 1;
            return None;
        }
        let Some(config) = self.config.clone() else {
            stats.without_audio_config += 1;
            return None;
        };
        if config.adts_header(data.len()).is_none() {
            stats.oversized += 1;
            return None;
        }
        let pts = self.tick(at, &config, stats);
        AudioFrame::aac(pts, &config, data)
    }

    /// The time of the next frame, whose message says `at`.
    fn tick(&mut self, at: Timestamp, config: &AudioConfig, stats: &mut RemuxStats) -> Timestamp {
        let rate = config.sample_rate.max(1);
        let mut clock = match self.clock {
            None => SampleClock { anchor: at, samples: 0, rate, last: at },
            Some(clock) => {
                let expected = clock.now();
                let at = self.beyond_falls(at, expected);
                if (at - expected).0 > RESYNC {
                    stats.audio_resyncs += 1;
                    SampleClock { anchor: at, samples: 0, rate, last: at }
                } else if (at - expected).0 < -RESYNC {
                    // Frames cannot be heard earlier than those before them, and the source does not go on where it was.
                    stats.audio_resyncs += 1;
                    self.fallen = self.fallen.saturating_add((expected - at).0);
                    self.has_fallen = true;
                    clock
                } else if clock.rate != rate {
                    SampleClock { anchor: expected, samples: 0, rate, last: at }
                } else {
                    clock
                }
            }
        };
        let pts = clock.now();
        clock.last = pts;
        clock.samples += u64::from(config.samples_per_frame);
        self.clock = Some(clock);
        pts
    }
}

impl AudioReader {
    /// Whether the stamps fell back since this was asked last: what follows does not continue what came before.
    pub(super) fn take_fall(&mut self) -> bool {
        std::mem::take(&mut self.has_fallen)
    }

    /// A stamp as it would be had stamps not fallen back. When they return to where they were, the fall is forgotten.
    fn beyond_falls(&mut self, at: Timestamp, expected: Timestamp) -> Timestamp {
        if self.fallen != 0 && (at - expected).0 >= -RESYNC {
            self.fallen = 0;
        }
        Timestamp(at.0.saturating_add(self.fallen))
    }
}

impl SampleClock {
    fn now(&self) -> Timestamp {
        let ticks = u128::from(self.samples) * 90_000 / u128::from(self.rate);
        Timestamp(self.anchor.0.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_unit::CodedAudio;

    fn check(name: &str, config: &'static [u8], times_ms: &[i64], expected: &[i64], resyncs: u64) {
        let mut reader = AudioReader::default();
        let mut stats = RemuxStats::default();
        reader.configure(&Bytes::from_static(config), &mut stats);
        let got: Vec<i64> = times_ms
            .iter()
            .flat_map(|ms| reader.read(*ms, &Bytes::from_static(&[0x21, 1]), &mut stats))
            .map(|frame| frame.pts.0)
            .collect();
        assert_eq!((got.as_slice(), stats.audio_resyncs), (expected, resyncs), "{name}");
    }

    #[test]
    fn q32_times_are_counted_in_samples() {
        let stereo_44 = &[0x12, 0x10];
        check("44.1 kHz", stereo_44, &[0, 23, 46, 69, 92, 116], &[0, 2089, 4179, 6269, 8359, 10_448], 0);
        check("jitter below 60 ms", stereo_44, &[0, 70, 10, 100], &[0, 2089, 4179, 6269], 0);
        check("a gap of 200 ms", stereo_44, &[0, 23, 246], &[0, 2089, 22_140], 1);
        check(
            "falling back never turns time, and leaves no frames a tick apart",
            stereo_44,
            &[1000, 1023, 900, 923],
            &[90_000, 92_089, 94_179, 96_269],
            1,
        );
        check("48 kHz", &[0x11, 0x90], &[0, 21, 43], &[0, 1920, 3840], 0);
    }

    #[test]
    fn q32_a_fall_that_heals_is_forgotten() {
        let stereo_44 = &[0x12, 0x10];
        check("a second", stereo_44, &[1_000, 23, 46, 1_093, 1_116], &[90_000, 92_089, 94_179, 96_269, 98_359], 1);
    }

    #[test]
    fn q32_no_drift_over_a_day() {
        let mut reader = AudioReader::default();
        let mut stats = RemuxStats::default();
        reader.configure(&Bytes::from_static(&[0x12, 0x10]), &mut stats);
        let data = Bytes::from_static(&[0x21]);
        for index in 0..3_720_937_i64 {
            let exact = index * 1024 * 90_000 / 44_100;
            let frames = reader.read(index * 1024 * 1000 / 44_100, &data, &mut stats);
            assert_eq!(frames[0].pts.0, exact);
        }
        assert_eq!(stats.audio_resyncs, 0);
    }

    #[test]
    fn q43_frames_that_cannot_be_carried_are_counted() {
        let mut reader = AudioReader::default();
        let mut stats = RemuxStats::default();
        assert!(reader.read(0, &Bytes::from_static(&[0x21]), &mut stats).is_empty());
        reader.configure(&Bytes::from_static(&[0x12, 0x10]), &mut stats);
        assert!(reader.read(0, &Bytes::new(), &mut stats).is_empty());
        assert!(reader.read(0, &Bytes::from(vec![0x21; 9000]), &mut stats).is_empty());
        assert_eq!((stats.without_audio_config, stats.malformed, stats.oversized), (1, 1, 1));
    }

    #[test]
    fn q43_adts_brings_its_own_configuration() {
        let config = AudioConfig::parse(&[0x12, 0x10]).expect("valid");
        let mut bytes = config.adts_header(2).expect("short").to_vec();
        bytes.extend_from_slice(&[0x21, 7]);
        let mut reader = AudioReader::default();
        let mut stats = RemuxStats::default();
        let frames = reader.read(5, &Bytes::from(bytes), &mut stats);
        assert_eq!(frames.len(), 1);
        let CodedAudio::Aac(aac) = &frames[0].coded;
        assert_eq!((aac.data.as_ref(), frames[0].pts), (&[0x21, 7][..], Timestamp::from_ms(5)));
        assert_eq!(reader.sample_rate(), Some(44_100));
    }
}
