//! Whether a peer is ahead of us.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::Rewound;

/// A connection that knows what has arrived on it.
pub(crate) trait Backlog {
    /// Whether bytes have arrived that nobody has read yet.
    fn has_unread(&self) -> bool;
}

impl Backlog for TcpStream {
    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self).is_ok_and(|count| count > 0)
    }
}

impl<S: Backlog> Backlog for TlsStream<S> {
    fn has_unread(&self) -> bool {
        self.get_ref().0.has_unread()
    }
}

impl<S: Backlog> Backlog for Rewound<S> {
    fn has_unread(&self) -> bool {
        self.get_ref().has_unread()
    }
}
