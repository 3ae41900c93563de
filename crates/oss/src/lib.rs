//! The language of OSS: what may be named, what a request asks for, who asks, whether they may, and how the answer is
//! written. No IO, no clock, no randomness: what these need arrives as an argument.

pub mod access;
pub mod access_log;
pub mod date;
pub mod error;
pub mod model;
pub mod name;
pub mod playlist_sign;
pub mod request;
pub mod sign;
pub mod xml;

pub use error::{Error, ErrorCode, Result};
