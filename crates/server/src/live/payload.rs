//! How much media a segment holds that a crash left, counted on what is stored, so that it counts what it holds and nothing twice.
//! It is the same count as that of the packager, which a segment that ends as usual brings with it
//! ([`SegmentClosing::media_bytes`](media::remux::SegmentClosing::media_bytes)): pictures and sound as they are, without what the
//! transport stream or RTMP put around them.

use media::mpegts::{PacketSplitter, Pid};

/// What the writer puts before each picture (LiveChannel 4.3).
const DELIMITER: &[u8] = &[0, 0, 0, 1, 0x09, 0xf0];
/// What stands before each frame of sound.
const ADTS: usize = 7;

/// Counts the media in a transport stream as our writer makes it, piece by piece.
#[derive(Debug, Clone, Default)]
pub(super) struct Payload {
    packets: PacketSplitter,
    media: Media,
}

/// The media of the packets so far.
#[derive(Debug, Clone, Default)]
struct Media {
    bytes: u64,
    /// Bytes of the present frame of sound that are still to come.
    frame_left: usize,
    /// The head of a frame of sound of which only a part came.
    head: Vec<u8>,
}

impl Payload {
    /// The media in a whole segment.
    #[cfg(test)]
    pub(super) fn of(segment: &[u8]) -> u64 {
        let mut payload = Self::default();
        payload.feed(segment);
        payload.bytes()
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Self { packets, media } = self;
        packets.feed(bytes, |packet| media.packet(packet));
    }

    /// The media so far.
    pub(super) fn bytes(&self) -> u64 {
        self.media.bytes
    }
}

impl Media {
    fn packet(&mut self, packet: &[u8]) {
        let Some((&[_, high, low, control], rest)) = packet.split_first_chunk::<4>() else { return };
        let pid = Pid(u16::from(high & 0x1f) << 8 | u16::from(low));
        let field = match (control & 0x20 != 0, rest.first()) {
            (true, Some(length)) => usize::from(*length) + 1,
            _ => 0,
        };
        let is_media = control & 0x10 != 0 && matches!(pid, Pid::VIDEO | Pid::AUDIO);
        let Some(mut media) = rest.get(field..).filter(|_| is_media) else { return };
        let starts = high & 0x40 != 0;
        if starts {
            let head = media.get(8).map_or(9, |more| 9 + usize::from(*more));
            media = media.get(head..).unwrap_or_default();
        }
        if pid == Pid::AUDIO {
            self.sound(media);
            return;
        }
        if starts {
            media = media.strip_prefix(DELIMITER).unwrap_or(media);
        }
        self.bytes += media.len() as u64;
    }

    fn sound(&mut self, mut media: &[u8]) {
        while !media.is_empty() {
            if self.frame_left > 0 {
                let (now, later) = media.split_at(self.frame_left.min(media.len()));
                self.bytes += now.len() as u64;
                self.frame_left -= now.len();
                media = later;
                continue;
            }
            let (now, later) = media.split_at(ADTS.saturating_sub(self.head.len()).min(media.len()));
            self.head.extend_from_slice(now);
            media = later;
            if let [_, _, _, high, middle, low, _] = *self.head.as_slice() {
                let length = usize::from(high & 3) << 11 | usize::from(middle) << 3 | usize::from(low >> 5);
                self.frame_left = length.saturating_sub(ADTS);
                self.head.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, starts: bool, payload: &[u8]) -> Vec<u8> {
        let stuffing = 184 - payload.len();
        let mut packet =
            vec![0x47, u8::try_from(pid >> 8).unwrap() | if starts { 0x40 } else { 0 }, (pid & 0xff) as u8];
        packet.push(if stuffing > 0 { 0x30 } else { 0x10 });
        if stuffing > 0 {
            packet.push(u8::try_from(stuffing - 1).unwrap());
            packet.resize(4 + stuffing, 0xff);
        }
        packet.extend_from_slice(payload);
        packet
    }

    #[test]
    fn media_counts_without_what_is_around_it() {
        let pes = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 1, 2, 3, 4, 5];
        let picture = [&pes[..], DELIMITER, &[0, 0, 0, 1, 0x65], &[7; 100]].concat();
        // Two frames of sound of 10 and 3 bytes.
        let frame = |len: u8| {
            [&[0xff, 0xf1, 0x50, 0x80, (len + 7) >> 3, (len + 7) << 5 | 0x1f, 0xfc][..], &vec![9; len.into()]].concat()
        };
        let sound = [&pes[..], &frame(10), &frame(3)].concat();
        let stream = [
            packet(0, true, &[0; 20]),
            packet(0x1000, true, &[0; 20]),
            packet(0x100, true, &picture),
            packet(0x100, false, &[8; 184]),
            packet(0x101, true, &sound[..20]),
            packet(0x101, false, &sound[20..]),
        ]
        .concat();
        let expected = 105 + 184 + 13;
        assert_eq!(Payload::of(&stream), expected);
        for step in [1, 100, 187, 188, 189] {
            let mut payload = Payload::default();
            stream.chunks(step).for_each(|piece| payload.feed(piece));
            assert_eq!(payload.bytes(), expected, "{step}");
        }
    }
}
