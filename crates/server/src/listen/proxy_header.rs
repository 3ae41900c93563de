//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a proxy that understands nothing but TCP
//! writes in front of a connection, so that the server behind it learns whose connection it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The first bytes of version 1.
const SIGNATURE_1: &[u8] = b"PROXY ";
/// The first bytes of version 2.
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
const MAX_LINE: usize = 107;
/// The part of version 2 that says how much follows.
const FIXED: usize = 16;
/// What may follow: the longest addresses with a few hundred bytes beside them are usual, a certificate's name included.
const MAX_REST: usize = 4096;
/// The type of the field that tells of TLS, and the bit in it.
const TLS_FIELD: u8 = 0x20;
const TLS_BIT: u8 = 0x01;
/// How long to wait for the rest of a signature that came in pieces.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The version of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// A line of text.
    One,
    /// Binary.
    Two,
}

impl Version {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// The address.
    pub(super) address: SocketAddr,
    /// Whether it spoke TLS with the proxy.
    pub(super) is_secure: bool,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("its line is no line of version 1")]
    Line,
    #[error("its command or its addresses are none of version 2")]
    Binary,
    #[error("it is longer than {MAX_REST} bytes")]
    TooLong,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Header(Version),
    /// More bytes will tell.
    Begun,
    Other,
}

fn look(bytes: &[u8]) -> Look {
    for (signature, version) in [(SIGNATURE_1, Version::One), (SIGNATURE_2, Version::Two)] {
        if bytes.starts_with(signature) {
            return Look::Header(version);
        }
        if signature.starts_with(bytes) {
            return Look::Begun;
        }
    }
    Look::Other
}

/// Which header stands in front of a connection, if any; what it is stays unread. `is_awaited` waits for the rest of a
/// signature that has begun. `None` when the peer has closed.
///
/// # Errors
/// What broke the connection.
pub(super) async fn find(stream: &TcpStream, is_awaited: bool) -> io::Result<Option<Option<Version>>> {
    let mut bytes = [0; SIGNATURE_2.len()];
    loop {
        let count = stream.peek(&mut bytes).await?;
        if count == 0 {
            return Ok(None);
        }
        match look(bytes.get(..count).unwrap_or(&bytes)) {
            Look::Header(version) => return Ok(Some(Some(version))),
            Look::Begun if is_awaited => tokio::time::sleep(LOOK_AGAIN).await,
            Look::Begun | Look::Other => return Ok(Some(None)),
        }
    }
}

/// Reads a header of this version, and no byte more; `None` when it says nothing of the client, as for the proxy's own
/// checks.
///
/// # Errors
/// [`Broken`].
pub(super) async fn read(stream: &mut TcpStream, version: Version) -> Result<Option<Client>, Broken> {
    match version {
        Version::One => parse_line(&read_line(stream).await?).ok_or(Broken::Line),
        Version::Two => {
            let mut fixed = [0; FIXED];
            stream.read_exact(&mut fixed).await?;
            let [.., high, low] = fixed;
            let len = usize::from(u16::from_be_bytes([high, low]));
            if len > MAX_REST {
                return Err(Broken::TooLong);
            }
            let mut rest = vec![0; len];
            stream.read_exact(&mut rest).await?;
            parse_binary(&fixed, &rest).ok_or(Broken::Binary)
        }
    }
}

/// Reads up to the end of the line, without it.
async fn read_line(stream: &mut TcpStream) -> Result<Vec<u8>, Broken> {
    let mut line = Vec::with_capacity(MAX_LINE);
    let mut seen = [0; MAX_LINE];
    while line.len() < MAX_LINE {
        let room = seen.get_mut(line.len()..).unwrap_or_default();
        let count = stream.peek(room).await?;
        if count == 0 {
            return Err(Broken::Line);
        }
        let end = room.iter().take(count).position(|byte| *byte == b'\n');
        let mut piece = vec![0; end.map_or(count, |end| end + 1)];
        stream.read_exact(&mut piece).await?;
        line.append(&mut piece);
        if end.is_some() {
            return line.strip_suffix(b"\r\n").map(<[u8]>::to_vec).ok_or(Broken::Line);
        }
    }
    Err(Broken::Line)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, `PROXY TCP6 ..`, `PROXY UNKNOWN ..`.
fn parse_line(line: &[u8]) -> Option<Option<Client>> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("PROXY ")?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let fields: Vec<&str> = line.split(' ').take(6).collect();
    let [family, source, _, port, _] = *fields else { return None };
    let ip = match family {
        "TCP4" => IpAddr::V4(source.parse().ok()?),
        "TCP6" => IpAddr::V6(source.parse().ok()?),
        _ => return None,
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_number.then(|| port.parse().ok()).flatten()?;
    Some(Some(Client { address: SocketAddr::new(ip.to_canonical(), port), is_secure: false }))
}

/// The fixed part and what follows it: addresses, then fields of a type, a length and a value.
fn parse_binary(fixed: &[u8; FIXED], rest: &[u8]) -> Option<Option<Client>> {
    let [.., command, family, _, _] = *fixed;
    match command {
        // The proxy speaks for itself.
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    let (address, fields) = match family {
        0x11 => {
            let ([a, b, c, d, _, _, _, _, high, low, _, _], fields) = rest.split_first_chunk::<12>()?;
            (SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*high, *low])), fields)
        }
        0x21 => {
            let (addresses, fields) = rest.split_first_chunk::<36>()?;
            let ip = Ipv6Addr::from(*addresses.first_chunk::<16>()?);
            let [.., high, low, _, _] = *addresses;
            (SocketAddr::new(IpAddr::from(ip).to_canonical(), u16::from_be_bytes([high, low])), fields)
        }
        // Sockets of the proxy's own machine, datagrams, and what it cannot name.
        _ => return Some(None),
    };
    Some(Some(Client { address, is_secure: is_of_tls(fields) }))
}

