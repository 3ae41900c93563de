//! The documents of the API, read and written (HTTP API 5.5, 5.6, LiveChannel 0.6): one file per family.

mod error;
pub mod live_channel;
mod tree;
mod writer;

pub use error::render_error;

#[cfg(test)]
fn check_golden(text: &str, bytes: usize, md5: &str) {
    use md5::Digest;
    let digest = crate::model::hex_upper(&md5::Md5::digest(text.as_bytes()));
    assert_eq!((text.len(), digest.as_str()), (bytes, md5), "{text}");
}
