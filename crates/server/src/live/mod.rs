//! Live pushes: who may begin one, what becomes of its media, who is on air, and what a crash leaves.

mod admission;
mod audience;
mod channels;
mod corrections;
mod doors;
mod facts;
mod finished;
mod growing;
mod limits;
mod losses;
mod neighbours;
mod payload;
mod pictures;
mod publication;
mod rate;
mod reaper;
mod recorder;
mod recovery;
mod refusal;
mod refused;
mod report;
#[cfg(test)]
mod scenario;
mod service;
mod sessions;
mod succession;
mod torn;
mod unrecordable;
mod upkeep;
mod vod;
mod warnings;
mod window;

pub(crate) use admission::{Admission, Admissions, admit};
pub(crate) use channels::{ChannelId, Channels, Measurement, OnAir, StopReason};
pub(crate) use limits::RateLimits;
use publication::LEASE;
pub(crate) use publication::Publication;
pub(crate) use reaper::reap;
pub(crate) use recovery::recover;
pub(crate) use refusal::PublishRefusal;
pub(crate) use refused::Refused;
pub(crate) use report::SessionReport;
pub(crate) use service::{Live, Settings};
pub(crate) use upkeep::{resume_end_lists, upkeep};
