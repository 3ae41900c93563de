//! Checksums of the blocks of a blob, and the trailer behind its bytes in which they are kept.
//!
//! ```text
//! bytes of the blob                                     len
//! CRC-64/XZ of the blob up to the end of each block     8 each, the last block may be shorter
//! "mpndsum2"                                            8
//! id of the blob                                        16
//! len                                                   8
//! bytes of a block                                      4
//! CRC-32C of all of the trailer before it               4
//! ```
//!
//! Numbers are little-endian. A block is verified from the sum before it to its own, so one pass over the bytes gives both
//! what damage is found by and the number of `x-oss-hash-crc64ecma`. In "mpndsum1" there are 4 bytes for each block, its
//! CRC-32C: that is read, and not written any more.
//!
//! A trailer becomes durable with the bytes before it, by the same flush, and needs no file of its own. Readers are bounded by
//! the lengths in the metadata, so a program that knows of no trailers reads the same bytes. The id tells a trailer from whatever
//! a blob without one ends in: nobody knows it before the blob is begun.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crc_fast::{CrcAlgorithm, Digest, checksum};

use crate::blob::BlobId;

/// Bytes that share a checksum: few enough that a small range can be verified without reading much more, and so many that
/// the checksums are an eight-thousandth of the bytes.
pub(super) const BLOCK_BYTES: usize = 64 << 10;

/// Everything of a trailer but the checksums of the blocks.
const FOOTER: usize = 40;
/// Longer files are none of ours: the largest part of an upload has 5 GiB.
const MAX_BLOCKS: u64 = 1 << 24;
/// Read at once when checksums are made of what is in a file already.
const READ_BYTES: usize = 1 << 20;

/// What the checksums of a trailer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// CRC-32C of each block.
    Blocks,
    /// CRC-64/XZ of all bytes up to the end of each block.
    Running,
}

impl Format {
    const ALL: [Self; 2] = [Format::Blocks, Format::Running];

    fn magic(self) -> &'static [u8; 8] {
        match self {
            Format::Blocks => b"mpndsum1",
            Format::Running => b"mpndsum2",
        }
    }

    /// Bytes of the checksum of a block.
    fn width(self) -> usize {
        match self {
            Format::Blocks => 4,
            Format::Running => 8,
        }
    }
}

/// CRC-32C.
fn crc32(bytes: &[u8]) -> u32 {
    // CRC-32 values come in the low half.
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(0)
}

/// What goes on with the CRC-64 of some bytes.
fn from_crc64(before: u64) -> Digest {
    // The value is the state with all bits turned, and 0 that of no bytes.
    Digest::new_with_init_state(CrcAlgorithm::Crc64Xz, !before)
}

fn blocks(len: u64) -> u64 {
    len.div_ceil(BLOCK_BYTES as u64)
}

/// The checksums of a finished blob.
#[derive(Debug)]
pub(super) struct Sums {
    format: Format,
    table: Vec<u64>,
}

impl Sums {
    /// Which of these bytes differ from what was written. They begin at `offset`, a whole block, and end at one or at the
    /// end of the blob.
    pub(super) fn damage(&self, offset: u64, bytes: &[u8]) -> Vec<Range<u64>> {
        let first = usize::try_from(offset / BLOCK_BYTES as u64).unwrap_or(usize::MAX);
        let mut damaged: Vec<Range<u64>> = Vec::new();
        for (index, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            if self.is_sound(first.saturating_add(index), block) {
                continue;
            }
            let start = offset.saturating_add((index * BLOCK_BYTES) as u64);
            let end = start.saturating_add(block.len() as u64);
            match damaged.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => damaged.push(start..end),
            }
        }
        damaged
    }

    fn is_sound(&self, index: usize, block: &[u8]) -> bool {
        let sum = match self.format {
            Format::Blocks => u64::from(crc32(block)),
            Format::Running => {
                let before = index.checked_sub(1).map_or(Some(0), |before| self.table.get(before).copied());
                let Some(before) = before else { return false };
                let mut digest = from_crc64(before);
                digest.update(block);
                digest.finalize()
            }
        };
        self.table.get(index) == Some(&sum)
    }
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// The length of the blob in it.
    pub(super) len: u64,
    /// Whether a trailer follows.
    pub(super) has_sums: bool,
}

