//! The packager of MPEG-TS.

use super::{Beginning, Container, Packager};
use crate::access_unit::{AudioFrame, CodedAudio, Horizon, TimedFrame, TimedPicture, Unit};
use crate::mpegts::{Program, TsWriter};
use crate::saved::saved;
use crate::time::MediaDuration;

/// Several AAC frames share one PES packet up to this span, which saves most of its overhead.
const BATCH_SPAN: MediaDuration = MediaDuration::from_ms(100);

/// Far below the 16 bits of PES_packet_length, which audio must not exceed.
const BATCH_BYTES: usize = 32 * 1024;

/// Writes segments of MPEG-TS (ISO/IEC 13818-1): H.264, and AAC in ADTS. Continuity and clock go on from segment to
/// segment of a take (decision D14).
#[derive(Debug, Default)]
pub struct Ts {
    writer: Option<TsWriter>,
    batch: Vec<AudioFrame>,
    batch_bytes: usize,
    /// The open segment has no picture yet: its first one brings the parameter sets, key frame or not, so that the
    /// segment can be played alone.
    awaits_picture: bool,
}

saved!(struct Ts { writer, batch, batch_bytes, awaits_picture });

impl Ts {
    /// The format.
    pub const CONTAINER: Container = Container { extension: "ts", content_type: "video/MP2T" };

    fn write_frame(&mut self, out: &mut Vec<u8>, frame: &AudioFrame, horizon: Horizon) {
        let bytes = adts_len(frame);
        if let Some(last) = self.batch.last() {
            // The frames of a PES packet have one time among them, so they have to follow each other exactly.
            let gap = (frame.pts - last.end()).0;
            if !(-2..=2).contains(&gap) || self.batch_bytes + bytes > BATCH_BYTES {
                self.flush(out);
            }
        }
        if let (Some(writer), Horizon::Picture(until) | Horizon::NoPictures(until)) = (&mut self.writer, horizon) {
            writer.fill_clock(out, until);
        }
        self.batch_bytes += bytes;
        self.batch.push(frame.clone());
        if self.batch.first().is_some_and(|first| frame.end() - first.pts >= BATCH_SPAN) {
            self.flush(out);
        }
    }
}

fn adts_len(frame: &AudioFrame) -> usize {
    match &frame.coded {
        CodedAudio::Aac(frame) => frame.adts_len(),
    }
}

impl Packager for Ts {
    fn container(&self) -> Container {
        Self::CONTAINER
    }

    fn begin(&mut self, out: &mut Vec<u8>, beginning: &Beginning) {
        let earliest = beginning.earliest.unwrap_or(beginning.at);
        let writer = self.writer.get_or_insert_with(|| TsWriter::beginning(beginning.at, earliest));
        writer.begin_segment(out, Program { audio: beginning.tracks.audio.is_some() });
        if let Some(horizon) = beginning.horizon {
            writer.write_clock(out, horizon);
        }
        self.awaits_picture = true;
    }

    fn unit(&mut self, out: &mut Vec<u8>, unit: &Unit) {
        match unit {
            Unit::Picture(TimedPicture { picture, .. }) => {
                if let Some(writer) = &mut self.writer {
                    writer.write_picture(out, picture, self.awaits_picture);
                }
                self.awaits_picture = false;
            }
            Unit::PictureRest(rest) => {
                if let Some(writer) = &mut self.writer {
                    writer.write_picture_rest(out, rest);
                }
            }
            Unit::Frame(TimedFrame { frame, horizon }) => self.write_frame(out, frame, *horizon),
            Unit::Discontinuity | Unit::TrackChange(_) => {}
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(writer) = &mut self.writer {
            writer.write_audio(out, &self.batch);
        }
        self.batch.clear();
        self.batch_bytes = 0;
    }

    fn end(&mut self, out: &mut Vec<u8>, horizon: Option<crate::time::Timestamp>) {
        self.flush(out);
        if let (Some(writer), Some(horizon)) = (&mut self.writer, horizon) {
            writer.fill_clock(out, horizon);
        }
    }

    fn media_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, TsWriter::media_bytes)
    }
}
