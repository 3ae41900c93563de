//! MPEG transport stream (ISO/IEC 13818-1): PAT, PMT, PES, PCR and continuity, in one append per slice of payload.

mod packet;
mod split;
mod tables;
mod writer;

pub use packet::{ContinuityCounter, Pid};
pub use split::PacketSplitter;
pub use writer::{Program, TsWriter};

pub(crate) use packet::{PACKET, SYNC};

#[cfg(test)]
pub(crate) mod probe;