/// Finds out how a file of `file_len` bytes ends: one small read.
pub(super) fn ending(file: &File, id: BlobId, file_len: u64) -> io::Result<Ending> {
    let bare = Ending { len: file_len, has_sums: false };
    let Some(start) = file_len.checked_sub(FOOTER as u64) else { return Ok(bare) };
    let mut footer = [0; FOOTER];
    match file.read_exact_at(&mut footer, start) {
        // A blob that grows may be cut just now.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(bare),
        read => read?,
    }
    let Some(Footer { format, len, .. }) = parse_footer(&footer, id) else { return Ok(bare) };
    let table = blocks(len) * format.width() as u64;
    let is_whole = len.checked_add(table) == Some(start);
    Ok(if is_whole { Ending { len, has_sums: true } } else { bare })
}

/// How a trailer ends.
#[derive(Debug, PartialEq, Eq)]
struct Footer {
    format: Format,
    len: u64,
    /// Of all of the trailer before it.
    sum: u32,
}

fn parse_footer(footer: &[u8; FOOTER], id: BlobId) -> Option<Footer> {
    let (magic, rest) = footer.split_first_chunk::<8>()?;
    let (named, rest) = rest.split_first_chunk::<16>()?;
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let (block, rest) = rest.split_first_chunk::<4>()?;
    let sum = rest.first_chunk::<4>()?;
    let format = Format::ALL.into_iter().find(|format| format.magic() == magic)?;
    let len = u64::from_le_bytes(*len);
    let is_ours =
        *named == id.to_bytes() && u32::from_le_bytes(*block) as usize == BLOCK_BYTES && blocks(len) <= MAX_BLOCKS;
    is_ours.then(|| Footer { format, len, sum: u32::from_le_bytes(*sum) })
}

/// Reads the trailer behind `len` bytes; `None` when it is damaged itself.
pub(super) fn read(file: &File, id: BlobId, len: u64) -> io::Result<Option<Sums>> {
    let mut footer = [0; FOOTER];
    let trailer_len = file.metadata()?.len().saturating_sub(len);
    let Some(footer_at) = trailer_len.checked_sub(FOOTER as u64) else { return Ok(None) };
    file.read_exact_at(&mut footer, len.saturating_add(footer_at))?;
    let Some(found) = parse_footer(&footer, id).filter(|found| found.len == len) else { return Ok(None) };
    let count = usize::try_from(blocks(len)).unwrap_or(0);
    let width = found.format.width();
    let mut trailer = vec![0; count * width + FOOTER];
    file.read_exact_at(&mut trailer, len)?;
    let (summed, _) = trailer.split_at(trailer.len() - 4);
    let table = summed.get(..count * width).unwrap_or_default();
    let table = match found.format {
        Format::Blocks => table.as_chunks::<4>().0.iter().map(|sum| u32::from_le_bytes(*sum).into()).collect(),
        Format::Running => table.as_chunks::<8>().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect(),
    };
    Ok((found.sum == crc32(summed)).then_some(Sums { format: found.format, table }))
}

/// The checksums of a blob that grows.
pub(super) struct Summing {
    /// Of all bytes up to the end of each whole block, from the first on.
    table: Vec<u64>,
    /// Of all bytes.
    running: Digest,
    /// Bytes of the block that is not whole yet.
    open_len: usize,
    /// Whether every byte so far was seen. Otherwise those behind the whole blocks are read again at the end.
    is_current: bool,
}

impl Summing {
    /// Of a blob without bytes.
    pub(super) fn new() -> Self {
        Self { table: Vec::new(), running: from_crc64(0), open_len: 0, is_current: true }
    }

    /// Of a blob that has `len` bytes, which nobody has seen.
    pub(super) fn unseen(len: u64) -> Self {
        Self { is_current: len == 0, ..Self::new() }
    }

    /// Sees further bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while self.is_current && !bytes.is_empty() {
            let count = bytes.len().min(BLOCK_BYTES - self.open_len);
            let (now, later) = bytes.split_at(count);
            self.running.update(now);
            self.open_len += count;
            bytes = later;
            if self.open_len == BLOCK_BYTES {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        self.table.push(self.running.finalize());
        self.open_len = 0;
    }

    /// The CRC-64/XZ of all bytes, if every one of them was seen.
    pub(super) fn crc64(&self) -> Option<u64> {
        self.is_current.then(|| self.running.finalize())
    }

