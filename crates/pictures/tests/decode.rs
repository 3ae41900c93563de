//! Planes are those of ffmpeg, to the byte, and what cannot be decoded is refused with its reason.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{frames, is_idr, md5, units};
use pictures::{Job, Output, Reason, decode};
use std::collections::HashSet;

const MAX_PIXELS: u64 = 1 << 24;

fn job(units: &[Bytes]) -> Job {
    Job::new(units.to_vec(), Output::default())
}

/// Decodes each access unit of a stream with what lies before it since its key frame.
fn check(name: &str) {
    let (units, expected) = (units(name), frames(name));
    assert_eq!(units.len(), expected.len(), "{name}");
    let mut seen = HashSet::new();
    let mut start = 0;
    for index in 0..units.len() {
        if is_idr(&units[index]) {
            start = index;
            let first =
                decode(&job(&units[index..=index]), MAX_PIXELS).unwrap_or_else(|e| panic!("{name} {index}: {e}"));
            // Key frames are shown when they are decoded.
            assert_eq!(md5(&first), expected[index], "{name}: key frame {index}");
        }
        let picture = decode(&job(&units[start..=index]), MAX_PIXELS).unwrap_or_else(|e| panic!("{name} {index}: {e}"));
        let digest = md5(&picture);
        assert!(expected.contains(&digest), "{name}: access unit {index} is no frame of ffmpeg's");
        seen.insert(digest);
    }
    let distinct: HashSet<_> = expected.into_iter().collect();
    assert_eq!(seen, distinct, "{name}: every frame is among them");
}

#[test]
fn every_frame_is_that_of_ffmpeg() {
    for name in [
        "baseline",
        "main-cavlc",
        "main-cabac",
        "high-8x8dct",
        "high-cavlc",
        "high-scaling-lists",
        "cropped",
        "slices",
        "slices-by-size",
        "raw-macroblocks",
        "constrained-intra",
        "open-gop",
        "allows-fields",
        "full-range-709",
    ] {
        check(name);
    }
}

#[test]
fn what_no_picture_is_made_of_is_refused_before_decoding() {
    for (name, reason, word) in [
        ("ten-bit", Reason::BitDepth, "10 bit luma"),
        ("422", Reason::Chroma, "4:2:2"),
        ("grey", Reason::Chroma, "4:0:0"),
        ("lossless", Reason::Unsupported, "lossless"),
    ] {
        let job = job(&units(name)[..1]);
        let refusal = job.inspect(MAX_PIXELS).unwrap_err();
        assert!(refusal.reason == reason && refusal.detail.contains(word), "{name}: {refusal}");
        assert_eq!(decode(&job, MAX_PIXELS).unwrap_err(), refusal);
    }
    let fields = job(&units("mbaff")[..1]);
    assert_eq!(fields.inspect(MAX_PIXELS).map(|format| (format.width, format.height)), Ok((128, 96)));
    assert_eq!(decode(&fields, MAX_PIXELS).unwrap_err().reason, Reason::Interlaced);
    assert_eq!(decode(&job(&units("baseline")[..1]), 128 * 96 - 1).unwrap_err().reason, Reason::Pixels);
}

#[test]
fn a_picture_without_its_key_frame_is_refused() {
    let mut units = units("main-cabac");
    let keys = decode(&job(&units[..1]), MAX_PIXELS).unwrap();
    units.remove(0);
    let refusal = decode(&job(&units[..1]), MAX_PIXELS).unwrap_err();
    assert_eq!((refusal.reason, keys.width()), (Reason::ParameterSets, 128));
}

/// Damage gives a refusal or some picture of the right size, never a panic; most of it is noticed.
#[test]
fn broken_streams() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for name in ["baseline", "main-cabac", "high-8x8dct", "slices", "raw-macroblocks", "allows-fields"] {
        let unit = units(name)[0].to_vec();
        let whole = decode(&job(&[Bytes::from(unit.clone())]), MAX_PIXELS).unwrap();
        let mut refused = 0;
        for round in 0..150 {
            let mut broken = unit.clone();
            if round % 5 == 0 {
                broken.truncate(random() % unit.len());
            }
            for _ in 0..random() % 6 {
                if let Some(len) = broken.len().checked_sub(1).filter(|len| *len > 0) {
                    let at = random() % len;
                    broken[at] ^= 1 << (random() % 8);
                }
            }
            match decode(&job(&[Bytes::from(broken)]), MAX_PIXELS) {
                Ok(picture) => assert!(picture.width() <= 4096, "{name}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "{name}: nothing was noticed");
        assert_eq!(whole.height(), decode(&job(&[Bytes::from(unit)]), MAX_PIXELS).unwrap().height());
    }
}

/// Found by fuzzing: the decoder (0.17.0) indexes past a plane. It costs this picture and nothing else.
#[test]
fn a_panic_of_the_decoder_is_a_broken_picture() {
    let request = common::read("decoder-panic.request");
    // A request as a worker gets it: twelve bytes of output, then access units with their lengths.
    let (mut rest, mut units) = (&request[12..], Vec::new());
    while let Some((length, later)) = rest.split_first_chunk::<4>() {
        let (unit, later) = later.split_at(u32::from_be_bytes(*length) as usize);
        units.push(Bytes::copy_from_slice(unit));
        rest = later;
    }
    assert_eq!(decode(&job(&units), MAX_PIXELS).unwrap_err().reason, Reason::Broken);
}
