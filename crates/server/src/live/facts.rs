//! What LiveChannelStat shows of a push's codecs.

use media::remux::MediaFacts;
use media::rtmp::metadata::Metadata;

/// Codec facts with every gap filled (LiveChannel 2.2): 0 and an empty name where nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShownFacts {
    /// Name of the video codec.
    pub(crate) video_codec: String,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    /// Whole frames per second, cut.
    pub(crate) frame_rate: u32,
    /// Name of the audio codec.
    pub(crate) audio_codec: String,
    /// Hz.
    pub(crate) sample_rate: u32,
}

impl ShownFacts {
    /// The stream itself says what it is; metadata fills what it does not, and names the frame rate first.
    pub(crate) fn new(facts: &MediaFacts, hints: &Metadata) -> Self {
        let mut shown = Self::default();
        if let Some(video) = &facts.video {
            shown.video_codec = video.codec.name().to_owned();
            let known = |found: u32, hint: Option<u32>| if found > 0 { found } else { hint.unwrap_or(0) };
            shown.width = known(video.width, hints.width);
            shown.height = known(video.height, hints.height);
            let rate = hints.frame_rate.filter(|rate| *rate > 0.0).or(video.frame_rate).unwrap_or(0.0);
            // 29.97 is shown as 29; a rate that was measured as 24.9999 is 25.
            shown.frame_rate = (rate + 0.001).clamp(0.0, 1000.0) as u32;
        }
        if let Some(audio) = &facts.audio {
            shown.audio_codec = audio.codec.name().to_owned();
            shown.sample_rate =
                if audio.sample_rate > 0 { audio.sample_rate } else { hints.audio_sample_rate.unwrap_or(0) };
        }
        shown
    }
}
