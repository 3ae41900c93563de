//! What can be decoded at once, a picture or a frame of audio, and what has to be known between two of those.

use crate::aac::{AdtsHeader, AudioConfig};
use crate::h264::NalUnit;
use crate::saved::saved;
use crate::time::{MediaDuration, Timestamp};
use bytes::Bytes;
use std::sync::Arc;

/// One of the two elementary streams that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// How pictures are coded, of the codecs that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureCoding {
    /// H.264.
    H264,
}

/// How sound is coded, of the codecs that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCoding {
    /// AAC.
    Aac,
}

/// The tracks of a segment. There always are pictures (LiveChannel 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tracks {
    /// The coding of the pictures.
    pub video: PictureCoding,
    /// The coding of the sound, where there is any.
    pub audio: Option<AudioCoding>,
}

/// What a [`Take`](crate::take::Take) brings, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A picture, or its first part.
    Picture(TimedPicture),
    /// A further part of the picture before (quirk Q41).
    PictureRest(CodedPicture),
    /// A frame of audio.
    Frame(TimedFrame),
    /// What follows from the next key frame on does not continue what came before.
    Discontinuity,
    /// The tracks from the next key frame on.
    TrackChange(TrackChange),
}

/// A change of the tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrackChange {
    /// The tracks from the next key frame on.
    pub tracks: Tracks,
    /// Time of the earliest sound that will follow, as far as it came already. It may lie before the key frame.
    pub earliest: Option<Timestamp>,
}

/// A picture among its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedPicture {
    /// The picture.
    pub picture: Picture,
    /// When the picture behind it is decoded, where that came already.
    pub next: Option<Timestamp>,
}

/// A frame of audio among pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFrame {
    /// The frame.
    pub frame: AudioFrame,
    /// What it tells of the pictures to come.
    pub horizon: Horizon,
}

/// What is known of the pictures behind a frame of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// Pictures of an earlier time may follow.
    Unknown,
    /// The next picture is decoded at this moment or later.
    Picture(Timestamp),
    /// There are no pictures for the time being (quirk Q33); if they return, they will not be decoded before this moment.
    NoPictures(Timestamp),
}

/// Whether decoding may start at a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Entry {
    /// It needs pictures before it.
    #[default]
    None,
    /// A recovery point, or an I picture that is marked as a key frame: decoding may start here, but pictures that are
    /// shown earlier, or shown soon after, may be damaged (open GOP, intra refresh, quirk Q42).
    Recovery,
    /// An IDR picture: nothing behind it refers to anything before it.
    Idr,
}

/// One coded picture: an access unit, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it is decoded. Rises strictly from picture to picture.
    pub dts: Timestamp,
    /// When it is shown; never before `dts`.
    pub pts: Timestamp,
    /// Whether it may start a segment by the rules of this take.
    pub key_frame: bool,
    /// What the stream itself says about that.
    pub entry: Entry,
    /// What to decode.
    pub coded: CodedPicture,
}

/// A picture, or a part of one, in its coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodedPicture {
    /// H.264.
    H264(H264Picture),
}

/// NAL units of H.264.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Picture {
    /// The parameter sets in force, SPS first. A packager puts them where its format wants them.
    pub parameter_sets: Arc<[NalUnit]>,
    /// The units of the picture in order, without delimiters, filler and the parameter sets above.
    pub nals: Vec<NalUnit>,
}

impl CodedPicture {
    /// Its coding.
    pub fn coding(&self) -> PictureCoding {
        match self {
            Self::H264(_) => PictureCoding::H264,
        }
    }

    /// Bytes of its units, without those of parameter sets.
    pub fn len(&self) -> usize {
        match self {
            Self::H264(picture) => picture.nals.iter().map(|nal| nal.bytes().len()).sum(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a decoder that was set up for `other` can go on with this picture.
    pub fn same_setup(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::H264(one), Self::H264(other)) => {
                Arc::ptr_eq(&one.parameter_sets, &other.parameter_sets)
                    || one.parameter_sets[..] == other.parameter_sets[..]
            }
        }
    }

    /// Its setup alone, to be compared with that of later pictures.
    pub(crate) fn setup(&self) -> Self {
        match self {
            Self::H264(picture) => {
                Self::H264(H264Picture { parameter_sets: Arc::clone(&picture.parameter_sets), nals: Vec::new() })
            }
        }
    }

    /// Appends a further part (quirk Q41). Parts of another coding never meet.
    pub(crate) fn append(&mut self, rest: Self) {
        match (self, rest) {
            (Self::H264(picture), Self::H264(rest)) => picture.nals.extend(rest.nals),
        }
    }
}

/// One frame of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    /// When it is heard.
    pub pts: Timestamp,
    /// For how long.
    pub duration: MediaDuration,
    /// What to decode.
    pub coded: CodedAudio,
}

