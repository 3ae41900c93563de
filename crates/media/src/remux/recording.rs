//! The recording: the consumer that turns units to the bytes of segments, with those that are not yet handed out.

use super::outbox::Outbox;
use super::{Output, SegmentClosing};
use crate::access_unit::{TimedPicture, Unit};
use crate::package::Packager;
use crate::segmenter::{Consumer, Event};
use std::collections::VecDeque;

/// Room for the parameter sets, headers and clock packets around a picture, bytes.
const PICTURE_OVERHEAD: usize = 4 * 1024;

/// Writes one take, segment after segment.
#[derive(Debug)]
pub(super) struct Recording<P> {
    packager: P,
    flush_bytes: usize,
    out: Outbox,
    /// Bytes of the open segment that were handed out.
    handed_out: u64,
    outputs: VecDeque<Output>,
}

impl<P: Packager> Recording<P> {
    /// A recording whose open segment has `handed_out` bytes already.
    pub(super) fn new(packager: P, flush_bytes: usize, handed_out: u64) -> Self {
        let flush_bytes = flush_bytes.max(1);
        let mut out = Outbox::new(flush_bytes);
        if handed_out > 0 {
            out.begin(handed_out);
        }
        Self { packager, flush_bytes, out, handed_out, outputs: VecDeque::new() }
    }

    pub(super) fn packager(&self) -> &P {
        &self.packager
    }

    pub(super) fn handed_out(&self) -> u64 {
        self.handed_out
    }

    pub(super) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Hands out everything there is.
    pub(super) fn flush(&mut self) {
        self.packager.flush(self.out.bytes());
        self.hand_out();
        // Only who sends faster than live fills a buffer between two flushes.
        self.out.note_pace();
    }

    /// Hands out what is written, and leaves alone what the packager holds back.
    pub(super) fn hand_out(&mut self) {
        let length = self.out.len();
        if length == 0 {
            return;
        }
        let data = self.out.take(length >= self.flush_bytes / 2);
        self.handed_out += length as u64;
        self.outputs.push_back(Output::Data(data));
        self.out.begin(self.handed_out);
    }

    fn unit(&mut self, unit: &Unit) {
        // Whole access units are handed out, so this is the place to do it when the next does not fit.
        if let Unit::Picture(TimedPicture { picture, .. }) = unit {
            let bytes = picture.coded.len();
            if self.out.len() >= self.flush_bytes / 2 && !self.out.has_room_for(bytes + bytes / 32 + PICTURE_OVERHEAD) {
                self.hand_out();
            }
        }
        self.packager.unit(self.out.bytes(), unit);
        if self.out.len() >= self.flush_bytes {
            self.hand_out();
        }
    }
}

impl<P: Packager> Consumer for Recording<P> {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Open(opening, beginning) => {
                self.handed_out = 0;
                self.outputs.push_back(Output::Open(*opening));
                self.out.begin(0);
                self.packager.begin(self.out.bytes(), beginning);
            }
            Event::Unit(unit) => self.unit(unit),
            Event::Close(end) => {
                self.packager.end(self.out.bytes(), end.horizon);
                self.hand_out();
                self.outputs.push_back(Output::Close(SegmentClosing {
                    duration_ms: end.duration_ms,
                    bytes: self.handed_out,
                    media_bytes: self.packager.media_bytes(),
                    key_frame: end.key_frame,
                    independent: end.independent,
                    reason: end.reason,
                }));
            }
        }
    }
}
