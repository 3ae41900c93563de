//! AAC: the AudioSpecificConfig of a sequence header (ISO/IEC 14496-3 1.6.2.1), and the ADTS header before each frame in a TS.

use crate::bitreader::BitReader;
use crate::bits::UnexpectedEnd;
use bytes::Bytes;
use thiserror::Error;

/// Sampling rates by index (ISO/IEC 14496-3 table 1.18).
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Why a configuration was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AacError {
    /// It ends within its fields.
    #[error("AAC configuration too short: {0}")]
    TooShort(#[from] UnexpectedEnd),
    /// An object type that ADTS cannot carry: its two bits know Main, LC, SSR and LTP only.
    #[error("AAC object type {0} has no ADTS form")]
    ObjectType(u32),
    /// A sampling rate that is reserved or that no index comes near.
    #[error("AAC sampling rate index or value {0}")]
    SampleRate(u32),
    /// A channel configuration beyond 7.
    #[error("AAC channel configuration {0}")]
    Channels(u32),
}

/// What a decoder of the LC core needs to know; HE-AAC extensions are found by decoders in the stream itself (quirk Q43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    /// Object type of the core, 1 to 4.
    pub object_type: u8,
    /// Index of the core's sampling rate, 0 to 12.
    pub rate_index: u8,
    /// The core's sampling rate in Hz, exact also where it has no index of its own.
    pub sample_rate: u32,
    /// The rate that is heard, in Hz: twice the core's with HE-AAC signalled, else the same.
    pub output_sample_rate: u32,
    /// Channel configuration, 0 to 7; 0 means that `program_config` describes the channels.
    pub channels: u8,
    /// Samples per frame at the core's rate: 1024, or 960 where the configuration says so.
    pub samples_per_frame: u32,
    /// For channel configuration 0 a program config element, as a raw data block begins with it (quirk Q43).
    pub program_config: Bytes,
}

crate::saved::saved!(struct AudioConfig {
    object_type,
    rate_index,
    sample_rate,
    output_sample_rate,
    channels,
    samples_per_frame,
    program_config
});

impl AudioConfig {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// [`AacError`] when it is torn, or of a kind that ADTS cannot carry.
    pub fn parse(config: &[u8]) -> Result<Self, AacError> {
        let mut bits = BitReader::new(config);
        let mut object_type = object_type(&mut bits)?;
        let (mut rate_index, mut sample_rate) = sampling_rate(&mut bits)?;
        let channels = bits.bits(4)?;
        if channels > 7 {
            return Err(AacError::Channels(channels));
        }
        let mut output_sample_rate = sample_rate;
        // Hierarchical signalling of SBR (5) and PS (29): the extension's rate, then the type of the core.
        if object_type == 5 || object_type == 29 {
            output_sample_rate = sampling_rate(&mut bits)?.1;
            object_type = self::object_type(&mut bits)?;
        }
        if !(1..=4).contains(&object_type) {
            return Err(AacError::ObjectType(object_type));
        }
        // Configurations of exactly two bytes end here or after the next three bits; all of these default to zero.
        let short_frames = bits.bit().unwrap_or(false);
        if bits.bit().unwrap_or(false) {
            bits.skip(14).unwrap_or(());
        }
        let _extension = bits.bit().unwrap_or(false);
        let mut program_config = Bytes::new();
        if channels == 0 {
            let element = ProgramConfig::read(&mut bits)?;
            // Its rate is the one of the core and wins over an explicit rate that has no index.
            if usize::from(element.rate_index) < SAMPLE_RATES.len() && rate_index > 12 {
                rate_index = element.rate_index;
                sample_rate = SAMPLE_RATES[usize::from(rate_index)];
            }
            program_config = element.as_raw_data;
        }
        // Backward compatible signalling: sync word 0x2B7, object type 5, then a flag and the rate.
        if bits.bits(11) == Ok(0x2B7)
            && bits.bits(5) == Ok(5)
            && bits.bit() == Ok(true)
            && let Ok((_, rate)) = sampling_rate(&mut bits)
        {
            output_sample_rate = rate;
        }
        Ok(Self {
            object_type: u8::try_from(object_type).unwrap_or(2),
            rate_index,
            sample_rate,
            output_sample_rate,
            channels: u8::try_from(channels).unwrap_or(0),
            samples_per_frame: if short_frames { 960 } else { 1024 },
            program_config,
        })
    }

