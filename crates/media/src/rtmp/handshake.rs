//! The handshake: plain (RTMP 1.0, section 5.2), or with the digests that Flash players and FMLE use (D3, quirk Q1).
//!
//! Nothing that the peer returns in C2 or S2 is compared: encoders exist that send anything there.

use bytes::{Buf, BufMut, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

/// The length of C1, S1, C2 and S2.
const PACKET: usize = 1536;
const DIGEST: usize = 32;
/// The first eight bytes of a packet are its time and its version.
const HEAD: usize = 8;

/// A bound for the position of a digest, given by the four bytes before the block that holds it.
const DIGEST_POSITIONS: usize = 728;

const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// The key of the server's S2: the words, then 32 bytes known from every peer that speaks this handshake. S1 is signed
/// with the words alone.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001\
    \xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\
    \x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
const SERVER_WORDS: usize = 36;

/// The version in S1 of a digest answer. Clients check the digest of S2 only when its first byte is 3 or more.
const SERVER_VERSION: [u8; 4] = [3, 5, 1, 1];

/// Which form of handshake the peer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeKind {
    /// RTMP 1.0 without digests.
    Plain,
    /// The digest lies in the first half of C1, after an offset at byte 8.
    DigestFirst,
    /// The digest lies in the second half of C1, after an offset at byte 772.
    DigestSecond,
}

impl HandshakeKind {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::DigestFirst => "digest-first",
            Self::DigestSecond => "digest-second",
        }
    }
}

/// The random bytes of one handshake: the filling of our first and second packet.
#[derive(Clone)]
pub struct HandshakeRandom(Box<[u8; 2 * PACKET]>);

impl HandshakeRandom {
    /// Takes 3072 bytes from a source of randomness.
    pub fn new(bytes: [u8; 2 * PACKET]) -> Self {
        Self(Box::new(bytes))
    }

    /// The two packets.
    fn packets(&self) -> ([u8; PACKET], [u8; PACKET]) {
        let (first, second) = self.0.split_at(PACKET);
        let take = |half: &[u8]| half.first_chunk().copied().unwrap_or([0; PACKET]);
        (take(first), take(second))
    }
}

impl std::fmt::Debug for HandshakeRandom {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HandshakeRandom")
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The first byte belongs to another protocol: RTMP 1.0, section 5.2.2, keeps 32 and above for text protocols.
    #[error("first byte {0:#04x} is not RTMP")]
    NotRtmp(u8),
    /// The peer wants RTMPE, an encryption that no current encoder needs.
    #[error("encrypted RTMP, version {0}, is not supported")]
    Encrypted(u8),
}

/// The server's side of a handshake.
#[derive(Debug)]
pub(super) struct ServerHandshake {
    random: HandshakeRandom,
    answered: Option<HandshakeKind>,
    odd_version: bool,
}

impl ServerHandshake {
    pub(super) fn new(random: HandshakeRandom) -> Self {
        Self { random, answered: None, odd_version: false }
    }

    /// Whether C0 named a version other than 3, which is answered with 3 all the same.
    pub(super) fn has_odd_version(&self) -> bool {
        self.odd_version
    }