/// Whether the fields say that the client spoke TLS.
fn is_of_tls(mut fields: &[u8]) -> bool {
    while let Some(([kind, high, low], rest)) = fields.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, next)) = rest.split_at_checked(len) else { return false };
        if *kind == TLS_FIELD {
            return value.first().is_some_and(|bits| bits & TLS_BIT != 0);
        }
        fields = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn client(address: &str, is_secure: bool) -> Option<Option<Client>> {
        Some(Some(Client { address: address.parse().unwrap(), is_secure }))
    }

    #[test]
    fn lines_of_version_1() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443", client("192.0.2.1:56324", false)),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 2", client("[2001:db8::1]:1", false)),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2", client("192.0.2.1:1", false)),
            ("PROXY UNKNOWN", Some(None)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2", Some(None)),
            ("PROXY UNKNOWNS", None),
            ("PROXY TCP4 2001:db8::1 2001:db8::2 1 2", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 443", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443", None),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 443 5", None),
            ("PROXY TCP4  192.0.2.1 198.51.100.1 1 443", None),
            // A request of HTTP with an odd method.
            ("PROXY /index.html HTTP/1.1", None),
            ("PROXY ", None),
        ] {
            assert_eq!(parse_line(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(parse_line(b"PROXY TCP4 \xff"), None);
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Option<Option<Client>> {
        let mut fixed = [0; FIXED];
        fixed[..12].copy_from_slice(SIGNATURE_2);
        (fixed[12], fixed[13]) = (command, family);
        parse_binary(&fixed, rest)
    }

    #[test]
    fn headers_of_version_2() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb];
        assert_eq!(binary(0x21, 0x11, &v4), client("192.0.2.1:56324", false));
        let with = |fields: &[u8]| binary(0x21, 0x11, &[&v4[..], fields].concat());
        assert_eq!(with(&[4, 0, 2, 9, 9, 0x20, 0, 5, 1, 0, 0, 0, 0]), client("192.0.2.1:56324", true));
        assert_eq!(with(&[0x20, 0, 5, 0, 0, 0, 0, 0]), client("192.0.2.1:56324", false));
        assert_eq!(with(&[0x20, 0, 9, 1]), client("192.0.2.1:56324", false));
        assert_eq!(with(&[4, 0]), client("192.0.2.1:56324", false));
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 1, 7, 80);
        assert_eq!(binary(0x21, 0x21, &v6), client("[2001::7]:80", false));
        assert_eq!(binary(0x21, 0x11, &v4[..11]), None);
        assert_eq!(binary(0x21, 0x21, &v6[..35]), None);
        assert_eq!(binary(0x20, 0x11, &v4), Some(None));
        assert_eq!(binary(0x21, 0x00, &[]), Some(None));
        assert_eq!(binary(0x21, 0x31, &[0; 216]), Some(None));
        assert_eq!(binary(0x11, 0x11, &v4), None);
        assert_eq!(binary(0x22, 0x11, &v4), None);
    }

    #[test]
    fn signatures_are_told_from_requests() {
        assert_eq!(look(b"PROXY TCP4"), Look::Header(Version::One));
        assert_eq!(look(SIGNATURE_2), Look::Header(Version::Two));
        for begun in [&b"P"[..], b"PROXY", b"\r", b"\r\n\r\n\0"] {
            assert_eq!(look(begun), Look::Begun, "{begun:?}");
        }
        for other in [&b"PUT /"[..], b"POST ", b"GET / HTTP/1", b"\r\nGET", b"\x03", b"\x16\x03\x01", b"PRI * HTTP/2"] {
            assert_eq!(look(other), Look::Other, "{other:?}");
        }
    }

    #[tokio::test]
    async fn what_follows_stays_unread() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let long = "PROXY UNKNOWN ".to_owned() + &"x".repeat(200) + "\r\n";
        let mut two = [SIGNATURE_2, &[0x21, 0x11, 0, 12], &[10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]].concat();
        for (sent, is_read) in [
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), true),
            (two.clone(), true),
            (long.into_bytes(), false),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n".to_vec(), false),
        ] {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut ours, _) = listener.accept().await.unwrap();
            let version = look(&sent);
            let Look::Header(version) = version else { panic!("{version:?}") };
            let sending = tokio::spawn(async move {
                // In pieces.
                for piece in sent.chunks(5) {
                    peer.write_all(piece).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                peer.write_all(b"GET").await.unwrap();
                peer
            });
            assert_eq!(find(&ours, true).await.unwrap(), Some(Some(version)));
            let read = read(&mut ours, version).await;
            let peer = sending.await.unwrap();
            assert_eq!(read.is_ok(), is_read, "{read:?}");
            if is_read {
                assert_eq!(read.unwrap(), client("10.0.0.1:1", false).unwrap());
                let mut next = [0; 3];
                ours.read_exact(&mut next).await.unwrap();
                assert_eq!(&next, b"GET");
            }
            drop(peer);
        }
        two.truncate(14);
        two.extend_from_slice(&[0xff, 0xff]);
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut ours, _) = listener.accept().await.unwrap();
        peer.write_all(&two).await.unwrap();
        assert!(matches!(read(&mut ours, Version::Two).await, Err(Broken::TooLong)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(line: Vec<u8>, fixed: [u8; FIXED], rest: Vec<u8>) {
            let _ = (parse_line(&line), parse_binary(&fixed, &rest), is_of_tls(&rest), look(&line));
        }
    }
}
