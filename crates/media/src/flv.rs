//! What RTMP audio and video messages carry: FLV tag bodies, in the classic and in the Enhanced RTMP form (quirks Q44, Q45).

use crate::bits::{Reader, UnexpectedEnd};
pub use crate::codec::{AudioCodec, VideoCodec};
use bytes::Bytes;
use thiserror::Error;

/// Why a tag body was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlvError {
    /// The body ends inside its own header. OSS drops such messages and goes on (LiveChannel 4.1).
    #[error("tag body too short: {0}")]
    TooShort(#[from] UnexpectedEnd),
}

/// What one tag carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagBody {
    /// A sequence header: the decoder configuration.
    Config(Bytes),
    /// Coded media.
    Frame {
        /// PTS minus DTS in milliseconds, a signed 24-bit number (quirk Q30). Zero for audio.
        composition_ms: i32,
        /// One access unit, or a part of one.
        data: Bytes,
    },
    /// The end of the sequence; carries nothing.
    End,
    /// An info or command frame (frame type 5, quirk Q42), colour metadata and the like: not media.
    Info,
    /// Only tracks other than track 0 (quirk Q45).
    OtherTrack,
}

/// One video message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTag {
    /// The codec.
    pub codec: VideoCodec,
    /// What the encoder claims about the frame; the NAL unit types decide instead (quirk Q42).
    pub key_flag: bool,
    /// The content.
    pub body: TagBody,
    /// Tracks that were skipped because they are not track 0 (quirk Q45).
    pub skipped_tracks: u32,
}

/// One audio message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTag {
    /// The codec.
    pub codec: AudioCodec,
    /// The sampling rate in Hz by the FLV header, which for AAC says nothing (quirk Q43). Zero when it has none.
    pub header_sample_rate: u32,
    /// The content.
    pub body: TagBody,
    /// Tracks that were skipped because they are not track 0 (quirk Q45).
    pub skipped_tracks: u32,
}

/// Enhanced RTMP: the track of a multitrack message that carries the default picture or sound.
const DEFAULT_TRACK: u8 = 0;

impl VideoTag {
    /// Reads the body of a video message, sharing its bytes.
    ///
    /// # Errors
    /// [`FlvError::TooShort`] when it ends within its header.
    pub fn parse(payload: &Bytes) -> Result<Self, FlvError> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let frame_type = (first >> 4) & 7;
        let key_flag = frame_type == 1;
        if first & 0x80 != 0 {
            return Self::parse_enhanced(payload, reader, first & 0x0F, frame_type);
        }
        let codec = VideoCodec::from_id(first & 0x0F);
        let tag = |body| Self { codec, key_flag, body, skipped_tracks: 0 };
        // A message of one byte is malformed whatever its codec (LiveChannel 4.1).
        let packet_type = reader.u8()?;
        if frame_type == 5 {
            return Ok(tag(TagBody::Info));
        }
        if !matches!(codec, VideoCodec::H264 | VideoCodec::H265) {
            return Ok(tag(TagBody::Frame { composition_ms: 0, data: payload.slice(1..) }));
        }
        let composition_ms = signed_24(reader.u24()?);
        let data = payload.slice(reader.offset()..);
        Ok(tag(match packet_type {
            0 => TagBody::Config(data),
            1 => TagBody::Frame { composition_ms, data },
            2 => TagBody::End,
            _ => TagBody::Info,
        }))
    }

    fn parse_enhanced(
        payload: &Bytes,
        mut reader: Reader<'_>,
        packet_type: u8,
        frame_type: u8,
    ) -> Result<Self, FlvError> {
        let key_flag = frame_type == 1;
        let packet_type = skip_mod_ex(&mut reader, packet_type)?;
        // A command frame has one byte of command instead of everything that follows.
        if frame_type == 5 && packet_type != 4 {
            return Ok(Self { codec: VideoCodec::Unknown, key_flag, body: TagBody::Info, skipped_tracks: 0 });
        }
        let track = DefaultTrack::find(payload, reader, packet_type)?;
        let codec = VideoCodec::from_fourcc(track.fourcc);
        let tag = |body| Self { codec, key_flag, body, skipped_tracks: track.skipped };
        let Some(data) = track.data else {
            return Ok(tag(TagBody::OtherTrack));
        };
        Ok(tag(match track.packet_type {
            0 => TagBody::Config(data),
            1 if matches!(codec, VideoCodec::H264 | VideoCodec::H265) => {
                let mut reader = Reader::new(&data);
                let composition_ms = signed_24(reader.u24()?);
                TagBody::Frame { composition_ms, data: data.slice(reader.offset()..) }
            }
            1 | 3 => TagBody::Frame { composition_ms: 0, data },
            2 => TagBody::End,
            _ => TagBody::Info,
        }))
    }
}

