//! AMF0 and AMF3 values of a command or of metadata: no bytes panic, the limits hold, and what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::rtmp::amf0::{Decoded, Value, decode, decode_amf3_message, encode};
use media::rtmp::{Limits, Metadata};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    for decoded in [decode(data, &limits), decode_amf3_message(data, &limits)] {
        drop(Metadata::parse(&decoded.values));
        if decoded.damage.is_none() {
            check_identity(&decoded, &limits);
        }
    }
});

/// Writing and reading again gives the same values. They are compared as text, since a number may be NaN.
fn check_identity(decoded: &Decoded, limits: &Limits) {
    let mut bytes = Vec::new();
    for value in &decoded.values {
        encode(value, &mut bytes);
    }
    let again = decode(&bytes, limits);
    let text = |values: &[Value]| format!("{values:?}");
    if again.damage.is_none() {
        assert_eq!(text(&again.values), text(&decoded.values));
    }
}
