//! Bounded reading of single bits, and of the Exp-Golomb numbers that H.264 is made of.

use crate::bits::UnexpectedEnd;

/// Reads bits, most significant first, and never past the end.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    /// Bits read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// One bit.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] when no bit is left.
    pub fn bit(&mut self) -> Result<bool, UnexpectedEnd> {
        Ok(self.bits(1)? == 1)
    }

    /// `count` bits, at most 32, as a number.
    ///
    /// # Errors
    /// [`UnexpectedEnd`], with byte positions, when fewer bits are left; nothing is consumed then.
    pub fn bits(&mut self, count: u32) -> Result<u32, UnexpectedEnd> {
        debug_assert!(count <= 32, "a u32 holds at most 32 bits");
        let end = self.position + count as usize;
        if end > self.input.len().saturating_mul(8) {
            return Err(UnexpectedEnd {
                offset: self.position / 8,
                wanted: end.div_ceil(8) - self.position / 8,
                available: self.input.len().saturating_sub(self.position / 8),
            });
        }
        let mut value = 0_u64;
        let first = self.position / 8;
        let last = end.div_ceil(8).max(first);
        for byte in &self.input[first..last] {
            value = (value << 8) | u64::from(*byte);
        }
        value >>= last * 8 - end;
        self.position = end;
        let mask = (1_u64 << count) - 1;
        Ok(u32::try_from(value & mask).unwrap_or(u32::MAX))
    }

    /// Skips `count` bits.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] when fewer bits are left.
    pub fn skip(&mut self, count: usize) -> Result<(), UnexpectedEnd> {
        let mut left = count;
        while left > 0 {
            let step = left.min(32);
            self.bits(u32::try_from(step).unwrap_or(32))?;
            left -= step;
        }
        Ok(())
    }

    /// An unsigned Exp-Golomb number, `ue(v)` of H.264 9.1.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] when the bits run out, or when more than 31 leading zeros announce a number that no H.264
    /// syntax element may have.
    pub fn unsigned_golomb(&mut self) -> Result<u32, UnexpectedEnd> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return Err(UnexpectedEnd { offset: self.position / 8, wanted: 5, available: 0 });
            }
        }
        let suffix = self.bits(zeros)?;
        let base = (1_u64 << zeros) - 1;
        Ok(u32::try_from(base + u64::from(suffix)).unwrap_or(u32::MAX))
    }

    /// A signed Exp-Golomb number, `se(v)` of H.264 9.1.1.
    ///
    /// # Errors
    /// As [`unsigned_golomb`](Self::unsigned_golomb).
    pub fn signed_golomb(&mut self) -> Result<i64, UnexpectedEnd> {
        let code = i64::from(self.unsigned_golomb()?);
        Ok(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_cross_bytes() {
        let mut reader = BitReader::new(&[0b1010_0101, 0xFF, 0x00, 0x12, 0x34]);
        assert_eq!(reader.bits(3), Ok(0b101));
        assert_eq!(reader.bits(9), Ok(0b0_0101_1111));
        assert_eq!(reader.bits(0), Ok(0));
        assert_eq!(reader.bits(28), Ok(0xF00_1234));
        assert!(reader.bit().is_err());
    }

    #[test]
    fn golomb_table_of_h264_9_1() {
        for (bits, unsigned, signed) in [
            (0b1000_0000_u8, 0, 0),
            (0b0100_0000, 1, 1),
            (0b0110_0000, 2, -1),
            (0b0010_0000, 3, 2),
            (0b0011_1000, 6, -3),
        ] {
            assert_eq!(BitReader::new(&[bits]).unsigned_golomb(), Ok(unsigned));
            assert_eq!(BitReader::new(&[bits]).signed_golomb(), Ok(signed));
        }
        assert!(BitReader::new(&[0; 16]).unsigned_golomb().is_err());
    }
}
