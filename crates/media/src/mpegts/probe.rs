//! A strict reader of the transport streams that tests produce: it asserts every rule that a segment has to keep.

use super::packet::{PACKET, Pid};
use super::tables::crc32;
use crate::h264::{NalKind, NalUnit, split};
use bytes::Bytes;
use std::collections::HashMap;

/// One PES packet.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
    pub(crate) random_access: bool,
    pub(crate) data: Vec<u8>,
    declared: usize,
}

impl Unit {
    /// The NAL units of a picture.
    pub(crate) fn nals(&self) -> Vec<NalUnit> {
        split(&Bytes::copy_from_slice(&self.data), 4).nals
    }
}

/// One segment, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentProbe {
    pub(crate) video: Vec<Unit>,
    pub(crate) audio: Vec<Unit>,
    pub(crate) announces_audio: bool,
    pub(crate) pcr: Vec<i64>,
    /// Places at which the clock begins anew.
    pub(crate) clock_breaks: u32,
}

/// The state that goes on from segment to segment of one take.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    counters: HashMap<u16, u8>,
    last_pcr: Option<i64>,
    last_dts: Option<i64>,
    last_audio: Option<i64>,
}

impl Probe {
    /// Reads a whole segment and asserts the rules of decision D14.
    pub(crate) fn segment(&mut self, bytes: &[u8]) -> SegmentProbe {
        let probe = self.packets(bytes);
        for (index, unit) in probe.video.iter().enumerate() {
            let (Some(pts), Some(dts)) = (unit.pts, unit.dts) else { continue };
            assert!(difference(pts, dts) >= 0, "PTS {pts} before DTS {dts}");
            let last = self.last_dts.replace(dts);
            assert!(last.is_none_or(|last| difference(dts, last) > 0), "DTS {dts} after {last:?}");
            self.picture(unit, index == 0);
        }
        for unit in &probe.audio {
            let pts = unit.pts.expect("audio has times");
            let last = self.last_audio.replace(pts);
            assert!(last.is_none_or(|last| difference(pts, last) > 0), "audio PTS {pts} after {last:?}");
        }
        probe
    }

    fn picture(&self, unit: &Unit, first: bool) {
        let kinds: Vec<NalKind> = unit.nals().iter().map(NalUnit::kind).collect();
        assert_eq!(kinds.first(), Some(&NalKind::AccessUnitDelimiter), "{kinds:?}");
        let count = |kind| kinds.iter().filter(|other| **other == kind).count();
        assert_eq!(count(NalKind::AccessUnitDelimiter), 1, "{kinds:?}");
        assert_eq!(count(NalKind::Filler), 0, "{kinds:?}");
        if unit.random_access || first {
            assert_eq!(kinds.get(1), Some(&NalKind::Sps), "{kinds:?}");
            let last_set = kinds.iter().rposition(|kind| matches!(kind, NalKind::Sps | NalKind::Pps)).expect("sets");
            assert!(kinds[1..=last_set].iter().all(|kind| matches!(kind, NalKind::Sps | NalKind::Pps)), "{kinds:?}");
            assert!(count(NalKind::Pps) >= 1, "{kinds:?}");
        }
        assert!(kinds.iter().any(|kind| matches!(kind, NalKind::Slice | NalKind::IdrSlice)), "{kinds:?}");
    }

