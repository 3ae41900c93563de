//! The key frames of a push, beside its recording: the newest one is kept for stills, and one per interval becomes a
//! snapshot. Nothing here waits, and nothing that fails reaches the push.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::access_unit::{CodedPicture, Entry, H264Picture, Unit};
use media::segmenter::{Consumer, Event};
use model::SnapshotConfig;
use pictures::{Job, Reason, Refusal};

use super::newest::KeyFrame;
use super::progress::Progress;
use super::{ChannelId, Stills, delivery, plain};

/// Pictures of one push that are being decoded, stored or reported at once. With more, the disk or the decoder is late.
const MAX_IN_FLIGHT: usize = 2;

/// What takes the key frames of a push. Dropped with it.
pub(crate) struct KeyFrames {
    stills: Arc<Stills>,
    channel: ChannelId,
    schedule: Option<Schedule>,
    /// A key frame of which further parts may come (quirk Q41).
    pending: Option<Pending>,
    /// The number that the newest picture is named by, so that none has the name of another.
    last_ms: i64,
}

/// When snapshots are due (LiveChannel 6.2).
struct Schedule {
    config: SnapshotConfig,
    began: Instant,
    /// The interval of the last picture.
    last: Option<u64>,
    progress: Arc<Progress>,
}

struct Pending {
    picture: H264Picture,
    at: Instant,
    at_ms: i64,
}

impl KeyFrames {
    /// What takes the key frames of a push that begins now; `snapshot` is what its channel asks for.
    pub(crate) fn new(
        stills: Arc<Stills>,
        channel: ChannelId,
        snapshot: Option<(SnapshotConfig, Arc<Progress>)>,
    ) -> Self {
        let began = Instant::now();
        let schedule = snapshot.map(|(config, progress)| Schedule { config, began, last: None, progress });
        Self { stills, channel, schedule, pending: None, last_ms: i64::MIN }
    }

    /// The key frame is complete.
    fn complete(&mut self) {
        let Some(Pending { picture, at, at_ms }) = self.pending.take() else { return };
        let taken_ms = at_ms.max(self.last_ms.saturating_add(1));
        self.last_ms = taken_ms;
        let frame = KeyFrame { picture, taken_ms };
        if self.schedule.as_mut().is_some_and(|schedule| schedule.is_due(at)) {
            self.shoot(&frame);
        }
        self.stills.newest.put(&self.channel, &frame);
    }

    /// Offers a picture to the decoders and sees to what becomes of it in a task of its own.
    fn shoot(&self, frame: &KeyFrame) {
        let Some(schedule) = &self.schedule else { return };
        let progress = schedule.progress.clone();
        let Some(place) = progress.begin(MAX_IN_FLIGHT) else {
            let late = Refusal::new(Reason::Late, "the pictures before are not stored yet");
            return progress.refuse(&late.into());
        };
        let answer = self.stills.of_pushes.offer(self.channel.clone(), frame.job(plain(&self.stills.settings)));
        let (stills, channel, config) = (self.stills.clone(), self.channel.clone(), schedule.config.clone());
        let taken_ms = frame.taken_ms;
        crate::panics::spawn("snapshot", async move {
            let image = answer.await.unwrap_or_else(|_| Err(Refusal::new(Reason::Stopped, "the worker went away")));
            let stored = match image {
                Ok(image) => delivery::store(&stills, &channel, &config, image, taken_ms).await,
                Err(refusal) => Err(refusal.into()),
            };
            drop(place);
            match stored {
                Ok(taken) => {
                    progress.took();
                    stills.tell(&config, taken).await;
                }
                Err(refused) => progress.refuse(&refused),
            }
        });
    }
}

impl Schedule {
    /// Whether a key frame at this moment is the first of its interval, while pictures of this push can be made at all.
    fn is_due(&mut self, at: Instant) -> bool {
        let interval = Duration::from_secs(u64::from(self.config.interval.max(1)));
        let index = interval_of(at.saturating_duration_since(self.began), interval);
        let is_first = self.last.is_none_or(|last| index > last);
        if !is_first || self.progress.is_over() {
            return false;
        }
        self.last = Some(index);
        true
    }
}

fn interval_of(elapsed: Duration, interval: Duration) -> u64 {
    u64::try_from(elapsed.as_millis() / interval.as_millis().max(1)).unwrap_or(u64::MAX)
}

impl Consumer for KeyFrames {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Unit(Unit::Picture(timed)) => {
                self.complete();
                // What is marked as an entry without being one is reported by the decoder, not here.
                if timed.picture.key_frame || timed.picture.entry != Entry::None {
                    let CodedPicture::H264(picture) = &timed.picture.coded;
                    let (at, at_ms) = (Instant::now(), self.stills.clock.now_ms());
                    self.pending = Some(Pending { picture: picture.clone(), at, at_ms });
                }
            }
            Event::Unit(Unit::PictureRest(CodedPicture::H264(rest))) => {
                if let Some(pending) = &mut self.pending {
                    pending.picture.nals.extend(rest.nals.iter().cloned());
                }
            }
            Event::Close(_) => self.complete(),
            Event::Open(..) | Event::Unit(_) => {}
        }
    }
}

impl Drop for KeyFrames {
    fn drop(&mut self) {
        self.stills.newest.remove(&self.channel);
    }
}

impl KeyFrame {
    /// What a decoder needs of it.
    pub(crate) fn job(&self, output: pictures::Output) -> Job {
        let units = self.picture.parameter_sets.iter().chain(&self.picture.nals);
        Job::of_key_frame(units.map(|unit| &unit.bytes()[..]), output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_counted_from_the_start() {
        for (ms, interval_s, index) in [(0, 5, 0), (4_999, 5, 0), (5_000, 5, 1), (14_999, 5, 2), (100_000, 100, 1)] {
            assert_eq!(interval_of(Duration::from_millis(ms), Duration::from_secs(interval_s)), index, "{ms}");
        }
    }
}
