//! Words to the supervisor that started this process (sd_notify(3)): ready, stopping, still alive. Without one, nothing.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::shutdown::Shutdown;

/// Tells the supervisor one assignment, such as `READY=1`. One that does not listen is no reason to fail.
pub(crate) fn tell(state: &str) {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&path, state.as_bytes())
    {
        tracing::warn!(%error, state, "the supervisor cannot be notified");
    }
}

fn send(path: &std::ffi::OsStr, state: &[u8]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(path).strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state, &address).map(drop);
    }
    socket.send_to(state, path).map(drop)
}

/// Says twice in the time that the supervisor gives that this process is alive; ends at once where it does not ask.
pub(crate) async fn keep_alive(mut shutdown: Shutdown) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_other = number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id()));
    let Some(usec) = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && !is_other) else { return };
    let mut beats = tokio::time::interval(Duration::from_micros(usec / 2).max(Duration::from_millis(50)));
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = beats.tick() => tell("WATCHDOG=1"),
        }
    }
}