    /// Forgets everything beyond `len`, which is less than there was.
    pub(super) fn truncate(&mut self, len: u64) {
        let whole = usize::try_from(len / BLOCK_BYTES as u64).unwrap_or(usize::MAX);
        let keeps_open =
            self.table.len() == whole && self.is_current && self.open_len as u64 == len % BLOCK_BYTES as u64;
        self.table.truncate(whole);
        if !keeps_open {
            self.running = from_crc64(self.table.last().copied().unwrap_or(0));
            self.open_len = 0;
            self.is_current = self.table.len() as u64 * BLOCK_BYTES as u64 == len;
        }
    }

    /// The trailer of the blob `id`, whose `len` bytes are in `file`. Blocks while it reads those that were not seen.
    pub(super) fn trailer(mut self, file: &File, id: BlobId, len: u64) -> io::Result<Vec<u8>> {
        if !self.is_current {
            self.is_current = true;
            let mut at = self.table.len() as u64 * BLOCK_BYTES as u64;
            let mut buffer = vec![0; READ_BYTES];
            while at < len {
                let count = usize::try_from(len - at).unwrap_or(READ_BYTES).min(READ_BYTES);
                let piece = buffer.get_mut(..count).unwrap_or_default();
                file.read_exact_at(piece, at)?;
                at += count as u64;
                self.update(piece);
            }
        }
        if self.open_len > 0 {
            self.close_block();
        }
        let mut trailer = Vec::with_capacity(self.table.len() * Format::Running.width() + FOOTER);
        trailer.extend(self.table.iter().flat_map(|sum| sum.to_le_bytes()));
        trailer.extend_from_slice(Format::Running.magic());
        trailer.extend_from_slice(&id.to_bytes());
        trailer.extend_from_slice(&len.to_le_bytes());
        trailer.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        let sum = crc32(&trailer);
        trailer.extend_from_slice(&sum.to_le_bytes());
        Ok(trailer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> BlobId {
        BlobId::new(1_700_000_000_000, [n; 10])
    }

    fn file_of(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn with_trailer(bytes: &[u8]) -> (File, Vec<u8>) {
        let mut summing = Summing::new();
        summing.update(bytes);
        let file = file_of(bytes);
        let trailer = summing.trailer(&file, id(1), bytes.len() as u64).unwrap();
        let whole = [bytes, &trailer].concat();
        (file_of(&whole), whole)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_format_is_frozen() {
        // The check value of CRC-64/XZ: "123456789" is 995dc9bbdf1939fa.
        let (_, whole) = with_trailer(b"123456789");
        let footer = "6d706e6473756d32018bcfe5680071018101010101010101090000000000000000000100";
        assert_eq!(hex(&whole[9..whole.len() - 4]), format!("fa3919dfbbc95d99{footer}"));
        assert_eq!(whole[whole.len() - 4..], crc32(&whole[9..whole.len() - 4]).to_le_bytes());
    }

    /// As blobs ended whose blocks had sums of their own.
    #[test]
    fn what_was_written_before_is_read() {
        // The check value of CRC-32C (RFC 3720 B.4 names others): "123456789" is e3069283.
        let trailer = "839206e36d706e6473756d31018bcfe568007101810101010101010109000000000000000000010040bbfdf1";
        let unhex = |at: usize| u8::from_str_radix(&trailer[2 * at..2 * at + 2], 16).unwrap();
        let trailer: Vec<u8> = (0..trailer.len() / 2).map(unhex).collect();
        let whole = [&b"123456789"[..], &trailer].concat();
        let file = file_of(&whole);
        assert_eq!(ending(&file, id(1), whole.len() as u64).unwrap(), Ending { len: 9, has_sums: true });
        let sums = read(&file, id(1), 9).unwrap().unwrap();
        assert_eq!(sums.damage(0, b"123456789"), []);
        assert_eq!(sums.damage(0, b"123456780").first(), Some(&(0..9)));

        // Several blocks, of which one has changed.
        let mut bytes = vec![7; 2 * BLOCK_BYTES + 100];
        let mut trailer: Vec<u8> = bytes.chunks(BLOCK_BYTES).flat_map(|block| crc32(block).to_le_bytes()).collect();
        trailer.extend_from_slice(Format::Blocks.magic());
        trailer.extend_from_slice(&id(1).to_bytes());
        trailer.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        trailer.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        trailer.extend_from_slice(&crc32(&trailer).to_le_bytes());
        let whole = [&bytes[..], &trailer].concat();
        let file = file_of(&whole);
        let len = bytes.len() as u64;
        assert_eq!(ending(&file, id(1), whole.len() as u64).unwrap(), Ending { len, has_sums: true });
        let sums = read(&file, id(1), len).unwrap().unwrap();
        assert_eq!((sums.damage(0, &bytes), sums.damage(65_536, &bytes[BLOCK_BYTES..])), (vec![], vec![]));
        bytes[BLOCK_BYTES] ^= 1;
        assert_eq!(sums.damage(0, &bytes).first(), Some(&(65_536..131_072)));
    }

    #[test]
    fn the_sum_of_all_is_known_on_the_way() {
        let bytes = vec![7; 3 * BLOCK_BYTES + 5];
        let mut summing = Summing::new();
        for len in [0, 5, BLOCK_BYTES, 2 * BLOCK_BYTES + 1, bytes.len()] {
            summing.update(&bytes[summing.table.len() * BLOCK_BYTES + summing.open_len..len]);
            assert_eq!(summing.crc64(), Some(checksum(CrcAlgorithm::Crc64Xz, &bytes[..len])));
        }
        summing.truncate(BLOCK_BYTES as u64 + 3);
        assert_eq!(summing.crc64(), None, "the last of them have to be read again");
        summing.truncate(BLOCK_BYTES as u64);
        assert_eq!(summing.crc64(), Some(checksum(CrcAlgorithm::Crc64Xz, &bytes[..BLOCK_BYTES])));
        assert_eq!(Summing::unseen(1).crc64(), None);
    }

    #[test]
    fn a_trailer_is_known_by_the_id_of_its_blob() {
        for len in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES] {
            let bytes = vec![7; len];
            let (file, whole) = with_trailer(&bytes);
            let file_len = whole.len() as u64;
            assert_eq!(ending(&file, id(1), file_len).unwrap(), Ending { len: len as u64, has_sums: true });
            assert_eq!(ending(&file, id(2), file_len).unwrap(), Ending { len: file_len, has_sums: false });
            assert_eq!(ending(&file, id(1), file_len - 1).unwrap(), Ending { len: file_len - 1, has_sums: false });
            let sums = read(&file, id(1), len as u64).unwrap().unwrap();
            assert_eq!(sums.damage(0, &bytes), []);
        }
    }

    #[test]
    fn every_flipped_bit_is_found_where_it_is() {
        let bytes = vec![7; 2 * BLOCK_BYTES + 100];
        let (_, whole) = with_trailer(&bytes);
        let len = bytes.len() as u64;
        for (at, expected) in [
            (0, Some(0..65_536)),
            (65_535, Some(0..65_536)),
            (65_536, Some(65_536..131_072)),
            (bytes.len() - 1, Some(131_072..len)),
            // The trailer itself.
            (bytes.len(), None),
            (bytes.len() + 23, None),
            (whole.len() - 1, None),
        ] {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            let file = file_of(&flipped);
            let sums = read(&file, id(1), len).unwrap();
            assert_eq!(sums.is_some(), expected.is_some(), "{at}");
            if let Some(expected) = expected {
                assert_eq!(sums.unwrap().damage(0, &flipped[..bytes.len()]), [expected], "{at}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cuts_change_nothing(pieces in prop::collection::vec((0usize..200_000, prop::option::of(0usize..300_000)), 1..6)) {
            let mut bytes: Vec<u8> = Vec::new();
            let mut summing = Summing::new();
            for (n, (len, cut)) in pieces.into_iter().enumerate() {
                let piece: Vec<u8> = (0..len).map(|at| (at % 251 + n).to_le_bytes()[0]).collect();
                summing.update(&piece);
                bytes.extend(piece);
                if let Some(cut) = cut.filter(|cut| *cut < bytes.len()) {
                    bytes.truncate(cut);
                    summing.truncate(cut as u64);
                }
            }
            let file = file_of(&bytes);
            let trailer = summing.trailer(&file, id(1), bytes.len() as u64).unwrap();
            prop_assert_eq!(&[&bytes[..], &trailer].concat(), &with_trailer(&bytes).1);
            let unseen = Summing::unseen(bytes.len() as u64).trailer(&file, id(1), bytes.len() as u64).unwrap();
            prop_assert_eq!(unseen, trailer);
        }
    }
}