    /// The ADTS header of a frame whose raw data block has `payload` bytes, the program config element not counted.
    /// `None` when the frame is longer than the 13 bits of ADTS can say.
    pub fn adts_header(&self, payload: usize) -> Option<[u8; AdtsHeader::LENGTH]> {
        let frame_length = AdtsHeader::LENGTH + self.program_config.len() + payload;
        let header = AdtsHeader {
            object_type: self.object_type,
            rate_index: self.rate_index,
            channels: self.channels,
            header_length: AdtsHeader::LENGTH,
            frame_length,
            blocks: 1,
        };
        header.encode()
    }
}

fn object_type(bits: &mut BitReader<'_>) -> Result<u32, UnexpectedEnd> {
    let short = bits.bits(5)?;
    Ok(if short == 31 { 32 + bits.bits(6)? } else { short })
}

fn sampling_rate(bits: &mut BitReader<'_>) -> Result<(u8, u32), AacError> {
    let index = bits.bits(4)?;
    if index == 15 {
        let rate = bits.bits(24)?;
        // Thresholds as in ISO/IEC 14496-3 table 4.82: a decoder treats a rate like the nearest one of the table.
        let nearest = (0_u8..).zip(SAMPLE_RATES).min_by_key(|(_, known)| known.abs_diff(rate));
        return match nearest {
            Some((index, known)) if rate > 0 && known.abs_diff(rate) <= known / 4 => Ok((index, rate)),
            _ => Err(AacError::SampleRate(rate)),
        };
    }
    match SAMPLE_RATES.get(index as usize) {
        Some(rate) => Ok((u8::try_from(index).unwrap_or(4), *rate)),
        None => Err(AacError::SampleRate(index)),
    }
}

/// A program config element (ISO/IEC 14496-3 4.4.1.1), moved from the configuration to the front of a raw data block.
struct ProgramConfig {
    rate_index: u8,
    as_raw_data: Bytes,
}

impl ProgramConfig {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, UnexpectedEnd> {
        // In a raw data block the element follows its three-bit id (5), which shifts the alignment before the comment.
        let mut out = BitCopy::default();
        out.push(5, 3);
        out.copy(bits, 4)?;
        out.copy(bits, 2)?;
        let rate_index = u8::try_from(out.copy(bits, 4)?).unwrap_or(0);
        let mut counts = [0; 6];
        for (count, width) in counts.iter_mut().zip([4, 4, 4, 2, 3, 4]) {
            *count = out.copy(bits, width)?;
        }
        for width in [4, 4, 3] {
            // Mono, stereo and matrix mixdown: a flag, then a value where it is set.
            if out.copy(bits, 1)? == 1 {
                out.copy(bits, width)?;
            }
        }
        let [front, side, back, lfe, data, coupling] = counts;
        for _ in 0..front + side + back {
            out.copy(bits, 5)?;
        }
        for _ in 0..lfe + data {
            out.copy(bits, 4)?;
        }
        for _ in 0..coupling {
            out.copy(bits, 5)?;
        }
        out.align();
        bits.skip((8 - bits.position() % 8) % 8)?;
        let comment = out.copy(bits, 8)?;
        for _ in 0..comment {
            out.copy(bits, 8)?;
        }
        Ok(Self { rate_index, as_raw_data: Bytes::from(out.bytes) })
    }
}

#[derive(Default)]
struct BitCopy {
    bytes: Vec<u8>,
    used: u32,
}

impl BitCopy {
    fn push(&mut self, value: u32, width: u32) {
        for shift in (0..width).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let bit = u8::from((value >> shift) & 1 == 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    fn copy(&mut self, bits: &mut BitReader<'_>, width: u32) -> Result<u32, UnexpectedEnd> {
        let value = bits.bits(width)?;
        self.push(value, width);
        Ok(value)
    }

    fn align(&mut self) {
        self.used = 0;
    }
}

/// The header of an ADTS frame (ISO/IEC 13818-7 6.2), without the optional checksum when written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsHeader {
    /// Object type, 1 to 4.
    pub object_type: u8,
    /// Index of the sampling rate, 0 to 12.
    pub rate_index: u8,
    /// Channel configuration, 0 to 7.
    pub channels: u8,
    /// Bytes of the header itself: 7, or 9 with a checksum.
    pub header_length: usize,
    /// Bytes of the whole frame, the header included.
    pub frame_length: usize,
    /// Raw data blocks in the frame, 1 to 4.
    pub blocks: u8,
}

impl AdtsHeader {
    /// Bytes of a header without checksum.
    pub const LENGTH: usize = 7;

