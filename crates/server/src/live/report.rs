//! What a session leaves behind about itself (D7): one line in the log, counters, and a record beside the channel's history.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use media::doctor::Advice;
use media::remux::{MediaFacts, RemuxStats};
use media::rtmp::stats::SessionStats;
use serde::{Deserialize, Serialize};

use super::channels::ChannelId;
use super::losses::Losses;

/// The most that is kept of what an encoder calls itself.
const MAX_ENCODER_CHARS: usize = 200;

/// The report of one session. New members get a default, so that old reports can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SessionReport {
    /// What the encoder calls itself; empty when it does not.
    pub(crate) encoder: String,
    /// The kind of its handshake.
    pub(crate) handshake: String,
    /// How long it was connected as a publisher.
    pub(crate) seconds: i64,
    /// Payload of its video messages.
    pub(crate) video_bytes: u64,
    /// Payload of its audio messages.
    pub(crate) audio_bytes: u64,
    /// The codec of its video, also when it is one that is not recorded; empty when none came.
    pub(crate) video_codec: String,
    /// The codec of its audio, likewise.
    pub(crate) audio_codec: String,
    /// Pictures recorded.
    pub(crate) pictures: u64,
    /// Key frames among them.
    pub(crate) key_frames: u64,
    /// Audio frames recorded.
    pub(crate) audio_frames: u64,
    /// Segments stored.
    pub(crate) segments: u64,
    /// Media that could not be stored, in milliseconds.
    pub(crate) lost_ms: u64,
    /// What was seen and corrected, dropped or refused, and how often.
    pub(crate) quirks: BTreeMap<String, u64>,
    /// What to change in the encoder, a sentence each.
    pub(crate) advice: Vec<String>,
}

impl SessionReport {
    /// The report of a session that ends; `bytes` are those of video and audio.
    pub(super) fn new(
        stats: &SessionStats,
        remux: &RemuxStats,
        segments: u64,
        (video_bytes, audio_bytes): (u64, u64),
        seconds: i64,
    ) -> Self {
        let of_session = stats.quirks.iter().map(|(quirk, count)| (quirk.name(), count));
        // The first four counters are members of their own.
        let of_media = remux.counters().into_iter().skip(4);
        let quirks = of_session.chain(of_media).filter(|(_, count)| *count > 0);
        Self {
            encoder: stats.encoder_name().unwrap_or_default().chars().take(MAX_ENCODER_CHARS).collect(),
            handshake: stats.handshake.map_or("none", |kind| kind.name()).to_owned(),
            seconds,
            video_bytes,
            audio_bytes,
            pictures: remux.pictures,
            key_frames: remux.key_frames,
            audio_frames: remux.audio_frames,
            segments,
            quirks: quirks.map(|(name, count)| (name.to_owned(), count)).collect(),
            ..Self::default()
        }
    }

    /// The same with the names of its codecs, so that kinds which are left out are named (D21).
    pub(super) fn with_codecs(self, facts: &MediaFacts) -> Self {
        Self {
            video_codec: facts.video.map(|video| video.codec.name().to_owned()).unwrap_or_default(),
            audio_codec: facts.audio.map(|audio| audio.codec.name().to_owned()).unwrap_or_default(),
            ..self
        }
    }

    /// The same with what to change in the encoder.
    pub(super) fn with_advice(self, advice: &[Advice]) -> Self {
        Self { advice: advice.iter().map(ToString::to_string).collect(), ..self }
    }

    /// The same with what could not be stored.
    pub(super) fn with_losses(mut self, losses: &Losses) -> Self {
        self.lost_ms = losses.ms;
        for (name, count) in [
            ("segments_lost", losses.segments),
            ("segments_cut_short", losses.cut_short),
            ("segments_rewritten", losses.rewritten),
        ] {
            if count > 0 {
                self.quirks.insert(name.to_owned(), count);
            }
        }
        self
    }

    /// Says it in the log and in the numbers.
    pub(super) fn publish(&self, id: &ChannelId, remote: SocketAddr, session: u32) {
        metrics::counter!(crate::metrics::INGEST_BYTES).increment(self.video_bytes + self.audio_bytes);
        for (name, count) in &self.quirks {
            metrics::counter!(crate::metrics::QUIRKS, "quirk" => name.clone()).increment(*count);
        }
        let quirks: Vec<_> = self.quirks.iter().map(|(name, count)| format!("{name}={count}")).collect();
        tracing::info!(
            bucket = %id.0,
            channel = %id.1,
            %remote,
            session,
            encoder = if self.encoder.is_empty() { "unknown" } else { &self.encoder },
            handshake = self.handshake,
            seconds = self.seconds,
            video_bytes = self.video_bytes,
            audio_bytes = self.audio_bytes,
            video_codec = self.video_codec,
            audio_codec = self.audio_codec,
            pictures = self.pictures,
            key_frames = self.key_frames,
            audio_frames = self.audio_frames,
            segments = self.segments,
            lost_ms = self.lost_ms,
            quirks = quirks.join(" "),
            advice = self.advice.join("; "),
            "push ended"
        );
    }

    /// As it is kept.
    pub(super) fn to_bytes(&self) -> Bytes {
        // Plain members of plain types: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads a kept report; `None` where there is none, as after a crash, or it cannot be read.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_being_kept_and_grows() {
        let remux = RemuxStats { pictures: 7, repaired_pts: 3, ..RemuxStats::default() };
        let report = SessionReport::new(&SessionStats::default(), &remux, 2, (10, 20), 5);
        assert_eq!(report.quirks, BTreeMap::from([("repaired_pts".to_owned(), 3)]));
        assert_eq!(SessionReport::parse(&report.to_bytes()), Some(report));
        let old = SessionReport::parse(br#"{"encoder":"Lavf","unknown":1}"#);
        assert_eq!(old.map(|report| (report.encoder, report.segments)), Some(("Lavf".to_owned(), 0)));
        assert_eq!(SessionReport::parse(b""), None);
    }
}
