//! The beginning of a push: the channel, its lease, and what an earlier push left.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::remux::{RemuxConfig, Remuxer};
use media::rtmp::metadata::Metadata;
use model::{Container, Error, ErrorCode};
use store::lease::PublisherLease;
use store::meta::StartRecord;
use tokio::time::Instant;

use super::waiting::Waiting;
use super::{Desk, Publication, segmenting, still_live};
use crate::live::admission::Admission;
use crate::live::channels::{OnAir, Unclaimed};
use crate::live::inherited::{self, Inherited};
use crate::live::recorder::{Begun, Recorder};
use crate::live::refusal::PublishRefusal;
use crate::live::unrecordable::Unrecordable;
use crate::live::window::frag_count;
use crate::live::{Live, caretaker, pictures, recovery};
use crate::metering::IngestMeter;

/// How long who publishes waits until what the push before has left is stored and listed.
const REPAIR_PATIENCE: Duration = Duration::from_secs(8);

impl Publication {
    /// Begins an admitted push: takes the channel, repairs what an earlier push left, writes the beginning down. An
    /// earlier push whose connection has ended is waited for; `is_gone` ends when the new publisher has left meanwhile.
    ///
    /// # Errors
    /// `ChannelStillLive` when somebody else is on air, or the store's refusal.
    pub(crate) async fn start(
        live: Arc<Live>,
        mut admission: Admission,
        is_gone: impl Future<Output = ()>,
    ) -> Result<Self, PublishRefusal> {
        let now_ms = live.clock.now_ms();
        let target = admission.target();
        let refuse = |admission: &Admission, error: Error| {
            PublishRefusal::new(error, target.clone(), now_ms).of(Some((admission.id.clone(), &admission.channel)))
        };
        let takeover_after = Duration::from_secs(live.settings.live.takeover_after_s);
        let on_air = OnAir::new(admission.remote, now_ms);
        let mut is_gone = std::pin::pin!(is_gone);
        let claim = live.channels.claim(&admission.id, on_air, takeover_after, is_gone.as_mut()).await.map_err(
            |why| match why {
                Unclaimed::Taken(holder) => refuse(&admission, still_live(Some(holder.remote.to_string()))),
                Unclaimed::Stopping => PublishRefusal::shutdown(&target, now_ms),
            },
        )?;
        // Whoever disables or deletes the channel from here on finds this push on air; what came before is seen now.
        admission.look_again(&live).await.map_err(|error| refuse(&admission, error))?;
        let lease = recovery::acquire(&live, &admission.id, is_gone.as_mut())
            .await
            .map_err(|error| refuse(&admission, error))?;
        // Another server that disabled the channel since then has seen the lease, or its change is seen here.
        let begun = match live.peers.is_shared() {
            true => admission.look_again(&live).await,
            false => Ok(()),
        };
        let begun = match begun {
            Ok(()) => Self::begin(&live, &admission, &lease, now_ms, is_gone).await,
            Err(error) => Err(error),
        };
        let Inherited { session, window, waiting } = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let waits = match inherited::waits_here(&live, &admission.id).await {
                    Ok(None) => live.meta.release_publisher(&lease).await.map_err(|_| None),
                    Ok(waits) => Err(waits),
                    Err(_) => Err(None),
                };
                // Nobody else gives the lease back, and only this server can list what waits here.
                if let Err(started_ms) = waits {
                    caretaker::look_after(&live, admission.id.clone(), started_ms);
                }
                return Err(refuse(&admission, error));
            }
        };
        let config = &admission.channel.config;
        let settings = &live.settings.live;
        let mut remuxer = Remuxer::new(RemuxConfig {
            frag_duration_ms: u64::from(config.frag_duration) * 1000,
            segmenting: segmenting(settings),
            max_video_bytes: settings.max_message_bytes,
            recovery_points_start_segments: admission
                .channel
                .settings
                .recovery_points_start_segments
                .unwrap_or(settings.recovery_points_start_segments),
            ..RemuxConfig::default()
        });
        let meter = IngestMeter::new(&admission.id.0, now_ms);
        pictures::attach(&live, &admission.id, config, &claim.on_air, &meter, &mut remuxer);
        let now = Instant::now();
        tracing::info!(
            bucket = %admission.id.0, channel = %admission.id.1, remote = %admission.remote, session,
            playlist = window.playlist, "push begins"
        );
        crate::metrics::channels::begins(admission.id.0.as_str(), admission.id.1.as_str());
        let admission = Arc::new(admission);
        let begun = Begun { lease: lease.clone(), session, window, container: kept_as(remuxer.container()), waiting };
        let recorder = Recorder::new(live.clone(), admission.clone(), claim.on_air.clone(), begun);
        Ok(Self {
            live,
            admission,
            claim,
            lease,
            session,
            remuxer,
            desk: Desk::Free(Box::new(recorder)),
            waiting: Waiting::default(),
            renewing: None,
            hints: Metadata::default(),
            meter,
            key_arrived: now,
            renewed: now,
            looked: now,
            has_opened: false,
            is_lost: false,
            unrecordable: Unrecordable::default(),
        })
    }

    async fn begin(
        live: &Arc<Live>,
        admission: &Admission,
        lease: &PublisherLease,
        now_ms: i64,
        is_gone: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Inherited, Error> {
        let start = StartRecord {
            started_ms: now_ms,
            remote_addr: admission.remote.to_string(),
            playlist: admission.playlist.to_string(),
            details: Bytes::new(),
        };
        let session = match live.meta.begin_publication(lease, &start).await {
            Err(error) if error.kind == store::ErrorKind::AlreadyExists => {
                inherited::leave_to_its_server(live, &admission.id).await?;
                let mut is_gone = is_gone;
                if let Some(inherited) = inherited::take_up(live, lease, admission, &start, is_gone.as_mut()).await? {
                    return Ok(inherited);
                }
                // A store that takes nothing though it answers is not waited for here.
                tokio::select! {
                    repaired = recovery::repair(live, lease) => repaired?,
                    () = is_gone => return Err(inherited::has_to_wait("the encoder left meanwhile")),
                    () = live.channels.closed() => return Err(inherited::has_to_wait("the server stops")),
                    () = tokio::time::sleep(REPAIR_PATIENCE) => {
                        // However long it takes, and beginning anew with each publish it would never end.
                        let there = live.meta.publication(&admission.id.0, &admission.id.1).await.ok().flatten();
                        let started_ms = there.map(|record| record.start.started_ms);
                        caretaker::look_after_at_once(live, admission.id.clone(), started_ms);
                        return Err(inherited::has_to_wait("they are being stored"));
                    }
                }
                live.meta.begin_publication(lease, &start).await
            }
            begun => begun,
        }
        .map_err(|error| match error.kind {
            store::ErrorKind::NotFound => Error::new(ErrorCode::NoSuchLiveChannel),
            _ => crate::objects::internal(error),
        })?;
        let mut window = recovery::window(live, &admission.id).await?;
        let config = &admission.channel.config;
        let reconnect_ms =
            i64::try_from(live.settings.live.reconnect_window_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let is_return = reconnect_ms > 0
            && now_ms.saturating_sub(window.stored_ms) <= reconnect_ms
            && window.playlist == admission.playlist.as_str();
        let listed = frag_count(config.frag_count, live.settings.live.authoring);
        window.begin_session(listed, config.frag_duration, is_return);
        window.playlist = admission.playlist.to_string();
        Ok(Inherited { session, window, waiting: VecDeque::new() })
    }
}

/// How segments of a packager are named in the index and the bucket.
fn kept_as(container: media::package::Container) -> Container {
    // Every packager that a push is given has a row of its own there; a test sees to it.
    Container::of_extension(container.extension).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_knows_the_container_of_the_packager() {
        let packager = media::package::Ts::CONTAINER;
        let kept = kept_as(packager);
        assert_eq!((kept.extension(), kept.content_type()), (packager.extension, packager.content_type));
    }
}
