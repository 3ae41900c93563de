//! Settings of live pushes, of the pictures of them, and of the store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use model::name::ChannelName;
use serde::{Deserialize, Serialize};

/// The switches of live pushes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LiveConfig {
    /// Where segments are cut when a key frame comes late (D9).
    pub(crate) segmenting: Segmenting,
    /// Recovery points, and I pictures marked as key frames, may start segments (quirk Q42).
    pub(crate) recovery_points_start_segments: bool,
    /// Seconds after which a push is refused of which nothing can be recorded; 0 never (D21).
    pub(crate) refuse_unrecordable_after_s: u64,
    /// Whose rules playlists keep beyond the standard, where those of OSS and Apple differ.
    pub(crate) authoring: Authoring,
    /// PROGRAM-DATE-TIME in live playlists (D10).
    pub(crate) program_date_time: bool,
    /// PROGRAM-DATE-TIME in VOD playlists (D10).
    pub(crate) vod_program_date_time: bool,
    /// A push that returns within this many seconds continues the sliding playlist (D11); 0 always starts afresh.
    pub(crate) reconnect_window_s: u64,
    /// Seconds after the end of a push at which the live playlist gets an ENDLIST (D12); absent: never.
    pub(crate) end_list_after_s: Option<u64>,
    /// Silence of an old publisher after which a new one takes its channel over, seconds (D1).
    pub(crate) takeover_after_s: u64,
    /// Silence after which a publisher is pinged, seconds (D1).
    pub(crate) ping_after_s: u64,
    /// Time without media after which a push is ended, seconds (D1).
    pub(crate) media_timeout_s: u64,
    /// Largest RTMP message, bytes (D4).
    pub(crate) max_message_bytes: usize,
    /// PutLiveChannel on an existing channel is refused with 409 `LiveChannelAlreadyExists` (LiveChannel 11.1).
    pub(crate) reject_existing_channel: bool,
    /// PutLiveChannel with only one of FragDuration and FragCount gets the other's default (LiveChannel 11.24).
    pub(crate) fill_in_fragments: bool,
    /// PutLiveChannel accepts and keeps a Snapshot; otherwise it answers EC 0044-00000004 (LiveChannel 6.2).
    pub(crate) accept_snapshots: bool,
    /// The longest name of a channel, bytes (LiveChannel 0.4 rule 2).
    pub(crate) channel_name_max_bytes: usize,
    /// Channels per bucket (LiveChannel 7.4).
    pub(crate) max_channels_per_bucket: usize,
    /// ListLiveChannel calls per second and bucket (LiveChannel 7.4); 0 is no limit.
    pub(crate) max_list_calls_per_s: u32,
    /// Ingest per channel in Mbit/s, kept by reading slower (LiveChannel 7.4); 0 is no limit.
    pub(crate) max_ingest_mbit_s: u32,
    /// A bucket for pushes whose URL names none (LiveChannel 3.8 step 5).
    pub(crate) default_bucket: Option<String>,
    /// How the ETag of a segment is made.
    pub(crate) segment_etag: SegmentEtag,
}

/// Whose rules playlists keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Authoring {
    /// As OSS writes and sends them.
    #[default]
    Oss,
    /// As Apple's authoring specification wants them: named VOD, six segments at least, compressed, with their registered
    /// type.
    Apple,
}

/// Where segments are cut when a key frame comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Segmenting {
    /// Wait for the key frame, as OSS does.
    Oss,
    /// Cut before the target duration would be exceeded.
    Strict,
}

/// How the ETag of a live segment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SegmentEtag {
    /// From two 64-bit CRCs; costs next to nothing while the segment is written.
    Crc,
    /// The MD5 of the content, as for uploads; about three times the CPU of the whole ingest.
    Md5,
}

