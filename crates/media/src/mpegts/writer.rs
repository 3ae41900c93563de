//! Access units to transport packets.

use super::packet::{ContinuityCounter, Marks, Packetizer, Pid, put_clock};
use super::tables::{put_pat, put_pmt};
use crate::access_unit::{AacFrame, AudioFrame, CodedAudio, CodedPicture, Picture};
use crate::h264::NalUnit;
use crate::saved::saved;
use crate::time::{TICKS_PER_MS, Timestamp};

/// How far the media times of the TS lie above zero: room for audio that begins before the first picture. More where
/// that begins earlier; whole milliseconds.
const START: i64 = 126_000;

/// How far the clock runs behind the decoding times, in 90 kHz ticks (0.7 s). Audio that comes late by less than this
/// still arrives before it is due.
const CLOCK_DELAY: i64 = 63_000;

/// A gap between clock references above which packets for the clock alone are inserted, in ticks (50 ms).
const CLOCK_GAP: i64 = 4_500;

/// The distance of inserted references, in ticks (40 ms). Decision D14 allows 100 ms.
const CLOCK_STEP: i64 = 3_600;

/// No more inserted clock references than this at once: 30 s at the step above.
const MAX_CLOCK_PACKETS: i64 = 750;

/// Goes before each NAL unit. The four-byte form is required before the first unit of an access unit and before
/// parameter sets, and allowed everywhere (H.264 B.1.2).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The delimiter of any kind of picture, with its start code.
const ACCESS_UNIT_DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xF0];

/// The streams that a PMT announces. Video always is one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Whether there is AAC.
    pub audio: bool,
}

/// Writes one take as a transport stream, appending to the caller's buffer. Continuity and the clock go on from
/// segment to segment (decision D14).
#[derive(Clone, Debug)]
pub struct TsWriter {
    zero: Timestamp,
    /// The time stamp of `zero`.
    start: i64,
    program: Option<Program>,
    pmt_version: u8,
    pat: ContinuityCounter,
    pmt: ContinuityCounter,
    video: ContinuityCounter,
    audio: ContinuityCounter,
    /// Media time of the last clock reference.
    clock: Option<Timestamp>,
    /// Bytes of media in the segment.
    media: u64,
}

saved!(struct Program { audio });
saved!(struct TsWriter { zero, start, program, pmt_version, pat, pmt, video, audio, clock, media });

impl TsWriter {
    /// A writer for a take whose first picture is decoded at `zero`.
    pub fn new(zero: Timestamp) -> Self {
        Self::beginning(zero, zero)
    }

    /// A writer for a take whose first picture is decoded at `zero` and whose sound begins at `earliest`, which may lie
    /// before that by hours: no time stamp is negative.
    pub fn beginning(zero: Timestamp, earliest: Timestamp) -> Self {
        let lead = (zero - earliest).to_ms().clamp(0, 86_400_000).saturating_mul(TICKS_PER_MS);
        Self {
            zero,
            start: START.max(lead + CLOCK_DELAY),
            program: None,
            pmt_version: 0,
            pat: ContinuityCounter::default(),
            pmt: ContinuityCounter::default(),
            video: ContinuityCounter::default(),
            audio: ContinuityCounter::default(),
            clock: None,
            media: 0,
        }
    }

    /// Bytes of pictures and sound in the segment: NAL units with their start codes and frames of AAC, without transport and PES
    /// headers, delimiters and ADTS headers.
    pub fn media_bytes(&self) -> u64 {
        self.media
    }

    /// Writes PAT and PMT, as each segment begins.
    pub fn begin_segment(&mut self, out: &mut Vec<u8>, program: Program) {
        if self.program.is_some_and(|before| before != program) {
            self.pmt_version = (self.pmt_version + 1) & 0x1F;
        }
        self.program = Some(program);
        self.media = 0;
        put_pat(out, &mut self.pat);
        put_pmt(out, &mut self.pmt, self.pmt_version, program.audio);
    }

