//! Timed access units to segments: the TS writer and the segmenter joined, with the bytes that are not yet handed out.

use super::outbox::Outbox;
use super::stats::RemuxStats;
use super::{Output, RemuxConfig, SegmentClosing, SegmentOpening};
use crate::access_unit::{AudioFrame, Picture};
use crate::h264::NalUnit;
use crate::mpegts::{Program, TsWriter};
use crate::segmenter::{Candidate, CutReason, Segmenter};
use crate::time::{MediaDuration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Several AAC frames share one PES packet up to this span, which saves most of its overhead.
const BATCH_SPAN: MediaDuration = MediaDuration::from_ms(100);

/// Far below the 16 bits of PES_packet_length, which audio must not exceed.
const BATCH_BYTES: usize = 32 * 1024;

/// How far the clock stays behind audio that is written without video, so that late pictures still fit.
const CLOCK_LAG: MediaDuration = MediaDuration::from_ms(500);

/// Audio may end this much later than video before it decides how long the last segment is (quirk Q33).
const AUDIO_TAIL: MediaDuration = MediaDuration::from_ms(3_000);

/// Room for the parameter sets, headers and clock packets around a picture, bytes.
const PICTURE_OVERHEAD: usize = 4 * 1024;

/// How long a picture lasts when nothing tells.
const DEFAULT_INTERVAL: MediaDuration = MediaDuration::from_ms(40);

/// Writes one take, segment after segment.
#[derive(Debug)]
pub(super) struct Assembler {
    segmenter: Segmenter,
    flush_bytes: usize,
    writer: Option<TsWriter>,
    zero: Timestamp,
    program: Program,
    /// The parameter sets of the last key frame.
    sets: Option<Arc<[NalUnit]>>,
    audio_config: Option<Arc<crate::aac::AudioConfig>>,
    batch: Vec<AudioFrame>,
    batch_bytes: usize,
    out: Outbox,
    handed_out: u64,
    key_frame: bool,
    /// Whether the open segment has no picture yet: its first one brings the parameter sets, key frame or not, so that
    /// the segment can be played alone.
    awaits_picture: bool,
    last_dts: Option<Timestamp>,
    interval: Option<MediaDuration>,
    audio_end: Option<Timestamp>,
    /// The segment before ended earlier than the next begins, which is a discontinuity (decision D9).
    was_cut_short: bool,
    outputs: VecDeque<Output>,
}

impl Assembler {
    pub(super) fn new(config: &RemuxConfig) -> Self {
        Self {
            segmenter: Segmenter::new(config.frag_duration_ms, config.segmenting),
            flush_bytes: config.flush_bytes.max(1),
            writer: None,
            zero: Timestamp::default(),
            program: Program::default(),
            sets: None,
            audio_config: None,
            batch: Vec::new(),
            batch_bytes: 0,
            out: Outbox::new(config.flush_bytes.max(1)),
            handed_out: 0,
            key_frame: false,
            awaits_picture: false,
            last_dts: None,
            interval: None,
            audio_end: None,
            was_cut_short: false,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn is_open(&self) -> bool {
        self.segmenter.start().is_some()
    }

    /// Whether the PMT of the open segment announces audio.
    pub(super) fn announces_audio(&self) -> bool {
        self.is_open() && self.program.audio
    }

    /// Decoding time of the newest picture written.
    pub(super) fn last_dts(&self) -> Option<Timestamp> {
        self.last_dts
    }

    pub(super) fn request_discontinuity(&mut self) {
        if self.is_open() {
            self.segmenter.request_discontinuity();
        }
    }

    /// Writes a picture, and cuts in front of it where the rules ask for it. `next` is the decoding time of the picture
    /// behind it, where that is known, `program` what a new segment would announce.
    pub(super) fn write_picture(
        &mut self,
        mut picture: Picture,
        next: Option<Timestamp>,
        program: Program,
        stats: &mut RemuxStats,
    ) {
        self.keep_decodable(&mut picture, stats);
        if picture.key_frame && self.is_open() {
            let same_sets = self.sets.as_ref().is_none_or(|sets| {
                Arc::ptr_eq(sets, &picture.parameter_sets) || sets[..] == picture.parameter_sets[..]
            });
            if !same_sets || self.program != program {
                self.segmenter.request_discontinuity();
            }
        }
        let step = self.last_dts.map(|last| picture.dts - last);
        let estimate = picture.dts + self.interval.or(step).unwrap_or(DEFAULT_INTERVAL);
        let candidate = Candidate {
            at: picture.dts,
            key_frame: picture.key_frame,
            next: next.map_or(estimate, |next| next.max(picture.dts)),
        };
        let cut = self.segmenter.cut_at(candidate);
        if cut.is_some() || !self.is_open() {
            if let Some(reason) = cut {
                self.flush_batch();
                if let Some(writer) = &mut self.writer {
                    writer.fill_clock(self.out.bytes(), picture.dts);
                }
                self.close(reason, picture.dts, stats);
            }
            if picture.key_frame {
                self.program = program;
            }
            self.open(picture.dts, picture.key_frame, stats);
        }
        if picture.key_frame {
            self.sets = Some(Arc::clone(&picture.parameter_sets));
            stats.key_frames += 1;
        }
        // Whole access units are handed out, so this is the place to do it when the next does not fit.
        let bytes: usize = picture.nals.iter().map(|nal| nal.bytes().len()).sum();
        if self.out.len() >= self.flush_bytes / 2 && !self.out.has_room_for(bytes + bytes / 32 + PICTURE_OVERHEAD) {
            self.hand_out();
        }
        if let Some(writer) = &mut self.writer {
            writer.write_picture(self.out.bytes(), &picture, self.awaits_picture);
        }
        self.awaits_picture = false;
        stats.pictures += 1;
        if let Some(step) = step {
            // A pause says little about the picture behind it, so the estimate grows by doubling at most.
            self.interval =
                Some(self.interval.map_or(step, |before| MediaDuration(step.0.min(before.0.saturating_mul(2)))));
        }
        self.last_dts = Some(picture.dts);
        self.hand_out_when_full();
    }

    /// Writes a further part of the picture that was written last (quirk Q41).
    pub(super) fn write_picture_rest(&mut self, nals: &[NalUnit]) {
        if self.is_open()
            && self.last_dts.is_some()
            && let Some(writer) = &mut self.writer
        {
            writer.write_picture_rest(self.out.bytes(), nals);
            self.hand_out_when_full();
        }
    }

    /// Writes a frame of audio into the open segment, which must announce audio. `before_video` promises that each
    /// picture to come is decoded later; `alone` says that there is no video for the time being, so that audio has to
    /// drive the clock and the cuts (quirk Q33).
    pub(super) fn write_audio(&mut self, frame: AudioFrame, before_video: bool, alone: bool, stats: &mut RemuxStats) {
        if !self.announces_audio() {
            return;
        }
        if self.audio_config.as_ref().is_some_and(|config| *config != frame.config) {
            self.segmenter.request_discontinuity();
        }
        self.audio_config = Some(Arc::clone(&frame.config));
        let end = frame.pts + frame.duration;
        if alone && let Some(reason) = self.segmenter.cut_in_audio(frame.pts, end) {
            self.flush_batch();
            let clock = frame.pts - CLOCK_LAG;
            if let Some(writer) = &mut self.writer {
                writer.fill_clock(self.out.bytes(), clock);
            }
            self.close(reason, frame.pts, stats);
            self.open(frame.pts, false, stats);
            if let Some(writer) = &mut self.writer {
                writer.write_clock(self.out.bytes(), clock);
            }
        }
        if let Some(last) = self.batch.last() {
            // The frames of a PES packet have one time among them, so they have to follow each other exactly.
            let gap = (frame.pts - (last.pts + last.duration)).0;
            if !(-2..=2).contains(&gap) || self.batch_bytes + frame.len() > BATCH_BYTES {
                self.flush_batch();
            }
        }
        if let Some(writer) = &mut self.writer {
            if before_video {
                writer.fill_clock(self.out.bytes(), frame.pts);
            } else if alone {
                writer.fill_clock(self.out.bytes(), frame.pts - CLOCK_LAG);
            }
        }
        self.batch_bytes += frame.len();
        self.batch.push(frame);
        self.audio_end = Some(self.audio_end.map_or(end, |before| before.max(end)));
        stats.audio_frames += 1;
        if self.batch.first().is_some_and(|first| end - first.pts >= BATCH_SPAN) {
            self.flush_batch();
        }
        self.hand_out_when_full();
    }

    /// Hands out everything written so far.
    pub(super) fn flush(&mut self) {
        self.flush_batch();
        // Only who sends faster than live fills the buffer between two flushes.
        if self.out.len() < self.flush_bytes / 2 {
            self.out.forget();
        }
        self.hand_out();
    }

    /// Closes the open segment. `interval` is how long the last picture lasts if it is the only one.
    pub(super) fn finish(&mut self, interval: Option<MediaDuration>, stats: &mut RemuxStats) {
        let Some(start) = self.segmenter.start() else { return };
        self.flush_batch();
        let interval = self.interval.or(interval).unwrap_or(DEFAULT_INTERVAL);
        let video_end = self.last_dts.map_or(start, |last| last + interval);
        let end = match self.audio_end {
            Some(audio_end) if video_end <= start || audio_end > video_end + AUDIO_TAIL => audio_end,
            _ => video_end,
        };
        self.close(CutReason::End, end.max(start), stats);
        self.segmenter.close();
    }

    /// Keeps decoding times ahead of the clock, which audio may have driven on while pictures were late.
    fn keep_decodable(&mut self, picture: &mut Picture, stats: &mut RemuxStats) {
        let earliest = self.writer.as_ref().and_then(TsWriter::earliest);
        let behind_last = self.last_dts.map(|last| Timestamp(last.0 + 1));
        if let Some(floor) = earliest.max(behind_last)
            && picture.dts < floor
        {
            picture.dts = floor;
            picture.pts = picture.pts.max(floor);
            stats.repaired_dts += 1;
        }
    }

    fn open(&mut self, at: Timestamp, key_frame: bool, stats: &mut RemuxStats) {
        let zero = &mut self.zero;
        let writer = self.writer.get_or_insert_with(|| {
            *zero = at;
            TsWriter::new(at)
        });
        let discontinuity = self.segmenter.open(at, key_frame) | std::mem::take(&mut self.was_cut_short);
        stats.discontinuities += u64::from(discontinuity);
        self.key_frame = key_frame;
        self.awaits_picture = true;
        self.handed_out = 0;
        let media_time_ms = (at - self.zero).to_ms();
        self.outputs.push_back(Output::Open(SegmentOpening { discontinuity, key_frame, media_time_ms }));
        self.out.begin(0);
        writer.begin_segment(self.out.bytes(), self.program);
    }

    fn close(&mut self, reason: CutReason, end: Timestamp, stats: &mut RemuxStats) {
        let Some(start) = self.segmenter.start() else { return };
        self.hand_out();
        // A picture that stands still for longer than a whole segment may last: no cut could have come in time.
        let latest = self.segmenter.latest_end().unwrap_or(end);
        self.was_cut_short = end > latest;
        let end = end.min(latest);
        // Both ends are rounded on the clock of the take, so that the durations add up to its length.
        let duration = (end - self.zero).to_ms() - (start - self.zero).to_ms();
        match reason {
            CutReason::Forced => stats.forced_cuts += 1,
            CutReason::Strict => stats.strict_cuts += 1,
            CutReason::KeyFrame | CutReason::Discontinuity | CutReason::End => {}
        }
        stats.segments += 1;
        self.outputs.push_back(Output::Close(SegmentClosing {
            duration_ms: u64::try_from(duration).unwrap_or(0),
            bytes: self.handed_out,
            key_frame: self.key_frame,
            reason,
        }));
    }

    fn flush_batch(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.write_audio(self.out.bytes(), &self.batch);
        }
        self.batch.clear();
        self.batch_bytes = 0;
    }

    fn hand_out_when_full(&mut self) {
        if self.out.len() >= self.flush_bytes {
            self.hand_out();
        }
    }

    fn hand_out(&mut self) {
        let length = self.out.len();
        if length == 0 {
            return;
        }
        let data = self.out.take(length >= self.flush_bytes / 2);
        self.handed_out += length as u64;
        self.outputs.push_back(Output::Data(data));
        self.out.begin(self.handed_out);
    }
}
