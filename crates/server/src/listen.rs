//! Sockets: one port for HTTP, HTTPS, RTMP and RTMPS, distinguished by the first byte (D15).

mod inherited;

mod proxy_header;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use self::proxy_header::Client;
use crate::connections::{Connections, Slot};
use crate::descriptors::Seldom;
use crate::edge::Edge;
use crate::http::Door;
use crate::shutdown::Shutdown;
use crate::tls::{Rewound, Tls};
use crate::{http, ingest};

pub(crate) use inherited::{Inherited, adopt};

/// Bytes that stay unacknowledged this long end a connection that is not one of HTTP: a dead peer is noticed (D1).
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a port speaks when the first byte does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// The peer gets an HTTP error.
    Http,
    /// Odd versions of the RTMP handshake are tried (quirk Q1).
    Rtmp,
    /// It speaks nothing but HTTP: the console and the management API.
    Console {
        /// The port of the first public listener.
        public_port: u16,
    },
}

impl Fallback {
    fn door(self) -> Door {
        match self {
            Fallback::Http | Fallback::Rtmp => Door::Public,
            Fallback::Console { public_port } => Door::Console { public_port },
        }
    }
}

/// Opens a listening socket.
///
/// # Errors
/// The operating system's refusal, for example an address in use.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the previous life to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the word to stop is given.
pub(crate) async fn accept(listener: TcpListener, fallback: Fallback, edge: Arc<Edge>, mut shutdown: Shutdown) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let is_exempt = edge.proxies.trusts(peer.ip());
                // Until there is room, those who come next wait with the kernel.
                let admitted = tokio::select! {
                    () = shutdown.wait() => return,
                    admitted = edge.connections.enter(peer.ip(), is_exempt) => admitted,
                };
                let (edge, shutdown) = (edge.clone(), shutdown.clone());
                crate::panics::spawn("connection", async move {
                    let slot = admitted.slot().clone();
                    admitted.run(serve(stream, peer, fallback, slot, edge, shutdown)).await;
                });
            }
            Err(error) => refused(&error, &edge.connections).await,
        }
    }
}

/// Deals with a connection that could not be accepted: one that was over before it began concerns nobody else, but
/// without a descriptor accepting again at once would only burn the processor.
pub(crate) async fn refused(error: &io::Error, connections: &Connections) {
    static SELDOM: Seldom = Seldom::new();
    if let Some(count) = SELDOM.count() {
        tracing::warn!(%error, count, "cannot accept a connection");
    }
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        connections.close_useless();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    fallback: Fallback,
    slot: Arc<Slot>,
    edge: Arc<Edge>,
    shutdown: Shutdown,
) {
    if let Err(error) = tune(&stream) {
        tracing::debug!(%peer, %error, "cannot tune the socket");
    }
    let introduced = tokio::time::timeout(first_byte_timeout(&edge), introduce(&mut stream, peer, &slot, &edge)).await;
    let Ok(Some(Client { address: peer, is_secure })) = introduced else { return };
    let mut first = [0; 1];
    let peeked = tokio::time::timeout(first_byte_timeout(&edge), stream.peek(&mut first)).await;
    if !matches!(peeked, Ok(Ok(1))) {
        return;
    }
    // Each on its own piece of memory: one that says nothing, or is half a handshake, is not to hold room for what it may become.
    match (first, fallback) {
        ([0x16], _) => match edge.tls.clone() {
            Some(tls) => Box::pin(serve_secure(stream, &tls, peer, fallback, slot, edge, shutdown)).await,
            // Closing is what a plain port does.
            None => of_stranger!(
                INFO,
                "TLS without a certificate",
                peer.ip(),
                %peer,
                "a TLS connection was refused: no certificate is configured"
            ),
        },
        ([byte], _) if is_rtmp(byte, fallback) => {
            Box::pin(ingest::serve(stream, peer, is_secure, slot, edge, shutdown)).await;
        }
        _ => {
            wait_for_readers(&stream);
            Box::pin(http::serve_plain(stream, peer, is_secure, fallback.door(), slot, edge, shutdown)).await;
        }
    }
}

/// Whose connection it is: the peer's, or that of the client whom a trusted proxy names in front of it. `None` when it is
/// over.
async fn introduce(stream: &mut TcpStream, peer: SocketAddr, slot: &Slot, edge: &Edge) -> Option<Client> {
    let is_trusted = edge.proxies.trusts(peer.ip());
    let itself = Client { address: peer, is_secure: false };
    let Some(version) = proxy_header::find(stream, is_trusted).await.ok()?? else { return Some(itself) };
    if !is_trusted {
        of_stranger!(
            WARN,
            "PROXY protocol",
            peer.ip(),
            %peer,
            version = version.name(),
            "a connection that begins with a PROXY protocol header was refused: add the address of the proxy to trusted_proxies, \
             or switch the header off in the proxy"
        );
        return None;
    }
    match proxy_header::read(stream, version).await {
        Ok(Some(client)) => {
            if !edge.proxies.trusts(client.address.ip()) {
                edge.connections.learn_address(slot, client.address.ip());
            }
            Some(client)
        }
        Ok(None) => Some(itself),
        Err(error) => {
            of_stranger!(
                WARN,
                "bad PROXY header",
                peer.ip(),
                %peer,
                %error,
                version = version.name(),
                "a connection was refused: its PROXY protocol header cannot be read"
            );
            None
        }
    }
}

/// Lets a peer of HTTP pause: TCP's own timeout also counts while a peer that is there keeps its window closed (Linux,
/// tcp_probe_timer). How long an answer may stand still is ours to count; a peer that acknowledges nothing that was sent
/// also goes by the retransmissions of the kernel.
fn wait_for_readers(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(None) {
        tracing::debug!(%error, "cannot tune the socket");
    }
}

/// How long a peer may stay silent before it says which protocol it speaks.
fn first_byte_timeout(edge: &Edge) -> Duration {
    Duration::from_secs(edge.config.http.head_timeout_s)
}

fn is_rtmp(first: u8, fallback: Fallback) -> bool {
    match fallback {
        Fallback::Http => first == 0x03,
        Fallback::Rtmp => first == 0x03 || !first.is_ascii_alphabetic(),
        Fallback::Console { .. } => false,
    }
}

/// Behind TLS the first byte that was encrypted decides; a client that agreed on a protocol speaks HTTP.
async fn serve_secure(
    stream: TcpStream,
    tls: &Tls,
    peer: SocketAddr,
    fallback: Fallback,
    slot: Arc<Slot>,
    edge: Arc<Edge>,
    shutdown: Shutdown,
) {
    let mut stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            // Old encoders only say that the connection failed; the reason is here for whoever looks for it (quirk Q14).
            of_stranger!(INFO, "no TLS", peer.ip(), %peer, %error, "no TLS with this peer");
            return;
        }
    };
    if stream.get_ref().1.alpn_protocol().is_some() {
        wait_for_readers(stream.get_ref().0);
        return http::serve_secure(stream, peer, fallback.door(), slot, edge, shutdown).await;
    }
    let Ok(Ok(first)) = tokio::time::timeout(first_byte_timeout(&edge), stream.read_u8()).await else { return };
    let stream = Rewound::new(Some(first), stream);
    if is_rtmp(first, fallback) {
        ingest::serve(stream, peer, true, slot, edge, shutdown).await;
    } else {
        wait_for_readers(stream.get_ref().get_ref().0);
        http::serve_secure(stream, peer, fallback.door(), slot, edge, shutdown).await;
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    // A quiet peer that has vanished goes within a minute and a half.
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&probes.with_retries(5))
}
