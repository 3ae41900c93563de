//! Video tags to pictures: parameter sets kept aside, units put in order, times made to rise.

use super::order::{DisplayOrder, OrderCount};
use super::stats::RemuxStats;
use crate::access_unit::{CodedPicture, Entry, H264Picture, Picture};
use crate::h264::{AvcConfig, Framing, NalKind, NalUnit, ParameterSets, Sps, split};
use crate::saved::saved;
use crate::time::Timestamp;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// The most units, and bytes of them, that are carried from tags without a slice to the next picture.
const MAX_CARRIED_UNITS: usize = 64;
const MAX_CARRIED_BYTES: usize = 256 * 1024;

/// H.264 reorders over at most so many pictures; a composition time beyond that many intervals is garbage.
const MAX_REORDERED: i64 = 16;

/// No composition time up to this is garbage, whatever the interval: screens that stand still have uneven ones.
const LEAST_COMPOSITION_MS: i64 = 10_000;

/// The same for negative ones (quirk Q30).
const LEAST_DTS_SHIFT_MS: i64 = 2_000;

/// The bound while nothing tells the interval: at the first picture of a stream whose parameters do not.
const UNKNOWN_COMPOSITION_MS: i64 = 60_000;

/// Newest intervals that are looked at for these bounds.
const STEPS: usize = 17;

/// Window over which the frame rate is measured (LiveChannel 2.2).
const RATE_WINDOW_MS: i64 = 5_000;

/// Most pictures that the window keeps.
const RATE_WINDOW_PICTURES: usize = 2_048;

/// One tag, taken apart.
#[derive(Debug)]
pub(super) enum VideoUnit {
    /// A picture, or its first part.
    Picture(UntimedPicture),
    /// A further part of the picture before, if that has the same time stamp (quirk Q41).
    Part(UntimedPicture),
    /// Nothing that could be shown: only parameter sets, SEI or delimiters.
    None,
    /// A key frame that refers to parameter sets which never came.
    Undecodable,
}

/// A picture without its times.
#[derive(Debug)]
pub(super) struct UntimedPicture {
    pub(super) key_frame: bool,
    pub(super) entry: Entry,
    pub(super) order: Option<OrderCount>,
    pub(super) coded: CodedPicture,
}

impl UntimedPicture {
    /// The picture at its times.
    pub(super) fn at(self, (dts, pts): (Timestamp, Timestamp)) -> Picture {
        Picture { dts, pts, key_frame: self.key_frame, entry: self.entry, coded: self.coded }
    }
}

/// Reads the video tags of one take.
#[derive(Debug)]
pub(super) struct VideoReader {
    recovery_points_start_segments: bool,
    header: Option<Bytes>,
    length_size: u8,
    sets: ParameterSets,
    current_sets: Arc<[NalUnit]>,
    /// Parameter sets that changed in-band and are not yet in the stream.
    unwritten_sets: Vec<NalUnit>,
    carried: Vec<NalUnit>,
    sps: Option<Sps>,
    dts_shift_ms: i64,
    last_dts: Option<Timestamp>,
    order: DisplayOrder,
    rate_window: VecDeque<i64>,
    /// Newest intervals between messages, in milliseconds, and the time of the newest message.
    steps: VecDeque<i64>,
    newest_ms: Option<i64>,
}

saved!(struct VideoReader {
    recovery_points_start_segments,
    header,
    length_size,
    sets,
    current_sets,
    unwritten_sets,
    carried,
    sps,
    dts_shift_ms,
    last_dts,
    order,
    rate_window,
    steps,
    newest_ms
});

impl VideoReader {
    pub(super) fn new(recovery_points_start_segments: bool) -> Self {
        Self {
            recovery_points_start_segments,
            header: None,
            length_size: 4,
            sets: ParameterSets::default(),
            current_sets: Arc::default(),
            unwritten_sets: Vec::new(),
            carried: Vec::new(),
            sps: None,
            dts_shift_ms: 0,
            last_dts: None,
            order: DisplayOrder::default(),
            rate_window: VecDeque::new(),
            steps: VecDeque::new(),
            newest_ms: None,
        }
    }

