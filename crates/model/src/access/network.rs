//! Networks as policies and settings name them: an address, or an address and how many of its bits count.

use std::net::IpAddr;

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `192.0.2.1`, `10.0.0.0/8` or `2001:db8::/32`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= longest)?
            }
            Some(_) => return None,
            None => longest,
        };
        Some(Self { address, bits })
    }

    /// Whether every address of its family lies in it.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether an address lies in it. Addresses of the two families never meet: canonical ones are expected.
    pub fn contains(&self, found: IpAddr) -> bool {
        match (self.address, found) {
            (IpAddr::V4(network), IpAddr::V4(found)) => {
                let ignored = 32_u32.saturating_sub(self.bits);
                network.to_bits().checked_shr(ignored) == found.to_bits().checked_shr(ignored)
            }
            (IpAddr::V6(network), IpAddr::V6(found)) => {
                let ignored = 128_u32.saturating_sub(self.bits);
                network.to_bits().checked_shr(ignored) == found.to_bits().checked_shr(ignored)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_contain() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", Some(true)),
            ("10.0.0.0/8", "11.0.0.1", Some(false)),
            ("192.0.2.7", "192.0.2.7", Some(true)),
            ("192.0.2.7", "192.0.2.8", Some(false)),
            ("0.0.0.0/0", "203.0.113.9", Some(true)),
            ("0.0.0.0/0", "::1", Some(false)),
            ("2001:db8::/32", "2001:db8:ffff::1", Some(true)),
            ("::/0", "::1", Some(true)),
            ("10.0.0.0/33", "10.0.0.1", None),
            ("10.0.0.0/", "10.0.0.1", None),
            ("10.0.0.0/+8", "10.0.0.1", None),
            ("10.0.0/8", "10.0.0.1", None),
            ("", "10.0.0.1", None),
        ] {
            let contains = Network::parse(network).map(|network| network.contains(address.parse().unwrap()));
            assert_eq!(contains, expected, "{network} {address}");
        }
    }
}
