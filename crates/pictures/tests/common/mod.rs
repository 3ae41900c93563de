//! The streams of `testdata`: access units, what ffmpeg decodes them to, and transport streams made of them.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use md5::{Digest, Md5};
use media::access_unit::{CodedPicture, Entry, H264Picture, Picture as Coded};
use media::h264::{NalKind, NalUnit, split};
use media::mpegts::{Program, TsWriter};
use media::time::Timestamp;
use pictures::Picture;
use std::path::PathBuf;
use std::sync::Arc;

pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

pub fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Access units of a stream, cut at their delimiters.
pub fn units(name: &str) -> Vec<Bytes> {
    let stream = read(&format!("{name}.h264"));
    let mut starts: Vec<usize> = (0..stream.len().saturating_sub(4))
        .filter(|at| {
            stream[*at..*at + 4] == [0, 0, 1, 9] || stream[*at..*at + 3] == [0, 0, 1] && stream[*at + 3] & 31 == 9
        })
        .map(|at| if at > 0 && stream[at - 1] == 0 { at - 1 } else { at })
        .collect();
    starts.push(stream.len());
    starts.windows(2).map(|pair| Bytes::copy_from_slice(&stream[pair[0]..pair[1]])).collect()
}

/// MD5 of each frame in the order in which they are shown, as ffmpeg decodes them.
pub fn frames(name: &str) -> Vec<String> {
    String::from_utf8(read(&format!("{name}.frames"))).unwrap().lines().map(str::to_owned).collect()
}

pub fn md5(picture: &Picture) -> String {
    Md5::digest(picture.planes().concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn is_idr(unit: &Bytes) -> bool {
    split(unit, 4).nals.iter().any(|nal| nal.kind() == NalKind::IdrSlice)
}

/// A transport stream as this server writes it, from access units with their order of showing: 40 ms each, two frames
/// of delay.
pub fn transport(units: &[Bytes], shown: &[usize], start_90k: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = TsWriter::new(Timestamp(0));
    writer.begin_segment(&mut out, Program { audio: false });
    let mut sets: Arc<[NalUnit]> = Arc::from(Vec::new());
    for (index, unit) in units.iter().enumerate() {
        let nals = split(unit, 4).nals;
        let is_set = |nal: &&NalUnit| matches!(nal.kind(), NalKind::Sps | NalKind::Pps);
        let has_sets = nals.iter().any(|nal| is_set(&nal));
        if has_sets {
            sets = nals.iter().filter(is_set).cloned().collect();
        }
        let body =
            nals.iter().filter(|nal| !is_set(nal) && nal.kind() != NalKind::AccessUnitDelimiter).cloned().collect();
        let dts = start_90k + 3600 * index as i64;
        let pts = start_90k + 3600 * (shown[index] as i64 + 2);
        let picture = Coded {
            dts: Timestamp(dts),
            pts: Timestamp(pts),
            key_frame: has_sets,
            entry: if has_sets { Entry::Idr } else { Entry::None },
            coded: CodedPicture::H264(H264Picture { parameter_sets: Arc::clone(&sets), nals: body }),
        };
        writer.fill_clock(&mut out, Timestamp(dts));
        writer.write_picture(&mut out, &picture, has_sets);
    }
    out
}
