//! Secrets at rest (OSS auth 1): what signatures need in clear is written down sealed, with AES-256-GCM and a key that
//! is kept elsewhere. A copy of the map alone signs nothing.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use bytes::Bytes;

use crate::error::{Error, Result, Subject};

/// The first byte of everything sealed: how the rest is written.
const VERSION: u8 = 1;

/// Seals and opens secrets with one key.
pub struct Vault(RandomizedNonceKey);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(hidden)")
    }
}

impl Vault {
    /// Bytes of a key.
    pub const KEY_BYTES: usize = 32;

    /// A vault with this key, which should be random.
    ///
    /// # Errors
    /// `Unavailable` when the library for cryptography refuses the key, which it never does.
    pub fn new(key: &[u8; Self::KEY_BYTES]) -> Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key)
            .map_err(|_| Error::unavailable(Subject::Engine, "the cipher does not take this key"))?;
        Ok(Self(key))
    }

    /// Seals a text. `place` says where it is kept, and has to be the same when it is opened, so that nobody can put a
    /// sealed secret into another row.
    ///
    /// # Errors
    /// `Unavailable` when there is no randomness.
    pub(crate) fn seal(&self, place: &str, text: &str) -> Result<Bytes> {
        let mut sealed = text.as_bytes().to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut sealed)
            .map_err(|_| Error::unavailable(Subject::Account, "a secret cannot be sealed now"))?;
        let mut out = vec![VERSION];
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut sealed);
        Ok(out.into())
    }

    /// Opens what was sealed for the same place.
    ///
    /// # Errors
    /// `Corrupt` when it was sealed with another key, for another place, or was changed.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<String> {
        let opened = match sealed.split_first() {
            Some((&VERSION, rest)) => rest.split_at_checked(NONCE_LEN).and_then(|(nonce, rest)| {
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let mut text = rest.to_vec();
                let len = self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut text).ok()?.len();
                text.truncate(len);
                String::from_utf8(text).ok()
            }),
            _ => None,
        };
        opened.ok_or_else(|| {
            Error::corrupt(Subject::Account, format!("the secret of {place} cannot be opened with this key"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_is_sealed_opens_in_its_place_with_its_key() {
        let (vault, other) = (Vault::new(&[1; 32]).unwrap(), Vault::new(&[2; 32]).unwrap());
        let sealed = vault.seal("a", "hush").unwrap();
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_ne!(sealed, vault.seal("a", "hush").unwrap(), "equal secrets must not look equal");
        assert_eq!(vault.open("a", &sealed).as_deref(), Ok("hush"));
        assert_eq!(vault.open("b", &sealed).unwrap_err().kind, ErrorKind::Corrupt);
        assert_eq!(other.open("a", &sealed).unwrap_err().kind, ErrorKind::Corrupt);
        for at in 0..sealed.len() {
            let mut wrong = sealed.to_vec();
            wrong[at] ^= 1;
            assert!(vault.open("a", &wrong).is_err(), "byte {at}");
            assert!(vault.open("a", &sealed[..at]).is_err(), "{at} bytes");
        }
        assert_eq!(vault.open("", &vault.seal("", "").unwrap()).as_deref(), Ok(""));
        assert_eq!(format!("{vault:?}"), "Vault(hidden)");
    }
}
