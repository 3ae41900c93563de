//! Pictures beside a push: its key frames go to [`crate::stills`] (LiveChannel 6.2), and what becomes of them is said in its
//! stat and its report.

use std::sync::Arc;

use media::remux::Remuxer;
use model::LiveChannelConfig;

use super::Live;
use super::channels::{ChannelId, OnAir};
use super::report::SessionReport;
use crate::metering::IngestMeter;
use crate::stills::{KeyFrames, Progress, ShownProgress};

/// Lets the key frames of a push that begins be seen by what takes pictures.
pub(super) fn attach(
    live: &Live,
    id: &ChannelId,
    config: &LiveChannelConfig,
    on_air: &OnAir,
    meter: &IngestMeter,
    remuxer: &mut Remuxer,
) {
    let wanted = config.snapshot.as_ref();
    if wanted.is_some() {
        meter.announce_snapshots();
    }
    let Some(stills) = live.stills.as_ref().filter(|stills| stills.is_on()) else {
        if wanted.is_some() {
            tracing::warn!(bucket = %id.0, channel = %id.1, "snapshots are configured, but pictures are switched off");
        }
        return;
    };
    let snapshot = wanted.map(|wanted| {
        let progress = Progress::new(id.clone());
        on_air.take_snapshots(progress.clone());
        (wanted.clone(), progress)
    });
    remuxer.add_consumer(KeyFrames::new(Arc::clone(stills), id.clone(), snapshot));
}

impl SessionReport {
    /// The same with what became of its snapshots.
    pub(super) fn with_snapshots(mut self, id: &ChannelId, shown: Option<ShownProgress>) -> Self {
        let Some(ShownProgress { taken, refused, last, is_over }) = shown else { return self };
        let missing: u64 = refused.values().sum();
        tracing::info!(bucket = %id.0, channel = %id.1, taken, missing, "snapshots of the push");
        for (reason, count) in refused {
            self.quirks.insert(format!("snapshots_refused_{reason}"), count);
        }
        if let Some((reason, detail)) = last {
            let which = if is_over { "No snapshots are taken" } else { "Snapshots were not taken" };
            self.advice.push(format!("{which} ({reason}): {detail}"));
        }
        self
    }
}
