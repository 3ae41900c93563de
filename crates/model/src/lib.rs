//! What Millpond keeps and who may have it, whatever the protocol: names, nouns, operations, refusals and access decisions.
//! No IO, no clock, no randomness: what these need arrives as an argument.

pub mod access;
pub mod date;
pub mod error;
mod log_object;
pub mod name;
pub mod operation;
pub mod percent;
pub mod row;
mod types;

pub use error::{Error, ErrorCode, Result};
pub use log_object::log_object_name;
pub use operation::{OperationKind, Permission, Resource};
pub use row::Row;
pub use types::*;
