//! H.264 as it comes out of FLV: NAL units, decoder configuration, and just enough of the parameter sets.

mod config;
mod nal;
mod parameter_sets;
mod sps;

pub use config::{AvcConfig, AvcConfigError};
pub use nal::{Framing, NalKind, NalUnit, SliceOrder, SliceStart, Split, split, unescape};
pub use parameter_sets::ParameterSets;
pub use sps::{OrderCycle, OrderFields, OrderKind, Sps, SpsError, VideoSignal, has_chroma_info, skip_scaling_list};
