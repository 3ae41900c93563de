//! The doors are open: a consumer and a packager that nothing in take, cutter or remuxer knows of.

use super::source::{Source, slices_of};
use super::*;
use crate::package::Beginning;
use std::sync::{Arc, Mutex};

/// Counts the key frames of each segment, as a tap for snapshots would find them.
#[derive(Clone, Default)]
struct KeyFrames(Arc<Mutex<Vec<u32>>>);

impl Consumer for KeyFrames {
    fn take(&mut self, event: Event<'_>) {
        let mut counts = self.0.lock().expect("one thread");
        match event {
            Event::Open(..) => counts.push(0),
            Event::Unit(Unit::Picture(TimedPicture { picture, .. })) if picture.key_frame => {
                *counts.last_mut().expect("units come behind an opening") += 1;
            }
            Event::Unit(_) | Event::Close(_) => {}
        }
    }
}

/// Writes pictures as an elementary stream in Annex B form, without any sound.
#[derive(Debug, Default)]
struct ElementaryStream {
    begins: bool,
    tracks: Vec<Tracks>,
    media_bytes: u64,
}

impl Packager for ElementaryStream {
    fn container(&self) -> Container {
        Container { extension: "h264", content_type: "video/h264" }
    }

    fn begin(&mut self, _out: &mut Vec<u8>, beginning: &Beginning) {
        self.begins = true;
        self.media_bytes = 0;
        self.tracks.push(beginning.tracks);
    }

    fn unit(&mut self, out: &mut Vec<u8>, unit: &Unit) {
        let (coded, with_sets) = match unit {
            Unit::Picture(TimedPicture { picture, .. }) => (&picture.coded, picture.key_frame || self.begins),
            Unit::PictureRest(rest) => (rest, false),
            Unit::Frame(_) | Unit::Discontinuity | Unit::TrackChange(_) => return,
        };
        self.begins = false;
        let CodedPicture::H264(coded) = coded;
        let sets = coded.parameter_sets.iter().filter(|_| with_sets);
        for nal in sets.chain(&coded.nals) {
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(nal.bytes());
            self.media_bytes += 4 + nal.bytes().len() as u64;
        }
    }

    fn media_bytes(&self) -> u64 {
        self.media_bytes
    }

    fn flush(&mut self, _out: &mut Vec<u8>) {}

    fn end(&mut self, _out: &mut Vec<u8>, _horizon: Option<crate::time::Timestamp>) {}
}

#[test]
fn a_consumer_sees_what_is_recorded() {
    let tags = Source { gop: 25, ..Source::default() }.tags();
    let counted = KeyFrames::default();
    let mut remuxer = Remuxer::new(config(2_000));
    remuxer.add_consumer(counted.clone());
    tags.iter().for_each(|tag| remuxer.push(tag));
    remuxer.finish();
    let recorded = segments(std::iter::from_fn(|| remuxer.next_output()).collect());
    assert_eq!(recorded.len(), 5);
    assert_eq!(*counted.0.lock().expect("one thread"), [2; 5]);
}

#[test]
fn a_consumer_that_comes_late_begins_with_a_whole_segment() {
    let tags = Source { gop: 25, ..Source::default() }.tags();
    let counted = KeyFrames::default();
    let mut remuxer = Remuxer::new(config(2_000));
    let (before, after) = tags.split_at(tags.len() / 4);
    before.iter().for_each(|tag| remuxer.push(tag));
    remuxer.add_consumer(counted.clone());
    after.iter().for_each(|tag| remuxer.push(tag));
    remuxer.finish();
    assert_eq!(*counted.0.lock().expect("one thread"), [2; 3], "the rest of the second segment is left out");
}

#[test]
fn another_packager_gets_the_same_cuts() {
    let tags = Source::default().tags();
    let mut remuxer = Remuxer::with_packager(config(2_000), ElementaryStream::default());
    assert_eq!(remuxer.container().extension, "h264");
    let mut written = Vec::new();
    let mut durations = Vec::new();
    for tag in &tags {
        remuxer.push(tag);
        remuxer.flush();
    }
    remuxer.finish();
    while let Some(output) = remuxer.next_output() {
        match output {
            Output::Open(_) => written.push(Vec::new()),
            Output::Data(data) => written.last_mut().expect("open").extend_from_slice(&data),
            Output::Close(closing) => durations.push((closing.duration_ms, closing.bytes)),
        }
    }
    let lengths: Vec<_> = written.iter().map(|bytes| (2_000, bytes.len() as u64)).collect();
    assert_eq!(durations, lengths);
    let mut slices = Vec::new();
    for bytes in &written {
        let nals = crate::h264::split(&Bytes::copy_from_slice(bytes), 4).nals;
        assert_eq!(
            nals.iter().map(NalUnit::kind).take(3).collect::<Vec<_>>(),
            [NalKind::Sps, NalKind::Pps, NalKind::IdrSlice]
        );
        slices.extend(nals.into_iter().filter(NalUnit::is_slice).map(|nal| nal.bytes().to_vec()));
    }
    assert_eq!(slices, slices_of(&tags));
    assert_eq!(remuxer.consumers.recording.packager().tracks.len(), 5);
}