/// Pictures: those that channels ask for, those that requests ask for, and what they may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SnapshotsConfig {
    /// Whether pictures are made at all. Without, no decoder is ever started.
    pub(crate) enabled: bool,
    /// Decoder processes for the pictures of pushes, and as many for those of requests; 0 is half of the processors, at
    /// least one.
    pub(crate) workers: usize,
    /// How long a decoder may take for the picture of a push, milliseconds.
    pub(crate) deadline_ms: u64,
    /// How long it may take for a picture that a request asks for, milliseconds.
    pub(crate) request_deadline_ms: u64,
    /// The largest picture that is decoded, pixels.
    pub(crate) max_pixels: u64,
    /// Pictures that may wait for a decoder; further ones are dropped and counted.
    pub(crate) max_waiting: usize,
    /// Memory for the newest key frames of the channels on air, of which stills are made, MiB; 0 makes them of the last
    /// segment.
    pub(crate) stills_mib: usize,
    /// Quality of JPEG files, 1 to 100.
    pub(crate) jpeg_quality: u8,
    /// A program `ffmpeg` that decodes interlaced video; absent: it is refused.
    pub(crate) ffmpeg: Option<PathBuf>,
    /// Where the messages about pictures go: `topic = "http://..."` (LiveChannel 6.2).
    pub(crate) topics: BTreeMap<String, String>,
}

/// The switches of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StorageConfig {
    /// What a power cut may take (D8).
    pub(crate) durability: Durability,
    /// How long the bytes of a replaced or deleted object are kept for downloads that still run, seconds.
    pub(crate) garbage_grace_s: u64,
    /// How often lifecycle rules are run, seconds (HTTP API 8.13).
    pub(crate) lifecycle_interval_s: u64,
    /// How often access logs are written to their buckets, seconds (HTTP API 8.15).
    pub(crate) access_log_interval_s: u64,
    /// Free space of the file system below which uploads are refused, MiB, at most a twentieth of it: deletions and pushes
    /// live on it; 0 keeps none.
    pub(crate) reserve_mib: u64,
    /// Bytes of blobs that are kept on this machine when `blobs` are elsewhere, MiB.
    pub(crate) cache_mib: u64,
    /// How often the new bytes of open segments go to the shared store when `blobs` are elsewhere, ms: what the loss of a
    /// machine may cost; 0 never.
    pub(crate) tail_ms: u64,
    /// How fast everything stored is read in the background and compared with its checksums, MiB a second; 0 never.
    pub(crate) scrub_mib_per_s: u32,
}

/// What a power cut may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// Finished objects survive; of an open segment at most the last second is missing.
    Full,
    /// The operating system decides when bytes reach the disk; a process crash still loses nothing finished.
    Relaxed,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            segmenting: Segmenting::Oss,
            recovery_points_start_segments: false,
            refuse_unrecordable_after_s: 0,
            authoring: Authoring::Oss,
            program_date_time: true,
            vod_program_date_time: false,
            reconnect_window_s: 60,
            end_list_after_s: None,
            takeover_after_s: 3,
            ping_after_s: 5,
            media_timeout_s: 15,
            max_message_bytes: 32 << 20,
            reject_existing_channel: false,
            fill_in_fragments: false,
            accept_snapshots: true,
            channel_name_max_bytes: ChannelName::DEFAULT_MAX_BYTES,
            max_channels_per_bucket: 1000,
            max_list_calls_per_s: 100,
            max_ingest_mbit_s: 100,
            default_bucket: None,
            segment_etag: SegmentEtag::Crc,
        }
    }
}

impl Default for SnapshotsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            workers: 0,
            deadline_ms: 2_000,
            request_deadline_ms: 10_000,
            max_pixels: 4096 * 2304,
            max_waiting: 256,
            stills_mib: 64,
            jpeg_quality: 95,
            ffmpeg: None,
            topics: BTreeMap::new(),
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            garbage_grace_s: 300,
            lifecycle_interval_s: 3600,
            access_log_interval_s: 60,
            reserve_mib: 256,
            cache_mib: 4096,
            tail_ms: 1000,
            scrub_mib_per_s: 4,
        }
    }
}
