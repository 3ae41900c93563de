//! Listening sockets that somebody else opened before this process began: socket activation (sd_listen_fds(3)). The kernel
//! keeps who connects while a new version takes the place of an old one.

use std::io;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// Sockets by what they are for. Each kind that has any stands for all addresses of that kind in the settings.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// For HTTP and RTMP.
    pub(crate) http: Vec<std::net::TcpListener>,
    /// Named `rtmp`.
    pub(crate) rtmp: Vec<std::net::TcpListener>,
    /// Named `console`.
    pub(crate) console: Option<std::net::TcpListener>,
    /// Named `admin`.
    pub(crate) admin: Option<std::net::TcpListener>,
}

impl Inherited {
    /// Takes what `LISTEN_FDS` names, with the names of `LISTEN_FDNAMES`. To be called once, before there are threads:
    /// it takes the variables out of the environment.
    ///
    /// # Errors
    /// When one of them is no TCP socket.
    pub(crate) fn take() -> io::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        let mut names = names.split(':');
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            let Some(socket) = given.take_tcp_listener(index)? else { continue };
            match name {
                "rtmp" => inherited.rtmp.push(socket),
                "console" => inherited.console = Some(socket),
                "admin" => inherited.admin = Some(socket),
                _ => inherited.http.push(socket),
            }
        }
        Ok(inherited)
    }
}

/// A socket as the runtime wants it.
///
/// # Errors
/// When it cannot be made non-blocking.
pub(crate) fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