    /// Writes clock references up to the media time `until`, so that none is more than 50 ms after the one before.
    /// The reference at `until` itself is left to the picture there.
    pub fn fill_clock(&mut self, out: &mut Vec<u8>, until: Timestamp) {
        let Some(clock) = self.clock else { return };
        let gap = (until - clock).0;
        if gap <= CLOCK_GAP {
            return;
        }
        let steps = ((gap + CLOCK_STEP - 1) / CLOCK_STEP).min(MAX_CLOCK_PACKETS);
        for index in 1..steps {
            let at = Timestamp(clock.0 + gap / steps * index);
            put_clock(out, Pid::VIDEO, self.video, self.pcr(at));
            self.clock = Some(at);
        }
    }

    /// Writes one clock reference for the media time `at`, for a segment that begins without a picture.
    pub fn write_clock(&mut self, out: &mut Vec<u8>, at: Timestamp) {
        if self.clock.is_none_or(|clock| clock < at) {
            put_clock(out, Pid::VIDEO, self.video, self.pcr(at));
            self.clock = Some(at);
        }
    }

    /// Writes one picture as a PES packet: delimiter, parameter sets where it is a key frame or `with_parameter_sets`,
    /// then its units, each copied once.
    pub fn write_picture(&mut self, out: &mut Vec<u8>, picture: &Picture, with_parameter_sets: bool) {
        self.fill_clock(out, picture.dts);
        let CodedPicture::H264(coded) = &picture.coded;
        let sets: &[NalUnit] =
            if picture.key_frame || with_parameter_sets { &coded.parameter_sets } else { Default::default() };
        let units = || sets.iter().chain(&coded.nals).map(|nal| nal.bytes().as_ref());
        let media = units().map(|unit: &[u8]| START_CODE.len() + unit.len()).sum::<usize>();
        let payload = ACCESS_UNIT_DELIMITER.len() + media;
        self.media += media as u64;
        // Pictures that came late repeat no reference, unless they would be due before the clock, which sound drove on
        // without them: then the clock begins anew, and says so (ISO/IEC 13818-1 2.4.3.5).
        let is_ahead = self.clock.is_none_or(|clock| clock < picture.dts);
        let clock_breaks = self.clock.is_some_and(|clock| clock.0 - picture.dts.0 > CLOCK_DELAY);
        let pcr = (is_ahead || clock_breaks).then(|| {
            self.clock = Some(picture.dts);
            self.pcr(picture.dts)
        });
        let header = PesHeader::new(0xE0, self.stamp(picture.pts), self.stamp(picture.dts), payload);
        let marks = Marks { pcr, clock_breaks, random_access: picture.key_frame };
        let mut packets = Packetizer::start(
            out,
            Pid::VIDEO,
            &mut self.video,
            marks,
            header.bytes().len() + payload,
            header.is_unbounded(),
        );
        packets.put(header.bytes());
        packets.put(&ACCESS_UNIT_DELIMITER);
        for unit in units() {
            packets.put(&START_CODE);
            packets.put(unit);
        }
    }

    /// Writes units that belong to the picture before, which is written already (quirk Q41): a PES packet without times.
    pub fn write_picture_rest(&mut self, out: &mut Vec<u8>, rest: &CodedPicture) {
        let CodedPicture::H264(rest) = rest;
        let nals = &rest.nals;
        let payload: usize = nals.iter().map(|nal| START_CODE.len() + nal.bytes().len()).sum();
        self.media += payload as u64;
        let header = PesHeader::without_times(0xE0, payload);
        let length = header.bytes().len() + payload;
        let mut packets =
            Packetizer::start(out, Pid::VIDEO, &mut self.video, Marks::default(), length, header.is_unbounded());
        packets.put(header.bytes());
        for nal in nals {
            packets.put(&START_CODE);
            packets.put(nal.bytes());
        }
    }

