//! A transport stream that comes in pieces, cut into packets.

use super::packet::PACKET;

/// Keeps the beginning of a packet whose end has not come, at most 187 bytes.
#[derive(Clone, Debug, Default)]
pub struct PacketSplitter {
    partial: Vec<u8>,
}

impl PacketSplitter {
    /// Takes the next bytes, as many as there are, and gives each packet of 188 bytes that is whole now.
    pub fn feed(&mut self, mut bytes: &[u8], mut packet: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            let missing = PACKET.saturating_sub(self.partial.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.partial.extend_from_slice(now);
            bytes = later;
            if self.partial.len() < PACKET {
                return;
            }
            packet(&self.partial);
            self.partial.clear();
        }
        let packets = bytes.chunks_exact(PACKET);
        self.partial.extend_from_slice(packets.remainder());
        packets.for_each(packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_are_the_same_however_they_come(
            stream in prop::collection::vec(any::<u8>(), 0..2000),
            pieces in prop::collection::vec(1_usize..600, 1..8),
        ) {
            let mut splitter = PacketSplitter::default();
            let (mut found, mut rest) = (Vec::new(), &stream[..]);
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                splitter.feed(now, |packet| found.push(packet.to_vec()));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let expected: Vec<_> = stream.chunks_exact(PACKET).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
