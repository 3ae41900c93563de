//! A tiny encoder: tags with recognisable pictures and sounds, without a real codec.

use crate::flv_file::FlvFile;
use crate::rtmp::message::{Tag, TagKind};
use bytes::Bytes;

/// x264, baseline, 352x288, 30 fps in the VUI, id 0.
pub(super) const SPS: &[u8] = &[
    0x67, 0x42, 0xC0, 0x0D, 0xD9, 0x01, 0x60, 0x96, 0xC0, 0x84, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xF0, 0x3C, 0x50, 0xA9, 0x20,
];

/// x264, high, 640x360, 29.97 fps, id 0.
pub(super) const OTHER_SPS: &[u8] = &[
    0x67, 0x64, 0, 0x1E, 0xAC, 0xD9, 0x40, 0xA0, 0x2F, 0xF9, 0x7F, 0xF0, 0, 0x30, 0, 0x41, 0, 0, 3, 3, 0xE9, 0, 0,
    0xEA, 0x60, 0x0F, 0x16, 0x2D, 0x96,
];

/// Id 0 for SPS 0.
pub(super) const PPS: &[u8] = &[0x68, 0xCB, 0x83, 0xCB, 0x20];

/// AAC LC, 44.1 kHz, stereo.
pub(super) const ASC_44100: &[u8] = &[0x12, 0x10];

/// AAC LC, 48 kHz, stereo.
pub(super) const ASC_48000: &[u8] = &[0x11, 0x90];

pub(super) fn video(timestamp_ms: u32, payload: Vec<u8>) -> Tag {
    Tag { kind: TagKind::Video, timestamp_ms, payload: Bytes::from(payload) }
}

pub(super) fn audio(timestamp_ms: u32, payload: Vec<u8>) -> Tag {
    Tag { kind: TagKind::Audio, timestamp_ms, payload: Bytes::from(payload) }
}

/// An AVC sequence header with lengths of four bytes.
pub(super) fn avc_header(timestamp_ms: u32, sps: &[&[u8]], pps: &[&[u8]]) -> Tag {
    let mut payload = vec![0x17, 0, 0, 0, 0, 1, 0x42, 0xC0, 0x0D, 0xFF];
    payload.push(0xE0 | u8::try_from(sps.len()).expect("few"));
    let mut put = |sets: &[&[u8]]| {
        for set in sets {
            payload.extend_from_slice(&u16::try_from(set.len()).expect("short").to_be_bytes());
            payload.extend_from_slice(set);
        }
    };
    put(sps);
    let count = u8::try_from(pps.len()).expect("few");
    payload.push(count);
    for set in pps {
        payload.extend_from_slice(&u16::try_from(set.len()).expect("short").to_be_bytes());
        payload.extend_from_slice(set);
    }
    video(timestamp_ms, payload)
}

pub(super) fn aac_header(timestamp_ms: u32, config: &[u8]) -> Tag {
    audio(timestamp_ms, [&[0xAF, 0], config].concat())
}

pub(super) fn aac_frame(timestamp_ms: u32, data: &[u8]) -> Tag {
    audio(timestamp_ms, [&[0xAF, 1], data].concat())
}

/// A video tag with these units behind lengths of four bytes.
pub(super) fn picture(timestamp_ms: u32, composition_ms: i32, key_flag: bool, nals: &[&[u8]]) -> Tag {
    let mut payload = vec![if key_flag { 0x17 } else { 0x27 }, 1];
    payload.extend_from_slice(&composition_ms.to_be_bytes()[1..]);
    for nal in nals {
        payload.extend_from_slice(&u32::try_from(nal.len()).expect("short").to_be_bytes());
        payload.extend_from_slice(nal);
    }
    video(timestamp_ms, payload)
}

/// A slice that says which picture it is: first macroblock 0, PPS 0. No byte of it needs escaping.
pub(super) fn slice(key_frame: bool, number: u32, size: usize) -> Vec<u8> {
    let mut nal = if key_frame { vec![0x65, 0x88, 0x84] } else { vec![0x41, 0x9A, 0x44] };
    nal.extend(number.to_be_bytes().iter().flat_map(|byte| [0x10 | byte >> 4, 0x10 | byte & 0x0F]));
    nal.resize(nal.len().max(size), 0x5A);
    nal
}

