//! The path from a request over a worker's pipe to an image: reading, parameter sets, decoding, scaling, encoding.
//!
//! A panic within the decoder's own crates is caught and refused as a broken picture, and damage that leads there is easily
//! found, so it is no finding. Any other panic is, and so are a hang and much memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|place| place.file().contains("rusty_h264")) {
                // The one of libFuzzer, which ends the process.
                report(panic);
            }
        }));
    },
    |data: &[u8]| pictures::fuzz_request(data, 1 << 16)
);