    fn packets(&mut self, bytes: &[u8]) -> SegmentProbe {
        assert_eq!(bytes.len() % PACKET, 0, "whole packets");
        let mut probe = SegmentProbe::default();
        let mut latest_pcr = self.last_pcr;
        for (index, packet) in bytes.chunks_exact(PACKET).enumerate() {
            assert_eq!(packet[0], 0x47, "sync of packet {index}");
            assert_eq!(packet[1] & 0xA0, 0, "error or priority flag of packet {index}");
            let pid = u16::from(packet[1] & 0x1F) << 8 | u16::from(packet[2]);
            let start = packet[1] & 0x40 != 0;
            let has_payload = packet[3] & 0x10 != 0;
            let mut body = &packet[4..];
            let mut random_access = false;
            if packet[3] & 0x20 != 0 {
                let length = usize::from(body[0]);
                assert!(length <= 183, "adaptation field of packet {index}");
                let field = &body[1..=length];
                if let Some(flags) = field.first() {
                    random_access = flags & 0x40 != 0;
                    if flags & 0x10 != 0 {
                        assert_eq!(pid, Pid::VIDEO.0, "the clock is on the video PID");
                        let pcr = field[1..5].iter().fold(0, |value, byte| value << 8 | i64::from(*byte)) << 1
                            | i64::from(field[5] >> 7);
                        if let Some(last) = self.last_pcr.filter(|_| flags & 0x80 == 0) {
                            let gap = difference(pcr, last);
                            assert!(gap > 0 && gap <= 9_000, "PCR gap of {gap} ticks at packet {index}");
                        }
                        probe.clock_breaks += u32::from(flags & 0x80 != 0);
                        self.last_pcr = Some(pcr);
                        latest_pcr = Some(pcr);
                        probe.pcr.push(pcr);
                    }
                }
                body = &body[1 + length..];
                assert_eq!(has_payload, !body.is_empty(), "payload flag of packet {index}");
            }
            let counter = packet[3] & 0x0F;
            if has_payload {
                let expected = self.counters.get(&pid).map(|last| (last + 1) & 0x0F);
                assert!(expected.is_none_or(|expected| expected == counter), "continuity of {pid:#x}, packet {index}");
                self.counters.insert(pid, counter);
            } else {
                assert!(self.counters.get(&pid).is_none_or(|last| *last == counter), "counter without payload");
            }
            match index {
                0 => assert_eq!(pid, Pid::PAT.0, "PAT first"),
                1 => assert_eq!(pid, Pid::PMT.0, "PMT second"),
                _ => {}
            }
            match pid {
                0 => check_section(body),
                0x1000 => {
                    check_section(body);
                    probe.announces_audio = body.windows(3).any(|window| window == [0x0F, 0xE1, 0x01]);
                }
                0x100 | 0x101 if has_payload => {
                    let units = if pid == 0x100 { &mut probe.video } else { &mut probe.audio };
                    if start {
                        finish(units.last());
                        let unit = read_pes(body, random_access);
                        if let (Some(dts), Some(pcr)) = (unit.dts, latest_pcr)
                            && pid == 0x100
                        {
                            assert!(difference(dts, pcr) >= 0, "clock {pcr} ahead of DTS {dts}");
                        }
                        assert!(latest_pcr.is_some(), "media before the first clock reference");
                        units.push(unit);
                    } else {
                        units.last_mut().expect("a start before the middle").data.extend_from_slice(body);
                    }
                }
                0x100 => {}
                other => panic!("PID {other:#x}"),
            }
        }
        finish(probe.video.last());
        finish(probe.audio.last());
        assert!(probe.audio.is_empty() || probe.announces_audio, "audio that the PMT does not announce");
        probe
    }
}

/// `a - b` on the circle of 33 bits.
pub(crate) fn difference(a: i64, b: i64) -> i64 {
    let gap = (a - b).rem_euclid(1 << 33);
    if gap >= 1 << 32 { gap - (1 << 33) } else { gap }
}

fn check_section(body: &[u8]) {
    assert_eq!(body[0], 0, "pointer field");
    let length = usize::from(body[2] & 0x0F) << 8 | usize::from(body[3]);
    assert_eq!(crc32(&body[1..4 + length]), 0, "section checksum");
}

fn finish(unit: Option<&Unit>) {
    if let Some(unit) = unit
        && unit.declared > 0
    {
        assert_eq!(unit.data.len(), unit.declared, "PES_packet_length");
    }
}

fn read_pes(body: &[u8], random_access: bool) -> Unit {
    assert_eq!(&body[..3], &[0, 0, 1], "PES start code");
    let length = usize::from(body[4]) << 8 | usize::from(body[5]);
    let header = usize::from(body[8]);
    let time = |at: usize| {
        let field = body[at..at + 5].iter().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
        assert_eq!(field & 0x1_0001_0001, 0x1_0001_0001, "marker bits");
        (field >> 33 & 7) << 30 | (field >> 17 & 0x7FFF) << 15 | field >> 1 & 0x7FFF
    };
    let (pts, dts) = match body[7] >> 6 {
        0 => (None, None),
        2 => (Some(time(9)), Some(time(9))),
        3 => (Some(time(9)), Some(time(14))),
        other => panic!("PTS_DTS_flags {other}"),
    };
    let declared = if length == 0 { 0 } else { length - 3 - header };
    Unit { pts, dts, random_access, data: body[9 + header..].to_vec(), declared }
}