impl AudioTag {
    /// Reads the body of an audio message, sharing its bytes.
    ///
    /// # Errors
    /// [`FlvError::TooShort`] when it ends within its header, or has less than two bytes (LiveChannel 4.1).
    pub fn parse(payload: &Bytes) -> Result<Self, FlvError> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let second = reader.u8()?;
        if first >> 4 == 9 {
            let mut reader = Reader::new(payload);
            reader.skip(1)?;
            return Self::parse_enhanced(payload, reader, first & 0x0F);
        }
        let codec = AudioCodec::from_id(first >> 4);
        let header_sample_rate = header_sample_rate(first);
        let tag = |body| Self { codec, header_sample_rate, body, skipped_tracks: 0 };
        if codec != AudioCodec::Aac {
            return Ok(tag(TagBody::Frame { composition_ms: 0, data: payload.slice(1..) }));
        }
        let data = payload.slice(2..);
        Ok(tag(match second {
            0 => TagBody::Config(data),
            1 => TagBody::Frame { composition_ms: 0, data },
            _ => TagBody::Info,
        }))
    }

    fn parse_enhanced(payload: &Bytes, mut reader: Reader<'_>, packet_type: u8) -> Result<Self, FlvError> {
        let packet_type = skip_mod_ex(&mut reader, packet_type)?;
        // Audio numbers its multitrack type 5 where video has 6.
        let packet_type = if packet_type == 5 { MULTITRACK } else { packet_type };
        let track = DefaultTrack::find(payload, reader, packet_type)?;
        let codec = AudioCodec::from_fourcc(track.fourcc);
        let body = match (track.data, track.packet_type) {
            (None, _) => TagBody::OtherTrack,
            (Some(data), 0) => TagBody::Config(data),
            (Some(data), 1) => TagBody::Frame { composition_ms: 0, data },
            (Some(_), 2) => TagBody::End,
            (Some(_), _) => TagBody::Info,
        };
        Ok(Self { codec, header_sample_rate: 0, body, skipped_tracks: track.skipped })
    }
}

/// Enhanced RTMP packet type of a video message with several tracks.
const MULTITRACK: u8 = 6;

/// Enhanced RTMP packet type that announces modifiers before the real packet type.
const MOD_EX: u8 = 7;

/// Track 0 of an Enhanced RTMP message, where there is one.
struct DefaultTrack {
    fourcc: [u8; 4],
    packet_type: u8,
    data: Option<Bytes>,
    skipped: u32,
}

impl DefaultTrack {
    fn find(payload: &Bytes, mut reader: Reader<'_>, packet_type: u8) -> Result<Self, FlvError> {
        if packet_type != MULTITRACK {
            let fourcc = reader.array::<4>()?;
            let data = Some(payload.slice(reader.offset()..));
            return Ok(Self { fourcc, packet_type, data, skipped: 0 });
        }
        let kind = reader.u8()?;
        let packet_type = kind & 0x0F;
        let layout = kind >> 4;
        let mut fourcc = [0; 4];
        if layout != 2 {
            fourcc = reader.array::<4>()?;
        }
        let mut found = Self { fourcc, packet_type, data: None, skipped: 0 };
        // Each round consumes at least one byte, so the length of the message bounds the loop.
        while !reader.is_empty() {
            let track_fourcc = if layout == 2 { reader.array::<4>()? } else { fourcc };
            let id = reader.u8()?;
            let size = if layout == 0 { reader.remaining() } else { reader.u24()? as usize };
            let start = reader.offset();
            reader.skip(size)?;
            if id == DEFAULT_TRACK && found.data.is_none() {
                found.fourcc = track_fourcc;
                found.data = Some(payload.slice(start..start + size));
            } else {
                found.skipped += 1;
            }
        }
        Ok(found)
    }
}

/// Skips the modifiers of Enhanced RTMP v2 (time stamp nanoseconds and unknown ones) and returns the packet type behind.
fn skip_mod_ex(reader: &mut Reader<'_>, mut packet_type: u8) -> Result<u8, FlvError> {
    while packet_type == MOD_EX {
        let mut size = usize::from(reader.u8()?) + 1;
        if size == 256 {
            size = usize::from(reader.u16()?) + 1;
        }
        reader.skip(size)?;
        packet_type = reader.u8()? & 0x0F;
    }
    Ok(packet_type)
}

fn signed_24(value: u32) -> i32 {
    (value << 8).cast_signed() >> 8
}