    /// Takes over a sequence header. The same one again means nothing (quirk Q36).
    pub(super) fn configure(&mut self, record: &Bytes, stats: &mut RemuxStats) {
        if self.header.as_ref() == Some(record) {
            stats.repeated_headers += 1;
            return;
        }
        match AvcConfig::parse(record) {
            Ok(config) => {
                self.header = Some(Bytes::copy_from_slice(record));
                self.length_size = config.length_size;
                self.sets.replace(&config);
                self.unwritten_sets.clear();
                if let Some(sps) = self.sets.first_sps().and_then(|nal| Sps::parse(nal).ok()) {
                    self.sps = Some(sps);
                }
            }
            Err(_) => stats.broken_headers += 1,
        }
    }

    /// Reads one tag of coded media.
    pub(super) fn read(&mut self, data: &Bytes, key_flag: bool, stats: &mut RemuxStats) -> VideoUnit {
        let split = split(data, self.length_size);
        stats.bad_nals += u64::from(split.skipped);
        if split.framing != Framing::Lengths(self.length_size) {
            stats.other_framing += 1;
        }
        let mut nals = Vec::with_capacity(split.nals.len() + self.carried.len());
        let (mut first_slice, mut order_slice) = (None, None);
        let (mut has_slice, mut has_idr, mut is_intra) = (false, false, true);
        for nal in split.nals {
            match nal.kind() {
                NalKind::AccessUnitDelimiter => continue,
                NalKind::Filler => {
                    stats.fillers += 1;
                    continue;
                }
                NalKind::Sps | NalKind::Pps => {
                    if self.sets.update(&nal) && self.unwritten_sets.len() < MAX_CARRIED_UNITS {
                        self.unwritten_sets.push(nal.detached());
                    }
                    continue;
                }
                NalKind::Slice | NalKind::IdrSlice => {
                    has_slice = true;
                    has_idr |= nal.kind() == NalKind::IdrSlice;
                    is_intra = is_intra && key_flag && nal.is_intra_slice();
                    first_slice = first_slice.or_else(|| nal.slice_start());
                    // Cheap: units share the bytes of their tag.
                    order_slice.get_or_insert_with(|| nal.clone());
                }
                // Behind its picture it is carried along; alone in a tag it comes too late for that.
                NalKind::End if !has_slice => continue,
                NalKind::End | NalKind::Sei | NalKind::Other => {}
            }
            nals.push(nal);
        }
        if !has_slice {
            self.carry(nals);
            return VideoUnit::None;
        }
        let recovers = || is_intra && key_flag || self.carried.iter().chain(&nals).any(NalUnit::has_recovery_point);
        let entry = match has_idr {
            true => Entry::Idr,
            false if recovers() => Entry::Recovery,
            false => Entry::None,
        };
        let key_frame = has_idr || self.recovery_points_start_segments && entry == Entry::Recovery;
        if key_flag != has_idr {
            stats.wrong_key_flags += 1;
        }
        let is_part = first_slice.is_some_and(|slice| slice.first_macroblock > 0);
        let needed = first_slice.and_then(|slice| {
            let sets = self.sets.needed_by(slice.pps_id)?;
            Some((slice.pps_id, sets))
        });
        match needed {
            Some((pps_id, sets)) => {
                if key_frame
                    && !Arc::ptr_eq(&self.current_sets, &sets)
                    && let Some(sps) = self.sets.sps_of(pps_id).and_then(|nal| Sps::parse(nal).ok())
                {
                    self.sps = Some(sps);
                }
                self.current_sets = sets;
            }
            None if key_frame && !is_part => return VideoUnit::Undecodable,
            None => {}
        }
        // A key frame is written with all of its sets; other pictures bring along only what changed (quirk Q39).
        let mut units: Vec<NalUnit> = if key_frame { Vec::new() } else { std::mem::take(&mut self.unwritten_sets) };
        self.unwritten_sets.clear();
        units.append(&mut self.carried);
        let nals = if units.is_empty() {
            nals
        } else {
            units.append(&mut nals);
            units
        };
        let fields = self.sps.as_ref().and_then(|sps| sps.order.as_ref()).filter(|_| !is_part);
        let order = order_slice.zip(fields).and_then(|(slice, fields)| self.order.count(&slice, fields));
        let coded = CodedPicture::H264(H264Picture { parameter_sets: Arc::clone(&self.current_sets), nals });
        let picture = UntimedPicture { key_frame, entry, order, coded };
        if is_part { VideoUnit::Part(picture) } else { VideoUnit::Picture(picture) }
    }

