//! The two tables that a segment begins with (ISO/IEC 13818-1 2.4.4).

use super::packet::{ContinuityCounter, PACKET, Pid, SYNC};

/// Our only program.
const PROGRAM_NUMBER: u16 = 1;

/// Stream types of the PMT.
const STREAM_TYPE_H264: u8 = 0x1B;
const STREAM_TYPE_AAC_ADTS: u8 = 0x0F;

/// Writes the program association table.
pub(super) fn put_pat(out: &mut Vec<u8>, counter: &mut ContinuityCounter) {
    let [program_high, program_low] = PROGRAM_NUMBER.to_be_bytes();
    let [pmt_high, pmt_low] = Pid::PMT.0.to_be_bytes();
    put_section(out, Pid::PAT, counter, 0x00, 1, 0, &[program_high, program_low, 0xE0 | pmt_high, pmt_low]);
}

/// Writes the program map table: H.264 always, AAC where `audio`.
pub(super) fn put_pmt(out: &mut Vec<u8>, counter: &mut ContinuityCounter, version: u8, audio: bool) {
    let [clock_high, clock_low] = Pid::VIDEO.0.to_be_bytes();
    let mut body = vec![0xE0 | clock_high, clock_low, 0xF0, 0];
    let mut add = |stream_type: u8, pid: Pid| {
        let [high, low] = pid.0.to_be_bytes();
        body.extend_from_slice(&[stream_type, 0xE0 | high, low, 0xF0, 0]);
    };
    add(STREAM_TYPE_H264, Pid::VIDEO);
    if audio {
        add(STREAM_TYPE_AAC_ADTS, Pid::AUDIO);
    }
    put_section(out, Pid::PMT, counter, 0x02, PROGRAM_NUMBER, version, &body);
}

/// Writes a section that fits into one packet.
fn put_section(
    out: &mut Vec<u8>,
    pid: Pid,
    counter: &mut ContinuityCounter,
    table_id: u8,
    id: u16,
    version: u8,
    body: &[u8],
) {
    let end = out.len() + PACKET;
    let [pid_high, pid_low] = pid.0.to_be_bytes();
    // Behind the packet header the pointer field: the section begins at once.
    out.extend_from_slice(&[SYNC, 0x40 | pid_high & 0x1F, pid_low, 0x10 | counter.advance(), 0]);
    let section = out.len();
    // Five more bytes of header and four of checksum belong to the section's length.
    let length = u16::try_from(body.len() + 9).unwrap_or(9);
    let [length_high, length_low] = length.to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    out.extend_from_slice(&[table_id, 0xB0 | length_high, length_low, id_high, id_low]);
    out.extend_from_slice(&[0xC1 | (version & 0x1F) << 1, 0, 0]);
    out.extend_from_slice(body);
    let checksum = crc32(&out[section..]);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.resize(end, 0xFF);
}

/// The checksum of sections (ISO/IEC 13818-1 annex A): polynomial 0x04C11DB7, no reflection.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xFFFF_FFFF, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte) << 24, |crc, _| if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_catalogue() {
        // CRC-32/MPEG-2 of "123456789".
        assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
    }

    #[test]
    fn a_table_with_its_checksum_leaves_zero() {
        for audio in [false, true] {
            let mut out = Vec::new();
            put_pmt(&mut out, &mut ContinuityCounter::default(), 3, audio);
            assert_eq!(out.len(), PACKET);
            let length = usize::from(out[6] & 0x0F) << 8 | usize::from(out[7]);
            assert_eq!(crc32(&out[5..8 + length]), 0);
        }
    }
}
