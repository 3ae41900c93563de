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

/// Counters of one take, most of them named after the quirk that they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemuxStats {
    /// Pictures written.
    pub pictures: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// AAC frames written.
    pub audio_frames: u64,
    /// Pictures at which decoding may start though they are no IDR pictures (quirk Q42).
    pub recovery_points: u64,
    /// Segments closed.
    pub segments: u64,
    /// Messages that end within their own header, and empty frames (quirks Q25, Q43).
    pub malformed: u64,
    /// Messages above the configured size (LiveChannel 4.1).
    pub oversized: u64,
    /// Video messages of a codec other than H.264 (quirk Q44).
    pub foreign_video: u64,
    /// Audio messages of a codec other than AAC (quirk Q44).
    pub foreign_audio: u64,
    /// Info frames, ends of sequence and unknown packet types (quirk Q42).
    pub info_messages: u64,
    /// Tracks of multitrack messages beyond track 0 (quirk Q45).
    pub skipped_tracks: u64,
    /// Sequence headers that repeat the one before (quirk Q36).
    pub repeated_headers: u64,
    /// Sequence headers that could not be understood.
    pub broken_headers: u64,
    /// Pictures before the first key frame.
    pub before_first_key: u64,
    /// Key frames without the parameter sets that they refer to (quirk Q39).
    pub without_parameter_sets: u64,
    /// AAC frames without any configuration (quirk Q43).
    pub without_audio_config: u64,
    /// AAC frames too early for the first picture, or too early for the PMT that announces them (quirk Q46).
    pub audio_before_picture: u64,
    /// Tags whose NAL units were framed otherwise than announced, Annex B for example (quirk Q40).
    pub other_framing: u64,
    /// NAL units left out because they were empty or longer than their tag (quirk Q40).
    pub bad_nals: u64,
    /// Filler units left out (quirk Q41).
    pub fillers: u64,
    /// Tags that carried a further part of a picture (quirk Q41).
    pub merged_tags: u64,
    /// Key flags that the NAL unit types contradict (quirk Q42).
    pub wrong_key_flags: u64,
    /// Frames of ADTS inside FLV (quirk Q43).
    pub adts_in_flv: u64,
    /// Decoding times moved by a tick to make them rise (quirk Q29).
    pub repaired_dts: u64,
    /// Presentation times that the order of the pictures contradicts, taken from that order (quirk Q31).
    pub repaired_pts: u64,
    /// Composition times that were impossible and taken as zero.
    pub wild_composition: u64,
    /// Times at which a more negative composition time than before moved the decoding times (quirk Q30).
    pub dts_shifts: u64,
    /// Times at which the audio clock left the count of samples (quirk Q32).
    pub audio_resyncs: u64,
    /// Jumps of a track's time stamps (quirk Q28).
    pub jumps: u64,
    /// Wraps of counters narrower than 32 bits (quirks Q19, Q20).
    pub narrow_wraps: u64,
    /// Segments that ended without a key frame after them (LiveChannel 4.2 rule 2, quirk Q33).
    pub forced_cuts: u64,
    /// Segments cut to keep their target ([`Segmenting::Strict`](crate::segmenter::Segmenting::Strict)).
    pub strict_cuts: u64,
    /// Segments that are marked discontinuous.
    pub discontinuities: u64,
    /// Widest distance seen between the newest audio and the newest picture, in milliseconds (quirk Q29).
    pub widest_skew_ms: u64,
}

saved!(struct MediaFacts { video, audio });
saved!(struct VideoFacts { codec, width, height, frame_rate });
saved!(struct AudioFacts { codec, sample_rate });
saved!(struct RemuxStats {
    pictures,
    key_frames,
    audio_frames,
    segments,
    recovery_points,
    malformed,
    oversized,
    foreign_video,
    foreign_audio,
    info_messages,
    skipped_tracks,
    repeated_headers,
    broken_headers,
    before_first_key,
    without_parameter_sets,
    without_audio_config,
    audio_before_picture,
    other_framing,
    bad_nals,
    fillers,
    merged_tags,
    wrong_key_flags,
    adts_in_flv,
    repaired_dts,
    repaired_pts,
    wild_composition,
    dts_shifts,
    audio_resyncs,
    jumps,
    narrow_wraps,
    forced_cuts,
    strict_cuts,
    discontinuities,
    widest_skew_ms
});

impl RemuxStats {
    /// Every counter with its name, for metrics and the session report.
    pub fn counters(&self) -> [(&'static str, u64); 34] {
        // Taken apart without a rest, so that a new counter cannot be forgotten here.
        let &Self {
            pictures,
            key_frames,
            audio_frames,
            segments,
            recovery_points,
            malformed,
            oversized,
            foreign_video,
            foreign_audio,
            info_messages,
            skipped_tracks,
            repeated_headers,
            broken_headers,
            before_first_key,
            without_parameter_sets,
            without_audio_config,
            audio_before_picture,
            other_framing,
            bad_nals,
            fillers,
            merged_tags,
            wrong_key_flags,
            adts_in_flv,
            repaired_dts,
            repaired_pts,
            wild_composition,
            dts_shifts,
            audio_resyncs,
            jumps,
            narrow_wraps,
            forced_cuts,
            strict_cuts,
            discontinuities,
            widest_skew_ms,
        } = self;
        [
            ("pictures", pictures),
            ("key_frames", key_frames),
            ("audio_frames", audio_frames),
            ("segments", segments),
            ("recovery_points", recovery_points),
            ("malformed", malformed),
            ("oversized", oversized),
            ("foreign_video", foreign_video),
            ("foreign_audio", foreign_audio),
            ("info_messages", info_messages),
            ("skipped_tracks", skipped_tracks),
            ("repeated_headers", repeated_headers),
            ("broken_headers", broken_headers),
            ("before_first_key", before_first_key),
            ("without_parameter_sets", without_parameter_sets),
            ("without_audio_config", without_audio_config),
            ("audio_before_picture", audio_before_picture),
            ("other_framing", other_framing),
            ("bad_nals", bad_nals),
            ("fillers", fillers),
            ("merged_tags", merged_tags),
            ("wrong_key_flags", wrong_key_flags),
            ("adts_in_flv", adts_in_flv),
            ("repaired_dts", repaired_dts),
            ("repaired_pts", repaired_pts),
            ("wild_composition", wild_composition),
            ("dts_shifts", dts_shifts),
            ("audio_resyncs", audio_resyncs),
            ("jumps", jumps),
            ("narrow_wraps", narrow_wraps),
            ("forced_cuts", forced_cuts),
            ("strict_cuts", strict_cuts),
            ("discontinuities", discontinuities),
            ("widest_skew_ms", widest_skew_ms),
        ]
    }
}
