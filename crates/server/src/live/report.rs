//! What a session leaves behind about itself (D7): one line in the log, counters, and a record beside the channel's history.

use std::net::SocketAddr;

use bytes::Bytes;
use media::doctor::Advice;
use media::remux::{MediaFacts, RemuxStats};
use media::rtmp::stats::SessionStats;
use store::live::{Kept, ReportRecord};

use super::channels::ChannelId;
use super::losses::Losses;

/// The most that is kept of what an encoder calls itself.
const MAX_ENCODER_CHARS: usize = 200;

/// The report of one session, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct SessionReport(ReportRecord);

impl std::ops::Deref for SessionReport {
    type Target = ReportRecord;

    fn deref(&self) -> &ReportRecord {
        &self.0
    }
}

impl std::ops::DerefMut for SessionReport {
    fn deref_mut(&mut self) -> &mut ReportRecord {
        &mut self.0
    }
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
        Self(ReportRecord {
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
            ..ReportRecord::default()
        })
    }

    /// The same with the names of its codecs, so that kinds which are left out are named (D21).
    pub(super) fn with_codecs(mut self, facts: &MediaFacts) -> Self {
        self.video_codec = facts.video.map(|video| video.codec.name().to_owned()).unwrap_or_default();
        self.audio_codec = facts.audio.map(|audio| audio.codec.name().to_owned()).unwrap_or_default();
        self
    }

    /// The same with what to change in the encoder.
    pub(super) fn with_advice(mut self, advice: &[Advice]) -> Self {
        self.advice = advice.iter().map(ToString::to_string).collect();
        self
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
        // A length is no count, and the sum of the widest ones says nothing.
        for (name, count) in self.quirks.iter().filter(|(name, _)| !name.ends_with("_ms")) {
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
        self.0.to_bytes().unwrap_or_default()
    }

    /// Reads a kept report; `None` where there is none, as after a crash, or it cannot be read.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        ReportRecord::parse(bytes).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_report_survives_being_kept_and_grows() {
        let remux = RemuxStats { pictures: 7, repaired_pts: 3, ..RemuxStats::default() };
        let report = SessionReport::new(&SessionStats::default(), &remux, 2, (10, 20), 5);
        assert_eq!(report.quirks, BTreeMap::from([("repaired_pts".to_owned(), 3)]));
        assert_eq!(SessionReport::parse(&report.to_bytes()), Some(report));
        let old = SessionReport::parse(br#"{"encoder":"Lavf","unknown":1}"#);
        assert_eq!(old.map(|report| (report.encoder.clone(), report.segments)), Some(("Lavf".to_owned(), 0)));
        assert_eq!(SessionReport::parse(b""), None);
    }
}
