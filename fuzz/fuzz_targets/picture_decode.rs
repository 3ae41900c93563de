//! The path from a request over a worker's pipe to an image: reading, parameter sets, decoding, scaling, encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| pictures::fuzz_request(data, 1 << 16));