/// A further slice of a picture: first macroblock 1.
pub(super) fn later_slice(key_frame: bool, number: u32) -> Vec<u8> {
    let mut nal = slice(key_frame, number, 0);
    // `010` for 1, then the slice type 7 or 5 and PPS 0.
    nal.splice(1..3, if key_frame { [0x44, 0x7F] } else { [0x4D, 0x7F] });
    nal
}

/// A raw data block that says which frame it is.
pub(super) fn sound(number: u32) -> Vec<u8> {
    [&[0x21][..], &number.to_be_bytes(), &[0x5A; 30]].concat()
}

/// What a plain encoder sends.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) start_ms: u32,
    pub(super) length_ms: u32,
    pub(super) frame_ms: u32,
    pub(super) gop: u32,
    pub(super) sample_rate: Option<u32>,
    pub(super) picture_bytes: usize,
}

impl Default for Source {
    fn default() -> Self {
        Self { start_ms: 0, length_ms: 10_000, frame_ms: 40, gop: 50, sample_rate: Some(44_100), picture_bytes: 1_000 }
    }
}

impl Source {
    /// Both sequence headers.
    pub(super) fn headers(&self) -> Vec<Tag> {
        let mut tags = vec![avc_header(self.start_ms, &[SPS], &[PPS])];
        match self.sample_rate {
            Some(48_000) => tags.push(aac_header(self.start_ms, ASC_48000)),
            Some(_) => tags.push(aac_header(self.start_ms, ASC_44100)),
            None => {}
        }
        tags
    }

    /// Pictures and sounds in the order of their times, without headers.
    pub(super) fn media(&self) -> Vec<Tag> {
        let mut timed: Vec<(u32, Tag)> = Vec::new();
        for number in 0..self.length_ms / self.frame_ms {
            let ms = number * self.frame_ms;
            let key_frame = number % self.gop == 0;
            let nal = slice(key_frame, number, self.picture_bytes * if key_frame { 10 } else { 1 });
            timed.push((ms, picture(self.start_ms.wrapping_add(ms), 0, key_frame, &[&nal])));
        }
        if let Some(rate) = self.sample_rate {
            for number in 0.. {
                let ms = u32::try_from(u64::from(number) * 1024 * 1000 / u64::from(rate)).expect("short");
                if ms >= self.length_ms {
                    break;
                }
                timed.push((ms, aac_frame(self.start_ms.wrapping_add(ms), &sound(number))));
            }
        }
        timed.sort_by_key(|(ms, tag)| (*ms, tag.kind == TagKind::Audio));
        timed.into_iter().map(|(_, tag)| tag).collect()
    }

    /// Headers, then media.
    pub(super) fn tags(&self) -> Vec<Tag> {
        [self.headers(), self.media()].concat()
    }
}

/// The slices of the tags, in order.
pub(super) fn slices_of(tags: &[Tag]) -> Vec<Vec<u8>> {
    let media = tags.iter().filter(|tag| tag.kind == TagKind::Video && tag.payload[1] == 1);
    let units = media.flat_map(|tag| crate::h264::split(&tag.payload.slice(5..), 4).nals);
    units.filter(|nal| nal.is_slice()).map(|nal| nal.bytes().to_vec()).collect()
}

/// The raw data blocks of the tags, in order.
pub(super) fn sounds_of(tags: &[Tag]) -> Vec<Vec<u8>> {
    let media = tags.iter().filter(|tag| tag.kind == TagKind::Audio && tag.payload[1] == 1);
    media.map(|tag| tag.payload[2..].to_vec()).collect()
}

/// The tags of an FLV file, in file order.
pub(super) fn flv_tags(file: &'static [u8]) -> Vec<Tag> {
    let tags = FlvFile::new(Bytes::from_static(file)).expect("an FLV file");
    tags.map(|tag| tag.expect("a whole tag")).collect()
}