    /// Writes consecutive audio frames as one PES packet with the time of the first. Nothing for no frames.
    pub fn write_audio(&mut self, out: &mut Vec<u8>, frames: &[AudioFrame]) {
        let Some(first) = frames.first() else { return };
        let aac = || frames.iter().map(aac_of);
        let payload: usize = aac().map(AacFrame::adts_len).sum();
        self.media += aac().map(|frame| frame.adts_len() - frame.header.len()).sum::<usize>() as u64;
        let pts = self.stamp(first.pts);
        let header = PesHeader::new(0xC0, pts, pts, payload);
        let marks = Marks { random_access: true, ..Marks::default() };
        let length = header.bytes().len() + payload;
        let mut packets = Packetizer::start(out, Pid::AUDIO, &mut self.audio, marks, length, header.is_unbounded());
        packets.put(header.bytes());
        for frame in aac() {
            packets.put(&frame.header);
            packets.put(&frame.config.program_config);
            packets.put(&frame.data);
        }
    }

    /// A media time as the 33 bits of PTS and DTS, which wrap as the standard says.
    fn stamp(&self, time: Timestamp) -> u64 {
        wrap_33((time - self.zero).0.wrapping_add(self.start))
    }

    fn pcr(&self, time: Timestamp) -> u64 {
        wrap_33((time - self.zero).0.wrapping_add(self.start - CLOCK_DELAY))
    }
}

fn aac_of(frame: &AudioFrame) -> &AacFrame {
    match &frame.coded {
        CodedAudio::Aac(frame) => frame,
    }
}

fn wrap_33(ticks: i64) -> u64 {
    ticks.cast_unsigned() & 0x1_FFFF_FFFF
}

/// The header of a PES packet (ISO/IEC 13818-1 2.4.3.6).
struct PesHeader {
    bytes: [u8; 19],
    length: usize,
}

impl PesHeader {
    fn new(stream_id: u8, pts: u64, dts: u64, payload: usize) -> Self {
        let mut header = Self { bytes: [0; 19], length: if pts == dts { 14 } else { 19 } };
        header.fill(stream_id, payload);
        header.bytes[9..14].copy_from_slice(&time_field(if pts == dts { 2 } else { 3 }, pts));
        header.bytes[14..19].copy_from_slice(&time_field(1, dts));
        header
    }

    fn without_times(stream_id: u8, payload: usize) -> Self {
        let mut header = Self { bytes: [0; 19], length: 9 };
        header.fill(stream_id, payload);
        header
    }

