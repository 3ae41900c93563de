//! Bytes of the open segment that are written and not yet handed out.

use bytes::Bytes;
use std::collections::VecDeque;

/// What the place of a byte in memory and its place in the segment agree modulo. It is a multiple of the blocks of
/// common disks, so that a store can write whole blocks from where they lie.
const BLOCK: usize = 4096;

/// Buffers of a take that is faster than live which are used again once nobody looks at them any more.
const MAX_LENT: usize = 28;

/// The least memory of a buffer: a tick of sound alone.
const MIN_BUFFER: usize = 2 * BLOCK;

/// A buffer that grows until it is taken.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where the first byte lies in `bytes`; what is before it only moves the rest to its place.
    start: usize,
    /// Memory of a buffer of a take that is faster than live.
    capacity: usize,
    /// How much is expected before the next take, by what came before the last ones: at the pace of life a buffer is
    /// hardly larger than what is handed out in it, since that may be kept until it is on the disk.
    expected: usize,
    /// Full buffers that were handed out, each as its first byte.
    lent: VecDeque<Bytes>,
    /// A buffer was handed out to be used again since [`Self::note_pace`].
    is_fast: bool,
}

impl Outbox {
    /// For about `full` bytes at once.
    pub(super) fn new(full: usize) -> Self {
        let capacity = full.saturating_add(full / 4).saturating_add(BLOCK);
        Self { bytes: Vec::new(), start: 0, capacity, expected: 0, lent: VecDeque::new(), is_fast: false }
    }

    /// Where to append.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Whether `more` bytes fit without the memory being moved.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.bytes.capacity().saturating_sub(self.bytes.len()) >= more
    }

    /// Makes ready for bytes from `offset` of the segment on. Nothing is in the buffer.
    pub(super) fn begin(&mut self, offset: u64) {
        let expected = self.expected.saturating_add(self.expected / 8).saturating_add(BLOCK);
        let wanted = expected.clamp(MIN_BUFFER, self.capacity.max(MIN_BUFFER));
        if self.bytes.capacity() < wanted {
            self.bytes = Vec::with_capacity(wanted);
        }
        let offset = usize::try_from(offset % BLOCK as u64).unwrap_or(0);
        let place = self.bytes.as_ptr().addr() % BLOCK;
        self.start = (offset + BLOCK - place) % BLOCK;
        self.bytes.clear();
        self.bytes.resize(self.start, 0);
    }

    /// Takes what was appended since [`Self::begin`], which has to follow. With `again`, its memory serves once more when
    /// the taker is done with it. Without, what is taken fills at least half of the memory that it holds on to.
    pub(super) fn take(&mut self, again: bool) -> Bytes {
        let start = self.start.min(self.bytes.len());
        let len = self.len();
        self.is_fast |= again;
        self.expected = if again { self.capacity } else { self.expected - self.expected / 4 + len / 4 };
        if !again && len < self.bytes.capacity() / 2 {
            return Bytes::copy_from_slice(self.bytes.get(start..).unwrap_or_default());
        }
        let whole = Bytes::from(std::mem::take(&mut self.bytes));
        let taken = whole.slice(start..);
        self.start = 0;
        if self.lent.front().is_some_and(Bytes::is_unique)
            && let Some(free) = self.lent.pop_front()
        {
            self.bytes = Vec::from(free);
        }
        // One byte is enough to hold on to the memory, and all that is copied when it comes back.
        if again && self.lent.len() < MAX_LENT && !whole.is_empty() {
            self.lent.push_back(whole.slice(..1));
        }
        taken
    }

    /// Another stretch of time is over. Without a buffer that was filled in it the take is no faster than live, and lets go of the
    /// memory that was to be used again.
    pub(super) fn note_pace(&mut self) {
        if !std::mem::take(&mut self.is_fast) {
            self.lent.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_where_the_segment_has_them() {
        let mut outbox = Outbox::new(10_000);
        let mut offset = 0;
        let mut kept = Vec::new();
        for length in [188, 4096, 9_000, 376, 12_000] {
            outbox.begin(offset);
            assert!(outbox.has_room_for(length));
            outbox.bytes().extend(std::iter::repeat_n(7, length));
            assert_eq!(outbox.len(), length);
            let taken = outbox.take(true);
            assert_eq!((taken.len(), taken.as_ptr().addr() as u64 % 4096), (length, offset % 4096));
            offset += length as u64;
            kept.push(taken);
        }
        assert!(kept.iter().all(|taken| taken.iter().all(|byte| *byte == 7)));
    }

    #[test]
    fn at_the_pace_of_life_a_buffer_is_hardly_larger_than_what_is_in_it() {
        let mut outbox = Outbox::new(256 << 10);
        for length in [20_000, 700, 25_000, 24_000, 90_000, 20_000, 20_000] {
            outbox.begin(0);
            outbox.bytes().extend(std::iter::repeat_n(7, length));
            let taken = outbox.take(false);
            let memory = taken.try_into_mut().unwrap().capacity();
            assert!(memory <= 2 * length + BLOCK, "{length} bytes hold {memory}");
        }
        assert!(outbox.bytes.capacity() <= 200_000);
    }

    #[test]
    fn memory_is_used_again_as_long_as_buffers_are_filled() {
        let mut outbox = Outbox::new(10_000);
        let mut looked_at = Vec::new();
        for (again, kept) in [(true, 1), (true, 2), (false, 2), (false, 0), (false, 0), (true, 1)] {
            outbox.begin(0);
            outbox.bytes().extend(std::iter::repeat_n(7, 10_000));
            looked_at.push(outbox.take(again));
            // What is handed out by the clock may be as little as it likes: the buffers that were filled before it count.
            if !again {
                outbox.note_pace();
            }
            assert_eq!(outbox.lent.len(), kept, "{again}");
        }
    }

    #[test]
    fn memory_is_used_again_only_when_nobody_looks() {
        let mut outbox = Outbox::new(10_000);
        // As behind a take that was as fast.
        outbox.expected = outbox.capacity;
        let mut fill = |byte: u8, offset| {
            outbox.begin(offset);
            outbox.bytes().extend(std::iter::repeat_n(byte, 10_000));
            outbox.take(true)
        };
        let (first, second) = (fill(1, 0), fill(2, 10_000));
        let place = first.as_ptr();
        drop(first);
        let (third, fourth) = (fill(3, 20_000), fill(4, 30_000));
        assert!(second.iter().all(|byte| *byte == 2) && third.iter().all(|byte| *byte == 3));
        assert!([&third, &fourth].iter().any(|taken| taken.as_ptr().addr().abs_diff(place.addr()) < 4096));
    }
}
