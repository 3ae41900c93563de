//! The wire of OSS: what a request asks for, how it is signed, and how the answer is written. No IO, no clock, no randomness: what these need arrives as an argument.

pub mod access_log;
pub mod playlist_sign;
pub mod request;
pub mod sign;
pub mod xml;