fn header_sample_rate(first: u8) -> u32 {
    match first >> 4 {
        4 => 16_000,
        5 | 7 | 8 | 14 => 8_000,
        11 => 16_000,
        _ => match (first >> 2) & 3 {
            0 => 5_512,
            1 => 11_025,
            2 => 22_050,
            _ => 44_100,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_video(name: &str, bytes: &[u8], codec: VideoCodec, body: TagBody, skipped: u32) {
        let tag = VideoTag::parse(&Bytes::copy_from_slice(bytes)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((tag.codec, tag.body, tag.skipped_tracks), (codec, body, skipped), "{name}");
    }

    fn check_audio(name: &str, bytes: &[u8], codec: AudioCodec, rate: u32, body: TagBody) {
        let tag = AudioTag::parse(&Bytes::copy_from_slice(bytes)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((tag.codec, tag.header_sample_rate, tag.body), (codec, rate, body), "{name}");
    }

    fn frame(composition_ms: i32, data: &'static [u8]) -> TagBody {
        TagBody::Frame { composition_ms, data: Bytes::from_static(data) }
    }

    #[test]
    fn classic_video() {
        use VideoCodec::*;
        check_video("config", &[0x17, 0, 0, 0, 0, 9, 8], H264, TagBody::Config(Bytes::from_static(&[9, 8])), 0);
        check_video("frame", &[0x27, 1, 0, 0, 80, 7], H264, frame(80, &[7]), 0);
        check_video("end", &[0x17, 2, 0, 0, 0], H264, TagBody::End, 0);
        check_video("info frame", &[0x57, 0], H264, TagBody::Info, 0);
        check_video("HEVC by id 12", &[0x1C, 1, 0, 0, 0, 7], H265, frame(0, &[7]), 0);
        check_video("H.263", &[0x12, 1, 2], H263, frame(0, &[1, 2]), 0);
    }

    #[test]
    fn q30_composition_time_is_signed() {
        check_video("-40 ms", &[0x27, 1, 0xFF, 0xFF, 0xD8, 7], VideoCodec::H264, frame(-40, &[7]), 0);
        check_video("lowest", &[0x27, 1, 0x80, 0, 0], VideoCodec::H264, frame(-8_388_608, &[]), 0);
    }

    #[test]
    fn q45_enhanced_video() {
        use VideoCodec::*;
        check_video("avc1 frame", b"\x91avc1\xFF\xFF\xFF\x05", H264, frame(-1, &[5]), 0);
        check_video("avc1 frame X", b"\xA3avc1\x05", H264, frame(0, &[5]), 0);
        check_video("hvc1 config", b"\x90hvc1\x01", H265, TagBody::Config(Bytes::from_static(&[1])), 0);
        check_video("av01", b"\x91av01\x01", Av1, frame(0, &[1]), 0);
        check_video("vp09", b"\x91vp09\x01", Vp9, frame(0, &[1]), 0);
        check_video("metadata", b"\x94avc1\x01", H264, TagBody::Info, 0);
        check_video("command frame", b"\xD1\x00", Unknown, TagBody::Info, 0);
        check_video("ModEx before the type", b"\x97\x02\x00\x00\x01\x03avc1\x05", H264, frame(0, &[5]), 0);
        check_video("one track", b"\x96\x03avc1\x00\x05\x06", H264, frame(0, &[5, 6]), 0);
        check_video(
            "many tracks",
            b"\x96\x13avc1\x01\x00\x00\x01\x09\x00\x00\x00\x02\x05\x06",
            H264,
            frame(0, &[5, 6]),
            1,
        );
        check_video(
            "many codecs",
            b"\x96\x23avc1\x00\x00\x00\x01\x05hvc1\x01\x00\x00\x01\x06",
            H264,
            frame(0, &[5]),
            1,
        );
        check_video("track 1 only", b"\x96\x03avc1\x01\x05", H264, TagBody::OtherTrack, 1);
    }

    #[test]
    fn audio() {
        use AudioCodec::*;
        check_audio("config", &[0xAF, 0, 0x12, 0x10], Aac, 44_100, TagBody::Config(Bytes::from_static(&[0x12, 0x10])));
        check_audio("frame", &[0xAF, 1, 0x21], Aac, 44_100, frame(0, &[0x21]));
        check_audio("empty frame", &[0xAF, 1], Aac, 44_100, frame(0, &[]));
        check_audio("ADPCM", &[0x1A, 5], Adpcm, 22_050, frame(0, &[5]));
        check_audio("Speex", &[0xB2, 5], Speex, 16_000, frame(0, &[5]));
        check_audio("enhanced mp4a", b"\x91mp4a\x21", Aac, 0, frame(0, &[0x21]));
        check_audio("enhanced Opus", b"\x90Opus\x21", Opus, 0, TagBody::Config(Bytes::from_static(&[0x21])));
        check_audio("multitrack", b"\x95\x01mp4a\x00\x21", Aac, 0, frame(0, &[0x21]));
    }

    #[test]
    fn short_bodies_are_errors() {
        for bytes in [&[][..], &[0x17], &[0x17, 1], &[0x17, 1, 0, 0], b"\x91avc", b"\x97\xFF\x00"] {
            assert!(VideoTag::parse(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:02x?}");
        }
        for bytes in [&[][..], &[0xAF], &[0x1A]] {
            assert!(AudioTag::parse(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let payload = Bytes::from(bytes);
            let _ = VideoTag::parse(&payload);
            let _ = AudioTag::parse(&payload);
        }
    }
}
