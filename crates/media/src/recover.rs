//! What is left of a segment whose writer died: everything up to its last whole access unit (decision D8).

use crate::mpegts::{PACKET, Pid, SYNC};
use crate::time::MediaDuration;

/// How long the only picture of a segment lasts when nothing tells.
const DEFAULT_INTERVAL_MS: u64 = 40;

/// The whole part of a torn segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes up to the end of the last whole access unit; 0 when there is none.
    pub valid_len: usize,
    /// Duration of the whole part as for the last segment of a session (LiveChannel 4.3), in milliseconds.
    pub duration_ms: u64,
    /// Whole pictures.
    pub frames: u64,
    /// Whether the first of them is a key frame.
    pub key_frame: bool,
}

/// Reads a segment that [`TsWriter`](crate::mpegts::TsWriter) wrote and that may end, or turn to garbage, anywhere.
///
/// An access unit counts as whole when its PES packet has the length it declares; when it declares none (a picture
/// beyond 64 KiB), once its last packet shows stuffing, which the writer guarantees.
pub fn recover(bytes: &[u8]) -> Recovered {
    let mut scan = Scan::default();
    for (index, packet) in bytes.chunks_exact(PACKET).enumerate() {
        let Some(packet) = Packet::parse(packet) else { break };
        if !scan.take(index, &packet) {
            break;
        }
    }
    scan.result()
}

/// A transport packet as our writer makes them.
struct Packet<'a> {
    pid: u16,
    starts_unit: bool,
    counter: u8,
    random_access: bool,
    has_field: bool,
    payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[sync, pid_high, pid_low, control], mut rest) = bytes.split_first_chunk::<4>()?;
        if sync != SYNC || pid_high & 0x80 != 0 || control & 0xC0 != 0 || control & 0x30 == 0 {
            return None;
        }
        let has_field = control & 0x20 != 0;
        let mut random_access = false;
        if has_field {
            let (&length, after) = rest.split_first()?;
            let (field, after) = after.split_at_checked(usize::from(length))?;
            random_access = field.first().is_some_and(|flags| flags & 0x40 != 0);
            rest = after;
        }
        Some(Self {
            pid: u16::from(pid_high & 0x1F) << 8 | u16::from(pid_low),
            starts_unit: pid_high & 0x40 != 0,
            counter: control & 0x0F,
            random_access,
            has_field,
            payload: (control & 0x10 != 0).then_some(rest),
        })
    }
}

/// A PES packet that is being read.
struct OpenUnit {
    pid: u16,
    /// Bytes that are missing; `None` when the packet does not tell.
    missing: Option<usize>,
    dts: Option<i64>,
    random_access: bool,
}

#[derive(Default)]
struct Scan {
    has_pat: bool,
    has_pmt: bool,
    video_counter: Option<u8>,
    audio_counter: Option<u8>,
    open: Option<OpenUnit>,
    valid_len: usize,
    frames: u64,
    key_frame: bool,
    video: Span,
    audio: Span,
}

/// First and last time of a track, unwrapped from 33 bits.
#[derive(Clone, Copy, Default)]
struct Span {
    times: Option<(i64, i64)>,
    step: Option<i64>,
}

impl Scan {
    /// False when the packet cannot follow those before it.
    fn take(&mut self, index: usize, packet: &Packet<'_>) -> bool {
        let end = (index + 1) * PACKET;
        match (index, Pid(packet.pid)) {
            (0, Pid::PAT) => self.has_pat = true,
            (1, Pid::PMT) => self.has_pmt = true,
            (_, Pid::VIDEO | Pid::AUDIO) if self.has_pat && self.has_pmt => return self.take_media(end, packet),
            _ => return false,
        }
        true
    }

    fn take_media(&mut self, end: usize, packet: &Packet<'_>) -> bool {
        // The writer finishes one PES packet before it begins the next, whatever the PID.
        let Some(payload) = packet.payload else { return self.open.is_none() };
        let counter = if Pid(packet.pid) == Pid::VIDEO { &mut self.video_counter } else { &mut self.audio_counter };
        if counter.is_some_and(|last| (last + 1) & 0x0F != packet.counter) {
            return false;
        }
        *counter = Some(packet.counter);
        let (unit, payload) = match (self.open.take(), packet.starts_unit) {
            (None, true) => {
                let Some(unit) = OpenUnit::parse(packet, payload) else { return false };
                (unit, payload)
            }
            (Some(unit), false) if unit.pid == packet.pid => (unit, payload),
            _ => return false,
        };
        self.advance(unit, payload.len(), packet, end)
    }

    fn advance(&mut self, mut unit: OpenUnit, length: usize, packet: &Packet<'_>, end: usize) -> bool {
        let whole = match &mut unit.missing {
            Some(missing) if length > *missing => return false,
            Some(missing) => {
                *missing -= length;
                *missing == 0
            }
            None => !packet.starts_unit && packet.has_field,
        };
        if whole {
            self.finish(&unit, end);
        } else {
            self.open = Some(unit);
        }
        true
    }

    fn finish(&mut self, unit: &OpenUnit, end: usize) {
        self.valid_len = end;
        let Some(dts) = unit.dts else { return };
        if Pid(unit.pid) == Pid::VIDEO {
            if self.frames == 0 {
                self.key_frame = unit.random_access;
            }
            self.frames += 1;
            self.video.extend(dts);
        } else {
            self.audio.extend(dts);
        }
    }

    fn result(&self) -> Recovered {
        let span = if self.frames > 0 { &self.video } else { &self.audio };
        Recovered {
            valid_len: self.valid_len,
            duration_ms: span.duration_ms(),
            frames: self.frames,
            key_frame: self.key_frame,
        }
    }
}

impl OpenUnit {
    fn parse(packet: &Packet<'_>, payload: &[u8]) -> Option<Self> {
        let header = payload.first_chunk::<9>()?;
        if header[..3] != [0, 0, 1] {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        // DTS where there is one, else PTS, else a further part of the unit before.
        let time = match header[7] >> 6 {
            2 => Some(payload.get(9..14)?),
            3 => Some(payload.get(14..19)?),
            _ => None,
        };
        let dts = time.map(|time| {
            let field = time.iter().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
            (field >> 33 & 7) << 30 | (field >> 17 & 0x7FFF) << 15 | field >> 1 & 0x7FFF
        });
        Some(Self {
            pid: packet.pid,
            missing: (length > 0).then_some(length + 6),
            dts,
            random_access: packet.random_access,
        })
    }
}

impl Span {
    fn extend(&mut self, wrapped: i64) {
        self.times = Some(match self.times {
            None => (wrapped, wrapped),
            Some((first, last)) => {
                let step = (wrapped - last).rem_euclid(1 << 33);
                self.step = Some(step);
                (first, last.saturating_add(step))
            }
        });
    }

    fn duration_ms(&self) -> u64 {
        let Some((first, last)) = self.times else { return 0 };
        let default = MediaDuration::from_ms(i64::try_from(DEFAULT_INTERVAL_MS).unwrap_or(40)).0;
        let ticks = last - first + self.step.unwrap_or(default);
        u64::try_from(MediaDuration(ticks).to_ms()).unwrap_or(0)
    }
}
