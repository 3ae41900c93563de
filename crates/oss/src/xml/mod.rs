//! The documents of the API, read and written (HTTP API 5.5, 5.6, LiveChannel 0.6): one file per family. What is
//! written always has the same layout; what is read may look any way that XML allows, short of DTDs and entities.

pub mod bucket;
pub mod cors;
pub mod delete;
mod error;
pub mod lifecycle;
pub mod listing;
pub mod live_channel;
pub mod multipart;
pub mod object;
pub mod referer;
pub mod service;
pub mod tagging;
mod tree;
pub mod website;
mod writer;

pub use error::{Refusal, read_error, render_error};

/// The longest document that is read where nothing else is said, in bytes (HTTP API 2).
pub const MAX_DOCUMENT_BYTES: usize = 512 * 1024;

#[cfg(test)]
fn check_golden(text: &str, bytes: usize, md5: &str) {
    use md5::Digest;
    let digest = model::hex_upper(&md5::Md5::digest(text.as_bytes()));
    assert_eq!((text.len(), digest.as_str()), (bytes, md5), "{text}");
}

#[cfg(test)]
fn check_text(text: &str, without_declaration: &str) {
    assert_eq!(text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), Some(without_declaration));
}
