//! Live pushes: who may begin one, what becomes of its media, who is on air, and what a crash leaves.

mod admission;
mod channels;
mod facts;
mod growing;
mod losses;
mod publication;
mod rate;
mod recovery;
mod refusal;
mod refused;
mod report;
#[cfg(test)]
mod scenario;
mod succession;
mod upkeep;
mod window;

pub(crate) use admission::{Admission, admit};
pub(crate) use channels::{Channels, StopReason};
use publication::LEASE;
pub(crate) use publication::Publication;
pub(crate) use recovery::recover;
pub(crate) use refusal::PublishRefusal;
pub(crate) use refused::Refused;
pub(crate) use report::SessionReport;
pub(crate) use upkeep::{resume_end_lists, upkeep};
