//! The end of a push: everything is stored, or left to who comes next, and the session is reported.

use std::time::Duration;

use media::doctor::advice;
use media::rtmp::stats::SessionStats;

use super::{Desk, Publication};
use crate::live::recorder::{Recorder, Work};
use crate::live::report::SessionReport;
use crate::live::{caretaker, inherited, upkeep};

/// Pause before what waits for the store is looked after again when the encoder has left.
const STORE_RETRY: Duration = Duration::from_millis(200);

impl Publication {
    /// Waits until everything is stored that came so far, or is known not to be; the lease is kept meanwhile.
    #[cfg(test)]
    pub(in crate::live) async fn settle(&mut self) {
        while !self.is_settled() {
            self.settle_some().await;
        }
    }

    fn is_settled(&self) -> bool {
        matches!(&self.desk, Desk::Free(recorder) if !recorder.waits())
    }

    async fn settle_some(&mut self) {
        match &self.desk {
            // Until the store is back.
            Desk::Free(_) => {
                let _ = tokio::time::timeout(STORE_RETRY, self.progress()).await;
                if matches!(self.desk, Desk::Free(_)) {
                    self.waiting.push(Work::Tick(None));
                    self.begin_work();
                }
            }
            _ => {
                let _ = tokio::time::timeout(self.live.peers.lease_renewal(), self.progress()).await;
            }
        }
        self.renew_when_due();
    }

    /// The same at the end, but what waits for a store that is away is left to somebody who publishes next and can take it
    /// up; whether that is so.
    async fn settle_or_leave(&mut self) -> bool {
        while !self.is_settled() {
            self.settle_some().await;
            let succession = &self.claim.on_air.succession;
            if succession.has_heir()
                && let Desk::Free(recorder) = &mut self.desk
                && recorder.waits()
                && inherited::is_store_away(&self.live).await
                && succession.has_heir()
                && recorder.leave().await
            {
                return true;
            }
        }
        false
    }

    /// Ends the push: the last segment is listed, the history written, the channel given free.
    pub(crate) async fn finish(mut self, stats: &SessionStats) {
        self.claim.on_air.succession.begin_end();
        // What comes out at the end was not sent so.
        let facts = self.remuxer.measured();
        if let Some(found) = self.unrecordable.at_end(&facts) {
            self.warn(&found);
        }
        self.remuxer.finish();
        self.queue_outputs();
        let is_left = self.settle_or_leave().await;
        self.learn();
        let ended_ms = self.live.clock.now_ms();
        self.meter.pass(ended_ms);
        let Desk::Free(mut recorder) = std::mem::replace(&mut self.desk, Desk::Moving) else { return };
        let snapshots = self.claim.on_air.snapshots();
        let report = self
            .report(&mut recorder, stats, ended_ms)
            .with_advice(&advice(&facts))
            .with_snapshots(&self.admission.id, snapshots);
        // One that takes up what is left writes down the end of this one, and has its lease: nobody else is to give up what
        // waits on this disk.
        if !self.is_lost && !is_left {
            let kept = report.to_bytes();
            if let Err(error) = self.live.meta.end_publication(&self.lease, Some(ended_ms), kept).await {
                tracing::error!(%error, channel = %self.admission.id.1, "the end of a push cannot be written down");
            }
            if let Err(error) = self.live.meta.release_publisher(&self.lease).await {
                tracing::warn!(%error, "the publisher's lease cannot be released");
                caretaker::look_after(&self.live, self.admission.id.clone(), None);
            }
        }
        if is_left && let Err(error) = self.live.meta.keep_report(&self.lease, report.to_bytes()).await {
            tracing::warn!(%error, channel = %self.admission.id.1, "the report of a push cannot be kept");
        }
        report.publish(&self.admission.id, self.admission.remote, self.session);
        if is_left {
            let (id, started_ms) = (self.admission.id.clone(), self.claim.on_air.connected_ms);
            caretaker::look_after(&self.live, id, Some(started_ms));
            return;
        }
        // Also after a push without segments: it kept the list of the push before it from ending.
        if let Some(after_s) = self.live.settings.live.end_list_after_s {
            let (live, id, stored_ms) = (self.live.clone(), self.admission.id.clone(), recorder.stored_ms());
            crate::panics::spawn("end list", upkeep::end_list(live, id, stored_ms, Duration::from_secs(after_s)));
        }
    }

    /// What there is to say about the session (D7).
    fn report(&self, recorder: &mut Recorder, stats: &SessionStats, ended_ms: i64) -> SessionReport {
        let (segments, recorded_ms) = recorder.totals();
        let connected_ms = ended_ms.saturating_sub(self.claim.on_air.connected_ms);
        // What is pushed faster than real time lasts as long as its media.
        let lasted_ms = connected_ms.max(i64::try_from(recorded_ms).unwrap_or(i64::MAX));
        SessionReport::new(
            stats,
            &self.remuxer.stats(),
            segments,
            self.claim.on_air.totals(),
            lasted_ms.saturating_add(500) / 1000,
        )
        .with_codecs(self.remuxer.facts())
        .with_losses(recorder.settled_losses())
    }
}