/// A frame of audio in its coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodedAudio {
    /// AAC.
    Aac(AacFrame),
}

/// A raw data block of AAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacFrame {
    /// What a decoder must know.
    pub config: Arc<AudioConfig>,
    /// The ADTS header that fits it.
    pub header: [u8; AdtsHeader::LENGTH],
    /// The raw data block, without ADTS header.
    pub data: Bytes,
}

impl AudioFrame {
    /// A frame of AAC with its header; `None` when it is too long for ADTS.
    pub fn aac(pts: Timestamp, config: &Arc<AudioConfig>, data: Bytes) -> Option<Self> {
        let header = config.adts_header(data.len())?;
        let ticks = i64::from(config.samples_per_frame) * 90_000 / i64::from(config.sample_rate.max(1));
        let coded = CodedAudio::Aac(AacFrame { config: Arc::clone(config), header, data });
        Some(Self { pts, duration: MediaDuration(ticks), coded })
    }

    /// When it has been heard.
    pub fn end(&self) -> Timestamp {
        self.pts + self.duration
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        // The bytes lie in memory of their own, with a few words to count who holds them.
        size_of::<Self>() + self.coded.len() + 64
    }

    /// The same with memory of its own, to be kept without holding on to whatever it came in.
    pub(crate) fn detached(mut self) -> Self {
        let CodedAudio::Aac(frame) = &mut self.coded;
        frame.data = Bytes::copy_from_slice(&frame.data);
        self
    }
}

impl CodedAudio {
    /// Its coding.
    pub fn coding(&self) -> AudioCoding {
        match self {
            Self::Aac(_) => AudioCoding::Aac,
        }
    }

    /// Bytes of coded sound, without headers.
    pub fn len(&self) -> usize {
        match self {
            Self::Aac(frame) => frame.data.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a decoder that was set up for `other` can go on with this frame.
    pub fn same_setup(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Aac(one), Self::Aac(other)) => Arc::ptr_eq(&one.config, &other.config) || one.config == other.config,
        }
    }

    /// Its setup alone, to be compared with that of later frames.
    pub(crate) fn setup(&self) -> Self {
        match self {
            Self::Aac(frame) => Self::Aac(AacFrame { data: Bytes::new(), ..frame.clone() }),
        }
    }
}

impl AacFrame {
    /// Bytes in ADTS: header, program config element where there is one, raw data block.
    pub fn adts_len(&self) -> usize {
        self.header.len() + self.config.program_config.len() + self.data.len()
    }
}

saved!(
    enum PictureCoding {
        H264 = 0,
    }
);
saved!(
    enum AudioCoding {
        Aac = 0,
    }
);
saved!(
    enum Entry {
        None = 0,
        Recovery = 1,
        Idr = 2,
    }
);
saved!(struct Tracks { video, audio });
saved!(struct Picture { dts, pts, key_frame, entry, coded });
saved!(struct H264Picture { parameter_sets, nals });
saved!(struct AudioFrame { pts, duration, coded });
saved!(struct AacFrame { config, header, data });
saved!(
    enum CodedPicture {
        H264(H264Picture) = 0,
    }
);
saved!(
    enum CodedAudio {
        Aac(AacFrame) = 0,
    }
);
saved!(struct TrackChange { tracks, earliest });
saved!(struct TimedPicture { picture, next });
saved!(struct TimedFrame { frame, horizon });
saved!(
    enum Horizon {
        Unknown = 0,
        Picture(Timestamp) = 1,
        NoPictures(Timestamp) = 2,
    }
);
saved!(
    enum Unit {
        Picture(TimedPicture) = 0,
        PictureRest(CodedPicture) = 1,
        Frame(TimedFrame) = 2,
        Discontinuity = 3,
        TrackChange(TrackChange) = 4,
    }
);