    /// The longest frame that a header can announce.
    pub const MAX_FRAME: usize = 0x1FFF;

    /// Reads the header at the start of `bytes`; `None` when there is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<7>()?;
        // Sync word, any MPEG version, layer 0.
        if header[0] != 0xFF || header[1] & 0xF6 != 0xF0 {
            return None;
        }
        let rate_index = (header[2] >> 2) & 0x0F;
        let header_length = if header[1] & 1 == 1 { 7 } else { 9 };
        let frame_length = usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5);
        if usize::from(rate_index) >= SAMPLE_RATES.len() || frame_length < header_length {
            return None;
        }
        Some(Self {
            object_type: (header[2] >> 6) + 1,
            rate_index,
            channels: (header[2] & 1) << 2 | header[3] >> 6,
            header_length,
            frame_length,
            blocks: (header[6] & 3) + 1,
        })
    }

    /// The configuration that the header implies.
    pub fn config(&self) -> AudioConfig {
        let sample_rate = SAMPLE_RATES.get(usize::from(self.rate_index)).copied().unwrap_or(44_100);
        AudioConfig {
            object_type: self.object_type,
            rate_index: self.rate_index,
            sample_rate,
            output_sample_rate: sample_rate,
            channels: self.channels,
            samples_per_frame: 1024,
            program_config: Bytes::new(),
        }
    }

    /// The seven bytes of a header without checksum; `None` when the frame is too long for one.
    pub fn encode(&self) -> Option<[u8; Self::LENGTH]> {
        if self.frame_length > Self::MAX_FRAME {
            return None;
        }
        let length = u16::try_from(self.frame_length).ok()?;
        Some([
            0xFF,
            0xF1,
            (self.object_type.wrapping_sub(1) & 3) << 6 | (self.rate_index & 0x0F) << 2 | (self.channels >> 2) & 1,
            (self.channels & 3) << 6 | u8::try_from(length >> 11).unwrap_or(3) & 3,
            u8::try_from((length >> 3) & 0xFF).unwrap_or(0),
            // The buffer fullness 0x7FF stands for variable bit rate; its upper five bits are here.
            u8::try_from((length & 7) << 5).unwrap_or(0) | 0x1F,
            0xFC | (self.blocks.wrapping_sub(1) & 3),
        ])
    }
}

