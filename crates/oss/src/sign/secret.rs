//! Secrets, what is derived from them, and comparing signatures without telling how much of them was right.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The secret of an access key (OSS auth 1). It cannot be printed: `Debug` shows a placeholder, and there is no
/// `Display`.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// The longest secret, in bytes (OSS auth 1).
    pub const MAX_BYTES: usize = 128;

    /// Takes the text of a secret. Any text is a secret; how long it may be is decided where keys are made.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Whether this is the same secret, in a time that depends on the lengths alone.
    pub fn is_same(&self, other: &SecretKey) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }

    pub(super) fn as_text(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(hidden)")
    }
}

/// The key that V4 signs with: a secret bound to one day and one region (OSS auth 5.1). Callers that verify many
/// requests of one access key may keep it and use `Credentials::verify_with`.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Derives the key for a day written `yyyymmdd` and a region such as `cn-hangzhou`.
    pub fn derive(secret: &SecretKey, date: &str, region: &str) -> Self {
        let mut seed = Vec::with_capacity(9 + secret.as_bytes().len());
        seed.extend_from_slice(b"aliyun_v4");
        seed.extend_from_slice(secret.as_bytes());
        let mut key = hmac_sha256(&seed, date.as_bytes());
        for part in [region, "oss", "aliyun_v4_request"] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        Self(keyed_sha256(&key))
    }

    /// The signature of a text, in lower-case hex.
    pub(crate) fn sign(&self, text: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(text);
        hex_lower(&mac.finalize().into_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

/// `base64(HMAC-SHA1(secret, text))`, the signature of V1, of forms and of RTMP URLs.
pub(crate) fn sign_sha1(secret: &SecretKey, text: &[u8]) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Whether two signatures are the same text, in a time that depends on their lengths alone.
pub(crate) fn is_same(computed: &str, provided: &str) -> bool {
    computed.as_bytes().ct_eq(provided.as_bytes()).into()
}

/// What stands for a signature where it must not be kept itself.
pub(super) fn fingerprint(id: &str, signature: &str) -> [u8; 32] {
    Sha256::digest(format!("{id}:{signature}")).into()
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex_lower(&Sha256::digest(bytes))
}

fn keyed_sha256(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = keyed_sha256(key);
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn hex_lower(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_keys_is_the_documented_one() {
        let mut key = hmac_sha256(b"aliyun_v4FakeSecretForSpecOnly000000000001", b"20240102");
        let mut chain = vec![hex_lower(&key)];
        for part in ["cn-hangzhou", "oss", "aliyun_v4_request"] {
            key = hmac_sha256(&key, part.as_bytes());
            chain.push(hex_lower(&key));
        }
        assert_eq!(
            chain,
            [
                "68ea1e60b5d8d11b797bdd3c424fd6d716cefb283c91765e6ad7c843b0afe884",
                "0f40e4e0c766b2a8b9905eabae98719ea6d290f290e9273262905a7131eb5ecf",
                "46e799b754d7ee48469db3a1a4656606f6882c49608e84a6b1a90abc6bb9c4c7",
                "aa4e2a1f0dc2f68520e1b6851397c9c5188b304eccc1fb75bfb540f33c028333",
            ]
        );
        let secret = SecretKey::new("FakeSecretForSpecOnly000000000001".to_owned());
        let derived = SigningKey::derive(&secret, "20240102", "cn-hangzhou").sign(b"x");
        assert_eq!(derived, hex_lower(&hmac_sha256(&key, b"x")));
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = SecretKey::new("hush".to_owned());
        assert!(!format!("{secret:?} {:?}", SigningKey::derive(&secret, "20240102", "r")).contains("hush"));
    }

    #[test]
    fn signatures_are_the_same_only_when_equal() {
        for (a, b, same) in [("abc", "abc", true), ("abc", "abd", false), ("abc", "ab", false), ("", "", true)] {
            assert_eq!(is_same(a, b), same, "{a} {b}");
        }
    }
}
