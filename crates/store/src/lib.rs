//! Where things are kept: an ordered transactional map ([`kv`]), bytes under opaque ids ([`blob`]), and buckets,
//! objects, uploads, channels and keys written once above both ([`meta`]).
//!
//! The order that every writer keeps: a blob is durable before the commit that names it, and a name is gone before its
//! blob is deleted. A crash may leave a blob without a name, never a name that leads nowhere; [`check`] proves it.

pub mod backup;
pub mod blob;
pub mod check;
pub mod clock;
pub mod conformance;
mod durability;
pub mod error;
pub mod kv;
pub mod live;
pub mod meta;
pub mod moving;
pub mod probe;
pub mod record;
pub mod scrub;
pub mod vault;

pub use durability::Durability;
pub use error::{Error, ErrorKind, Result, Subject};
pub use meta::lease;

#[cfg(test)]
mod fixture;