    fn fill(&mut self, stream_id: u8, payload: usize) {
        // The length counts what follows it; pictures beyond 16 bits leave it zero, as the standard allows for video.
        let [high, low] = u16::try_from(payload + self.length - 6).unwrap_or(0).to_be_bytes();
        let (times, times_length, aligned) = match self.length {
            14 => (0x80, 5, 0x84),
            19 => (0xC0, 10, 0x84),
            _ => (0, 0, 0x80),
        };
        self.bytes[..9].copy_from_slice(&[0, 0, 1, stream_id, high, low, aligned, times, times_length]);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn is_unbounded(&self) -> bool {
        self.bytes[4..6] == [0, 0]
    }
}

/// 33 bits in five bytes with a prefix and marker bits.
fn time_field(prefix: u8, ticks: u64) -> [u8; 5] {
    let field = u64::from(prefix) << 36
        | (ticks >> 30 & 7) << 33
        | 1 << 32
        | (ticks >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (ticks & 0x7FFF) << 1
        | 1;
    let [_, _, _, bytes @ ..] = field.to_be_bytes();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aac::AudioConfig;
    use crate::access_unit::{Entry, H264Picture};
    use crate::mpegts::probe::Probe;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn nal(header: u8, size: usize) -> NalUnit {
        let mut bytes = vec![header];
        bytes.resize(size.max(1), 0x55);
        NalUnit::new(Bytes::from(bytes)).expect("not empty")
    }

    fn picture(ms: i64, key_frame: bool, size: usize) -> Picture {
        let dts = Timestamp::from_ms(ms);
        let nals = vec![nal(if key_frame { 0x65 } else { 0x41 }, size)];
        Picture {
            dts,
            pts: Timestamp::from_ms(ms + 80),
            key_frame,
            entry: if key_frame { Entry::Idr } else { Entry::None },
            coded: CodedPicture::H264(H264Picture { parameter_sets: Arc::from([nal(0x67, 9), nal(0x68, 4)]), nals }),
        }
    }

    fn audio(ms: i64, size: usize) -> AudioFrame {
        let config = Arc::new(AudioConfig::parse(&[0x12, 0x10]).expect("a valid configuration"));
        AudioFrame::aac(Timestamp::from_ms(ms), &config, Bytes::from(vec![0x21; size])).expect("short enough")
    }

    #[test]
    fn every_size_around_the_packet_borders_is_exact() {
        let mut writer = TsWriter::new(Timestamp(0));
        let mut probe = Probe::default();
        for (index, size) in (1..600).chain(65_300..65_900).enumerate() {
            let ms = i64::try_from(index).expect("small") * 40;
            let mut out = Vec::new();
            writer.begin_segment(&mut out, Program { audio: true });
            writer.write_picture(&mut out, &picture(ms, index % 2 == 0, size), index % 2 == 1);
            writer.write_audio(&mut out, &[audio(ms, size % 1000), audio(ms + 20, 7)]);
            let segment = probe.segment(&out);
            assert_eq!(segment.video.len(), 1);
            let CodedPicture::H264(written) = picture(ms, index % 2 == 0, size).coded;
            assert_eq!(segment.video[0].nals().last(), written.nals.last());
            assert_eq!(segment.audio[0].data.len(), 7 + size % 1000 + 7 + 7);
        }
    }

    #[test]
    fn clock_references_fill_the_gaps_between_pictures() {
        let mut writer = TsWriter::new(Timestamp(0));
        let mut out = Vec::new();
        writer.begin_segment(&mut out, Program::default());
        for ms in [0, 1000, 1040, 11_000] {
            writer.write_picture(&mut out, &picture(ms, true, 10), false);
        }
        let segment = Probe::default().segment(&out);
        let widest = segment.pcr.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(widest.is_some_and(|ticks| ticks <= 3_700), "{widest:?}");
    }

    #[test]
    fn times_wrap_at_33_bits() {
        let mut writer = TsWriter::new(Timestamp(0));
        let mut probe = Probe::default();
        let wrap_ms = (1_i64 << 33) / 90;
        for ms in (wrap_ms - 3_000..wrap_ms + 3_000).step_by(40) {
            let mut out = Vec::new();
            writer.begin_segment(&mut out, Program { audio: true });
            writer.write_picture(&mut out, &picture(ms, true, 100), false);
            writer.write_audio(&mut out, &[audio(ms, 10)]);
            probe.segment(&out);
        }
    }

    #[test]
    fn the_pmt_has_a_new_version_when_it_changes() {
        let mut writer = TsWriter::new(Timestamp(0));
        let versions: Vec<u8> = [false, false, true, true, false]
            .into_iter()
            .map(|audio| {
                let mut out = Vec::new();
                writer.begin_segment(&mut out, Program { audio });
                out[188 + 10] >> 1 & 0x1F
            })
            .collect();
        assert_eq!(versions, [0, 0, 1, 1, 2]);
    }

    proptest! {
        #[test]
        fn any_sequence_is_a_valid_stream(steps in prop::collection::vec((1_i64..3000, any::<bool>(), 1_usize..70_000, prop::collection::vec(0_usize..2000, 0..4)), 1..20)) {
            let mut writer = TsWriter::new(Timestamp(0));
            let mut out = Vec::new();
            writer.begin_segment(&mut out, Program { audio: true });
            let mut ms = 0;
            for (index, (step, key, size, sounds)) in steps.into_iter().enumerate() {
                writer.write_picture(&mut out, &picture(ms, key, size), index == 0);
                let frames: Vec<_> = sounds.iter().map(|size| audio(ms, *size)).collect();
                writer.write_audio(&mut out, &frames);
                ms += step;
            }
            Probe::default().segment(&out);
        }
    }
}
