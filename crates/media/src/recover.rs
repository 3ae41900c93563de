//! What is left of a segment whose writer died: everything up to its last whole access unit (decision D8).

use crate::aac::AdtsHeader;
use crate::length::Length;
use crate::mpegts::{PACKET, PacketSplitter, Pid, SYNC};
use crate::time::{MediaDuration, Timestamp};

/// The whole part of a torn segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes up to the end of the last whole access unit; 0 when there is none.
    pub valid_len: usize,
    /// Duration of the whole part as for the last segment of a take (LiveChannel 4.3), in milliseconds.
    pub duration_ms: u64,
    /// Whole pictures.
    pub frames: u64,
    /// Whether the first of them is a key frame.
    pub key_frame: bool,
    /// Whole frames of audio.
    pub audio_frames: u64,
}

impl Recovered {
    /// Whether there is something to play in it. The first segment of a push has to begin with a key frame; later ones may
    /// hold sound alone while the picture is off, or begin where no key frame came in time.
    pub fn can_be_played(&self, is_first: bool) -> bool {
        let has_media = self.valid_len > 0 && self.frames + self.audio_frames > 0;
        has_media && (!is_first || self.frames > 0 && self.key_frame)
    }
}

/// Reads a segment that [`TsWriter`](crate::mpegts::TsWriter) wrote and that may end, or turn to garbage, anywhere.
pub fn recover(bytes: &[u8]) -> Recovered {
    let mut recovery = Recovery::default();
    recovery.feed(bytes);
    recovery.result()
}

/// Looks through a torn segment piece by piece, in memory that does not grow with it.
///
/// An access unit counts as whole when its PES packet has the length it declares; when it declares none (a picture
/// beyond 64 KiB), once its last packet shows stuffing, which the writer guarantees.
#[derive(Debug, Default)]
pub struct Recovery {
    scan: Scan,
    packets: PacketSplitter,
    is_over: bool,
}

impl Recovery {
    /// Takes the next bytes of the segment, as many as there are. False once nothing behind them can count.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let Self { scan, packets, is_over } = self;
        packets.feed(bytes, |bytes| {
            *is_over = *is_over || !Packet::parse(bytes).is_some_and(|packet| scan.take(&packet));
        });
        !self.is_over
    }

    /// What is whole of all that was fed.
    pub fn result(&self) -> Recovered {
        self.scan.result()
    }
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
#[derive(Debug)]
struct OpenUnit {
    pid: u16,
    /// Bytes that are missing; `None` when the packet does not tell.
    missing: Option<usize>,
    dts: Option<i64>,
    random_access: bool,
    adts: AdtsCount,
}

#[derive(Debug, Default)]
struct Scan {
    packets: usize,
    video_counter: Option<u8>,
    audio_counter: Option<u8>,
    open: Option<OpenUnit>,
    valid_len: usize,
    frames: u64,
    audio_frames: u64,
    key_frame: bool,
    /// Time of the first unit, with which the segment begins.
    start: Option<Timestamp>,
    newest: Option<Timestamp>,
    length: Length,
}

impl Scan {
    /// False when the packet cannot follow those before it.
    fn take(&mut self, packet: &Packet<'_>) -> bool {
        let index = self.packets;
        self.packets += 1;
        match (index, Pid(packet.pid)) {
            (0, Pid::PAT) | (1, Pid::PMT) => true,
            (2.., Pid::VIDEO | Pid::AUDIO) => self.take_media(self.packets.saturating_mul(PACKET), packet),
            _ => false,
        }
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
        self.advance(unit, payload, packet, end)
    }

    fn advance(&mut self, mut unit: OpenUnit, payload: &[u8], packet: &Packet<'_>, end: usize) -> bool {
        let length = payload.len();
        if Pid(unit.pid) == Pid::AUDIO {
            let header = if packet.starts_unit { payload.get(8).map_or(9, |more| 9 + usize::from(*more)) } else { 0 };
            unit.adts.feed(payload.get(header..).unwrap_or_default());
        }
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
        let Some(wrapped) = unit.dts else { return };
        let at = self.unwrap(wrapped);
        self.start.get_or_insert(at);
        self.newest = Some(at);
        if Pid(unit.pid) == Pid::VIDEO {
            if self.frames == 0 {
                self.key_frame = unit.random_access;
            }
            self.frames += 1;
            self.length.picture(at);
        } else {
            self.audio_frames += unit.adts.frames;
            self.length.sound(at + unit.adts.duration());
        }
    }

    /// The moment nearest to the unit before whose last 33 bits are these.
    fn unwrap(&self, wrapped: i64) -> Timestamp {
        let Some(newest) = self.newest else { return Timestamp(wrapped) };
        let ahead = (wrapped - newest.0).rem_euclid(1 << 33);
        Timestamp(newest.0 + if ahead >= 1 << 32 { ahead - (1 << 33) } else { ahead })
    }

    fn result(&self) -> Recovered {
        // Both ends are rounded on the clock of the take, as where a segment is closed by its writer.
        let duration = self.start.map_or(0, |start| self.length.end(start, None).to_ms() - start.to_ms());
        Recovered {
            valid_len: self.valid_len,
            duration_ms: u64::try_from(duration).unwrap_or(0),
            frames: self.frames,
            key_frame: self.key_frame,
            audio_frames: self.audio_frames,
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
            adts: AdtsCount::default(),
        })
    }
}

/// Counts the ADTS frames of a PES packet by their headers.
#[derive(Debug, Default)]
struct AdtsCount {
    header: Vec<u8>,
    /// Bytes until the next header.
    skip: usize,
    frames: u64,
    samples: u64,
    rate: u32,
}

impl AdtsCount {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let (now, later) = bytes.split_at(AdtsHeader::LENGTH.saturating_sub(self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(now);
            bytes = later;
            if self.header.len() < AdtsHeader::LENGTH {
                return;
            }
            match AdtsHeader::parse(&std::mem::take(&mut self.header)) {
                Some(header) => {
                    self.skip = header.frame_length.saturating_sub(AdtsHeader::LENGTH);
                    self.frames += 1;
                    self.samples += 1024;
                    self.rate = header.config().sample_rate;
                }
                // What is no ADTS cannot be counted.
                None => self.skip = usize::MAX,
            }
        }
    }

    fn duration(&self) -> MediaDuration {
        let ticks = self.samples.saturating_mul(90_000) / u64::from(self.rate.max(1));
        MediaDuration(if self.rate == 0 { 0 } else { i64::try_from(ticks).unwrap_or(0) })
    }
}
