//! Reading and writing of bytes within bounds.

use thiserror::Error;

/// A read went past the end of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("input ends after {available} of {wanted} bytes at offset {offset}")]
pub struct UnexpectedEnd {
    /// Where the read began, in bytes from the start of the input.
    pub offset: usize,
    /// How many bytes the read asked for.
    pub wanted: usize,
    /// How many bytes there were from `offset` on.
    pub available: usize,
}

/// A cursor over borrowed bytes. No read can leave the input, and a read that fails consumes nothing.
///
/// Multi-byte integers are big-endian unless the name ends in `_le`.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, offset: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.offset..).unwrap_or_default()
    }

    /// How many bytes have not been read yet.
    pub fn remaining(&self) -> usize {
        self.input.len().saturating_sub(self.offset)
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next byte without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Reads `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], UnexpectedEnd> {
        let rest = self.rest();
        match rest.get(..count) {
            Some(bytes) => {
                self.offset += count;
                Ok(bytes)
            }
            None => Err(UnexpectedEnd { offset: self.offset, wanted: count, available: rest.len() }),
        }
    }

    /// Reads `N` bytes into an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], UnexpectedEnd> {
        let rest = self.rest();
        match rest.first_chunk::<N>() {
            Some(bytes) => {
                self.offset += N;
                Ok(*bytes)
            }
            None => Err(UnexpectedEnd { offset: self.offset, wanted: N, available: rest.len() }),
        }
    }

    /// Passes over `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), UnexpectedEnd> {
        self.bytes(count).map(drop)
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8, UnexpectedEnd> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Reads two bytes.
    pub fn u16(&mut self) -> Result<u16, UnexpectedEnd> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads three bytes.
    pub fn u24(&mut self) -> Result<u32, UnexpectedEnd> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Reads four bytes.
    pub fn u32(&mut self) -> Result<u32, UnexpectedEnd> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads four bytes, the least significant first.
    pub fn u32_le(&mut self) -> Result<u32, UnexpectedEnd> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads eight bytes.
    pub fn u64(&mut self) -> Result<u64, UnexpectedEnd> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads eight bytes as an IEEE 754 double.
    pub fn f64(&mut self) -> Result<f64, UnexpectedEnd> {
        self.array().map(f64::from_be_bytes)
    }
}

/// Appends integers to a byte vector, most significant byte first.
pub trait WriteBytes {
    /// Appends bytes as they are.
    fn write_bytes(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn write_u8(&mut self, value: u8) {
        self.write_bytes(&[value]);
    }

    /// Appends two bytes.
    fn write_u16(&mut self, value: u16) {
        self.write_bytes(&value.to_be_bytes());
    }

    /// Appends the low three bytes of `value`.
    fn write_u24(&mut self, value: u32) {
        let [_, a, b, c] = value.to_be_bytes();
        self.write_bytes(&[a, b, c]);
    }

    /// Appends four bytes.
    fn write_u32(&mut self, value: u32) {
        self.write_bytes(&value.to_be_bytes());
    }

    /// Appends four bytes, the least significant first.
    fn write_u32_le(&mut self, value: u32) {
        self.write_bytes(&value.to_le_bytes());
    }

    /// Appends an IEEE 754 double.
    fn write_f64(&mut self, value: f64) {
        self.write_bytes(&value.to_be_bytes());
    }
}

impl WriteBytes for Vec<u8> {
    fn write_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl WriteBytes for bytes::BytesMut {
    fn write_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_reads_back_what_was_written() {
        let mut bytes = Vec::new();
        bytes.write_u8(0x01);
        bytes.write_u16(0x0203);
        bytes.write_u24(0xff04_0506);
        bytes.write_u32(0x0708_090a);
        bytes.write_u32_le(0x0708_090a);
        bytes.write_f64(-2.5);
        bytes.write_bytes(b"xyz");
        assert_eq!(bytes[..14], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 9, 8, 7]);

        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.peek(), Some(1));
        assert_eq!(reader.u8(), Ok(0x01));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u24(), Ok(0x0004_0506));
        assert_eq!(reader.u32(), Ok(0x0708_090a));
        assert_eq!(reader.u32_le(), Ok(0x0708_090a));
        assert_eq!(reader.f64(), Ok(-2.5));
        assert_eq!(reader.skip(1), Ok(()));
        assert_eq!(reader.rest(), b"yz");
        assert_eq!(reader.offset(), 23);
    }

    #[test]
    fn a_failed_read_consumes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32(), Err(UnexpectedEnd { offset: 0, wanted: 4, available: 3 }));
        assert_eq!(reader.bytes(usize::MAX), Err(UnexpectedEnd { offset: 0, wanted: usize::MAX, available: 3 }));
        assert_eq!(reader.u24(), Ok(0x010203));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), Err(UnexpectedEnd { offset: 3, wanted: 1, available: 0 }));
        assert_eq!(reader.peek(), None);
    }
}