/// The frames of a payload that is ADTS instead of raw AAC (quirk Q43); `None` when the headers do not lead exactly to
/// its end. Raw AAC never begins like this: its first three bits would be the end element.
pub fn split_adts(payload: &Bytes) -> Option<Vec<(AdtsHeader, Bytes)>> {
    let mut frames = Vec::new();
    let mut offset = 0;
    while offset < payload.len() {
        let header = AdtsHeader::parse(&payload[offset..])?;
        let end = offset + header.frame_length;
        if end > payload.len() || header.blocks != 1 {
            return None;
        }
        frames.push((header, payload.slice(offset + header.header_length..end)));
        offset = end;
    }
    (!frames.is_empty()).then_some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Object type, core rate, output rate, channels, samples per frame.
    type Facts = (u8, u32, u32, u8, u32);

    fn check(name: &str, bytes: &[u8], expected: Result<Facts, AacError>) {
        let got = AudioConfig::parse(bytes).map(|config| {
            (
                config.object_type,
                config.sample_rate,
                config.output_sample_rate,
                config.channels,
                config.samples_per_frame,
            )
        });
        assert_eq!(got, expected, "{name}");
    }

    #[test]
    fn q43_configurations() {
        check("LC 44.1 kHz stereo", &[0x12, 0x10], Ok((2, 44_100, 44_100, 2, 1024)));
        check("LC 48 kHz mono", &[0x11, 0x88], Ok((2, 48_000, 48_000, 1, 1024)));
        check("LC 48 kHz stereo, 960 samples", &[0x11, 0x94], Ok((2, 48_000, 48_000, 2, 960)));
        check("HE-AAC, hierarchical", &[0x2B, 0x92, 0x08, 0x00], Ok((2, 22_050, 44_100, 2, 1024)));
        check("HE-AAC, backward compatible", &[0x13, 0x90, 0x56, 0xE5, 0xA0], Ok((2, 22_050, 44_100, 2, 1024)));
        check("LC with an empty extension", &[0x12, 0x10, 0x56, 0xE5, 0x00], Ok((2, 44_100, 44_100, 2, 1024)));
        check("explicit rate 44100", &[0x17, 0x80, 0x56, 0x22, 0x10], Ok((2, 44_100, 44_100, 2, 1024)));
        check("reserved rate", &[0x16, 0x90], Err(AacError::SampleRate(13)));
        check("ER AAC LD", &[0xB9, 0x88], Err(AacError::ObjectType(23)));
        check("channels 8", &[0x12, 0x40], Err(AacError::Channels(8)));
        check("torn", &[0x12], Err(AacError::TooShort(UnexpectedEnd { offset: 0, wanted: 2, available: 1 })));
    }

    #[test]
    fn q43_program_config_moves_to_the_front_of_the_frame() {
        // LC, 48 kHz, channels 0: front 1 pair, no others, no comment.
        let mut asc = BitCopy::default();
        for (value, width) in [(2, 5), (3, 4), (0, 4), (0, 3)] {
            asc.push(value, width);
        }
        let element = [(0, 4), (1, 2), (3, 4), (1, 4), (0, 4), (0, 4), (0, 2), (0, 3), (0, 4), (0, 3), (1, 1), (0, 4)];
        for (value, width) in element {
            asc.push(value, width);
        }
        asc.align();
        asc.push(1, 8);
        asc.push(0x41, 8);
        let config = AudioConfig::parse(&asc.bytes).unwrap();
        let mut expected = BitCopy::default();
        expected.push(5, 3);
        for (value, width) in element {
            expected.push(value, width);
        }
        expected.align();
        expected.push(0x0141, 16);
        assert_eq!(config.program_config, expected.bytes);
        let header = AdtsHeader::parse(&config.adts_header(10).unwrap()).unwrap();
        assert_eq!((header.channels, header.frame_length), (0, 7 + expected.bytes.len() + 10));
    }

    #[test]
    fn q43_adts_inside_flv() {
        let config = AudioConfig::parse(&[0x12, 0x10]).unwrap();
        let mut bytes = Vec::new();
        for data in [&[0x21, 1, 2][..], &[0x21, 3]] {
            bytes.extend_from_slice(&config.adts_header(data.len()).unwrap());
            bytes.extend_from_slice(data);
        }
        let frames = split_adts(&Bytes::from(bytes.clone())).unwrap();
        assert_eq!(frames.iter().map(|(_, data)| data.to_vec()).collect::<Vec<_>>(), [vec![0x21, 1, 2], vec![0x21, 3]]);
        assert_eq!(frames[0].0.config(), config);
        bytes.pop();
        assert_eq!(split_adts(&Bytes::from(bytes)), None);
        assert_eq!(split_adts(&Bytes::from_static(&[0x21, 1, 2])), None);
    }

    #[test]
    fn a_frame_beyond_13_bits_has_no_header() {
        let config = AudioConfig::parse(&[0x12, 0x10]).unwrap();
        assert!(config.adts_header(0x1FFF - 7).is_some());
        assert!(config.adts_header(0x1FFF - 6).is_none());
    }

    proptest! {
        #[test]
        fn headers_decode_as_encoded(object_type in 1_u8..=4, rate_index in 0_u8..13, channels in 0_u8..8, frame_length in 7_usize..0x2000, blocks in 1_u8..=4) {
            let header = AdtsHeader { object_type, rate_index, channels, header_length: 7, frame_length, blocks };
            prop_assert_eq!(AdtsHeader::parse(&header.encode().unwrap()), Some(header));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = AudioConfig::parse(&bytes);
            let _ = split_adts(&Bytes::from(bytes));
        }
    }
}
