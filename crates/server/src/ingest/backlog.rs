//! Whether a peer is ahead of us.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::Rewound;

/// A connection that knows what has arrived on it.
pub(crate) trait Backlog {
    /// Whether bytes have arrived that nobody has read yet.
    fn has_unread(&self) -> bool;

    /// Whether the peer will send nothing more than what is unread: it has closed its side, or the connection broke.
    fn has_hung_up(&self) -> bool;
}

impl Backlog for TcpStream {
    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self).is_ok_and(|count| count > 0)
    }

    #[cfg(target_os = "linux")]
    fn has_hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // A break is told whether it is asked for or not.
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
    fn has_unread(&self) -> bool {
        self.get_ref().has_unread()
    }

    fn has_hung_up(&self) -> bool {
        self.get_ref().has_hung_up()
    }
}
