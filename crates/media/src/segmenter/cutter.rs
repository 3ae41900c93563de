//! Units to segments: one place that decides, for every consumer, where they begin and end and how long they are.

use super::{Candidate, CutReason, Segmenter, Segmenting};
use crate::access_unit::{AudioFrame, Entry, Horizon, TimedFrame, TimedPicture, TrackChange, Unit};
use crate::length::Length;
use crate::package::Beginning;
use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOpening {
    /// Whether it does not continue what came before: parameters, tracks or the encoder's clock changed. False for the
    /// first segment of a take.
    pub discontinuity: bool,
    /// Whether it begins with a key frame.
    pub key_frame: bool,
    /// DTS of its first frame on the unwrapped clock of the take, which is 0 at its first key frame, in milliseconds.
    pub media_time_ms: i64,
}

/// The end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// Its duration (LiveChannel 4.3). The durations of a take add up to its length.
    pub duration_ms: u64,
    /// Whether it began with a key frame.
    pub key_frame: bool,
    /// Whether it can be decoded without any other segment: its first picture is an IDR picture, or it has none.
    pub independent: bool,
    /// Why it ended.
    pub reason: CutReason,
    /// The moment up to which its media reaches, where the take goes on behind it.
    pub horizon: Option<Timestamp>,
}

