//! What a worker may not do, said to the kernel before it reads the first byte of video.

use super::protocol::WorkerLimits;
use std::io;

/// Limits this process for good: memory, no files, no core dumps, no new privileges, lower priority. Elsewhere than on
/// Linux only the deadline of the owner holds.
///
/// There is no parent death signal: the kernel sends it when the thread that started the process ends, and threads of an
/// asynchronous runtime come and go. The end of the input, and the processor time, end a worker whose owner is gone.
#[cfg(target_os = "linux")]
pub(super) fn confine(limits: &WorkerLimits) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};

    let set = |resource, value: u64| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
    rustix::thread::set_no_new_privs(true)?;
    nice(i32::from(limits.niceness.min(19)))?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    // Standard input, output and error are open already; a worker with an ffmpeg needs pipes to it and its libraries.
    set(Resource::Nofile, if limits.ffmpeg.is_some() { 64 } else { 3 })?;
    set(Resource::As, limits.memory_bytes)?;
    Ok(())
}

/// Grants processor time for one more picture. A process that uses it up is ended by the kernel.
#[cfg(target_os = "linux")]
pub(super) fn grant_cpu(seconds: u32) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    setrlimit(Resource::Cpu, Rlimit { current: Some(used + 1 + u64::from(seconds)), maximum: None })?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn confine(_limits: &WorkerLimits) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn grant_cpu(_seconds: u32) -> io::Result<()> {
    Ok(())
}
