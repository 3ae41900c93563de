//! When a row was last written, as its engine says it.

/// When a key was last written. The bytes are the engine's own: to everybody else two versions are equal or not, and equal
/// ones mean an unchanged value. An engine never uses one twice for a key; keys written by one commit share it.
///
/// Engines that count their commits in 64 bits, as the ones here do, use `Version::of_commit`; one that numbers otherwise
/// (ten bytes of a version stamp, a counter of a server and its epoch) has up to [`Self::MAX_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    len: u8,
    bytes: [u8; Self::MAX_BYTES],
}

impl Version {
    /// The most bytes of one.
    pub const MAX_BYTES: usize = 15;

    /// The version that an engine knows by these bytes; `None` for more than [`Self::MAX_BYTES`].
    pub fn from_bytes(version: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        bytes.get_mut(..version.len())?.copy_from_slice(version);
        Some(Self { len: u8::try_from(version.len()).ok()?, bytes })
    }

    /// What [`Self::from_bytes`] was given.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The version of the commit with this number, of an engine that counts them.
    pub(crate) const fn of_commit(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        Self { len: 8, bytes: [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0] }
    }

    /// The number that [`Self::of_commit`] was given; `None` for a version of an engine that does not count so.
    pub(crate) fn commit(&self) -> Option<u64> {
        self.as_bytes().try_into().ok().map(u64::from_be_bytes)
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Version(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_whatever_bytes_an_engine_likes() {
        for number in [0, 1, 0x1234_5678_9abc_def0, u64::MAX] {
            let version = Version::of_commit(number);
            assert_eq!((version.commit(), Version::from_bytes(version.as_bytes())), (Some(number), Some(version)));
        }
        let stamp = Version::from_bytes(b"0123456789").unwrap();
        assert_eq!((stamp.as_bytes(), stamp.commit()), (&b"0123456789"[..], None));
        assert_ne!(Version::from_bytes(b""), Version::from_bytes(b"\0"), "how long it is belongs to it");
        assert_eq!(Version::from_bytes(&[0; Version::MAX_BYTES + 1]), None);
        assert_eq!(format!("{stamp:?}"), "Version(30313233343536373839)");
    }
}
