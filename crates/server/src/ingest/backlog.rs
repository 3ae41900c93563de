//! What has arrived on a connection and was not read yet, and how much of it there must be before we are woken.

use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;
use nix::{setsockopt_impl, sockopt_impl};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::Rewound;

sockopt_impl!(
    /// The bytes that must have arrived before a socket counts as readable (SO_RCVLOWAT, socket(7)). A peer that has
    /// closed makes it readable at once.
    LowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    i32
);

/// A connection that knows what has arrived on it.
pub(crate) trait Backlog {
    /// Whether bytes have arrived that nobody has read yet.
    fn has_unread(&self) -> bool;

    /// Whether the peer will send nothing more than what is unread: it has closed its side, or the connection broke.
    fn has_hung_up(&self) -> bool;

    /// Asks to be woken only when so many bytes are there, or the peer has closed; false where that cannot be asked.
    fn set_low_water(&self, _bytes: usize) -> bool {
        false
    }

    /// Waits until a read would find something, where that can be known without a buffer.
    fn poll_arrival(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// How many bytes wait, where they are those that a read would give.
    fn waiting(&self) -> Option<usize> {
        None
    }

    /// Reads what waits, up to `most` bytes, also when it is less than [`Self::set_low_water`] asked for. 0 says that
    /// nothing did; the end of the stream is for the next ordinary read to find.
    ///
    /// # Errors
    /// What broke the connection.
    fn read_waiting(&self, _buffer: &mut BytesMut, _most: usize) -> io::Result<usize> {
        Ok(0)
    }
}

impl Backlog for TcpStream {
    fn set_low_water(&self, bytes: usize) -> bool {
        nix::sys::socket::setsockopt(self, LowWater, &i32::try_from(bytes).unwrap_or(i32::MAX)).is_ok()
    }

    fn poll_arrival(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }

    fn waiting(&self) -> Option<usize> {
        rustix::io::ioctl_fionread(self).ok().and_then(|count| usize::try_from(count).ok())
    }

    fn read_waiting(&self, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
        let count = self.waiting().unwrap_or(0).min(most);
        if count == 0 {
            return Ok(0);
        }
        let start = buffer.len();
        buffer.resize(start + count, 0);
        let free = buffer.get_mut(start..).unwrap_or_default();
        let read = rustix::net::recv(self, free, rustix::net::RecvFlags::DONTWAIT);
        let count = read.as_ref().map_or(0, |(_, count)| *count);
        buffer.truncate(start + count);
        match read {
            Ok(_) => Ok(count),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self).is_ok_and(|count| count > 0)
    }

    #[cfg(target_os = "linux")]
    fn has_hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // A break is reported whether it is asked for or not.
        let mut asked = [PollFd::new(self, PollFlags::RDHUP)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut asked, Some(&at_once)).is_ok_and(|count| count > 0)
    }

    /// Elsewhere the end is seen when everything before it was read.
    #[cfg(not(target_os = "linux"))]
    fn has_hung_up(&self) -> bool {
        false
    }
}

impl<S: Backlog> Backlog for TlsStream<S> {
    fn has_unread(&self) -> bool {
        self.get_ref().0.has_unread()
    }

    fn has_hung_up(&self) -> bool {
        self.get_ref().0.has_hung_up()
    }
}

impl<S: Backlog> Backlog for Rewound<S> {
    fn set_low_water(&self, bytes: usize) -> bool {
        self.get_ref().set_low_water(bytes)
    }

    fn poll_arrival(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.is_rewound() {
            true => Poll::Ready(Ok(())),
            false => self.get_ref().poll_arrival(context),
        }
    }

    fn waiting(&self) -> Option<usize> {
        self.get_ref().waiting()
    }

    fn read_waiting(&self, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
        match self.is_rewound() {
            true => Ok(0),
            false => self.get_ref().read_waiting(buffer, most),
        }
    }

    fn has_unread(&self) -> bool {
        self.get_ref().has_unread()
    }

    fn has_hung_up(&self) -> bool {
        self.get_ref().has_hung_up()
    }
}
