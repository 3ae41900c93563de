//! A running take as data.

use super::recording::Recording;
use super::{Consumers, RemuxConfig, Remuxer};
use crate::package::Packager;
use crate::saved::{ResumeError, Saved};
use crate::segmenter::Cutter;
use crate::take::Take;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The form that is written. Another program may not read it: it is for the hand-over of a running push, not for keeping.
const VERSION: u8 = 2;

/// Bytes of the checksum in front.
const SUM: usize = 8;

/// Everything that is needed to go on with a take elsewhere: configuration, what was learnt of the stream, what waits to
/// be put in order, where the open segment stands. At most about 7 MiB; a few KiB for a stream in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended(Bytes);

impl Suspended {
    /// As bytes, to be sent or kept.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// From bytes; they are looked at by [`Remuxer::resume`].
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl<P: Packager + Saved> Remuxer<P> {
    /// Writes down the state of the take between two tags, and hands out what is written of the open segment: take the
    /// outputs that are left, then drop this value. Consumers other than the recording are not part of it.
    pub fn suspend(&mut self) -> Suspended {
        self.consumers.recording.hand_out();
        let mut state = vec![VERSION];
        state.resize(1 + SUM, 0);
        self.config.save(&mut state);
        self.take.save(&mut state);
        self.cutter.save(&mut state);
        self.consumers.recording.packager().save(&mut state);
        self.consumers.recording.handed_out().save(&mut state);
        let sum = checksum(&state);
        if let Some(place) = state.get_mut(1..=SUM) {
            place.copy_from_slice(&sum);
        }
        Suspended(state.into())
    }

    /// Goes on where a take was suspended. Its next outputs belong to the segment that was open then.
    ///
    /// # Errors
    /// [`ResumeError`] when the state is of another version, damaged, or of another packager.
    pub fn resume(suspended: &Suspended) -> Result<Self, ResumeError> {
        let all = suspended.bytes();
        let mut from = all.as_ref();
        match u8::load(&mut from)? {
            VERSION => {}
            other => return Err(ResumeError::Version(other)),
        }
        if <[u8; SUM]>::load(&mut from)? != checksum(all) {
            return Err(ResumeError::Damaged);
        }
        let config = RemuxConfig::load(&mut from)?;
        let take = Take::load(&mut from)?;
        let cutter = Cutter::load(&mut from)?;
        let packager = P::load(&mut from)?;
        let handed_out = u64::load(&mut from)?;
        if !from.is_empty() {
            return Err(ResumeError::Damaged);
        }
        let recording = Recording::new(packager, config.flush_bytes, handed_out);
        Ok(Self { config, take, cutter, consumers: Consumers { recording, others: Vec::new() } })
    }
}

/// Of what stands behind the checksum.
fn checksum(state: &[u8]) -> [u8; SUM] {
    let sum = Sha256::digest(state.get(1 + SUM..).unwrap_or_default());
    let mut short = [0; SUM];
    short.iter_mut().zip(sum).for_each(|(to, from)| *to = from);
    short
}
