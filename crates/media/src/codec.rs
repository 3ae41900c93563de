//! The codecs that encoders name, of which H.264 and AAC are recorded.

use crate::saved::saved;

/// The codec of a video message. Only H.264 is recorded; the rest is named for LiveChannelStat (LiveChannel 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// Sorenson H.263, FLV id 2.
    H263,
    /// Screen video, FLV ids 3 and 6.
    Screen,
    /// On2 VP6, FLV ids 4 and 5.
    Vp6,
    /// AVC, FLV id 7 or `avc1`.
    H264,
    /// MPEG-4 part 2, FLV id 9, seen from drones (quirk Q44).
    Mpeg4,
    /// HEVC, FLV id 12 or `hvc1`.
    H265,
    /// AV1, FLV id 13 or `av01`.
    Av1,
    /// VP8, `vp08`.
    Vp8,
    /// VP9, FLV id 14 or `vp09`.
    Vp9,
    /// Anything else.
    Unknown,
}

saved!(
    enum VideoCodec {
        H263 = 0,
        Screen = 1,
        Vp6 = 2,
        H264 = 3,
        Mpeg4 = 4,
        H265 = 5,
        Av1 = 6,
        Vp8 = 7,
        Vp9 = 8,
        Unknown = 9,
    }
);

impl VideoCodec {
    /// The name in LiveChannelStat (LiveChannel 2.2).
    pub fn name(self) -> &'static str {
        match self {
            Self::H263 => "H263",
            Self::Screen => "SCREEN",
            Self::Vp6 => "VP6",
            Self::H264 => "H264",
            Self::Mpeg4 => "MPEG4",
            Self::H265 => "H265",
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub(crate) fn from_id(id: u8) -> Self {
        match id {
            2 => Self::H263,
            3 | 6 => Self::Screen,
            4 | 5 => Self::Vp6,
            7 => Self::H264,
            9 => Self::Mpeg4,
            12 => Self::H265,
            13 => Self::Av1,
            14 => Self::Vp9,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn from_fourcc(fourcc: [u8; 4]) -> Self {
        match &fourcc {
            b"avc1" => Self::H264,
            b"hvc1" | b"hev1" => Self::H265,
            b"av01" => Self::Av1,
            b"vp08" => Self::Vp8,
            b"vp09" => Self::Vp9,
            _ => Self::Unknown,
        }
    }
}

/// The codec of an audio message. Only AAC is recorded; the rest is named for LiveChannelStat (LiveChannel 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// Linear PCM, FLV ids 0 and 3.
    Pcm,
    /// ADPCM, FLV id 1.
    Adpcm,
    /// MP3, FLV ids 2 and 14, or `.mp3`.
    Mp3,
    /// Nellymoser, FLV ids 4, 5 and 6.
    Nellymoser,
    /// G.711 A-law, FLV id 7.
    G711A,
    /// G.711 mu-law, FLV id 8.
    G711U,
    /// AAC, FLV id 10 or `mp4a`.
    Aac,
    /// Speex, FLV id 11.
    Speex,
    /// Opus, FLV id 13 or `Opus`.
    Opus,
    /// FLAC, `fLaC`.
    Flac,
    /// AC-3, `ac-3`.
    Ac3,
    /// E-AC-3, `ec-3`.
    Eac3,
    /// Anything else.
    Unknown,
}

saved!(
    enum AudioCodec {
        Pcm = 0,
        Adpcm = 1,
        Mp3 = 2,
        Nellymoser = 3,
        G711A = 4,
        G711U = 5,
        Aac = 6,
        Speex = 7,
        Opus = 8,
        Flac = 9,
        Ac3 = 10,
        Eac3 = 11,
        Unknown = 12,
    }
);

impl AudioCodec {
    /// The name in LiveChannelStat (LiveChannel 2.2).
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcm => "PCM",
            Self::Adpcm => "ADPCM",
            Self::Mp3 => "MP3",
            Self::Nellymoser => "NELLYMOSER",
            Self::G711A => "G711A",
            Self::G711U => "G711U",
            Self::Aac => "AAC",
            Self::Speex => "SPEEX",
            Self::Opus => "OPUS",
            Self::Flac => "FLAC",
            Self::Ac3 => "AC3",
            Self::Eac3 => "EAC3",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub(crate) fn from_id(id: u8) -> Self {
        match id {
            0 | 3 => Self::Pcm,
            1 => Self::Adpcm,
            2 | 14 => Self::Mp3,
            4..=6 => Self::Nellymoser,
            7 => Self::G711A,
            8 => Self::G711U,
            10 => Self::Aac,
            11 => Self::Speex,
            13 => Self::Opus,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn from_fourcc(fourcc: [u8; 4]) -> Self {
        match &fourcc {
            b"mp4a" => Self::Aac,
            b".mp3" => Self::Mp3,
            b"Opus" => Self::Opus,
            b"fLaC" => Self::Flac,
            b"ac-3" => Self::Ac3,
            b"ec-3" => Self::Eac3,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_livechannel_2_2() {
        let video: Vec<_> = [2, 4, 7, 12, 13, 14].map(VideoCodec::from_id).iter().map(|codec| codec.name()).collect();
        assert_eq!(video, ["H263", "VP6", "H264", "H265", "AV1", "VP9"]);
        let audio: Vec<_> =
            [0, 1, 2, 6, 7, 8, 10, 11].map(AudioCodec::from_id).iter().map(|codec| codec.name()).collect();
        assert_eq!(audio, ["PCM", "ADPCM", "MP3", "NELLYMOSER", "G711A", "G711U", "AAC", "SPEEX"]);
    }
}
