//! Transport packets: one PES packet cut into pieces of 184 bytes.

use crate::saved::{ResumeError, Saved};

/// Bytes of a transport packet.
pub(crate) const PACKET: usize = 188;

/// First byte of each.
pub(crate) const SYNC: u8 = 0x47;

/// Bytes behind the four of the packet header.
const BODY: usize = PACKET - 4;

/// A packet identifier, 13 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pid(pub u16);

impl Pid {
    /// The program association table.
    pub const PAT: Self = Self(0);
    /// The program map table of our only program.
    pub const PMT: Self = Self(0x1000);
    /// H.264, and the program's clock.
    pub const VIDEO: Self = Self(0x100);
    /// AAC in ADTS.
    pub const AUDIO: Self = Self(0x101);
}

/// The four-bit counter of payload packets on one PID. It goes on from segment to segment (decision D14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContinuityCounter(u8);

impl Saved for ContinuityCounter {
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }
    fn load(from: &mut &[u8]) -> Result<Self, ResumeError> {
        u8::load(from).map(|value| Self(value & 0x0F))
    }
}

impl ContinuityCounter {
    /// The value for the next packet with payload.
    pub fn advance(&mut self) -> u8 {
        let value = self.0;
        self.0 = (value + 1) & 0x0F;
        value
    }

    /// The value of the last packet with payload, which packets without payload repeat.
    pub fn last(self) -> u8 {
        self.0.wrapping_sub(1) & 0x0F
    }
}

/// What the adaptation field of a first packet says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Program clock reference base, already reduced to 33 bits.
    pub(super) pcr: Option<u64>,
    /// Whether the clock does not continue the one before.
    pub(super) clock_breaks: bool,
    /// Whether decoding may start here.
    pub(super) random_access: bool,
}

impl Marks {
    fn is_empty(self) -> bool {
        self.pcr.is_none() && !self.random_access && !self.clock_breaks
    }
}

/// Cuts one PES packet into transport packets. The number of payload bytes is known before the first is written, so
/// each byte is copied once, straight to its place.
pub(super) struct Packetizer<'a> {
    out: &'a mut Vec<u8>,
    pid: Pid,
    counter: &'a mut ContinuityCounter,
    /// Payload bytes that are still to come.
    remaining: usize,
    /// Payload bytes that the current packet still takes.
    room: usize,
}

impl<'a> Packetizer<'a> {
    /// Starts a PES packet of `length` bytes. With `end_in_stuffing` the last of several packets never is full, so
    /// that a reader sees the end of a PES packet that does not tell its length.
    pub(super) fn start(
        out: &'a mut Vec<u8>,
        pid: Pid,
        counter: &'a mut ContinuityCounter,
        marks: Marks,
        length: usize,
        end_in_stuffing: bool,
    ) -> Self {
        out.reserve((length / BODY + 3) * PACKET);
        let mut packetizer = Self { out, pid, counter, remaining: length, room: 0 };
        let mut field = match (marks.pcr, marks.is_empty()) {
            (_, true) => 0,
            (None, false) => 2,
            (Some(_), false) => 8,
        };
        if end_in_stuffing && length > BODY - field && (length - (BODY - field)).is_multiple_of(BODY) {
            field += 1;
        }
        packetizer.open(true, marks, field);
        packetizer
    }

    /// Writes the next part of the payload.
    pub(super) fn put(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            if self.room == 0 {
                if self.remaining >= BODY && part.len() >= BODY {
                    part = self.put_whole_packets(part);
                    continue;
                }
                self.open(false, Marks::default(), 0);
            }
            let count = part.len().min(self.room);
            let (now, later) = part.split_at(count);
            self.out.extend_from_slice(now);
            self.room -= count;
            self.remaining -= count.min(self.remaining);
            part = later;
        }
    }

    /// The fast path: packets that hold nothing but the middle of one slice.
    fn put_whole_packets<'b>(&mut self, part: &'b [u8]) -> &'b [u8] {
        let count = self.remaining.min(part.len()) / BODY;
        let (now, later) = part.split_at(count * BODY);
        let [high, low] = self.pid.0.to_be_bytes();
        for body in now.chunks_exact(BODY) {
            self.out.extend_from_slice(&[SYNC, high & 0x1F, low, 0x10 | self.counter.advance()]);
            self.out.extend_from_slice(body);
        }
        self.remaining -= now.len();
        later
    }

    /// Writes a packet header with an adaptation field of at least `field` bytes, longer when the payload ends here.
    fn open(&mut self, first: bool, marks: Marks, field: usize) {
        let field = field.max(BODY.saturating_sub(self.remaining));
        let [high, low] = self.pid.0.to_be_bytes();
        let control = if field > 0 { 0x30 } else { 0x10 };
        let start = if first { 0x40 } else { 0 };
        self.out.extend_from_slice(&[SYNC, start | high & 0x1F, low, control | self.counter.advance()]);
        put_adaptation_field(self.out, marks, field);
        self.room = BODY - field;
    }
}

/// Writes a packet that carries nothing but the clock.
pub(super) fn put_clock(out: &mut Vec<u8>, pid: Pid, counter: ContinuityCounter, pcr: u64) {
    let [high, low] = pid.0.to_be_bytes();
    out.extend_from_slice(&[SYNC, high & 0x1F, low, 0x20 | counter.last()]);
    put_adaptation_field(out, Marks { pcr: Some(pcr), ..Marks::default() }, BODY);
}

fn put_adaptation_field(out: &mut Vec<u8>, marks: Marks, size: usize) {
    if size == 0 {
        return;
    }
    let end = out.len() + size;
    // The length does not count itself; a field of one byte is that length alone.
    out.push(u8::try_from(size - 1).unwrap_or(183));
    if size > 1 {
        let random_access = if marks.random_access { 0x40 } else { 0 };
        let clock = if marks.pcr.is_some() { 0x10 } else { 0 };
        let breaks = if marks.clock_breaks { 0x80 } else { 0 };
        out.push(breaks | random_access | clock);
    }
    if let Some(pcr) = marks.pcr {
        // 33 bits of base, 6 reserved ones, 9 bits of extension that are zero.
        let field = (pcr & 0x1_FFFF_FFFF) << 15 | 0x3F << 9;
        out.extend_from_slice(&field.to_be_bytes()[2..]);
    }
    out.resize(end, 0xFF);
}
