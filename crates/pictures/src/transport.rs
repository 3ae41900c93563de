//! Reading a transport stream piece by piece: access units of its first H.264 track, with their times.
//!
//! Written for the segments of this server and lenient towards others: tables may come late and change, bytes between
//! packets are skipped, a lost packet makes the unit it belonged to damaged.

/// Bytes of a packet.
const PACKET: usize = 188;

/// First byte of each.
const SYNC: u8 = 0x47;

/// One PES packet of video. A writer of segments puts exactly one access unit into each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// When it is shown, 90 kHz, 33 bits.
    pub(crate) pts: u64,
    /// When it is decoded; PTS where the stream does not say.
    pub(crate) dts: u64,
    /// Whether the packet is marked as a point where decoding can start.
    pub(crate) random_access: bool,
    /// Annex B.
    pub(crate) data: Vec<u8>,
}

/// What the tables say of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Not seen yet.
    #[default]
    None,
    /// A program whose map is not seen yet.
    Map { pid: u16 },
    /// A program with an H.264 track.
    Video { map: u16, pid: u16 },
    /// A program without; its first video-like stream type, if any.
    NoVideo { map: u16, stream_type: Option<u8> },
}

/// Takes a transport stream apart.
#[derive(Debug)]
pub(crate) struct Demuxer {
    /// Start of a packet that the last piece ended in.
    carry: Vec<u8>,
    tables: Tables,
    open: Option<Unit>,
    max_unit: usize,
    /// Bytes that belonged to no packet.
    skipped: u64,
    packets: u64,
    is_too_large: bool,
}

impl Demuxer {
    /// Access units have at most `max_unit` bytes.
    pub(crate) fn new(max_unit: usize) -> Self {
        Self {
            carry: Vec::with_capacity(PACKET),
            tables: Tables::None,
            open: None,
            max_unit,
            skipped: 0,
            packets: 0,
            is_too_large: false,
        }
    }

    pub(crate) fn tables(&self) -> Tables {
        self.tables
    }