    /// Takes what it needs from `input`, appends the answer to `output`, and returns the kind when C2 has passed.
    pub(super) fn advance(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<Option<HandshakeKind>, HandshakeError> {
        let kind = match self.answered {
            Some(kind) => kind,
            None => {
                let Some(&version) = input.first() else { return Ok(None) };
                check_version(version)?;
                let Some(c1) = input.get(1..).and_then(|rest| rest.first_chunk::<PACKET>()) else { return Ok(None) };
                let kind = answer(c1, &self.random, output);
                self.odd_version = version != 3;
                self.answered = Some(kind);
                input.advance(1 + PACKET);
                kind
            }
        };
        if input.len() < PACKET {
            return Ok(None);
        }
        input.advance(PACKET);
        Ok(Some(kind))
    }
}

fn check_version(version: u8) -> Result<(), HandshakeError> {
    match version {
        6 | 8 | 9 => Err(HandshakeError::Encrypted(version)),
        0..32 => Ok(()),
        other => Err(HandshakeError::NotRtmp(other)),
    }
}

/// Appends S0, S1 and S2.
fn answer(c1: &[u8; PACKET], random: &HandshakeRandom, output: &mut BytesMut) -> HandshakeKind {
    let (mut s1, mut s2) = random.packets();
    let found = [HandshakeKind::DigestFirst, HandshakeKind::DigestSecond]
        .into_iter()
        .find_map(|kind| client_digest(c1, kind).map(|digest| (kind, digest)));
    let kind = match found {
        Some((kind, digest)) => {
            put(&mut s1, 0, &[0; 4]);
            put(&mut s1, 4, &SERVER_VERSION);
            sign(&mut s1, kind, SERVER_KEY.get(..SERVER_WORDS).unwrap_or_default());
            let key = hmac(SERVER_KEY, &[&digest]);
            let body = s2.get(..PACKET - DIGEST).unwrap_or_default();
            let signature = hmac(&key, &[body]);
            put(&mut s2, PACKET - DIGEST, &signature);
            kind
        }
        None => {
            put(&mut s1, 0, &[0; HEAD]);
            s2 = *c1;
            HandshakeKind::Plain
        }
    };
    output.put_u8(3);
    output.put_slice(&s1);
    output.put_slice(&s2);
    kind
}

/// The digest of C1 if it has a valid one of that kind.
fn client_digest(c1: &[u8; PACKET], kind: HandshakeKind) -> Option<[u8; DIGEST]> {
    let position = digest_position(c1, kind)?;
    let digest: [u8; DIGEST] = *c1.get(position..)?.first_chunk()?;
    (packet_digest(c1, position, CLIENT_KEY) == digest).then_some(digest)
}

/// Puts the digest of `packet` into it.
fn sign(packet: &mut [u8; PACKET], kind: HandshakeKind, key: &[u8]) {
    if let Some(position) = digest_position(packet, kind) {
        let digest = packet_digest(packet, position, key);
        put(packet, position, &digest);
    }
}

fn digest_position(packet: &[u8; PACKET], kind: HandshakeKind) -> Option<usize> {
    let block = match kind {
        HandshakeKind::Plain => return None,
        HandshakeKind::DigestFirst => HEAD,
        HandshakeKind::DigestSecond => 772,
    };
    let offset: usize = packet.get(block..block + 4)?.iter().map(|&byte| usize::from(byte)).sum();
    Some(block + 4 + offset % DIGEST_POSITIONS)
}

/// The digest of a packet without the place of the digest itself.
fn packet_digest(packet: &[u8; PACKET], position: usize, key: &[u8]) -> [u8; DIGEST] {
    let before = packet.get(..position).unwrap_or_default();
    let after = packet.get(position + DIGEST..).unwrap_or_default();
    hmac(key, &[before, after])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn put(packet: &mut [u8; PACKET], position: usize, bytes: &[u8]) {
    if let Some(place) = packet.get_mut(position..position + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The client's side of a plain handshake.
#[derive(Debug)]
pub(super) struct ClientHandshake {
    answered: bool,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `output`.
    pub(super) fn begin(random: &HandshakeRandom, output: &mut BytesMut) -> Self {
        let (mut c1, _) = random.packets();
        put(&mut c1, 0, &[0; HEAD]);
        output.put_u8(3);
        output.put_slice(&c1);
        Self { answered: false }
    }

    /// Takes what it needs from `input`, answers S1 with C2, and returns whether S2 has passed.
    pub(super) fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<bool, HandshakeError> {
        if !self.answered {
            let Some(&version) = input.first() else { return Ok(false) };
            check_version(version)?;
            let Some(s1) = input.get(1..=PACKET) else { return Ok(false) };
            output.put_slice(s1);
            input.advance(1 + PACKET);
            self.answered = true;
        }
        if input.len() < PACKET {
            return Ok(false);
        }
        input.advance(PACKET);
        Ok(true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn random() -> HandshakeRandom {
        HandshakeRandom::new(std::array::from_fn(|index| (index * 7 + index / 256) as u8))
    }

    /// C0 and C1 of a client of that kind.
    pub(in super::super) fn hello(kind: HandshakeKind) -> Vec<u8> {
        let mut c1: [u8; PACKET] = std::array::from_fn(|index| (index * 13 + index / 251) as u8);
        put(&mut c1, 0, &[0, 0, 0, 9, 0x80, 0, 7, 2]);
        sign(&mut c1, kind, CLIENT_KEY);
        [&[3], c1.as_slice()].concat()
    }

    fn check(client: &[u8], split: usize, expected: HandshakeKind) -> Vec<u8> {
        let mut handshake = ServerHandshake::new(random());
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        let mut result = None;
        for piece in client.chunks(split) {
            assert_eq!(result, None, "finished before the last byte");
            input.extend_from_slice(piece);
            result = handshake.advance(&mut input, &mut output).unwrap();
        }
        assert_eq!(result, Some(expected));
        assert!(input.is_empty());
        output.to_vec()
    }

    #[test]
    fn q01_plain_is_answered_with_an_echo() {
        let hello = hello(HandshakeKind::Plain);
        for split in [1, 700, 4000] {
            let answer = check(&[hello.as_slice(), &[0xee; PACKET]].concat(), split, HandshakeKind::Plain);
            assert_eq!(answer.len(), 1 + 2 * PACKET);
            assert_eq!(answer[..9], [3, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(answer[1 + PACKET..], hello[1..]);
        }
    }

    #[test]
    fn q01_digests_are_answered_with_digests() {
        for kind in [HandshakeKind::DigestFirst, HandshakeKind::DigestSecond] {
            let hello = hello(kind);
            let answer = check(&[hello.as_slice(), &[0; PACKET]].concat(), 1537, kind);
            let c1: &[u8; PACKET] = hello[1..].first_chunk().unwrap();
            let s1: &[u8; PACKET] = answer[1..].first_chunk().unwrap();
            let s2 = &answer[1 + PACKET..];

            let position = digest_position(s1, kind).unwrap();
            assert_eq!(s1[position..position + DIGEST], packet_digest(s1, position, &SERVER_KEY[..36]));
            let key = hmac(SERVER_KEY, &[&client_digest(c1, kind).unwrap()]);
            assert_eq!(s2[PACKET - DIGEST..], hmac(&key, &[&s2[..PACKET - DIGEST]]));
        }
    }

    #[test]
    fn q01_a_wrong_digest_is_plain() {
        let mut hello = hello(HandshakeKind::DigestFirst);
        hello[1535] ^= 1;
        check(&[hello.as_slice(), &[0; PACKET]].concat(), 5000, HandshakeKind::Plain);
    }

    #[test]
    fn q01_odd_versions_pass_and_other_protocols_do_not() {
        let first = |byte: u8| {
            let mut handshake = ServerHandshake::new(random());
            handshake.advance(&mut BytesMut::from([byte].as_slice()), &mut BytesMut::new())
        };
        assert_eq!(first(3), Ok(None));
        assert_eq!(first(0), Ok(None));
        assert_eq!(first(31), Ok(None));
        assert_eq!(first(6), Err(HandshakeError::Encrypted(6)));
        assert_eq!(first(b'G'), Err(HandshakeError::NotRtmp(b'G')));
        assert_eq!(first(0x16), Ok(None), "TLS is told apart by whoever accepts the connection");
    }

    #[test]
    fn client_and_server_agree() {
        let mut server = ServerHandshake::new(random());
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut client = ClientHandshake::begin(&random(), &mut to_server);
        assert_eq!(server.advance(&mut to_server, &mut to_client), Ok(None));
        assert_eq!(client.advance(&mut to_client, &mut to_server), Ok(true));
        assert_eq!(server.advance(&mut to_server, &mut to_client), Ok(Some(HandshakeKind::Plain)));
        assert!(to_server.is_empty() && to_client.is_empty());
    }
}