/// What consumers see, in order. Each [`Open`](Self::Open) is followed by units, then by its [`Close`](Self::Close).
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A segment begins.
    Open(&'a SegmentOpening, &'a Beginning),
    /// A picture, a part of one, or a frame of audio of the open segment.
    Unit(&'a Unit),
    /// The open segment is complete.
    Close(&'a SegmentEnd),
}

/// Who takes the segments of a push: a recording, a preview, a restream. It cannot fail and must not wait.
pub trait Consumer {
    /// Takes the next event.
    fn take(&mut self, event: Event<'_>);
}

/// Counters of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutStats {
    /// Segments closed.
    pub segments: u64,
    /// Segments that ended without a key frame after them (LiveChannel 4.2 rule 2, quirk Q33).
    pub forced_cuts: u64,
    /// Segments cut to keep their target ([`Segmenting::Strict`]).
    pub strict_cuts: u64,
    /// Segments that are marked discontinuous.
    pub discontinuities: u64,
    /// Frames of audio that the open segment does not announce.
    pub unannounced: u64,
}

/// Cuts one take.
#[derive(Debug)]
pub struct Cutter {
    segmenter: Segmenter,
    zero: Option<Timestamp>,
    /// Tracks of the open segment, and of the next that begins with a key frame.
    tracks: Option<TrackChange>,
    next_tracks: Option<TrackChange>,
    length: Length,
    key_frame: bool,
    /// Whether the first picture of the open segment is an IDR picture; `None` until it comes.
    independent: Option<bool>,
    /// The segment before ended earlier than the next begins, which is a discontinuity (decision D9).
    was_cut_short: bool,
    stats: CutStats,
}

saved!(struct CutStats { segments, forced_cuts, strict_cuts, discontinuities, unannounced });
saved!(struct Cutter { segmenter, zero, tracks, next_tracks, length, key_frame, independent, was_cut_short, stats });

impl Cutter {
    /// A cutter for a FragDuration in milliseconds; at least 1 ms and at most a day are used.
    pub fn new(frag_duration_ms: u64, segmenting: Segmenting) -> Self {
        Self {
            segmenter: Segmenter::new(frag_duration_ms, segmenting),
            zero: None,
            tracks: None,
            next_tracks: None,
            length: Length::default(),
            key_frame: false,
            independent: None,
            was_cut_short: false,
            stats: CutStats::default(),
        }
    }

    /// Counters so far.
    pub fn stats(&self) -> &CutStats {
        &self.stats
    }

    /// Ends the open segment at the next key frame, however short it is, and marks the one that follows as discontinuous.
    pub fn request_discontinuity(&mut self) {
        if self.is_open() {
            self.segmenter.request_discontinuity();
        }
    }

    /// Takes one unit and passes it on, between what it opens and closes.
    pub fn unit(&mut self, unit: &Unit, to: &mut dyn Consumer) {
        match unit {
            Unit::Picture(picture) => {
                self.before_picture(picture, to);
                to.take(Event::Unit(unit));
            }
            Unit::PictureRest(_) if self.is_open() && self.length.last_picture().is_some() => {
                to.take(Event::Unit(unit))
            }
            Unit::Frame(TimedFrame { frame, horizon }) if self.announces_audio() => {
                self.before_frame(frame, *horizon, to);
                to.take(Event::Unit(unit));
            }
            Unit::Frame(_) => self.stats.unannounced += 1,
            Unit::PictureRest(_) => {}
            Unit::Discontinuity => self.request_discontinuity(),
            Unit::TrackChange(change) => {
                self.next_tracks = Some(*change);
                self.request_discontinuity();
            }
        }
    }

    /// Closes the open segment. `interval` is how long the last picture lasts if it is the only one.
    pub fn finish(&mut self, interval: Option<MediaDuration>, to: &mut dyn Consumer) {
        let Some(start) = self.segmenter.start() else { return };
        self.close(CutReason::End, self.length.end(start, interval), None, to);
        self.segmenter.close();
    }

    fn is_open(&self) -> bool {
        self.segmenter.start().is_some()
    }

    fn announces_audio(&self) -> bool {
        self.is_open() && self.tracks.is_some_and(|change| change.tracks.audio.is_some())
    }

    fn before_picture(&mut self, TimedPicture { picture, next }: &TimedPicture, to: &mut dyn Consumer) {
        let estimate = picture.dts + self.length.estimate(picture.dts);
        let candidate = Candidate {
            at: picture.dts,
            shown: picture.pts,
            key_frame: picture.key_frame,
            entry: picture.entry != Entry::None,
            next: next.map_or(estimate, |next| next.max(picture.dts)),
        };
        let cut = self.segmenter.cut_at(candidate);
        if cut.is_some() || !self.is_open() {
            if let Some(reason) = cut {
                self.close(reason, picture.dts, Some(picture.dts), to);
            }
            if picture.key_frame {
                self.tracks = self.next_tracks;
            }
            let discontinuity = self.segmenter.open_at(candidate);
            self.open(picture.dts, picture.key_frame, discontinuity, None, to);
        }
        self.independent.get_or_insert(picture.entry == Entry::Idr);
        self.length.picture(picture.dts);
    }

    fn before_frame(&mut self, frame: &AudioFrame, horizon: Horizon, to: &mut dyn Consumer) {
        if let Horizon::NoPictures(clock) = horizon
            && let Some(reason) = self.segmenter.cut_in_audio(frame.pts, frame.end())
        {
            self.close(reason, frame.pts, Some(clock), to);
            let discontinuity = self.segmenter.open_in_audio(frame.pts);
            self.open(frame.pts, false, discontinuity, Some(clock), to);
        }
        self.length.sound(frame.end());
    }

    fn open(
        &mut self,
        at: Timestamp,
        key_frame: bool,
        discontinuity: bool,
        horizon: Option<Timestamp>,
        to: &mut dyn Consumer,
    ) {
        // A take announces its tracks in front of its first picture.
        let Some(TrackChange { tracks, earliest }) = self.tracks else { return };
        let zero = *self.zero.get_or_insert(at);
        let discontinuity = discontinuity | std::mem::take(&mut self.was_cut_short);
        self.stats.discontinuities += u64::from(discontinuity);
        self.key_frame = key_frame;
        self.independent = None;
        let opening = SegmentOpening { discontinuity, key_frame, media_time_ms: (at - zero).to_ms() };
        to.take(Event::Open(&opening, &Beginning { tracks, at, earliest, horizon }));
    }

    fn close(&mut self, reason: CutReason, end: Timestamp, horizon: Option<Timestamp>, to: &mut dyn Consumer) {
        let (Some(start), Some(zero)) = (self.segmenter.start(), self.zero) else { return };
        // A picture that stands still for longer than a whole segment may last: no cut could have come in time.
        let latest = self.segmenter.latest_end().unwrap_or(end);
        self.was_cut_short = end > latest;
        let end = end.min(latest);
        // Both ends are rounded on the clock of the take, so that the durations add up to its length.
        let duration = (end - zero).to_ms() - (start - zero).to_ms();
        match reason {
            CutReason::Forced => self.stats.forced_cuts += 1,
            CutReason::Strict => self.stats.strict_cuts += 1,
            CutReason::KeyFrame | CutReason::Discontinuity | CutReason::End => {}
        }
        self.stats.segments += 1;
        let duration_ms = u64::try_from(duration).unwrap_or(0);
        let independent = self.independent.unwrap_or(true);
        to.take(Event::Close(&SegmentEnd { duration_ms, key_frame: self.key_frame, independent, reason, horizon }));
    }
}
