//! The decoder's own process: what is said over the pipe, the side that works and the side that asks.

mod child;
mod confine;
mod external;
mod parent;
mod protocol;

pub use child::worker_main;
pub use parent::{Decoder, WorkerCommand};
pub use protocol::WorkerLimits;

/// For the fuzzer: reads a request as a worker reads it and carries it out.
#[doc(hidden)]
pub fn fuzz_request(body: &[u8], max_pixels: u64) {
    if let Ok(job) = protocol::read_job(body) {
        let limits = WorkerLimits { max_pixels, ..WorkerLimits::default() };
        drop(child::carry_out(&job, &limits));
    }
    drop(protocol::read_answer(0, body));
    drop(protocol::read_answer(1, body));
    drop(protocol::read_limits(body));
}
