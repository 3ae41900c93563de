//! Random numbers and the ids made of them.

use std::cell::RefCell;

use model::hex_upper;

/// Random bytes from the operating system.
///
/// Without them neither keys nor ids can be made, and continuing would mean predictable ones; the operating systems
/// this runs on always have them once they have booted.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::panic)]
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no random numbers: {error}");
    }
    bytes
}

/// Random numbers for so many ids are asked for at once.
const IDS_AT_ONCE: usize = 64;

thread_local! {
    /// Random numbers for the next ids of this thread.
    static NEXT_IDS: RefCell<Vec<[u8; 8]>> = const { RefCell::new(Vec::new()) };
}

/// 24 upper-case hex digits: the unix second and 64 random bits (HTTP API 4).
pub(crate) fn request_id(now_ms: i64) -> String {
    let second = u32::try_from(now_ms.div_euclid(1000)).unwrap_or(u32::MAX);
    let number = NEXT_IDS.with_borrow_mut(|next| {
        if next.is_empty() {
            next.extend(random::<{ 8 * IDS_AT_ONCE }>().as_chunks().0);
        }
        next.pop().unwrap_or_else(random)
    });
    format!("{second:08X}{:016X}", u64::from_be_bytes(number))
}

/// 32 upper-case hex digits, unique for ever (HTTP API 10).
pub(crate) fn upload_id() -> String {
    hex_upper(&random::<16>())
}

/// The id of an access key.
pub(crate) fn access_key_id() -> String {
    format!("MPND{}", letters(&random::<20>()))
}

/// The secret of an access key: 238 random bits.
pub(crate) fn secret() -> String {
    letters(&random::<40>())
}

/// The number of a user: 18 digits (access control 1).
pub(crate) fn user_number() -> String {
    let number = u64::from_le_bytes(random()) % 100_000_000_000_000_000;
    format!("2{number:017}")
}

fn letters(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect()
}

/// The random bytes of an RTMP handshake.
pub(crate) fn handshake_random() -> media::rtmp::handshake::HandshakeRandom {
    media::rtmp::handshake::HandshakeRandom::new(random())
}

#[cfg(test)]
mod tests {
    #[test]
    fn request_ids_have_24_digits() {
        let id = super::request_id(1_704_164_645_123);
        assert_eq!(id.len(), 24);
        assert!(id.starts_with("65937D25"));
        assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
        assert_ne!(id, super::request_id(1_704_164_645_123));
    }
}