    /// DTS and PTS of a picture whose message lies at `ms` on the common clock.
    pub(super) fn times(
        &mut self,
        ms: i64,
        composition_ms: i32,
        order: Option<OrderCount>,
        stats: &mut RemuxStats,
    ) -> (Timestamp, Timestamp) {
        self.note_step(ms);
        let mut room = 0;
        let mut composition = i64::from(composition_ms);
        match order {
            None => self.order.lose(),
            Some(order) => {
                if let Some(repaired) = self.order.repair(order, ms, composition) {
                    stats.repaired_pts += 1;
                    composition = repaired;
                    // Who spoils composition times has no steady decoding times either: later ones will need more room.
                    room = self.steps.iter().copied().min().unwrap_or(0);
                }
            }
        }
        if !self.possible_compositions().contains(&composition) {
            stats.wild_composition += 1;
            composition = 0;
        }
        // Moving the decoding times back by a constant keeps the picture in sync with the sound, which moving the
        // presentation forward would not (quirk Q30).
        if -composition > self.dts_shift_ms {
            self.dts_shift_ms = room - composition;
            stats.dts_shifts += 1;
        }
        let mut dts = Timestamp::from_ms(ms - self.dts_shift_ms);
        if let Some(last) = self.last_dts
            && dts <= last
        {
            dts = Timestamp(last.0 + 1);
            stats.repaired_dts += 1;
        }
        self.last_dts = Some(dts);
        self.measure(ms);
        (dts, Timestamp::from_ms(ms + composition).max(dts))
    }

    /// Size of the pictures, and their rate by the parameter sets or as measured.
    pub(super) fn facts(&self) -> (Option<(u32, u32)>, Option<f64>) {
        let size = self.sps.as_ref().map(|sps| (sps.width, sps.height));
        (size, self.sps.as_ref().and_then(Sps::frames_per_second).or_else(|| self.measured_rate()))
    }

    fn carry(&mut self, nals: Vec<NalUnit>) {
        let mut bytes: usize = self.carried.iter().map(|nal| nal.bytes().len()).sum();
        for nal in nals {
            bytes += nal.bytes().len();
            if bytes > MAX_CARRIED_BYTES || self.carried.len() >= MAX_CARRIED_UNITS {
                break;
            }
            self.carried.push(nal.detached());
        }
    }

    fn note_step(&mut self, ms: i64) {
        if let Some(step) = self.newest_ms.map(|newest| ms - newest).filter(|step| *step > 0) {
            if self.steps.len() >= STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(step);
        }
        self.newest_ms = Some(ms);
    }

    /// Composition times that are possible at the intervals of this stream, in milliseconds.
    fn possible_compositions(&self) -> std::ops::RangeInclusive<i64> {
        let by_parameters = || {
            let rate = self.sps.as_ref().and_then(Sps::frames_per_second).filter(|rate| *rate > 0.01)?;
            // At most 100,000 ms.
            #[expect(clippy::cast_possible_truncation)]
            Some((1_000.0 / rate) as i64)
        };
        let interval = self.steps.iter().copied().max().max(by_parameters());
        let reordered = interval.map(|interval| interval.saturating_mul(MAX_REORDERED));
        let latest = reordered.unwrap_or(UNKNOWN_COMPOSITION_MS).max(LEAST_COMPOSITION_MS);
        -reordered.unwrap_or(0).max(LEAST_DTS_SHIFT_MS)..=latest
    }

    fn measure(&mut self, ms: i64) {
        if self.rate_window.back().is_some_and(|last| ms < *last) {
            self.rate_window.clear();
        }
        self.rate_window.push_back(ms);
        while self.rate_window.len() > RATE_WINDOW_PICTURES
            || self.rate_window.front().is_some_and(|first| ms - first > RATE_WINDOW_MS)
        {
            self.rate_window.pop_front();
        }
    }

    fn measured_rate(&self) -> Option<f64> {
        let span = self.rate_window.back()? - self.rate_window.front()?;
        // Below a second the rounding to milliseconds weighs too much.
        if span < 1_000 {
            return None;
        }
        let steps = u32::try_from(self.rate_window.len().saturating_sub(1)).ok()?;
        let rate = f64::from(steps) * 1000.0 / f64::from(u32::try_from(span).ok()?);
        // Rounded time stamps must not turn 25 into 24.99, which would be shown as 24.
        let whole = rate.round();
        Some(if (rate - whole).abs() <= whole / f64::from(u32::try_from(span).ok()?) { whole } else { rate })
    }
}
