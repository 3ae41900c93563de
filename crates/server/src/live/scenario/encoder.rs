//! A tiny encoder: tags that the remuxer takes for H.264 and AAC, without a real codec.

use bytes::Bytes;
use media::rtmp::message::{Tag, TagKind};

/// x264, baseline, 352x288.
pub(super) const SPS: &[u8] = &[
    0x67, 0x42, 0xC0, 0x0D, 0xD9, 0x01, 0x60, 0x96, 0xC0, 0x84, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xF0, 0x3C, 0x50, 0xA9, 0x20,
];
/// x264, high, 640x360.
pub(super) const OTHER_SPS: &[u8] = &[
    0x67, 0x64, 0, 0x1E, 0xAC, 0xD9, 0x40, 0xA0, 0x2F, 0xF9, 0x7F, 0xF0, 0, 0x30, 0, 0x41, 0, 0, 3, 3, 0xE9, 0, 0,
    0xEA, 0x60, 0x0F, 0x16, 0x2D, 0x96,
];
const PPS: &[u8] = &[0x68, 0xCB, 0x83, 0xCB, 0x20];
/// AAC LC, 16 kHz, mono: a frame lasts 64 ms sharp.
const AAC_CONFIG: &[u8] = &[0x14, 0x08];
/// Length of an audio frame.
const SOUND_MS: u32 = 64;

/// A stretch of media without a change in its parameters or its clock.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    /// RTMP time of its first picture.
    pub(super) start_ms: u32,
    /// A counter of this width, as old encoders have it (quirk Q19); 32 is the protocol's own.
    pub(super) clock_bits: u32,
    pub(super) length_ms: u32,
    pub(super) frame_ms: u32,
    /// Pictures from one key frame to the next.
    pub(super) gop: u32,
    pub(super) sps: &'static [u8],
    pub(super) has_audio: bool,
    /// Whether its first picture is a key frame.
    pub(super) begins_with_key_frame: bool,
    /// How large a picture is, beside a few bytes.
    pub(super) picture_bytes: usize,
}

impl Default for Stretch {
    fn default() -> Self {
        Self {
            start_ms: 0,
            clock_bits: 32,
            length_ms: 10_000,
            frame_ms: 80,
            gop: 25,
            sps: SPS,
            has_audio: true,
            begins_with_key_frame: true,
            picture_bytes: 0,
        }
    }
}

impl Stretch {
    /// The sequence headers.
    pub(super) fn headers(&self) -> Vec<Tag> {
        let mut tags = vec![avc_header(self.time(0), self.sps)];
        if self.has_audio {
            tags.push(tag(TagKind::Audio, self.time(0), [&[0xAF, 0], AAC_CONFIG].concat()));
        }
        tags
    }

    /// Pictures and sounds in the order of their times, each with its distance from the start in milliseconds.
    pub(super) fn media(&self) -> impl Iterator<Item = (u32, Tag)> + '_ {
        let pictures = self.length_ms / self.frame_ms;
        let sounds = if self.has_audio { self.length_ms / SOUND_MS } else { 0 };
        let (mut picture, mut sound) = (0, 0);
        std::iter::from_fn(move || {
            if picture < pictures && (sound >= sounds || picture * self.frame_ms <= sound * SOUND_MS) {
                let at = picture * self.frame_ms;
                let key_frame = picture % self.gop == 0 && (picture > 0 || self.begins_with_key_frame);
                picture += 1;
                Some((at, self::picture(self.time(at), key_frame, self.picture_bytes)))
            } else if sound < sounds {
                let at = sound * SOUND_MS;
                sound += 1;
                Some((at, tag(TagKind::Audio, self.time(at), [&[0xAF, 1, 0x21][..], &[0x5A; 20]].concat())))
            } else {
                None
            }
        })
    }

    /// RTMP time at a distance from the start, as the encoder's counter shows it.
    fn time(&self, at_ms: u32) -> u32 {
        let mask = u32::try_from((1_u64 << self.clock_bits) - 1).unwrap_or(u32::MAX);
        self.start_ms.wrapping_add(at_ms) & mask
    }
}

fn tag(kind: TagKind, timestamp_ms: u32, payload: Vec<u8>) -> Tag {
    Tag { kind, timestamp_ms, payload: Bytes::from(payload) }
}

fn avc_header(timestamp_ms: u32, sps: &[u8]) -> Tag {
    let mut payload = vec![0x17, 0, 0, 0, 0, 1, 0x42, 0xC0, 0x0D, 0xFF, 0xE1];
    payload.extend(u16::try_from(sps.len()).unwrap().to_be_bytes());
    payload.extend(sps);
    payload.push(1);
    payload.extend(u16::try_from(PPS.len()).unwrap().to_be_bytes());
    payload.extend(PPS);
    tag(TagKind::Video, timestamp_ms, payload)
}

/// One slice: first macroblock 0, PPS 0.
fn picture(timestamp_ms: u32, key_frame: bool, more_bytes: usize) -> Tag {
    let mut nal = if key_frame { vec![0x65, 0x88, 0x84] } else { vec![0x41, 0x9A, 0x44] };
    nal.resize(40 + more_bytes, 0x5A);
    let mut payload = vec![if key_frame { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    payload.extend(u32::try_from(nal.len()).unwrap().to_be_bytes());
    payload.extend(nal);
    tag(TagKind::Video, timestamp_ms, payload)
}
