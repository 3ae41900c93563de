//! What a remuxer saw, corrected and left out, for the session report (decisions D7, D21).

use crate::flv::{AudioCodec, VideoCodec};
use crate::saved::saved;

/// Facts for LiveChannelStat (LiveChannel 2.2), as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaFacts {
    /// The video track; `None` until its first message.
    pub video: Option<VideoFacts>,
    /// The audio track; `None` until its first message.
    pub audio: Option<AudioFacts>,
}

/// Facts of the video track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoFacts {
    /// The codec, also when it is one that is not recorded.
    pub codec: VideoCodec,
    /// Width in pixels after cropping; 0 until known.
    pub width: u32,
    /// Height in pixels after cropping; 0 until known.
    pub height: u32,
    /// Frames per second of the SPS, else measured over the last 5 s of media; `None` until known.
    pub frame_rate: Option<f64>,
}

/// Facts of the audio track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFacts {
    /// The codec, also when it is one that is not recorded.
    pub codec: AudioCodec,
    /// Hz: for AAC by its configuration, else by the FLV header; 0 until known.
    pub sample_rate: u32,
}

saved!(struct MediaFacts { video, audio });
saved!(struct VideoFacts { codec, width, height, frame_rate });
saved!(struct AudioFacts { codec, sample_rate });

/// Declares counters: their fields, how they are saved, and their names. In this order they are saved.
macro_rules! counters {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        saved!(struct $name { $($field),* });

        impl $name {
            /// Every counter with its name, for metrics and the session report.
            pub fn counters(&self) -> [(&'static str, u64); [$(stringify!($field)),*].len()] {
                [$((stringify!($field), self.$field)),*]
            }
        }
    };
}

counters! {
    /// Counters of one take, most of them named after the quirk that they count.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RemuxStats {
        /// Pictures written.
        pictures,
        /// Key frames among them.
        key_frames,
        /// AAC frames written.
        audio_frames,
        /// Segments closed.
        segments,
        /// Pictures at which decoding may start though they are no IDR pictures (quirk Q42).
        recovery_points,
        /// Messages that end within their own header, and empty frames (quirks Q25, Q43).
        malformed,
        /// Messages above the configured size (LiveChannel 4.1).
        oversized,
        /// Video messages of a codec other than H.264 (quirk Q44).
        foreign_video,
        /// Audio messages of a codec other than AAC (quirk Q44).
        foreign_audio,
        /// Info frames, ends of sequence and unknown packet types (quirk Q42).
        info_messages,
        /// Tracks of multitrack messages beyond track 0 (quirk Q45).
        skipped_tracks,
        /// Sequence headers that repeat the one before (quirk Q36).
        repeated_headers,
        /// Sequence headers that could not be understood.
        broken_headers,
        /// Pictures before the first key frame.
        before_first_key,
        /// Key frames without the parameter sets that they refer to (quirk Q39).
        without_parameter_sets,
        /// AAC frames without any configuration (quirk Q43).
        without_audio_config,
        /// AAC frames too early for the first picture, or too early for the PMT that announces them (quirk Q46).
        audio_before_picture,
        /// Tags whose NAL units were framed otherwise than announced, Annex B for example (quirk Q40).
        other_framing,
        /// NAL units left out because they were empty or longer than their tag (quirk Q40).
        bad_nals,
        /// Filler units left out (quirk Q41).
        fillers,
        /// Tags that carried a further part of a picture (quirk Q41).
        merged_tags,
        /// Key flags that the NAL unit types contradict (quirk Q42).
        wrong_key_flags,
        /// Frames of ADTS inside FLV (quirk Q43).
        adts_in_flv,
        /// Decoding times moved by a tick to make them rise (quirk Q29).
        repaired_dts,
        /// Presentation times that the order of the pictures contradicts, taken from that order (quirk Q31).
        repaired_pts,
        /// Composition times that were impossible and taken as zero.
        wild_composition,
        /// Times at which a more negative composition time than before moved the decoding times (quirk Q30).
        dts_shifts,
        /// Times at which the audio clock left the count of samples (quirk Q32).
        audio_resyncs,
        /// Jumps of a track's time stamps (quirk Q28).
        jumps,
        /// Wraps of counters narrower than 32 bits (quirks Q19, Q20).
        narrow_wraps,
        /// Segments that ended without a key frame after them (LiveChannel 4.2 rule 2, quirk Q33).
        forced_cuts,
        /// Segments cut to keep their target ([`Segmenting::Strict`](crate::segmenter::Segmenting::Strict)).
        strict_cuts,
        /// Segments that are marked discontinuous.
        discontinuities,
        /// Widest distance seen between the newest audio and the newest picture, in milliseconds (quirk Q29).
        widest_skew_ms,
    }
}
