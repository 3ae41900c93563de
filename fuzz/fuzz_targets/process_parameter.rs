//! `x-oss-process=video/snapshot,…`: any text is a request or an error with its code, and no order of parameters matters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pictures::{ProcessError, Size, SnapshotRequest};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<SnapshotRequest>() {
        Ok(request) => {
            let video = Size { width: 640, height: 360 };
            if let Ok(size) = request.shape.size.apply(video) {
                assert!(size.width > 0 && size.height > 0);
            }
            if let Some((process, list)) = text.split_once(',') {
                let turned: Vec<&str> = list.split(',').rev().collect();
                assert_eq!(format!("{process},{}", turned.join(",")).parse(), Ok(request));
            }
        }
        Err(ProcessError::NotBuilt) => assert!(ProcessError::NotBuilt.code().is_none()),
        Err(error) => assert!(error.code().is_some_and(|code| code.starts_with("0053-00000"))),
    }
});
