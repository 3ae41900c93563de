//! Pictures out of H.264: find the frame, decode it away from the server, scale it, write it as JPEG or PNG.
//!
//! ```text
//!   media pipeline ─► Queue ─► Decoder ═ pipe ═► worker: decode ► scale ► encode     (LiveChannel 6.2)
//!   recorded TS ─► FrameFinder ─► Job ──┘        a process of its own, with limits
//!   process parameter ─► SnapshotRequest         (x-oss-process=video/snapshot)
//!   thumbnails ─► Storyboard ─► sheets and WebVTT
//! ```
//!
//! Nothing here opens a socket or a file. Why the decoder is the one it is, and why it runs in a process of its own, stands
//! in `docs/design/snapshots.md`.

mod colour;
mod counters;
mod decode;
mod encode;
mod find;
mod format;
mod job;
mod matrix;
mod picture;
mod playlist;
mod process;
mod queue;
mod refusal;
mod scale;
mod shape;
mod storyboard;
mod storyboard_request;
mod transport;
mod worker;

pub use counters::{Counters, CountersSnapshot};
pub use decode::decode;
pub use encode::{encode_jpeg, encode_png};
pub use find::{FindError, FindLimits, Found, FrameFinder, Mode, Progress};
pub use format::{Format, Interlacing};
pub use job::{Image, ImageFormat, Job, Output};
pub use matrix::Matrix;
pub use picture::Picture;
pub use playlist::{Listed, listed, segment_at};
pub use process::{ProcessError, SnapshotRequest};
pub use queue::{Queue, QueueLimits, Ticket};
pub use refusal::{Reason, Refusal};
pub use scale::scale;
pub use shape::{Rotation, Shape, Size, SizeRule};
pub use storyboard::{Plan, Sheet, Storyboard, StoryboardError, StoryboardLayout};
pub use storyboard_request::StoryboardRequest;
pub use worker::{Decoder, WorkerCommand, WorkerLimits, worker_main};

#[doc(hidden)]
pub use worker::fuzz_request;

/// For measurements: the luma of a picture in the numbers of a JPEG, before it is written as one.
#[doc(hidden)]
pub fn jfif_luma(picture: Picture) -> Vec<u8> {
    let [luma, ..] = colour::to_jfif(picture).planes().map(<[u8]>::to_vec);
    luma
}