    /// Packets read and bytes skipped.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.packets, self.skipped)
    }

    /// Whether an access unit was longer than the limit.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    /// Reads a piece of any length; `take` gets each unit that is complete and says whether to go on.
    pub(crate) fn push(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Unit) -> bool) -> bool {
        while !bytes.is_empty() {
            if self.carry.is_empty() {
                let start = bytes.iter().position(|byte| *byte == SYNC).unwrap_or(bytes.len());
                self.skipped += start as u64;
                bytes = bytes.get(start..).unwrap_or_default();
                if let Some((packet, rest)) = bytes.split_first_chunk::<PACKET>() {
                    bytes = rest;
                    if !self.packet(packet, take) {
                        return false;
                    }
                    continue;
                }
            }
            let wanted = PACKET.saturating_sub(self.carry.len()).min(bytes.len());
            let (now, later) = bytes.split_at(wanted);
            self.carry.extend_from_slice(now);
            bytes = later;
            if let Some(packet) = self.carry.first_chunk::<PACKET>().copied() {
                self.carry.clear();
                if !self.packet(&packet, take) {
                    return false;
                }
            }
        }
        true
    }

    /// The unit that only the end of the stream completes.
    pub(crate) fn finish(&mut self) -> Option<Unit> {
        self.open.take().filter(|unit| !unit.data.is_empty())
    }

    fn packet(&mut self, packet: &[u8; PACKET], take: &mut impl FnMut(Unit) -> bool) -> bool {
        self.packets += 1;
        let [_, flags, low, control, body @ ..] = packet;
        let pid = u16::from(flags & 0x1F) << 8 | u16::from(*low);
        let start = flags & 0x40 != 0;
        let Some((field, payload)) = payload(body, control & 0x30) else { return true };
        match self.tables {
            _ if flags & 0x80 != 0 => {}
            _ if pid == 0 && start => self.association(payload),
            Tables::Map { pid: map } | Tables::Video { map, .. } | Tables::NoVideo { map, .. }
                if pid == map && start =>
            {
                self.map(map, payload);
            }
            Tables::Video { pid: video, .. } if pid == video => return self.video(start, field, payload, take),
            _ => {}
        }
        true
    }

    fn association(&mut self, payload: &[u8]) {
        let map = section(payload).and_then(|section| {
            let programs = section.get(8..section.len().checked_sub(4)?)?;
            programs.chunks_exact(4).find_map(|entry| match entry {
                [0, 0, ..] => None,
                [_, _, high, low] => Some(u16::from(high & 0x1F) << 8 | u16::from(*low)),
                _ => None,
            })
        });
        let known = match self.tables {
            Tables::None => None,
            Tables::Map { pid } => Some(pid),
            Tables::Video { map, .. } | Tables::NoVideo { map, .. } => Some(map),
        };
        if let Some(pid) = map
            && known != Some(pid)
        {
            self.tables = Tables::Map { pid };
        }
    }

    fn map(&mut self, map: u16, payload: &[u8]) {
        let Some(streams) = section(payload).and_then(map_streams) else { return };
        let (mut rest, mut other) = (streams, None);
        while let [stream_type, high, low, info_high, info_low, ..] = rest {
            let pid = u16::from(high & 0x1F) << 8 | u16::from(*low);
            if *stream_type == 0x1B {
                self.tables = Tables::Video { map, pid };
                return;
            }
            // MPEG video, MPEG-4, HEVC, VVC: for a message that names what it is.
            if matches!(stream_type, 0x01 | 0x02 | 0x10 | 0x24 | 0x33) {
                other = other.or(Some(*stream_type));
            }
            let info = usize::from(info_high & 0x0F) << 8 | usize::from(*info_low);
            rest = rest.get(5 + info..).unwrap_or_default();
        }
        self.tables = Tables::NoVideo { map, stream_type: other };
    }

    fn video(&mut self, start: bool, field: &[u8], payload: &[u8], take: &mut impl FnMut(Unit) -> bool) -> bool {
        if start {
            let finished = self.finish();
            if let Some((mut unit, data)) = pes(payload) {
                unit.random_access = field.first().is_some_and(|flags| flags & 0x40 != 0);
                unit.data.extend_from_slice(data);
                self.open = Some(unit);
            }
            return finished.is_none_or(take);
        }
        if let Some(unit) = &mut self.open {
            if unit.data.len() + payload.len() > self.max_unit {
                self.is_too_large = true;
                self.open = None;
            } else {
                unit.data.extend_from_slice(payload);
            }
        }
        true
    }
}

/// Adaptation field without its length, and payload. `None` without payload.
fn payload(body: &[u8], control: u8) -> Option<(&[u8], &[u8])> {
    match control {
        0x10 => Some((&[], body)),
        0x30 => {
            let (length, rest) = body.split_first()?;
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// A whole table section behind its pointer. Sections of more than one packet do not occur with so few streams.
fn section(payload: &[u8]) -> Option<&[u8]> {
    let (pointer, rest) = payload.split_first()?;
    let section = rest.get(usize::from(*pointer)..)?;
    let [_, high, low, ..] = section else { return None };
    section.get(..3 + (usize::from(high & 0x0F) << 8 | usize::from(*low)))
}

/// The list of streams of a program map.
fn map_streams(section: &[u8]) -> Option<&[u8]> {
    let [high, low] = section.get(10..12)?.first_chunk::<2>()?;
    let start = 12 + (usize::from(high & 0x0F) << 8 | usize::from(*low));
    section.get(start..section.len().checked_sub(4)?)
}

/// Times of a PES packet and what lies behind its header. `None` without a PTS: such a unit cannot be looked for.
fn pes(payload: &[u8]) -> Option<(Unit, &[u8])> {
    let [0, 0, 1, _, _, _, _, flags, header, rest @ ..] = payload else { return None };
    let (times, data) = rest.split_at_checked(usize::from(*header))?;
    let pts = time(times.get(..5)?)?;
    let dts = if flags >> 6 == 3 { time(times.get(5..10)?)? } else { pts };
    (flags & 0x80 != 0).then_some((Unit { pts, dts, ..Unit::default() }, data))
}

fn time(field: &[u8]) -> Option<u64> {
    let [a, b, c, d, e] = field.first_chunk::<5>()?.map(u64::from);
    Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}
